"""Who a message is from, as the socket tells it (`ops-a`, or `root (login ops-a)` behind sudo), and why, in words."""

from __future__ import annotations

import re

__all__ = ["BY_HAND", "FOREIGN", "person", "quoted"]

BY_HAND = "by hand"
"""Stands where a decision names its policy."""
FOREIGN = "somebody in MLflow"
"""Who moved an alias that is ours: the registry does not tell."""


def person(by: str) -> str:
    """The person behind the name: who logged in, where the socket knows; so root counts as root only by itself."""
    login = re.search(r" \(login (.+)\)$", by)
    return login[1] if login else by


def quoted(reason: str) -> str:
    """What follows a person's name: `: "stocktaking"`, or nothing where no reason was given."""
    return f': "{reason}"' if reason else ""
