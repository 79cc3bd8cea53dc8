"""Reads config.yaml into the types of `core.settings`, with every mistake and its line."""

from __future__ import annotations

import hashlib
from pathlib import Path

from retraind import strict_yaml
from retraind.core.settings import (
    VERSION,
    Column,
    Contract,
    Drift,
    Drops,
    Jobs,
    Mlflow,
    OnBadRow,
    Paths,
    Pipeline,
    Retraining,
    Schedule,
    Settings,
    Site,
    Split,
    Table,
    Target,
    Training,
)

__all__ = [
    "VERSION", "Column", "Contract", "Drift", "Drops", "Jobs", "Mlflow", "OnBadRow", "Paths", "Pipeline", "Retraining",
    "Schedule", "Settings", "Site", "Split", "Table", "Target", "Training", "load", "parse",
]


def parse(text: str, file: str = "config.yaml") -> Settings:
    """The settings in a text. Raises Refused with every mistake."""
    return strict_yaml.bind(Settings, strict_yaml.parse(text, file))


def load(path: Path) -> tuple[Settings, str, str]:
    """The settings in a file, its text and the text's sha256. Raises Refused, or RetraindError when it cannot be read."""
    document = strict_yaml.read(path)
    digest = hashlib.sha256(document.text.encode()).hexdigest()
    return strict_yaml.bind(Settings, document), document.text, digest
