"""A name of the daemon's socket that fits into what the kernel allows: shared by who serves on it and who asks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["address"]


@contextmanager
def address(path: Path) -> Iterator[str]:
    """A name of the socket that fits into the 108 bytes the kernel allows, however deep the folder lies."""
    if len(os.fsencode(path)) < 100:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
