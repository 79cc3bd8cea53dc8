"""`retrainctl forecasts`: what is forecast of an item, and everything that was ever forecast as a table."""

from __future__ import annotations

import datetime as dt
import json as json_format
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from retrainctl import site as sites
from retrainctl.options import Json
from retrainctl.site import Site, open_site, target_named
from retrainctl.text import emit, print_json, screen
from retrainctl.views import forecasts as view
from retraind.core.binding import nearest, unbind
from retraind.errors import RetraindError, Usage
from retraind.journal import read

__all__ = ["app"]

app = typer.Typer(help="What is forecast, and what was.", no_args_is_help=True, add_completion=False)
Target = Annotated[str, typer.Option(help="Only this one.")]
_ROLES = ("champion", "challenger", "previous", "last_good", "baseline")
_FORMATS = ("csv", "parquet")
_LATELY = 28
"""Days of actuals beside an item's forecasts."""


@app.command()
def show(
    ctx: typer.Context,
    item: Annotated[str, typer.Argument(help="Its code, or its name.")],
    target: Target = "",
    json: Json = False,
) -> None:
    """The newest forecasts of an item as they stand in the orders file, whose they are, and what was sold lately."""
    site = open_site(ctx)
    data = view.item(site.root / site.settings.paths.orders / "orders.csv", item, target_named(site, target))
    actuals = _actuals(site, data["item_code"], dt.date.fromisoformat(data["data_until"]))
    if json:
        print_json({**data, "actuals": actuals})
    else:
        on = screen()
        emit(view.drawn(data, actuals, on, site.zone, sites.now()), on)


@app.command()
def export(
    ctx: typer.Context,
    target: Target = "",
    from_: Annotated[str, typer.Option("--from", metavar="DATE", help="The first day that is forecast.")] = "",
    to: Annotated[str, typer.Option(metavar="DATE", help="The last day that is forecast.")] = "",
    role: Annotated[str, typer.Option(help=f"Only by {', '.join(_ROLES)}.")] = "",
    format_: Annotated[str, typer.Option("--format", metavar="csv|parquet", help="Of the table.")] = "csv",
    output: Annotated[str, typer.Option(metavar="FILE", help="Where to; else standard output.")] = "",
) -> None:
    """Everything that was ever forecast, a row a forecast, as CSV or Parquet."""
    site = open_site(ctx)
    for option, value, known in (("--role", role, _ROLES), ("--format", format_, _FORMATS)):
        if value and value not in known:
            raise Usage(f'{option}: "{value}" is not known', remedy=nearest(value, known))
    first, last = _day("--from", from_), _day("--to", to)
    if format_ == "parquet" and not output and sys.stdout.isatty():
        raise Usage("Parquet is nothing for a terminal", remedy="add --output FILE")
    with read.opened(site.journal) as connection:
        events = [body for _, body in read.bodies(connection, site.pipeline, "forecast.made") if body.get("file")]
    files = {event["file"]["sha256"]: event["file"] for event in events}
    wanted = [
        f for f in files.values() if (not first or f["last_date"] >= first) and (not last or f["first_date"] <= last)
    ]
    question = {"files": wanted, "target": target_named(site, target), "role": role, "first": first, "last": last,
                "format": format_, "output": output and str(Path(output).absolute())}  # fmt: skip
    said = _asked(site, "export", question, through=not output)
    if output:
        sys.stdout.write(f"{int(said):,} forecasts written to {output}\n")


def _day(option: str, text: str) -> str | None:
    """As ISO. Raises Usage."""
    try:
        return dt.date.fromisoformat(text).isoformat() if text else None
    except ValueError:
        raise Usage(f'{option}: "{text}" is no date', remedy="write 2023-04-02") from None


def _actuals(site: Site, item: str, newest: dt.date) -> dict[str, Any]:
    flow = site.state().flow(site.pipeline)
    first = newest - dt.timedelta(days=_LATELY - 1)
    question = {
        "config": str(site.config.resolve()),
        "pipeline": site.pipeline,
        "files": [unbind(f) for f in flow.store],
        "item": item,
        "first": first.isoformat(),
        "last": newest.isoformat(),
    }
    found: dict[str, Any] = json_format.loads(_asked(site, "actuals", question))
    return found


def _asked(site: Site, what: str, question: dict[str, Any], *, through: bool = False) -> str:
    """What a child answers, for pyarrow would make every command slow. Raises RetraindError.

    through: what it says goes to standard output as it is.
    """
    asked = {"what": what, "state": str((site.root / site.settings.paths.state).resolve()), **question}
    ran = subprocess.run(
        [sys.executable, "-P", "-m", "retraind.jobs.look"],
        input=json_format.dumps(asked).encode(),
        stdout=None if through else subprocess.PIPE,
        stderr=subprocess.PIPE,
        check=False,
    )
    if ran.returncode == 0:
        return "" if through else ran.stdout.decode()
    last = (ran.stderr.decode().strip().splitlines() or [f"it ended with code {ran.returncode}"])[-1]
    raise RetraindError(f"the forecasts cannot be read: {last.removeprefix('error: ')}")
