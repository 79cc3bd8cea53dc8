"""Names a file that came in, and knows content that came before."""

from __future__ import annotations

from typing import Any

from retraind.core import events as e
from retraind.core.state import Drop, Flow

__all__ = ["arrived"]


def arrived(flow: Flow, path: str, name: str, sha256: str, size: int, mtime_ns: int) -> list[Any]:
    """The events of a complete file: drop.arrived, and drop.duplicate when the store holds its content.

    Content that was quarantined or discarded before is examined again: its owner gave it again. Content that waits is
    examined twice: the first file may be gone or changed when its turn comes, and then the second is all there is.
    """
    before = flow.with_content(sha256)
    if any(_same_file(d, path, size, mtime_ns) for d in before):
        return []  # told twice, after a restart say
    drop = sha256[:8] if not before else f"{sha256[:8]}-{len(before) + 1}"
    told: list[Any] = [e.DropArrived(drop, path, name, sha256, size, mtime_ns)]
    original = next((d for d in before if d.state == "accepted"), None)
    if original:
        told.append(e.DropDuplicate(drop, original.id))
    return told


def _same_file(drop: Drop, path: str, size: int, mtime_ns: int) -> bool:
    return not drop.filed and (drop.path, drop.bytes, drop.mtime_ns) == (path, size, mtime_ns)
