"""A new site: what lies in it, and that nothing of yours is overwritten."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import journals
from retrainctl.app import app
from retrainctl.commands.init import for_sample
from retrainctl.site import site_files
from retraind import settings


def init(*words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["init", *words])
    return result.exit_code, result.stdout, result.stderr


def test_a_new_site_has_the_packaged_files_and_empty_folders(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "site"
    code, out, _ = init(str(folder))
    assert code == 0
    assert f"retraind --config {folder / 'config.yaml'}" in out
    files = site_files()
    assert (folder / "config.yaml").read_bytes() == files["config.yaml"].read_bytes()
    packaged = {p.relative_to(files["policies"]) for p in files["policies"].rglob("*")}
    assert packaged == {p.relative_to(folder / "policies") for p in (folder / "policies").rglob("*")}
    assert Path("price.yaml") in packaged
    assert all(not any((folder / name).iterdir()) for name in ("drops", "done", "quarantine", "state"))


def test_a_folder_with_something_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    code, _, err = init(str(tmp_path))
    assert (code, err) == (1, f"error: {tmp_path}: is not empty; name another folder; nothing was written\n")
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
    code, _, err = init(str(tmp_path / "mine.txt"))
    assert (code, "is a file" in err) == (2, True)


def test_a_site_is_not_made_twice(tmp_path: Path) -> None:
    assert init(str(tmp_path / "site"))[0] == 0
    code, _, err = init(str(tmp_path / "site"))
    assert (code, "is a site already" in err) == (1, True)


def test_the_sample_changes_the_clock_and_the_quiet_period_and_keeps_every_comment() -> None:
    text = (journals.ROOT / "config.yaml").read_text("utf-8")
    changed = for_sample(text)
    before, after = settings.parse(text), settings.parse(changed)
    assert (before.site.clock, after.site.clock) == ("wall", "data")
    assert after.pipelines["produce"].retraining.quiet < before.pipelines["produce"].retraining.quiet
    moved = [(a, b) for a, b in zip(text.splitlines(), changed.splitlines(), strict=True) if a != b]
    assert len(moved) == 2  # clock and quiet
    assert [(a.split("#")[1:], a.find("#")) for a, _ in moved] == [(b.split("#")[1:], b.find("#")) for _, b in moved]


def test_the_sample_lies_in_the_drops_folder_and_its_later_drops_beside_it(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    result = CliRunner().invoke(app, ["init", str(folder), "--sample", "--seed", "3", "--json"])
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert "daily_sales_history.parquet" in told["drops"]
    assert len(told["incoming"]) == 12
    assert sorted(p.name for p in (folder / "drops").iterdir()) == told["drops"]
    assert settings.load(folder / "config.yaml")[0].site.clock == "data"


def test_a_sample_of_no_size_is_wrong_usage_and_writes_nothing(tmp_path: Path) -> None:
    assert init(str(tmp_path / "site"), "--sample", "--scale", "0")[0] == 2
    assert not (tmp_path / "site").exists()


def test_a_sample_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    code, _, err = init(str(tmp_path / "site"), "--sample")
    assert (code, "the sample was not made" in err) == (1, True)
