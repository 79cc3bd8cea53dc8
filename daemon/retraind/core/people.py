"""Who a message is from, as the socket tells it (`ops-a`, or `root (login ops-a)` behind sudo), and why, in words."""

from __future__ import annotations

import re

__all__ = ["person", "quoted"]


def person(by: str) -> str:
    """The person behind the name: who logged in, where the socket knows; so root counts as root only by itself."""
    login = re.search(r" \(login (.+)\)$", by)
    return login[1] if login else by


def quoted(reason: str) -> str:
    """What follows a person's name: `: "stocktaking"`, or nothing where no reason was given."""
    return f': "{reason}"' if reason else ""
