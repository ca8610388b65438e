"""Which lane runs which mode: a new lane is one file here and one line below."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from qtui.core.errors import UsageError
from qtui.core.model import ExecutionMode
from qtui.engine.workers.base import Lane
from qtui.engine.workers.command import CommandLane
from qtui.engine.workers.coroutine import CoroutineLane
from qtui.engine.workers.executor import ExecutorLane, ExecutorSource
from qtui.engine.workers.process import ProcessLane
from qtui.engine.workers.thread import ThreadLane

LANES: Final[Mapping[ExecutionMode, Callable[[], Lane]]] = {
    ExecutionMode.THREAD: lambda: ThreadLane(ExecutionMode.THREAD),
    ExecutionMode.SEQUENTIAL: lambda: ThreadLane(ExecutionMode.SEQUENTIAL),
    ExecutionMode.ASYNC: CoroutineLane,
    ExecutionMode.COMMAND: CommandLane,
    ExecutionMode.PROCESS: ProcessLane,
}
"""The lanes that need nothing but a run."""


def make_lane(mode: ExecutionMode, executor: ExecutorSource | None) -> Lane:
    """The lane of a mode; that of custom units has its executor from outside. Raises UsageError if it is missing."""
    if mode is not ExecutionMode.CUSTOM:
        return LANES[mode]()
    if executor is None:
        raise UsageError('mode "custom" needs an executor')
    return ExecutorLane(executor)
