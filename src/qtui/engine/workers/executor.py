"""The custom lane: Python functions in an executor of somebody else, in this process or in others."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Executor
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Final, NamedTuple

from qtui.core.model import ExecutionMode, Outcome, UnitError
from qtui.core.stimuli import InterruptUnit, KillUnit, LaneEffect, StartUnit
from qtui.engine.failure import describe_exception
from qtui.engine.shipped import Answer, run_job
from qtui.engine.workers.base import Host
from qtui.engine.workers.executorjobs import LiveJob, Stage
from qtui.engine.workers.sending import Sender

WATCH_SECONDS: Final = 0.05
"""How often futures are asked whether they run, while there are some that do not yet."""

CLOSE_SECONDS: Final = 5.0
"""How long an executor that qtui has made may take to shut down."""

ExecutorSource = Executor | Callable[[], Executor]
"""An executor, which stays its owner's, or a function that makes one, which qtui shuts down."""


class ExecutorLane:
    """Units in any `concurrent.futures.Executor`, whatever that does.

    The *hand* has the attempts. It alone reports their ends, so there is one for each, and it calls nothing foreign.
    The *submitter* makes the executor and submits; if that blocks, units can still be stopped. The *watch* cancels
    futures, and asks whether they run. One that does cannot be cancelled: in this process the unit is asked through
    its context, and what has not ended after its grace is abandoned.
    """

    mode = ExecutionMode.CUSTOM

    def __init__(self, source: ExecutorSource) -> None:
        self._source = source
        self._news: SimpleQueue[_News | None] = SimpleQueue()
        self._starts: SimpleQueue[LiveJob | None] = SimpleQueue()
        self._watched: SimpleQueue[tuple[LiveJob, bool] | None] = SimpleQueue()
        self._jobs: dict[tuple[int, int], LiveJob] = {}
        self._left_behind: set[LiveJob] = set()
        self._runs_here = False
        self._closed = False
        self._hand: threading.Thread | None = None

    # -- the lane ----------------------------------------------------------------------------------------

    def open(self, host: Host) -> None:
        """Start the threads; the executor is made when there is work."""
        self.host = host
        self.sender = Sender(host, "shipped")
        self._held = _Held(self._source, lambda message: host.warn(-1, message))
        self._hand = _start_thread("hand", self._follow)
        _start_thread("submitter", self._submit_all)
        _start_thread("watch", self._watch)

    def post(self, effect: LaneEffect) -> None:
        """Note an effect."""
        self._news.put(effect)

    def keep(self, start: StartUnit) -> None:
        """Nothing to note: the lane never asks for starts."""

    def close(self) -> None:
        """Abandon what cannot be stopped; shut the executor down, if it was made for this run."""
        if self._closed or self._hand is None:
            return
        self._closed = True
        self._news.put(None)
        if self._hand is not threading.current_thread():
            self._hand.join(CLOSE_SECONDS)
        self._starts.put(None)
        self._watched.put(None)
        self._held.close(patient=not self._left_behind)

    # -- what jobs tell (Owner) --------------------------------------------------------------------------

    def entered(self) -> None:
        """A job runs in this process, and so will the others: they tell themselves that they have begun."""
        self._runs_here = True

    def answered(self, job: LiveJob, outcome: Outcome, value: Any) -> None:
        """A job has ended in this process."""
        self._news.put(_Answered(job, outcome, value))

    # -- the hand ----------------------------------------------------------------------------------------

    def _follow(self) -> None:
        while (news := self._news.get()) is not None:
            self._guarded(news)
        for job in list(self._jobs.values()):
            self._interrupt(job)
        for job in list(self._jobs.values()):
            self._kill(job)
        with suppress(Empty):
            while True:  # whatever the ends of these have led to
                if (late := self._news.get_nowait()) is not None:
                    self._guarded(late)

    def _guarded(self, news: _News) -> None:
        """A bug met with one unit must not end the thread that all others need."""
        try:
            self._take(news)
        except Exception:  # noqa: BLE001
            story = traceback.format_exc().rstrip()
            self.host.warn(-1, f"internal error in the custom lane, please report it: {story}")

    def _take(self, news: _News) -> None:
        match news:
            case StartUnit():
                job = LiveJob(self, self.host.attempt(news))
                self._jobs[job.key] = job
                if self._closed:
                    job.revoke()
                    self._report(job, Outcome(canceled=True))
                else:
                    self._starts.put(job)
            case InterruptUnit() | KillUnit():
                found = self._jobs.get((news.unit, news.attempt))
                if found is not None:
                    (self._interrupt if isinstance(news, InterruptUnit) else self._kill)(found)
            case _Answered(job, outcome, value):
                if self._is_open(job):
                    self._report(job, outcome, value)
                else:
                    self._came_late(job)
            case _Unsubmitted(job, error):
                if self._is_open(job) and job.revoke():
                    self._report(job, Outcome(error))
            case _Resolved():
                self._take_end(news)

    def _is_open(self, job: LiveJob) -> bool:
        return self._jobs.get(job.key) is job

    def _interrupt(self, job: LiveJob) -> None:
        attempt = job.attempt
        attempt.interrupted = True
        if attempt.context is not None:
            attempt.context.cancel_event().set()
        if job.advance(Stage.WAITING, Stage.REVOKED):
            self._report(job, Outcome(canceled=True))
        elif job.future is not None:
            self._watched.put((job, True))

    def _kill(self, job: LiveJob) -> None:
        """There is no way to kill it: abandon it, if it runs or may run somewhere."""
        runs_on = not job.revoke() or job.shipped or job.begun
        if runs_on:
            job.left_behind = True
            self._left_behind.add(job)
        began = job.attempt.begun_at
        seconds = time.monotonic() - began if began is not None else 0.0
        self._report(job, Outcome(canceled=True, abandoned=runs_on, seconds=seconds))

    def _take_end(self, end: _Resolved) -> None:
        """The future of a job has come to an end, which the job may or may not have."""
        job = end.job
        if end.broken:
            self._held.drop(job.executor)
        if not self._is_open(job):
            if job.stage is not Stage.ENTERED:
                self._came_late(job)
            return
        if not job.revoke():
            return  # it runs here, and tells of its end itself
        answer = end.answer
        if answer is None:
            self._report(job, end.outcome)
            return
        job.begin()
        assert job.attempt.context is not None
        job.attempt.context.log_writer.write(answer.output)
        if answer.progress is not None:
            done, total, message = answer.progress
            self.host.report_progress(*job.key, done, total, message)
        self._report(job, end.outcome, answer.packed())

    def _report(self, job: LiveJob, outcome: Outcome, value: Any = None) -> None:
        del self._jobs[job.key]
        attempt = job.attempt
        if attempt.context is not None and job.stage is not Stage.ENTERED:
            attempt.context.log_writer.close()
        self.host.returned(attempt, outcome, value, None)

    def _came_late(self, job: LiveJob) -> None:
        if job.left_behind:
            job.left_behind = False
            self._left_behind.discard(job)
            self.host.late(job.attempt)

    # -- the submitter -----------------------------------------------------------------------------------

    def _submit_all(self) -> None:
        while (job := self._starts.get()) is not None:
            if job.stage is Stage.WAITING:
                error = self._submit(job)
                if error is not None:
                    self._news.put(_Unsubmitted(job, error))

    def _submit(self, job: LiveJob) -> UnitError | None:
        """Submit a job; returns why it could not be done."""
        try:
            context = self.host.open_context(job.attempt)
        except Exception as error:  # noqa: BLE001  - its outputs cannot be looked at, say: that is its end
            return describe_exception(error)
        try:
            job.executor = self._held.get()
        except BaseException as error:  # noqa: BLE001  - the function that makes it may do anything
            what = describe_exception(error)
            return what._replace(message=f"the executor cannot be made: {what.message}")
        if not job.advance(Stage.WAITING, Stage.SUBMITTED):
            context.log_writer.close()
            return None
        try:
            self._hand_over(job)
        except BaseException as error:  # noqa: BLE001  - foreign code
            return job.unsendable or lost("its executor does not take it", error)
        return None

    def _hand_over(self, job: LiveJob) -> None:
        try:
            job.future = job.executor.submit(run_job, job)
        except BrokenExecutor:
            if not self._held.drop(job.executor):
                raise
            job.executor = self._held.get()
            job.future = job.executor.submit(run_job, job)
        job.future.add_done_callback(partial(self._resolved, job))
        if job.attempt.interrupted:  # before there was a future to cancel
            self._watched.put((job, True))
        elif not self._runs_here:
            self._watched.put((job, False))

    def _resolved(self, job: LiveJob, future: Any) -> None:
        """Called by the executor, on any thread and perhaps more than once."""
        result: Any = None
        raised: BaseException | None
        try:
            # not raised, for its traceback would hold on to the frames of the executor, and to what they hold
            raised = future.exception(timeout=0)
            if raised is None:
                result = future.result(timeout=0)
        except BaseException as error:  # noqa: BLE001  - foreign code
            raised = error.with_traceback(None)
        answer = Answer.read(result, job.token) if raised is None else None
        outcome = answer.outcome() if answer is not None else _outcome_without_answer(job, result, raised)
        self._news.put(_Resolved(job, answer, outcome, isinstance(raised, BrokenExecutor)))

    # -- the watch ---------------------------------------------------------------------------------------

    def _watch(self) -> None:
        queued: list[LiveJob] = []
        due = 0.0
        while True:
            with suppress(Empty):
                item = self._watched.get(timeout=WATCH_SECONDS if queued else None)
                if item is None:
                    return
                job, cancel = item
                if cancel:
                    self._cancel(job)
                else:
                    queued.append(job)
            if time.monotonic() >= due:
                due = time.monotonic() + WATCH_SECONDS
                queued = [job for job in queued if self._waits(job)]

    def _waits(self, job: LiveJob) -> bool:
        """Whether it is still to be asked; reports its begin if it has begun."""
        if job.begun or not self._is_open(job):
            return False
        try:
            running = job.future.running()
        except BaseException:  # noqa: BLE001  - it cannot tell; then the answer does
            return False
        if running:
            job.begin()
        return not running

    def _cancel(self, job: LiveJob) -> None:
        try:
            job.future.cancel()
        except BaseException as error:  # noqa: BLE001  - foreign code
            what = describe_exception(error)
            self.host.warn(job.attempt.start.unit, f"its executor cannot cancel it: {what.type}: {what.message}")


class _Answered(NamedTuple):
    """A job has ended in this process."""

    job: LiveJob
    outcome: Outcome
    value: Any


class _Resolved(NamedTuple):
    """A future has ended, with the answer of another process or without."""

    job: LiveJob
    answer: Answer | None
    outcome: Outcome
    broken: bool


class _Unsubmitted(NamedTuple):
    """A job could not be submitted."""

    job: LiveJob
    error: UnitError


_News = LaneEffect | _Answered | _Resolved | _Unsubmitted


class _Held:
    """The executor: one that was given, or the one that was made last."""

    def __init__(self, source: ExecutorSource, warn: Callable[[str], None]) -> None:
        self._make: Any = None
        self._executor: Any = None
        if isinstance(source, type) or not hasattr(source, "submit"):
            self._make = source
        else:
            self._executor = source
        self._warn = warn
        self._lock = threading.Lock()
        self._closed = False

    def get(self) -> Any:
        """The executor; made at the first call, and anew after it was dropped. Raises what making it raises."""
        executor = self._executor
        if executor is not None:
            return executor
        made = self._make()
        if not callable(getattr(made, "submit", None)):
            raise TypeError(f"{type(made).__name__} has no method submit")
        with self._lock:
            if not self._closed:
                self._executor = made
                return made
        self._shut_down(made, patient=True)
        raise RuntimeError("the run was closed meanwhile")

    def drop(self, executor: Any) -> bool:
        """It is broken: have another one made. False if that cannot be done."""
        if self._make is None:
            return False
        with self._lock:
            broken, self._executor = self._executor, None if self._executor is executor else self._executor
        if broken is executor and broken is not None:
            _start_thread("shutdown", partial(self._shut_down, broken, patient=True))
        return True

    def close(self, *, patient: bool) -> None:
        """Shut it down if it was made here; `patient` if it has nothing to do any more."""
        with self._lock:
            self._closed = True
            executor, self._executor = self._executor, None
        if executor is not None and self._make is not None:
            self._shut_down(executor, patient=patient)

    def _shut_down(self, executor: Any, *, patient: bool) -> None:
        worker = _start_thread("shutdown", partial(self._call_shutdown, executor))
        if patient:
            worker.join(CLOSE_SECONDS)
        if worker.is_alive():
            killed = _kill_processes(executor)
            worker.join(CLOSE_SECONDS if killed else 0.2)
        if patient and worker.is_alive():
            self._warn("the executor goes on: it has not shut down in time")

    def _call_shutdown(self, executor: Any) -> None:
        try:
            if isinstance(executor, Executor):
                executor.shutdown(wait=True, cancel_futures=True)
            else:  # of a client, shutdown() might end a cluster that others use
                getattr(executor, "close", getattr(executor, "shutdown", lambda: None))()
        except BaseException as error:  # noqa: BLE001  - foreign code
            what = describe_exception(error)
            self._warn(f"the executor does not shut down: {what.type}: {what.message}")


def _kill_processes(executor: Any) -> bool:
    """Kill the processes of a pool that does not end; True if it has any. Python 3.14 has a method for this."""
    processes = list((getattr(executor, "_processes", None) or {}).values())
    for process in processes:
        with suppress(Exception):
            process.kill()
    return bool(processes)


def _outcome_without_answer(job: LiveJob, result: Any, raised: BaseException | None) -> Outcome:
    """What it means that a future has ended, and the unit has not told of its end."""
    if job.unsendable is not None:
        return Outcome(job.unsendable)
    if isinstance(raised, CancelledError):
        if job.attempt.interrupted:
            return Outcome(canceled=True)
        return Outcome(UnitError("lost", "its executor cancelled it"))
    if raised is not None:
        return Outcome(lost("its executor lost it", raised))
    kind = type(result).__name__
    return Outcome(UnitError("lost", f"its executor gave a value of type {kind}, which is not from the unit"))


def lost(what: str, error: BaseException) -> UnitError:
    """The end of a unit that an executor has failed; `retry.on` may also name what the executor raised."""
    cause = describe_exception(error)
    return UnitError("lost", f"{what}: {cause.type}: {cause.message}", bases=(cause.type, *cause.bases))


def _start_thread(name: str, target: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=target, name=f"qtui-custom-{name}", daemon=True)
    thread.start()
    return thread
