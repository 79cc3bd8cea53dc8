"""What lies beside a journal, by name: its snapshot, and its backups in a folder of their own."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

__all__ = ["backup_path", "backups", "made_at", "snapshot_path", "what_to_do"]

_NAME, _STAMP = "journal-{}.db", "%Y-%m-%dT%H%M%SZ"


def snapshot_path(journal: Path) -> Path:
    """Where the snapshot lies."""
    return journal.with_name("snapshot.json")


def backup_path(journal: Path, at: dt.datetime, why: str = "") -> Path:
    """Where the backup of that moment lies: `state/backups/journal-2026-11-28T030000Z.db`. why: of one out of turn, in the name."""
    stamp = at.astimezone(dt.UTC).strftime(_STAMP)
    return journal.parent / "backups" / _NAME.format(f"{stamp}-{why}" if why else stamp)


def backups(journal: Path) -> list[Path]:
    """Those that are there, the oldest first."""
    return sorted((journal.parent / "backups").glob(_NAME.format("*")))


def made_at(backup: Path) -> dt.datetime | None:
    """When a backup was made, by its name."""
    try:
        return dt.datetime.strptime(backup.stem.removeprefix("journal-")[:18], _STAMP).replace(tzinfo=dt.UTC)
    except ValueError:
        return None


def what_to_do(journal: Path) -> str:
    """About a damaged journal: the newest backup and the command that puts it back; else a copy of the folder."""
    found = backups(journal)
    if not found:
        return "there is no backup beside it: put a copy of the state folder back"
    return f"the newest backup is {found[-1].name}; with the daemon stopped, put it back with: retrainctl journal restore"
