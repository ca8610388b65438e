"""The connection to a Dask cluster: one that is there, or one of this machine's cores that goes with the run."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from distributed import Client
from distributed.versions import VersionMismatchWarning

from qtui.engine.remote.load import METRIC
from qtui.engine.remote.local import Keeping, LocalCluster
from qtui.engine.remote.security import own_versions, refusal, versions_differ, versions_doubted, versions_of
from qtui.engine.workers.clustersource import ClusterSource

CONNECT_SECONDS: Final = 10.0
"""How long a scheduler may take to answer, and one that went away to be there again."""

CLOSE_SECONDS: Final = 5.0


_UNREACHABLE: Final = (OSError, ValueError, ImportError, RuntimeError, TypeError)
"""What connecting raises; the last where there are no TLS certificates."""


class Unreachable(Exception):
    """There is no cluster to work with; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Node:
    """A worker of the cluster, as its scheduler knows it. `cpu` is in percent of one core, memory in bytes: of the
    worker with the units it runs, or of its process alone as long as no unit of qtui has run there."""

    address: str
    name: str
    threads: int
    cpu: float
    memory: int
    memory_limit: int
    resources: Mapping[str, float]


class Cluster:
    """A connection that is used from one event loop. Made by `Cluster.connect`."""

    def __init__(self, client: Client, local: LocalCluster | None) -> None:
        self.client, self._local = client, local
        self.address = str(client.scheduler.address)

    @classmethod
    async def connect(cls, source: ClusterSource, host: Keeping, warn: Callable[[str], None]) -> Cluster:
        """Connect, and start a cluster first if none is named. Raises Unreachable."""
        _keep_quiet()
        client: Client | None = None
        local: LocalCluster | None = None
        address = source.address
        if reason := refusal(address, source.insecure):
            raise Unreachable(reason)
        try:
            if not address:
                local = LocalCluster(host)
                address = await local.start()
            client = Client(address, asynchronous=True, set_as_default=False, timeout=CONNECT_SECONDS, name="qtui")
            await client
            await _compare_versions(client, warn)
        except BaseException as error:
            await _close(client, local)
            if not isinstance(error, _UNREACHABLE):
                raise
            what = f"the scheduler at {address}" if address else "a cluster on this machine"
            raise Unreachable(f"cannot connect to {what}: {error or type(error).__name__}") from error
        return cls(client, local)

    @property
    def lost(self) -> bool:
        """Whether the connection is gone."""
        return bool(self.client.status != "running")

    async def nodes(self) -> list[Node]:
        """The workers that there are now. Raises OSError."""
        known = await self.client.scheduler.identity(n_workers=-1)
        return [_node(address, about) for address, about in known["workers"].items()]

    async def close(self) -> None:
        """Disconnect; a cluster that was started for this ends."""
        await _close(self.client, self._local)


async def _close(client: Client | None, local: LocalCluster | None) -> None:
    """Disconnect, also from halfway: Dask would do so when the client is collected, where nobody can wait for it."""
    with suppress(Exception):  # the scheduler may be gone already, in any state
        if client is not None:
            await client.close(timeout=CLOSE_SECONDS if client.status == "running" else 0)
    if local is not None:
        local.close()


async def _compare_versions(client: Client, warn: Callable[[str], None]) -> None:
    found = await client.get_versions(packages=["qtui"])
    workers = {f"the worker {address}": about for address, about in found["workers"].items()}
    ours, told = own_versions(), {"the scheduler": found["scheduler"], **workers}
    theirs = {name: versions_of(about) for name, about in told.items() if about}
    if why := versions_differ(ours, theirs):
        raise Unreachable(why)
    if doubt := versions_doubted(ours, theirs):
        warn(doubt)


def _node(address: str, about: dict[str, Any]) -> Node:
    metrics, name = about.get("metrics") or {}, str(about["name"])
    cpu, memory = metrics.get(METRIC) or (metrics.get("cpu", 0.0), metrics.get("memory", 0))
    return Node(
        address=address,
        name=address.rpartition("://")[2] if name == address else name,
        threads=int(about["nthreads"]),
        cpu=float(cpu),
        memory=int(memory),
        memory_limit=int(about["memory_limit"] or 0),
        resources=about.get("resources") or {},
    )


def _keep_quiet() -> None:
    """What Dask logs would go to the terminal, where the screen is; what matters of it, qtui tells itself."""
    for name in list(logging.root.manager.loggerDict):  # Dask gives a level and a handler to each of its own
        if name.partition(".")[0] in ("distributed", "tornado"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", category=VersionMismatchWarning)
