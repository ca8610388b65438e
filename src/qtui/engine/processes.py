"""Processes as /proc tells of them: who is below whom, and what they use.

psutil reads all of /proc for the descendants of one process. Here it is looked through once for all of them, and of
what is not qtui's only the names: a process that is not below qtui never comes to be there.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from contextlib import suppress
from typing import Final, NamedTuple

TICKS: Final = os.sysconf("SC_CLK_TCK")
"""How many ticks of CPU time are a second."""

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_FORGET_AFTER: Final = 60
"""Every so many looks all is read anew: the number of a process that has ended may be given to one of ours."""


class Stat(NamedTuple):
    """A process or a thread: CPU time in ticks (its own, and that of ended children that were waited for), memory in
    bytes. `began` tells it from a later one of the same number. One that is `runnable` has a core, or waits for it."""

    parent: int
    began: int
    own: int
    waited: int
    memory: int
    runnable: bool


class Processes:
    """Those of `stats` that are below `roots`, the roots included: the processes of one moment."""

    def __init__(self, stats: Mapping[int, Stat], roots: Set[int]) -> None:
        self._children: defaultdict[int, list[int]] = defaultdict(list)
        for pid, stat in stats.items():
            self._children[stat.parent].append(pid)
        self.stats: dict[int, Stat] = {}
        stack = [pid for pid in roots if pid in stats and not _is_below(pid, roots, stats)]
        while stack:
            pid = stack.pop()
            if pid not in self.stats:
                self.stats[pid] = stats[pid]
                stack += self.children(pid)
        self._ticks, self._memory = self._sums()

    def _sums(self) -> tuple[dict[int, int], dict[int, int]]:
        ticks = {pid: stat.own + stat.waited for pid, stat in self.stats.items()}
        memory = {pid: stat.memory for pid, stat in self.stats.items()}
        for pid in reversed(self.stats):  # children come behind their parents
            parent = self.stats[pid].parent
            if parent in ticks:
                ticks[parent] += ticks[pid]
                memory[parent] += memory[pid]
        return ticks, memory

    def children(self, pid: int) -> Sequence[int]:
        """The processes right below one."""
        return self._children.get(pid, ())

    def memory(self, pid: int) -> int:
        """The memory of a process and all below it."""
        return self._memory.get(pid, 0)

    def ticks(self, pid: int, began: int) -> int:
        """The CPU time of a process and all below it, ended ones included; 0 if it is not, or no longer, the one that
        began then."""
        return self._ticks[pid] if self._is(pid, began) else 0

    def cpu_seconds(self, pid: int) -> float:
        """The CPU time of a process and all below it; of those that have ended, only if they were waited for."""
        return self._ticks.get(pid, 0) / TICKS

    def own_ticks(self, pid: int, began: int) -> int:
        """As `ticks`, of the process alone."""
        return self.stats[pid].own if self._is(pid, began) else 0

    def _is(self, pid: int, began: int) -> bool:
        stat = self.stats.get(pid)
        return stat is not None and stat.began == began


def _is_below(pid: int, others: Set[int], stats: Mapping[int, Stat]) -> bool:
    """Whether one of `others` is above a process."""
    passed = {pid}
    while (stat := stats.get(pid)) is not None and (pid := stat.parent) not in passed:
        if pid in others:
            return True
        passed.add(pid)
    return False


class ProcessReader:
    """Reads the processes below `top`, by default this one."""

    def __init__(self, top: int = 0) -> None:
        self._top = top or os.getpid()
        self._foreign: set[int] = set()
        self._outside: set[int] = set()
        self._looks = 0

    def read(self, others: Iterable[int] = ()) -> Processes:
        """The topmost process, all below it, and `others` with all below them; nothing where there is no /proc."""
        roots = {self._top, *others}
        alive = _numbers("/proc")
        self._looks += 1
        if self._looks % _FORGET_AFTER == 0:
            self._foreign = set()
        self._foreign &= alive
        read = {pid: stat for pid in (alive - self._foreign) | roots if (stat := stat_of(f"/proc/{pid}/stat"))}
        ours = Processes(read, roots)
        # seen outside twice: a parent that ended while we read hides for that moment whose its children are
        outside = read.keys() - ours.stats.keys()
        self._foreign |= outside & self._outside
        self._outside = outside
        return ours


def own_threads() -> dict[int, Stat]:
    """The threads of this process by their native ids; `waited` and `memory` are those of the process."""
    directory = "/proc/self/task"
    threads = _numbers(directory)
    return {thread: stat for thread in threads if (stat := stat_of(f"{directory}/{thread}/stat"))}


def children_of_thread(thread: int) -> list[int]:
    """The processes that a thread of this process has started and that go on."""
    return [int(pid) for pid in _content(f"/proc/self/task/{thread}/children").split()]


def stat_of(path: str) -> Stat | None:
    """What the ``stat`` file of a process or a thread says; None if that has ended."""
    # the name, in parentheses, may hold anything
    fields = _content(path).rpartition(b")")[2].split(None, 22)
    if len(fields) < 22:
        return None
    own, waited = int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])
    return Stat(int(fields[1]), int(fields[19]), own, waited, int(fields[21]) * _PAGE, fields[0] == b"R")


def _numbers(directory: str) -> set[int]:
    with suppress(OSError):
        return {int(name) for name in os.listdir(directory) if name.isdigit()}  # noqa: PTH208  - a third of the time
    return set()


def _content(path: str) -> bytes:
    """What a small file in /proc says; empty if there is none, or no longer."""
    # an unbuffered read costs half as much as a file object, and there is one for each process and second
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(file, 2048)
    except OSError:  # it ended between the two calls
        return b""
    finally:
        os.close(file)
