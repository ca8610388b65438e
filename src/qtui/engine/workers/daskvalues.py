"""Results of units that lie on a Dask cluster: handed on as futures, and brought here when somebody wants them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from typing import Any, Final, NamedTuple
from uuid import uuid4

from distributed import Client, Future

from qtui.core.errors import BrokenResult
from qtui.core.model import LOST_NEED, UnitError, UnitState
from qtui.engine.elsewhere import Elsewhere
from qtui.engine.packing import INLINE_BYTES, Packed, pieces_of
from qtui.engine.remote.parcel import RemoteValue
from qtui.engine.workers.base import Host
from qtui.engine.workers.daskjobs import ClusterJob

LOST: Final = "was lost with a worker of the cluster"

ASK_SECONDS: Final = 5.0
"""How often it is asked whether a value that does not come is still there."""


class NeedLost(Exception):
    """A result that an attempt needs is gone; those who can make it again have been told."""

    @property
    def unit_error(self) -> UnitError:
        """What that is for the attempt."""
        return UnitError(LOST_NEED, str(self))


class ClusterValues:
    """The results of a run that are on the cluster of `client`. For the thread of the lane, whose event loop runs."""

    def __init__(self, host: Host, client: Client, topic: str) -> None:
        self._host, self._client, self._topic = host, client, topic
        self._kept: dict[int, _Kept] = {}
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
        self._over = False

    def close(self) -> None:
        """The cluster is not to be asked any more."""
        self._over = True

    async def future_of(self, need: int) -> Future | None:
        """Where the result of a need lies on the cluster; None for one that is to travel with its parcel.

        Raises NeedLost, and what packing raises.
        """
        if self._host.state_of(need) is not UnitState.COMPLETED:
            return None
        value, kept = self._host.results[need], self._kept.get(need)
        if kept is not None and kept.value is value:
            if not kept.lost:
                return kept.future
            if isinstance(value, Elsewhere):
                raise self._lost(need)
        packed = self._host.packed_of(need)
        if not packed.path:
            return None
        # a large one of this machine: sent once, whoever needs it
        name = f"{self._topic}/from-here-{uuid4().hex[:8]}"
        futures = await self._client.scatter({name: RemoteValue(pieces_of(packed), packed.kind)}, hash=False)
        self._kept[need] = _Kept(value, futures[name])
        return self._kept[need].future

    async def take(self, job: ClusterJob, size: int, worker: str) -> Any:
        """The value that the worker of that name keeps: a handle, or the value itself if it is small, or is to be
        kept for the next run. Raises BrokenResult."""
        # the worker has told the scheduler that this client wants it, and Dask that it is there before there was this
        future = Future(f"{job.token}/value", client=self._client, state="memory")
        held: Any = _Held(self, job.number, future, size, f"on the cluster, with {worker}")
        if size <= INLINE_BYTES or job.attempt.unit.cache is not None:
            held = await self.gather(job.number, future)
        self._kept[job.number] = _Kept(held, future)
        return held

    def missing(self, needs: Iterable[int]) -> UnitError | None:
        """What it means for an attempt that one of these was lost on its way; None if none was."""
        for need in needs:
            kept = self._kept.get(need)
            if kept is not None and kept.lost and isinstance(self._host.results[need], Elsewhere):
                return self._lost(need).unit_error
        return None

    def _lost(self, need: int) -> NeedLost:
        self._host.lost(need, f"its result {LOST}")
        return NeedLost(f"the result of {self._host.plan.table[need].id} {LOST}")

    async def gather(self, number: int, future: Future) -> Packed:
        """Bring a value here. Raises BrokenResult."""
        name = self._host.plan.table[number].id
        path = self._host.value_path(f"fetched-{number}-{uuid4().hex[:8]}")
        try:
            value = await self._result(future)
            return await asyncio.to_thread(value.copied, lambda: path)
        except OSError as error:
            raise BrokenResult(f"the result of {name} cannot be fetched: {error}") from error
        except asyncio.CancelledError as error:
            if not future.cancelled():  # it is this that is canceled
                raise
            raise BrokenResult(f"the result of {name} {LOST}") from error
        except Exception as error:
            raise BrokenResult(f"the result of {name} {LOST}") from error

    async def _result(self, future: Future) -> RemoteValue:
        """The value of a future. Raises LookupError once nobody has it, for which Dask would wait for ever."""
        getting = asyncio.ensure_future(future.result())
        try:
            while not (await asyncio.wait([getting], timeout=ASK_SECONDS))[0]:
                if not any((await self._client.scheduler.who_has(keys=[future.key])).values()):
                    raise LookupError(future.key)
            result: RemoteValue = getting.result()
            return result
        finally:
            getting.cancel()

    def fetch(self, number: int, future: Future) -> Packed:
        """As `gather`, for other threads; blocks."""
        if self._over or threading.get_ident() == self._thread:
            name = self._host.plan.table[number].id
            raise BrokenResult(f"the result of {name} is on the cluster, from which this run has disconnected")
        return asyncio.run_coroutine_threadsafe(self.gather(number, future), self._loop).result()


class _Held(Elsewhere):
    """A result that stays with a worker of the cluster."""

    def __init__(self, values: ClusterValues, number: int, future: Future, size: int, place: str) -> None:
        super().__init__(size, place)
        self._values, self._number, self._future = values, number, future
        self._packed: Packed | None = None

    def fetch(self) -> Packed:
        """The value, brought here at the first call. Raises BrokenResult."""
        if self._packed is None:
            self._packed = self._values.fetch(self._number, self._future)
        return self._packed


class _Kept(NamedTuple):
    """A result that lies on the cluster: as the engine has it, and as Dask has."""

    value: Any
    future: Future

    @property
    def lost(self) -> bool:
        """Whether nobody has it any more."""
        return self.future.status in ("cancelled", "lost")
