"""`retrainctl journal`: backups of the journal by hand, and one put back in the place of a damaged journal."""

from __future__ import annotations

import fcntl
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from retrainctl import site as sites
from retrainctl.options import Json, Yes, agreed
from retrainctl.site import Site, open_site, site_to_look_at
from retrainctl.text import emit, print_json, screen, table
from retrainctl.views.times import count, iso, moment
from retraind.errors import Place, RetraindError, Usage
from retraind.journal import backup as backups
from retraind.journal import beside, read

__all__ = ["app"]

app = typer.Typer(help="Backups of the journal.", no_args_is_help=True, add_completion=False)


@app.callback()
def _journal() -> None: ...


@app.command()
def backup(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(metavar="[FILE]", help="Where to; state/backups where none is named.")] = "",
    json: Json = False,
) -> None:
    """Copy the journal, running or not, and read the copy from its first event to its last."""
    site = open_site(ctx)
    target = Path(file) if file else beside.backup_path(site.journal, sites.now())
    if target.exists():
        raise Usage("there is a file already", where=Place(str(target)), remedy="name another one")
    try:
        copy = backups.make(site.journal, target)
    except (OSError, sqlite3.Error) as error:
        raise RetraindError(f"cannot be written: {error}", where=Place(str(target)),
                            remedy="make room, or name another folder") from error  # fmt: skip
    if json:
        print_json({"version": 1, "file": str(copy.path), "events": copy.events, "head": copy.head, "last": iso(copy.last)})
    else:
        sys.stdout.write(f"{copy.path}: {count(copy.events, 'event')}, each read again\nhead {copy.head}\n")


@app.command("list")
def list_(ctx: typer.Context, json: Json = False) -> None:
    """The backups beside the journal, the newest last."""
    site = site_to_look_at(ctx.obj["config"])
    rows = [_row(path) for path in beside.backups(site.journal)]
    if json:
        print_json({"version": 1, "backups": [{**r, "made": iso(r["made"])} for r in rows]})
        return
    on, now = screen(), sites.now()
    cells = [[r["file"], moment(r["made"], site.zone, now), f"{r['bytes'] / 1e6:.1f}"] for r in rows]
    lines = table(("BACKUP", "MADE", "MB"), cells, on)
    emit(lines or [[("no backup yet: the daemon makes one a day, or now: retrainctl journal backup", "")]], on)


def _row(path: Path) -> dict[str, Any]:
    return {"file": path.name, "made": beside.made_at(path), "bytes": path.stat().st_size}


@app.command()
def restore(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(metavar="[FILE]", help="A backup; the newest where none is named.")] = "",
    again: Annotated[
        bool, typer.Option("--drops-again", help="Move files that were put into done/ since back into drops/.")
    ] = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Put a backup in the journal's place, with the daemon stopped; what lay there is kept beside it."""
    site = site_to_look_at(ctx.obj["config"])
    with _daemon_away(site):
        chosen = _chosen(site, file)
        copy = backups.check(chosen)
        since = _filed_since(site, chosen)
        agreed(_question(site, copy, since, again=again), yes=yes)
        now = sites.now()
        aside = site.journal.parent / f"damaged-{now:%Y-%m-%dT%H%M%SZ}"
        backups.restore(chosen, site.journal, aside)
        moved = _back_into_drops(site, since) if again else []
    if json:
        print_json({"version": 1, "restored": str(chosen), "events": copy.events, "head": copy.head, "last": iso(copy.last),
                    "aside": str(aside), "filed_since": [str(p) for p in since], "back_in_drops": moved})  # fmt: skip
        return
    sys.stdout.write(f"{count(copy.events, 'event')} of {chosen.name} are back; what lay there is in {aside}\n")
    if since and not again:
        sys.stdout.write(f"copy {count(len(since), 'file')} of done/ that came since into drops/ again, such as {since[0].name}\n")


def _chosen(site: Site, file: str) -> Path:
    if file:
        kept = site.journal.parent / "backups" / file
        path = kept if kept.exists() else Path(file)
        if not path.exists():
            raise Usage("there is no such backup", where=Place(file), remedy="see: retrainctl journal list")
        return path
    found = beside.backups(site.journal)
    if not found:
        raise RetraindError("there is no backup", where=Place(str(site.journal.parent / "backups")),
                            remedy="name one: retrainctl journal restore FILE")  # fmt: skip
    return found[-1]


@contextmanager
def _daemon_away(site: Site) -> Iterator[None]:
    """Holds the lock that a daemon would hold. Raises RetraindError when one does."""
    path = site.journal.parent / "retraind.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RetraindError("the daemon runs on this site", where=Place(str(path)),
                                remedy="stop it first, such as with: systemctl stop retraind", retryable=True) from None
        yield


def _filed_since(site: Site, backup: Path) -> list[Path]:
    """Files of done/ that a backup knows nothing of."""
    with read.opened(backup) as connection:
        known = {site.root / fields["path"] for _, fields in read.bodies(connection, site.pipeline, "drop.filed") if fields["path"]}
    folder = site.root / site.settings.paths.done
    return sorted(p for p in folder.rglob("*") if p.is_file() and p not in known) if folder.is_dir() else []


def _question(site: Site, copy: backups.Copy, since: list[Path], *, again: bool) -> str:
    when = f"until {moment(copy.last, site.zone, sites.now())}" if copy.last else "none"
    then = " and will be taken in again." if again else "."
    drops = f" {count(len(since), 'file')} of done/ came since{then}" if since else ""
    return f"The journal will hold {count(copy.events, 'event')}, {when}; what came later is forgotten.{drops} Restore it?"


def _back_into_drops(site: Site, files: list[Path]) -> list[str]:
    """Those whose name is free there."""
    folder = site.root / site.settings.paths.drops
    folder.mkdir(parents=True, exist_ok=True)
    moved = []
    for path in files:
        if not (folder / path.name).exists():
            path.rename(folder / path.name)
            moved.append(path.name)
    return moved
