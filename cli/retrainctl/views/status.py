"""What runs, what waits, what is wrong: the document of `status_data` as a screen."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

from retrainctl.site import Site
from retrainctl.text import Cell, Line, Screen, Style, clipped, emit, labelled, print_json, screen, table
from retrainctl.views import serving
from retrainctl.views.scored import RECENT_DAYS
from retrainctl.views.status_alarms import alarms
from retrainctl.views.status_data import document
from retrainctl.views.times import count, day, duration, moment, parsed

__all__ = ["drawn", "drawn_above", "drawn_below", "job_words", "show", "time_left"]



def show(site: Site, *, as_json: bool) -> None:
    """Print it."""
    data = document(site)
    if as_json:
        print_json(data)
        return
    on = screen()
    emit(drawn(data, on), on)


def drawn(data: dict[str, Any], on: Screen) -> list[Line]:
    """The screen."""
    gone = "" if data["daemon"]["running"] else " · was at work when the daemon ended"
    jobs = [line for job in data["jobs"] for line in labelled("JOB", job_words(job) + gone, on)]
    return [*drawn_above(data, on), *jobs, *drawn_below(data, on)]


def drawn_above(data: dict[str, Any], on: Screen) -> list[Line]:
    """What stands above the jobs: the daemon, what needs a person, the models."""
    zone, now = _zone_and_now(data)
    lines = _head(data, zone, now, on)
    wrong = list(alarms(data, zone, now, on))
    lines += [[], *wrong] if wrong else []
    return [*lines, [], *_models(data, zone, now, on)]


def drawn_below(data: dict[str, Any], on: Screen) -> list[Line]:
    """What stands below the jobs: drops, drift, what is asked for, what happened last."""
    zone, now = _zone_and_now(data)
    lines = []
    for label, text, style in _rest(data, zone, now):
        lines += labelled(label, text, on, style=style)
    for i, words in enumerate(_last(data, zone, now)):
        lines += labelled("" if i else "LAST", clipped(words, on.width - 10), on, style="dim")
    return lines


def _zone_and_now(data: dict[str, Any]) -> tuple[ZoneInfo, dt.datetime]:
    now = parsed(data["now"])
    assert now
    return ZoneInfo(data["site"]["timezone"]), now


def _head(data: dict[str, Any], zone: ZoneInfo, now: dt.datetime, on: Screen) -> list[Line]:
    daemon, events_ = data["daemon"], data["journal"]["events"]
    local = now.astimezone(zone)
    stamp = f"{local:%a} {local.day} {local:%b %H:%M %Z}"
    if data["clock"]["kind"] == "data":
        site_now = parsed(data["clock"]["now"])
        newest = site_now.astimezone(zone) - dt.timedelta(seconds=1) if site_now and data["data_until"] else None
        stamp += f" · data's clock: end of {day(newest.date(), local.date())}" if newest else " · data's clock"
    if daemon["running"]:
        up = duration((now - since).total_seconds()) if (since := parsed(daemon["since"])) else "an unknown time"
        jobs = count(len(data["jobs"]), "job") + " running" if data["jobs"] else "idle"
        return _wrapped_head(f"retraind up {up} · {stamp} · {jobs} · journal {events_:,} events", on, "bold")
    if not events_:
        return _wrapped_head("the daemon is not running and has never run here. "
                             f"Start it: retraind --config {data['site']['config']}", on, "yellow")  # fmt: skip
    last = moment(parsed(daemon["last_event"]), zone, now)
    how = "" if daemon["ended"] == "stopped" else " It ended without a word (killed, crashed or a power cut)."
    return [
        *_wrapped_head("the daemon is not running; this is the journal's word of "
                       f"{last if ' ' in last else 'today ' + last}.{how}", on, "yellow"),
        *_wrapped_head(f"{stamp} · journal {events_:,} events · start it: retraind --config {data['site']['config']}", on, ""),
    ]  # fmt: skip


def _wrapped_head(text: str, on: Screen, style: Style) -> list[Line]:
    return labelled("", text, on, style=style, indent=1)


def _models(data: dict[str, Any], zone: ZoneInfo, now: dt.datetime, on: Screen) -> list[Line]:
    rows: list[list[Cell]] = []
    today = now.astimezone(zone).date()
    for target in data["targets"].values():
        champion = target["champion"]
        since = parsed(target["since"])
        who: Cell = ("none yet", "yellow")
        if champion:
            # on the data's clock a promotion happens at the midnight that ends its newest date
            when = day((since.astimezone(zone) - dt.timedelta(seconds=1)).date(), today) if since else ""
            who = (f"v{champion['version']} {champion['algorithm']}" + (f" since {when}" if when else ""), "green")
        rows.append([target["model"], who, _wape(target), _next_words(target)])
    nearest = next((t["live"]["horizon"] for t in data["targets"].values() if t["live"]), None)
    header = f"LIVE WAPE {nearest}, {RECENT_DAYS} d" if nearest else "TEST WAPE h1"
    return table(("MODEL", "CHAMPION", header, "NEXT"), rows, on)


def _wape(target: dict[str, Any]) -> str:
    """`33.0 (naive 37.9)` of the newest scored days; before there are any, of the test days, and says so."""
    if live := target["live"]:
        few = f", {live['days']} d" if live["days"] < RECENT_DAYS else ""
        return _beside_naive(live["wape"], live["naive"]) + few
    value = (target["champion"] or {"metrics": {}})["metrics"].get("wape", {}).get("h1")
    return f"test {_beside_naive(value, target['naive'].get('h1'))}" if value is not None else "-"


def _beside_naive(value: float | None, naive: float | None) -> str:
    return ("-" if value is None else f"{value:.1f}") + (f" (naive {naive:.1f})" if naive is not None else "")


def _next_words(target: dict[str, Any]) -> str:
    decision = target["decision"]
    if moving := target["moving"]:
        if moving["to"] == "rollback":
            return f"is being rolled back to v{moving['version']}"
        return f"v{moving['version']} is on its way to {moving['to'].capitalize()}"
    if decision is None:
        return "no candidate" if target["champion"] else "the first training will bring candidates"
    stage = "" if decision["stage"] == "None" else f" in {decision['stage']}"
    words = decision["words"] or "not judged yet"
    soak = f", soak {soaked['drops']}/{soaked['of']}" if (soaked := decision["soak"]) else ""
    return f"v{decision['version']}{stage}{soak}, {'would ' if decision['would'] else ''}{words}"


def job_words(job: dict[str, Any]) -> str:
    """A job with how far it is."""
    progress = job["progress"]
    parts = [f"{job['step']} {job['subject']}"]
    if job["attempt"] and job["attempt"] > 1:
        parts.append(f"attempt {job['attempt']}")
    if progress:
        parts.append(f"{progress['done']} of {progress['of']}, {progress['stage']}")
    if job["seconds"] is not None:
        parts.append(duration(job["seconds"]))
    if left := time_left(job):
        parts.append(left)
    return " · ".join(parts)


def time_left(job: dict[str, Any]) -> str:
    """By how long it took so far, in words; empty as long as that says nothing."""
    progress, seconds = job["progress"], job["seconds"]
    if not progress or not seconds or not 0.02 * progress["of"] < progress["done"] < progress["of"]:
        return ""
    left = seconds * (progress["of"] / progress["done"] - 1)
    return f"about {duration(left if left < 90 else round(left / 60) * 60)} left"


def _rest(data: dict[str, Any], zone: ZoneInfo, now: dt.datetime) -> Iterator[tuple[str, str, Style]]:
    today = now.astimezone(zone).date()
    yield "DROPS", _drops_words(data, today), "yellow" if data["behind"] else ""
    yield "DRIFT", _drift_words(data, today), ""
    if words := _orders_words(data, zone, now):
        yield "ORDERS", words, "yellow" if data["orders"]["stale"] else ""
    yield from _pending_words(data, zone, now)
    if schedule := data["next_schedule"]:
        at = parsed(schedule["at"])
        when = f"next {moment(at, zone, now)}" if at else "not counted yet"
        yield "SCHEDULE", f"{schedule['name']} ({schedule['spec']}), {when}", ""
    if not data["policy"]:
        yield "POLICY", "none is in force, so nothing is promoted: put one into the policies folder", "yellow"


def _last(data: dict[str, Any], zone: ZoneInfo, now: dt.datetime) -> list[str]:
    return [f"{moment(parsed(r['at']), zone, now)} {r['words']}" for r in reversed(data["journal"]["last"])]


def _drops_words(data: dict[str, Any], today: dt.date) -> str:
    shown = [f"{n:,} {state}" for state, n in data["drops"].items() if n]
    if not shown:
        return "no drops yet: rename a file into drops/"
    until = dt.date.fromisoformat(data["data_until"]) if data["data_until"] else None
    behind = (
        f" · {table} only until {day(dt.date.fromisoformat(end), today)}" if end else f" · no {table} yet"
        for table, end in data["behind"].items()
    )
    return " · ".join(shown) + (f" · data until {day(until, today)}" if until else "") + "".join(behind)


def _drift_words(data: dict[str, Any], today: dt.date) -> str:
    drift = data["drift"]
    last = drift["last"]
    if not last:
        return "no window measured yet: the first comes after the first training"
    strip = "".join("▲" if w["drifting"] else "·" for w in drift["windows"])
    verdict = "drifting" if last["drifting"] else "quiet"
    until = day(dt.date.fromisoformat(last["last_date"]), today)
    return f"{strip}  {verdict}, days to {until}: {last['why']}"


def _orders_words(data: dict[str, Any], zone: ZoneInfo, now: dt.datetime) -> str:
    """`made 09:54 from data to 12 Dec: price by champion v1, demand by champion v5`."""
    orders = data["orders"]
    if not orders["made"]:
        return ""
    origin = day(dt.date.fromisoformat(orders["origin"]), now.astimezone(zone).date())
    by = ", ".join(f"{name} by {serving.source_words(t['orders'])}" for name, t in data["targets"].items() if t["orders"])
    return f"made {moment(parsed(orders['made']), zone, now)} from data to {origin}{', STALE' if orders['stale'] else ''}: {by}"


def _pending_words(data: dict[str, Any], zone: ZoneInfo, now: dt.datetime) -> Iterator[tuple[str, str, Style]]:
    pending = data["pending"]
    if request := pending["request"]:
        yield (
            "PENDING",
            f"request {request['id']} for {' and '.join(request['targets'])}: "
            + "; ".join(c["words"] for c in request["causes"]),
            "",
        )
    if pending["causes"]:
        words = "; ".join(c["words"] for c in pending["causes"])
        held = pending["held"]
        if held:
            until = f" until {moment(parsed(held['until']), zone, now)}" if held["until"] else ""
            words += f" (held: {held['reason']}{until})"
        yield "PENDING", words, ""
    elif vain := pending["waits_for_data"]:
        yield "PENDING", f"request {vain['request']} waits for data: {vain['why']}", "yellow"
    elif not request:
        yield "PENDING", "nothing asks for a retraining", ""
