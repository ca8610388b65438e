"""The lane of a Dask cluster: qtui schedules, Dask places, and on the cluster's worker the same lanes run the unit."""

from __future__ import annotations

import asyncio
import pickle
import threading
import time
import traceback
from collections import defaultdict, deque
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import suppress
from itertools import count
from typing import Any, Final
from uuid import uuid4

from distributed import Future
from distributed.client import FuturesCancelledError

from qtui.core.errors import BrokenResult
from qtui.core.model import LOST_WORKER, ExecutionMode, Outcome, UnitError
from qtui.core.samples import SILENT_SECONDS, ClusterWorker, silent_for
from qtui.core.stimuli import InterruptUnit, KillUnit, LaneEffect, StartUnit
from qtui.engine.addedunits import with_additions
from qtui.engine.failure import describe_exception
from qtui.engine.packing import Packed
from qtui.engine.remote.cluster import Cluster, Node, Unreachable
from qtui.engine.remote.parcel import Parcel, parcel_of
from qtui.engine.remote.task import Reply, close_sites, forget_run, run_units, stop_units
from qtui.engine.workers.base import Host
from qtui.engine.workers.clustersource import ClusterSource
from qtui.engine.workers.daskjobs import WAIT_SECONDS, ClusterJob, ClusterTask, Pace, room_words, told_by_dask
from qtui.engine.workers.dasklogs import ClusterLogs
from qtui.engine.workers.daskvalues import ClusterValues, NeedLost
from qtui.engine.workers.sending import Sender
from qtui.engine.workers.slots import Unstartable

LOOK_SECONDS: Final = 1.0
"""How often the scheduler is asked for its workers."""

UNMANNED_LOOKS: Final = 2
"""After so many of them without a worker that is told: a cluster that is being started has none for a moment."""

ANSWER_SECONDS: Final = 5.0
"""How long a worker may take to kill a unit before that is taken for abandoned."""

SETTLE_SECONDS: Final = 2.0
"""How long the word of an end may come after Dask's own, which goes another way once a connection was lost."""

CLOSE_SECONDS: Final = 10.0


class DaskLane:
    """Units on a Dask cluster.

    One thread with an event loop does everything: what is posted, what workers tell, and what is asked of them, so
    nothing is locked. An attempt ends when its worker has told so; when its worker is lost it ends with LOST_WORKER,
    and what Dask makes of the task then is stopped: what runs again is the scheduler's business.
    """

    mode = ExecutionMode.CUSTOM

    def __init__(self, source: ClusterSource) -> None:
        self._source = source
        self._posted: deque[LaneEffect] = deque()
        self._awake = self._closing = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._jobs: dict[tuple[int, int], ClusterJob] = {}
        self._by_token: dict[str, ClusterJob] = {}
        self._unsent: list[ClusterJob] = []
        self._to_stop: list[ClusterJob] = []
        self._abandoned: dict[str, ClusterJob] = {}
        self._nodes: dict[str, Node] = {}
        self._names: dict[str, str] = {}
        self._answered_at = 0.0
        self._told_room: tuple[int, int] | None = None
        self._looks_without, self._unmanned_at = 0, 0.0
        self._missing: set[str] = set()
        self._pace = Pace()
        self._edition = 0
        self._cluster: Cluster | None = None
        self._connecting = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._numbers = count(1)

    # -- the lane ----------------------------------------------------------------------------------------

    def open(self, host: Host) -> None:
        """Start the thread, which connects to the cluster when there is work for that."""
        self.host = host
        self._sender = Sender(host, "cluster")
        self._name = f"qtui-{host.run}-{uuid4().hex[:8]}"
        self._thread = threading.Thread(target=self._work, name="qtui-dask", daemon=True)
        self._thread.start()

    def post(self, effect: LaneEffect) -> None:
        """Note an effect and wake the lane."""
        self._posted.append(effect)
        self._wake()

    def keep(self, start: StartUnit) -> None:
        """Nothing to note: the lane never asks for starts."""

    def doubt(self) -> None:
        """Processes on the workers may have imported code that has changed since: none of them runs another unit."""
        self._edition += 1
        self._sender.forget_functions()

    def close(self) -> None:
        """Kill what runs, and disconnect; waits for that, for `CLOSE_SECONDS` at most."""
        thread = self._thread
        if thread is None or not thread.is_alive():
            return
        self._closing = True
        self._wake()
        if thread is not threading.current_thread():
            thread.join(CLOSE_SECONDS)

    def cluster(self) -> tuple[ClusterWorker, ...]:
        """The workers, as the scheduler knew them a moment ago, and what each runs. Any thread may ask."""
        age = round(time.monotonic() - self._answered_at, 1)
        running: dict[str, list[int]] = defaultdict(list)
        for job in list(self._jobs.values()):
            if job.worker:
                running[job.worker].append(job.number)
        return tuple(
            ClusterWorker(
                name=node.name,
                address=node.address,
                threads=node.threads,
                cpu=node.cpu,
                memory=node.memory,
                memory_limit=node.memory_limit,
                units=tuple(sorted(running[node.address])),
                age=age,
            )
            for node in list(self._nodes.values())
        )

    # -- the thread --------------------------------------------------------------------------------------

    def _wake(self) -> None:
        if not self._awake and self._loop is not None:
            self._awake = True
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._bell.set)

    def _work(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:  # noqa: BLE001  - whatever it is, the run must not wait for ever
            self._tell_bug(error)
            for job in list(self._jobs.values()):
                self._report(job, Outcome(UnitError("lost", "the lane of the cluster broke")))

    async def _serve(self) -> None:
        self._bell = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._bell.set()  # for what was posted before
        while not self._closing:
            await self._bell.wait()
            self._bell.clear()
            self._awake = False  # before the queue is looked at: what is posted from now on rings again
            while self._posted:
                self._guarded(self._posted.popleft())
            if self._to_stop:
                jobs, self._to_stop = self._to_stop, []
                self._spawn(self._stop(jobs, kill=False))
            if all(job.hopeless for job in self._unsent):
                continue
            if self._cluster is None:
                if not self._connecting:
                    self._connecting = True
                    self._spawn(self._connect())
            elif self._nodes and not self._cluster.lost:  # without workers all waits here, where it can be stopped
                if self._pace.may_wait(len(self._unsent), len(self._jobs) - len(self._unsent), self._threads):
                    self._loop.call_later(WAIT_SECONDS, self._bell.set)
                else:
                    self._spawn(self._send(self._cluster))
        await self._shut_down()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)
        return task

    def _on_done(self, task: asyncio.Task[None]) -> None:
        """What goes wrong with one unit must not end what all others need."""
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, OSError):  # the scheduler has gone, as will be told
            self._tell_bug(error)

    def _guarded(self, effect: LaneEffect) -> None:
        try:
            self._take(effect)
        except Exception as error:  # noqa: BLE001
            self._tell_bug(error)

    def _tell_bug(self, error: BaseException) -> None:
        story = "".join(traceback.format_exception(error)).rstrip()
        self.host.warn(-1, f"internal error in the cluster lane, please report it: {story}")

    # -- the cluster -------------------------------------------------------------------------------------

    async def _connect(self) -> None:
        try:
            cluster = await Cluster.connect(self._source, self.host, lambda message: self.host.warn(-1, message))
        except Unreachable as error:
            self._give_up(str(error))
            return
        finally:
            self._connecting = False
        self._topic = f"{self._name}-{next(self._numbers)}"
        cluster.client.subscribe_topic(self._topic, self._on_event)
        cluster.client.subscribe_topic("all", self._on_cluster_event)
        self._reply = Reply(self._topic, cluster.client.id, self._name)
        self._values = ClusterValues(self.host, cluster.client, self._topic)
        self._logs = ClusterLogs(self.host, cluster, self._topic)
        with suppress(OSError):
            self._take_nodes(await cluster.nodes())
        self._cluster = cluster
        self._spawn(self._look_after(cluster))
        self._spawn(self._logs.follow(self._jobs.values))
        self._bell.set()

    async def _look_after(self, cluster: Cluster) -> None:
        """Keep what is known of the workers, and notice when the scheduler is gone."""
        silent = False
        while not cluster.lost:
            try:
                nodes = await asyncio.wait_for(cluster.nodes(), SILENT_SECONDS)
                if silent:
                    silent = False
                    seconds = time.monotonic() - self._answered_at
                    self.host.warn(-1, f"the Dask scheduler at {cluster.address} answers again, after {seconds:.0f} s")
                self._take_nodes(nodes)
            except TimeoutError:
                if not silent:
                    silent = True
                    self.host.warn(-1, f"the Dask scheduler at {cluster.address} {silent_for(SILENT_SECONDS)}")
            except OSError:
                pass  # it is gone, as will be seen
            await asyncio.sleep(LOOK_SECONDS)
        # nothing that runs there can be seen or stopped any more; on the workers it ends with the scheduler
        self._values.close()
        self._nodes, self._looks_without = {}, 0
        self._give_up(f"the connection to the Dask scheduler at {cluster.address} was lost")
        await cluster.close()
        self._cluster = None  # a person may have units run again, which connects anew

    def _give_up(self, cause: str) -> None:
        for job in self._unsent:
            job.hopeless = True
        self.host.interrupt(cause)

    def _take_nodes(self, nodes: Sequence[Node]) -> None:
        if nodes and not self._nodes:
            self._bell.set()
        self._answered_at = time.monotonic()
        self._nodes = {node.address: node for node in nodes}
        self._names |= {node.address: node.name for node in nodes}  # those that are gone keep theirs
        self._told_room = None  # told again each time: a person may have decided meanwhile, and given that back
        self._tell_room()
        self._looks_without = 0 if nodes else self._looks_without + 1
        if self._looks_without == UNMANNED_LOOKS:
            self._unmanned_at = time.monotonic()
            self.host.resize(self.mode, 0, "wait: the cluster has no workers")
        for job in list(self._jobs.values()):
            where = job.task.worker if job.task is not None else job.worker
            if where and where not in self._nodes:
                self._lose(job)
            elif job.attempt.unit.cluster_resources and not job.worker:
                self._tell_missing(job)

    def _tell_room(self) -> None:
        threads, workers = self._threads, len(self._nodes)
        room = workers, threads * (1 + self._pace.ahead())
        if threads and self._told_room != room:
            self._told_room = room
            unmanned = time.monotonic() - self._unmanned_at if self._looks_without >= UNMANNED_LOOKS else None
            self.host.resize(self.mode, room[1], room_words(threads, workers, unmanned))

    @property
    def _threads(self) -> int:
        return sum(node.threads for node in self._nodes.values())

    def _name_of(self, worker: str) -> str:
        return self._names.get(worker, worker.rpartition("://")[2])

    async def _shut_down(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        cluster, self._cluster = self._cluster, None
        if cluster is not None:
            self._values.close()
            with suppress(Exception):  # the cluster may be in any state
                await asyncio.wait_for(self._close_sites(cluster), ANSWER_SECONDS)
            await cluster.close()
        for job in list(self._jobs.values()):
            self._report(job, Outcome(canceled=True, seconds=job.seconds))

    async def _close_sites(self, cluster: Cluster) -> None:
        if not cluster.lost:
            await cluster.client.run(close_sites, self._topic, on_error="ignore")
            await cluster.client.run_on_scheduler(forget_run, self._topic)

    # -- what is posted ----------------------------------------------------------------------------------

    def _take(self, effect: LaneEffect) -> None:
        if isinstance(effect, StartUnit):
            job = ClusterJob(self.host.attempt(effect), f"{self._name}/{next(self._numbers)}")
            self._jobs[job.key] = self._by_token[job.token] = job
            self._unsent.append(job)
            return
        stopped = self._jobs.get((effect.unit, effect.attempt))
        if stopped is None:
            return
        stopped.attempt.interrupted = True
        if isinstance(effect, InterruptUnit):
            self._interrupt(stopped)
        elif isinstance(effect, KillUnit):
            self._spawn(self._kill(stopped))

    def _interrupt(self, job: ClusterJob) -> None:
        if job in self._unsent:
            self._unsent.remove(job)
            self._report(job, Outcome(canceled=True))
        elif job.task is not None:  # else it is being packed, and is stopped when it has been sent
            self._to_stop.append(job)
            self._bell.set()

    async def _kill(self, job: ClusterJob) -> None:
        if job in self._unsent:
            self._interrupt(job)
            return
        with suppress(OSError, TimeoutError):
            await asyncio.wait_for(self._stop([job], kill=True), ANSWER_SECONDS)
        if not job.ended:
            await asyncio.sleep(ANSWER_SECONDS)
        if not job.ended:
            self._abandoned[job.token] = job
            self._report(job, Outcome(canceled=True, abandoned=True, seconds=job.seconds))

    async def _stop(self, jobs: Sequence[ClusterJob], *, kill: bool) -> None:
        """Stop attempts wherever they are; those that are nowhere will never begin."""
        cluster = self._cluster
        if cluster is None or cluster.lost:
            for job in jobs:  # the workers end what they run when they have lost the scheduler
                self._report(job, Outcome(canceled=True, seconds=job.seconds))
            return
        waiting = [job for job in jobs if not job.worker]
        untaken = {job.task for job in waiting if job.task is not None and (job.task.useless or not job.task.worker)}
        for task in untaken:
            for other in [each for each in task.open_jobs if not each.attempt.interrupted and not each.worker]:
                self._send_again(other)
        if untaken:
            await cluster.client.cancel([task.future for task in untaken], force=True)
        # of those that wait the word of their begin may be on its way: they can be anywhere
        where = None if waiting else {job.worker for job in jobs}
        here = await self._stop_there(cluster, [job.token for job in jobs], where, kill=kill)
        for job in waiting:
            if job.token not in here and not job.worker:
                self._report(job, Outcome(canceled=True))

    async def _stop_there(
        self, cluster: Cluster, tokens: list[str], workers: Iterable[str] | None, *, kill: bool
    ) -> set[str]:
        """Stop attempts on workers; returns those that were there."""
        answers = await cluster.client.run(
            stop_units,
            self._topic,
            tokens,
            kill=kill,
            workers=None if workers is None else list(workers),
            on_error="ignore",
        )
        return {token for each in answers.values() for token in each}

    # -- sending -----------------------------------------------------------------------------------------

    async def _send(self, cluster: Cluster) -> None:
        """Submit what was started, all at once, which costs less than one by one."""
        jobs, self._unsent = self._unsent, []
        alike: dict[tuple[tuple[tuple[str, float], ...], int], list[ClusterJob]] = defaultdict(list)
        for job in jobs:
            unit = job.attempt.unit
            alike[tuple(sorted(unit.cluster_resources.items())), unit.priority].append(job)
        for (resources, priority), group in alike.items():
            parts = self._pace.parts(group, max(1, self._threads))  # all workers may have gone by now
            tasks = [task for part in parts if (task := await self._task_of(part)) is not None]
            if tasks:
                self._submit(cluster, tasks, dict(resources), priority)

    def _tell_missing(self, job: ClusterJob) -> None:
        """Dask lets units wait without a word for workers that have what they want."""
        nodes, resources = self._nodes.values(), job.attempt.unit.cluster_resources
        has_all = any(all(node.resources.get(name, 0) >= least for name, least in resources.items()) for node in nodes)
        wanted = ", ".join(f"{name} = {least:g}" for name, least in resources.items())
        if nodes and not has_all and wanted not in self._missing:
            self._missing.add(wanted)
            self.host.warn(job.number, f"no worker of the cluster has {wanted}: what wants that waits until one comes")

    async def _task_of(self, part: list[ClusterJob]) -> ClusterTask | None:
        """A task of these attempts, without those that cannot be sent; None if there are no others."""
        futures: dict[int, Future] = {}
        places: dict[int, int] = {}
        parcels: list[Parcel] = []
        jobs: list[ClusterJob] = []
        for job in part:
            try:
                parcels.append(await self._parcel(job, futures, places))
            except Unstartable as error:
                self._report(job, Outcome(error.unit_error))
            except NeedLost as error:
                self._report(job, Outcome(error.unit_error))
            except Exception as error:  # noqa: BLE001  - its outputs cannot be looked at, say: that is its end
                self._report(job, Outcome(describe_exception(error)))
            else:
                jobs.append(job)
        if all(job.ended for job in jobs):
            return None
        key = f"{self._name}/{next(self._numbers)}"
        return ClusterTask(key, jobs, pickle.dumps(parcels, protocol=5), list(futures.values()))

    async def _parcel(self, job: ClusterJob, futures: dict[int, Future], places: dict[int, int]) -> Parcel:
        """The parcel of an attempt; `futures` and `places` get the values that go along as futures, by need."""
        if job.attempt.context is None:
            self.host.open_context(job.attempt)
        for need in (*self.host.plan.needs[job.number], *self.host.added_to(job.number)):
            if need not in futures:
                future = await self._values.future_of(need)
                if future is not None:
                    places[need] = len(futures)
                    futures[need] = future
        return parcel_of(self.host, self._sender, job.attempt, places.get, job.token, self._edition)

    def _submit(
        self, cluster: Cluster, tasks: Sequence[ClusterTask], resources: dict[str, float], priority: int
    ) -> None:
        try:
            futures = cluster.client.map(
                run_units,
                [task.parcels for task in tasks],
                [task.values for task in tasks],
                [self._reply] * len(tasks),
                key=[task.key for task in tasks],
                pure=False,
                retries=0,
                resources=resources or None,
                priority=priority,
            )
        except Exception as error:  # noqa: BLE001  - a result that was lost this moment, say
            what = describe_exception(error)
            failed = UnitError("lost", f"it cannot be submitted: {what.type}: {what.message}")
            for job in [job for task in tasks for job in task.jobs]:
                self._report(job, Outcome(self._missing_need(job) or failed))
            return
        for task, future in zip(tasks, futures, strict=True):
            task.future, task.parcels = future, b""
            self._spawn(self._follow(task))
            for job in task.jobs:
                job.task = task
                if job.attempt.interrupted:  # while it was packed
                    self._interrupt(job)

    def _missing_need(self, job: ClusterJob) -> UnitError | None:
        return self._values.missing(self.host.plan.needs[job.number])

    # -- what comes back ---------------------------------------------------------------------------------

    async def _follow(self, task: ClusterTask) -> None:
        """Wait for Dask's own word of the end, which matters only where the worker's has not come."""
        raised: BaseException | None
        try:
            raised = await task.future.exception()
        except FuturesCancelledError as error:
            raised = error
        except asyncio.CancelledError as error:
            if not task.future.cancelled():  # it is this that is canceled, as the lane closes
                raise
            raised = error
        except Exception as error:  # noqa: BLE001
            raised = error
        if not task.open_jobs:
            return
        if raised is None or isinstance(raised, asyncio.CancelledError | FuturesCancelledError):
            await asyncio.sleep(SETTLE_SECONDS)
        if self._cluster is None or self._cluster.lost:
            return
        untold = UnitError(LOST_WORKER, "its worker has not told how it ended")
        for job in task.open_jobs:
            if not job.attempt.interrupted:
                failed = self._missing_need(job) or (untold if raised is None else told_by_dask(raised))
                self._report(job, Outcome(failed))
            elif not job.worker:
                self._report(job, Outcome(canceled=True))

    def _on_event(self, event: tuple[float, dict[str, Any]]) -> None:
        """A worker tells of attempts."""
        worker = str(event[1]["worker"])
        self._names.setdefault(worker, event[1]["name"])
        for message in event[1]["messages"]:
            token, kind = message["token"], message["kind"]
            job = self._by_token.get(token)
            try:
                if job is not None:
                    self._take_message(job, worker, message)
                elif kind == "ended" and token in self._abandoned:
                    self.host.late(self._abandoned.pop(token).attempt)
                elif kind == "began" and self._cluster is not None:
                    # Dask has begun a shared task again, whose worker was lost, and this one of it had ended
                    self._spawn(self._end_again(self._cluster, token, worker))
            except Exception as error:  # noqa: BLE001
                self._tell_bug(error)

    def _on_cluster_event(self, event: tuple[float, dict[str, Any]]) -> None:
        """A worker was lost, and Dask begins elsewhere what it had. As many of these as it had free threads may have
        begun there, and the word of that was lost, too: such an attempt is over. Those that must not run twice see to
        that where they begin, and what shares a task takes no time."""
        about = event[1]
        if about.get("action") != "remove-worker":
            return
        worker, keys = about["worker"], set(about["processing-tasks"])
        threads = self._nodes[worker].threads if worker in self._nodes else 0
        begun = sum(job.worker == worker and not job.ending for job in self._jobs.values())
        untold = [job for job in self._jobs.values() if not job.worker and job.may_begin_twice(keys)]
        untold.sort(key=lambda job: -job.attempt.unit.priority)  # in which order a worker takes them
        for job in untold[: max(0, threads - begun)]:
            job.worker = worker
            self._lose(job)

    async def _end_again(self, cluster: Cluster, token: str, worker: str) -> None:
        await self._stop_there(cluster, [token], [worker], kill=True)

    def _take_message(self, job: ClusterJob, worker: str, message: dict[str, Any]) -> None:
        if job.task is not None:
            job.task.worker = job.task.worker or worker
            if worker != job.task.worker:  # Dask has begun the task again, as its worker was lost
                for each in job.task.open_jobs:
                    self._lose(each)
                return
        match message["kind"]:
            case "began":
                job.worker, job.began_at = worker, time.monotonic()
                job.attempt.begun_at = job.began_at
                self.host.began(job.attempt.start, message["pid"], self._name_of(worker))
            case "progress":
                self.host.report_progress(*job.key, message["done"], message["total"], message["text"])
            case "warning":
                self.host.warn(job.number, message["text"])
            case "refused":
                self._lose(job)
            case "returned":
                self._send_again(job)
            case "ended":
                job.ending = True
                if message["held"] or message["log"][0] > job.read or message["log"][1]:
                    job.homecoming = self._spawn(self._bring_home(job, worker, message))
                else:
                    self._conclude(job, message, _inline(message))

    def _send_again(self, job: ClusterJob) -> None:
        """An attempt of a shared task has not begun, and is not going to. What is heard of it there is of another one,
        so it gets a new token."""
        if job.task is None or job.worker:
            return
        job.task.jobs.remove(job)
        job.task, job.came_back = None, True
        del self._by_token[job.token]
        job.token = f"{self._name}/{next(self._numbers)}"
        self._by_token[job.token] = job
        self._unsent.append(job)
        self._bell.set()
        if job.attempt.interrupted:
            self._interrupt(job)

    async def _bring_home(self, job: ClusterJob, worker: str, message: dict[str, Any]) -> None:
        """Fetch what did not fit into the message: the rest of the log, and a value."""
        job.worker = worker
        offset, data = message["log"]
        if message.get("more"):
            await self._logs.read_rest(job, offset)
        else:
            self._logs.write(job, offset, data)
        value: Any = _inline(message)
        if message["held"]:
            try:
                value = await self._values.take(job, message["held"], self._name_of(worker))
            except BrokenResult as error:
                self._report(job, Outcome(UnitError(LOST_WORKER, str(error)), seconds=job.seconds))
                return
        self._conclude(job, message, value)

    def _conclude(self, job: ClusterJob, message: dict[str, Any], value: Any) -> None:
        error = message["error"]
        outcome = Outcome(
            error=None if error is None else UnitError(*error),
            canceled=message["canceled"],
            abandoned=message["abandoned"],
            seconds=message["seconds"],
            metrics=message["metrics"],
            peak_memory=message["peak_memory"],
            cpu_seconds=message["cpu_seconds"],
        )
        added = message["added"]
        self._report(job, with_additions(outcome, None if added is None else tuple(added)), value)

    def _lose(self, job: ClusterJob) -> None:
        """Its worker is gone; what Dask makes of the task now is stopped."""
        if job.ended:
            return
        task = job.task
        if task is not None and not job.worker and len(task.jobs) > 1:
            self._send_again(job)
            return
        if job.homecoming is not None:
            job.homecoming.cancel()  # it waits for what nobody has
        outcome = Outcome(canceled=True, seconds=job.seconds)
        if not job.attempt.interrupted:
            where = self._name_of(job.worker) or "it was sent to"
            outcome = outcome._replace(error=UnitError(LOST_WORKER, f"the worker {where} was lost"), canceled=False)
        self._report(job, outcome)
        if task is not None and self._cluster is not None:
            self._spawn(self._drop(self._cluster, task, job.token))

    async def _drop(self, cluster: Cluster, task: ClusterTask, token: str) -> None:
        await cluster.client.cancel([task.future], force=True)
        await self._stop_there(cluster, [token], None, kill=True)

    def _report(self, job: ClusterJob, outcome: Outcome, value: Any = None) -> None:
        if job.ended:
            return
        job.ended = True
        del self._jobs[job.key], self._by_token[job.token]
        if job.task is not None:
            job.task.let_go()
        if outcome.seconds:
            self._pace.note(outcome.seconds)
            self._tell_room()
        if job.attempt.context is not None:
            job.attempt.context.log_writer.close()
        self.host.returned(job.attempt, outcome, value, None)


def _inline(message: dict[str, Any]) -> Packed | None:
    value = message["value"]
    return None if value is None else Packed(value[0], value[1], tuple(value[2]), value[3])
