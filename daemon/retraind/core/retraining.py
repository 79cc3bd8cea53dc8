"""Decides when causes become a training (POLICIES.md, rule 27).

Causes are collected; within the quiet period they become one request; cool-down, budget, a pause and missing companion
tables hold them back, and say so; the same data, settings and code are never trained twice unless a person asks.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json

from retraind.core import events as e
from retraind.core import live
from retraind.core.accuracy import worsening
from retraind.core.binding import unbind
from retraind.core.days import excluded, newest_complete
from retraind.core.figures import Sums, horizon_key
from retraind.core.forecasting import is_due
from retraind.core.intake import companions, window
from retraind.core.people import quoted
from retraind.core.scene import PlannedJob, Scene, Wait, attempt
from retraind.core.state import Model, OpenCause, Request
from retraind.core.steps import Champion, Note, Train
from retraind.core.units import Span

__all__ = ["fingerprint", "retraining", "train"]

_A_DAY = dt.timedelta(days=1)
_AFTER_A_FAILURE = Span(86400)
_FIRST_AGAIN = Span(7 * 86400)
"""How soon a target without a champion is tried again on newer data: a week, two after a first try in vain, then four."""
_ASKS_AGAIN = 2
"""Drift windows, or scored drops, that must have come since a training ended before the same kind of cause may ask again;
doubled for each such training that led to no promotion (POLICIES.md, rule 27)."""


def fingerprint(scene: Scene) -> str:
    """Digest of what a training would read: data in its order, contract, training settings, code."""
    config = scene.config
    parts = [[f.sha256 for f in scene.flow.store], unbind(excluded(scene)), unbind(config.contract), unbind(config.training),
             scene.world.code]  # fmt: skip
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def retraining(scene: Scene) -> tuple[Note | None, list[Wait]]:
    """The next thing to note about causes and requests, and what holds the causes back."""
    flow = scene.flow
    if newest_complete(scene) is None:
        return _told_once(scene, Wait("there is no data to train on yet", "site")) if flow.causes else (None, [])
    # the causes of one drop are one request: its drift is measured and its forecasts are scored first
    if window(scene) or is_due(scene):
        return _unmeasured(scene)
    seen = _first_cause(scene) or _worse_cause(scene) or _old_cause(scene)
    if seen:
        return seen, []
    declined = _declined(scene)
    if declined:
        return declined, []
    if not flow.causes:
        return _failed_request(scene), []
    failed = _failed_request(scene)
    if failed:
        return failed, []
    held = _held(scene)
    return _told_once(scene, held) if held else (Note(scene.pipeline, _request(scene)), [])


def _unmeasured(scene: Scene) -> tuple[Note | None, list[Wait]]:
    """Open causes wait for the measuring, or for what it waits for itself."""
    if not scene.flow.causes:
        return None, []
    behind = None if scene.in_step else companions(scene)  # on the data's clock the next drop brings it, or nothing does
    return _told_once(scene, behind) if behind else (None, [Wait("the newest days are measured and scored first", "site")])


def _told_once(scene: Scene, held: Wait) -> tuple[Note | None, list[Wait]]:
    flow, causes = scene.flow, tuple(c.cause for c in scene.flow.causes)
    if flow.held and (flow.held.keys, flow.held.reason) == (tuple(c.key for c in causes), held.why):
        return None, [held]
    return Note(scene.pipeline, e.RetrainHeld(causes, held.why, held.until)), [held]


def _first_cause(scene: Scene) -> Note | None:
    """A target without a champion wants one as soon as there is data that was not tried yet."""
    flow = scene.flow
    if flow.open_request() or any(c.cause.kind == "first" for c in flow.causes):
        return None
    bare = tuple(t for t in scene.config.contract.targets if not _served(scene, t))
    if not bare:
        return None
    print_ = fingerprint(scene)
    if any(r.fingerprint == print_ for r in flow.requests.values()):
        return None
    words = f"{' and '.join(bare)} {'has' if len(bare) == 1 else 'have'} no champion yet"
    return Note(scene.pipeline, e.CauseNoted(e.Cause("first", f"first:{print_[:12]}", words), bare))


def _worse_cause(scene: Scene) -> Note | None:
    """A champion whose errors rose against doing nothing, on the rows that both were scored on.

    It asks for all targets, so that none grows older than the others unseen (bench/when_to_retrain.md)."""
    rules = scene.config.retraining.accuracy
    if rules.asks == "nothing" or scene.flow.open_request() or _waits(scene, "accuracy"):
        return None
    for target, model in _champions(scene):
        if _drops_since(scene, target) < _needed(scene, "accuracy"):
            continue
        known = scene.flow.live.get(target)
        for horizon in (h for h in rules.horizons if h in scene.config.training.horizons):
            own, naive = (_by_day(known, name, horizon) for name in (str(model.champion), "persistence"))
            alarm = worsening(own, naive, rules.delta, rules.threshold)
            if alarm:
                cause = e.Cause("accuracy", f"accuracy:{target}:v{model.champion}:h{horizon}:{alarm.date}",
                                alarm.words(target, horizon))  # fmt: skip
                return Note(scene.pipeline, e.CauseNoted(cause))
    return None


def _by_day(known: live.Live | None, forecaster: str, horizon: int) -> dict[dt.date, Sums]:
    kept = live.days(known, forecaster, horizon_key(horizon))
    return {dt.date.fromisoformat(day): live.sums_of(sums) for day, sums in kept.items()}


def _drops_since(scene: Scene, target: str) -> int:
    """Scored drops since a training last ended, or since the first figures where none did."""
    last = scene.flow.last_ended()
    return len(live.scored_drops(scene.flow.live.get(target), last.ended_seq if last else 0))


def _old_cause(scene: Scene) -> Note | None:
    """No training saw the newest data for longer than a model may age. Any training counts, so that schedules, drift and
    accuracy push this one back instead of adding to it."""
    limit = scene.config.retraining.max_age
    newest = newest_complete(scene)
    if limit is None or newest is None or scene.flow.open_request() or _waits(scene, "age"):
        return None
    tried = max((r.data_end for r in scene.flow.requests.values() if r.state != "waiting"), default=dt.date.min)
    ends = [max(tried, m.serving.data_end) for _, m in _champions(scene) if m.serving]
    if not any(newest - end >= limit.delta for end in ends):
        return None
    words = f"no training saw data after {max(ends)}, older than {limit}"
    return Note(scene.pipeline, e.CauseNoted(e.Cause("age", f"age:{newest}", words)))


def _champions(scene: Scene) -> list[tuple[str, Model]]:
    named = ((t, scene.model_of(t)) for t in scene.config.contract.targets)
    return [(t, m) for t, m in named if m is not None and m.champion is not None]


def _waits(scene: Scene, kind: str) -> bool:
    return any(c.cause.kind == kind for c in scene.flow.causes)


def _served(scene: Scene, target: str) -> bool:
    """There is a champion, or a candidate that may still become one."""
    model = scene.model_of(target)
    if model is None:
        return False
    hopeful = ("", "promote", "hold", "no_policy")
    open_ = any(
        v.stage in ("None", "Staging") and v.verdict in hopeful and not (v.aborted or v.lost) for v in model.versions.values()
    )
    return model.champion is not None or open_ or model.intention is not None or model.adoption is not None


def _declined(scene: Scene) -> Note | None:
    flow = scene.flow
    if flow.open_request() or not flow.causes:
        return None
    targets = scene.config.contract.targets
    gone = [c.cause for c in flow.causes if c.targets and not any(t in targets for t in c.targets)]
    if gone:
        named = sorted({t for c in flow.causes for t in c.targets if t not in targets})
        return Note(scene.pipeline, e.RetrainDeclined(tuple(gone), f"config.yaml has no target {', '.join(named)} any more"))
    early = [c.cause for c in flow.causes if c.cause.kind == "drift"]
    if early and scene.config.retraining.drift == "nothing":
        return Note(scene.pipeline, e.RetrainDeclined(tuple(early), "config.yaml says that drift asks for nothing"))
    if early and (seldom := _drifts_too_seldom(scene)):
        return Note(scene.pipeline, e.RetrainDeclined(tuple(early), seldom))
    if early and _drift_is_too_soon(scene):
        need, since = _needed(scene, "drift"), _windows_since(scene)
        reason = (f"the last training ended {since} measured window{'s' if since != 1 else ''} ago, "
                  f"drift may ask again after {need}")  # fmt: skip
        return Note(scene.pipeline, e.RetrainDeclined(tuple(early), reason))
    if _waits(scene, "operator"):
        return None
    same = _as_last_time(scene)
    vain = tuple(c.cause for c in flow.causes if c.cause.kind != "schedule")  # a schedule waits for data
    if same is None or not vain:
        return None
    return Note(scene.pipeline, e.RetrainDeclined(vain, f"nothing changed since request {same.id}: same data, settings and code"))


def _as_last_time(scene: Scene) -> Request | None:
    """The request that a training now would only repeat."""
    mark = fingerprint(scene)
    return next((r for r in scene.flow.requests.values() if r.fingerprint == mark and r.state != "waiting"), None)


def _drifts_too_seldom(scene: Scene) -> str:
    """Why the drift of single windows asks for nothing yet. Those that came while a cause was held do not speak against it."""
    rules, windows = scene.config.drift, list(scene.flow.drift)
    while windows and not windows[-1].drifting:
        windows.pop()
    drifting = sum(w.drifting for w in windows[-rules.of :])
    return "" if drifting >= rules.drifting else (
        f"{drifting} of the last {rules.of} windows drifted, a training is asked for from {rules.drifting} on")


def _drift_is_too_soon(scene: Scene) -> bool:
    return scene.flow.last_ended() is not None and _windows_since(scene) < _needed(scene, "drift")


def _windows_since(scene: Scene) -> int:
    """Windows measured since the last training ended."""
    last = scene.flow.last_ended()
    return sum(w.seq > (last.ended_seq if last else 0) for w in scene.flow.drift)


def _needed(scene: Scene, kind: str) -> int:
    """How many windows or scored drops must have come before a cause of that kind may ask again."""
    return int(_ASKS_AGAIN * 2 ** min(_fruitless(scene, kind), 5))


def _fruitless(scene: Scene, kind: str) -> int:
    """Trainings that a cause of that kind asked for, counted back from the newest, that led to no promotion.

    For a first champion, to none of a target that has no champion: what it did for the others is not what it was for.
    """
    models = [m for m in scene.flow.models.values() if kind != "first" or m.champion is None]
    moved = {v.request for m in models for v in m.versions.values() if v.staged_site}
    fruitless = 0
    for request in sorted(scene.flow.requests.values(), key=lambda r: -r.ended_seq):
        if not any(c.kind == kind for c in request.causes) or request.state == "waiting":
            continue
        if request.id in moved:
            break
        fruitless += 1
    return fruitless


def _failed_request(scene: Scene) -> Note | None:
    request = scene.flow.open_request()
    if request is None:
        return None
    _, _, over = attempt(scene, "train", request.id)
    return Note(scene.pipeline, e.RetrainFailed(request.id, over.what, over.remedy)) if over else None


def _held(scene: Scene) -> Wait | None:
    """The first thing that holds the open causes back."""
    flow, rules, now = scene.flow, scene.config.retraining, scene.now
    request = flow.open_request()
    if request:
        return Wait(f"request {request.id} is under way", "site")
    if scene.paused:
        pause = scene.state.pause
        assert pause
        return Wait(f"paused by {pause.by}{quoted(pause.reason)}", "people", pause.until)
    behind = companions(scene)
    if behind or any(c.now for c in flow.causes):
        return behind
    only_schedules = all(c.cause.kind == "schedule" for c in flow.causes)  # all else was declined, or a person's wish goes on
    if only_schedules and (same := _as_last_time(scene)):
        return Wait(f"a schedule waits for new data: nothing changed since request {same.id}", "people")
    quiet_ends = min(c.since for c in flow.causes) + rules.quiet.delta
    if not scene.in_step and quiet_ends > now.machine:
        return Wait(f"quiet period of {rules.quiet}, so that causes that come together are one request", "machine",
                    quiet_ends)  # fmt: skip
    return _rationed(scene)


def _rationed(scene: Scene) -> Wait | None:
    flow, rules, now = scene.flow, scene.config.retraining, scene.now
    held = None if _waits(scene, "operator") else _cooling(scene)
    if held:
        return held
    zone = scene.settings.site.zone
    today = now.site.astimezone(zone).date()
    spent = sum(r.at_site.astimezone(zone).date() == today and r.state != "impossible" for r in flow.requests.values())
    if spent >= rules.budget:
        midnight = dt.datetime.combine(today + dt.timedelta(days=1), dt.time(), zone).astimezone(dt.UTC)
        return Wait(f"{spent} trainings today, the budget is {rules.budget}", "site", midnight)
    return None


def _cooling(scene: Scene) -> Wait | None:
    """The shortest distance between two trainings; a day after one that failed."""
    flow, rules, now = scene.flow, scene.config.retraining, scene.now
    cooldown, vain = rules.cooldown, 0
    if all(c.cause.kind == "first" for c in flow.causes):  # nobody is served well by waiting for a first champion
        vain = _fruitless(scene, "first")
        cooldown = Span(_FIRST_AGAIN.seconds * 2 ** min(max(vain - 1, 0), 2))
    # what ended days from now ended by another clock: the site's was switched, or one that was ahead was mended
    ended = [r for r in flow.requests.values() if r.ended_site and r.ended_site <= now.site + _A_DAY]
    failed = max((r.ended_site for r in ended if r.state == "failed" and r.ended_site), default=None)
    rest = min(cooldown, _AFTER_A_FAILURE)
    if failed and failed + rest.delta > now.site:
        return Wait(f"cool-down of {rest} after the last training", "site", failed + rest.delta)
    finished = [r for r in ended if r.state == "finished"]
    if not finished:
        return None
    reason = f"cool-down of {cooldown} after the last training"
    if vain:
        reason = f"tried in vain {'once' if vain == 1 else f'{vain} times'}, again {cooldown} after the last training"
    return _resting(scene, cooldown, max(finished, key=lambda r: r.ended_seq), reason)


def _resting(scene: Scene, cooldown: Span, last: Request, reason: str) -> Wait | None:
    """Days are counted in the data: a training on those that the last one had, an hour before the next drop, is no use.

    So it does not matter at what hour drops come, how long a training takes, or by which clock a site runs.
    """
    newest, zone = newest_complete(scene), scene.settings.site.zone
    assert newest
    if cooldown.seconds % _A_DAY.total_seconds():
        assert last.ended_site
        over = last.ended_site + cooldown.delta
        return Wait(reason, "site", over) if over > scene.now.site else None
    first = last.data_end + cooldown.delta
    if newest >= first:
        return None
    over = dt.datetime.combine(first + _A_DAY, dt.time(), zone).astimezone(dt.UTC)
    return Wait(f"{reason}, for data of {first}", "site", over if over > scene.now.site else None)


def _request(scene: Scene) -> e.RetrainRequested:
    flow = scene.flow
    last = newest_complete(scene)
    assert last
    every = tuple(scene.config.contract.targets)
    named = [c.targets for c in flow.causes]
    targets = every if any(not t for t in named) else tuple(t for t in every if any(t in n for n in named))
    return e.RetrainRequested(
        # counted over all pipelines: the name is that of its result on the disk and of its runs in MLflow
        request=f"{scene.state.site_id}-{sum(len(f.requests) for f in scene.state.flows.values()) + 1}",
        causes=tuple(c.cause for c in flow.causes),
        targets=targets,
        store=tuple(f.sha256 for f in flow.store),
        data_end=last,
        fingerprint=fingerprint(scene),
        kind=_kind(scene),
    )


def _kind(scene: Scene) -> e.TrainingKind:
    """A target without a champion is searched for in either kind: it must not make the others be searched for."""
    of_champions = [_asks(scene, c) for c in scene.flow.causes if c.cause.kind != "first"]
    return "search" if not of_champions or "search" in of_champions else "refresh"


def _asks(scene: Scene, open_: OpenCause) -> str:
    """What a cause wants, by the settings."""
    rules = scene.config.retraining
    match open_.cause.kind:
        case "first":
            return "search"
        case "operator":
            return "search" if open_.search else "refresh"
        case "drift":
            return rules.drift
        case "accuracy":
            return rules.accuracy.asks
        case "schedule":
            schedule = rules.schedules.get(open_.cause.key.split(":")[1])
            return schedule.asks if schedule else "refresh"
        case "age":
            return "refresh"


def train(scene: Scene) -> tuple[PlannedJob | None, Wait | None]:
    """The open request's training, on exactly the files it names."""
    request = scene.flow.open_request()
    if request is None:
        return None, None
    if scene.paused:
        return None, Wait("training is paused", "people", scene.state.pause.until if scene.state.pause else None)
    moving = next((m for m in scene.flow.models.values() if m.intention), None)
    if moving:  # its candidates must stand beside the champion that will be there when they are judged
        return None, Wait(f"{moving.name} is being promoted, the training comes after it", "site")
    if is_due(scene):  # who is champion is only known when the newest figures have been judged
        return None, Wait("the newest forecasts are scored first", "site")
    number, wait, _ = attempt(scene, "train", request.id)
    if wait:
        return None, wait
    wanted = set(scene.flow.store_of(request))
    targets = tuple(t for t in request.targets if t in scene.config.contract.targets)  # one may have left the settings
    step = Train(
        request.id,
        targets,
        tuple(f for f in scene.flow.store if f.sha256 in wanted),
        request.data_end,
        {t: c for t in targets if (c := _champion(scene, t))},
        tuple(c.words for c in request.causes),
        request.kind,
        excluded(scene),
    )
    return PlannedJob(scene.pipeline, "train", request.id, step, number), None


def _champion(scene: Scene, target: str) -> Champion | None:
    model = scene.model_of(target)
    version = model.serving if model else None
    return Champion(version.version, version.candidate.recipe, version.data_end) if version else None
