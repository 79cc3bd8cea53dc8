"""The plots of a training, each as one SVG: for the run in MLflow and for the report.

Nothing is measured here: what is drawn was made by `evaluate`, `explanations` and the search. `drawing` knows pixels, this
knows what a forecaster wants to see.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retraind.core.figures import Scores
from retraind.jobs.training.drawing import BLUE, GREEN, GREY, INK, MODELS, RED, Panel, Scale, clipped, svg
from retraind.jobs.training.explanations import Explanation
from retraind.jobs.training.search import Trial

__all__ = ["by_category", "by_horizon", "forecast_and_actual", "importance", "residuals", "trials"]

_DASHES = {"persistence": "", "seasonal_naive": "6 3", "moving_average": "2 3"}
_POINTS = 400
"""Dots of a cloud; more hide one another and make the file large."""

Values = NDArray[np.float64]
Days = NDArray[np.datetime64]


def forecast_and_actual(
    days: Days, actual: Values, forecast: Values, naive: Values, *, title: str, unit: str, adds_up: bool
) -> str:
    """What was forecast beside what came: by day, and row by row.

    days: of the targets, shape (rows,); forecasts and actuals in `unit`. adds_up: a day's rows are summed (an amount), else
    averaged (a price).
    """
    shown = [("persistence", GREY, naive), ("actual", INK, actual), ("forecast", BLUE, forecast)]
    there, lines = _by_day(days, [values for _, _, values in shown], adds_up)
    over_time = Panel(64, 52, 500, 200, Scale.of(there, dates=True), Scale.of(*lines, zero=adds_up))
    for (_, colour, _), line in zip(shown, lines, strict=True):
        over_time.line(there, line, colour, 1.0 if colour == GREY else 1.6)
    over_time.label(f"{title}: {'sum' if adds_up else 'mean'} of each day", up=unit)
    over_time.legend([(name, colour, "") for name, colour, _ in shown], x=200, y=40, beside=True)

    some = _some(len(actual))
    a, f = np.maximum(actual[some], 1e-2), np.maximum(forecast[some], 1e-2)
    both = Scale.of(a, f, log=True)
    cloud = Panel(650, 52, 220, 200, both, both)
    cloud.line([both.low, both.high], [both.low, both.high], GREY, 1)
    cloud.dots(a, f, BLUE, opacity=0.35)
    cloud.label("row by row", f"actual, {unit}", f"forecast, {unit}")
    return svg(890, 300, [over_time, cloud], title)


def residuals(days: Days, actual: Values, forecast: Values, *, title: str) -> str:
    """How far forecasts were off: the bias of each day, and how the ratios spread. Shapes as in `forecast_and_actual`."""
    there, (error, total) = _by_day(days, [forecast - actual, np.abs(actual)], adds_up=True)
    share = 100 * np.divide(error, total, out=np.zeros_like(error), where=total > 0)
    over_time = Panel(64, 52, 500, 200, Scale.of(there, dates=True), Scale.of(share, zero=True))
    over_time.columns(there, share, 0.9, RED, below=BLUE)
    over_time.label(f"{title}: bias of each day", up="% of what came; above 0 the forecast was too high")

    known = (actual > 0) & (forecast > 0)
    ratio = np.clip(np.log2(forecast[known] / actual[known]), -2, 2) if known.any() else np.zeros(0)
    counts, edges = np.histogram(ratio, bins=40, range=(-2, 2))
    spread = Panel(650, 52, 220, 200, Scale(-2.05, 2.05), Scale.of(counts, zero=True))
    spread.columns((edges[1:] + edges[:-1]) / 2, counts, 0.09, BLUE)
    spread.label("forecast / actual, row by row", "in powers of two: 1 is double, -1 half", "rows")
    return svg(890, 300, [over_time, spread], title)


def by_horizon(metric: str, models: Mapping[str, Scores], naive: Mapping[str, Scores], *, title: str) -> str:
    """A metric in percent against the days ahead; a line a forecaster."""
    lines = [(n, c, "", _against_days(s, metric)) for c, (n, s) in zip(MODELS * 3, models.items(), strict=False)]
    lines += [(n.replace("_", " "), GREY, _DASHES.get(n, "1 4"), _against_days(s, metric)) for n, s in naive.items()]
    days = sorted({day for *_, (there, _) in lines for day in there})
    across = Scale(-0.3, len(days) - 0.7, words=tuple(f"{day}" for day in days))
    panel = Panel(64, 52, 440, 200, across, Scale.of(*(values for *_, (_, values) in lines), zero=True))
    for _, colour, dash, (there, values) in lines:
        places = [days.index(day) for day in there]
        panel.line(places, values, colour, dash=dash)
        panel.dots(places, values, colour, 2.6)
    panel.label(title, "days ahead", f"{metric.upper()}, %")
    panel.legend([(name, colour, dash) for name, colour, dash, _ in lines], x=526, y=64)
    return svg(700, 300, [panel], title)


def by_category(metric: str, figures: Mapping[str, tuple[float, float]], *, title: str) -> str:
    """figures: category -> the metric of the model and of persistence, in percent."""
    names = tuple(figures)[::-1]
    model, naive = ([figures[name][i] for name in names] for i in (0, 1))
    at = np.arange(len(names), dtype=np.float64)
    height = 34.0 * max(len(names), 1)
    panel = Panel(220, 52, 380, height, Scale.of(model, naive, zero=True), Scale(-0.5, len(names) - 0.5, words=names))
    panel.bars(model, at + 0.19, 0.34, [BLUE] * len(names))
    panel.bars(naive, at - 0.19, 0.34, [GREY] * len(names))
    panel.label(title, f"{metric.upper()}, %")
    panel.legend([("the model", BLUE, ""), ("persistence", GREY, "")], x=615, y=64)
    return svg(730, height + 100, [panel], title)


def importance(found: Explanation, *, title: str, top: int = 15) -> str:
    """The features that count most: what shuffling one costs, and beside it how far it moves forecasts where that is known."""
    first = found.features[:top][::-1]
    at = np.arange(len(first), dtype=np.float64)
    height = 21.0 * max(len(first), 1)
    names = Scale(-0.5, len(first) - 0.5, words=tuple(w.english for w in first))
    ends = [w.rise + w.spread for w in first]
    permuted = Panel(270, 40, 250, height, Scale.of([w.rise for w in first], ends, zero=True), names)
    permuted.bars([w.rise for w in first], at, 0.7, [BLUE] * len(first))
    permuted.whiskers([w.rise for w in first], list(at), [w.spread for w in first], flat=True)
    permuted.label(title, "rise of WAPE when shuffled, %")
    if all(w.shap is None for w in first):
        return svg(550, height + 90, [permuted], title)
    ways = Scale(-0.5, len(first) - 0.5, words=tuple(_way(w.direction) for w in first))
    moved = Panel(590, 40, 250, height, Scale.of([w.shap or 0.0 for w in first], zero=True), ways)
    colours = {"↑": RED, "↓": GREEN}
    moved.bars([w.shap or 0.0 for w in first], at, 0.7, [colours.get(_way(w.direction), GREY) for w in first])
    moved.label("SHAP: more of it raises ↑ or lowers ↓", "mean |SHAP|, % of the forecast")
    return svg(860, height + 90, [permuted, moved], title)


def trials(tried: Sequence[Trial], *, title: str) -> str:
    """What each trial cost against each parameter that was varied; the chosen one is marked."""
    names = [n for n in dict.fromkeys(p for t in tried for p in t.params) if len({repr(t.params.get(n)) for t in tried}) > 1]
    panels = [_against_parameter(name, tried, 64 + 250 * i) for i, name in enumerate(names)]
    if panels:
        panels[0].parts.append(f'<text x="20" y="18" font-weight="600" font-size="12">{clipped(title, 60)}</text>')
    return svg(max(64 + 250 * len(panels), 320), 290, panels, title)


# ---- small things ----


def _against_parameter(name: str, tried: Sequence[Trial], x: float) -> Panel:
    known = [t for t in tried if name in t.params]
    values = [t.params[name] for t in known]
    cost = Scale.of([t.mean + t.std for t in known], [t.mean - t.std for t in known])
    across, at = _parameter_scale(values)
    panel = Panel(x, 60, 180, 180, across, cost)
    panel.whiskers(at, [t.mean for t in known], [t.std for t in known], flat=False)
    for trial, place in zip(known, at, strict=True):
        panel.dots([place], [trial.mean], RED if trial.chosen else BLUE, 5 if trial.chosen else 3.5, 0.35 + 0.65 * trial.share)
    panel.label("", name, "cost; 1 is doing nothing")
    return panel


def _parameter_scale(values: Sequence[Any]) -> tuple[Scale, list[float]]:
    """The axis of a parameter and where its values lie: numbers as they are, words beside one another."""
    if all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        numbers = [float(v) for v in values]
        return Scale.of(numbers, log=min(numbers) > 0 and max(numbers) / min(numbers) >= 20), numbers
    words = tuple(dict.fromkeys(str(v) for v in values))
    return Scale(-0.5, len(words) - 0.5, words=words), [float(words.index(str(v))) for v in values]


def _by_day(days: Days, values: Sequence[Values], adds_up: bool) -> tuple[Values, list[Values]]:
    """Days since 1970, and each of the values summed or averaged over the rows of a day."""
    there, at = np.unique(days.astype("datetime64[D]").astype(np.int64), return_inverse=True)
    rows = np.ones(len(there)) if adds_up else np.bincount(at, minlength=len(there))
    return there.astype(np.float64), [np.bincount(at, weights=v, minlength=len(there)) / rows for v in values]


def _against_days(one: Scores, metric: str) -> tuple[list[int], list[float]]:
    points = sorted((int(h[1:]), v) for h, v in one.values.get(metric, {}).items() if v is not None)
    return [h for h, _ in points], [v for _, v in points]


def _some(rows: int) -> NDArray[np.int64]:
    """Evenly spread, so that no luck decides which dots are seen."""
    return np.unique(np.linspace(0, max(rows - 1, 0), min(rows, _POINTS)).astype(np.int64))


def _way(direction: float | None) -> str:
    return "↑" if direction and direction > 0 else "↓" if direction and direction < 0 else ""
