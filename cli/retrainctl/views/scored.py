"""What versions scored on days that came after they were trained, for the screens: the journal's sums as WAPE.

`core.live` pools them; here stands who is shown beside whom. Light enough for `status`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from retrainctl.text import Cell, Line, Screen, table
from retraind.core import live
from retraind.core.figures import BASELINES, horizon_key
from retraind.core.state import Flow, Model, Version

__all__ = ["RECENT_DAYS", "beside_live", "drawn_live", "recent", "soaked"]

RECENT_DAYS = 7
"""Scored days of the champion behind the figure of `status`."""


def recent(flow: Flow, model: Model, horizon: int) -> dict[str, Any] | None:
    """The champion's WAPE over its newest scored days beside that of the naive forecast that lost least on them.

    None before a day of the champion was scored.
    """
    key, known = horizon_key(horizon), flow.live.get(model.target)
    mine = live.days(known, str(model.champion), key)
    newest = sorted(mine)[-RECENT_DAYS:]
    if not newest:
        return None
    naive = [value for name in BASELINES if (value := _wape(live.days(known, name, key), newest, key)) is not None]
    return {"horizon": key, "days": len(newest), "from": newest[0], "to": newest[-1], "wape": _wape(mine, newest, key),
            "naive": min(naive, default=None)}  # fmt: skip


def _wape(by_day: Mapping[str, Any], days: list[str], horizon: str) -> float | None:
    """Over exactly these days; None when one of them is missing."""
    if not by_day.keys() >= set(days):
        return None
    return live.scores({horizon: [by_day[day] for day in days]}).values["wape"].get(horizon)


def soaked(flow: Flow, version: Version) -> int:
    """Scored drops since a version is in Staging."""
    return len(live.scored_drops(flow.live.get(version.target), version.staged_seq))


def beside_live(flow: Flow, model: Model, version: Version) -> dict[str, Any]:
    """WAPE by horizon of a version, of the champion or the champion before, and of the naive forecasts, on the days that
    they share; `dates` says how many those are. Empty before a day was scored."""
    previous = model.tenures[-2].version if version.version == model.champion and len(model.tenures) > 1 else None
    found = live.comparison(flow.live.get(model.target), str(version.version), _text(model.champion), _text(previous))
    if found.own is None or not found.own.rows:
        return {"dates": {}, "wape": {}}
    rivals = {} if version.version == model.champion else {f"v{model.champion}": found.champion}
    rows = {f"v{version.version}": found.own, **rivals, f"v{previous}": found.previous, **found.baselines}
    return {
        "dates": {h: r.dates for h, r in found.own.rows.items()},
        "wape": {who: dict(scores.values["wape"]) for who, scores in rows.items() if scores and scores.rows},
    }


def _text(number: int | None) -> str | None:
    return None if number is None else str(number)


def drawn_live(data: Mapping[str, Any], on: Screen) -> list[Line]:
    """A row a forecaster, like the test figures, and under them how many days each column stands on."""
    columns = sorted(data["dates"], key=lambda h: int(h[1:]))
    rows: list[list[Cell]] = [
        [who.replace("_", " "), *("-" if wape.get(h) is None else f"{wape[h]:.2f}" for h in columns), ""]
        for who, wape in data["wape"].items()
    ]
    days: list[Cell] = [("days", "dim"), *((str(data["dates"][h]), "dim") for h in columns), ""]
    return table(("WAPE, live", *columns, ""), [*rows, days], on) if rows else []

