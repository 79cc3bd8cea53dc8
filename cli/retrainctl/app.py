"""The names of the commands, and what an error looks like. A noun's module is imported when its command is used.

`retrainctl` starts in the blink of an eye: nothing here or on the way of `status` imports rich, or anything heavy. To add
a command: a line in `COMMANDS`, a function (or, for a noun with verbs, a `typer.Typer`) in `commands/`, and if it changes
something a message in `retraind.core.messages` with its handler in the daemon.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 the daemon is not running, 4 out of time.
"""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any, NamedTuple

import typer
import typer.core
import typer.main

from retrainctl import errors
from retraind import __version__
from retraind.errors import RetraindError

__all__ = ["COMMANDS", "app"]


class Place(NamedTuple):
    """Where a command is written, and under which heading of the help it stands."""

    module: str
    attribute: str
    panel: str


LOOK, ASK, CHECK, SET_UP = "Look", "Ask the daemon", "Check", "Set up"
COMMANDS: dict[str, Place] = {
    "status": Place("status", "status", LOOK),
    "explain": Place("explain", "explain", LOOK),
    "history": Place("history", "history", LOOK),
    "which": Place("which", "which", LOOK),
    "wait": Place("wait", "wait", LOOK),
    "versions": Place("versions", "app", LOOK),
    "runs": Place("runs", "app", LOOK),
    "drops": Place("drops", "app", LOOK),
    "drift": Place("drift", "app", LOOK),
    "forecasts": Place("forecasts", "app", LOOK),
    "scores": Place("scores", "scores", LOOK),
    "alerts": Place("alerts", "app", LOOK),
    "retrain": Place("retrain", "retrain", ASK),
    "work": Place("work", "work", ASK),
    "pause": Place("pause", "pause", ASK),
    "resume": Place("pause", "resume", ASK),
    "approve": Place("approve", "approve", ASK),
    "reject": Place("approve", "reject", ASK),
    "promote": Place("promote", "promote", ASK),
    "adopt": Place("adopt", "adopt", ASK),
    "rollback": Place("rollback", "rollback", ASK),
    "pin": Place("overrides", "pin", ASK),
    "unpin": Place("overrides", "unpin", ASK),
    "freeze": Place("overrides", "freeze", ASK),
    "unfreeze": Place("overrides", "unfreeze", ASK),
    "block": Place("overrides", "block", ASK),
    "unblock": Place("overrides", "unblock", ASK),
    "policy": Place("policy", "app", CHECK),
    "config": Place("config", "app", CHECK),
    "audit": Place("audit", "app", CHECK),
    "journal": Place("journal", "app", CHECK),
    "doctor": Place("doctor", "doctor", CHECK),
    "init": Place("init", "init", SET_UP),
    "demo": Place("demo", "demo", SET_UP),
}


class _Commands(typer.core.TyperGroup):
    """Finds commands by `COMMANDS`, and tells our errors as data without a traceback."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:  # type: ignore[override]  # noqa: ARG002
        place = COMMANDS.get(cmd_name)
        return _load(cmd_name, place) if place else None

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        as_json = "--json" in ctx.args
        try:
            return super().invoke(ctx)
        except RetraindError as error:
            errors.show(error, as_json=as_json)
            raise typer.Exit(error.exit_code) from None


def _load(name: str, place: Place) -> Any:
    thing = getattr(import_module(f"retrainctl.commands.{place.module}"), place.attribute)
    if not isinstance(thing, typer.Typer):
        single = typer.Typer(add_completion=False)
        single.command(name)(thing)
        thing = single
    command = typer.main.get_command(thing)
    command.name = name
    command.rich_help_panel = place.panel  # type: ignore[attr-defined]
    return command


app = typer.Typer(cls=_Commands, no_args_is_help=True, pretty_exceptions_enable=False,
                  context_settings={"help_option_names": ["-h", "--help"]})  # fmt: skip


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"retrainctl {__version__}")
        raise typer.Exit


@app.callback()
def _global(
    ctx: typer.Context,
    config: Annotated[str, typer.Option(metavar="FILE", help="The site's settings.")] = "config.yaml",
    version: Annotated[  # noqa: ARG001 (its callback acts)
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the release and exit.")
    ] = False,
) -> None:
    """Looks at a retraind site, and asks its daemon for what changes something."""
    ctx.ensure_object(dict)["config"] = config
