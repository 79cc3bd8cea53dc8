"""Stories of the closed loop for who looks at it: a challenger that soaks and waits for people, a champion that turned bad."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from journals import ROOT, Children, Story, first_days, result, trained, week
from retraind.core import events as e
from retraind.core import messages as m
from retraind.core import steps as s

POLICY = """version: 1
policy: {target}
models: [{target}]
mode: enforce
staging:
  when:
    - id: beats-doing-nothing
      skill: {{metric: wape, horizon: 1, measured: test, over: [persistence], at_least: 0.5%}}
production:
  give_up_after: 8w
  when:
    - id: better
      better: {{metric: wape, horizon: 1, measured: test, than: champion, by: 1%}}
    - id: soak
      soak: {{drops: 3}}
    - id: live-no-worse
      no_worse: {{metric: wape, horizon: 1, measured: live, than: champion, within: 2%, min_dates: 3}}
{more}rollback:
  to: last_good
  watch: 6 drops
  cooldown: 14d
  block: true
  when_any:
    - id: live-worse
      for: 2 drops
      worse: {{metric: wape, horizon: 1, measured: live, than: previous, by: 15%}}
"""
APPROVAL = "    - id: buyers-agree\n      approval: {{from: [pricing], count: 1, valid_for: 6w}}\n"
CONFIG = (
    (ROOT / "config.yaml").read_text("utf-8")
    .replace("        monthly: {every: 4w}", "        {}")
    .replace("groups: {}", "groups: {pricing: [ops-a, ops-b]}", 1)
)  # fmt: skip


def _search(first: int, h1: float, champion: int | None = None) -> object:
    """A training of one candidate a target, with a recipe of its own; its test WAPE one day ahead is `h1`."""
    def outcome(step: s.Train) -> s.Trained:
        found = (result(t, first, (h1,), 9.0, (champion, 5.0) if champion else None) for t in step.targets)
        own = (replace(f, candidates=tuple(replace(c, recipe_id=f"recipe-{first}") for c in f.candidates)) for f in found)
        return trained(step, *own)

    return outcome


def served(root: Path) -> tuple[Story, Children]:
    """Champions v1 that have served five weekly drops."""
    story, children = first_days(root, config=CONFIG)
    for target in ("price", "demand"):
        story.put_in_force(target, POLICY.replace("{more}", ""))
    children.trainings = [_search(1, 5.0)]  # type: ignore[list-item]
    story.work(children)
    for number in range(1, 6):
        week(story, children, number)
    return story, children


def challenged(root: Path) -> tuple[Story, Children]:
    """Then a person asks for a search, and price v2 is in Staging since one scored drop; buyers are to agree."""
    story, children = served(root)
    story.put_in_force("price", POLICY.replace("{more}", APPROVAL))
    children.live = {"price": {"2": 4.5}}
    children.trainings = [_search(2, 4.0, 1)]  # type: ignore[list-item]
    story.append(e.RetrainAsked("ops-b", "new supplier", now=True, targets=("price",), search=True))
    story.work(children)
    week(story, children, 6)
    return story, children


def taken_over(root: Path) -> tuple[Story, Children]:
    """Then a buyer agrees, v2 becomes champion and turns bad for two drops while somebody has it pinned."""
    story, children = challenged(root)
    assert story.ask(m.Approve("price", 2, reason="as agreed")) is None
    week(story, children, 7)
    week(story, children, 8)
    assert story.ask(m.Pin("price", "supplier dispute")) is None
    children.live = {"price": {"2": 9.0}}
    week(story, children, 9)
    week(story, children, 10)
    return story, children
