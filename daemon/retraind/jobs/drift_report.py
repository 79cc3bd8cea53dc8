"""A window's drift as one HTML page that stands alone: no script, no address, pictures inside.

First the verdict in words, then the distributions of what changed laid over one another, then every feature over time, then
what it means for the models, whose weights come from the report of the last training. Kept as STATE/reports/drift-DATE.html;
a training that drift asked for has it among its files in MLflow.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from retraind.core.events import DriftFeature, DriftMeasured
from retraind.drift.reference import CategoryReference, Reference, prepare_categories
from retraind.drift.statistics import Floats
from retraind.jobs.child import JobContext
from retraind.jobs.data.drift_features import Categories
from retraind.jobs.training.drawing import BLUE, GREY, Panel, Scale, clipped, svg
from retraind.whole_file import whole

__all__ = ["kept", "page"]

Sides = Mapping[str, tuple[Reference, Floats | Categories]]
_DRAWN, _WINDOWS, _BINS = 6, 52, 24
_LEGEND = (
    "Distance over what nine of ten windows stay below: the darker, the more unusual for that feature; the right-hand column "
    "is this window."
)
_CSS = """
:root{color:#24292f;background:#fff;font:15px/1.5 system-ui,'Segoe UI','Noto Sans','Noto Sans CJK SC','Microsoft YaHei',sans-serif}
body{max-width:60rem;margin:2rem auto;padding:0 1.2rem}h1{font-size:1.6rem;margin:0 0 .2rem}
h2{font-size:1.25rem;margin:2.2rem 0 .6rem;border-bottom:1px solid #d5d9de}.quiet{color:#666c74}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.88rem;width:100%}
th,td{padding:.22rem .55rem;text-align:right;border-bottom:1px solid #e6e8eb}th:first-child,td:first-child{text-align:left}
tr.changed td{background:#fdf7e9}figure{margin:.8rem 0}figure svg{max-width:100%;height:auto}
"""


def kept(
    told: DriftMeasured, job: JobContext, sides: Sides, names: Sequence[str], over_time: Mapping[int, Floats]
) -> DriftMeasured:
    """Write the page of a window and name it in the event. over_time: distances by the last day of past windows, the newest
    first, in the order of `names`. A disk that does not take the page costs the page."""
    name = f"drift-{told.last_date}.html"
    text = page(told, sides, names, over_time, _weights(job.state, told))
    try:
        with whole(job.state / "reports" / name) as file:
            file.write(text.encode())
    except OSError:
        return told
    return replace(told, report=f"reports/{name}")


def page(
    told: DriftMeasured, sides: Sides, names: Sequence[str], over_time: Mapping[int, Floats], weights: Mapping[str, float]
) -> str:
    """The page. weights: by raw column, the rise of a champion's WAPE in percent when what it makes is shuffled."""
    title = f"Drift, {told.first_date} to {told.last_date}"
    verdict = "drifting" if told.drifting else "quiet"
    rank = f", rank {told.rank} of {told.past} past windows" if told.rank else ""
    finds = f" So many rows find a change of D {told.finds:.2f} nine times of ten." if told.finds else ""
    parts = [f"<h1>{escape(title)}</h1>", f"<p><b>{verdict}</b>{rank}: {escape(told.why)}.</p>",
             f'<p class="quiet">{told.rows:,} rows, drop {escape(told.drop)}.{finds}</p>']  # fmt: skip
    if told.forecasts:
        parts.append(f"<p><b>{escape(told.forecasts)}.</b></p>")
    changed = [f for f in told.features if f.changed and f.feature in sides][:_DRAWN]
    parts.append("<h2>What changed</h2>")
    parts += [_overlaid(f, *sides[f.feature]) for f in changed] or ["<p>No feature changed for real and by much.</p>"]
    parts += ["<h2>Every feature over time</h2>", f"<p class='quiet'>{_LEGEND}</p>", _heat(told, names, over_time)]
    parts += ["<h2>What it means for the models</h2>", _meaning(told, weights), _table(told, weights)]
    return (f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{escape(title)}</title><style>{_CSS}</style><body>"
            f"{''.join(parts)}</body></html>\n")  # fmt: skip


# ---- what changed ----


def _overlaid(feature: DriftFeature, reference: Reference, values: Floats | Categories) -> str:
    """The two distributions over one another: the windows before in grey, this one in blue."""
    d = f"D {feature.d:.2f}, " if feature.d is not None else ""
    name = f"{feature.feature}: {d}PSI {feature.psi:.2f}" if feature.psi is not None else feature.feature
    if isinstance(reference, CategoryReference):
        return f"<figure>{_categories(name, reference, prepare_categories(values))}</figure>"
    return f"<figure>{_numbers(name, reference.sample.values, np.diff(reference.sample.below), np.asarray(values, float))}</figure>"


def _numbers(title: str, values: Floats, rows: Any, now: Floats) -> str:
    now = now[np.isfinite(now)]
    finite = np.isfinite(values)
    values, rows = values[finite], rows[finite]
    if not len(now) or not len(values):
        return ""
    low, high = np.quantile(np.concatenate((np.repeat(values, np.minimum(rows, 50)), now)), [0.005, 0.995])
    edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
    before, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges, weights=rows)
    after, _ = np.histogram(np.clip(now, edges[0], edges[-1]), edges)
    shares = before / max(before.sum(), 1), after / max(after.sum(), 1)
    panel = Panel(60, 30, 620, 150, Scale.of(edges), Scale.of(*shares, zero=True))
    panel.label(title)
    for share, colour, wide in ((shares[0], GREY, 2.0), (shares[1], BLUE, 2.0)):
        panel.line(np.repeat(edges, 2)[1:-1], np.repeat(share, 2), colour, wide)
    panel.legend((("the windows before", GREY, ""), ("this window", BLUE, "")), x=430, y=24, beside=True)
    return svg(700, 210, [panel], title)


def _categories(title: str, before: CategoryReference, now: CategoryReference) -> str:
    names = sorted({*before.counts, *now.counts}, key=lambda c: -before.counts.get(c, 0) - now.counts.get(c, 0))[:12]
    totals = max(sum(before.counts.values()), 1), max(sum(now.counts.values()), 1)
    shares = [[side.counts.get(c, 0) / total for c in names] for side, total in zip((before, now), totals, strict=True)]
    places = np.arange(len(names))
    down = Scale(len(names) - 0.4, -0.6, words=tuple(names))
    panel = Panel(220, 30, 460, 22 * len(names) + 10, Scale.of(*shares, zero=True), down)
    panel.label(title)
    panel.bars(shares[0], places - 0.18, 0.34, [GREY] * len(names))
    panel.bars(shares[1], places + 0.18, 0.34, [BLUE] * len(names))
    panel.legend((("the windows before", GREY, ""), ("this window", BLUE, "")), x=430, y=24, beside=True)
    return svg(700, 22 * len(names) + 70, [panel], title)


# ---- over time ----


def _heat(told: DriftMeasured, names: Sequence[str], over_time: Mapping[int, Floats]) -> str:
    """A row a feature, a column a window."""
    rows = [f for f in told.features if f.feature in names]
    past = [over_time[last] for last in sorted(over_time)][-_WINDOWS:]
    if not past:
        return "<p>There is no past yet.</p>"
    wide, high, left = 8, 15, 230
    boxes = []
    for y, feature in enumerate(rows):
        column = [float(distances[names.index(feature.feature)]) for distances in past]
        usual = np.nanquantile(column, 0.9) if not np.isnan(column).all() else 0.0
        scaled = [*(c / usual if usual > 0 else np.nan for c in column), feature.scaled if feature.scaled is not None else np.nan]
        boxes.append(f'<text x="{left - 6}" y="{y * high + 11}" text-anchor="end">{escape(clipped(feature.feature, 36))}</text>')
        boxes += [f'<rect x="{left + x * wide}" y="{y * high}" width="{wide - 1}" height="{high - 1}" fill="{_shade(value)}"/>'
                  for x, value in enumerate(scaled)]  # fmt: skip
    size = left + (len(past) + 1) * wide + 10, len(rows) * high + 4
    return (f'<figure><svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[0]} {size[1]}" width="{size[0]}" '
            f'height="{size[1]}" font-size="11" fill="#24292f" role="img"><title>Features over time</title>{"".join(boxes)}</svg>'
            "</figure>")  # fmt: skip


def _shade(scaled: float) -> str:
    """From white at 0 over yellow at 1, the usual, to red at 2 and more; light grey where there is no figure."""
    if np.isnan(scaled):
        return "#f3f4f6"
    stops = ((0.0, (255, 255, 255)), (1.0, (250, 210, 120)), (2.0, (213, 94, 0)))
    share = min(max(scaled, 0.0), 2.0)
    (a, low), (b, high) = (stops[0], stops[1]) if share <= 1 else (stops[1], stops[2])
    red, green, blue = (round(x + (y - x) * (share - a) / (b - a)) for x, y in zip(low, high, strict=True))
    return f"#{red:02x}{green:02x}{blue:02x}"


# ---- what it means ----


def _weights(state: Path, told: DriftMeasured) -> dict[str, float]:
    """Raw column -> how much forecasts rest on it, from the newest training's report; empty where there is none."""
    reports = sorted((state / "reports").glob("*.json"), key=lambda p: p.stat().st_mtime)
    try:
        document = json.loads(reports[-1].read_bytes()) if reports else {}
    except (OSError, ValueError):
        return {}
    weights: dict[str, float] = {}
    bases = {base(f.feature) for f in told.features}
    for target in document.get("targets", []):
        for told_of in (target["candidates"][:1] and target["candidates"][0]["explained"]) or []:
            for weight in told_of["features"]:
                for column in bases:
                    if column and column in weight["feature"]:
                        weights[column] = max(weights.get(column, 0.0), float(weight["rise"]))
    return weights


def base(feature: str) -> str:
    """The raw column that a drift feature is made from; of a ratio the first."""
    return feature.removesuffix(".change").removesuffix(".since_window").split("/")[0]


def _meaning(told: DriftMeasured, weights: Mapping[str, float]) -> str:
    changed = [f for f in told.features if f.changed]
    if not weights:
        return "<p>No training has said yet what its forecasts rest on.</p>"
    resting = sorted({base(f.feature) for f in changed if weights.get(base(f.feature), 0) > 1}, key=lambda b: -weights[b])
    if resting:
        told_of = ", ".join(f"{escape(b)} (WAPE rises by {weights[b]:.0f} % when it is shuffled)" for b in resting)
        return f"<p>Forecasts rest on what changed: {told_of}.</p>"
    return "<p>Forecasts rest on nothing that changed.</p>" if changed else "<p>Nothing that they read changed.</p>"


def _table(told: DriftMeasured, weights: Mapping[str, float]) -> str:
    heads = ("Feature", "Role", "PSI", "D", "p", "changed", "times usual", "needed", "since training", "WAPE rise %")
    rows = []
    for f in told.features:
        figures = (f.psi, f.d, f.p, f.scaled, f.needed, f.since_training, weights.get(base(f.feature)))
        psi, d, p, scaled, needed, since, weight = map(_figure, figures)
        cells = (f.feature, f.role, psi, d, p, "yes" if f.changed else "no", scaled, needed, since, weight)
        rows.append(f"<tr{' class=changed' if f.changed else ''}>" + "".join(f"<td>{escape(c)}</td>" for c in cells) + "</tr>")
    return f"<table><tr>{''.join(f'<th>{h}</th>' for h in heads)}</tr>{''.join(rows)}</table>"


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2g}" if 0 < abs(value) < 0.01 else f"{value:.2f}"
