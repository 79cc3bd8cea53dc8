"""config.yaml: the root's file is the default, every key stands in it, and a mistake is told with its line."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from retraind import settings
from retraind.core.binding import unbind
from retraind.core.settings import Drift, Drops, Jobs, Mlflow, Paths, Retraining, Settings, Site, Training
from retraind.errors import Refused

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "config.yaml").read_text("utf-8")
DEFAULT = settings.parse(TEXT)
PRODUCE = DEFAULT.pipelines["produce"]


@pytest.mark.parametrize(
    ("shown", "default"),
    [
        (DEFAULT.site, Site()), (DEFAULT.paths, Paths()), (DEFAULT.mlflow, Mlflow()), (PRODUCE.drops, Drops()),
        (PRODUCE.training, Training()), (PRODUCE.drift, Drift()),
        (dataclasses.replace(DEFAULT.jobs, time_limits={}), Jobs()),
        (dataclasses.replace(PRODUCE.retraining, schedules={}), Retraining()),
    ],
)  # fmt: skip
def test_what_the_file_shows_is_the_default(shown: object, default: object) -> None:
    assert shown == default


def test_the_time_limits_shown_are_the_default_ones() -> None:
    assert {name: span.seconds for name, span in DEFAULT.jobs.time_limits.items()} == Jobs.DEFAULT_LIMITS


def test_every_key_stands_in_the_file() -> None:
    plain = unbind(DEFAULT)
    keys = [k for section in (plain, plain["site"], plain["paths"], plain["mlflow"], plain["jobs"]) for k in section]
    pipeline = plain["pipelines"]["produce"]
    keys += [k for part in (pipeline, *pipeline.values()) for k in part]
    absent = [k for k in keys if f"{k}:" not in TEXT]
    assert absent == []


BROKEN = [
    ("settle: 3s", "setle: 3s", 'unknown key "setle"', "did you mean settle?"),
    ("after: move", "after: mov", '"mov" is not one of move, leave, delete', "did you mean move?"),
    ("quiet: 2m", "quiet: 2", "2 has no unit", "30m, 26h or 14d"),
    ("horizons: [1, 7, 14, 30]", "horizons: [1, 0]", "horizons are different whole numbers", ""),
    ("timezone: Asia/Shanghai", "timezone: Asia/Shanhai", "no time zone", "IANA"),
    ("column: quantity_kg", "column: qty", '"qty" is no column of the main table', "its columns"),
    ("test: 15%", "test: 25%", "must sum to 100%", ""),
    ("memory: 3GB", "memory: 3", "3 has no unit", "700MB"),
    ("half-yearly: {every: 26w, asks: search}", "half-yearly: {}", "needs either cron or every", "every: 4w"),
    ("role: main", "role: companion", "needs one table with role: main", ""),
    ("version: 1\n", "version: 2\n", "version 2 is not known", "reads 1"),
    ("model_name: \"{target}\"", "model_name: forecast", "must contain {target}", ""),
    ("on_bad_row: reject", "on_bad_row: ignore", "is not a rule for bad rows", "set_aside up to"),
]


@pytest.mark.parametrize(("right", "wrong", "problem", "remedy"), BROKEN)
def test_a_mistake_is_told_with_its_line_and_remedy(right: str, wrong: str, problem: str, remedy: str) -> None:
    assert TEXT.count(right) == 1
    with pytest.raises(Refused) as caught:
        settings.parse(TEXT.replace(right, wrong))
    told = [m for m in caught.value.mistakes if problem in m.what]
    assert told, [str(m) for m in caught.value.mistakes]
    assert remedy in told[0].remedy
    line = TEXT[: TEXT.index(right)].count("\n") + 1
    assert told[0].where
    assert told[0].where.line is not None
    assert told[0].where.line <= line


def test_all_mistakes_of_a_file_are_told_at_once() -> None:
    text = TEXT.replace("settle: 3s", "setle: 3s").replace("quiet: 2m", "quiet: 2").replace("after: move", "after: mov")
    with pytest.raises(Refused) as caught:
        settings.parse(text)
    assert len(caught.value.mistakes) == 3


def test_a_file_needs_only_what_has_no_default() -> None:
    contract = TEXT[TEXT.index("    contract:") : TEXT.index("    training:")]
    small = settings.parse(f"version: 1\npipelines:\n  produce:\n{contract}")
    assert isinstance(small, Settings)
    assert small.site == Site()
