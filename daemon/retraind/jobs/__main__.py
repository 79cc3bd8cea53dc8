"""`python -m retraind.jobs NAME REQUEST.json`: one job, in a process of its own."""

from __future__ import annotations

import os
import sys

from retraind.jobs.child import main

code = main(sys.argv[1:])
sys.stderr.flush()
# all is written and said; Python would take up to two seconds to take apart what MLflow and scikit-learn loaded
os._exit(code)
