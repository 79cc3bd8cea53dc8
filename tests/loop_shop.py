"""A shop whose policies close the loop: soak, live figures, rollback, and where a test wants it approval."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from journals import Children, Story, first_days, result, trained, week
from retraind.core import events as e
from retraind.core import steps as s
from retraind.core.figures import TargetResult
from retraind.core.state import Model, Version

__all__ = ["APPROVAL", "CONFIG", "POLICY", "challenge", "price", "search", "served_five_weeks", "version"]

CONFIG = (Path(__file__).resolve().parents[1] / "config.yaml").read_text("utf-8")
CONFIG = CONFIG.replace("        half-yearly: {every: 26w, asks: search}", "        {}").replace("max_age: 6w", "max_age: null")
"""Nothing is trained but what a test asks for, or what errors and drift ask for."""
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
      soak: {{drops: 2}}
    - id: live-no-worse
      no_worse: {{metric: wape, horizon: 1, measured: live, than: champion, within: 2%, min_dates: 3}}
{more}refresh:
  when:
    - id: one-drop
      soak: {{drops: 1}}
rollback:
  to: last_good
  watch: 6 drops
  cooldown: 14d
  block: true
  blind_after: 2 drops
  when_any:
    - id: live-worse
      for: 2 drops
      worse: {{metric: wape, horizon: 1, measured: live, than: previous, by: 15%}}
    - id: hopeless
      for: 2 drops
      limit: {{metric: wape, horizon: 1, measured: live, at_least: 60}}
"""
APPROVAL = "    - id: buyers-agree\n      approval: {{from: [pricing], count: 1, valid_for: 7d}}\n"


def search(first: int, h1: float, champion: int | None = None) -> Callable[[s.Train], s.Outcome]:
    """A training of one candidate a target; price's test WAPE is `h1`."""
    def outcome(step: s.Train) -> s.Trained:
        held = dict.fromkeys(step.targets, (champion, 5.0) if champion else None)
        return trained(step, *(_of_its_own(result(t, first, (h1,), 9.0, held[t])) for t in step.targets))

    return outcome


def served_five_weeks(
    root: Path, policy: str = POLICY.replace("{more}", ""), strangers: Mapping[int, s.Adopted] | None = None
) -> Iterator[tuple[Story, Children]]:
    """For a fixture: champions v1 of both targets that have served five weeks. policy: with `{target}` to be filled in.

    strangers: versions of price that somebody else registered, by number.
    """
    story, children = first_days(root, config=CONFIG)
    for target in ("price", "demand"):
        story.put_in_force(target, policy)
    children.trainings = [search(1, 5.0)]
    children.strangers |= strangers or {}
    story.work(children)
    for number in range(1, 6):
        week(story, children, number)
    yield story, children
    story.journal.close()


def price(story: Story) -> Model:
    """The model of price."""
    return story.state.flow("produce").models["price"]


def version(story: Story, number: int) -> Version:
    """That version of price."""
    found = price(story).version(number)
    assert found
    return found


def _of_its_own(found: TargetResult) -> TargetResult:
    """With a recipe that no champion has: the candidate of a search, not of a refresh."""
    (candidate,) = found.candidates
    return replace(found, candidates=(replace(candidate, recipe_id=f"recipe-{candidate.version}"),))


def challenge(story: Story, children: Children, *, h1: float = 4.0) -> None:
    """A person asks for a search, which brings v2."""
    children.trainings = [search(2, h1, 1)]
    story.append(e.RetrainAsked("ops-a", "", now=True, search=True))
    story.work(children)
