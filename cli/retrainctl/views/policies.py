"""Policies: which are in force, and what the loader and the linter say of files."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from retrainctl.errors import fields_of
from retrainctl.text import Cell, Line, Screen, labelled, table
from retrainctl.views.times import count, iso, moment, parsed
from retraind import strict_yaml
from retraind.core.binding import Mistakes
from retraind.core.policy.document import LoadedPolicy, Policy, bind_policy
from retraind.core.policy.lint import Site, lint, refusals, ties
from retraind.core.state import State
from retraind.errors import Refused, RetraindError, told

__all__ = ["checked", "drawn_check", "drawn_listing", "listing"]


def listing(state: State) -> dict[str, Any]:
    """In force by file, and refused edits."""
    rows = []
    for file in sorted({*state.policies, *state.refusals}):
        kept, refused = state.policies.get(file), state.refusals.get(file)
        rows.append({
            "file": file, "policy": kept.policy if kept else None, "sha256": kept.sha256 if kept else None,
            "models": list(kept.models) if kept else [], "since": iso(kept.since) if kept else None,
            "mode": _mode(kept.text, file) if kept else None,
            "refused": {"at": iso(refused.at), "sha256": refused.sha256, "mistakes": list(refused.mistakes)} if refused else None,
        })  # fmt: skip
    return {"version": 1, "policies": rows}


def _mode(text: str, file: str) -> str:
    value = strict_yaml.parse(text, file).value
    return str(value.get("mode", "")) if isinstance(value, dict) else ""


def drawn_listing(data: dict[str, Any], on: Screen, zone: ZoneInfo, now: dt.datetime) -> list[Line]:
    """A row a policy, its refused edit below."""
    if not data["policies"]:
        return [[("no policy was loaded yet: the daemon reads the policies folder when it starts", "")]]
    rows: list[list[Cell]] = [
        [p["file"], p["policy"] or ("none in force", "red"), (p["sha256"] or "")[:8], p["mode"] or "",
         moment(parsed(p["since"]), zone, now) if p["since"] else "", ", ".join(p["models"])]
        for p in data["policies"]
    ]  # fmt: skip
    lines = table(("FILE", "POLICY", "SHA256", "MODE", "SINCE", "MODELS"), rows, on)
    for policy in data["policies"]:
        if refused := policy["refused"]:
            when = moment(parsed(refused["at"]), zone, now)
            lines += labelled(
                "!", f"an edit of {policy['file']} was REFUSED {when}", on, style="red", mark="red", indent=4
            )
            for mistake in refused["mistakes"]:
                lines += labelled("", mistake, on, indent=4)
    return lines


def checked(files: Sequence[Path], known: Mapping[str, Any]) -> dict[str, Any]:
    """What each file is. known: fields of the linter's `Site`."""
    rows: list[dict[str, Any]] = []
    for folder in dict.fromkeys(path.parent for path in files):  # policies of other folders never meet
        taken: list[LoadedPolicy] = []
        rows += [_check(path, Site(**known), taken) for path in files if path.parent == folder]
    return {"version": 1, "ok": all(not r["mistakes"] for r in rows), "files": rows}


def _check(path: Path, site: Site, taken: list[LoadedPolicy]) -> dict[str, Any]:
    row: dict[str, Any] = {"file": str(path), "policy": None, "models": [], "mistakes": [], "notes": []}
    try:
        document = strict_yaml.read(path)
        policy, notes = _policy(document, path.name, site, taken)
    except Refused as error:
        return row | {"mistakes": [fields_of(m) for m in error.mistakes]}
    except RetraindError as error:
        return row | {"mistakes": [fields_of(error)]}
    taken.append(LoadedPolicy(path.name, sha256(document.text.encode()).hexdigest(), policy))
    return row | {"policy": policy.id, "models": list(policy.models), "notes": [fields_of(n) for n in notes]}


def _policy(
    document: strict_yaml.Document, name: str, site: Site, taken: Sequence[LoadedPolicy]
) -> tuple[Policy, list[RetraindError]]:
    """The policy and what the linter notes. Raises Refused."""
    try:
        policy = bind_policy(document.value)
    except Mistakes as error:
        raise document.refuse(error.mistakes) from error
    findings = lint(policy, site=site)
    mistakes = [*refusals(findings), *ties(policy, name, taken)]
    if mistakes:
        raise document.refuse(mistakes)
    notes = [f.mistake for f in findings if f.severity == "note"]
    return policy, document.refuse(notes).mistakes if notes else []


def drawn_check(data: dict[str, Any], on: Screen) -> list[Line]:
    """A line a file, its mistakes and notes below."""
    lines: list[Line] = []
    for file in data["files"]:
        if file["mistakes"]:
            lines += labelled(
                "NO", f"{file['file']}: {count(len(file['mistakes']), 'mistake')}", on, mark="red", indent=5
            )
        else:
            lines += labelled("ok", f"{file['file']}: policy {file['policy']} for {', '.join(file['models'])}", on,
                              mark="green", indent=5)  # fmt: skip
        for word, found in (("", file["mistakes"]), ("note: ", file["notes"])):
            for mistake in found:
                line = f"line {mistake['where']['line']}: " if mistake["where"] and mistake["where"]["line"] else ""
                lines += labelled("", f"{line}{word}{told(mistake['what'], mistake['remedy'])}", on, indent=5)
    if not data["ok"]:
        lines += labelled("", "An edit like this is refused; the version in force goes on.", on, indent=1)
    return lines
