"""`retrainctl audit`: a page that can be filed, and a record that others can check."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from command_line import Run, run_in
from journals import ROOT, first_days
from loop_shop import CONFIG, POLICY, search
from retraind.core import events as e
from retraind.core import messages as m


def test_a_version_is_shown_with_everything_an_auditor_asks(run: Run) -> None:
    data = run("audit", "show", "demand", "5", "--json").json
    assert [(s["stage"], s["until"] is None) for s in data["stages"]] == [("None", False), ("Staging", False), ("Production", True)]
    assert all(a["until"] == b["since"] for a, b in zip(data["stages"], data["stages"][1:], strict=False))
    assert [d["verdict"] for d in data["decisions"]] == ["promote", "promote"]
    assert {c["id"] for c in data["decisions"][-1]["conditions"]} >= {"enough-evidence", "no-worse-than-champion"}
    (policy,) = data["policies"]
    assert hashlib.sha256(policy["text"].encode()).hexdigest() == policy["sha256"]
    assert data["decisions"][-1]["policy"] == policy["policy"] == f"demand@{policy['sha256'][:8]}"
    assert len(data["data"]["files"]) == 14
    assert all(len(f["sha256"]) == len(f["drop_sha256"]) == 64 for f in data["data"]["files"])
    assert hashlib.sha256(data["request"]["settings"]["text"].encode()).hexdigest() == data["request"]["settings"]["sha256"]
    assert data["journal"]["head"] == run("audit", "verify", "--json").json["head"]
    out = run("audit", "show", "demand", "5").out
    for words in ("STAGES", "demand v5 is in Production", "daily_sales_history.parquet sha256", "nobody: policies alone decided",
                  "drop 89db805e drifted", "  policy: demand"):  # fmt: skip
        assert words in out


def test_a_champion_that_was_replaced_left_production_when_the_next_one_came(run: Run) -> None:
    first, second = (run("audit", "show", "demand", n, "--json").json["stages"] for n in ("1", "5"))
    assert [s["stage"] for s in first] == ["None", "Staging", "Production", "Archived"]
    assert first[2]["until"] == second[-1]["since"]


class _Loads(HTMLParser):
    """Collects what a page would fetch, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [f"{tag} {name}={value}" for name, value in attrs if name in ("src", "href", "data") and tag != "a"]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_the_page_holds_everything_itself(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "demand-5.html"
    assert run("audit", "show", "demand", "5", "--html", str(path)).out.startswith(f"{path}: demand v5 at event ")
    page, parsed = path.read_text("utf-8"), _Loads()
    parsed.feed(page)
    assert parsed.fetched == []
    assert not re.search(r"url\(|@import|<script", page)
    text = " ".join(parsed.text)
    for words in ("demand v5", "no-worse-than-champion", "daily_sales_history.parquet", "may be 1 % worse", "within: 1%"):
        assert words in text


def test_people_stand_with_what_they_did_and_why(loop_site: Run) -> None:
    data = loop_site("audit", "show", "price", "2", "--json").json
    assert [(p["by"], p["kind"], p["reason"]) for p in data["people"]] == [
        ("ops-a", "retrain.asked", "a try"), ("ops-a", "version.blocked", "supplier dispute"),
        ("ops-b", "version.unblocked", "settled"), ("ops-b", "override.set", "stock-taking"),
    ]  # fmt: skip
    assert '  ops-b  price v2 unblocked by ops-b: "settled"' in loop_site("audit", "show", "price", "2").out


@pytest.fixture
def loop_site(tmp_path: Path) -> Run:
    """A person asked for a training; others had a say in what it brought."""
    story, children = first_days(tmp_path, config=CONFIG)
    children.trainings = [search(1, 5.0)]
    story.work(children)
    story.put_in_force("price", POLICY.replace("{more}", ""))
    story.wait(days=9)
    children.trainings = [search(2, 4.0, 1)]
    story.append(e.RetrainAsked("ops-a", "a try", now=True, search=True))
    story.work(children)
    for message, by in ((m.Block("price", 2, "supplier dispute"), "ops-a"), (m.Unblock("price", 2, "settled"), "ops-b"),
                        (m.Freeze(None, "stock-taking"), "ops-b")):  # fmt: skip
        assert story.ask(message, by=by) is None
    story.kill()
    return run_in(tmp_path)


def test_an_export_can_be_checked_by_the_program_of_the_docs(run: Run, tmp_path: Path) -> None:
    program = re.search(r"```python\n(.*?)```", ROOT.joinpath("docs/audit.md").read_text("utf-8"), re.DOTALL)
    assert program
    head = run("audit", "verify", "--json").json["head"]
    whole, rest, forged = (tmp_path / f"{name}.jsonl" for name in ("whole", "rest", "forged"))
    assert run("audit", "export", str(whole)).code == run("audit", "export", str(rest), "--after", "100").code == 0
    forged.write_text(whole.read_text("utf-8").replace("daily_sales_2026-11-07.csv", "daily_sales_2026-11-08.csv", 1), "utf-8")
    ran = {
        path.stem: subprocess.run([sys.executable, "-c", program[1], path], capture_output=True, text=True, timeout=60, check=False)
        for path in (whole, rest, forged)
    }
    events = run("status", "--json").json["journal"]["events"]
    assert ran["whole"].stdout == ran["rest"].stdout == f"{events} {head}\n"
    assert ran["forged"].returncode == 1
    assert "does not follow" in ran["forged"].stderr
    assert json.loads(run("audit", "export").out.splitlines()[-1]) == {"events": events, "head": head}
    assert run("audit", "export", "--after", "99999").code == 2


def test_a_head_noted_elsewhere_tells_a_journal_that_was_cut_off(run: Run) -> None:
    head = run("audit", "verify", "--json").json["head"]
    assert "the noted head is that of event" in run("audit", "verify", "--head", head).out
    ran = run("audit", "verify", "--head", "0" * 63 + "1")
    assert (ran.code, "events were cut off at the end" in ran.err) == (1, True)
    assert run("audit", "verify", "--head", "0" * 63 + "1", "--json").code == 1
