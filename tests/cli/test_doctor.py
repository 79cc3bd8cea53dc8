"""`retrainctl doctor`: what is wrong with a site is found, each thing with its remedy."""

from __future__ import annotations

import datetime as dt
import fcntl
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from command_line import answering, run_in
from retrainctl.commands.doctor import findings
from retrainctl.health import machine, records, registry
from retrainctl.health.finding import Finding
from retrainctl.site import Site, site_at
from retraind.core import events as e
from retraind.core import messages as m
from retraind.core.state import RunningJob, State
from retraind.journal import beside, read
from retraind.journal.append import Journal

NOW = dt.datetime(2026, 12, 15, tzinfo=dt.UTC)
Wrong = Callable[[], dict[str, list[str]]]


@pytest.fixture
def site(year: Path, tmp_path: Path) -> Site:
    """A copy of the year's site with nothing wrong: its folders, its store and a backup are there."""
    root = Path(shutil.copytree(year, tmp_path / "site"))
    found = site_at(str(root / "config.yaml"))
    for name in ("done", "quarantine", "orders"):
        (root / name).mkdir(exist_ok=True)
    with found.opened() as (_, state):
        for file in state.flow("produce").store:
            path = root / "state" / "store" / file.table / f"{file.sha256}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        backup = beside.backup_path(found.journal, state.last_wall)
    backup.parent.mkdir()
    shutil.copy(found.journal, backup)
    return found


@pytest.fixture
def wrong(site: Site, monkeypatch: pytest.MonkeyPatch) -> Wrong:
    """What the doctor calls wrong at the time of the journal's last event, by check. The registry is left out."""
    monkeypatch.setattr("retrainctl.commands.doctor.registry", lambda *_: iter(()))

    def look() -> dict[str, list[str]]:
        last = site.state().last_wall
        assert last
        told: dict[str, list[str]] = {}
        for finding in findings(site, last):
            if finding.verdict == "wrong":
                assert finding.remedy, finding
                told.setdefault(finding.check, []).append(finding.words)
        return told

    return look


def test_of_a_site_that_is_well_only_the_refused_edit_is_told(wrong: Wrong) -> None:
    assert list(wrong()) == ["policies"]
    assert wrong()["policies"][0].startswith("price.yaml is refused: price.yaml, line 26")


def test_the_command_exits_with_1_and_names_check_words_and_remedy(site: Site) -> None:
    run = run_in(site.root)
    ran = run("doctor", "--json")
    assert ran.code == 1
    assert ran.json["wrong"] == sum(f["verdict"] == "wrong" for f in ran.json["findings"])
    assert set(ran.json["findings"][0]) == {"check", "verdict", "words", "remedy"}
    out = run("doctor").out
    assert " WRONG  policies  price.yaml is refused" in out
    assert "then: retrainctl policy check policies/price.yaml" in out
    assert "ok      " not in out
    assert " ok     journal" in run("doctor", "--all").out


def test_folders_files_and_backups_that_are_gone_are_named(site: Site, wrong: Wrong) -> None:
    shutil.rmtree(site.root / "drops")
    shutil.rmtree(site.root / "state" / "backups")
    (gone,) = (site.root / "state" / "store" / "loss").iterdir()
    gone.unlink()
    (site.root / "quarantine").rmdir()
    (site.root / "quarantine").touch()
    told = wrong()
    assert told["folders"] == [
        f"drops: {site.root}/drops is not there", f"quarantine: {site.root}/quarantine is no folder",
    ]  # fmt: skip
    assert told["backups"] == ["there is none"]
    assert told["store"] == [f"loss/{gone.name} of drop {Path(told['store'][0]).name.split()[-3]} is gone"]


def test_a_damaged_journal_is_named_with_the_backup_that_mends_it(site: Site) -> None:
    with sqlite3.connect(site.journal) as damaged:
        damaged.execute("UPDATE events SET body = replace(body, 'items.csv', 'other.csv') WHERE seq = 5")
    (journal,) = [f for f in findings(site, NOW) if f.check == "journal"]
    assert "event 5 (drop.arrived) was changed" in journal.words
    assert "retrainctl journal restore" in journal.remedy
    site.journal.write_bytes(b"no database" * 1000)
    (journal,) = [f for f in findings(site, NOW) if f.check == "journal"]
    assert "journal restore" in journal.remedy


def test_a_clock_behind_the_journal_is_told(site: Site) -> None:
    state = site.state()
    assert state.last_wall
    (clock,) = machine.clock(state, state.last_wall - dt.timedelta(hours=3))
    assert (clock.verdict, clock.words) == ("wrong", "the machine's clock is 3 h behind the journal's newest event")


def test_a_daemon_that_holds_the_lock_and_does_not_answer_is_told(site: Site, wrong: Wrong) -> None:
    with (site.journal.parent / "retraind.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "holds the site's lock and does not answer" in wrong()["daemon"][0]
        with answering(site, lambda _: m.Answer(done="", data={})):
            assert "daemon" not in wrong()


def test_an_edited_config_is_a_note_and_a_broken_one_is_wrong(site: Site) -> None:
    run = run_in(site.root)
    site.config.write_text(site.config.read_text("utf-8") + "# edited\n", "utf-8")
    notes = {f["check"]: f["words"] for f in run("doctor", "--json").json["findings"] if f["verdict"] == "note"}
    assert "was edited since the daemon loaded it" in notes["config"]
    site.config.write_text(site.config.read_text("utf-8").replace("timezone:", "timezon:"), "utf-8")
    told = [f["words"] for f in run("doctor", "--json").json["findings"] if f["check"] == "config"]
    assert 'unknown key "timezon"' in told[0]


def forecast_without(site: Site, *away: e.Unloadable) -> None:
    """The last forecast once more, which could not load those."""
    with site.opened() as (connection, _):
        *_, last = (r for r in read.records(connection) if isinstance(r.event, e.ForecastMade))
        *_, newest = read.records(connection)
    journal = Journal(site.journal)
    journal.append("produce", replace(last.event, unloadable=away), newest.times, "")
    journal.close()


def test_a_champion_that_cannot_be_loaded_is_wrong_and_another_is_named(site: Site, wrong: Wrong) -> None:
    assert "champion" not in wrong()
    forecast_without(site, e.Unloadable("demand", 5, "avg_price is gone"))
    assert wrong()["champion"][0].startswith("demand v5, the champion, cannot be loaded: avg_price is gone; orders are by ")
    flow = site.state().flow("produce")
    (told,) = [f for f in records.champions(site, flow) if f.verdict == "wrong"]
    assert told.remedy == "train another: retrainctl retrain demand --search --now"
    for number, why in ((1, ""), (2, "cannot either")):
        flow.models["demand"].versions[str(number)].stage = "Staging"
        flow.models["demand"].versions[str(number)].unloadable = why
    (told,) = [f for f in records.champions(site, flow) if f.verdict == "wrong"]
    assert told.remedy == "take another: retrainctl promote demand 1 --to production --force --reason WHY"


# ---- the registry's answer ----


def answer(state: State, **changes: Any) -> dict[str, Any]:
    """What a registry says that agrees with the journal."""
    models = state.flow("produce").models.values()
    seen = {
        "client": "3.17.2", "server": None, "why": "", "experiment": "active", "running": [],
        "versions": [{"model": x.name, "number": v.version, "request": v.request} for x in models for v in x.versions.values()],
        "aliases": {x.name: {"champion": x.champion} for x in models},
    }  # fmt: skip
    return {**seen, **changes}


def held_against(site: Site, state: State, **changes: Any) -> list[Finding]:
    return [f for f in registry.compared(site, state, answer(state, **changes)) if f.verdict != "ok"]


def test_a_registry_that_agrees_is_ok(site: Site) -> None:
    assert held_against(site, site.state()) == []


def test_a_run_left_running_a_version_nobody_knows_and_a_moved_alias_are_told(site: Site) -> None:
    state = site.state()
    first = next(iter(state.flow("produce").requests))
    all_of_them = answer(state)["versions"]
    (run,) = held_against(site, state, running=[{"run": "5f3a", "request": first}])
    assert run.words == f"run 5f3a of {first} is RUNNING, and nobody works on it"
    assert "set_terminated('5f3a', 'FAILED')" in run.remedy
    (unknown,) = held_against(site, state, versions=[*all_of_them, {"model": "price", "number": 9, "request": f"{first[:-1]}7"}])
    assert "price v9 was registered for" in unknown.words
    assert held_against(site, state, versions=[*all_of_them, {"model": "price", "number": 9, "request": "abcdef-1"}]) == []
    assert held_against(site, state, versions=[*all_of_them, {"model": "price", "number": 9, "request": None}]) == []
    (gone,) = held_against(site, state, versions=[v for v in all_of_them if (v["model"], v["number"]) != ("demand", 5)])
    assert (gone.verdict, gone.words) == ("wrong", "demand v5, the champion, is not in MLflow any more")
    (alias,) = held_against(site, state, aliases={"price": {"champion": 1}, "demand": {"champion": 2}})
    assert alias.words == "alias champion of demand names v2, the journal says v5"


def test_a_target_that_left_the_settings_is_missed_by_nobody(site: Site) -> None:
    """The registry is asked for the models of present targets only: of others its silence says nothing."""
    text = site.config.read_text("utf-8")
    start = text.index("        price:", text.index("      targets:"))
    site.config.write_text(text[:start] + text[text.index("        demand:", start) :], "utf-8")
    shrunk, state = site_at(str(site.config)), site.state()
    present = [v for v in answer(state)["versions"] if v["model"] == "demand"]
    assert held_against(shrunk, state, versions=present, aliases={"demand": {"champion": 5}}) == []
    state.flow("produce").models["price"].versions["1"].unloadable = "its column is gone"
    assert [f.verdict for f in records.champions(shrunk, state.flow("produce"))] == ["ok"]


def test_a_run_of_the_training_that_is_under_way_is_no_orphan(site: Site) -> None:
    state = site.state()
    flow = state.flow("produce")
    first = next(iter(flow.requests))
    assert state.last_wall
    flow.jobs["x"] = RunningJob("x", "train", first, 1, state.last_wall)
    assert held_against(site, state, running=[{"run": "5f3a", "request": first}]) == []


def test_a_registry_that_is_away_old_or_without_its_experiment_is_told(site: Site) -> None:
    state = site.state()
    assert "cannot be read: refused" in held_against(site, state, why="refused")[0].words
    assert "update the server to 3.0" in held_against(site, state, server="2.22.0")[0].remedy
    assert held_against(site, state, server="3.17.2") == []
    assert "was deleted" in held_against(site, state, experiment="deleted")[0].words


def test_a_daemon_of_another_release_is_told(site: Site, wrong: Wrong, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retrainctl.health.records.__version__", "9.9.9")
    with answering(site, lambda _: m.Answer(done="", data={})):
        assert wrong()["daemon"] == ["it is release 0.1.0, this is 9.9.9"]
