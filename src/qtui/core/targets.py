"""How many units may run at a time: of all lanes together, and of each lane that the governor looks after."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final

from qtui.core.model import ExecutionMode
from qtui.core.options import RunOptions

GOVERNED: Final = frozenset({ExecutionMode.THREAD, ExecutionMode.PROCESS, ExecutionMode.COMMAND})
"""The lanes whose number of workers matters to the machine; coroutines wait, and other executors see to themselves.

A cluster has a target as these do, but reports it itself, and the governor lets that alone."""


class WorkerTargets:
    """`together` is how many units may run at a time; `of_lane` how many of each lane, while no person decides.

    The targets add up to `together`, with room for the coroutines, within `RunOptions.max_workers`. They
    begin with `RunOptions.workers` for each lane, `first` within its bounds, but for processes, and for a cluster that
    is made on this machine: one a core. From there the governor goes on; that of a cluster becomes what its lane
    reports.
    """

    def __init__(self, lanes: Iterable[ExecutionMode], options: RunOptions) -> None:
        self._options = options
        sequential = options.mode is ExecutionMode.SEQUENTIAL
        self._most = 1 if sequential else options.max_workers
        self._lanes = set(lanes)
        self._aimed = GOVERNED | options.elsewhere
        self.governed = options.adaptive and not sequential
        self.of_lane: dict[ExecutionMode, int] = {}
        self.first = self.together = self._within(options.workers)
        if self.governed:
            self.give_back()

    def restore(self, together: int, of_lane: Mapping[str, int], governed: bool | None) -> None:
        """Go on from what the record says; 0 and None mean that it says nothing yet."""
        self.together = together or self.together
        if governed is not None:
            self.governed = governed
            self.of_lane = {ExecutionMode(lane): target for lane, target in of_lane.items()}

    def set(self, target: int) -> bool:
        """Let so many run together; False if they do already."""
        before, self.together = self.together, self._within(target)
        return self.together != before

    @property
    def decided(self) -> int:
        """What a person counts from: what was asked for last, or what the governor has decided, without the room that
        coroutines have beside that."""
        return self._within(sum(self.of_lane.values())) if self.of_lane else self.together

    def set_lane(self, lane: ExecutionMode, target: int) -> bool:
        """Let so many of a lane run, as the governor wishes or a cluster reports; False if nothing changes."""
        if lane not in self.of_lane:
            return False
        least = min(self._options.min_workers, self._most) if len(self.of_lane) == 1 else 1
        before, self.of_lane[lane] = self.of_lane[lane], max(least, min(target, self._most))
        self._add_up()
        return self.of_lane[lane] != before

    def take_over(self) -> None:
        """A person decides from now on: lanes have no targets of their own."""
        self.governed = False
        self.of_lane = {}

    def give_back(self) -> None:
        """The governor decides, from the beginning."""
        self.governed = True
        self.of_lane = {lane: self._first(lane) for lane in sorted(self._lanes & self._aimed)}
        self._add_up()

    def join(self, lanes: Iterable[ExecutionMode]) -> list[ExecutionMode]:
        """The plan has grown; returns the lanes that have a target now and had none."""
        self._lanes.update(lanes)
        if not self.governed:
            return []
        new = sorted((self._lanes & self._aimed) - self.of_lane.keys())
        self.of_lane |= {lane: self._first(lane) for lane in new}
        self._add_up()
        return new

    def keep(self, lanes: Iterable[ExecutionMode]) -> None:
        """The plan has units of these lanes only; what they have for a target stays."""
        self._lanes.intersection_update(lanes)

    def _first(self, lane: ExecutionMode) -> int:
        workers = self._options.workers
        by_core = lane is ExecutionMode.PROCESS or (lane is ExecutionMode.CUSTOM and self._options.address is None)
        if by_core and self._options.cpus is not None:
            workers = min(workers, max(self._options.min_workers, math.ceil(self._options.cpus)))
        return self._within(workers)

    def _add_up(self) -> None:
        others = {
            ExecutionMode.ASYNC: self._options.max_async,
            ExecutionMode.CUSTOM: self._options.workers,
            ExecutionMode.SEQUENTIAL: 1,
        }
        untold = (self._lanes & others.keys()) - self.of_lane.keys()
        together = sum(self.of_lane.values()) + sum(others[lane] for lane in untold)
        self.together = self._within(together)

    def _within(self, workers: int) -> int:
        return max(1, min(workers, self._most))
