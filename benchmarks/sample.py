"""One sample in a process of its own: ``python -m benchmarks.sample GROUP CASE --least SECONDS`` prints JSON.

A fresh process for every sample means that no contender inherits threads, memory or imports from another, that fork
has no threads to be afraid of, and that the highest memory use is its own. What this file imports at the top is also
imported by every worker of a pool that does not fork, so that is next to nothing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Mapping

MOST_ROUNDS = 100


def main() -> None:
    """Run one case and print its figures."""
    from benchmarks.groups import GROUPS

    parser = argparse.ArgumentParser(prog="benchmarks.sample")
    parser.add_argument("group", choices=GROUPS)
    parser.add_argument("case")
    parser.add_argument(
        "--least", type=float, default=0.3, help="seconds of work; the figures are the means of its rounds"
    )
    parser.add_argument("--quick", action="store_true", help="one round of the small size without warm-up")
    given = parser.parse_args()
    group = GROUPS[given.group]
    case = group.cases[given.case]
    if given.quick:
        rounds = [case.run(group.quick)]
    else:
        case.run(group.quick)
        rounds = [case.run(group.size)]
        while sum(_seconds(metrics) for metrics in rounds) < given.least and len(rounds) < MOST_ROUNDS:
            rounds.append(case.run(group.size))
    means = {name: statistics.fmean(metrics[name] for metrics in rounds) for name in rounds[0]}
    json.dump({"metrics": means, "rounds": len(rounds)}, sys.stdout)


def _seconds(metrics: Mapping[str, float]) -> float:
    return next(iter(metrics.values()))


if __name__ == "__main__":
    main()
