"""The audit of a version as one HTML file that holds everything itself: to be printed, signed and filed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Any
from zoneinfo import ZoneInfo

from retrainctl.views.audit import because, said_by, stamp
from retrainctl.views.versions import figure, horizons

__all__ = ["page"]

_STYLE = """
body { font: 14px/1.45 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
h1 { font-size: 1.5rem } h2 { font-size: 1.1rem; border-bottom: 1px solid #bbb; margin-top: 2rem } h3 { font-size: 1rem }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; vertical-align: top; padding: .2rem .6rem .2rem 0 }
th { border-bottom: 1px solid #ccc; font-weight: 600 } td.number { font-variant-numeric: tabular-nums }
code, pre { font: 12px/1.4 ui-monospace, monospace; overflow-wrap: anywhere; white-space: pre-wrap }
.yes { color: #17692a } .no { color: #a3160f } .wait, .unknown { color: #8a5a00 } .mark { color: #a3160f; font-weight: 600 }
@media print { body { margin: 0; max-width: none } h2, h3 { break-after: avoid } tr { break-inside: avoid } }
"""


def page(data: dict[str, Any], zone: ZoneInfo) -> str:
    """The whole file. Nothing in it asks for another one."""
    title = escape(f"{data['model']} v{data['number']}: audit")
    parts = "\n".join(_parts(data, zone))
    head = f'<head><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style></head>'
    return f'<!DOCTYPE html>\n<html lang="en">{head}\n<body>\n{parts}\n</body></html>\n'


def _parts(data: dict[str, Any], zone: ZoneInfo) -> Iterator[str]:
    yield f"<h1>{escape(data['model'])} v{data['number']}, {escape(data['algorithm'])}: {escape(data['stage'])}</h1>"
    yield from (f'<p class="mark">{escape(words)}</p>' for words in data["marks"].values() if words)
    yield _table((), _identity(data, zone))
    yield "<h2>Stages</h2>"
    stages = ((s["stage"], stamp(s["since"], zone), stamp(s["until"], zone), s["because"]) for s in data["stages"])
    yield _table(("Stage", "Since", "Until", "Because"), stages)
    yield "<h2>Decisions</h2>"
    for decision in data["decisions"]:
        yield from _decision(decision, zone)
    yield "<h2>People</h2>"
    people = ((stamp(p["at"], zone), p["by"], p["words"]) for p in data["people"])
    yield _table(("When", "Who", "What"), people) or "<p>Nobody: policies alone decided.</p>"
    yield from _figures(data["figures"])
    yield "<h2>Data</h2>"
    test = data["data"]["test"]
    yield f"<p>Until {data['data']['until']}; test days {test['from']} to {test['to']}.</p>"
    yield _table(("Table", "From", "To", "Rows", "File", "SHA-256 in the store"), map(_file, data["data"]["files"]))
    yield f"<h2>Recipe</h2><p>{escape(data['recipe_id'])}</p>{_table((), ((k, _code(v)) for k, v in data['recipe'].items()))}"
    for policy in data["policies"]:
        yield f"<h2>Policy {escape(policy['policy'])}</h2>"
        yield f"<p>{escape(policy['file'])}, loaded {stamp(policy['loaded'], zone)}, SHA-256 <code>{policy['sha256']}</code></p>"
        yield f"<pre>{escape(policy['text'])}</pre>"
    if settings := data["request"]["settings"]:
        yield f"<h2>Settings of the training</h2><p>SHA-256 <code>{settings['sha256']}</code></p>"
        yield f"<pre>{escape(settings['text'])}</pre>"


class _Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def _code(value: object) -> _Markup:
    return _Markup(f"<code>{escape(str(value))}</code>")


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Empty without rows."""
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    head = f"<tr>{''.join(f'<th>{escape(h)}</th>' for h in heads)}</tr>" if heads else ""
    return f"<table>{head}{body}</table>" if body else ""


def _cell(value: object) -> str:
    text = value if isinstance(value, _Markup) else escape("-" if value is None else str(value))
    return f"<td>{text}</td>"


def _identity(data: dict[str, Any], zone: ZoneInfo) -> Iterator[tuple[str, object]]:
    request, journal, run = data["request"], data["journal"], data["run"]
    yield "Because", because(request)
    yield "Trained", f"{stamp(request['trained'], zone)} by retraind {request['release']}"
    yield "Model", _code(f"sha256 {data['model_digest']}")
    if run:
        page = f' (<a href="{escape(run["page"])}">{escape(run["page"])}</a>)' if run["page"] else ""
        yield "Run", _Markup(f"<code>{escape(run['run'])}</code>{page}, parent <code>{escape(data['parent_run'])}</code>")
    if data["report"]:
        yield "Report", data["report"]
    yield "Fingerprint", _code(request["fingerprint"])
    yield "Journal", _Markup(f"{escape(journal['file'])} of site {escape(journal['site'])} at event {journal['events']}, head "
                             f"<code>{journal['head']}</code>")  # fmt: skip
    yield "Page made", stamp(data["made"], zone)


def _decision(decision: dict[str, Any], zone: ZoneInfo) -> Iterator[str]:
    yield f"<h3>{stamp(decision['at'], zone)}: {escape(said_by(decision))}</h3>"
    yield _table(("Block", "Condition", "Outcome", "Figures"), (
        (c["block"], c["id"], _Markup(f'<span class="{c["outcome"]}">{c["outcome"].replace("_", " ")}</span>'),
         c["words"] + (" (dry run, not counted)" if c["dry_run"] else "")) for c in decision["conditions"]))  # fmt: skip


def _figures(figures: dict[str, Any]) -> Iterator[str]:
    values = figures["test"]["values"]
    columns = horizons(values)
    yield "<h2>Figures on test days</h2>"
    rows = [[metric, *(figure(values, metric, h) for h in columns)] for metric in values]
    rows += [["rows", *(f"{figures['test']['rows'][h]['rows']:,}" for h in columns)]]
    rows += [["digest of the rows", *(_code(figures["test"]["rows"][h]["digest"]) for h in columns)]]
    yield _table(("", *columns), rows)
    for head, wape in (("WAPE on test days", figures["beside"]), ("WAPE on live days", figures["live"]["wape"])):
        if wape:
            yield f"<h3>{head}, beside</h3>"
            yield _table(("", *columns), ([who.replace("_", " "), *(figure({"wape": v}, "wape", h) for h in columns)]
                                          for who, v in wape.items()))  # fmt: skip


def _file(file: dict[str, Any]) -> Sequence[object]:
    name = file["name"] or file["withdrawn"]
    return (file["table"], file["first_date"], file["last_date"], file["rows"], name, _code(file["sha256"]))
