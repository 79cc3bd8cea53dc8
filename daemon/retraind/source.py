"""Which code this is: its own source, since two commits of one release are not the same, and the libraries it runs on."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
from functools import cache
from pathlib import Path

__all__ = ["PYTHON", "source_digest", "version_of"]

PYTHON = "Python"


@cache
def source_digest() -> str:
    """Digest of the daemon's source files, 12 hex digits."""
    digest, root = hashlib.sha256(), Path(__file__).parent
    for file in sorted(root.rglob("*.py")):
        digest.update(f"{file.relative_to(root)}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:12]


def version_of(name: str) -> str:
    """Of an installed package, or of PYTHON itself; `none` where it is not there."""
    if name == PYTHON:
        return platform.python_version()
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "none"
