"""Live sums: days pool, whoever is compared is compared on equal rows, and drops are counted by what they brought."""

from __future__ import annotations

import datetime as dt
import random
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from retraind.core import live
from retraind.core.events import ForecastFile, ForecastScored, LiveCell, SliceCell, Spell
from retraind.core.figures import Sums

DAY = dt.date(2026, 11, 2)
FILE = ForecastFile("aa", 1, DAY, DAY)


def sums(rows: int, digest: int, error: float) -> Sums:
    return Sums(rows, f"{digest:016x}", error, -error / 2, error**2, error / 10, rows, 10.0 * rows, 120.0 * rows)


def cell(who: str, day: int, made: Sums, *, horizon: int = 1) -> LiveCell:
    role = "champion" if who.isdigit() else "baseline"
    return LiveCell("price", who, role, horizon, DAY + dt.timedelta(days=day), False, made)  # type: ignore[arg-type]


def told(*events: tuple[LiveCell, ...]) -> live.Live:
    kept = {"price": live.Live()}
    for seq, cells in enumerate(events, start=1):
        live.add(kept, ForecastScored("k", FILE, cells), seq)
    return kept["price"]


def everybody(day: int, rows: int = 40, error: float = 10.0, digest: int | None = None) -> tuple[LiveCell, ...]:
    made = sums(rows, day + 1 if digest is None else digest, error)
    return (cell("7", day, made), cell("persistence", day, replace(made, error=20.0)))


def test_figures_are_those_of_the_pooled_days() -> None:
    known = told(everybody(0, 40, 10.0), everybody(1, 60, 30.0))
    own = live.comparison(known, "7").own
    assert own is not None
    assert own.values["wape"]["h1"] == 100 * 40.0 / 1000.0
    assert own.values["bias"]["h1"] == -100 * 20.0 / 1000.0
    assert own.values["mae"]["h1"] == 40.0 / 100
    assert own.values["mase"]["h1"] is None
    assert (own.rows["h1"].rows, own.rows["h1"].dates) == (100, 2)


def test_a_day_that_comes_in_pieces_is_the_same_as_one_that_comes_whole() -> None:
    whole = told(tuple(replace(c, sums=sums(50, 30, 12.0)) for c in everybody(0)))
    pieces = told(everybody(0, 20, 5.0, 10), everybody(0, 30, 7.0, 20))
    one, other = (live.comparison(k, "7").own for k in (whole, pieces))
    assert one is not None
    assert other is not None
    assert one.rows == other.rows
    assert one.values["wape"] == other.values["wape"]


def test_forecasters_are_compared_on_the_days_whose_rows_they_share() -> None:
    known = told(everybody(0), everybody(1), (cell("8", 1, sums(40, 2, 5.0)), cell("8", 2, sums(40, 3, 5.0)), *everybody(2)))
    beside = live.comparison(known, "8", "7")
    assert beside.own is not None
    assert beside.champion is not None
    assert beside.own.rows == beside.champion.rows == beside.baselines["persistence"].rows
    assert beside.own.rows["h1"].dates == 2
    other_rows = told((*everybody(0), cell("8", 0, sums(40, 99, 1.0))))
    assert live.comparison(other_rows, "8", "7").champion is None


def test_a_champion_without_figures_does_not_take_the_comparison_with_doing_nothing_away() -> None:
    known = told((cell("8", 0, sums(40, 1, 5.0)), *everybody(0)[1:]))
    beside = live.comparison(known, "8", "7")
    assert beside.champion is None
    assert beside.baselines["persistence"].rows["h1"].rows == 40


def test_a_scored_drop_is_three_dates_and_sixty_rows_and_several_files_of_a_day_count_once() -> None:
    daily = told(*(everybody(d) for d in range(7)))
    assert live.scored_drops(daily, 0) == [frozenset({1, 2, 3}), frozenset({4, 5, 6})]
    assert live.scored_drops(daily, 3) == [frozenset({4, 5, 6})]
    weekly = told(tuple(c for d in range(7) for c in everybody(d)))
    assert live.scored_drops(weekly, 0) == [frozenset({1})]
    same_day = told(*(everybody(0, 40, 1.0, n) for n in range(1, 9)))
    assert live.scored_drops(same_day, 0) == []
    thin = told(*(everybody(d, 10) for d in range(6)))
    assert live.scored_drops(thin, 0) == [frozenset({1, 2, 3, 4, 5, 6})]


def test_days_of_a_withdrawn_drop_are_forgotten_and_old_days_with_time() -> None:
    known = told(everybody(0), everybody(1), everybody(live.KEPT_DAYS + 5))
    assert list(live.days(known, "7", "h1")) == [(DAY + dt.timedelta(days=live.KEPT_DAYS + 5)).isoformat()]
    known = told(everybody(0), everybody(1))
    live.void(known, DAY, DAY)
    assert list(live.days(known, "7", "h1")) == [(DAY + dt.timedelta(days=1)).isoformat()]
    live.forget(known, set())
    assert set(known.days) == {"persistence"}


def part(who: str, days: tuple[int, int], made: Sums, category: str = "roots") -> SliceCell:
    first, last = (DAY + dt.timedelta(days=d) for d in days)
    return SliceCell("price", who, "champion" if who.isdigit() else "baseline", 1, category, True, made, (Spell(first, last),))


def cut(*events: tuple[SliceCell, ...]) -> live.Live:
    kept = {"price": live.Live()}
    for seq, parts in enumerate(events, start=1):
        newest = max((spell.last for one in parts for spell in one.days), default=DAY) - DAY
        live.add(kept, ForecastScored("k", FILE, everybody(newest.days), parts, sliced_by="category_name"), seq)
    return kept["price"]


def test_slices_pool_the_events_in_which_both_were_scored_on_the_same_rows() -> None:
    one, two, other = sums(40, 1, 10.0), sums(60, 2, 30.0), sums(60, 99, 3.0)
    known = cut(
        (part("8", (0, 6), one), part("7", (0, 6), replace(one, error=20.0)), part("persistence", (0, 6), one)),
        (part("8", (5, 8), two), part("7", (5, 8), replace(two, error=50.0)), part("8", (5, 8), one, "leaves")),
        (part("8", (9, 9), other), part("7", (9, 9), two)),
    )
    found = live.slices(known, "8", "7")["category_name"]
    own, champion = found["roots"].own, found["roots"].champion
    assert own is not None
    assert champion is not None
    assert (own.values["wape"]["h1"], champion.values["wape"]["h1"]) == (100 * 40 / 1000, 100 * 70 / 1000)
    assert (own.rows["h1"].rows, own.rows["h1"].dates) == (100, 9), "dates of two events count once, other rows do not count"
    assert own.rows == champion.rows
    assert found["leaves"].own is not None
    assert found["leaves"].own.rows == {}, "the champion was not scored there"


def test_nobody_has_slices_before_they_were_scored_and_events_of_old_have_none() -> None:
    known = cut((part("7", (0, 6), sums(40, 1, 10.0)),))
    assert live.slices(known, "8", "7") == {"category_name": {}}
    assert live.slices(cut((replace(part("7", (0, 6), sums(40, 1, 10.0)), days=()),)), "7", "6") == {}
    assert live.slices(None, "8", "7") == {}


def test_slices_of_a_withdrawn_drop_are_forgotten_and_old_ones_with_time() -> None:
    old, new = sums(40, 1, 10.0), sums(40, 2, 10.0)
    late = live.KEPT_SLICE_DAYS + 8
    known = cut((part("8", (0, 6), old), part("7", (0, 6), old)), (part("8", (late, late), new), part("7", (late, late), new)))
    (found,) = live.slices(known, "8", "7")["category_name"].values()
    assert found.own is not None
    assert found.own.rows["h1"].dates == 1
    day = DAY + dt.timedelta(days=late)
    live.void(known, day, day)
    assert live.slices(known, "8", "7")["category_name"] == {}
    live.forget(known, {"7"})
    assert set(known.slices["category_name"]) == {"7"}


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 2**64 - 1)), min_size=1, max_size=12),
       st.randoms(use_true_random=False))  # fmt: skip
def test_the_order_of_events_changes_no_figure(batches: list[tuple[int, int]], shuffled: random.Random) -> None:
    other = list(batches)
    shuffled.shuffle(other)
    made = [live.comparison(told(*(everybody(d, 8, 4.0, n) for d, n in order)), "7") for order in (batches, other)]
    assert made[0].own is not None
    assert made[1].own is not None
    assert made[0].own.rows == made[1].own.rows
    assert abs((made[0].own.values["wape"]["h1"] or 0) - (made[1].own.values["wape"]["h1"] or 0)) < 1e-9
