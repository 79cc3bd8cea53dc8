"""Settings as the daemon keeps them: whoever only looks takes them from there while config.yaml is the same to the byte."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from retraind import settings, strict_yaml
from retraind.errors import Refused

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A site's config.yaml whose daemon kept what it loaded."""
    path = tmp_path / "config.yaml"
    path.write_bytes((ROOT / "config.yaml").read_bytes())
    (tmp_path / "state").mkdir()
    loaded, _, sha256 = settings.load(path)
    settings.keep(loaded, sha256, tmp_path / "state")
    return path


def no_yaml(*_: object, **__: object) -> None:
    raise AssertionError("YAML was read")


def test_a_glance_takes_what_was_kept_and_reads_no_yaml(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = settings.load(config)[0]
    monkeypatch.setattr(strict_yaml, "parse", no_yaml)
    assert settings.glance(config) == loaded


def test_an_edit_of_the_file_is_seen_at_a_glance(config: Path) -> None:
    text = config.read_text("utf-8")
    config.write_text(text.replace("timezone: Asia/Shanghai", "timezone: Europe/Paris"), "utf-8")
    assert settings.glance(config).site.timezone == "Europe/Paris"
    config.write_text(text + "\nnonsense: 1\n", "utf-8")
    with pytest.raises(Refused, match="nonsense"):
        settings.glance(config)


def altered(change: Callable[[dict[str, object]], object]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        document = json.loads(path.read_text("utf-8"))
        change(document)
        path.write_text(json.dumps(document), "utf-8")

    return write


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.unlink(),
        lambda path: path.write_text("{", "utf-8"),
        lambda path: path.write_text("[]", "utf-8"),
        altered(lambda document: document.update(release="0.0.0")),
        altered(lambda document: document.update(settings={"pipelines": 3})),
        altered(lambda document: document.pop("sha256")),
    ],
    ids=["none", "torn", "no mapping", "another release", "does not fit", "no digest"],
)
def test_what_was_kept_badly_costs_a_reading_and_nothing_else(config: Path, spoil: Callable[[Path], None]) -> None:
    spoil(config.parent / "state" / "settings.json")
    assert settings.glance(config) == settings.load(config)[0]
