"""What a Dask worker runs: an attempt, in the site of its run on that worker; and what qtui asks of that site.

These functions are named when they are sent, so workers need qtui installed.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from distributed import Status, Worker, get_worker

from qtui.engine.remote.load import METRIC, WorkerLoad
from qtui.engine.remote.parcel import Parcel, RemoteValue
from qtui.engine.remote.site import Site

TOGETHER_SECONDS: Final = 0.01


IDLE_SECONDS: Final = 60.0
"""How long a site without units stays. It ends with its run, unless qtui was killed."""


class Reply(NamedTuple):
    """Whom to tell of an attempt: a topic of the scheduler's events, and the client that wants large results, whose
    names begin with `name`."""

    topic: str
    client: str
    name: str


def run_units(parcels: bytes, values: Sequence[RemoteValue], reply: Reply) -> None:
    """Run attempts, one after another; all there is to know of them goes to the reply's topic.

    If one of them takes longer than `Site.perform` waits until it asks whether it is wanted, the others are given back.
    """
    worker = get_worker()
    key = worker.get_current_task()
    site = site_of(worker, reply)
    waiting: deque[Parcel] = deque(pickle.loads(parcels))

    def wanted() -> bool:
        while waiting:
            site.tell(waiting.popleft().token, {"kind": "returned"})
        if worker.status not in (Status.running, Status.paused):
            return False  # it has lost its scheduler, say, and waits for its threads
        task = worker.state.tasks.get(key)
        return task is not None and task.state == "executing"

    while waiting:
        parcel = waiting.popleft()
        if parcel.unit.idempotent or _is_first(worker, reply, parcel.token):
            site.perform(parcel, values, wanted)
        else:
            site.tell(parcel.token, {"kind": "refused"})


def stop_units(topic: str, tokens: Sequence[str], *, kill: bool) -> list[str]:
    """Stop attempts; returns those that are here. What comes later is refused."""
    here: set[str] = set()
    for site in _sites_of(topic):
        here.update(token for token in tokens if site.stop(token, kill=kill))
    return list(here)


def read_logs(topic: str, offsets: Mapping[str, int]) -> dict[str, tuple[int, bytes]]:
    """What attempts have printed from these offsets on; see `Site.logs`."""
    found: dict[str, tuple[int, bytes]] = {}
    for site in _sites_of(topic):
        found |= site.logs(offsets)
    return found


def forget_logs(topic: str, tokens: Sequence[str]) -> None:
    """The logs of these attempts have been read."""
    for site in _sites_of(topic):
        site.forget(tokens)


def close_sites(topic: str) -> None:
    """The run is over: kill what it has here."""
    with _lock:
        closing = [_sites.pop(key) for key in list(_sites) if key[0] == topic]
    for site in closing:
        threading.Thread(target=site.close, name="qtui-close", daemon=True).start()  # this is the worker's own thread


_sites: Final[dict[tuple[str, str], Site]] = {}
"""By topic and address: a process may be several workers."""

_lock = threading.Lock()


def site_of(worker: Worker, reply: Reply) -> Site:
    """The site of a run on this worker, made when it is first asked for."""
    key = reply.topic, worker.address
    with _lock:
        site = _sites.get(key)
        if site is None:
            directory = tempfile.mkdtemp(prefix="qtui-", dir=_directory_of(worker))
            teller = Teller(worker, reply.topic)
            site = _sites[key] = Site(directory, teller.tell, lambda name, value: put(worker, reply, name, value))
            worker.loop.add_callback(worker.metrics.setdefault, METRIC, _measured(WorkerLoad()))
            worker.loop.add_callback(worker.loop.call_later, IDLE_SECONDS, _close_idle, worker, reply)
        site.use()
        return site


def _close_idle(worker: Worker, reply: Reply) -> None:
    """Close a site that nobody needs: no unit runs there, nor is a value of the run here, whose file it may have."""
    key = reply.topic, worker.address
    with _lock:
        site = _sites.get(key)
        if site is None:
            return
        idle_since = site.idle_since()
        needed = idle_since is None or time.monotonic() - idle_since < IDLE_SECONDS
        needed = needed or any(str(name).startswith(reply.name) for name in worker.data)
        if not needed:
            del _sites[key]
    if needed:
        worker.loop.call_later(IDLE_SECONDS, _close_idle, worker, reply)
    else:
        threading.Thread(target=site.close, name="qtui-close", daemon=True).start()


def forget_run(topic: str, dask_scheduler: Any = None) -> None:
    """What the scheduler runs at the end of a run: it would keep the last thousand events of the run, with what units
    have printed, for whoever asks, and for ever."""
    dask_scheduler._broker._topics.pop(topic, None)
    dask_scheduler.task_metadata.get("qtui", {}).pop(topic, None)


def _measured(load: WorkerLoad) -> Callable[[Worker], tuple[float, int] | None]:
    """A metric of a Dask worker, which asks for it about once a second; it costs nothing while no run is here."""
    return lambda _: load.take() if _sites else None


class Teller:
    """Tells qtui of attempts, in order, as events of a topic; any thread may.

    What comes within `TOGETHER_SECONDS` goes as one event: each costs worker, scheduler and qtui some tenths of a
    millisecond, and short units tell a lot. An end that comes alone is told at once.
    """

    def __init__(self, worker: Worker, topic: str) -> None:
        self._worker, self._topic = worker, topic
        self._waiting: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        self._told_at = 0.0
        self._planned_urgent = False

    def tell(self, token: str, message: dict[str, Any]) -> None:
        """Tell something of an attempt, soon."""
        urgent = message["kind"] == "ended"
        with self._lock:
            self._waiting.append({**message, "token": token})
            planned = self._planned_urgent if urgent else len(self._waiting) > 1
            self._planned_urgent |= urgent
        if not planned:
            self._worker.loop.add_callback(self._plan, urgent)

    def _plan(self, urgent: bool) -> None:
        wait = (self._told_at if urgent else time.monotonic()) + TOGETHER_SECONDS - time.monotonic()
        if wait > 0:
            self._worker.loop.call_later(wait, self._send)
        else:
            self._send()

    def _send(self) -> None:
        with self._lock:
            messages, self._waiting, self._planned_urgent = self._waiting, [], False
        if not messages:
            return
        self._told_at = time.monotonic()
        self._worker.log_event(self._topic, {"name": str(self._worker.name), "messages": messages})


def put(worker: Worker, reply: Reply, name: str, value: RemoteValue) -> None:
    """Keep a value on this worker, as one that the client wants.

    It is no task's result, which Dask would compute a second time, unasked, if its worker was lost.
    """

    async def keep() -> None:
        worker.update_data({name: value})
        await worker.scheduler.update_data(
            who_has={name: [worker.address]}, nbytes={name: value.nbytes}, client=reply.client
        )

    asyncio.run_coroutine_threadsafe(keep(), worker.loop.asyncio_loop).result()


def _sites_of(topic: str) -> list[Site]:
    with _lock:
        return [site for key, site in _sites.items() if key[0] == topic]


def _directory_of(worker: Worker) -> str | None:
    """Where the worker keeps its files, if that can be written."""
    directory = Path(worker.local_directory)
    return str(directory) if os.access(directory, os.W_OK) else None


def _is_first(worker: Worker, reply: Reply, token: str) -> bool:
    """Whether the attempt has begun nowhere yet; Dask starts tasks again when their worker is lost."""

    async def mark() -> bool:
        known = await worker.scheduler.get_metadata(keys=["qtui", reply.topic, token], default=None)
        if known is None:
            await worker.scheduler.set_metadata(keys=["qtui", reply.topic, token], value=worker.address)
        return known is None

    return asyncio.run_coroutine_threadsafe(mark(), worker.loop.asyncio_loop).result()
