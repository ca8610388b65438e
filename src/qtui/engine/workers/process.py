"""The process lane: Python functions in worker processes, each under a keeper of its own."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import sys
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qtui.core.model import Call, ExecutionMode, Outcome, UnitError
from qtui.engine import packing
from qtui.engine.addedunits import with_additions
from qtui.engine.codefiles import latest_change
from qtui.engine.context import ExecutionContext
from qtui.engine.logpage import LogPage
from qtui.engine.probe import total_memory, usable_cores
from qtui.engine.wire import FrameReader, frame
from qtui.engine.workers.base import Attempt, Host
from qtui.engine.workers.sending import Sender, Sending
from qtui.engine.workers.slots import SlotLane, describe_exit, keeper_lost

_SOURCES = str(Path(__file__).resolve().parents[3])
_BOOT = (
    "import sys; sys.path.insert(0, sys.argv[1]); import qtui; del sys.path[0]; "
    "from qtui.engine.worker import main; main(sys.argv[2:])"
)
"""Where qtui lies is first on the path for qtui alone: what else lies there, as in the working directory (-P), must not
hide modules of Python."""

_BUFFER = 1 << 18


class ProcessLane(SlotLane):
    """Each unit runs in a process that can be killed, and that never runs another unit after a stop was sent to it."""

    def __init__(self, idle_seconds: float | None = None) -> None:
        super().__init__(ExecutionMode.PROCESS, idle_seconds)
        self.idle: list[_Slot] = []
        """Slots without an attempt; their workers may still be starting."""
        self.shared: set[_Slot] = set()
        """Slots for which units of batches may queue."""
        self._init: bytes = b""
        self._doubted = False
        self.buffer = memoryview(bytearray(_BUFFER))
        """What slots receive into, one after another: making one for each message costs more than the message."""
        self.cwd = os.getcwd()  # noqa: PTH109

    def open(self, host: Host) -> None:
        """Start the thread; workers are started when there is work."""
        self.sender = self.make_sender(host)
        super().open(host)

    def make_sender(self, host: Host) -> Sending:
        """What packs the units of this lane."""
        return Sender(host, "sent")

    def with_added(self, attempt: Attempt, outcome: Outcome, added: tuple[Any, ...] | None) -> Outcome:  # noqa: ARG002
        """The outcome of an attempt with the units that it adds, which were packed where it ran."""
        return with_additions(outcome, added)

    def code_changed_at(self) -> float:
        """When the code of the lane's units was last changed (Unix seconds)."""
        plan = self.host.plan
        actions = [unit.action for unit, lane in zip(plan.table, plan.lanes, strict=False) if lane is self.mode]
        return latest_change({id(call.function): call.function for call in actions if isinstance(call, Call)}.values())

    def begin(self, attempt: Attempt) -> None:
        """Send the unit to a worker that is idle, to one that others of its batch queue for, or to a new one."""
        if self._doubted:
            self._doubted = False
            self._recycle()
        begun = False
        while not begun:
            slot = attempt.kept = self._slot_for(attempt.start.batch)
            begun = slot.take(attempt)

    def _slot_for(self, batch: int) -> _Slot:
        if self.idle:
            return self.idle.pop()
        if batch > 1:
            least = min(self.shared, key=_Slot.queued, default=None)
            if least is not None and least.queued() < batch:
                return least
        return _Slot(self)

    def doubt(self) -> None:
        """Look, before the next unit begins, whether workers may have imported code that has changed since: those end,
        busy ones after the units that are there. Any thread may ask for that."""
        self._doubted = True

    def _recycle(self) -> None:
        changed = self.code_changed_at()
        busy = [attempt.kept for attempt in self.attempts.values() if attempt.kept is not None]
        for slot in {*self.idle, *busy}:
            if slot.made_at < changed:
                slot.wear_out()
        self.sender.forget_functions()  # their names may lead to others now

    def interrupt(self, attempt: Attempt) -> None:
        """TERM to the worker and everything below it."""
        attempt.kept.stop(attempt, kill=False)

    def kill(self, attempt: Attempt) -> None:
        """Kill the worker and everything below it."""
        attempt.kept.stop(attempt, kill=True)

    def release(self) -> None:
        """Let every worker go that has nothing to do, also those that are still starting."""
        while self.idle:
            self.idle.pop().let_go()

    def forget(self, slot: _Slot) -> None:
        """A slot is of no more use."""
        self.shared.discard(slot)
        if slot in self.idle:
            self.idle.remove(slot)

    def init_frame(self) -> bytes:
        """What a worker is told first; the same for all of a run. Raises Unstartable if the params cannot be sent."""
        if not self._init:
            limit = total_memory() // (2 * usable_cores())
            params = tuple(self.sender.params())
            self._init = frame(("init", self.sender.path(), params, limit, self.host.value_path("")))
        return self._init


@dataclass(slots=True)
class _Job:
    """An attempt on its way through a slot. Jobs are numbered as they are sent, 0 before that; a `revoked` one has been
    reported, and its answer is waited for."""

    attempt: Attempt
    context: ExecutionContext
    data: bytes
    number: int = 0
    revoked: bool = False
    began: bool = False


class _Slot:
    """A keeper, its worker, and the attempts that run there, one after another."""

    def __init__(self, lane: ProcessLane) -> None:
        self._lane = lane
        self.made_at = time.time()
        init = lane.init_frame()  # it may raise; from here on there is something to give back
        ours, theirs = socket.socketpair()
        page = LogPage.create()
        self._page = LogPage(page)
        try:
            with theirs:
                self._keeper = lane.host.keeper([page, theirs.fileno()])
        except OSError:
            ours.close()
            raise
        finally:
            os.close(page)
        ours.setblocking(False)
        self._channel = ours
        self._frames = FrameReader()
        self._unsent: deque[memoryview] = deque()
        self._watching_writes = False
        self._gone = False
        self._pid = 0
        self._fault = ""
        self._jobs: deque[_Job] = deque()  # the first of them runs
        self._sent = 0
        self._doomed = False  # a stop was sent: nothing more runs here
        self._worn = False  # no more jobs, but for those that are here
        self._answer: tuple[Outcome, Any] | None = None
        self._known: set[int] = set()
        self._stays: packing.Packed | None = None
        lane.watch(self._keeper, self._on_report)
        lane.selector.register(ours, selectors.EVENT_READ, self._on_ready)
        self._keeper.run([sys.executable, "-P", "-c", _BOOT, _SOURCES], {}, lane.cwd, worker=True)
        self._send(init)

    # -- attempts ----------------------------------------------------------------------------------------

    def queued(self) -> int:
        """How many attempts are here, with the one that runs."""
        return len(self._jobs)

    def take(self, attempt: Attempt) -> bool:
        """Run the attempt as soon as the worker is free; False if that has died since its last unit.

        Raises what keeps the attempt from being sent.
        """
        context = self._lane.host.open_context(attempt)
        if not self._pid and not self._jobs:  # what a worker has to say about its own start belongs to its first unit
            self._page.point(context.log_writer.path, attempt.unit.log_max)
        try:
            data = self._make_job(attempt, context)
        except Exception:
            context.log_writer.close()
            if not self._jobs:
                self._lane.idle.append(self)
            raise
        job = _Job(attempt, context, data)
        self._jobs.append(job)
        attempt.keeper = self._keeper
        if attempt.start.batch > 1 and not self._worn:
            self._lane.shared.add(self)
        if self._pid and not self._send_job(job) and len(self._jobs) == 1:
            self._jobs.clear()  # what the keeper is about to tell is none of its business
            context.log_writer.close()
            return False
        if job.number:
            self._begin_first()
        return True

    def stop(self, attempt: Attempt, *, kill: bool) -> None:
        """Stop an attempt; if it runs, this worker never runs another."""
        job = next(job for job in self._jobs if job.attempt is attempt)
        if not job.number and not kill and len(self._jobs) == 1:  # the worker is still starting, and stays of use
            self._jobs.clear()
            self._known.clear()
            self._lane.shared.discard(self)
            self._lane.idle.append(self)
            self._report(job, Outcome(canceled=True), None)
        elif job is self._jobs[0] or not self._revoke(job):
            self._stop_running(job, kill=kill)

    def _revoke(self, job: _Job) -> bool:
        """Take back a job that waits; False if the worker has entered it."""
        if job.number:
            self._page.revoke(job.number)
            os.sched_yield()  # see LogPage
            if self._page.entered >= job.number:
                return False
        job.revoked = True  # others may count on the function that it brings along, so it is sent all the same
        self._report(job, Outcome(canceled=True), None)
        return True

    def _stop_running(self, job: _Job, *, kill: bool) -> None:
        self._worn = True
        self._lane.shared.discard(self)
        self._page.halted = True  # what waits behind it does not begin here
        os.sched_yield()
        if job.number and self._page.entered > job.number:
            return  # it is over, as its answer will tell; who has its place is not to suffer
        self._doomed = True
        if kill:
            self._keeper.kill()
        else:
            self._keeper.signal(signal.SIGTERM)

    def wear_out(self) -> None:
        """Take no more units; the worker ends when those that are here have."""
        if self._jobs:
            self._worn = True
            self._lane.shared.discard(self)
        else:
            self.let_go()

    def let_go(self) -> None:
        """End the worker."""
        self._lane.forget(self)
        self._close_channel()
        self._lane.let_go(self._keeper)

    def _send_job(self, job: _Job) -> bool:
        """Send a job; False if the worker is gone."""
        self._sent = job.number = self._sent + 1
        self._page.revoke(job.number, job.revoked)
        self._stays = None  # for this job only
        self._send(job.data)
        job.data = b""
        return not self._gone

    def _begin_first(self) -> None:
        """Report that the first job runs, while the worker is at it already."""
        job = self._jobs[0]
        if job.number and not job.began and not job.revoked:
            job.began = True
            self._lane.host.began(job.attempt.start, self._pid)

    def _make_job(self, attempt: Attempt, context: ExecutionContext) -> bytes:
        sender, log = self._lane.sender, context.log_writer.path
        key, function = sender.function(attempt.unit)
        sent = None if key in self._known else function
        message = frame(("job", *sender.job(attempt, key, sent, made=self._stays, log=log)))
        self._known.add(key)
        return message

    # -- the worker's socket -----------------------------------------------------------------------------

    def _on_ready(self) -> None:
        if self._unsent:
            self._flush()
        self._read()

    def _read(self) -> None:
        buffer = self._lane.buffer
        while True:
            try:
                size = self._channel.recv_into(buffer)
            except BlockingIOError:
                return
            except OSError:
                size = 0
            if not size:
                self._close_channel()  # the keeper tells how it ended
                return
            try:
                messages = self._frames.feed(bytes(buffer[:size]))
            except (ValueError, EOFError, TypeError):  # a unit has written to a descriptor that is not its own
                self._fault = "its process sent something that is no message"
                self._close_channel()
                self._keeper.kill()
                return
            for message in messages:
                self._take_message(message)
            if size < len(buffer):
                return

    def _take_message(self, message: tuple[Any, ...]) -> None:
        match message:
            case ("ready", pid):
                self._pid = pid
                for job in self._jobs:  # if it has died at once, that is the end of the first: another may do the same
                    self._send_job(job)
                if self._jobs:
                    self._begin_first()
            case ("progress", *progress):
                self._lane.host.report_progress(*progress)
            case ("value", fields, stays, added, usage, metrics, worn) if self._jobs:
                packed = packing.Packed(*fields)
                self._stays = packed if stays and len(self._jobs) == 1 else None
                outcome = self._lane.with_added(self._jobs[0].attempt, _outcome(usage, metrics), added)
                self._on_answer(outcome, packed, worn)
            case ("error", error, usage, metrics, worn):
                self._on_answer(_outcome(usage, metrics)._replace(error=UnitError(*error)), None, worn)
            case ("canceled", usage, metrics, worn):
                self._on_answer(_outcome(usage, metrics)._replace(canceled=True), None, worn)

    def _on_answer(self, outcome: Outcome, value: packing.Packed | None, worn: str) -> None:
        if not self._jobs:
            return
        job = self._jobs[0]
        if self._doomed or worn == "leftovers":
            self._answer = (outcome, value)  # reported when nothing is left of the unit
            self._close_channel()
            if not self._doomed:
                attempt = job.attempt
                self._lane.host.warn(attempt.start.unit, "left processes or threads behind, ended now with its worker")
                grace = attempt.unit.grace if attempt.unit.grace is not None else self._lane.host.options.grace
                self._keeper.finish(min(grace, 1.0))
            return
        self._jobs.popleft()
        if worn or (self._page.halted and not (self._jobs and self._page.entered >= self._jobs[0].number > 0)):
            self._retire()
        elif self._jobs:  # the next one runs, unless it has seen that it may not
            self._begin_first()
        elif self._worn or self._lane.closing:
            self.let_go()
        else:
            self._lane.shared.discard(self)
            self._lane.idle.append(self)  # first in line for the start that the report may bring
        if job.revoked:
            return
        if outcome.canceled and not job.attempt.interrupted:  # halted for another, it did not begin
            job.context.log_writer.close()
            self._lane.begin_again(job.attempt)
        else:
            self._report(job, outcome, value)

    def _retire(self) -> None:
        """Let the worker go, and those who wait for it begin elsewhere."""
        jobs, self._jobs = [job for job in self._jobs if not job.revoked], deque()
        self.let_go()
        for job in jobs:
            job.context.log_writer.close()
            if job.attempt.interrupted:
                self._lane.finished(job.attempt, Outcome(canceled=True))
            else:
                self._lane.begin_again(job.attempt)

    def _send(self, data: bytes) -> None:
        self._unsent.append(memoryview(data))
        self._flush()

    def _flush(self) -> None:
        while self._unsent:
            try:
                size = self._channel.send(self._unsent[0])
            except BlockingIOError:
                self._watch_for(selectors.EVENT_READ | selectors.EVENT_WRITE)
                return
            except OSError:  # it has died, as the keeper will tell
                self._gone = True
                self._unsent.clear()
                return
            self._unsent[0] = self._unsent[0][size:]
            if not self._unsent[0]:
                self._unsent.popleft()
        if self._watching_writes:
            self._watch_for(selectors.EVENT_READ)

    def _watch_for(self, events: int) -> None:
        self._watching_writes = bool(events & selectors.EVENT_WRITE)
        self._lane.selector.modify(self._channel, events, self._on_ready)

    def _close_channel(self) -> None:
        if self._channel.fileno() >= 0:
            self._lane.selector.unregister(self._channel)
            self._channel.close()
            self._unsent.clear()

    # -- the keeper --------------------------------------------------------------------------------------

    def _on_report(self) -> None:
        try:
            reports = self._keeper.receive()
        except EOFError:
            self._on_end(None)
            return
        for report in reports:
            match report:
                case ("failed", number, _):
                    self._on_end(UnitError("lost", f"its process could not be started: {os.strerror(number)}"))
                case ("log", number) if self._jobs:
                    text = f"some of its output is lost: {os.strerror(number)}"
                    self._lane.host.warn(self._jobs[0].attempt.start.unit, text)
                case ("ended", code, *_):
                    if self._channel.fileno() >= 0:
                        self._read()  # it may have answered before it died
                    text = f"its process ended with exit {code}" if code >= 0 else describe_exit(code)
                    self._on_end(UnitError("lost", text, exit_code=code))

    def _on_end(self, error: UnitError | None) -> None:
        """Nothing is left of the worker (or of the keeper itself, without `error`)."""
        job = self._jobs.popleft() if self._jobs else None
        self._retire()
        if job is None or job.revoked:
            return
        attempt = job.attempt
        seconds = time.monotonic() - (attempt.begun_at or time.monotonic())
        if self._answer is not None:
            self._report(job, *self._answer)
        elif self._doomed:
            self._report(job, Outcome(None, True, False, seconds), None)
        else:
            if self._fault:
                error = UnitError("lost", self._fault)
            error = error or keeper_lost(attempt.unit.id, self._lane.host.run, self._lane.host.record)
            self._report(job, Outcome(error, False, False, seconds), None)

    def _report(self, job: _Job, outcome: Outcome, value: packing.Packed | None) -> None:
        job.context.log_writer.close()
        self._lane.finished(job.attempt, outcome, value)


def _outcome(usage: tuple[float, float, int], metrics: dict[str, Any]) -> Outcome:
    seconds, cpu_seconds, peak_memory = usage
    return Outcome(seconds=seconds, metrics=metrics, peak_memory=peak_memory, cpu_seconds=cpu_seconds)
