"""What machine, qtui and running units use at one moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

SILENT_SECONDS: Final = 10.0
"""How long a cluster may take to answer before people are told."""


class ProcessSample(NamedTuple):
    """One process: CPU in percent of one core since the last sample, memory in bytes."""

    cpu: float
    memory: int


class UnitSample(NamedTuple):
    """What the worker of a running unit uses.

    `cpu` is in percent of one core, since the last sample: of the unit's processes, or of its thread and the processes
    it has started. A worker may have run another unit in that time; the figure is the worker's. It is `shared` where
    one thread does the work of all coroutines. `memory` is the bytes of the processes; None where there are none, as
    what runs in qtui's own process has no memory apart from that.
    """

    cpu: float
    memory: int | None = None
    shared: bool = False


class ClusterWorker(NamedTuple):
    """One worker of a cluster that units of the run are sent to.

    `cpu` is in percent of one core, `memory` in bytes; `memory_limit` is what it may use, 0 if there is no limit.
    `units` are the numbers of those that run there. It was so `age` seconds ago: a cluster is asked each second.
    """

    name: str
    address: str
    threads: int
    cpu: float
    memory: int
    memory_limit: int
    units: tuple[int, ...]
    age: float = 0.0


def silence(workers: Iterable[ClusterWorker]) -> str:
    """``has not answered for 40 s``, of the cluster that has these workers; empty while it answers."""
    age = max((worker.age for worker in workers), default=0.0)
    return silent_for(age) if age >= SILENT_SECONDS else ""


def silent_for(seconds: float) -> str:
    """``has not answered for 40 s``."""
    return f"has not answered for {seconds:.0f} s"


def unmanned_for(seconds: float) -> str:
    """``has had no workers for 40 s``, of a cluster."""
    return f"has had no workers for {max(0.0, seconds):.0f} s"


class LoadSample(NamedTuple):
    """The machine, qtui, and running units by number.

    `cpu` is in percent of all cores, memory in bytes. `own` is qtui's process itself, in which thread, sequential and
    async units run. `load` is the mean number of tasks that ran or could have run in the last minute, `read` and
    `written` the bytes a second that went to and from all disks; None where the system does not tell. `cluster` has the
    workers of the cluster that the run uses, in a lasting order.
    """

    cpu: float
    memory_used: int
    memory_total: int
    cores: int
    own: ProcessSample
    units: Mapping[int, UnitSample]
    load: float | None = None
    read: float | None = None
    written: float | None = None
    cluster: tuple[ClusterWorker, ...] = ()

    @property
    def threads(self) -> int:
        """How many threads the cluster has; 0 if nobody knows."""
        return sum(worker.threads for worker in self.cluster)
