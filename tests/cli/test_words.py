"""The words themselves: every command has help, every event has words, every remedy names a command that exists."""

from __future__ import annotations

import ast
import datetime as dt
import re
from pathlib import Path
from typing import Any

import pytest
import typer.main
from hypothesis import given
from hypothesis import strategies as st

import journals
from command_line import run_in
from retrainctl.app import COMMANDS, app
from retrainctl.text import Screen, clipped, labelled, rendered, table, wide, wrapped
from retrainctl.views import events
from retrainctl.views.times import day, duration, moment
from retraind.core import events as e
from retraind.journal.read import opened, records

ROOT = Path(__file__).resolve().parents[2]


def commands_of(group: Any, prefix: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Every command by its words, groups left out."""
    found: dict[tuple[str, ...], Any] = {}
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        words = (*prefix, name)
        found |= commands_of(command, words) if hasattr(command, "list_commands") else {words: command}
    return found


def every_command() -> dict[tuple[str, ...], Any]:
    return commands_of(typer.main.get_command(app))


def test_the_commands_are_those_that_are_promised() -> None:
    assert {" ".join(words) for words in every_command()} == {
        "status", "explain", "history", "which", "wait", "versions list", "versions show", "versions adopt", "adopt",
        "drops list", "drops show",
        "drops retry", "drops discard", "drops accept", "drops withdraw", "alerts list", "drift show", "drift compare",
        "retrain", "pause", "resume", "approve", "reject", "promote", "rollback", "pin", "unpin", "freeze", "unfreeze",
        "block", "unblock", "policy list", "policy schema", "policy check", "policy test", "policy diff", "config check",
        "audit verify", "audit show", "audit export", "journal backup", "journal list", "journal restore", "doctor", "init",
        "demo", "forecasts show", "forecasts export", "scores", "runs list", "runs show", "runs logs", "runs reproduce",
        "runs promote", "work",
    }  # fmt: skip


def test_every_command_says_in_one_sentence_what_a_person_gets() -> None:
    for words, command in every_command().items():
        assert command.help, words
        assert command.help.strip().endswith("."), words
        assert "\n" not in command.help.strip(), words


def test_every_option_has_help() -> None:
    for words, command in every_command().items():
        for parameter in command.params:
            if parameter.opts[0].startswith("-"):
                assert getattr(parameter, "help", ""), (words, parameter.name)


def test_every_view_has_json_and_whatever_changes_something_takes_a_reason() -> None:
    for words, command in every_command().items():
        options = {o for p in command.params for o in p.opts}
        # demo is a show that goes on, and an export is a file for programs already
        assert "--json" in options or words in (("demo",), ("forecasts", "export"), ("audit", "export")), words
        if words[-1] in (
            "retry", "discard", "retrain", "pause", "resume", "pin", "unpin", "freeze", "unfreeze",
            "block", "unblock", "promote", "adopt", "approve", "reject", "rollback", "accept", "withdraw",
        ):  # fmt: skip
            assert {"--reason", "--dry-run"} <= options, words
        if words[-1] in (
            "discard", "pause", "pin", "freeze", "block", "promote", "adopt", "approve", "reject", "rollback", "accept", "withdraw",
        ):  # fmt: skip
            assert "--yes" in options, words


def test_help_names_every_command_under_its_heading(tmp_path: Path) -> None:
    out = run_in(tmp_path)("--help", columns=100).out
    assert [name for name in COMMANDS if not re.search(rf"^\W*{name}\s", out, re.MULTILINE)] == []
    assert [place.panel for place in COMMANDS.values() if place.panel not in out] == []


def test_version_is_printed(tmp_path: Path) -> None:
    assert run_in(tmp_path)("--version").out == "retrainctl 0.1.0\n"


def spoken(tree: ast.AST) -> list[str]:
    """Every text that a program can say: string literals without docstrings, f-strings with X for what is filled in."""
    docs = {id(n.body[0].value) for n in ast.walk(tree)
            if isinstance(n, ast.Module | ast.ClassDef | ast.FunctionDef) and n.body
            and isinstance(n.body[0], ast.Expr)}  # fmt: skip
    inner = {id(v) for n in ast.walk(tree) if isinstance(n, ast.JoinedStr) for v in n.values}
    texts = []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            texts.append("".join(v.value if isinstance(v, ast.Constant) else "X" for v in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and not {id(node)} & (docs | inner):
            texts.append(node.value)
    return texts


def commands_named() -> set[tuple[str, str]]:
    """(command, file) for every `retrainctl ...` in what the programs say and in the files that `init` writes."""
    texts = [(t, p) for folder in ("daemon", "cli") for p in (ROOT / folder).rglob("*.py")
             for t in spoken(ast.parse(p.read_text("utf-8")))]  # fmt: skip
    texts += [(p.read_text("utf-8"), p) for p in (ROOT / "config.yaml", *(ROOT / "policies").rglob("*.yaml"))]
    pattern = re.compile(r"(?<!a )\bretrainctl (?:--config \S+ )?([a-z]+(?: [a-z]+)?)")
    return {(match[1], str(path.relative_to(ROOT))) for text, path in texts for match in pattern.finditer(text)}


def test_a_remedy_names_a_command_that_exists() -> None:
    named = commands_named()
    assert len(named) > 10
    known = every_command()
    wrong = [(words, file) for words, file in named
             if not {tuple(words.split()), tuple(words.split()[:1])} & set(known)]  # fmt: skip
    assert wrong == []


@pytest.mark.parametrize("kind", sorted(e.KINDS))
def test_every_event_has_words(kind: str) -> None:
    assert e.KINDS[kind] in events._WORDS


def test_every_event_of_a_year_is_told_in_one_line(year: Path) -> None:
    with opened(year / "state" / "journal.db") as connection:
        told = [events.words(record.event) for record in records(connection)]
    assert len(told) > 100
    assert [words for words in told if not words or "\n" in words] == []


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]) | st.just(" "), max_size=80)


@given(TEXT, st.integers(5, 60))
def test_wrapping_loses_no_word_and_keeps_to_the_width(text: str, width: int) -> None:
    lines = wrapped(text, width)
    assert " ".join(lines).split() == text.split()
    assert all(wide(line) <= width or " " not in line.strip().replace(" %", "") for line in lines)


@given(TEXT, st.integers(2, 60))
def test_clipping_keeps_to_the_width_and_cuts_only_the_end(text: str, width: int) -> None:
    cut = clipped(text, width)
    assert cut == text or (wide(cut) <= width and text.startswith(cut[:-1]) and cut[-1] == "…")


@given(st.lists(st.tuples(TEXT, TEXT, TEXT), min_size=1, max_size=5), st.integers(60, 200))
def test_a_table_holds_every_cell_in_columns(rows: list[tuple[str, str, str]], width: int) -> None:
    text = rendered(table(("A", "B", "C"), rows, Screen(width)), Screen(width))
    words = [word for row in rows for cell in row for word in cell.split()]
    assert sorted(text.split()) == sorted([*"ABC"[: 3 if " C" in text.splitlines()[0] else 2], *words])


def test_columns_of_wide_letters_stand_under_one_another() -> None:
    lines = rendered(
        table(("ITEM", "KG", ""), [["花叶类", "3", ""], ["tomato", "4", ""]], Screen(80)), Screen(80)
    ).splitlines()
    assert [wide(line[: line.index(digit)]) for line, digit in zip(lines[1:], "34", strict=True)] == [9, 9]


def test_a_label_hangs_its_text() -> None:
    assert rendered(labelled("JOB", "one two three", Screen(22)), Screen(22)) == " JOB      one two\n          three"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59.9, "59 s"), (60, "1 min"), (61, "1 min 1 s"), (3600, "1 h"), (11100, "3 h 5 min"),
     (1051200, "12 d 4 h"), (-5, "0 s")],
)  # fmt: skip
def test_a_duration_is_told_in_two_units(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_a_moment_is_told_in_the_sites_zone() -> None:
    zone = journals.settings.parse((ROOT / "config.yaml").read_text("utf-8")).site.zone
    now = dt.datetime(2026, 11, 24, 17, tzinfo=dt.UTC)  # 01:00 on the 25th in Shanghai
    assert moment(now, zone, now) == "01:00"
    assert moment(now - dt.timedelta(hours=2), zone, now) == "Tue 24 Nov 23:00"
    assert moment(now.replace(year=2025), zone, now) == "Tue 25 Nov 2025 01:00"
    assert moment(None, zone, now) == "unknown"
    assert day(dt.date(2025, 3, 1), dt.date(2026, 1, 1)) == "1 Mar 2025"
