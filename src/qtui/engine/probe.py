"""Samples of the machine and of the processes that units run in."""

from __future__ import annotations

import os
from collections.abc import Iterable

import psutil

from qtui.core.samples import LoadSample, ProcessSample


class Probe:
    """Takes samples; CPU figures are means since the previous sample, so the first one of a process is 0."""

    def __init__(self) -> None:
        self._known: dict[int, psutil.Process] = {}
        self._own = psutil.Process()
        self._own.cpu_percent()
        psutil.cpu_percent()

    def sample(self, pids: Iterable[int]) -> LoadSample:
        """The machine, qtui itself, and each process of `pids` with its descendants; those that ended are left out."""
        memory = psutil.virtual_memory()
        own = ProcessSample(self._own.cpu_percent(), self._own.memory_info().rss)
        roots = list(pids)
        families = {pid: self._family(pid) for pid in roots}
        wanted = {process.pid: process for family in families.values() for process in family}
        self._known = {pid: self._known.get(pid, process) for pid, process in wanted.items()}
        return LoadSample(
            cpu=psutil.cpu_percent(),
            memory_used=memory.total - memory.available,
            memory_total=memory.total,
            cores=usable_cores(),
            own=own,
            processes={pid: self._total(family) for pid, family in families.items() if family},
        )

    def _family(self, pid: int) -> list[psutil.Process]:
        try:
            root = self._known.get(pid) or psutil.Process(pid)
            return [root, *root.children(recursive=True)]
        except psutil.Error:
            return []

    def _total(self, family: list[psutil.Process]) -> ProcessSample:
        cpu, memory = 0.0, 0
        for process in family:
            known = self._known[process.pid]
            try:
                cpu += known.cpu_percent()
                memory += known.memory_info().rss
            except psutil.Error:
                continue  # it ended between two calls
        return ProcessSample(cpu, memory)


def total_memory() -> int:
    """The machine's memory in bytes."""
    return int(psutil.virtual_memory().total)


def usable_cores() -> int:
    """The cores this process may run on."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        return os.cpu_count() or 1


def tree_cpu_seconds(pid: int) -> float:
    """The CPU seconds of a process and all below it; of those that have ended, only if they were waited for."""
    total = 0.0
    try:
        process = psutil.Process(pid)
        for each in (process, *process.children(recursive=True)):
            try:
                times = each.cpu_times()
            except psutil.Error:
                continue  # it has just ended
            total += times.user + times.system + times.children_user + times.children_system
    except psutil.Error:
        return total
    return total
