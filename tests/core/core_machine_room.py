"""A machine that is made up: units that wait for a server, compute on cores and fill memory, in steps of 20 ms."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from qtui.core.governor import Governor
from qtui.core.load import LaneLoad, Load, Wish
from qtui.core.model import ExecutionMode
from qtui.core.options import RunOptions

STEP = 0.02
THREAD, PROCESS, COMMAND = ExecutionMode.THREAD, ExecutionMode.PROCESS, ExecutionMode.COMMAND
GB = 1 << 30

Server = Callable[[int], float]
"""How quickly a unit is served when so many are: 1.0 is as quickly as can be."""


def unlimited(_at_once: int) -> float:
    return 1.0


def saturated_by(workers: int, penalty: float = 0.0) -> Server:
    """A server with so many places; each unit beyond them costs all of them a part of their speed."""

    def served(at_once: int) -> float:
        beyond = max(0, at_once - workers)
        return min(1.0, workers / at_once) / (1.0 + penalty * beyond / workers)

    return served


@dataclass
class Job:
    waits: float
    computes: float
    began: float
    memory: int
    turn: random.Random

    def wants_core(self) -> bool:
        """Waiting and computing alternate in small pieces, so at any time it is a matter of chance."""
        left = self.waits + self.computes
        return self.turn.random() * left < self.computes


@dataclass
class LaneOfUnits:
    """A lane and the units that it still has: each waits, then computes, for so many seconds, and holds memory."""

    waits: float = 0.0
    computes: float = 0.0
    count: int = 1_000_000
    server: Server = unlimited
    memory: int = 0
    spread: float = 0.0
    pool: int = 1_000_000
    running: list[Job] = field(default_factory=list)
    target: int = 0
    done: int = 0
    ended: int = 0
    seconds: float = 0.0
    squares: float = 0.0
    used: float = 0.0


class MachineRoom:
    """Simulates lanes on a machine of some cores that other people may use, too."""

    def __init__(self, cores: float = 2.0, memory: int = 16 * GB, seed: int = 1, **lanes: LaneOfUnits) -> None:
        self.cores, self.memory = cores, memory
        self.lanes = {ExecutionMode(name): lane for name, lane in lanes.items()}
        self.now = 0.0
        self.hogs = 0  # tasks of other people that compute without end
        self.filled = 0  # bytes that other people fill
        self.stalls = 0.0
        self._others_used = 0.0
        self._random = random.Random(seed)

    def set(self, **targets: int) -> None:
        for name, target in targets.items():
            self.lanes[ExecutionMode(name)].target = target

    def pass_second(self) -> Load:
        """Let a second pass; returns what is seen at its end."""
        for lane in self.lanes.values():
            lane.ended, lane.seconds, lane.squares, lane.used = 0, 0.0, 0.0, 0.0
        self._others_used = 0.0
        runnable: dict[ExecutionMode, int] = {}
        for _ in range(round(1 / STEP)):
            runnable = self._step()
        ours = sum(lane.used for lane in self.lanes.values())
        held = sum(job.memory for lane in self.lanes.values() for job in lane.running)
        return Load(
            lanes={
                mode: LaneLoad(
                    target=lane.target,
                    running=len(lane.running),
                    waiting=lane.count,
                    ended=lane.ended,
                    seconds=lane.seconds,
                    squares=lane.squares,
                    cpu=lane.used,
                    runnable=runnable[mode],
                )
                for mode, lane in self.lanes.items()
            },
            cores=self.cores,
            ours=ours,
            others=self._others_used,
            memory_used=GB + held + self.filled,
            memory_total=self.memory,
            our_memory=held,
            memory_stalls=self.stalls,
        )

    def _step(self) -> dict[ExecutionMode, int]:
        for lane in self.lanes.values():
            self._start(lane)  # the target may have changed
        self.now += STEP
        computing: list[tuple[LaneOfUnits, Job]] = []
        runnable = dict.fromkeys(self.lanes, 0)
        for mode, lane in self.lanes.items():
            waiting = []
            for job in lane.running:
                if job.computes > 0 and job.wants_core():
                    computing.append((lane, job))
                    runnable[mode] += 1
                else:
                    waiting.append(job)
            pace = STEP * lane.server(len(waiting)) if waiting else 0.0
            for job in waiting:
                job.waits -= pace
        share = min(1.0, self.cores / max(len(computing) + self.hogs, 1))
        for lane, job in computing:
            job.computes -= STEP * share
            lane.used += STEP * share
        self._others_used += STEP * share * self.hogs
        for lane in self.lanes.values():
            self._end(lane)
            self._start(lane)
        return runnable

    def _start(self, lane: LaneOfUnits) -> None:
        while lane.count and len(lane.running) < min(lane.target, lane.pool):
            lane.count -= 1
            factor = 1.0 + lane.spread * (2 * self._random.random() - 1)
            job = Job(lane.waits * factor, lane.computes * factor, self.now, lane.memory, self._random)
            lane.running.append(job)

    def _end(self, lane: LaneOfUnits) -> None:
        ended = [job for job in lane.running if job.waits + job.computes <= STEP / 2]
        if ended:
            lane.running = [job for job in lane.running if job.waits + job.computes > STEP / 2]
            lane.ended += len(ended)
            lane.done += len(ended)
            lane.seconds += sum(self.now - job.began for job in ended)
            lane.squares += sum((self.now - job.began) ** 2 for job in ended)


class Governed:
    """A machine room with a governor in it."""

    def __init__(self, room: MachineRoom, **options: object) -> None:
        self.room = room
        self.options = RunOptions(adaptive=True, **options)  # type: ignore[arg-type]
        self.governor = Governor(self.options)
        self.wishes: list[tuple[float, Wish]] = []
        self.trail: dict[ExecutionMode, list[int]] = {mode: [] for mode in room.lanes}

    def look(self, times: int = 1) -> None:
        """Let so many seconds pass, and heed what the governor wishes after each."""
        for _ in range(times):
            load = self.room.pass_second()
            for wish in self.governor.decide(load, self.room.now):
                self.room.lanes[wish.lane].target = wish.target
                self.wishes.append((self.room.now, wish))
            for mode, lane in self.room.lanes.items():
                self.trail[mode].append(lane.target)

    def done_in(self, lane: ExecutionMode, seconds: int) -> int:
        """How many units end in the next seconds."""
        before = self.room.lanes[lane].done
        self.look(seconds)
        return self.room.lanes[lane].done - before
