"""Decisions a second on one core: the conservative price policy with every fact present, nothing cached between them.

Beside it a yardstick of the same run: writing the decision's outcomes as JSON and reading them again, which keeping a decision
costs at least. How many of them a decision costs is a figure that does not depend on the machine.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from policy_made import NOW, example, good, scores, with_test
from retraind.core.binding import unbind
from retraind.core.policy.decision import evaluate

TARGET = 10_000
BATCH, BATCHES = 300, 25


def main() -> int:
    """Exit code 1 when the target is missed."""
    policy = example("examples/price-conservative")
    promoted = good(policy)
    cases = {
        "promote": promoted,
        "hold, waiting for drops": replace(promoted, scored_drops=1),
        "reject": with_test(promoted, scores(4.4)),
    }
    decision = evaluate(policy, promoted, NOW)
    outcomes = unbind(decision.conditions)
    yardstick = microseconds(lambda: json.loads(json.dumps(outcomes)))
    met = True
    print(f"{len(decision.conditions)} conditions; yardstick: their outcomes to JSON and back {yardstick:.1f} us")
    for name, facts in cases.items():
        got = evaluate(policy, facts, NOW)
        assert got.verdict == name.split(",")[0], got.words
        each = microseconds(lambda facts=facts: evaluate(policy, facts, NOW))
        target = f"   target {TARGET:,} {'met' if 1e6 / each >= TARGET else 'MISSED'}" if name == "promote" else ""
        met = met and (not target or 1e6 / each >= TARGET)
        print(f"{name:<26} {1e6 / each:>8,.0f} decisions a second   {each:6.1f} us, {each / yardstick:4.1f} yardsticks{target}")
    return 0 if met else 1


def microseconds(work: Callable[[], object]) -> float:
    """CPU time of one call in the best of several batches: what else runs on the machine can only add to it."""
    times = []
    for _ in range(BATCHES + 1):
        start = time.process_time()
        for _ in range(BATCH):
            work()
        times.append((time.process_time() - start) / BATCH * 1e6)
    return min(times)


if __name__ == "__main__":
    sys.exit(main())
