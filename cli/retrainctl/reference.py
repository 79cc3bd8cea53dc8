"""The reference pages, made from the code so that they cannot part from it: `python -m retrainctl.reference DOCS`.

`commands` is docs/cli.md; `kinds` is the table of conditions in docs/policies.md, between its two marks. A test fails when
what lies in docs/ is not what comes from here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import Field, fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import typer.main

from retrainctl.app import COMMANDS, app
from retraind.core.policy.conditions import KINDS, Kind

__all__ = ["EXITS", "commands", "kinds", "with_kinds", "write"]

Words = tuple[str, ...]

_MAY_RUN_OUT_OF_TIME = (("wait",), ("adopt",), ("versions", "adopt"))
EXITS: Mapping[str, str] = {
    "which": "no version is there",
    "wait": "it never comes to production",
    "drops retry": "the daemon refuses it",
    "drops discard": "the daemon refuses it, or somebody said no",
    "runs show": "nothing was trained yet",
    "runs logs": "nothing was trained yet, or its log is gone",
    "runs reproduce": "a figure came out differently, and no guard had cut the search short",
    "drift compare": "a file cannot be read as a table, or they share no column",
    "forecasts show": "there are no forecasts yet",
    "forecasts export": "a file of forecasts is gone or damaged",
    "adopt": "the version cannot be champion here, the daemon refuses it, or somebody said no",
    "versions adopt": "as of adopt",
    "retrain": "the daemon refuses it; with --wait: no training came of it, or it failed",
    "work": "a step failed for good",
    "runs promote": "a policy does not allow it",
    "pause": "the daemon refuses it, or somebody said no",
    "resume": "the daemon refuses it",
    "approve": "the daemon refuses it (you may not approve, nobody is asked to), or somebody said no",
    "reject": "the daemon refuses it, or somebody said no",
    "rollback": "there is nothing to go back to, the daemon refuses it, or somebody said no",
    "promote": "the policy does not allow it, the daemon refuses it, or somebody said no",
    "pin": "the daemon refuses it, or somebody said no",
    "unpin": "the daemon refuses it",
    "freeze": "the daemon refuses it, or somebody said no",
    "unfreeze": "the daemon refuses it",
    "block": "the daemon refuses it, or somebody said no",
    "unblock": "the daemon refuses it",
    "policy check": "a file would be refused",
    "policy test": "a test failed",
    "policy diff": "a file would be refused, or no version of it is in force",
    "config check": "the file cannot be taken",
    "audit verify": "an event was changed, moved or is missing, or the noted head is",
    "audit export": "an event was changed, moved or is missing",
    "doctor": "something is wrong",
    "journal backup": "the journal is damaged, or the disk does not take the copy",
    "journal restore": "there is no backup, it is damaged, the daemon runs, or somebody said no",
    "init": "the folder is not empty",
}
"""What exit code 1 means where it is not the general "refused or failed"."""
_MARKS = ("<!-- the kinds, by retrainctl.reference -->\n", "<!-- end of the kinds -->\n")

_HEAD = """# The command line

*Made by `python -m retrainctl.reference docs`; a test fails when it is stale.*

`retrainctl [--config FILE] COMMAND` finds its site by `--config`, which stands before the command and defaults to
`config.yaml` here. Whatever only looks reads the journal and needs no daemon; what changes something asks the daemon over
its socket, takes `--reason`, and does nothing with `--dry-run`. With `--json` a command prints one document with a
`version`; an error is one too: `{"version": 1, "error": {"what", "where", "remedy", "retryable", "mistakes"}}`. Keys are
added, never renamed.

| exit code | what it means |
|---|---|
| 0 | done |
| 1 | refused or failed |
| 2 | wrong usage: an unknown word, a file that is not there |
| 3 | the daemon is not running |
| 4 | out of time: `wait` only |
"""


def commands() -> str:
    """docs/cli.md: every command with its words, help, options and exit codes."""
    found = dict(_leaves(typer.main.get_command(app)))
    panels: dict[str, list[str]] = {}
    for words, command in found.items():
        panels.setdefault(COMMANDS[words[0]].panel, []).append(_command(words, command))
    parts = [f"\n## {panel}\n" + "".join(texts) for panel, texts in panels.items()]
    return _HEAD + "".join(parts)


def _leaves(group: Any, before: Words = ()) -> Iterator[tuple[Words, Any]]:
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        if hasattr(command, "list_commands"):
            yield from _leaves(command, (*before, name))
        else:
            yield (*before, name), command


def _command(words: Words, command: Any) -> str:
    arguments = [p for p in command.params if not p.opts[0].startswith("-")]
    options = [p for p in command.params if p.opts[0].startswith("-") and p.name != "help"]
    usage = " ".join(["retrainctl", *words, *map(_argument, arguments)])
    lines = [f"\n### `{usage}`\n", f"{command.help.strip()}\n"]
    told = [(_argument(a).strip("[]."), a.help or "") for a in arguments if getattr(a, "help", "")]
    told += [(_option(o), o.help) for o in options]
    lines += ["", *(f"- `{what}`: {help_}" for what, help_ in told), ""] if told else [""]
    lines.append(f"Exit codes: {_exits(words, options)}.\n")
    return "\n".join(lines).replace("\n\n\n", "\n\n")


def _argument(argument: Any) -> str:
    name = (argument.metavar or argument.name).strip("[]").upper()
    name += "..." if argument.nargs == -1 else ""
    return name if argument.required else f"[{name}]"


def _option(option: Any) -> str:
    names = ", ".join(sorted(option.opts, key=len, reverse=True))
    if option.is_flag:
        return names
    return f"{names} {option.metavar or option.name.upper()}"


def _exits(words: Words, options: list[Any]) -> str:
    one = EXITS.get(" ".join(words), "")
    asks_daemon = any("--dry-run" in option.opts for option in options)
    return f"0, 1{f' ({one})' if one else ''}, 2" + (", 3" if asks_daemon else "") + (
        ", 4" if words in _MAY_RUN_OUT_OF_TIME else ""
    )


def kinds() -> str:
    """The table of conditions: kind, parameters, when it holds, where it may stand, what its no does."""
    rows = ["| kind | parameters | holds when | may stand in | its no |", "|---|---|---|---|---|"]
    rows += [
        f"| `{k.name}` | {_parameters(k)} | {k.holds} | {', '.join(k.places)} | {k.no or '-'} |" for k in KINDS.values()
    ]
    return "\n".join(rows) + "\n"


def _parameters(kind: Kind) -> str:
    """Those that must be given, then those that may be in brackets; those of rollback where they differ."""
    text = _fields(kind.asks)
    if kind.in_rollback and _fields(kind.in_rollback) != text and "rollback" in kind.places:
        text += f"; in rollback {_fields(kind.in_rollback)}"
    return text


def _fields(asks: type[Any]) -> str:
    one_of, some_of = getattr(asks, "ONE_OF", ()), getattr(asks, "SOME_OF", ())
    out = [_field(asks, f) for f in fields(asks) if f.name not in (*one_of, *some_of)]
    out += [
        word.join(f"`{name}`" for name in names) for names, word in ((one_of, " or "), (some_of, " and/or ")) if names
    ]
    return ", ".join(out)


def _field(asks: type[Any], field: Field[Any]) -> str:
    name, kind = field.name.rstrip("_"), get_type_hints(asks)[field.name]
    if is_dataclass(kind) and not hasattr(kind, "parse"):
        return f"`{name}: {{{', '.join(f.name for f in fields(kind))}}}`"
    return f"`{name}`" if field.default is field.default_factory else f"[`{name}`]"  # both MISSING: it must be given


def with_kinds(page: str) -> str:
    """The text of docs/policies.md with the table of now. Raises ValueError when its marks are gone."""
    before, rest = page.split(_MARKS[0])
    _, after = rest.split(_MARKS[1])
    return f"{before}{_MARKS[0]}{kinds()}{_MARKS[1]}{after}"


def write(docs: Path) -> None:
    """Bring the pages in `docs` up to the code."""
    (docs / "cli.md").write_text(commands(), "utf-8")
    page = docs / "policies.md"
    page.write_text(with_kinds(page.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
