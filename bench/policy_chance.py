"""What chance promotes, what a true gain waits for, and what is rolled back or stopped for nothing, on real losses.

Real models (ridge, linear regression, random forest, gradient boosting, the last one twice with other seeds) forecast the real
sales walking forward; their losses by date are kept in the temp folder. From these, years are drawn in blocks of four weeks:

- *chance*: a search every week, with four candidates of whom none is better than the champion (the differences of their
  losses are recentred to 0), each judged on 150 test dates. The test windows of one drawn year slide by a week and overlap, as
  those of a site do. Beside it each week's losses are drawn anew from all three years, which gives chance far more occasions
  than a year has.
- *waiting*: the same with a true gain, and how many weeks pass until `significant` lets it through.
- *rollbacks*: two models that are equally good on average watch each other as `worse: {by: 15%}` for 2 drops does.
- *slices*: a gain that is true of every category, and how often a limit by category stops it.

P-values are `significance`'s, limits the conditions' own: every draw that a rule of ours lets through is asked again with the
real condition. Exit code 1 when ours promotes by luck in more years than alpha and the error of the simulation allow.

    python bench/policy_chance.py [--years N] [--write]
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
import itertools
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from real_sales import sales

from policy_made import NOW, good, production, scores, with_test
from retraind import settings
from retraind.core.figures import RowSet, Scores, Significance
from retraind.core.policy.comparing import accrued_alpha
from retraind.core.policy.decision import evaluate
from retraind.core.policy.document import bind_policy
from retraind.core.policy.facts import Comparison, Slice
from retraind.jobs.data.features import build
from retraind.jobs.data.splits import known_before
from retraind.jobs.training import portfolio, significance
from retraind.jobs.training.evaluate import filled, ground

ROOT = Path(__file__).resolve().parents[1]
Values = NDArray[np.float64]
HORIZONS = (1, 7)
MODELS = ("gradient_boosting", "gradient_boosting again", "ridge", "linear_regression", "random_forest")
"""The first is champion, the others are searched."""
WINDOW = 150
"""Test dates of a training: 15 % of the real data's."""
WEEKS = 52
BLOCK = 28
ALPHA = 0.05
REFITS = (0.4, 0.6, 0.8)
"""Shares of the days after which the models are fitted again."""


@dataclass(frozen=True)
class Losses:
    """Of one target and horizon."""

    name: str
    horizon: int
    error: Values
    """Sums of |error|, shape (dates, models, categories)."""
    categories: tuple[str, ...]

    @property
    def by_date(self) -> Values:
        """Shape (dates, models)."""
        return np.asarray(self.error.sum(axis=2))

    def gains(self) -> Values:
        """The champion's loss less a candidate's, by date, recentred so that none is better; shape (dates, candidates)."""
        gains = self.by_date[:, :1] - self.by_date[:, 1:]
        return np.asarray(gains - gains.mean(axis=0))


def main() -> int:
    """Print the tables. Returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--years", type=int, default=600)
    parser.add_argument("--write", action="store_true", help="write bench/policy_chance.md")
    options = parser.parse_args()
    began = time.monotonic()
    found = losses()
    told = [f"Drawn from {len(found[0].error)} real dates, {options.years:,} years each; seed 1. Errors are one standard error."]
    missed = []
    for part in (chance, other_champions, waiting, rollbacks, slices):
        for line in part(found, options.years):
            told.append(line)
            print(told[-1], flush=True)
            missed += [line] if "MISSED" in line else []
    print(f"\n{time.monotonic() - began:.0f} s")
    if options.write:
        head = "# What chance promotes (make bench-policy-chance)\n\n"
        (ROOT / "bench" / "policy_chance.md").write_text(head + "\n".join(told) + "\n", "utf-8")
    return 1 if missed else 0


# ---- real losses ----


def losses() -> list[Losses]:
    """By target and horizon; fitted once for this code and these settings."""
    made_by = inspect.getsource(portfolio) + inspect.getsource(_walk_forward) + repr((MODELS, HORIZONS, REFITS))
    digest = hashlib.sha256((ROOT / "config.yaml").read_bytes() + made_by.encode()).hexdigest()
    kept = Path(tempfile.gettempdir()) / f"retraind-losses-{digest[:12]}.npz"
    if not kept.exists():
        made = dict(_walk_forward())
        np.savez(kept, **made)
    with np.load(kept) as arrays:
        categories = tuple(arrays["categories"].tolist())
        return [
            Losses(f"{target} h{h}", h, arrays[f"{target} {h}"], categories)
            for target in ("price", "demand") for h in HORIZONS
        ]


def _walk_forward() -> Iterator[tuple[str, NDArray[np.generic]]]:
    pipeline = settings.load(ROOT / "config.yaml")[0].pipelines["produce"]
    table = build(sales(), pipeline.contract, HORIZONS)
    days = np.unique(table.origin.astype("datetime64[D]"))
    cuts = [*(days[int(len(days) * share)] for share in REFITS), days[-1] + np.timedelta64(1, "D")]
    words, category = np.unique(table.panel.words["category_name"].astype(str), return_inverse=True)
    yield "categories", words
    for target in ("price", "demand"):
        rows = ground(table, target, pipeline.contract.targets[target].column, HORIZONS, cuts[0], cuts[-1])
        memo: portfolio.Memo = {}
        forecasts = {(m, h): np.full(int(rows.marked[h].sum()), np.nan) for m in MODELS for h in HORIZONS}
        for model in MODELS:
            print(f"fitting {target}, {model}", file=sys.stderr, flush=True)
            seed = pipeline.training.seed + model.endswith("again")
            recipe = portfolio.recipe(model.removesuffix(" again"), target, table, HORIZONS, seed)
            for start, end in itertools.pairwise(cuts):
                fitted = portfolio.fit(
                    recipe, table, {h: known_before(table.target_day(h), start) for h in HORIZONS}, 2, memo=memo
                )
                for h in HORIZONS:
                    part = rows.marked[h] & (table.origin >= start) & (table.origin < end)
                    forecasts[model, h][part[rows.marked[h]]] = portfolio.forecast(fitted, table, h, part)
        for h in HORIZONS:
            _, day = np.unique(rows.target_day[h], return_inverse=True)
            place = day * len(words) + category[rows.marked[h]]
            sums = [
                np.bincount(place, np.abs(filled(rows, h, forecasts[m, h]) - rows.actual[h]), (day.max() + 1) * len(words))
                for m in MODELS
            ]
            yield f"{target} {h}", np.stack(sums).reshape(len(MODELS), -1, len(words)).transpose(1, 0, 2)


# ---- chance ----


def _drawn(dates: int, length: int, many: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Real dates in blocks; shape (many, length)."""
    starts = random.integers(0, dates, (many, -(-length // BLOCK)))
    return (starts[:, :, None] + np.arange(BLOCK)).reshape(many, -1)[:, :length] % dates


def _windows(dates: int, weeks: int, sliding: bool, random: np.random.Generator) -> NDArray[np.int64]:
    """Test dates of each week of one year; shape (weeks, WINDOW)."""
    if not sliding:
        return _drawn(dates, WINDOW, weeks, random)
    year = _drawn(dates, WINDOW + 7 * (weeks - 1), 1, random)[0]
    return np.lib.stride_tricks.sliding_window_view(year, WINDOW)[::7]


def _holm_smallest(p: Values) -> Values:
    """The smallest adjusted p of each week: of the best of m, m times its own; p: (weeks, candidates)."""
    return np.minimum(1.0, p.shape[1] * p.min(axis=1))


def _tested(gains: Values, horizon: int) -> Values:
    """One-sided p of (weeks, WINDOW, candidates); shape (weeks, candidates)."""
    weeks, window, candidates = gains.shape
    series = np.ascontiguousarray(gains.transpose(0, 2, 1)).reshape(-1, window)
    p = significance.p_values(series, np.ones(window, dtype=bool), horizon)[2]
    return p.reshape(weeks, candidates)


_ASKS = production(
    {"significant": {"metric": "wape", "horizon": 7, "measured": "test", "than": "champion", "alpha": ALPHA}}
)


def _passes(gains: Values, p: float, horizon: int, look: float) -> bool:
    """Whether the real condition lets a gain with that adjusted p through; the calibration is made as a training makes it."""
    calibrated = significance.is_calibrated(significance.rejected(gains, horizon, 1))
    test = Significance(p, len(gains), len(MODELS) - 1, calibrated)
    facts = good(_ASKS, significance={"wape.h7": test}, look_days=look)
    return evaluate(_ASKS, facts, NOW).verdict == "promote"


def _spent(gains: Values, p: Values, horizon: int, look: float) -> bool:
    """Whether `significant` promotes the best of one week's candidates; gains: (WINDOW, candidates)."""
    adjusted = float(_holm_smallest(p[None])[0])
    return adjusted <= accrued_alpha(ALPHA, look) and _passes(gains[:, p.argmin()], adjusted, horizon, look)


def chance(found: Sequence[Losses], years: int) -> Iterator[str]:
    """Years with a promotion by luck, by rule."""
    rules = ("lower wins", "1 % better", "p < 0.05", "Holm < 0.05", "ours", "ours, and 1 % better")
    yield "\n## Years with a promotion by luck, of weekly searches with four candidates, none better"
    yield f"\n| losses | weeks | {' | '.join(rules)} |\n|---|---|{'---:|' * len(rules)}"
    for one in found:
        for sliding in (True, False):
            shares = _shares(one, years, sliding)
            error = np.sqrt(shares * (1 - shares) / years)
            cells = " | ".join(f"{100 * s:.1f} ± {100 * e:.1f} %" for s, e in zip(shares, error, strict=True))
            limit = ALPHA + 2 * np.sqrt(ALPHA * (1 - ALPHA) / years)
            late = " MISSED" if sliding and shares[4] > limit else ""
            yield f"| {one.name} | {'overlap' if sliding else 'drawn anew'} | {cells} |{late}"
    yield f"\nOurs: Holm-adjusted p at most {accrued_alpha(ALPHA, 7):.2g} (alpha {ALPHA:g} a year, 7 days since the last look),"
    yield f"calibrated. Where windows overlap it is to stay at most {100 * ALPHA:.0f} % and twice the error. Losses drawn anew are"
    yield "those of 52 unlike seasons a year: the months that errors of unlike models hang together over then count as proof."


def other_champions(found: Sequence[Losses], years: int) -> Iterator[str]:
    """The last two rules where another model is champion: models differ in other ways then, and nobody chose a rule on that."""
    years = max(1, years // 5)
    yield "\n## The same where another model is champion (test windows overlap)"
    yield f"\n| champion | {' | '.join(f'{one.name}: ours, and 1 % better' for one in found)} |\n|---|{'---:|' * len(found)}"
    for place in range(1, len(MODELS)):
        cells = []
        for one in found:
            order = [place, *(m for m in range(len(MODELS)) if m != place)]
            shares = _shares(replace(one, error=one.error[:, order]), years, sliding=True)[4:]
            cells.append(", ".join(f"{100 * share:.1f} %" for share in shares))
        yield f"| {MODELS[place]} | {' | '.join(cells)} |"
    yield f"\n{years:,} years each. Models that are nearly one (ridge and linear regression) differ on few days; a window without"
    yield "these shows a small gain day after day, and no test on the window can know better. So `significant` is not enough"
    yield "without `better`, which the linter says."


def _shares(one: Losses, years: int, sliding: bool) -> Values:
    """By rule, the share of drawn years in which it promoted anybody."""
    random = np.random.default_rng(1)
    gains, champion = one.gains(), one.by_date[:, 0]
    drawn = (_windows(len(gains), WEEKS, sliding, random) for _ in range(years))
    return np.asarray(sum(_year(gains[places], champion[places], one.horizon) for places in drawn) / years)


def _year(gains: Values, champion: Values, horizon: int) -> Values:
    """Which rules promoted anybody in this year's weeks; gains: (weeks, WINDOW, candidates)."""
    p = _tested(gains, horizon)
    share = gains.sum(axis=1) / champion.sum(axis=1)[:, None]
    ours = [w for w in np.flatnonzero(_holm_smallest(p) <= accrued_alpha(ALPHA, 7)) if _spent(gains[w], p[w], horizon, 7)]
    return np.array([
        (share > 0).any(), (share >= 0.01).any(), (p < 0.05).any(), (_holm_smallest(p) < 0.05).any(),
        bool(ours), any(share[w, p[w].argmin()] >= 0.01 for w in ours),
    ], dtype=float)  # fmt: skip


# ---- waiting ----


def waiting(found: Sequence[Losses], years: int) -> Iterator[str]:
    """Weeks until a true gain of one of the four candidates passes."""
    years = max(1, years // 15)
    yield "\n## How long a true gain waits (one of four candidates is that much better, test windows overlap)"
    yield "\n| losses | candidate | gain | first search after 26 weeks | weekly: within 4 | within 12 | within 26 | median week |"
    yield "|---|---|---:|---:|---:|---:|---:|---:|"
    for one in found:
        gains, champion = one.gains(), one.by_date[:, 0]
        for which, percent in ((0, 3), (0, 5), (3, 3), (3, 5)):
            random = np.random.default_rng(2)
            better = gains.copy()
            better[:, which] += champion.mean() * percent / 100
            weeks, seldom = [], 0
            for _ in range(years):
                places = _windows(len(gains), WEEKS, True, random)
                p = _tested(better[places], one.horizon)
                weeks.append(next((w for w in range(WEEKS) if _spent(better[places[w]], p[w], one.horizon, 7)), WEEKS))
                seldom += _spent(better[places[0]], p[0], one.horizon, 182)
            within = [f"{100 * np.mean(np.array(weeks) < w):.0f} %" for w in (4, 12, 26)]
            median = np.median(weeks)
            told = f"over {WEEKS}" if median >= WEEKS else f"{median + 1:.0f}"
            cells = [f"{percent} %", f"{100 * seldom / years:.0f} %", *within, told]
            yield f"| {one.name} | {MODELS[1 + which]} | {' | '.join(cells)} |"
    yield f"\n{years} years each. Who is like the champion (its algorithm with another seed) shows a gain at once; another"
    yield "algorithm differs from it by more than that on most days, and the same gain waits. A search after 26 weeks, as"
    yield f"config.yaml has it, may spend {accrued_alpha(ALPHA, 182):.2g}, a weekly one {accrued_alpha(ALPHA, 7):.2g}."


# ---- rollbacks ----

_WORSE = bind_policy({
    "version": 1, "policy": "watch", "models": ["price"], "mode": "enforce",
    "staging": {"when": [{"id": "any", "samples": {"measured": "test", "dates": 1}}]},
    "production": {"when": [{"id": "recent", "fresh": {"trained_within": "7w"}}], "give_up_after": "8w"},
    "rollback": {"to": "last_good", "watch": "6 drops", "cooldown": "14d", "when_any": [
        {"id": "worse", "for": "2 drops",
         "worse": {"metric": "wape", "horizon": 1, "measured": "live", "than": "previous", "by": "15%"}},
    ]},
})  # fmt: skip
WATCH = 6


def _rolls_back(champion: Sequence[float], previous: Sequence[float]) -> bool:
    """The real policy, drop by drop, through its watch."""
    def drop(i: int) -> Comparison:
        own, other = (Scores({"h1": RowSet(120, 3, f"{i}")}, {"wape": {"h1": float(v[i])}}) for v in (champion, previous))
        return Comparison(own, own, 18, {}, other, 9)

    watched = [drop(i) for i in range(len(champion))]
    facts = replace(good(), stage="production", champion=18, last_good=9)
    return any(
        evaluate(_WORSE, replace(facts, watched=tuple(watched[:n])), NOW).verdict == "rollback" for n in range(1, WATCH + 1)
    )


def rollbacks(found: Sequence[Losses], years: int) -> Iterator[str]:
    """Promotions between models that are equally good, taken back."""
    yield "\n## False rollbacks between equally good models (worse by 15 % for 2 drops, within a watch of 6)"
    yield "\n| losses | champion beside | cadence | of 100 promotions | a year, with a promotion a month |\n|---|---|---|---:|---:|"
    many = 10 * years
    for one in (found[0], found[2]):
        by_date = one.by_date
        for other in (1, 2, 4):
            for cadence, dates in (("daily, drops of 3 dates", 3), ("weekly, drops of 7 dates", 7)):
                places = _drawn(len(by_date), WATCH * dates, many, np.random.default_rng(3))
                two = [by_date[:, k] / by_date[:, k].mean() for k in (0, other)]
                mine, theirs = (v[places].reshape(many, WATCH, dates).sum(axis=2) for v in two)
                worse = mine >= 1.15 * theirs
                bad = (worse[:, 1:] & worse[:, :-1]).any(axis=1)
                sample = [*np.flatnonzero(bad)[:30], *np.flatnonzero(~bad)[:30]]
                assert all(_rolls_back(mine[i], theirs[i]) == bad[i] for i in sample)
                share = bad.mean()
                yield f"| {one.name} | {MODELS[other]} | {cadence} | {100 * share:.2f} | {12 * share:.2f} |"
    yield "\nThe watch ends with its sixth drop: only a promotion can be taken back, not every week of a year."


# ---- slices ----


def slices(found: Sequence[Losses], years: int) -> Iterator[str]:
    """Gains that are true of every category, stopped by a limit by category."""
    limits = ((2, 0), (5, 0), (5, 1), (8, 1), (10, 1), (15, 0))
    yield "\n## True gains that `slices` stops (test days, 1 % better overall; the gain is the same share in every category)"
    heads = " | ".join(f"within {w} %, {m} may fail" for w, m in limits)
    yield f"\n| losses | candidate | gain | {heads} |\n|---|---|---:|{'---:|' * len(limits)}"
    many = max(100, years)
    for one in found:
        for other in (1, 4):
            for percent in (3, 5):
                shares = _stopped(one, other, percent, limits, many)
                cells = " | ".join(f"{100 * s:.0f} %" for s in shares)
                yield f"| {one.name} | {MODELS[other]} | {percent} % | {cells} |"
    yield "\nSo a limit by category below the noise between two models stops what is better everywhere; `may_fail` forgives one."


def _stopped(one: Losses, other: int, percent: int, limits: Sequence[tuple[int, int]], many: int) -> list[float]:
    """Of the draws that are 1 % better overall, the share that each limit stops."""
    champion, own = one.error[:, 0], one.error[:, other]
    own = own * (champion.mean(axis=0) / own.mean(axis=0)) * (1 - percent / 100)
    places = _drawn(len(own), WINDOW, many, np.random.default_rng(4))
    mine, theirs = own[places].sum(axis=1), champion[places].sum(axis=1)
    passing = mine.sum(axis=1) <= 0.99 * theirs.sum(axis=1)
    worse = 100 * (mine / theirs - 1)[passing]
    found = [(worse > within).sum(axis=1) > may_fail for within, may_fail in limits]
    for (within, may_fail), stopped in zip(limits, found, strict=True):
        for i in (*np.flatnonzero(stopped)[:5], *np.flatnonzero(~stopped)[:5]):
            assert _slice_verdict(one, mine[passing][i], theirs[passing][i], within, may_fail) == (not stopped[i])
    return [float(s.mean()) if len(s) else float("nan") for s in found]


def _slice_verdict(one: Losses, mine: Values, theirs: Values, within: int, may_fail: int) -> bool:
    """Whether the real condition holds."""
    policy = production({"slices": {
        "by": "category_name", "metric": "wape", "horizon": 1, "measured": "test", "than": "champion",
        "within": f"{within}%", "min_dates": 30, "small": "skip", "may_fail": may_fail,
    }})  # fmt: skip
    cut = {
        c: Slice(scores(float(m), dates=WINDOW), scores(float(t), dates=WINDOW))
        for c, m, t in zip(one.categories, mine, theirs, strict=True)
    }
    facts = with_test(good(policy), scores(4.0))
    return evaluate(policy, replace(facts, test_slices={"category_name": cut}), NOW).verdict == "promote"


if __name__ == "__main__":
    sys.exit(main())
