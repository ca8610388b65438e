"""What the machine does, and what each lane has of that: from a few files in /proc and of the control group."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from qtui.core.model import ExecutionMode
from qtui.definition import machine
from qtui.engine.processes import TICKS, Processes, ProcessReader, stat_of

MOST_THREADS: Final = 32
"""Of more threads than these, these stand for all."""

_STAT: Final = Path("/proc/stat")
_MEMINFO: Final = Path("/proc/meminfo")
_VMSTAT: Final = Path("/proc/vmstat")
_PRESSURE: Final = Path("/proc/pressure")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


class MachineLoad(NamedTuple):
    """What a `Load` says of the machine, and the cores in use and the runnable tasks of each lane."""

    cores: float
    ours: float
    others: float
    memory_used: int
    memory_total: int
    our_memory: int
    swapped_out: float
    memory_stalls: float
    io_stalls: float
    cpu: Mapping[ExecutionMode, float]
    runnable: Mapping[ExecutionMode, float]


class _Moment(NamedTuple):
    """Counters that only grow."""

    at: float
    busy: float
    processes: Processes
    swapped: int
    memory_stall: float
    io_stall: float


class MachineReader:
    """Reads what has been done since the last look. One caller at a time."""

    def __init__(self) -> None:
        self._reader = ProcessReader()
        self._keepers: dict[int, ExecutionMode] = {}
        self._wardens: set[int] = set()
        self._last: _Moment | None = None

    def look(self, keepers: Mapping[int, ExecutionMode], threads: Collection[int]) -> MachineLoad | None:
        """What is so now, and the means since the last look; None at the first, and where the system has no /proc.

        `keepers` are the processes below which units of the lanes run, `threads` the native ids of those of thread
        units.
        """
        bound = _bound()
        busy = _busy_seconds(bound)
        if busy is None:
            return None
        processes = self._reader.read()
        memory_stall, io_stall = _stalls("memory", b"some"), _stalls("io", b"full")
        now = _Moment(time.monotonic(), busy, processes, _swapped_out(), memory_stall, io_stall)
        self._know(keepers, processes)
        before, self._last = self._last, now
        if before is None or now.at <= before.at:
            return None
        return self._between(before, now, threads, len(bound))

    def _know(self, keepers: Mapping[int, ExecutionMode], processes: Processes) -> None:
        # a keeper stays with its lane, so those without a unit right now are known from earlier looks
        known = {**self._keepers, **keepers}
        self._keepers = {pid: lane for pid, lane in known.items() if pid in processes.stats}
        self._wardens = {processes.stats[pid].parent for pid in self._keepers}

    def _between(self, before: _Moment, now: _Moment, threads: Collection[int], bound: int) -> MachineLoad:
        seconds = now.at - before.at
        own = os.getpid()
        ours = _used(before, now, own)
        cpu: defaultdict[ExecutionMode, float] = defaultdict(float)
        runnable: defaultdict[ExecutionMode, float] = defaultdict(float)
        for pid, lane in self._keepers.items():
            cpu[lane] += _used(before, now, pid)
            runnable[lane] += _runnable(now.processes, pid)
        cpu[ExecutionMode.THREAD] = max(0.0, ours - sum(_used(before, now, pid) for pid in self._wardens))
        runnable[ExecutionMode.THREAD] = _runnable_threads(threads) + sum(
            _runnable(now.processes, pid) for pid in now.processes.children(own) if pid not in self._wardens
        )
        cores = machine.cores()
        used, total = _memory()
        return MachineLoad(
            cores=cores,
            ours=ours,
            # what others use beyond our share of the cores takes nothing from us
            others=max(0.0, (now.busy - before.busy) / seconds - ours - (bound - cores)),
            memory_used=used,
            memory_total=total,
            our_memory=sum(stat.memory for stat in now.processes.stats.values()),
            swapped_out=(now.swapped - before.swapped) / seconds,
            memory_stalls=(now.memory_stall - before.memory_stall) / seconds,
            io_stalls=(now.io_stall - before.io_stall) / seconds,
            cpu=cpu,
            runnable=runnable,
        )


def _used(before: _Moment, now: _Moment, pid: int) -> float:
    """The cores that a process and all below it have used."""
    stat = now.processes.stats.get(pid)
    if stat is None:
        return 0.0
    ticks = now.processes.ticks(pid, stat.began) - before.processes.ticks(pid, stat.began)
    # less than before: children ended, and nobody waited for them
    return max(0, ticks) / TICKS / (now.at - before.at)


def _runnable(processes: Processes, pid: int) -> int:
    """How many processes of the tree below `pid`, itself included, have a core or wait for one."""
    found, stack = 0, [pid]
    while stack:
        at = stack.pop()
        stat = processes.stats.get(at)
        found += stat is not None and stat.runnable
        stack += processes.children(at)
    return found


def _runnable_threads(threads: Collection[int]) -> float:
    looked_at = list(threads)[:MOST_THREADS]
    stats = [stat for thread in looked_at if (stat := stat_of(f"/proc/self/task/{thread}/stat"))]
    return sum(stat.runnable for stat in stats) * len(threads) / max(len(looked_at), 1)


def _bound() -> set[int]:
    """The numbers of the cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def _busy_seconds(cores: set[int]) -> float | None:
    """The seconds that these cores have been in use, by anybody; None where the system does not tell."""
    names = {b"cpu%d" % core for core in cores}
    ticks = 0
    for line in _lines(_STAT):
        name, *counts = line.split()
        if not name.startswith(b"cpu"):
            break
        if name in names:
            user, nice, system, _idle, _io_wait, *interrupts = map(int, counts[:8])
            ticks += user + nice + system + sum(interrupts)
    return ticks / TICKS if ticks else None


def _memory() -> tuple[int, int]:
    """Bytes in use and in all: of the machine, or of the control group with the least left, if that is less."""
    facts = {line.partition(b":")[0]: int(line.split()[1]) * 1024 for line in _lines(_MEMINFO)}
    total = facts.get(b"MemTotal", 0)
    found = [(total - facts.get(b"MemAvailable", total), total)]
    for group in machine.groups():
        limit, used = _number(group / "memory.max"), _number(group / "memory.current")
        if limit is not None and used is not None:
            found.append((used - _reclaimable(group), limit))
    return min(found, key=lambda each: each[1] - each[0])


def _reclaimable(group: Path) -> int:
    """Bytes of a control group that the kernel gives up without further ado."""
    return next((int(line.split()[1]) for line in _lines(group / "memory.stat") if line.startswith(b"inactive_f")), 0)


def _swapped_out() -> int:
    line = next((line for line in _lines(_VMSTAT) if line.startswith(b"pswpout ")), b"0 0")
    return int(line.split()[1]) * _PAGE


def _stalls(resource: str, kind: bytes) -> float:
    """The seconds in which some tasks, or all that had something to do (`full`), waited for a resource."""
    for line in _lines(_PRESSURE / resource):
        if line.startswith(kind):
            return int(line.rpartition(b"total=")[2]) / 1e6
    return 0.0


def _number(path: Path) -> int | None:
    text = b"".join(_lines(path)).strip()
    return int(text) if text.isdigit() else None


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().splitlines()
    except OSError:
        return []
