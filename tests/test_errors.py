"""Errors as people read them."""

from __future__ import annotations

import pytest

from journals import ROW_118, START
from retraind.core import events as e
from retraind.core.intake import _reason
from retraind.core.state import Drop
from retraind.errors import Place, RetraindError, told


@pytest.mark.parametrize(
    ("what", "remedy", "words"),
    [
        ("it broke", "", "it broke"),
        ("it broke", "mend it", "it broke; mend it"),
        ("it broke", "Mend it", "it broke. Mend it"),
        ("it broke.", "Mend it", "it broke. Mend it"),
        ('unknown key "at_mots"', "did you mean at_most?", 'unknown key "at_mots"; did you mean at_most?'),
    ],
)
def test_a_remedy_follows_as_a_sentence_or_as_a_clause(what: str, remedy: str, words: str) -> None:
    assert told(what, remedy) == words
    assert str(RetraindError(what, where=Place("a.csv", row=3), remedy=remedy)) == f"a.csv, row 3: {words}"


def test_the_reason_beside_a_quarantined_file_reads_as_sentences() -> None:
    plain = e.ContractProblem("type", "the file is one", "see the contract")
    drop = Drop(
        "9f2c", "drops/a.csv", "a.csv", "00", 1, 1, START, "quarantined", problems=(ROW_118, plain), problem_count=2
    )
    assert _reason(drop).splitlines()[1:3] == [
        "- row 118, quantity_kg: quantity_kg is -3.5, must be at least 0 (rule: at_least). Give the weight as sold.",
        "- the file is one (rule: type); see the contract",
    ]
