"""The job `reproduce`: a past training once more, from the same files of the store, and its figures; nothing is kept of it.

Whoever asks hands over the step of then and the settings of then, and compares: the same data, settings, seed and libraries
give the same figures to the last digit. Only a search that was cut short by its guard of seconds may come out otherwise.
"""

from __future__ import annotations

import datetime as dt

from retraind.core.figures import TargetResult
from retraind.core.steps import Failed, Impossible, Train, Trained
from retraind.jobs.child import JobContext
from retraind.jobs.train import find, fits_to_come
from retraind.jobs.training.experiment import grounds, open_experiment
from retraind.jobs.training.findings import Found
from retraind.jobs.training.portfolio import Unfit
from retraind.jobs.training.publish import candidate_of

__all__ = ["reproduce"]


def reproduce(step: Train, job: JobContext) -> Trained | Impossible | Failed:
    """The figures of the step's training. Versions are 0 and runs are empty: nothing is registered."""
    notes: list[str] = []
    try:
        experiment = open_experiment(step, job, fits_to_come(step, job))
        found = [find(step, experiment, target, *grounds(experiment, target), notes) for target in step.targets]
    except Unfit as error:
        return Impossible(step.request, str(error))
    cut = experiment.borders
    first, last = (dt.date.fromisoformat(str(day.astype("datetime64[D]"))) for day in (cut.test, cut.last))
    results = tuple(_result(one, job) for one in found)
    return Trained(step.request, step.data_end, first, last, results, "", tuple(dict.fromkeys(notes)))


def _result(found: Found, job: JobContext) -> TargetResult:
    return TargetResult(
        target=found.target,
        model=job.settings.mlflow.name_of(job.pipeline, found.target),
        candidates=tuple(candidate_of(one, rank) for rank, one in enumerate(found.judged, start=1)),
        baselines=found.baselines,
        champion_version=found.champion_version,
        champion=found.champion,
        slice_rows=found.slice_rows,
        champion_slices=found.champion_slices,
    )
