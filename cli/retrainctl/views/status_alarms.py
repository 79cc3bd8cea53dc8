"""What `status` shows in red: what people overrode, and what a person has to mend."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

from retrainctl.text import Line, Screen, labelled
from retrainctl.views import serving
from retrainctl.views.drops import problem_words
from retrainctl.views.times import count, day, moment, parsed
from retraind.core.people import FOREIGN, quoted
from retraind.errors import told

__all__ = ["alarms", "override_words"]

_PASSED_OVER = 3
_SHOWN_IN_QUARANTINE = 2
_SHOWN_DAYS = 2


def alarms(data: dict[str, Any], zone: ZoneInfo, now: dt.datetime, on: Screen) -> Iterator[Line]:
    """Overrides first, then what a person has to mend."""
    if data["mode"] == "observe":
        words = "the site only OBSERVES: it trains, scores and decides, and moves nothing (config.yaml: site.mode)"
        yield from labelled("!", words, on, style="yellow", mark="yellow", indent=4)
    yield from _by_people(data, zone, now, on)
    if silent := data["daemon"]["silent"]:
        yield from _alarm(f"the daemon is there and does not answer: {silent}", on)
    yield from _broken_config(data["config"], on)
    for file, policy in data["policy"].items():
        if policy["refused"]:
            yield from _refused(file, policy, moment(parsed(policy["refused"]["at"]), zone, now), on)
    for name, target in data["targets"].items():
        if target["without_policy"]:
            yield from _alarm(f"no POLICY speaks for {target['model']}: nothing is promoted or rolled back by itself. "
                              "Put a file for it into policies/; see: retrainctl policy list", on)  # fmt: skip
        yield from _stuck(name, target, on)
        for words, style in serving.alarms(target, paused=bool(data["paused"])):
            yield from labelled("!", words, on, style=style, mark=style, indent=4)
    yield from _drops_folder(data, on)
    for failure in data["failures"]:
        yield from _alarm(_failure_words(failure), on)
    yield from _days(data, zone, now, on)
    for one in data["undelivered"]:
        yield from _alarm(f"{count(one['alerts'], 'ALERT')} not taken by {one['channel']}: {one['what']}. "
                          "See: retrainctl alerts list", on)  # fmt: skip
    yield from _quarantine(data, on)


def override_words(override: dict[str, Any], zone: ZoneInfo, now: dt.datetime) -> str:
    """`price is PINNED to v9 by ops-a until Fri 4 Dec 18:00: "supplier dispute"`, and how to lift it."""
    until = f" until {moment(parsed(override['until']), zone, now)}" if override["until"] else ""
    who, model = f"by {override['by']}{until}{quoted(override['reason'])}.", override["model"]
    match override["kind"]:
        case "pause":
            return f"PAUSED {who} No training, no promotion. To go on: retrainctl resume"
        case "pin":
            return f"{model} is PINNED to v{override['champion']} {who} To lift: retrainctl unpin {model}"
        case _:
            return (f"{f'{model} is' if model else 'every model is'} FROZEN {who} Nothing goes to Production by policy. "
                    f"To lift: retrainctl unfreeze {model or '--all'}")  # fmt: skip


def _by_people(data: dict[str, Any], zone: ZoneInfo, now: dt.datetime, on: Screen) -> Iterator[Line]:
    for override in data["overrides"]:
        yield from _alarm(override_words(override, zone, now), on)
    for target in data["targets"].values():
        for version in (target["champion"], target["challenger"]):
            if version and version["forced"]:
                yield from _alarm(_forced_words(target["model"], version), on)


def _forced_words(model: str, version: dict[str, Any]) -> str:
    """`price v11 is in Production BY FORCE by ops-a: "the old one is useless"`."""
    return (f"{model} v{version['version']} is in {version['stage']} BY FORCE, {version['forced']}; "
            "its policy had not let it through")  # fmt: skip


def _broken_config(config: dict[str, Any], on: Screen) -> Iterator[Line]:
    if config["mistakes"]:
        yield from _alarm(
            f"{config['file']} CANNOT BE TAKEN; until it can, the settings that were loaded last hold", on
        )
    for mistake in config["mistakes"][:3]:
        line = f"line {mistake['where']['line']}, column {mistake['where']['column']}: " if mistake["where"] else ""
        yield from labelled("", f"{line}{told(mistake['what'], mistake['remedy'])}", on, indent=4)


def _refused(file: str, policy: dict[str, Any], when: str, on: Screen) -> Iterator[Line]:
    kept = f"version {policy['sha256'][:8]} goes on" if policy["sha256"] else "its models hold"
    yield from _alarm(f"policy file {file} was REFUSED {when}, {kept}", on)
    for mistake in policy["refused"]["mistakes"][:3]:
        yield from labelled("", mistake, on, indent=4)


def _stuck(name: str, target: dict[str, Any], on: Screen) -> Iterator[Line]:
    if target["diverged"]:
        yield from _alarm(f"{name} HOLDS, somebody else moved the registry: {target['diverged']}. {target['settle']}", on)
    if target["champion"] and (why := target["champion"]["adopted"]).startswith(f"by {FOREIGN}"):
        number = target["champion"]["version"]
        yield from _alarm(f"{name} v{number} is champion because {FOREIGN} moved the alias to it. "
                          f"Say why: retrainctl adopt {name} {number} --reason WHY", on)  # fmt: skip
    if target["champion"] and (why := target["champion"]["tainted"]):
        yield from _alarm(f"{name}'s champion v{target['champion']['version']} is TAINTED: {why}", on)
    if target["decision"] and (why := target["decision"]["aborted"]):
        yield from _alarm(f"{name} v{target['decision']['version']} was NOT PROMOTED: {why}", on)


_ASKED = "it is asked again from time to time"
_AT_THE_END = {"prepare": _ASKED, "promote": _ASKED, "forecast": "it is tried again with the next drop"}
"""What becomes of a step whose retries are used up, where that is not the end of it."""


def _failure_words(failure: dict[str, Any]) -> str:
    times = "once" if failure["count"] == 1 else f"{failure['count']} times"
    over = not failure["retryable"] or failure["count"] > failure["retries"]
    again = _AT_THE_END.get(failure["step"], "it is not tried again") if over else "it is tried again"
    why = told(failure["what"], failure["remedy"])
    return f"{failure['step']} {failure['subject']} FAILED {times}, {again}: {why}"


def _days(data: dict[str, Any], zone: ZoneInfo, now: dt.datetime, on: Screen) -> Iterator[Line]:
    """Drops that are held back, days that do not count, the newest first, and drops that do not come."""
    today = now.astimezone(zone).date()
    for one in data["damaged"][: -_SHOWN_DAYS - 1 : -1]:
        yield from _alarm(
            f"drop {one['drop']} ({one['name']}) looks DAMAGED and is held back: {one['why']}. If it is real: retrainctl drops "
            f"accept {one['drop']} --reason WHY; if not: retrainctl drops withdraw {one['drop']}",
            on,
        )
    for one in data["incomplete"][: -_SHOWN_DAYS - 1 : -1]:
        yield from _alarm(
            f"{day(dt.date.fromisoformat(one['date']), today)} is INCOMPLETE and does not count: {one['why']}. Bring the rest, "
            f"or say that it is real: retrainctl drops accept {one['drop'] or 'DROP'}",
            on,
        )
    if (more := len(data["incomplete"]) - _SHOWN_DAYS) > 0:
        yield from _alarm(f"{count(more, 'older day')} incomplete, too: retrainctl status --json names them", on)
    if data["overdue"]:
        yield from _alarm(f"NO DROP since {moment(parsed(data['overdue']), zone, now)}: forecasts are made of old data", on)


def _quarantine(data: dict[str, Any], on: Screen) -> Iterator[Line]:
    for drop in data["quarantine"][:_SHOWN_IN_QUARANTINE]:
        more = f" (and {drop['problem_count'] - 1} more)" if drop["problem_count"] > 1 else ""
        what = problem_words(drop["first"]) if drop["first"] else "no reason was given"
        yield from _alarm(
            f"drop {drop['drop']} in QUARANTINE: {drop['path']}, {what}{more}. "
            f"Mend it and run: retrainctl drops retry {drop['drop']}",
            on,
        )
    rest = data["drops"]["quarantined"] - min(len(data["quarantine"]), _SHOWN_IN_QUARANTINE)
    if rest > 0:
        yield from _alarm(f"{count(rest, 'more drop')} in quarantine: retrainctl drops list --state quarantined", on)


def _drops_folder(data: dict[str, Any], on: Screen) -> Iterator[Line]:
    if data["folder_trouble"]:
        yield from _alarm(f"the drops folder cannot be read: {data['folder_trouble']}", on)
    passed_over = list(data["passed_over"].items())
    for name, why in passed_over[:_PASSED_OVER]:
        yield from _alarm(f"passed over in the drops folder: {name} {why}", on)
    if more := len(passed_over[_PASSED_OVER:]):
        yield from _alarm(f"and {more} more passed over there", on)


def _alarm(text: str, on: Screen) -> list[Line]:
    return labelled("!", text, on, style="red", mark="red", indent=4)
