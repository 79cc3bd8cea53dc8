"""The door: `retrainctl` and `python -m retrainctl`.

`status` is what people type most and scripts poll, so it does without typer, which costs more than everything else it does
together (typer with pydantic 0.2 s, the rest 0.14 s of CPU on the machine that this was measured on). Its plain forms are
read here; whatever else stands on the command line, help and mistakes included, is typer's to read, in `app`.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from typing import NamedTuple

from retraind.errors import RetraindError

__all__ = ["PlainStatus", "main", "plain_status"]


class PlainStatus(NamedTuple):
    """`retrainctl [--config FILE] status [--json]`."""

    config: str
    json: bool


def plain_status(arguments: Sequence[str]) -> PlainStatus | None:
    """What the words ask for if they ask for status and nothing else; None: let typer read them."""
    words, config = list(arguments), "config.yaml"
    if len(words) > 2 and words[0] == "--config" and not words[1].startswith("-"):
        config, words = words[1], words[2:]
    elif words and words[0].startswith("--config="):
        config, words = words[0].removeprefix("--config="), words[1:]
    if words not in (["status"], ["status", "--json"]) or not config:
        return None
    return PlainStatus(config, len(words) == 2)


def main() -> None:
    """The command."""
    asked = None if "_RETRAINCTL_COMPLETE" in os.environ else plain_status(sys.argv[1:])
    if asked is None:
        from retrainctl.app import app  # noqa: PLC0415 (typer, only where it is needed)

        app(prog_name="retrainctl")
    else:
        sys.exit(_status(asked))


def _status(asked: PlainStatus) -> int:
    gc.disable()  # a process that lives a fifth of a second has nothing to collect
    from retrainctl import errors  # noqa: PLC0415
    from retrainctl.site import site_to_look_at  # noqa: PLC0415
    from retrainctl.views import status  # noqa: PLC0415

    try:
        status.show(site_to_look_at(asked.config), as_json=asked.json)
        sys.stdout.flush()
    except RetraindError as error:
        errors.show(error, as_json=asked.json)
        return error.exit_code
    except BrokenPipeError:  # `retrainctl status | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    main()
