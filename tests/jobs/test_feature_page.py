"""docs/features.md is made from the table of features."""

from __future__ import annotations

from pathlib import Path

from retraind import settings
from retraind.jobs.training.feature_page import page

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_of_features_is_what_the_code_says() -> None:
    produce = settings.load(ROOT / "config.yaml")[0].pipelines["produce"]
    made = page(produce.contract, produce.training.features_kept)
    shown = (ROOT / "docs" / "features.md").read_text("utf-8")
    assert shown == made, "run: python -m retraind.jobs.training.feature_page docs"
