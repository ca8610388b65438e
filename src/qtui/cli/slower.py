"""What got slower: the latest run of a workflow against those before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Final, NamedTuple

from qtui.core.model import UnitState
from qtui.core.state import RunView

LEAST_RUNS: Final = 3
"""So many runs before the latest one must have had a unit, or its time says nothing."""

FACTOR: Final = 1.25
LEAST_SECONDS: Final = 0.5
"""What is slower by less than this, or by less than a quarter, is noise."""

Times = Mapping[str, float]
"""Seconds by family."""


class Slower(NamedTuple):
    """A family whose units took `now` seconds in the latest run, and `before` in those before it."""

    family: str
    before: float
    now: float


def times_of(view: RunView) -> dict[str, float]:
    """How long the units of each family took in a run: the median of those that ran and completed."""
    found: dict[str, list[float]] = {}
    for unit in view.units:
        end = unit.finished
        if end is not None and end.state is UnitState.COMPLETED and end.attempt and not (end.cached or end.fallback):
            found.setdefault(unit.unit.name, []).append(end.duration)
    return {family: median(seconds) for family, seconds in found.items()}


def slower(latest: Times, before: Sequence[Times]) -> list[Slower]:
    """The families that took clearly longer in `latest` than the median of the runs `before`; what costs most first."""
    found = []
    for family, now in latest.items():
        known = [times[family] for times in before if family in times]
        if len(known) < LEAST_RUNS:
            continue
        usual = median(known)
        if now - usual >= LEAST_SECONDS and now >= usual * FACTOR:
            found.append(Slower(family, usual, now))
    return sorted(found, key=lambda each: each.before - each.now)
