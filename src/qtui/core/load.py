"""What the governor looks at: what the machine has left, and what each lane does with its workers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from qtui.core.model import ExecutionMode


class LaneLoad(NamedTuple):
    """What the workers of one lane do.

    At most `target` units may run; `running` do, those that share a worker counted as one, and `waiting` ones would if
    they could. Since the previous look `ended` attempts have ended that had taken `seconds` together, their squares
    `squares`, and the units have used `cpu` cores. `runnable` of their processes or threads compute at the moment, or
    wait for nothing but a core.
    """

    target: int
    running: int
    waiting: int
    ended: int = 0
    seconds: float = 0.0
    squares: float = 0.0
    cpu: float = 0.0
    runnable: float = 0.0


class Load(NamedTuple):
    """The machine and the lanes at one moment; what is a rate is the mean since the previous look.

    This process may use `cores`; qtui and all below it use `ours` of them, and other people `others`. `memory_used` is
    of `memory_total` bytes: the machine's, or the control group's where that has less; `our_memory` is what qtui and
    all below it hold. `swapped_out` is in bytes a second. `memory_stalls` is the share of time in which some task
    waited for memory, `io_stalls` that in which all that had something to do waited for disks.
    """

    lanes: Mapping[ExecutionMode, LaneLoad]
    cores: float
    ours: float = 0.0
    others: float = 0.0
    memory_used: int = 0
    memory_total: int = 0
    our_memory: int = 0
    swapped_out: float = 0.0
    memory_stalls: float = 0.0
    io_stalls: float = 0.0

    @property
    def cpu(self) -> float:
        """The share of the cores that is in use."""
        return min((self.ours + self.others) / self.cores, 1.0)


class Wish(NamedTuple):
    """How many units of a lane may run from now on, and why, in one sentence."""

    lane: ExecutionMode
    target: int
    cause: str
