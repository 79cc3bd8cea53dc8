"""Policies: which are in force, what the loader and the linter say of files, their own tests, and an edit in words."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from retrainctl.errors import fields_of
from retrainctl.text import Cell, Line, Screen, Style, labelled, table
from retrainctl.views.times import count, iso, moment, parsed
from retraind import strict_yaml
from retraind.core.policy import cases, diff
from retraind.core.policy.document import LoadedPolicy, Policy
from retraind.core.policy.lint import Site, outlook
from retraind.core.state import State
from retraind.core.units import Span
from retraind.errors import Place, Refused, RetraindError, told
from retraind.strict_policy import load_file, load_text, read_policy, read_tests

__all__ = [
    "CADENCES", "checked", "compared", "drawn_check", "drawn_diff", "drawn_listing", "drawn_test", "in_force", "listing",
    "tested",
]  # fmt: skip


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


# ---- check ----

CADENCES: Mapping[str, Span] = {"daily": Span(86400), "weekly": Span(7 * 86400)}


def checked(files: Sequence[Path], known: Mapping[str, Any], cadence: str | None = None) -> dict[str, Any]:
    """What the daemon would say of each file, and how soon it lets things happen.

    known: fields of the linter's `Site`. cadence: a key of CADENCES, whose refusals count; None: both are told as notes.
    """
    rows: list[dict[str, Any]] = []
    for folder in dict.fromkeys(path.parent for path in files):  # policies of other folders never meet
        taken: list[LoadedPolicy] = []
        rows += [_check(path, known, cadence, taken) for path in files if path.parent == folder]
    return {"version": 1, "ok": all(not r["mistakes"] for r in rows), "site_known": bool(known), "files": rows}


def _check(path: Path, known: Mapping[str, Any], cadence: str | None, taken: list[LoadedPolicy]) -> dict[str, Any]:
    site = Site(**{**known, "cadence": CADENCES[cadence]} if cadence else known)
    row: dict[str, Any] = {"file": str(path), "policy": None, "models": [], "mistakes": [], "notes": [], "earliest": {}}
    try:
        file = load_file(path, taken, site=site, shown_as=str(path))
    except RetraindError as error:
        return row | {"mistakes": _mistakes(error)}
    policy = file.loaded.policy
    notes = [fields_of(note) for note in file.notes]
    if cadence is None:
        notes += [
            fields_of(_only_at(word, error)) for word in CADENCES for error in _refused_at(word, path, known, taken)
        ]
    words = [cadence] if cadence else list(CADENCES)
    taken.append(file.loaded)
    return row | {"policy": policy.id, "models": list(policy.models), "notes": notes,
                  "earliest": {word: _earliest(policy, CADENCES[word]) for word in words}}  # fmt: skip


def _mistakes(error: RetraindError) -> list[dict[str, Any]]:
    return [fields_of(m) for m in (error.mistakes if isinstance(error, Refused) else [error])]


def _refused_at(
    cadence: str, path: Path, known: Mapping[str, Any], taken: Sequence[LoadedPolicy]
) -> list[RetraindError]:
    """Why a file that is good in itself cannot do what it says when drops come that often."""
    try:
        read_policy(path, taken, site=Site(**{**known, "cadence": CADENCES[cadence]}), shown_as=str(path))
    except Refused as error:
        return error.mistakes
    return []


def _only_at(cadence: str, error: RetraindError) -> RetraindError:
    return RetraindError(f"with {cadence} drops: {error.what}", where=error.where, remedy=error.remedy)


def _earliest(policy: Policy, cadence: Span) -> dict[str, float | None]:
    """Days, people and freeze windows left aside."""
    soon = outlook(policy, cadence)
    return {"promotion_days": soon.promotion / dt.timedelta(days=1),
            "rollback_days": soon.rollback / dt.timedelta(days=1) if soon.rollback else None}  # fmt: skip


def drawn_check(data: dict[str, Any], on: Screen) -> list[Line]:
    """A line a file, its mistakes and notes below."""
    lines: list[Line] = []
    for file in data["files"]:
        if file["mistakes"]:
            lines += _head("NO", f"{file['file']}: {count(len(file['mistakes']), 'mistake')}", on)
        else:
            lines += _head("ok", f"{file['file']}: policy {file['policy']} for {', '.join(file['models'])}", on)
        for word, found in (("", file["mistakes"]), ("note: ", file["notes"])):
            for mistake in found:
                lines += labelled("", _place(mistake, file["file"]) + word + told(mistake["what"], mistake["remedy"]), on,
                                  indent=5)  # fmt: skip
        for cadence, soon in file["earliest"].items():
            lines += labelled("", f"with {cadence} drops: {_soon(soon)}", on, indent=5)
    if not data["ok"]:
        lines += labelled("", "An edit like this is refused; the version in force goes on.", on, indent=1)
    if not data["site_known"]:
        lines += labelled("", "Not checked without a site: whether its models, horizons and columns exist.", on, indent=1)
    return lines


def _head(word: str, text: str, on: Screen) -> list[Line]:
    return labelled(word, text, on, mark="green" if word == "ok" else "yellow" if word == "--" else "red", indent=6)


def _place(mistake: dict[str, Any], file: str) -> str:
    """`line 26: `, with the file where it is another one, such as the policy's tests."""
    where = mistake["where"]
    if not where:
        return ""
    named = where["file"] if where["file"] != file else ""
    line = f"line {where['line']}, column {where['column']}" if where["line"] else ""
    return ", ".join(part for part in (named, line) if part) + ": " if named or line else ""


def _soon(earliest: dict[str, float | None]) -> str:
    after, back = earliest["promotion_days"], earliest["rollback_days"]
    promotion = "promotion at once after a training" if not after else f"promotion {after:g} d after a training"
    return f"earliest {promotion}, " + (f"rollback {back:g} d after a promotion" if back else "nothing rolls back")


# ---- test ----


def tested(files: Sequence[Path]) -> dict[str, Any]:
    """What each policy's own tests say of it. Raises RetraindError when no file has any."""
    rows = [_test(path) for path in files]
    if not any(row["tests"] or row["mistakes"] for row in rows):
        raise RetraindError("no policy here has tests", where=Place(str(files[0])),
                            remedy=f"write tests/{files[0].name} beside it; examples: policies/examples/tests")  # fmt: skip
    return {"version": 1, "ok": not any(row["failures"] or row["mistakes"] for row in rows), "files": rows}


def _test(path: Path) -> dict[str, Any]:
    row: dict[str, Any] = {"file": str(path), "policy": None, "tests": None, "cases": 0, "passed": 0, "gates_edits": False,
                           "failures": [], "never_no": [], "never_unknown": [], "mistakes": []}  # fmt: skip
    try:
        policy = read_policy(path, shown_as=str(path)).loaded.policy
        row["policy"] = policy.id
        tests = path.parent / (policy.tests or f"tests/{path.name}")
        if policy.tests is None and not tests.is_file():
            return row
        row |= {"tests": str(tests), "gates_edits": policy.tests is not None}
        document, file = read_tests(tests, path, shown_as=str(tests))
    except RetraindError as error:
        return row | {"mistakes": _mistakes(error)}
    report = cases.run(policy, file)
    failures = [
        {"name": f.name, "line": document.mark(f.path).line, "expected": f.expected, "got": f.got} for f in report.failures
    ]
    return row | {
        "cases": report.cases, "passed": report.cases - len({f.path[1] for f in report.failures}), "failures": failures,
        "never_no": list(report.never_no), "never_unknown": list(report.never_unknown),
    }  # fmt: skip


def drawn_test(data: dict[str, Any], on: Screen) -> list[Line]:
    """A line a policy, its failures and what its tests never saw below."""
    lines: list[Line] = []
    for file in data["files"]:
        passed = f"{file['file']}: {file['passed']} of {count(file['cases'], 'test')} passed"
        if file["mistakes"]:
            lines += _head("FAIL", f"{file['file']}: {count(len(file['mistakes']), 'mistake')}", on)
        else:
            word = "FAIL" if file["failures"] else "ok" if file["tests"] else "--"
            lines += _head(word, passed if file["tests"] else f"{file['file']}: no tests", on)
        for mistake in file["mistakes"]:
            text = _place(mistake, file["file"]) + told(mistake["what"], mistake["remedy"])
            lines += labelled("", text, on, indent=6)
        for failure in file["failures"]:
            lines += labelled("", f"{file['tests']}, line {failure['line']}: {failure['name']}", on, indent=6)
            lines += labelled("", f"expected  {failure['expected']}", on, indent=8)
            lines += labelled("", f"got       {failure['got']}", on, indent=8)
        for outcome in ("no", "unknown"):
            if never := file[f"never_{outcome}"]:
                lines += labelled("", f"never {outcome} in any test: {', '.join(never)}", on, style="dim", indent=6)
        if file["failures"]:
            refused = "An edit like this is refused; the version in force goes on."
            free = "These tests do not keep an edit out: the policy has no line tests:"
            lines += labelled("", refused if file["gates_edits"] else free, on, indent=6)
    return lines


# ---- diff ----


def in_force(state: State, file: str) -> LoadedPolicy:
    """The policy that the journal says is in force for a file of that name. Raises RetraindError."""
    kept = state.policies.get(file)
    if kept is None:
        raise RetraindError(
            f"no version of {file} is in force", remedy="compare two files: retrainctl policy diff OLD NEW"
        )
    return load_text(kept.text, file).loaded


def compared(old: LoadedPolicy, new: LoadedPolicy) -> dict[str, Any]:
    """What the edit from one to the other does, in words."""
    changes = [{"verdict": c[0], "where": c[1], "what": c[2]} for c in diff.compare(old.policy, new.policy)]
    return {
        "version": 1, "old": {"file": old.file, "sha256": old.sha256}, "new": {"file": new.file, "sha256": new.sha256},
        "changes": changes,
    }  # fmt: skip


def drawn_diff(data: dict[str, Any], on: Screen) -> list[Line]:
    """A line a change."""
    styles: dict[str, Style] = {"stricter": "green", "looser": "red", "other": "yellow"}
    old, new = data["old"]["sha256"][:8], data["new"]["sha256"][:8]
    lines: list[Line] = [[(f"{old} -> {new}", "bold")]]
    if not data["changes"]:
        what = "the same file" if old == new else "other words, the same meaning"
        return [*lines, [(f" {what}", "")]]
    return lines + table(
        ("", "", ""), [[(c["verdict"], styles[c["verdict"]]), c["where"], c["what"]] for c in data["changes"]], on
    )
