"""What a unit has used of a worker process: its CPU time and the most memory."""

from __future__ import annotations

import os
import resource
import time

MEASURED_SECONDS = 0.01
"""From this duration on the memory of a unit is looked at: shorter ones would pay more for it than for themselves."""

_RESET_PEAK = b"5"  # proc(5): resets the peak resident set size to what is used now


class Meter:
    """Measures one unit after another in this process; what a unit's children used counts once they were waited for."""

    def __init__(self) -> None:
        try:
            self._reset = os.open("/proc/self/clear_refs", os.O_WRONLY | os.O_CLOEXEC)
        except OSError:  # not on this system
            self._reset = -1
        self._began, self._cpu = 0.0, 0.0

    def start(self) -> None:
        """A unit begins."""
        if self._reset >= 0:
            try:
                os.write(self._reset, _RESET_PEAK)
            except OSError:  # a unit has closed it
                self._reset = -1
        self._began, self._cpu = time.monotonic(), _cpu_seconds()

    def read(self) -> tuple[float, float, int]:
        """Of the unit since `start`: seconds, CPU seconds, and the peak of its memory in bytes, 0 if not measured."""
        seconds = time.monotonic() - self._began
        peak = self._peak() if seconds >= MEASURED_SECONDS else 0
        return seconds, max(0.0, _cpu_seconds() - self._cpu), peak

    def _peak(self) -> int:
        if self._reset < 0:
            return 0
        with open("/proc/self/status", "rb") as status:  # noqa: PTH123
            for line in status:
                if line.startswith(b"VmHWM:"):
                    return int(line.split()[1]) << 10
        return 0


def _cpu_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime
