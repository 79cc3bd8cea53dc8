"""`python -m retrainctl`."""

from retrainctl.app import main

main()
