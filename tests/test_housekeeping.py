"""The state folder stays bounded: models that nobody needs and old jobs go, everything else stays."""

from __future__ import annotations

from pathlib import Path

from retraind.housekeeping import KEPT_JOBS, sweep


def test_what_is_needed_and_the_newest_jobs_stay(tmp_path: Path) -> None:
    for name in ("aa", "bb", "cc.123.part"):
        (tmp_path / "models" / name).mkdir(parents=True)
        (tmp_path / "models" / name / "model.json").write_text("{}")
    for number in range(KEPT_JOBS + 3):
        (tmp_path / "jobs" / f"{number:06d}-forecast").mkdir(parents=True)
    (tmp_path / "jobs" / "000000-train").mkdir()
    (tmp_path / "store").mkdir()
    assert sweep(tmp_path, {"aa"}) == (2, 3)
    assert [p.name for p in (tmp_path / "models").iterdir()] == ["aa"]
    assert sorted(p.name for p in (tmp_path / "jobs").iterdir())[:2] == ["000000-train", "000003-forecast"]
    assert (tmp_path / "store").exists()
    assert sweep(tmp_path, {"aa"}) == (0, 0)


def test_a_site_that_is_new_has_nothing_to_sweep(tmp_path: Path) -> None:
    assert sweep(tmp_path, ()) == (0, 0)
