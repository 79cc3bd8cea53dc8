"""Prepares the registry, and moves aliases in it: the jobs `prepare` and `promote`.

The order is POLICIES.md's, so that a kill anywhere is mended by doing it again: look, check the version, tag it, set the
one alias that consumers read (the commit point), tidy up, read back. A registry that is not as the journal expects is left
alone and reported. What is found done is not done again.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version as installed_version

from retraind.core.events import SERVING
from retraind.core.steps import Failed, Prepare, Prepared, Promote, Promoted, Unmoved
from retraind.errors import RetraindError
from retraind.failpoint import failpoint
from retraind.jobs import registry as mlflow_registry
from retraind.jobs.child import JobContext
from retraind.jobs.registry import CHALLENGER, CHAMPION, LAST_GOOD, Registry

__all__ = ["PROMOTION_POINTS", "prepare", "promote"]

PROMOTION_POINTS = (
    "promotion.before_tag",
    "promotion.tagged",
    "promotion.before_alias",
    "promotion.alias_set",
    "promotion.after_alias",
    "promotion.archived",
    "promotion.last_good_set",
    "promotion.read_back",
)
"""Where a test may kill a promotion, in their order."""


def prepare(step: Prepare, job: JobContext) -> Prepared:  # noqa: ARG001 (every job has a step)
    """Create the store and the experiment, once and under our lock. Raises RetraindError when a server is silent."""
    job.progress("preparing the MLflow store", 0, 1)
    connected = mlflow_registry.connect(job.settings.mlflow, job.root)
    failpoint("prepare.done")
    return Prepared(tracking_uri=connected.uri, mlflow=installed_version("mlflow"))


def promote(step: Promote, job: JobContext) -> Promoted | Unmoved | Failed:
    """Bring a version to staging or production, or out of staging, and read it back."""
    moving = f"moving {step.model} v{step.version} to {step.to}"
    job.progress(moving, 0, 3)
    registry = mlflow_registry.connect(job.settings.mlflow, job.root)
    found = mlflow_registry.alias(registry, step.model, CHAMPION)
    if not _as_expected(step, found):
        return Unmoved(
            f"the alias {CHAMPION} of {step.model} names {_named(found)}, the journal says {_named(step.champion)}",
            alias=CHAMPION,
            expected=step.champion,
            found=found,
        )
    wrong = "" if step.to == "archived" else _unfit(registry, step)
    if wrong:
        return Unmoved(f"{step.model} v{step.version} {wrong}")
    job.progress(moving, 1, 3)
    archived = _MOVES[step.to](registry, step)
    job.progress(moving, 2, 3)
    outcome = _read_back(registry, step, archived)
    failpoint("promotion.read_back")
    return outcome


def _named(number: int | None) -> str:
    return "no version" if number is None else f"v{number}"


def _as_expected(step: Promote, found: int | None) -> bool:
    """The alias is where the journal says, or already where an earlier try of this promotion put it; or it is where others
    moved it when somebody said who is champion nevertheless."""
    if step.settles and found == step.found:
        return True
    return found == step.champion or (step.to in SERVING and found == step.version)


def _unfit(registry: Registry, step: Promote) -> str:
    """Why the version cannot be promoted, in words; empty when it can."""
    try:
        version = mlflow_registry.version(registry, step.model, step.version)
    except RetraindError:
        return "is not in MLflow any more"
    if not version.ready:
        return "is not READY in MLflow"
    with mlflow_registry.downloaded(f"models:/{step.model}/{step.version}") as folder:  # what fails here is tried again
        digest = mlflow_registry.digest_of(folder)
        if digest != step.model_digest:
            return f"holds other files than were judged: digest {digest}, judged {step.model_digest}"
        if step.to == "staging":
            return ""  # nobody is served by it yet: that it loads is asked of what becomes champion, and costs seconds
        try:
            mlflow_registry.loaded(folder)
        except Exception as error:  # noqa: BLE001 (a model may fail to load in any way; each keeps it from serving)
            return f"does not load: {type(error).__name__}: {error}"
    return ""


def _up(registry: Registry, step: Promote) -> tuple[int, ...]:
    """To Staging, to Production, or back to Production: one alias is the commit point, the rest follows it."""
    stage, alias = ("Staging", CHALLENGER) if step.to == "staging" else ("Production", CHAMPION)
    failpoint("promotion.before_tag")
    _tag(registry, step, stage)
    failpoint("promotion.tagged")
    failpoint("promotion.before_alias")
    mlflow_registry.set_alias(registry, step.model, alias, step.version)
    failpoint("promotion.alias_set")
    failpoint("promotion.after_alias")
    archived = _archive(registry, step)
    challenger = mlflow_registry.alias(registry, step.model, CHALLENGER) if alias == CHAMPION else None
    if step.settles:
        _point(registry, step.model, CHALLENGER, challenger, step.challenger)
    elif challenger in (step.version, *archived):
        mlflow_registry.drop_alias(registry, step.model, CHALLENGER)
    failpoint("promotion.archived")
    _point(registry, step.model, LAST_GOOD, mlflow_registry.alias(registry, step.model, LAST_GOOD), step.last_good)
    failpoint("promotion.last_good_set")
    return archived


def _to_archived(registry: Registry, step: Promote) -> tuple[int, ...]:
    failpoint("promotion.before_alias")
    if mlflow_registry.alias(registry, step.model, CHALLENGER) == step.version:
        mlflow_registry.drop_alias(registry, step.model, CHALLENGER)
    failpoint("promotion.alias_set")
    if _is_there(registry, step.model, step.version):
        _tag(registry, step, "Archived")
    failpoint("promotion.archived")
    return ()


_MOVES: dict[str, Callable[[Registry, Promote], tuple[int, ...]]] = {
    "staging": _up, "production": _up, "rollback": _up, "archived": _to_archived,
}  # fmt: skip


def _tag(registry: Registry, step: Promote, stage: str) -> None:
    tags = {"decision": step.decision, "policy": step.policy, "stage": stage}
    mlflow_registry.tag_version(registry, step.model, step.version, tags)


def _archive(registry: Registry, step: Promote) -> tuple[int, ...]:
    """Tag the champion that was, and the versions that this one goes past, as Archived; those that are gone are left out."""
    leaving = [*step.supersede]
    if step.to in SERVING and step.champion is not None and step.champion != step.version:
        leaving.append(step.champion)
    archived = tuple(n for n in sorted(set(leaving) - {step.version}) if _is_there(registry, step.model, n))
    for number in archived:
        mlflow_registry.tag_version(registry, step.model, number, {"stage": "Archived"})
    return archived


def _is_there(registry: Registry, model: str, number: int) -> bool:
    """False when somebody deleted the version: there is nothing to tag."""
    try:
        mlflow_registry.version(registry, model, number)
    except RetraindError:
        return False
    return True


def _point(registry: Registry, model: str, alias: str, found: int | None, number: int | None) -> None:
    """Make an alias name that version, or nothing."""
    if number is None and found is not None:
        mlflow_registry.drop_alias(registry, model, alias)
    elif number is not None and found != number:
        mlflow_registry.set_alias(registry, model, alias, number)


def _read_back(registry: Registry, step: Promote, archived: tuple[int, ...]) -> Promoted | Unmoved:
    champion = mlflow_registry.alias(registry, step.model, CHAMPION)
    last_good = mlflow_registry.alias(registry, step.model, LAST_GOOD)
    expected = step.version if step.to in SERVING else step.champion
    if champion != expected:
        return Unmoved(
            f"the alias {CHAMPION} of {step.model} was set to {_named(expected)} and reads {_named(champion)}",
            alias=CHAMPION,
            expected=expected,
            found=champion,
        )
    if last_good != step.last_good:
        return Unmoved(
            f"the alias {LAST_GOOD} of {step.model} was set to {_named(step.last_good)} and reads {_named(last_good)}",
            alias=LAST_GOOD,
            expected=step.last_good,
            found=last_good,
        )
    return Promoted(champion=champion, last_good=last_good, archived=archived)
