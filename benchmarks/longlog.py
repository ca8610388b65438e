"""A log of a million lines: what it takes to have it open, and to search it."""

from __future__ import annotations

import time
import tracemalloc
from typing import TYPE_CHECKING, cast

from qtui.core.model import Argv, QuantumUnit
from qtui.core.plan import ExecutionPlan
from qtui.core.session import LogChunk
from qtui.tui.loglines import LogLines
from qtui.tui.logsearch import Log, scan
from qtui.tui.patterns import Pattern

if TYPE_CHECKING:
    from qtui.core.session import RunSession

_LINE = b"12:04:51 INFO  epoch %6d loss 0.31337 accuracy 0.875\n"


class LongLog:
    """As much of a session as a log needs; its output is in memory, so that no disk is measured."""

    plan = ExecutionPlan.build([QuantumUnit(id="long", action=Argv(("long",)), log_max=1 << 30)])

    def __init__(self, lines: int) -> None:
        self._data = b"".join(_LINE % number for number in range(lines))

    def read_log(self, unit: int, attempt: int, offset: int = 0, limit: int = 1 << 20) -> LogChunk:  # noqa: ARG002
        data = self._data[offset : offset + limit]
        return LogChunk(data, size=len(self._data), next=offset + len(data))


def open_megabytes(log: LongLog) -> float:
    """What the lines take in memory once all of them are known."""
    session = cast("RunSession", log)
    tracemalloc.start()
    lines = LogLines(session, 0, 1)
    while lines.advance():
        pass
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return used / 1e6


def search_seconds(log: LongLog, typed: str) -> float:
    """How long it takes until the last line that matches was found."""
    session = cast("RunSession", log)
    begun = time.perf_counter()
    found = sum(len(piece.starts) for piece in scan(Log(session, 0, 1), Pattern(typed)))
    if not found:
        raise RuntimeError(f"{typed!r} was not found")
    return time.perf_counter() - begun
