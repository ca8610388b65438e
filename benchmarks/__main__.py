"""``python -m benchmarks``: measure, print the table, and write JSON where ``--out`` says."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from benchmarks.groups import GROUPS
from benchmarks.measure import Plan, measure
from benchmarks.report import document, machine, table


def main() -> int:
    """0 if all that was tried ran, whatever the figures; 1 if something failed."""
    given = _parser().parse_args()
    if given.list:
        for group in GROUPS.values():
            print(f"{group.key:16} {group.title}")
        return 0
    groups = [GROUPS[key] for key in given.only or GROUPS]
    plan = Plan(repeats=1 if given.quick else given.repeats, least=given.least, quick=given.quick)
    print(_heading(plan), flush=True)
    begun = time.monotonic()
    results = measure(groups, plan)
    print(table(groups, results, plan))
    print(f"\nload at the end {machine()['load']:.2f}; {time.monotonic() - begun:.0f} s in all")
    if given.out is not None:
        given.out.write_text(json.dumps(document(groups, results, plan), indent=1) + "\n")
    return 1 if any(series.failure for series in results.values()) else 0


def _heading(plan: Plan) -> str:
    facts = machine()
    packages = ", ".join(f"{name} {number or 'not installed'}" for name, number in facts["packages"].items())
    how = "a smoke run: the figures mean nothing" if plan.quick else f"medians of {plan.repeats} interleaved samples"
    return f"{how}\nPython {facts['python']}, {facts['cores']} cores, load {facts['load']:.2f}; {packages}\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=GROUPS, metavar="GROUP", help="measure these groups only")
    parser.add_argument("--list", action="store_true", help="list the groups")
    parser.add_argument("--repeats", type=_positive, default=7, help="samples of each case (7)")
    parser.add_argument("--least", type=float, default=0.3, help="seconds of work in each sample, at least (0.3)")
    parser.add_argument("--quick", action="store_true", help="only see whether everything runs: one small round each")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write all samples to this file as JSON")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
