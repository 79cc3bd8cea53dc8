"""What a child says is taken for what it is worth."""

from __future__ import annotations

import subprocess
import sys

import pytest

from retraind.runner import _Child, _ending


@pytest.mark.parametrize("said", [None, "text", 7, [], {}, {"kind": "unheard of"}, {"kind": []}, {"kind": "failed"}])
def test_an_outcome_that_is_none_is_a_crash_and_never_the_end_of_the_watch(said: object) -> None:
    """The thread that watches the child must always tell its end: the lane waits for it."""
    process = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    process.wait(30)
    assert process.stdout
    process.stdout.close()
    child = _Child(process, 0.0, 1.0, 1)
    child.outcome = said
    ended = _ending("000001-train", child)
    assert ended.ended == "crashed"
    assert ended.outcome is not None
