"""Files that are there whole or not at all, whatever ends the process that writes them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

__all__ = ["to_disk", "whole"]


@contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """A file to write into: it lies beside `path`, and comes into its place when the block ends and the disk has it.

    Its folder is made. After an error `path` is what it was. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.part")
    with beside.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def to_disk(path: Path) -> None:
    """Wait until the disk has a file, or what a folder lists. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
