"""What the linter refuses and notes, at the cadence at which drops come."""

# ruff: noqa: E501 (a row of a table is read as a row)

from __future__ import annotations

from typing import Any

import pytest

from policy_made import example, made, plain
from retraind.core.policy.document import bind_policy, unbind_policy
from retraind.core.policy.lint import Finding, Site, lint, outlook, overlap
from retraind.core.settings import Column, Contract, Table, Target
from retraind.core.units import Span

DAILY, WEEKLY = Span.parse("26h"), Span.parse("7d")
LIVE = {"no_worse": {"metric": "wape", "horizon": 30, "measured": "live", "than": "champion", "within": "2%"}}
WAPE: dict[str, Any] = {"metric": "wape", "horizon": 1, "measured": "test"}


def found(*, cadence: Span | None = WEEKLY, site: Site | None = None, **blocks: Any) -> list[Finding]:
    return [f for f in lint(made(**blocks), cadence, site) if f.problem != "nothing rolls a bad champion back"]


def when(*conditions: dict[str, Any], **block: Any) -> dict[str, Any]:
    return {"when": [{"id": f"c{i}", **c} for i, c in enumerate(conditions)], "give_up_after": "8w", **block}


def rollback(condition: dict[str, Any], watch: str = "4 drops") -> dict[str, Any]:
    return {"when_any": [{"id": "r", **condition}], "to": "last_good", "watch": watch, "cooldown": "7d"}


def worse(horizon: int, drops: int) -> dict[str, Any]:
    asks = {"metric": "wape", "horizon": horizon, "measured": "live", "than": "previous", "by": "10%"}
    return {"for": f"{drops} drops", "worse": asks}


def test_a_plain_policy_has_nothing_to_say_but_that_nothing_rolls_back() -> None:
    assert found() == []
    assert [f.severity for f in lint(made())] == ["note"]


@pytest.mark.parametrize(
    ("blocks", "problem"),
    [
        ({"production": when(LIVE, give_up_after="4w")}, "live figures need"),
        ({"production": when({"soak": {"drops": 1, "for": "60d"}})}, "takes 60 days"),
        ({"production": when({"samples": {"measured": "live", "dates": 60}})}, "live figures need 63 days"),
        ({"refresh": {"when": [{"id": "s", "soak": {"drops": 9}}]}}, "takes 63 days"),
        ({"production": when({"soak": {"drops": 2}}, {"fresh": {"trained_within": "10d"}})}, "is over before the soak"),
        ({"staging": {"when": [{"id": "a", "limit": {**WAPE, "at_least": 40}}]}}, "lets only bad figures through"),
        ({"staging": {"when": [{"id": "a", "limit": {**WAPE, "metric": "r2", "at_most": 1}}]}}, "lets only bad figures"),
        ({"rollback": rollback({"for": "1 drop", "limit": {**WAPE, "measured": "live", "at_most": 40}})}, "rolls back on good"),
        ({"rollback": rollback(worse(1, 5))}, "cannot come within the watch"),
        ({"rollback": rollback(worse(30, 2), "5 drops")}, "comes with scored drop 6"),
        ({"staging": {"when": [{"id": "a", "skill": {**WAPE, "over": ["persistence"], "at_least": "0%"}, "dry_run": True}]}}, "asks for no skill and no limit"),
        ({"production": when({"slices": {"by": "c", **WAPE, "than": "champion", "within": "1%", "min_dates": 9, "small": "hold", "only": ["a", "b"], "may_fail": 2}})}, "asks for nothing"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)  # fmt: skip
def test_what_can_never_be_or_proves_nothing_is_refused(blocks: dict[str, Any], problem: str) -> None:
    refused = [f for f in found(**blocks) if f.severity == "refuse"]
    assert any(problem in f.problem for f in refused), refused
    assert all(f.remedy for f in refused)


def test_what_hangs_on_the_cadence_is_left_out_where_nobody_said_one() -> None:
    production = when({"soak": {"drops": 9}}, {"fresh": {"trained_within": "10d"}})
    assert found(cadence=None, production=production) == []
    assert len(found(cadence=WEEKLY, production=production)) == 2
    assert [f.path[-1] for f in found(cadence=DAILY, production=production)] == ["trained_within"]


def test_only_live_evidence_does_not_hold_a_first_version() -> None:
    live_skill = {"skill": {**WAPE, "measured": "live", "over": ["persistence"], "at_least": "0%"}}
    staging = {"when": [{"id": "s", "samples": {"measured": "test", "dates": 3}}]}
    assert any("on live days only" in f.problem for f in found(staging=staging, production=when(live_skill)))
    assert found(staging=staging, production=when(live_skill, first="as_any")) == []


@pytest.mark.parametrize(
    ("name", "changed", "note"),
    [
        ("examples/price-conservative", {"production": {"give_up_after": "2w"}}, "lasts longer than give_up_after 2w"),
        ("examples/price-conservative", {}, "approvals given before the freeze spring-festival of 16 days are void"),
    ],
)
def test_what_may_surprise_is_noted(name: str, changed: dict[str, dict[str, Any]], note: str) -> None:
    value = unbind_policy(example(name))
    for block, keys in changed.items():
        value[block].update(keys)
    assert any(note in f.problem for f in lint(bind_policy(value)) if f.severity == "note")


def test_candidates_that_go_stale_in_a_freeze_are_noted() -> None:
    window = {"id": "f", "why": "w", "stages": ["production"], "from": "2027-01-01", "to": "2027-03-31"}
    notes = found(timezone="Asia/Shanghai", freeze=[window])
    assert any("go stale in the freeze f of 90 days" in f.problem for f in notes)


def test_windows_that_leave_no_minute_open_are_refused_and_one_minute_is_enough() -> None:
    days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]

    def windows(end: str) -> dict[str, Any]:
        late = {"id": "late", "why": "w", "stages": ["production"], "days": days, "between": ["12:00", end]}
        night = {"id": "night", "why": "w", "stages": ["production"], "days": days, "between": ["23:00", "12:00"]}
        return {"timezone": "Asia/Shanghai", "freeze": [late, night]}

    assert any("no minute of the week is left open for production" in f.problem for f in found(**windows("23:00")))
    assert found(**windows("22:59")) == []


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        ("a*", "*a", True),
        ("*", "x", True),
        ("", "*", True),
        ("", "a", False),
        ("a*c", "ab*", True),
        ("a*c", "b*", False),
    ],
)
def test_globs_overlap_when_some_name_fits_both(one: str, other: str, *, both: bool) -> None:
    assert overlap(one, other) is overlap(other, one) is both


def test_a_long_glob_does_not_keep_the_linter_busy() -> None:
    assert not overlap("a*" * 40 + "b", "a*" * 40 + "c")


def test_the_outlook_counts_the_first_figure_of_a_long_horizon() -> None:
    policy = bind_policy(plain(rollback=rollback(worse(7, 1), "9 drops")))
    assert outlook(policy, WEEKLY).rollback is not None
    by_week, by_day = outlook(policy, WEEKLY).rollback, outlook(policy, DAILY).rollback
    assert by_week is not None
    assert by_day is not None
    assert (by_week.days, by_day.days) == (14, 9)


# ---- figures that a training logs ----

HERE = Site(WEEKLY, ("price",), (1, 7, 14, 30), folds=3)


def asked(name: str, site: Site | None = HERE, place: str = "production") -> list[Finding]:
    condition = {"figure": {"name": name, "at_most": 1}}
    block = when(condition) if place == "production" else {"when": [{"id": "f", **condition}]}
    return found(site=site, **{place: block})


@pytest.mark.parametrize(
    "name",
    ["smape_h30", "validation_wape_h7", "validation_smape_h7", "validation_bias_h1", "validation_against_persistence",
     "validation_cost", "validation_std", "search_trials", "search_cost", "search_std", "search_cut_short", "fold_1_smape_h1", "fold_3_r2_h7",
     "p_persistence_wape_h30", "p_seasonal_naive_mape_h1", "p_moving_average_rmse_h14"],
)  # fmt: skip
def test_a_figure_that_trainings_log_is_not_spoken_of(name: str) -> None:
    assert asked(name) == asked(name, site=None) == []


@pytest.mark.parametrize(
    ("name", "problem", "remedy"),
    [
        ("validation_wap_h1", "no training logs a number named validation_wap_h1", "did you mean validation_wape_h1?"),
        ("validation_smap_h7", "no training logs", "did you mean validation_smape_h7?"),
        ("fold_0_wape_h1", "no training logs", "did you mean fold_3_wape_h1?"),
        ("p_persistance_wape_h1", "no training logs", "did you mean p_persistence_wape_h1?"),
        ("zzz", "no training logs", "validation_cost, "),
        ("smape_h3", "no model forecasts 3 days ahead", "horizons here: 1, 7, 14, 30"),
        ("validation_wape_h3", "no model forecasts 3 days ahead", "horizons here: 1, 7, 14, 30"),
        ("validation_wape_h14", "two shortest horizons only", "those are 1 and 7 days ahead"),
        ("fold_1_wape_h30", "two shortest horizons only", "those are 1 and 7 days ahead"),
        ("fold_4_wape_h1", "there is no fold 4", "training.search.folds here: 3"),
        ("test_wape_h1", "no figure that a policy can name", "ask with limit (or better, against the champion), measured: test"),
        ("test_smape_h7", "no figure that a policy can name", "write name: smape_h7"),
        ("p_champion_wape_h7", "no figure that a policy can name", "ask with significant"),
    ],
)
def test_a_figure_that_no_training_here_logs_is_noted(name: str, problem: str, remedy: str) -> None:
    [note] = asked(name)
    assert (note.severity, note.path) == ("note", ("production", "when", 0, "figure", "name"))
    assert problem in note.problem
    assert remedy in note.remedy


def test_a_figure_at_a_horizon_or_of_a_fold_is_not_spoken_of_where_the_site_is_not_known() -> None:
    assert asked("validation_wape_h14", site=None) == asked("fold_9_wape_h1", site=None) == []


@pytest.mark.parametrize("name", ["validation_wape_h1", "validation_cost", "search_trials", "fold_1_mae_h7"])
def test_a_refresh_ranks_nothing_so_figures_of_the_ranking_are_noted_there(name: str) -> None:
    [note] = asked(name, place="refresh")
    assert note.severity == "note"
    assert f"a refresh ranks nothing and logs no {name}" in note.problem
    assert "move it to production" in note.remedy


@pytest.mark.parametrize("name", ["smape_h1", "p_persistence_wape_h1"])
def test_what_a_refresh_logs_may_be_asked_of_it(name: str) -> None:
    assert asked(name, place="refresh") == []


# ---- slices that are measured ----

ITEM, DAY, WORD, NUMBER = Column("text"), Column("date"), Column("category"), Column("number")


def contract(lookup: dict[str, Column], main: dict[str, Column]) -> Contract:
    tables = {
        "sales": Table("s", "main", {"item": ITEM, "day": DAY, "price": NUMBER, **main}),
        "items": Table("i", "lookup", {"item": ITEM, **lookup}),
    }
    return Contract("item", "day", {"price": Target("price", "level")}, tables)


SHOP = contract({"kind": WORD, "origin": WORD}, {"store": WORD})


def by(column: str, measured: str, known: Contract | None = SHOP) -> list[tuple[str, str]]:
    asks = {**WAPE, "by": column, "measured": measured, "than": "champion", "within": "1%", "min_dates": 3, "small": "hold"}
    notes = found(site=Site(WEEKLY, contract=known), production=when({"slices": asks}))
    assert all((f.severity, f.path[-2:]) == ("note", ("slices", "by")) for f in notes)
    return [(f.problem, f.remedy) for f in notes]


def test_slices_that_are_measured_are_not_spoken_of() -> None:
    assert [by(column, "test") for column in ("kind", "origin", "store", "item_age")] == [[]] * 4
    assert by("kind", "live") == by("whatever", "live", None) == by("whatever", "test", None) == []
    assert by("store", "live", contract({}, {"store": WORD})) == []


@pytest.mark.parametrize(
    ("column", "remedy"),
    [
        ("item_age", "write measured: test or by: kind"),
        ("origin", "write measured: test or by: kind"),
        ("store", "write measured: test or by: kind"),
        ("knd", "write by: kind"),
    ],
)
def test_live_slices_by_another_column_than_live_figures_are_told_by_are_noted(column: str, remedy: str) -> None:
    assert by(column, "live") == [("live figures are told by kind only, so this stays unknown", remedy)]


def test_live_slices_by_item_age_are_noted_even_where_the_contract_is_not_known_or_has_no_category() -> None:
    told = ("live figures are told by a category column only, so this stays unknown", "write measured: test")
    assert by("item_age", "live", None) == by("item_age", "live", contract({}, {})) == [told]
    assert by("kind", "live", contract({}, {})) == [(told[0], "write measured: test and by: item_age")]


def test_an_optional_column_may_be_absent_so_the_next_one_is_not_spoken_of_either() -> None:
    known = contract({"kind": Column("category", optional=True)}, {"store": WORD, "shelf": WORD})
    assert by("kind", "live", known) == by("store", "live", known) == []
    assert [problem for problem, _ in by("shelf", "live", known)] == [
        "live figures are told by kind or store only, so this stays unknown"
    ]


@pytest.mark.parametrize(
    ("column", "remedy"),
    [("orign", "did you mean origin?"), ("month", "known here: kind, origin, store, item_age"), ("price", "known here: ")],
)
def test_test_slices_by_what_is_no_category_column_are_noted(column: str, remedy: str) -> None:
    [(problem, told)] = by(column, "test")
    assert problem == f'"{column}" is no category column of the contract, so this stays unknown'
    assert told.startswith(remedy)
