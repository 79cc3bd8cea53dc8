"""From a real training to the decision: an honestly better candidate is significant beside a poor champion, an equal one is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from journals import first_days, kinds
from loop_shop import CONFIG, POLICY, search
from retraind.core import events as e
from retraind.core import steps as s
from retraind.core.binding import unbind
from retraind.jobs.data.features import build
from retraind.jobs.data.store import main_frame
from retraind.jobs.train import train
from retraind.jobs.training import portfolio
from trained_shop import Shop, config, frame, shop

SIGNIFICANT = POLICY.replace("{more}", """    - id: is-significant
      significant: {{metric: wape, horizon: 1, measured: test, than: champion, alpha: 0.05}}
    - id: every-category
      slices: {{by: category_name, metric: wape, horizon: 1, measured: test, than: champion, within: 5%, min_dates: 21,
                small: hold}}
""")  # fmt: skip
LINEAR = {
    "models: [blend, linear_regression, ridge, random_forest, gradient_boosting]": "models: [linear_regression, ridge]"
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return shop(tmp_path_factory.mktemp("shop"), frame(items=4), config(**LINEAR))


def champion_of(site: Shop, features: list[str] | None) -> s.Champion:
    contract = site.job().config.contract
    table = build(main_frame(site.job().state, site.files, contract, site.data_end), contract, (1, 7))
    recipe = portfolio.recipe("ridge", "price", table, (1, 7), 20)
    chosen = {**recipe, "params": {"alpha": 90.0}, **({"features": features} if features else {})}
    return s.Champion(1, chosen, site.data_end)


@pytest.mark.parametrize(("features", "expected"), [(["weekday"], "yes"), (None, "no")])
def test_a_gain_over_the_champion_is_significant_when_it_is_one(
    site: Shop, tmp_path: Path, features: list[str] | None, expected: str
) -> None:
    found = train(site.step(f"beside {expected}", ["price"], champions={"price": champion_of(site, features)}), site.job())
    assert isinstance(found, s.Trained)
    searched = [c for c in found.results[0].candidates if c.recipe["params"] != {"alpha": 90.0}]
    candidates = tuple(replace(c, version=c.version + 100) for c in searched)
    result = replace(found.results[0], candidates=candidates)
    assert len(str(unbind(result))) < 60_000, "a target's share of a row of the journal"
    story, children = first_days(tmp_path, config=CONFIG)
    story.put_in_force("price", SIGNIFICANT)
    children.trainings = [search(1, 5.0), lambda step: replace(found, request=step.request, results=(result,))]
    story.work(children)
    story.wait(days=100)  # alpha accrues, a quarter of it at most
    story.append(e.RetrainAsked("ops-a", "", now=True, targets=("price",), search=True))
    story.work(children)
    decided = [r.event for r in kinds(story, "decision.made") if r.event.version == candidates[0].version]
    outcomes = {c.id: c for event in decided for c in event.conditions}
    told = {name: c.words for name, c in outcomes.items()}
    assert outcomes["is-significant"].outcome == expected, told
    assert expected == "no" or outcomes["every-category"].outcome == "yes", told
    story.journal.close()
