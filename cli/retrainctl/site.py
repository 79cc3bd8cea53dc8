"""A site as the command line sees it: its settings, and its journal opened read-only."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Connection
from typing import Any
from zoneinfo import ZoneInfo

from retraind import settings
from retraind.core.binding import nearest
from retraind.core.fold import apply
from retraind.core.settings import Paths, Settings
from retraind.core.state import Drop, Flow, Model, State, Version
from retraind.errors import Place, Refused, RetraindError, Usage
from retraind.journal import read, snapshot

__all__ = [
    "Site",
    "drop_named",
    "model_named",
    "models_of",
    "now",
    "open_site",
    "site_at",
    "site_files",
    "site_to_look_at",
    "target_named",
    "version_named",
]


def now() -> dt.datetime:
    """The wall clock, UTC: read once by a command and handed on."""
    return dt.datetime.now(dt.UTC)  # noqa: TID251 (the command line's one look at the clock)


@dataclass(frozen=True)
class Site:
    """Where things are."""

    config: Path
    settings: Settings
    refused: Refused | None = None
    """Why config.yaml cannot be taken as it is now; `settings` are those that the daemon loaded last."""

    @property
    def root(self) -> Path:
        """The folder of config.yaml; every relative path of the settings starts here."""
        return self.config.resolve().parent

    @property
    def zone(self) -> ZoneInfo:
        """The zone that screens speak in."""
        return self.settings.site.zone

    @property
    def journal(self) -> Path:
        """The journal's file."""
        return self.root / self.settings.paths.state / "journal.db"

    @property
    def socket(self) -> Path:
        """The daemon's socket."""
        return self.root / self.settings.paths.state / "retraind.sock"

    @property
    def pipeline(self) -> str:
        """This release runs exactly one."""
        return next(iter(self.settings.pipelines))

    @contextmanager
    def opened(self, state: State | None = None) -> Iterator[tuple[Connection, State]]:
        """The journal and the state after its last event. Raises RetraindError when there is none yet.

        state: an earlier one to go on from, which is changed.
        """
        with read.opened(self.journal) as connection:
            if state is None or not state.seq:
                yield connection, snapshot.restore(connection, snapshot.path_beside(self.journal), glance=True)
                return
            for record in read.records(connection, state.seq):
                apply(state, record)
            yield connection, state

    def state(self) -> State:
        """The state after the journal's last event; a fresh one before the daemon's first start."""
        if not self.journal.exists():
            return State()
        with self.opened() as (_, state):
            return state


def open_site(ctx: Any) -> Site:
    """The site that the global `--config` names."""
    return site_at(ctx.obj["config"])


def site_to_look_at(config_file: str) -> Site:
    """Like `site_at`, but a broken edit of config.yaml blinds nobody: the journal knows what was loaded last."""
    try:
        return site_at(config_file, settings.glance)
    except Refused as refused:
        kept = _last_settings(Path(config_file))
        if kept is None:
            raise
        return Site(Path(config_file), kept, refused)


def _last_settings(config: Path) -> Settings | None:
    """What the journal in the usual place says was loaded last."""
    journal = config.resolve().parent / Paths().state / "journal.db"
    if not journal.exists():
        return None
    with read.opened(journal) as connection:
        loaded = next(read.records(connection, kinds=("settings.loaded",), newest_first=True), None)
    return settings.parse(loaded.event.text) if loaded else None


def site_at(config_file: str, read: Callable[[Path], Settings] = lambda path: settings.load(path)[0]) -> Site:
    """The site of a config.yaml. Raises Usage when there is none, Refused when its settings are."""
    config = Path(config_file)
    if not config.exists():
        raise Usage(
            "there is no such file",
            where=Place(str(config)),
            remedy="make a site with: retrainctl init DIR --sample, or name one: retrainctl --config FILE ...",
        )
    return Site(config, read(config))


def model_named(site: Site, flow: Flow, name: str) -> Model:
    """The model of that registered name or target. Raises Usage for a wrong name, RetraindError for one without versions."""
    known = {
        site.settings.mlflow.name_of(site.pipeline, t): t
        for t in site.settings.pipelines[site.pipeline].contract.targets
    }
    known |= {m.name: m.target for m in flow.models.values()}
    for model, target in known.items():
        if name in (model, target):
            if model not in flow.models:
                raise RetraindError(
                    f"{model} has no version yet", remedy="look at what is under way: retrainctl status"
                )
            return flow.models[model]
    raise Usage(f'there is no model "{name}"', remedy=nearest(name, list(known)))


def models_of(site: Site, flow: Flow) -> list[Model]:
    """Those of the contract's targets. The journal keeps what a target that left config.yaml had."""
    mlflow, targets = site.settings.mlflow, site.settings.pipelines[site.pipeline].contract.targets
    return [m for t in targets if (m := flow.models.get(mlflow.name_of(site.pipeline, t)))]


def version_named(model: Model, name: str) -> Version:
    """The version `12` or `v12`. Raises Usage."""
    number = name.removeprefix("v")
    version = model.version(int(number)) if number.isdecimal() else None
    if version is None:
        raise Usage(f'{model.name} has no version "{name}"', remedy=f"see: retrainctl versions list {model.name}")
    return version


def target_named(site: Site, name: str) -> str:
    """That target of the contract; empty stays empty. Raises Usage."""
    known = list(site.settings.pipelines[site.pipeline].contract.targets)
    if name and name not in known:
        raise Usage(f'"{name}" is no target', remedy=nearest(name, known))
    return name


def drop_named(flow: Flow, name: str) -> Drop:
    """The drop whose id is `name` or begins with it. Raises Usage."""
    if name in flow.drops:
        return flow.drops[name]
    found = [d for d in flow.drops.values() if d.id.startswith(name)]
    if len(found) == 1:
        return found[0]
    if found:
        raise Usage(f'"{name}" begins the ids of {len(found)} drops', remedy=f"such as {found[0].id} and {found[1].id}")
    raise Usage(f'there is no drop "{name}"', remedy="see: retrainctl drops list --all")


def site_files() -> dict[str, Path]:
    """What `init` writes: `config.yaml` and `policies`, from the wheel, or from the checkout this runs in."""
    import retraind  # noqa: PLC0415 (only where it lies)

    package = Path(retraind.__file__).parent
    for folder in (package / "site", package.parents[1]):
        found = {name: folder / name for name in ("config.yaml", "policies")}
        if all(path.exists() for path in found.values()):
            return found
    raise RetraindError(
        "the files of a new site are not in this installation",
        where=Place(str(package / "site")),
        remedy="install retraind again",
    )
