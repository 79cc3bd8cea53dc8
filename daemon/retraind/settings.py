"""Reads config.yaml into the types of `core.settings`, with every mistake and its line.

The daemon keeps what it loaded beside its journal, and `glance` takes it from there as long as config.yaml is the same to
the byte: reading YAML is a third of what `retrainctl status` costs. So nothing of YAML is imported before it is needed.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from retraind import __version__
from retraind.core.binding import Mistakes, bind, unbind
from retraind.core.settings import (
    VERSION,
    Column,
    Contract,
    Drift,
    Drops,
    FeatureSource,
    Jobs,
    Mlflow,
    Name,
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
    "VERSION", "Column", "Contract", "Drift", "Drops", "FeatureSource", "Jobs", "Mlflow", "Name", "OnBadRow", "Paths", "Pipeline",
    "Retraining", "Schedule", "Settings", "Site", "Split", "Table", "Target", "Training", "glance", "keep", "load", "parse",
]


_KEPT = "settings.json"


def parse(text: str, file: str = "config.yaml") -> Settings:
    """The settings in a text. Raises Refused with every mistake."""
    from retraind import strict_yaml  # noqa: PLC0415 (see above)

    return strict_yaml.bind(Settings, strict_yaml.parse(text, file))


def load(path: Path) -> tuple[Settings, str, str]:
    """The settings in a file, its text and the text's sha256. Raises Refused, or RetraindError when it cannot be read."""
    from retraind import strict_yaml  # noqa: PLC0415

    document = strict_yaml.read(path)
    digest = hashlib.sha256(document.text.encode()).hexdigest()
    return strict_yaml.bind(Settings, document), document.text, digest


def keep(settings: Settings, sha256: str, folder: Path) -> None:
    """Put what was loaded where `glance` finds it. Raises OSError."""
    temporary = folder / f"{_KEPT}.tmp"
    document = {"release": __version__, "sha256": sha256, "settings": unbind(settings)}
    temporary.write_text(json.dumps(document, ensure_ascii=False), "utf-8")
    temporary.replace(folder / _KEPT)


def glance(path: Path) -> Settings:
    """The settings in a file, without reading its YAML if this release kept them. Raises as `load` does."""
    try:
        kept = json.loads((path.resolve().parent / Paths().state / _KEPT).read_text("utf-8"))
        if (kept["release"], kept["sha256"]) == (__version__, hashlib.sha256(path.read_bytes()).hexdigest()):
            return bind(Settings, kept["settings"], strict=False)
    except (OSError, ValueError, KeyError, TypeError, Mistakes):
        pass  # no daemon was here yet, or another release's: the file itself says it
    return load(path)[0]
