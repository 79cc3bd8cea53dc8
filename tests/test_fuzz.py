"""What comes from outside may be anything: settings, policies and the socket answer in words, and nothing ends in a traceback."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retraind import settings as site_settings
from retraind import strict_policy
from retraind.control import Asked, Control
from retraind.core.messages import MESSAGES, Answer
from retraind.errors import Refused, RetraindError
from retraind.socket_path import address

ROOT = Path(__file__).resolve().parents[1]
CONFIG = (ROOT / "config.yaml").read_text("utf-8")
POLICIES = [path.read_text("utf-8") for path in sorted((ROOT / "policies").glob("*.yaml"))]
NASTY = (
    "[" * 3000, "{" * 3000, "- " * 3000, "? " * 3000, "&a [*a, *a]", "!!python/object:os.system x", "<<: *x", "\0", "\ufeff", "\t",
    "- ", ": ", "? ", "|\n", "'", "9" * 400, "-1", ".inf", ".nan", "1e999", "2026-02-30", "null", "true", "~", "{}", "[]", "\u2028",
    "'\\ud800'", "0", "100%", "-5d", "99999999999w", "\x85", "a" * 70_000,
)  # fmt: skip


@st.composite
def edited(draw: st.DrawFn, texts: list[str]) -> str:
    """A good file in which a few places were replaced, cut, doubled or moved."""
    text = draw(st.sampled_from(texts))
    for _ in range(draw(st.integers(1, 4))):
        lines = text.split("\n")
        at = draw(st.integers(0, len(lines) - 1))
        line = lines[at]
        match draw(st.integers(0, 6)):
            case 0:
                lines[at] = line[: line.find(":") + 1] + " " + draw(st.sampled_from(NASTY))
            case 1:
                lines[at] = line[: draw(st.integers(0, len(line)))]
            case 2:
                lines.insert(at, line)
            case 3:
                lines[at] = " " * draw(st.integers(0, 12)) + line.lstrip()
            case 4:
                lines[at] = draw(st.text(max_size=40))
            case 5:
                del lines[at]
            case _:
                where = draw(st.integers(0, len(line)))
                lines[at] = line[:where] + draw(st.sampled_from(NASTY)) + line[where:]
        text = "\n".join(lines)
    return text


def refused_in_words(error: RetraindError) -> None:
    told = error.mistakes if isinstance(error, Refused) else [error]
    assert told
    for mistake in told:
        assert mistake.what
        assert mistake.where is None or mistake.where.line is None or mistake.where.line >= 1
        assert "Traceback" not in str(mistake)


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(edited([CONFIG]) | st.text(max_size=200))
def test_settings_are_taken_or_refused_in_words(text: str) -> None:
    try:
        site_settings.parse(text)
    except RetraindError as error:
        refused_in_words(error)


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(edited(POLICIES) | st.text(max_size=200))
def test_a_policy_is_taken_or_refused_in_words(text: str) -> None:
    try:
        strict_policy.load_text(text, "fuzzed.yaml")
    except RetraindError as error:
        refused_in_words(error)


@pytest.mark.parametrize("abyss", ["[" * 250_000, "{" * 250_000, "- " * 100_000, "? " * 100_000, "a: " * 80_000, "[]" * 100_000])
def test_an_abyss_is_refused_before_it_is_read(abyss: str) -> None:
    """ruamel took twenty seconds for three thousand brackets, and the daemon's one thread reads the policies."""
    with pytest.raises(Refused):
        site_settings.parse(abyss)


def pieces(text: str) -> list[str]:
    """The text without its comments, and each of its sections alone: ten thousand whole ones would be read for an hour."""
    lines = [re.sub(r"\s+#.*$", "", line) for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    sections = re.split(r"\n(?=\w)", "\n".join(lines))
    first, *others = sections
    return ["\n".join(sections), *(f"{first}\n{section}" for section in others)]


def _are_answered(what: str, texts: list[str], take: Callable[[str], object], tried: Counter[str]) -> None:
    @settings(max_examples=5000, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(edited(texts) | st.text(max_size=500))
    def is_answered(text: str) -> None:
        tried[f"{what} made up"] += 1
        try:
            take(text)
            tried[f"{what} made up, of these taken"] += 1
        except RetraindError as error:
            refused_in_words(error)

    is_answered()


@pytest.mark.long
def test_ten_thousand_settings_and_policies_are_taken_or_refused_in_words(record_property: Callable[[str, object], None]) -> None:
    tried: Counter[str] = Counter()
    _are_answered("settings", pieces(CONFIG), site_settings.parse, tried)
    _are_answered("policies", [piece for policy in POLICIES for piece in pieces(policy)],
                  lambda text: strict_policy.load_text(text, "fuzzed.yaml"), tried)  # fmt: skip
    assert tried["settings made up"] + tried["policies made up"] >= 10_000
    for what, number in tried.items():
        record_property("tried", f"{what}: {number}")


# ---- the socket ----


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A socket behind which each message that reaches the supervisor is answered with its kind."""
    path = tmp_path_factory.mktemp("socket") / "retraind.sock"

    def answer(asked: Asked) -> None:
        json.dumps(repr(asked.envelope), ensure_ascii=False).encode()  # as the journal would have to
        asked.answer.put(Answer(done=type(asked.envelope.message).__name__))

    server = Control(path, answer)
    server.start()
    yield path
    server.stop()


def said(path: Path, data: bytes, *, hang_up: bool = True) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX) as client, address(path) as name:
        client.settimeout(30)
        client.connect(name)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it refuses before it has heard it all
            client.sendall(data)
        if hang_up:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):
            line = client.makefile("rb").readline()
            return json.loads(line) if line else {}
    return {}


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(["\ud800", "9" * 5000]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4), max_leaves=20,
)  # fmt: skip
MESSAGE = st.fixed_dictionaries(
    {"version": st.just(1) | ANYTHING, "id": st.text(max_size=20) | ANYTHING,
     "message": st.sampled_from(sorted(MESSAGES)) | ANYTHING},
    optional=dict.fromkeys(("by", "reason", "model", "drop", "until", "targets", "days", "policy"), ANYTHING),
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given((MESSAGE | ANYTHING).map(lambda value: json.dumps(value).encode() + b"\n") | st.binary(max_size=300))
def test_whoever_says_whatever_gets_an_answer(control: Path, data: bytes) -> None:
    answer = said(control, data)
    assert answer.get("refused") or answer.get("done")
    assert "Traceback" not in json.dumps(answer)


@pytest.mark.parametrize(
    "data",
    [b"[" * 60_000 + b"\n", b'{"a":' * 10_000 + b"\n", b"x" * 200_000, b'{"version": 1, "id": "\\ud800", "message": "look"}\n',
     b'{"version": 1, "id": "i", "message": "\\udfff"}\n', b"\xff\xfe\n", b"\n", b"null\n", b'{"version": 1e999}\n',
     b'{"version": ' + b"9" * 5000 + b"}\n"],
    ids=["nested", "nested objects", "too long", "half an id", "half a kind", "no utf-8", "empty", "null", "infinite",
         "a long number"],
)  # fmt: skip
def test_what_once_brought_its_thread_down_is_refused(control: Path, data: bytes) -> None:
    assert said(control, data, hang_up=False).get("refused"), data[:60]


def test_sixty_who_say_nothing_keep_nobody_from_being_heard(control: Path) -> None:
    silent = []
    with address(control) as name:
        for _ in range(60):
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(30)
            client.connect(name)
            client.sendall(b"{")
            silent.append(client)
    answer = said(control, b'{"version": 1, "id": "i", "message": "look"}\n')
    for client in silent:
        client.close()
    assert answer["done"] == "Look"
    assert threading.active_count() < 200
