"""docs/features.md, made from the table so that it cannot part from it: `python -m retraind.jobs.training.feature_page docs`.

It shows the features of the contract in the config.yaml beside the docs folder. A test fails when the page is stale.
"""

from __future__ import annotations

import sys
from pathlib import Path

from retraind import settings
from retraind.jobs.data.features import Made, describe
from retraind.jobs.training import selection
from retraind.settings import Contract

__all__ = ["page"]

_HEAD = """# Features

*Made by `python -m retraind.jobs.training.feature_page docs`; a test fails when it is stale.*

A feature is what a model sees of an item on the day a forecast is made, the *origin*. Each reads that day and earlier ones
only; of the target's day it knows the calendar alone. Windows and lags count calendar days: a day without a row is a day
without a sale. A level (a price) is described by log ratios to today's value, a flow (an amount) by contrasts,
(a - b) / (a + b), to its 14-day mean, so that one model serves dear and cheap, big and small alike.

The features of any contract are made of its columns by their roles: targets that are levels or flows, companions, other
numbers of the main table, lookups, categories. These are the {count} of the contract in `config.yaml`; what it calls the
columns stands there under `names`. Feasts are those known years ahead, without days off by decree, from the package
`holidays`.

The *sign* is the way in which a forecast is expected to go when the feature rises and all else stays, set against what it
starts from (today's price, the 14-day mean of an amount): + up, - down, empty where nobody knows. Reports say where a model
learnt the opposite. It is an expectation of the trade, not a finding.

## Which of them a model uses

A search chooses at most `training.features_kept` ({kept}) for each target, on the training days alone; a refresh keeps those
of its recipe. Left out are, in this order, features that are

1. constant;
2. gone: known once, never in the later half of the training days;
3. a duplicate of one further up: a rank correlation beyond {duplicate} at every horizon;
4. unstable: from the earlier to the later half of at least {days} training days the PSI is above {psi:g}, and the rank
   correlation with the date above {trend:g}: what grows with the calendar has values tomorrow that no model has seen;
5. the ones that say least of the target: by the correlation ratio of its ratio to what it starts from, as a share of the best
   feature's, averaged over the horizons.

`feature_info.json` of each run lists all of them with the reason, and the training's notes count them.

With `features: from_drop` a new recipe uses only the columns that drops bring, as they came: the last known value of each
number, and the categories. A column marked `feature: true` in the contract passes through by its stated lag either way.

To add one: a line in `daemon/retraind/jobs/data/definitions.py`, and its naive definition in
`tests/jobs/test_feature_definitions.py`.
"""


def page(contract: Contract, kept: int) -> str:
    """The page for a contract. kept: as `training.features_kept`."""
    made = describe(contract)
    groups = list(dict.fromkeys(one.feature.group for one in made))
    head = _HEAD.format(
        count=len(made), kept=kept, duplicate=selection.DUPLICATE, days=selection.UNSTABLE_DAYS, psi=selection.UNSTABLE_PSI,
        trend=selection.UNSTABLE_TREND,
    )  # fmt: skip
    return head + "".join(_table(group, [m for m in made if m.feature.group == group], contract) for group in groups)


def _table(group: str, made: list[Made], contract: Contract) -> str:
    targets = list(contract.targets)
    lines = [
        f"\n## {group[0].upper()}{group[1:]}\n",
        "| feature | English | 中文 | reads | " + " | ".join(f"sign, {target}" for target in targets) + " |",
        "|---" * (4 + len(targets)) + "|",
    ]
    for one in made:
        signs = [{1: "+", -1: "-", 0: ""}[one.sign(contract.targets[target].nature)] for target in targets]
        cells = [f"`{one.everywhere}`", one.name_en, one.name_zh, one.feature.reads, *signs]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    docs = Path(sys.argv[1])
    pipeline = next(iter(settings.load(docs.parent / "config.yaml")[0].pipelines.values()))
    (docs / "features.md").write_text(page(pipeline.contract, pipeline.training.features_kept), "utf-8")
