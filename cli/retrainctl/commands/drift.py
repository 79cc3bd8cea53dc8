"""`retrainctl drift`: what drift was measured, and how any two files differ."""

from __future__ import annotations

import json as json_format
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from retrainctl import site as sites
from retrainctl.options import Json
from retrainctl.site import open_site
from retrainctl.text import emit, print_json, screen
from retrainctl.views import drift as view
from retraind.errors import Place, RetraindError, Usage
from retraind.journal import read

__all__ = ["app"]

app = typer.Typer(help="What moved, and how unusual that is.", no_args_is_help=True, add_completion=False)


@app.command()
def show(
    ctx: typer.Context,
    feature: Annotated[str | None, typer.Argument(help="Only this one, window by window.")] = None,
    json: Json = False,
) -> None:
    """How much each feature moved in the newest window, and how unusual that is for it."""
    site = open_site(ctx)
    fdr = site.settings.pipelines[site.pipeline].drift.fdr
    with read.opened(site.journal) as connection:
        data = (
            view.feature(connection, site.pipeline, feature, fdr)
            if feature
            else view.window(connection, site.state().flow(site.pipeline), site.pipeline, fdr)
        )
    if json:
        print_json(data)
        return
    on, today = screen(), sites.now().astimezone(site.zone).date()
    emit(view.drawn_feature(data, on, today) if feature else view.drawn_window(data, on, today), on)


@app.command()
def compare(
    reference: Annotated[str, typer.Argument(help="A Parquet or CSV file, or a folder of Parquet files.")],
    current: Annotated[str, typer.Argument(help="Another, held against it.")],
    json: Json = False,
) -> None:
    """Which columns of two files differ, for real and by much; no site and no daemon are needed."""
    for name in (reference, current):
        if not Path(name).exists():
            raise Usage("there is no such file", where=Place(name))
    data = _compared(reference, current)
    if json:
        print_json(data)
    else:
        on = screen()
        emit(view.drawn_comparison(data, reference, current, on), on)


def _compared(reference: str, current: str) -> dict[str, Any]:
    """The drift library's answer, from a child: numpy would make every command slow. Raises RetraindError."""
    command = [sys.executable, "-P", "-m", "retraind.drift", "--json", "--", reference, current]
    ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if ran.returncode == 0:
        data: dict[str, Any] = json_format.loads(ran.stdout)
        return data
    last = (ran.stderr.strip().splitlines() or [f"it ended with code {ran.returncode}"])[-1]
    raise RetraindError(f"the files cannot be compared: {last.removeprefix('error: ')}")
