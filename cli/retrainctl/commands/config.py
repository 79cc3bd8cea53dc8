"""`retrainctl config`: whether config.yaml can be taken."""

from __future__ import annotations

import hashlib
import sys

import typer

from retrainctl.options import Json
from retrainctl.site import Site, open_site
from retrainctl.text import print_json

__all__ = ["app"]

app = typer.Typer(help="Whether config.yaml can be taken.", no_args_is_help=True, add_completion=False)


@app.callback()
def _config() -> None: ...


@app.command()
def check(ctx: typer.Context, json: Json = False) -> None:
    """Read the settings as the daemon will, and tell every mistake with its line."""
    site = open_site(ctx)
    pending = _is_new(site)
    if json:
        print_json({"version": 1, "file": str(site.config), "ok": True, "in_force": not pending})
        return
    contract = site.settings.pipelines[site.pipeline].contract
    what = f"{site.pipeline}: {len(contract.tables)} tables, {len(contract.targets)} targets"
    sys.stdout.write(f"{site.config} is good ({what})\n")
    if pending:
        sys.stdout.write("the daemon takes it at its next start\n")


def _is_new(site: Site) -> bool:
    """The daemon has loaded another text, or none yet."""
    digest = hashlib.sha256(site.config.read_bytes()).hexdigest()
    return site.state().settings_sha256 != digest
