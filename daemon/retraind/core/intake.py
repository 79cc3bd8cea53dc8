"""Decides what happens to drops: in which order they are examined, when a window of days is measured, where files go."""

from __future__ import annotations

import datetime as dt

from retraind.core import days
from retraind.core import events as e
from retraind.core.scene import PlannedJob, Scene, Wait, asked_again, attempt, patience
from retraind.core.settings import Drops
from retraind.core.state import Drop, Flow
from retraind.core.steps import Examine, FileAway, Measure, Note, Place, Survey, WaitingDrop
from retraind.errors import told

__all__ = ["companions", "examine", "file_away", "given_up", "is_another", "measure", "place", "survey", "window"]

_BATCH = 500


def file_away(scene: Scene) -> list[FileAway]:
    """Files of drops that came to an end and still lie where they came in."""
    after = place(scene.config.drops)
    ends: dict[str, Place] = {
        "accepted": after, "withdrawn": after, "duplicate": after, "quarantined": "quarantine", "discarded": "quarantine",
    }  # fmt: skip
    return [
        FileAway(scene.pipeline, d.id, d.path, "leave" if is_another(d) else ends[d.state], _reason(d),
                 d.sha256, d.bytes, d.mtime_ns)
        for d in scene.flow.drops.values()
        if not d.filed and d.state in ends
    ]


def place(drops: Drops) -> Place:
    """Where a file ends that was taken."""
    return "done" if drops.after == "move" else drops.after


def is_another(drop: Drop) -> bool:
    """What lies at the drop's path is gone or another file by now: the next scan sees it as a drop of its own."""
    return any(p.rule in ("changed while waiting", "vanished") for p in drop.problems)


def _reason(drop: Drop) -> str:
    if drop.state == "discarded":
        return f"{drop.name} was discarded by a person. Nothing of it is in the store.\n"
    if drop.state != "quarantined":
        return ""
    lines = [f"{drop.name} was not taken: {drop.problem_count} problem{'s' if drop.problem_count > 1 else ''}."]
    for problem in drop.problems:
        row = f"row {problem.row}" if problem.row is not None else ""
        place = ", ".join(part for part in (row, problem.column) if part)
        lines.append(f"- {place + ': ' if place else ''}{told(f'{problem.what} (rule: {problem.rule})', problem.remedy)}")
    if drop.problem_count > len(drop.problems):
        lines.append(f"- and {drop.problem_count - len(drop.problems)} more.")
    lines.append(f"Mend the file here and run: retrainctl drops retry {drop.id}")
    return "\n".join(lines) + "\n"


def given_up(scene: Scene) -> Note | None:
    """A drop that brought its examination down, or a window whose measuring failed, as often as the settings allow.

    An examination that says what failed found the disk or the store amiss: no drop is blamed for that.
    """
    for drop in scene.flow.waiting():
        _, _, over = attempt(scene, "examine", drop.id)
        if over and (over.brought_down or over.lost > over.count):
            problem = e.ContractProblem("can be examined", f"examining it failed: {over.what}",
                                        over.remedy or "look at the job's log under state/jobs")  # fmt: skip
            return Note(scene.pipeline, e.DropQuarantined(drop.id, (problem,), 1))
    due = window(scene)
    if due:
        _, _, over = attempt(scene, "measure", due.drop)
        if over:
            return Note(scene.pipeline, e.DriftSkipped(due.drop, due.last_date, over.what))
    return None


def survey(scene: Scene) -> tuple[PlannedJob | None, Wait | None]:
    """On the data's clock: look at the dates of drops that just came, so that they go in order."""
    undated = [d for d in scene.flow.waiting() if not d.dated]
    if not scene.in_step or not undated or scene.failure("survey", _subject(undated)):
        return None, None  # a survey that failed costs the order of these drops, nothing else
    return PlannedJob(scene.pipeline, "survey", _subject(undated), Survey(tuple(map(_waiting, undated)))), None


def examine(scene: Scene) -> tuple[PlannedJob | None, Wait | None]:
    """The next drops: all that wait, or on the data's clock the next main one and what belongs before it."""
    look, held = days.look_again(scene)
    if look or held:
        return look, held
    batch = _batch(scene)
    if not batch:
        return None, None
    subject = _subject(batch)
    number, wait, over = attempt(scene, "examine", subject)
    if over:
        wait = asked_again(scene, over, patience(scene, over), "drops wait to be examined")
    if wait:
        return None, wait
    today = scene.now.wall.astimezone(scene.settings.site.zone).date()
    step = Examine(tuple(map(_waiting, batch)), tuple(scene.flow.store), today,
                   incomplete=days.incomplete(scene.flow), marker=scene.config.drops.marker)  # fmt: skip
    return PlannedJob(scene.pipeline, "examine", subject, step, number), None


def _batch(scene: Scene) -> list[Drop]:
    """Those that are examined next. One of a batch that brought its child down is looked for by halves, and once found
    examined alone, behind the others."""
    waiting = sorted(scene.flow.waiting(), key=lambda d: _order(scene, d))
    suspects = [d for d in waiting if (f := scene.failure("examine", d.id)) and (f.brought_down or f.lost > 1)]
    if suspects and not scene.in_step:
        waiting = [d for d in waiting if d not in suspects] or suspects[:1]
    batch = waiting[:_BATCH]
    if scene.in_step:
        mains = [i for i, d in enumerate(batch) if _role(scene, d) == "main"]
        batch = batch[: mains[0] + 1] if mains else batch
        batch = batch[:1] if companions(scene) else batch  # days that only wait for theirs are not worked off with the next
        found = [i for i, d in enumerate(batch) if d in suspects]
        batch = batch[: max(1, found[0])] if found else batch
    failed = [f for f in scene.flow.failures.values() if f.step == "examine" and f.of > 1]
    halves = [f.of // 2 for f in failed if f.brought_down or f.lost > 1]
    return batch[: max(1, min(halves))] if halves else batch


def _waiting(drop: Drop) -> WaitingDrop:
    return WaitingDrop(drop.id, drop.path, drop.name, drop.sha256)


def _subject(drops: list[Drop]) -> str:
    return drops[0].id if len(drops) == 1 else f"{drops[0].id}+{len(drops) - 1}"


def _role(scene: Scene, drop: Drop) -> str:
    table = scene.config.contract.tables.get(drop.table or "")
    return table.role if table else "unknown"


def _order(scene: Scene, drop: Drop) -> tuple[int, dt.date, int, str]:
    """Lookups first, then by last date, a companion before the main table of the same date, then by name."""
    if not scene.in_step:
        return 0, dt.date.min, 0, ""
    role = _role(scene, drop)
    early = role in ("lookup", "unknown")
    return 0 if early else 1, drop.last_date or dt.date.min, 0 if role == "companion" else 1, drop.name


def window(scene: Scene) -> Measure | None:
    """The next window of days, once as many have come since the last one that was measured.

    Windows follow each other without a gap, so that a week whose last day the shop was closed is measured when the next
    day comes. Counts from the data of the first training: before it there is nothing to drift from.
    """
    flow, length = scene.flow, scene.config.drift.days
    last = days.newest_complete(scene)
    done = [w.last_date for w in flow.drift[-1:]] + [d for d in [flow.drift_skipped_to] if d]
    done += [r.data_end for r in list(flow.requests.values())[:1]]
    if not last or not done or (last - max(done)).days < length:
        return None
    # the next one after the last; after a long gap the newest
    end = max(done) + dt.timedelta(days=length)
    end = end if (last - end).days < 2 * length else last
    first = end - dt.timedelta(days=length - 1)
    mains = [f for f in reversed(flow.store) if f.table == scene.config.contract.main and f.first_date]
    drop = next((f.drop for f in mains if f.first_date and f.first_date <= end), mains[0].drop)  # its first may be withdrawn
    drifted = any(w.drifting for w in flow.drift[-1:])
    return Measure(drop, first, end, tuple(flow.store), days.excluded(scene), tuple(flow.forecasts), _learned(flow), drifted)


def _learned(flow: Flow) -> str:
    """The request of the champion that was trained last."""
    serving = [v for v in (m.serving for m in flow.models.values()) if v]
    return max(serving, key=lambda v: v.trained_wall).request if serving else ""


def measure(scene: Scene) -> tuple[PlannedJob | None, Wait | None]:
    """Measure the drift of the newest window, once the required companion tables reach it."""
    due = window(scene)
    if not due:
        return None, None
    held = companions(scene)
    number, wait, _ = attempt(scene, "measure", due.drop)
    if held or wait:
        return None, held or wait
    return PlannedJob(scene.pipeline, "measure", due.drop, due, number), None


def companions(scene: Scene) -> Wait | None:
    """What is waited for when a required companion table does not reach the main table's newest date.

    On the data's clock only a file that is left can help; on the wall clock it may still come, for `companion_wait`.
    """
    flow, contract = scene.flow, scene.config.contract
    last = flow.last_date(contract.main)
    behind = flow.behind(contract)
    if not behind or (scene.in_step and not flow.waiting()):
        return None
    if scene.in_step:
        return Wait(f"{behind[0]} does not reach {last}, a drop is left", "site")
    newest = max(d.arrived for d in flow.drops.values() if d.table == contract.main and d.last_date == last)
    until = newest + scene.config.drops.companion_wait.delta
    return Wait(f"{behind[0]} does not reach {last}", "people", until) if until > scene.now.wall else None
