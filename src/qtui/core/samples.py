"""What the machine and the units' processes use at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class ProcessSample(NamedTuple):
    """One process and its descendants: CPU in percent of one core since the last sample, memory in bytes."""

    cpu: float
    memory: int


class LoadSample(NamedTuple):
    """The machine: CPU in percent of all cores, memory in bytes; and the processes of running units by pid.

    `own` is qtui's process itself, in which thread, sequential and async units run.
    """

    cpu: float
    memory_used: int
    memory_total: int
    cores: int
    own: ProcessSample
    processes: Mapping[int, ProcessSample]
