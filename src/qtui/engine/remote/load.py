"""What a worker of a cluster uses together with the units it runs, which are processes below it."""

from __future__ import annotations

import os
import time
from typing import Final

from qtui.engine.processes import TICKS, ProcessReader

METRIC: Final = "qtui"
"""The name under which a Dask worker tells it with each sign of life. What Dask itself tells is of the worker's process
alone."""

_LEAST_SECONDS: Final = 0.1
"""An interval so short says little about CPU: the clock of processes moves in steps of 10 ms."""


class WorkerLoad:
    """Measures this process and all below it; one caller at a time. Takes about a millisecond."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._reader = ProcessReader(self._pid)
        self._at = self._ticks = 0.0
        self._cpu = 0.0

    def take(self) -> tuple[float, int] | None:
        """CPU in percent of one core since the last call, 0 in the first, and memory in bytes; None where there is no
        /proc."""
        now, processes = time.monotonic(), self._reader.read()
        stat = processes.stats.get(self._pid)
        if stat is None:
            return None
        ticks = float(processes.ticks(self._pid, stat.began))
        if not self._at:
            self._at, self._ticks = now, ticks
        elif now - self._at >= _LEAST_SECONDS:
            # less than before: children ended, and nobody waited for them
            self._cpu = 100 * max(0.0, ticks - self._ticks) / (TICKS * (now - self._at))
            self._at, self._ticks = now, ticks
        return self._cpu, processes.memory(self._pid)
