"""`retrainctl init`: a new site, with `--sample` one that has something to do."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from retrainctl.options import Json
from retrainctl.site import now, site_files
from retrainctl.text import print_json
from retraind import strict_yaml
from retraind.core.settings import Settings
from retraind.errors import Place, RetraindError, Usage

__all__ = ["for_sample", "init"]


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="An empty folder, or one to be made.")],
    sample: Annotated[bool, typer.Option("--sample", help="With three years of a shop that does not exist.")] = False,
    seed: Annotated[int, typer.Option(help="Of the sample: the same seed gives the same shop.")] = 20,
    scale: Annotated[int, typer.Option(min=1, help="Of the sample: so many times 60 items.")] = 1,
    json: Json = False,
) -> None:
    """Write a commented config.yaml, the default policies and the folders of a new site."""
    _refuse_non_empty(folder)
    files = site_files()
    folder.mkdir(parents=True, exist_ok=True)
    text = files["config.yaml"].read_text("utf-8")
    (folder / "config.yaml").write_text(for_sample(text) if sample else text, "utf-8")
    shutil.copytree(files["policies"], folder / "policies", dirs_exist_ok=True)
    paths = strict_yaml.bind(Settings, strict_yaml.parse(text, "config.yaml")).paths
    for name in (paths.drops, paths.done, paths.quarantine, paths.state):
        (folder / name).mkdir(exist_ok=True)
    if sample:
        _write_sample(folder, seed, scale)
    _tell(folder, sample=sample, as_json=json)


def for_sample(text: str) -> str:
    """config.yaml on the data's clock, so that weeks pass in minutes and only drift interrupts them; its comments stay."""
    text = re.sub(r"(?m)^(\s+clock: )wall\b", r"\1data", text, count=1)
    return re.sub(r"(?m)^(\s+quiet: )(\d+\w)\b", lambda m: m[1] + "1s".ljust(len(m[2])), text, count=1)


def _refuse_non_empty(folder: Path) -> None:
    if folder.is_file():
        raise Usage("is a file", where=Place(str(folder)), remedy="name a folder that is empty or not there yet")
    if folder.is_dir() and any(folder.iterdir()):
        what = "is a site already" if (folder / "config.yaml").exists() else "is not empty"
        raise RetraindError(what, where=Place(str(folder)), remedy="name another folder; nothing was written")


def _write_sample(folder: Path, seed: int, scale: int) -> None:
    """The sample is made by a child: it needs numpy and pyarrow, which this program never imports."""
    today = now().date().isoformat()
    command = [sys.executable, "-m", "retraind.jobs.data.sample", str(folder), "--seed", str(seed), "--scale", str(scale),
               "--today", today]  # fmt: skip
    if subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode:
        raise RetraindError("the sample was not made, see above", where=Place(str(folder)),
                            remedy="remove the folder and run init again, or run it without --sample")  # fmt: skip


def _tell(folder: Path, *, sample: bool, as_json: bool) -> None:
    drops, incoming = (sorted(p.name for p in (folder / name).glob("*")) for name in ("drops", "incoming"))
    config = folder / "config.yaml"
    if as_json:
        print_json({"version": 1, "site": str(folder), "config": str(config), "sample": sample, "drops": drops,
                    "incoming": incoming})  # fmt: skip
        return
    lines = [f"{folder} is a site now: config.yaml, policies/, drops/"]
    if sample:
        lines.append(
            f"{len(drops)} first drops lie in drops/, {len(incoming)} later ones in incoming/ (move them into drops/)"
        )
    else:
        lines.append("name your tables and columns in config.yaml, then: retrainctl --config "
                     f"{config} config check")  # fmt: skip
    lines += [
        f"start the daemon: retraind --config {config}",
        f"look at it:       retrainctl --config {config} status --watch",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
