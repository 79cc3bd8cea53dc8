"""The job `compare`: what a champion's recipe scores on the test rows of an earlier training.

Another version became champion after a training compared its candidates with the one before: their comparison is unknown
until this job says what the new champion's recipe scores on the same rows (POLICIES.md, rule 4). It opens the same
experiment as the training did, from the same list of files, and makes the same stand-in. The candidates' losses by date lie
where the training left them; where they are gone, what is significant stays unknown. It leaves nothing behind, so it can be
killed and asked for again at any time.
"""

from __future__ import annotations

from retraind.core.figures import Significance
from retraind.core.steps import Compare, Compared, Failed
from retraind.failpoint import failpoint
from retraind.jobs.child import JobContext
from retraind.jobs.training import portfolio
from retraind.jobs.training.evaluate import Answered, Ground
from retraind.jobs.training.experiment import grounds, open_experiment, stand_in
from retraind.jobs.training.portfolio import Unfit
from retraind.jobs.training.weighing import against, daily, kept, losses_of, parts_of, sliced

__all__ = ["COMPARE_POINTS", "compare"]

COMPARE_POINTS = ("compare.before_fit", "compare.before_result")
"""Where a test may kill it."""


def compare(step: Compare, job: JobContext) -> Compared | Failed:
    """Score the champion's recipe; without scores, and with the reason, when it cannot be fitted on these data."""
    done = -1

    def said(stage: str) -> None:
        nonlocal done
        done += 1
        job.progress(stage, done, len(job.config.training.horizons))

    try:
        experiment = open_experiment(step, job, said)
        _, test = grounds(experiment, step.target)
        failpoint("compare.before_fit")
        beside = stand_in(experiment, step.champion, test)
    except Unfit as error:
        return Compared(None, f"the recipe of v{step.champion.version} cannot be fitted on these data: {error}")
    failpoint("compare.before_result")
    parts = parts_of(experiment.table, test, job.config.contract)
    return Compared(
        beside.scores,
        significance=_tests(step, job, test, beside),
        slices=sliced(test, beside.forecasts, parts, parts.policies),
    )


def _tests(step: Compare, job: JobContext, test: Ground, beside: Answered) -> dict[str, dict[str, Significance]]:
    """By recipe, as the training made them; empty where its losses are gone."""
    candidates = kept(losses_of(job.state, step.request, step.target), test)
    if candidates is None:
        return {}
    own = portfolio.recipe_id(step.champion.recipe)
    searched = [name for name in candidates if name != own]
    return against(daily(test, beside.forecasts), candidates, searched, job.config.training.seed)
