"""The notes of a training: each thing is said once."""

from __future__ import annotations

import datetime as dt
from typing import Any, cast

import pytest

from retraind.core.steps import Champion
from retraind.jobs import train
from retraind.jobs.training.portfolio import Unfit


def test_a_champion_that_cannot_be_fitted_is_said_once_where_the_refresh_became_a_search(monkeypatch: pytest.MonkeyPatch) -> None:
    def unfit(*_: Any) -> None:
        raise Unfit("a feature is gone")

    monkeypatch.setattr(train, "stand_in", unfit)
    champion, nothing = Champion(1, {}, dt.date(2024, 1, 1)), cast("Any", None)
    said = train._cannot("price", champion, Unfit("a feature is gone"))
    for before, after in (([f"{said}; the portfolio was searched instead"],) * 2, ([], [said])):
        notes = list(before)
        assert train._stand_in(nothing, "price", champion, nothing, notes) is None
        assert notes == after
