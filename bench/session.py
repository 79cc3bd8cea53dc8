"""Records docs/session.md: a person at a terminal, a daemon at work, the real sales beside the checkout.

    python bench/session.py [--out FILE] [--keep FOLDER]

A site for demand alone with two quick models and two horizons, on the data's clock, so that a week is over as soon as its file
is worked off. Each command is run in a pseudo-terminal of 110 columns, in the order of the page, and what it printed is written
down as it was, colours aside; a remark says what the person does besides. Nothing is made up: where the story needs the daemon to
have come somewhere (a champion, a held promotion, a rollback) and it has not, the recording ends there with an error.

How the last weeks are made bad: the shop rations. Every item sells three times what is usual each day, give or take 2 %, so that
"as yesterday" is nearly right and a model that expects things to calm down is not.
"""

from __future__ import annotations

import argparse
import datetime as dt
import getpass
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import textwrap
import time
from collections.abc import Callable
from fcntl import ioctl
from pathlib import Path

import numpy as np
import pandas as pd

from retraind.core.state import Model, State
from retraind.journal import snapshot
from retraind.journal.read import opened

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
CUT = dt.date(2022, 5, 29)
"""A Sunday: the history's last day."""
COLUMNS, LINES = 110, 60
PATIENCE = 1800.0
EDITS = {
    "clock: wall ": "clock: data ",
    "groups: {} ": f"groups: {{buyers: [{getpass.getuser()}]}} ",
    "        price: {column: avg_price_rmb_kg, nature: level, unit: RMB/kg}\n": "",
    "horizons: [1, 7, 14, 30]": "horizons: [1, 7]",
    "models: [blend, linear_regression, ridge, random_forest, gradient_boosting]": "models: [ridge, gradient_boosting]",
    "settle: 3s": "settle: 0s",
    "alerts: {} ": 'alerts: {desk: {command: [sh, -c, "cat >> told.jsonl; echo >> told.jsonl"]}} ',
}
APPROVAL = """\
    - id: buyers-agree
      why: whoever orders by it shall have seen it
      approval: {from: [buyers], count: 1, valid_for: 7d}
"""
RATIONED = """\
    - id: no-better-than-nothing
      for: 2 drops
      skill: {metric: wape, horizon: 1, measured: live, over: [persistence], at_most: 0%}
"""


class Recorder:
    """A terminal in the site's folder, and the page that grows."""

    def __init__(self, site: Path, tools: Path) -> None:
        self.site, self.page = site, [""]
        self.env = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "TERM": "xterm", "COLUMNS": str(COLUMNS),
                    "PYTHONPATH": f"{ROOT / 'daemon'}:{ROOT / 'cli'}"}  # fmt: skip

    def say(self, words: str) -> None:
        """A remark of the page; a heading stands in a line of its own."""
        self.page += ["\n\n".join(textwrap.fill(part, 125) for part in words.split("\n")), ""]

    def type(self, command: str, *, answer: str = "", code: int = 0) -> str:
        """Run a command as typed; what it printed. answer: to its question."""
        print(f"$ {command}", flush=True)
        at = time.strftime("%H:%M:%S", time.gmtime())
        said, ended = _in_terminal(["sh", "-c", command], self.site, self.env, answer)
        said = said.replace(str(self.site), "shop").rstrip()
        print(said, flush=True)
        if ended != code:
            raise SystemExit(f"{command!r} ended with {ended}, expected {code}")
        failed = f"\n[exit code {ended}]" if ended else ""
        self.page += ["```console", f"{at} shop$ {command}", *([said + failed] if said else []), "```", ""]
        return said

    # ---- what the person waits for ----

    @property
    def state(self) -> State:
        """What the journal says now."""
        with opened(self.site / "state" / "journal.db") as connection:
            return snapshot.restore(connection, self.site / "state" / "snapshot.json")

    @property
    def demand(self) -> Model:
        """The one model."""
        return self.state.flow("produce").models["demand"]

    def wait(self, what: str, reached: Callable[[State], bool]) -> None:
        """Until the journal says so."""
        ends = time.monotonic() + PATIENCE
        while not ((self.site / "state" / "journal.db").exists() and reached(self.state)):
            if time.monotonic() > ends:
                raise SystemExit(f"in vain: {what}")
            time.sleep(0.5)

    def rest(self) -> None:
        """Until nothing happened for some seconds and nothing is at work."""
        last, since = -1, time.monotonic()
        ends = since + PATIENCE
        while time.monotonic() < ends:
            state = self.state
            flow = state.flow("produce")
            if state.seq != last or flow.jobs or flow.waiting() or any(m.intention for m in flow.models.values()):
                last, since = state.seq, time.monotonic()
            elif time.monotonic() - since > 6:
                return
            time.sleep(0.5)
        raise SystemExit("the daemon does not come to rest")


def _in_terminal(command: list[str], folder: Path, env: dict[str, str], answer: str) -> tuple[str, int]:
    master, slave = pty.openpty()
    ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    process = subprocess.Popen(command, cwd=folder, env=env, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
    os.close(slave)
    said, answered = b"", not answer
    while True:
        if select.select([master], [], [], 0.2)[0]:
            try:
                chunk = os.read(master, 65536)
            except OSError:  # the other end is closed
                break
            said += chunk
            if not answered and b"[y/N]" in said:
                os.write(master, answer.encode() + b"\n")
                answered = True
        elif process.poll() is not None:
            break
    os.close(master)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said.decode("utf-8", "replace")).replace("\r\n", "\n")
    return text, process.wait()


# ---- the site ----


def make(folder: Path) -> None:
    """The folder as `init` makes it, the settings of this session, and the history put aside."""
    subprocess.run([sys.executable, "-m", "retrainctl", "init", str(folder)], check=True, stdout=subprocess.DEVNULL)
    config = (folder / "config.yaml").read_text("utf-8")
    for old, new in EDITS.items():
        if config.count(old) != 1:
            raise SystemExit(f"config.yaml holds {old!r} {config.count(old)} times")
        config = config.replace(old, new)
    (folder / "config.yaml").write_text(config, "utf-8")
    for name in ("price.yaml", "tests/price.yaml"):
        (folder / "policies" / name).unlink()
    demand = folder / "policies" / "demand.yaml"
    text = demand.read_text("utf-8").replace("horizon: [1, 7, 14, 30]", "horizon: [1, 7]")
    demand.write_text(_rationed(text), "utf-8")
    for name in ("items.csv", "loss_rates.csv"):
        (folder / "drops" / name).write_bytes((DATA / name).read_bytes())
    for table in ("wholesale_prices", "daily_sales"):
        frame = pd.read_parquet(DATA / f"{table}.parquet")
        frame[frame.date <= pd.Timestamp(CUT)].to_parquet(folder / "drops" / f"{table}_history.parquet")


def _rationed(text: str) -> str:
    """The policy with one more reason to go back, after the shipped one; the shipped tests stay as they are."""
    head, found, tail = text.partition("\ntests:")
    return head.rstrip("\n") + "\n\n" + RATIONED + (found + tail if found else "")


def drop_week(folder: Path, number: int, *, rationed: bool = False) -> str:
    """Week `number` after the history; the name of its sales file."""
    first, last = CUT + dt.timedelta(days=7 * number - 6), CUT + dt.timedelta(days=7 * number)
    name = ""
    for table in ("wholesale_prices", "daily_sales"):
        frame = pd.read_parquet(DATA / f"{table}.parquet")
        rows = frame[(frame.date >= pd.Timestamp(first)) & (frame.date <= pd.Timestamp(last))].copy()
        if rationed and table == "daily_sales":
            usual = frame[frame.date <= pd.Timestamp(CUT)].groupby("item_code").quantity_kg.median()
            scales = 1 + 0.02 * np.random.default_rng(number).standard_normal(len(rows))
            rows["quantity_kg"] = (3 * rows.item_code.map(usual).fillna(5.0) * scales).round(3)
        name = f"{table}_{last}.csv"
        beside = folder / f".{name}"
        rows.to_csv(beside, index=False)
        beside.rename(folder / "drops" / name)
    return name


def edit(path: Path, old: str, new: str) -> None:
    """As an editor saves."""
    text = path.read_text("utf-8")
    if text.count(old) != 1:
        raise SystemExit(f"{path.name} holds {old!r} {text.count(old)} times")
    path.write_text(text.replace(old, new), "utf-8")


# ---- the story ----


def tell(on: Recorder) -> None:
    """The session."""
    _first_champion(on)
    _stricter(on, on.site / "policies" / "demand.yaml")
    version = _approved(on)
    _turned_bad(on, version)
    _afterwards(on, version)


def _first_champion(on: Recorder) -> None:
    on.say(f"## The first champion\nThe history to {CUT} lies in `drops/`; the daemon was started a moment ago.")
    on.wait("the first champion", lambda s: (m := s.flow("produce").models.get("demand")) is not None and m.champion is not None)
    on.rest()
    on.type("retrainctl status")
    on.say("Three honest weeks come in, one file of sales and one of wholesale prices each.")
    for number in (1, 2, 3):
        drop_week(on.site, number)
        on.rest()
    on.type("retrainctl history demand")


def _stricter(on: Recorder, policy: Path) -> None:
    on.say("## A stricter policy, and a broken one\nNobody shall become champion any more without a buyer's yes: one more "
           "condition in `refresh` and in `production`. What that changes is told before it is saved.")  # fmt: skip
    draft = on.site / "draft.yaml"
    draft.write_text(policy.read_text("utf-8"), "utf-8")
    edit(draft, "    - id: refresh-soak\n", APPROVAL + "    - id: refresh-soak\n")
    edit(draft, "    - id: soak\n", APPROVAL + "    - id: soak\n")
    on.type("retrainctl policy diff policies/demand.yaml draft.yaml")
    on.type("cp draft.yaml policies/demand.yaml")
    on.wait("the stricter policy", lambda s: "buyers-agree" in s.policies["demand.yaml"].text)
    on.type("retrainctl status | grep 'policy demand'")
    on.say("Then a slip of the finger:")
    on.type("sed -i 's/at_most: 0%/at_mots: 0%/' policies/demand.yaml")
    on.wait("the refusal", lambda s: "demand.yaml" in s.refusals)
    on.type("retrainctl policy check policies/demand.yaml", code=1)
    on.type("retrainctl status | head -6")
    on.say("The last good version goes on. The slip is mended:")
    on.type("sed -i 's/at_mots: 0%/at_most: 0%/' policies/demand.yaml")
    on.wait("the mended policy", lambda s: "demand.yaml" not in s.refusals)
    on.type("retrainctl status | head -6")


def _approved(on: Recorder) -> int:
    on.say("## A promotion that is held, and why\nA buyer asks for a retraining; its result soaks for a week.")
    on.type("retrainctl retrain demand --reason 'the summer begins'")
    on.rest()
    drop_week(on.site, 4)
    on.rest()
    waiting = _held(on)
    on.type("retrainctl status | head -9")
    on.type(f"retrainctl explain demand {waiting}")
    on.say("Nothing is missing but the yes. It is bound to the figures that are shown:")
    on.type(f"retrainctl approve demand {waiting} --reason 'seen, the leaves look right'", answer="y")
    on.wait("the promotion", lambda s: s.flow("produce").models["demand"].champion == waiting)
    on.rest()
    on.type("retrainctl history demand")
    return waiting


def _turned_bad(on: Recorder, version: int) -> None:
    on.say("## Weeks that turn bad\nThe shop rations: every item sells three times what is usual each day, give or take 2 %. Doing "
           "as yesterday is nearly right now; the model expects things to calm down, and is not.")  # fmt: skip
    for number in range(5, 12):
        drop_week(on.site, number, rationed=number > 5)
        on.rest()
        for drop in on.state.flow("produce").damaged:
            on.say("A week so unlike all others is held back until a person says that it is real:")
            on.type(f"retrainctl drops accept {drop} --reason 'the shop rations, this is real' --yes")
            on.rest()
        if on.demand.champion != version:
            break
    else:
        raise SystemExit("it was not rolled back")
    on.type("retrainctl status")
    on.type("retrainctl history demand")
    on.type(f"retrainctl explain demand {version}")
    on.say("A cool-down holds whoever would come next, and the alert reached the desk's command:")
    on.type("retrainctl retrain demand --search --reason 'is there a better one?'")
    on.rest()
    newest = max(v.version for v in on.demand.versions.values())
    on.type(f"retrainctl promote demand {newest} --to production --yes", code=1)
    on.type("retrainctl alerts list")
    on.type("grep -o '\"words\": *\"[^\"]*\"' told.jsonl")


def _afterwards(on: Recorder, version: int) -> None:
    tenure = next(t for t in on.demand.tenures if t.version == version)
    day = f"{(tenure.since_site + dt.timedelta(days=1)):%Y-%m-%d}"
    earlier = CUT + dt.timedelta(days=10)
    on.say("## Afterwards: who was champion on a day, and why")
    on.type(f"retrainctl which demand --at {day}")
    on.type(f"retrainctl history demand --at {day}")
    on.type(f"retrainctl which demand --at {earlier}")
    on.type(f"retrainctl audit show demand {version} | head -32")
    on.type("retrainctl audit verify")


def _held(on: Recorder) -> int:
    """The version that waits for a person alone."""
    held = [v.version for v in on.demand.versions.values() if v.stage == "Staging" and v.verdict == "hold"]
    if len(held) != 1:
        raise SystemExit(f"expected one version that waits, found {held}")
    return held[0]


# ---- the page ----

HEAD = """# A session, recorded

What a person typed and what came back, on the real sales that lie beside the checkout, with the daemon running. Recorded by
`python bench/session.py` on {day}, not written by hand; colours are left out, and at the left stands the recorder's clock (UTC).
The site forecasts demand 1 and 7 days ahead with two quick models, on the data's clock: a week is over as soon as its file is
worked off. To its policy one reason to go back was added, that a champion is no better than "as yesterday".
"""


def main() -> None:
    """Record and write."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--out", type=Path, default=ROOT / "docs" / "session.md")
    arguments.add_argument("--keep", type=Path, help="the site's folder; a temporary one where none is named")
    asked = arguments.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        site, tools = asked.keep or Path(temporary) / "shop", Path(temporary) / "bin"
        tools.mkdir()
        (tools / "retrainctl").write_text(f'#!/bin/sh\nexec {sys.executable} -m retrainctl "$@"\n')
        (tools / "retrainctl").chmod(0o755)
        make(site)
        recorder = Recorder(site, tools)
        with (Path(temporary) / "daemon.log").open("wb") as log:
            daemon = subprocess.Popen([sys.executable, "-m", "retraind"], cwd=site, env=recorder.env, stdin=subprocess.DEVNULL,
                                      stdout=log, stderr=log)  # fmt: skip
            try:
                tell(recorder)
            finally:
                daemon.send_signal(signal.SIGTERM)
                daemon.wait(60)
        asked.out.write_text(HEAD.format(day=time.strftime("%Y-%m-%d")) + "\n".join(recorder.page).rstrip() + "\n", "utf-8")


if __name__ == "__main__":
    main()
