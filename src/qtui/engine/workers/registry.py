"""Which lane runs which mode: a new lane is one file here and one line below."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from qtui.core.model import ExecutionMode
from qtui.engine.workers.base import Lane
from qtui.engine.workers.command import CommandLane
from qtui.engine.workers.coroutine import CoroutineLane
from qtui.engine.workers.process import ProcessLane
from qtui.engine.workers.thread import ThreadLane

LANES: Mapping[ExecutionMode, Callable[[], Lane]] = {
    ExecutionMode.THREAD: lambda: ThreadLane(ExecutionMode.THREAD),
    ExecutionMode.SEQUENTIAL: lambda: ThreadLane(ExecutionMode.SEQUENTIAL),
    ExecutionMode.ASYNC: CoroutineLane,
    ExecutionMode.COMMAND: CommandLane,
    ExecutionMode.PROCESS: ProcessLane,
}
