"""Tells systemd how the daemon is: READY, STATUS, WATCHDOG, STOPPING. Without systemd it says nothing.

The protocol is one datagram to $NOTIFY_SOCKET (sd_notify(3)); the packages for it are old or compiled.
"""

from __future__ import annotations

import contextlib
import os
import socket

__all__ = ["notify", "watchdog_seconds"]


def notify(*lines: str) -> None:
    """`notify("READY=1", "STATUS=idle")`."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)  # a socket that nobody reads must not stop the loop
        sender.sendto("\n".join(lines).encode(), address)


def watchdog_seconds() -> float | None:
    """How often systemd wants to hear from us: half of WatchdogSec."""
    wanted = os.environ.get("WATCHDOG_USEC")
    return int(wanted) / 2e6 if wanted and os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid()) else None
