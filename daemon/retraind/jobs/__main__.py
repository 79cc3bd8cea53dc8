"""`python -m retraind.jobs NAME REQUEST.json`: one job, in a process of its own."""

from __future__ import annotations

import sys

from retraind.jobs.child import main

sys.exit(main(sys.argv[1:]))
