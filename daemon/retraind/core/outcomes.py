"""What the journal says of a job that ended well: one outcome becomes the events that state folds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from retraind.core import events as e
from retraind.core import steps as s
from retraind.core.days import looked_at
from retraind.core.state import Flow

__all__ = ["events_of"]


def events_of(step: s.Job, outcome: s.Outcome, flow: Flow, seconds: float) -> list[Any]:
    """The events of an outcome, in order. Raises ValueError when the outcome does not answer the step."""
    turn = _TURNS.get((type(step), type(outcome)))
    if turn is None:
        raise ValueError(f"{type(outcome).__name__} is no answer to {type(step).__name__}")
    return turn(step, outcome, flow, seconds)


def _surveyed(step: s.Survey, outcome: s.Surveyed, flow: Flow, seconds: float) -> list[Any]:
    known = {d.drop for d in step.drops}
    return [e.DropDated(d.drop, d.table, d.last_date) for d in outcome.drops if d.drop in known]


def _examined(step: s.Examine, outcome: s.Examined, flow: Flow, seconds: float) -> list[Any]:
    ends: dict[str, Any] = {}
    for good in outcome.accepted:
        ends[good.drop] = e.DropAccepted(good.drop, good.file, good.role, good.new_rows, good.replaced_rows,
                                         good.unchanged_rows, good.set_aside, good.set_aside_rows, good.notes)  # fmt: skip
    for bad in outcome.quarantined:
        ends[bad.drop] = e.DropQuarantined(bad.drop, bad.problems, bad.problem_count)
    for same in outcome.same:
        ends[same.drop] = e.DropDuplicate(same.drop, same.of)
    broken = {bad.drop: e.DropDamaged(bad.drop, bad.damages) for bad in outcome.damaged}
    told: list[Any] = []
    for drop in (d.drop for d in step.drops if d.drop in ends and flow.drops[d.drop].state == "waiting"):
        told += [ends[drop], broken[drop]] if drop in broken else [ends[drop]]
    return [*told, *looked_at(outcome.days, flow, step.marker)]


def _forecasted(step: s.Forecast, outcome: s.Forecasted, flow: Flow, seconds: float) -> list[Any]:
    """The scores first: forecast.made says that the whole is done, and a kill between the two only does it again."""
    told: list[Any] = []
    if outcome.scored:
        told.append(e.ForecastScored(step.key, outcome.scored, outcome.cells, outcome.slices, outcome.corrected, outcome.expired,
                                     outcome.sliced_by))  # fmt: skip
    return [*told, e.ForecastMade(step.key, step.newest, outcome.made, outcome.orders, step.stale, outcome.unloadable, seconds)]


def _compared(step: s.Compare, outcome: s.Compared, flow: Flow, seconds: float) -> list[Any]:
    return [e.CandidateCompared(step.request, step.target, step.champion.version, outcome.champion, outcome.significance,
                                outcome.slices)]  # fmt: skip


def _measured(step: s.Measure, outcome: s.Measured, flow: Flow, seconds: float) -> list[Any]:
    return [outcome.drift]


def _prepared(step: s.Prepare, outcome: s.Prepared, flow: Flow, seconds: float) -> list[Any]:
    return [e.RegistryReady(step.tracking_uri, outcome.mlflow)]


def _trained(step: s.Train, outcome: s.Trained, flow: Flow, seconds: float) -> list[Any]:
    for result in outcome.results:
        model = flow.models.get(result.model)
        if model and any(model.version(c.version) for c in result.candidates):  # ours would be overwritten
            why = (f"MLflow gave versions of {result.model} numbers that an earlier training has: mlflow.tracking_uri leads to "
                   "another registry, or this one was emptied; bring its versions back, or begin a new site")  # fmt: skip
            return [e.TrainingImpossible(outcome.request, why)]
    return [e.TrainingFinished(outcome.request, outcome.data_end, outcome.test_from, outcome.test_to, outcome.results,
                               outcome.parent_run, seconds, outcome.notes)]  # fmt: skip


def _impossible(step: s.Train, outcome: s.Impossible, flow: Flow, seconds: float) -> list[Any]:
    return [e.TrainingImpossible(outcome.request, outcome.why)]


def _promoted(step: s.Promote, outcome: s.Promoted, flow: Flow, seconds: float) -> list[Any]:
    archived = set(step.supersede)
    if step.to in e.SERVING and step.champion is not None:
        archived.add(step.champion)
    archived.discard(step.version)
    return [e.PromotionDone(step.model, step.version, step.to, step.champion, step.last_good, step.decision,
                            tuple(sorted(archived)), step.settles)]  # fmt: skip


def _unmoved(step: s.Promote, outcome: s.Unmoved, flow: Flow, seconds: float) -> list[Any]:
    told: list[Any] = [e.PromotionAborted(step.model, step.version, outcome.why)]
    if outcome.alias:
        told.append(e.RegistryDiverged(step.model, outcome.alias, outcome.expected, outcome.found))
    return told


def _adopted(step: s.Adopt, outcome: s.Adopted, flow: Flow, seconds: float) -> list[Any]:
    adoption = flow.models[step.model].adoption
    assert adoption
    return [e.VersionAdopted(step.model, step.target, step.version, adoption.by, adoption.reason, outcome.candidate, step.newest,
                             outcome.notes)]  # fmt: skip


def _archived(step: s.Archive, outcome: s.Archived, flow: Flow, seconds: float) -> list[Any]:
    told = [e.ArtifactsRemoved(step.model, one.version, step.policy, one.bytes) for one in outcome.bare]
    return told + [e.ArtifactsRemoved(step.model, one.version, step.policy, stays=one.why) for one in outcome.spared]


def _unadoptable(step: s.Adopt, outcome: s.Unadoptable, flow: Flow, seconds: float) -> list[Any]:
    return [e.AdoptionRefused(step.model, step.version, outcome.why, outcome.remedy)]


_TURNS: dict[tuple[type[Any], type[Any]], Callable[[Any, Any, Flow, float], list[Any]]] = {
    (s.Survey, s.Surveyed): _surveyed,
    (s.Examine, s.Examined): _examined,
    (s.Forecast, s.Forecasted): _forecasted,
    (s.Compare, s.Compared): _compared,
    (s.Measure, s.Measured): _measured,
    (s.Prepare, s.Prepared): _prepared,
    (s.Train, s.Trained): _trained,
    (s.Train, s.Impossible): _impossible,
    (s.Promote, s.Promoted): _promoted,
    (s.Promote, s.Unmoved): _unmoved,
    (s.Adopt, s.Adopted): _adopted,
    (s.Adopt, s.Unadoptable): _unadoptable,
    (s.Archive, s.Archived): _archived,
}
