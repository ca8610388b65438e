"""Which lane runs which mode: a new lane is one file here and one line below."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from qtui.core.errors import UsageError
from qtui.core.model import ExecutionMode
from qtui.engine.workers.base import Lane
from qtui.engine.workers.clustersource import ClusterSource
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


def make_lane(mode: ExecutionMode, executor: ExecutorSource | ClusterSource | None) -> Lane:
    """The lane of a mode; that of custom units has its executor from outside.

    Raises UsageError if it is missing, or a cluster that could not be used: refused, or its package cannot be imported.
    """
    if mode is not ExecutionMode.CUSTOM:
        return LANES[mode]()
    if executor is None:
        raise UsageError('mode "custom" needs an executor')
    if isinstance(executor, ClusterSource):
        return cluster_lane(executor)(executor)
    return ExecutorLane(executor)


def cluster_lane(source: ClusterSource) -> Callable[[ClusterSource], Lane]:
    """What makes the lane of a cluster. Raises UsageError as `make_lane` does; loads its package, which takes a second
    the first time."""
    source.check()
    try:
        from qtui.engine.workers.dask import DaskLane  # what it imports is there only with the extra
    except Exception as error:  # whatever a package that is half there raises
        why = f"{type(error).__name__}: {error}"
        raise UsageError(f"the executor {source.name} cannot be used, its package does not load: {why}") from error
    return DaskLane
