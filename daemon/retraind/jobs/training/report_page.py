"""A training's report as one HTML page that stands alone: no script, no address, pictures inside.

It is made from the document of `report` and from SVG pictures, and knows nothing else. First what came of it in sentences,
then the figures that a forecaster compares, then what the forecasts rest on, then what an auditor asks for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

__all__ = ["Pictures", "page"]

Pictures = Mapping[str, Mapping[str, str]]
"""Target -> name -> SVG."""
Document = Mapping[str, Any]

_COLUMNS = (("wape", "WAPE %", 2), ("mape", "MAPE %", 2), ("rmse", "RMSE", 3), ("mae", "MAE", 3), ("r2", "R²", 3),
            ("bias", "bias %", 2), ("mase", "MASE", 3), ("smape", "sMAPE %", 2))  # fmt: skip
_BEST_IS_ZERO = ("bias",)
_OF_RECIPES = "Figures are of each recipe, fitted on the days before the test days; the best of a column is bold."
_CSS = """
:root{color:#24292f;background:#fff}
:root{font:15px/1.5 system-ui,'Segoe UI','Noto Sans','Noto Sans CJK SC','Microsoft YaHei',sans-serif}
body{max-width:60rem;margin:2rem auto;padding:0 1.2rem}
h1{font-size:1.6rem;margin:0 0 .2rem}
h2{font-size:1.25rem;margin:2.4rem 0 .6rem;border-bottom:1px solid #d5d9de;padding-bottom:.2rem}
h3{font-size:1rem;margin:1.4rem 0 .4rem}p,ul{margin:.4rem 0}.quiet{color:#666c74}
table{border-collapse:collapse;margin:.5rem 0;font-variant-numeric:tabular-nums;font-size:.88rem;width:100%}
th,td{padding:.22rem .55rem;text-align:right;border-bottom:1px solid #e6e8eb;vertical-align:top}
td{white-space:nowrap}td.t{white-space:normal;overflow-wrap:anywhere}td .quiet{font-size:.78rem}
th{font-weight:600;color:#4a5058;border-bottom:1px solid #8a8f98}th.t,td.t{text-align:left}
tr.naive td{color:#666c74}tr.first td{background:#eef6fb}td b{color:#0a5d8f}
figure{margin:.8rem 0}figure svg{max-width:100%;height:auto}details{margin:.5rem 0}
summary{cursor:pointer;color:#0a5d8f}code{font-size:.85em;background:#f3f4f6;padding:.05rem .3rem;border-radius:3px}
.note{border-left:3px solid #e69f00;padding:.1rem .8rem;background:#fdf7e9}
@media print{details{display:block}body{margin:0}}
"""
_COST = (
    "WAPE, MAPE and RMSE against persistence's, weighted as training.choose says, on stretches of the validation days, and how "
    "unsteady they are; 1 is doing nothing; within 1 % of the best the order of training.models decides"
)
_WORDS = (
    ("WAPE", "sum of |forecast - actual| / sum of |actual|: the headline for amounts"),
    ("MAPE", "mean of |forecast - actual| / |actual| over rows whose actual is not 0; tiny amounts rule it"),
    ("sMAPE", "mean of 2 |forecast - actual| / (|forecast| + |actual|), 0 to 200"),
    ("RMSE, MAE", "root mean square and mean of the error, in the target's unit; few large errors rule the RMSE"),
    ("R²", "1 - squared error / squared distance from the mean of the test rows"),
    ("bias", "sum of (forecast - actual) / sum of |actual|: above 0 forecasts are too high"),
    ("MASE", "MAE / MAE of persistence one day ahead on the days before the test days"),
    ("validation cost", f"what candidates are put in order by: {_COST}"),
    ("rise when shuffled", "how much the WAPE rises when the feature's values are dealt out anew among the rows"),
    ("SHAP", "how far the feature moved forecasts from the mean forecast, on average, in percent"),
)  # fmt: skip


def page(told: Document, pictures: Pictures) -> str:
    """The page."""
    title = f"Training {told['request']}"
    parts = [
        f"<h1>{escape(title)}</h1>", _subtitle(told), "<h2>In short</h2>", *map(_in_short, told["targets"]),
        _list([f"Cause: {cause}" for cause in told["causes"]]), *_notes(told["notes"]),
        *(_target(one, told, pictures.get(one["target"], {})) for one in told["targets"]),
        "<h2>Data</h2>", _split(told["split"]), _lineage(told), "<h2>How it was made</h2>", _made(told),
        "<h2>Words</h2>", _table(("t", "t"), ("", ""), _WORDS),
    ]  # fmt: skip
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_CSS}</style></head>\n'
        f"<body>\n{chr(10).join(parts)}\n</body></html>\n"
    )


def _subtitle(told: Document) -> str:
    targets = " and ".join(one["target"] for one in told["targets"])
    words = {"search": "a search over the whole portfolio", "refresh": "a refresh of the champion's recipe"}
    return (f'<p class="quiet">{escape(targets)} · {words.get(told["kind"], told["kind"])} · data until {told["data_end"]} · '
            f"{told['seconds']:.0f} s · pipeline {escape(told['pipeline'])}</p>")  # fmt: skip


def _in_short(one: Document) -> str:
    """A sentence on each target: who is first, and what that is worth on days it never saw."""
    best, first = one["candidates"][0], _horizons(one)[0]
    text = f"<b>{escape(one['target'])}</b>: {escape(best['algorithm'])} (v{best['version']})"
    text += f" is first of {len(one['candidates'])} on the validation days" if len(one["candidates"]) > 1 else " was trained"
    wape, naive = best["test"]["wape"].get(first), one["baselines"]["persistence"]["wape"].get(first)
    if wape is not None and naive:
        gain = 100 * (1 - wape / naive)
        text += f". {_ahead(first).capitalize()} its WAPE on the untouched test days is {wape:.2f} %, {abs(gain):.1f} % "
        text += f"{'below' if gain >= 0 else 'above'} that of saying that nothing changes ({naive:.2f} %)"
    champion = one["champion"]
    theirs = champion["test"]["wape"].get(first) if champion and champion["test"] else None
    if theirs is not None and wape is not None:
        text += f"; the recipe of the champion v{champion['version']} has {theirs:.2f} %"
    return f"<p>{text}.</p>"


def _notes(notes: Sequence[str]) -> list[str]:
    return [f'<p class="note">{escape(note)}</p>' for note in notes]


# ---- a target ----


def _target(one: Document, told: Document, pictures: Mapping[str, str]) -> str:
    first, *others = _horizons(one)
    parts = [
        f"<h2>{escape(one['target'].capitalize())}</h2>",
        f'<p class="quiet">Registered as <code>{escape(one["model"])}</code>, in {escape(one["unit"])}. {_OF_RECIPES}</p>',
        _figures(one, first),
    ]
    for horizon in others:
        parts.append(f"<details><summary>{_ahead(horizon)}</summary>{_figures(one, horizon)}</details>")
    parts += [_figure(pictures.get("together")), _figure(pictures.get("forecast")), _figure(pictures.get("residuals")),
              _figure(pictures.get("error_by_category"))]  # fmt: skip
    parts += [*_slices(one), *_significance(one)]
    parts += _importance(one, told, pictures)
    parts.append(_figure(pictures.get("trials")))
    return "\n".join(part for part in parts if part)


def _figures(one: Document, horizon: str) -> str:
    """The table that a forecaster knows, at one horizon."""
    rows = one["test_rows"].get(horizon, {})
    everybody: list[tuple[str, str, str, Mapping[str, Any], Mapping[str, Any]]] = [
        ("first" if c["rank"] == 1 else "", f"v{c['version']} {c['algorithm']}",
         "" if c["choice"] is None else f"{c['choice']['cost']:.3f}", c["test"], c["intervals"])
        for c in one["candidates"]
    ]  # fmt: skip
    if one["champion"] and one["champion"]["test"]:
        everybody.append(("", f"the champion's recipe (v{one['champion']['version']})", "", one["champion"]["test"], {}))
    everybody += [("naive", name.replace("_", " "), "", values, {}) for name, values in one["baselines"].items()]
    best = {metric: _best(metric, [values for *_, values, _ in everybody], horizon) for metric, _, _ in _COLUMNS}
    lines = []
    for kind, name, worth, values, intervals in everybody:
        cells = [_figure_cell(values, intervals, metric, horizon, digits, best[metric]) for metric, _, digits in _COLUMNS]
        lines.append(f'<tr class="{kind}"><td class="t">{escape(name)}</td><td>{worth}</td>{"".join(cells)}</tr>')
    heads = "".join(f"<th>{label}</th>" for _, label, _ in _COLUMNS)
    caption = f"{_ahead(horizon)}, {rows.get('rows', 0):,} rows on {rows.get('dates', 0):,} days" if rows else _ahead(horizon)
    return (f'<table><thead><tr><th class="t">{escape(caption)}</th><th>validation cost</th>{heads}</tr></thead>'
            f"<tbody>{''.join(lines)}</tbody></table>")  # fmt: skip


def _figure_cell(
    values: Mapping[str, Any], intervals: Mapping[str, Any], metric: str, horizon: str, digits: int, best: float | None
) -> str:
    value = values.get(metric, {}).get(horizon)
    if value is None:
        return "<td>-</td>"
    text = f"{value:,.{digits}f}"
    low_high = intervals.get(metric, {}).get(horizon)
    between = f'<br><span class="quiet">{low_high[0]:,.{digits}f} to {low_high[1]:,.{digits}f}</span>' if low_high else ""
    return f"<td>{f'<b>{text}</b>' if value == best else text}{between}</td>"


def _best(metric: str, everybody: Iterable[Mapping[str, Any]], horizon: str) -> float | None:
    found = (values.get(metric, {}).get(horizon) for values in everybody)
    known: list[float] = [v for v in found if v is not None]
    if not known:
        return None
    if metric in _BEST_IS_ZERO:
        return min(known, key=abs)
    return max(known) if metric == "r2" else min(known)


def _slices(one: Document) -> list[str]:
    """WAPE of the best candidate by the values of each column, at every horizon."""
    best, keys = one["candidates"][0], _horizons(one)
    parts = []
    for column, values in best["slices"].items():
        rows = [(value, *(_or_dash(figures.get("wape", {}).get(h), ".2f") for h in keys)) for value, figures in values.items()]
        heads = (f"WAPE %, by {column.replace('_', ' ')}", *map(_ahead, keys))
        parts.append(_table(("t",), heads, rows))
    return [f"<details><summary>{escape(best['algorithm'])} by slice</summary>", *parts, "</details>"] if parts else []


def _significance(one: Document) -> list[str]:
    rows = [
        (f"v{c['version']} {c['algorithm']}", loss, f"{found['dates']}",
         *("-" if found.get(key) is None else f"{found[key]:.4f}" for key in ("p", "adjusted", "bootstrap")))
        for c in one["candidates"] for loss, found in c["significance"].items()
    ]  # fmt: skip
    if not rows:
        return []
    heads = ("candidate", "loss", "dates", "p (Diebold-Mariano)", "after Holm", "p (bootstrap)")
    return ["<details><summary>Is the gain over the champion's recipe more than chance?</summary>",
            _table(("t", "t"), heads, rows), "</details>"]  # fmt: skip


def _importance(one: Document, told: Document, pictures: Mapping[str, str]) -> list[str]:
    best = one["candidates"][0]
    if not best["explained"]:
        return []
    parts = ["<h3>What the forecasts rest on</h3>", _figure(pictures.get("importance"))]
    days = "validation" if best["validation"] else "test"
    for found in best["explained"]:
        agreement = "" if found["agreement"] is None else f" The two rankings agree by {found['agreement']:.2f} (rank correlation)."
        parts.append(
            f"<details><summary>{escape(best['algorithm'])}, {found['horizon']} d ahead: the first "
            f"{len(found['features'])} of {found['of']} features</summary>"
            f'<p class="quiet">On {found["rows"]} rows of the {days} days, by a fit that knows none of them. Forecasts start '
            f"from <code>{escape(found['base'])}</code>, which is not shuffled. Features that say nearly the same stand in for "
            f"one another, so each seems to matter less than their group.{agreement}</p>"
            f"{_weights(found['features'])}{_groups(found['groups'])}</details>"
        )
        if found["remarks"]:
            parts.append(f"<p>Where they disagree, {found['horizon']} d ahead:</p>{_list(found['remarks'])}")
    rows = [(f"v{c['version']} {c['algorithm']}", "; ".join(_named(w) for w in c["explained"][0]["features"][:5]))
            for c in one["candidates"][1:] if c["explained"]]  # fmt: skip
    if rows:
        parts += ["<h3>The others' first five</h3>", _table(("t", "t"), ("", f"{told['near'][0]} d ahead"), rows)]
    remarks = [f"v{c['version']} {c['algorithm']}: {remark}"
               for c in one["candidates"][1:] for found in c["explained"] for remark in found["remarks"]]  # fmt: skip
    if remarks:
        parts += ["<details><summary>Where the others' explanations disagree</summary>", _list(remarks), "</details>"]
    return parts


def _named(weight: Mapping[str, Any]) -> str:
    return f"{weight['english']} ({weight['rise']:+.1f} %)"


def _weights(features: Sequence[Mapping[str, Any]]) -> str:
    ways = {1: "raises", -1: "lowers", 0: ""}
    rows = [
        (w["english"], w["chinese"], w["group"], f"{w['rise']:+.2f} ± {w['spread']:.2f}", _or_dash(w["shap"], ".2f"),
         _or_dash(w["direction"], "+.2f"), ways[w["expected"]], _or_dash(w["coefficient"], "+.4f"))
        for w in features if w["rise"] or w["shap"]
    ]  # fmt: skip
    heads = ("feature", "特征", "group", "rise when shuffled, %", "SHAP, %", "direction", "expected", "coefficient")
    return _table(("t", "t", "t"), heads, rows)


def _groups(groups: Mapping[str, float]) -> str:
    return _table(("t",), ("whole group shuffled", "rise, %"), [(name, f"{rise:+.2f}") for name, rise in groups.items()])


# ---- for the auditor ----


def _split(parts: Sequence[Document]) -> str:
    rows = [(p["part"], p["from"], p["to"], f"{p['days']:,}", f"{p['rows']:,}", f"{p['items']:,}", ", ".join(p["categories"]))
            for p in parts]  # fmt: skip
    text = ("Parts are cut by the date of the target; a row that straddles a border is scored by nobody. The test days were "
            "looked at once, after everything was chosen; what is registered was then fitted on all days.")  # fmt: skip
    return f'<p class="quiet">{text}</p>' + _table(
        ("t", "t", "t"), ("part", "from", "to", "days", "rows", "items", "categories"), rows
    )


def _lineage(told: Document) -> str:
    rows = [(f["table"], f["sha256"], f"{f['rows']:,}") for f in told["store"]]
    excluded = f"<p>Left out as incomplete: {escape(', '.join(told['excluded']))}.</p>" if told["excluded"] else ""
    return (f"{excluded}<details><summary>{len(rows)} files of the store, by the hash of their rows</summary>"
            f"{_table(('t', 't'), ('table', 'sha256', 'rows'), rows)}</details>")  # fmt: skip


def _made(told: Document) -> str:
    request = escape(told["request"])
    facts = [
        ("made again and compared by", f"retrainctl runs reproduce {request}"),
        ("its log", f"retrainctl runs logs {request}"),
        ("MLflow", f"run {told['parent_run']} at {told['tracking_uri']}"),
        ("seed", str(told["seed"])), ("threads", str(told["threads"])), ("features made", str(told["features"])),
        ("retraind", f"{told['code']}, source {told['source']}"),
        ("libraries", ", ".join(f"{name} {version}" for name, version in told["libraries"].items())),
    ]  # fmt: skip
    rows = [
        (one["model"], f"v{c['version']}", c["algorithm"], c["recipe_id"], c["model_digest"], f"{c['features']}",
         _trials(c["search"]), f"{c['seconds']:.1f}", c["run_id"])
        for one in told["targets"] for c in one["candidates"]
    ]  # fmt: skip
    heads = ("model", "version", "algorithm", "recipe", "files", "features", "trials", "seconds", "run")
    return _table(("t", "t"), ("", ""), facts) + _table(("t", "t", "t", "t", "t"), heads, rows)


def _trials(search: Mapping[str, Any] | None) -> str:
    if not search:
        return "-"
    return f"{search['trials']}{', cut short' if search['cut_short'] else ''}; cost {search['mean']:.3f} ± {search['std']:.3f}"


# ---- small things ----


def _horizons(one: Document) -> list[str]:
    return sorted(one["test_rows"], key=lambda key: int(key[1:]))


def _ahead(key: str) -> str:
    return "1 day ahead" if key == "h1" else f"{key[1:]} days ahead"


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _figure(svg: str | None) -> str:
    return f"<figure>{svg}</figure>" if svg else ""


def _list(items: Iterable[str], kind: str = "") -> str:
    lines = "".join(f"<li>{escape(item)}</li>" for item in items)
    return f'<ul class="{kind}">{lines}</ul>' if lines else ""


def _table(kinds: Sequence[str], heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """kinds: `t` for each leading column of text; the others are figures."""
    def cell(tag: str, i: int, text: str) -> str:
        return f"<{tag}{' class=t' if i < len(kinds) else ''}>{escape(text)}</{tag}>"

    head = "".join(cell("th", i, text) for i, text in enumerate(heads)) if any(heads) else ""
    body = "".join(f"<tr>{''.join(cell('td', i, text) for i, text in enumerate(row))}</tr>" for row in rows)
    return f"<table>{f'<thead><tr>{head}</tr></thead>' if head else ''}<tbody>{body}</tbody></table>"
