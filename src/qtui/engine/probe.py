"""Samples of the machine, and of the processes and threads that units run in."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Final, NamedTuple

import psutil

from qtui.core.samples import LoadSample, ProcessSample, UnitSample
from qtui.engine.processes import TICKS, Processes, ProcessReader, Stat, children_of_thread, own_threads
from qtui.engine.workers.base import Attempt

_VMSTAT: Final = Path("/proc/vmstat")
_LEAST_SECONDS: Final = 0.001
"""An interval so short says nothing about CPU: the clock of processes moves in steps of 10 ms."""

_MOST_PERCENT: Final = 100.0 * (os.cpu_count() or 1)


class Place(NamedTuple):
    """Where a unit runs: in everything below process `keeper`, or in `process` with all below it, or in thread `thread`
    of qtui (its native id), which does others' work too if it is `shared`. 0 is none."""

    keeper: int = 0
    process: int = 0
    thread: int = 0
    shared: bool = False


def place_of(attempt: Attempt, pid: int) -> Place:
    """Where an attempt runs whose lane has told `pid`."""
    keeper = attempt.keeper.pid if attempt.keeper is not None else 0
    other = pid if pid != os.getpid() else 0
    return Place(keeper, 0 if keeper else other, attempt.thread, attempt.shares_thread)


class _Moment(NamedTuple):
    at: float
    ticks: int
    """How long the machine runs, on the clock that tells when a process began."""
    processes: Processes
    threads: dict[int, Stat]
    blocks: tuple[int, int] | None


class Probe:
    """Takes samples; CPU and disk figures are means since the previous sample, and 0 in the first.

    One caller at a time. A sample costs what there is below qtui, and next to nothing for all other processes. Process
    `top` is the qtui that is meant, by default this one; places in threads are those of this one.
    """

    def __init__(self, top: int = 0) -> None:
        psutil.cpu_percent()
        self._top = top or os.getpid()
        self._reader = ProcessReader(self._top)
        self._last: _Moment | None = None

    def sample(self, places: Mapping[int, Place]) -> LoadSample:
        """The machine, qtui itself, and what is at each place, by the keys of `places`; what has ended is left out."""
        processes = self._reader.read({place.process for place in places.values()} - {0})
        now = _Moment(time.monotonic(), _uptime(), processes, own_threads(), _blocks())
        usage = _Usage(self._last or now, now, {place.keeper for place in places.values()}, self._top)
        self._last = now
        memory = psutil.virtual_memory()
        read, written = usage.disk()
        return LoadSample(
            cpu=psutil.cpu_percent(),
            memory_used=memory.total - memory.available,
            memory_total=memory.total,
            cores=usable_cores(),
            own=usage.own(),
            units={key: used for key, place in places.items() if (used := usage.of(place)) is not None},
            load=_load(),
            read=read,
            written=written,
        )


class _Usage:
    """What was used between two moments, with these keepers at work, by the qtui that is process `top`."""

    def __init__(self, before: _Moment, now: _Moment, keepers: Set[int], top: int) -> None:
        self._before, self._now, self._top = before, now, top
        self._seconds = now.at - before.at
        stats = now.processes.stats
        wardens = {stats[keeper].parent for keeper in keepers if keeper in stats}
        self._threads_have_children = not wardens.issuperset(now.processes.children(top))

    def own(self) -> ProcessSample:
        """qtui's own process, without those below it; nothing if it has just ended."""
        stat = self._now.processes.stats.get(self._top)
        if stat is None:
            try:
                return ProcessSample(0.0, psutil.Process(self._top).memory_info().rss)
            except psutil.NoSuchProcess:
                return ProcessSample(0.0, 0)
        ticks = stat.own - self._before.processes.own_ticks(self._top, stat.began)
        return ProcessSample(self._percent(ticks), stat.memory)

    def of(self, place: Place) -> UnitSample | None:
        """What is at a place; None if that has ended, or was not there yet."""
        root = place.keeper or place.process
        if root:
            return self._below(root, itself=not place.keeper)
        if place.thread:
            return self._thread(place.thread, shared=place.shared)
        return None

    def disk(self) -> tuple[float | None, float | None]:
        """Bytes a second that were read from disks, and written to them."""
        if self._before.blocks is None or self._now.blocks is None:
            return None, None
        if self._seconds < _LEAST_SECONDS:
            return 0.0, 0.0
        read, written = (
            (now - before) / self._seconds for before, now in zip(self._before.blocks, self._now.blocks, strict=True)
        )
        return read, written

    def _below(self, pid: int, *, itself: bool) -> UnitSample | None:
        before, now = self._before.processes, self._now.processes
        stat = now.stats.get(pid)
        if stat is None:
            return None
        ticks = now.ticks(pid, stat.began) - before.ticks(pid, stat.began)
        memory = now.memory(pid)
        if not itself:
            ticks -= stat.own - before.own_ticks(pid, stat.began)
            memory -= stat.memory
        # what is new to us counts from 0 if it really is new
        known = pid in before.stats or stat.began >= self._before.ticks
        return UnitSample(self._percent(ticks) if known else 0.0, memory)

    def _thread(self, thread: int, *, shared: bool) -> UnitSample | None:
        stat, before = self._now.threads.get(thread), self._before.threads.get(thread)
        if stat is None:
            return None
        known = before is not None and before.began == stat.began
        cpu = self._percent(stat.own - (before.own if known and before is not None else 0))
        # asking for them costs as much as all the rest of a thread
        children = children_of_thread(thread) if self._threads_have_children else ()
        found = [each for pid in children if (each := self._below(pid, itself=True)) is not None]
        memory = sum(each.memory or 0 for each in found) if found else None
        return UnitSample(cpu + sum(each.cpu for each in found), memory, shared)

    def _percent(self, ticks: int) -> float:
        if self._seconds < _LEAST_SECONDS:
            return 0.0
        # less than before: children ended, and nobody waited for them
        return min(100 * max(0, ticks) / (TICKS * self._seconds), _MOST_PERCENT)


def _blocks() -> tuple[int, int] | None:
    """Bytes read from and written to all disks since the machine started; None where the system does not tell."""
    try:
        text = _VMSTAT.read_bytes()
    except OSError:
        return None
    found = dict(line.split() for line in text.splitlines() if line.startswith(b"pgpg"))
    read, written = found.get(b"pgpgin", b""), found.get(b"pgpgout", b"")
    return (int(read) * 1024, int(written) * 1024) if read.isdigit() and written.isdigit() else None


def _uptime() -> int:
    if hasattr(time, "CLOCK_BOOTTIME"):  # not on macOS
        return int(time.clock_gettime(time.CLOCK_BOOTTIME) * TICKS)
    return 0


def _load() -> float | None:
    try:
        return os.getloadavg()[0]
    except OSError:
        return None


def total_memory() -> int:
    """The machine's memory in bytes."""
    return int(psutil.virtual_memory().total)


def usable_cores() -> int:
    """The cores this process may run on."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        return os.cpu_count() or 1
