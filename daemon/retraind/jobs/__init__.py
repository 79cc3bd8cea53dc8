"""The heavy room: what child processes run. The daemon and the CLI import nothing from here.

`python -m retraind.jobs NAME REQUEST` is the way in (child.py); a job is a function `(step, JobContext) -> Outcome`.
"""
