"""Memory that was freed goes back to the operating system."""

from __future__ import annotations

import contextlib
import ctypes

__all__ = ["give_back"]


def give_back() -> None:
    """Return what the allocator keeps for later. glibc holds on to freed arrays of a few megabytes, which count as the
    child's: 0.8 of 1.9 GB once the features of 430,000 rows are built. Where the C library cannot, nothing happens."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
