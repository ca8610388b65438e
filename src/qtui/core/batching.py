"""How many short units share one worker process: they queue there, so that it never waits for the next one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from qtui.core.model import ExecutionMode, QuantumUnit

MOST_BATCHED: Final = 64
BATCH_SECONDS: Final = 0.05
"""``batch = "auto"`` lets so many units share a worker as it can run in this time: none waits longer behind others."""

Durations = Mapping[str, tuple[int, float]]
"""By family: how many of its units have completed, and how many seconds that took them together."""


def wants_durations(unit: QuantumUnit) -> bool:
    """Whether the size of the unit's batches follows from how long others of its family took."""
    return unit.batch == "auto"


def batch_size(unit: QuantumUnit, lane: ExecutionMode, durations: Durations) -> int:
    """How many units like this one share a worker; 1 unless they run in processes and are marked.

    ``auto`` is 1 until one of the family has completed; then a power of two, so that it seldom changes.
    """
    if unit.batch is None or lane is not ExecutionMode.PROCESS:
        return 1
    if isinstance(unit.batch, int):
        return min(unit.batch, MOST_BATCHED)
    count, seconds = durations.get(unit.name, (0, 0.0))
    if not count:
        return 1
    mean = max(seconds / count, BATCH_SECONDS / MOST_BATCHED)
    return 1 << max(0, int(BATCH_SECONDS / mean).bit_length() - 1)


def with_duration(durations: Durations, unit: QuantumUnit, seconds: float) -> dict[str, tuple[int, float]]:
    """The durations once another unit has completed."""
    count, total = durations.get(unit.name, (0, 0.0))
    return {**durations, unit.name: (count + 1, total + seconds)}
