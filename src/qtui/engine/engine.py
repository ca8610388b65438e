"""The engine: inbox, turn and timer around one scheduler, whose only caller it is, and what lanes ask of it."""

from __future__ import annotations

import os
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from qtui.core.errors import EXIT_INTERNAL
from qtui.core.events import Event, RunFinished, UnitFinished, UnitRedefined, UnitsAdded, Warned
from qtui.core.masking import masks_of
from qtui.core.model import ExecutionMode, Outcome, QuantumUnit, RunState, UnitState
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan
from qtui.core.resuming import Resumption
from qtui.core.samples import ClusterWorker
from qtui.core.scheduler import Scheduler
from qtui.core.session import Feed
from qtui.core.state import RunView
from qtui.core.stimuli import (
    CacheChecked,
    CheckCache,
    GovernorRequested,
    InterruptRequested,
    JournalReported,
    LaneWorkersRequested,
    LateReturned,
    ProgressReported,
    RedefineRequested,
    Request,
    ResultLost,
    ResumeRequested,
    RetryRequested,
    RunRequested,
    StartUnit,
    Stimulus,
    TimerFired,
    UnitBegan,
    UnitReturned,
    WakeAt,
    WarningRaised,
)
from qtui.engine import variables
from qtui.engine.adoption import Adoption
from qtui.engine.attempts import Attempts
from qtui.engine.bus import EventBus, Origin
from qtui.engine.cache import NO_CACHE, Cache
from qtui.engine.context import ExecutionContext, ProgressThrottle
from qtui.engine.dispatcher import Dispatcher
from qtui.engine.files import RunFiles
from qtui.engine.governing import Governing
from qtui.engine.journaling import HeldStarts, Journaling, Keeper, Sink
from qtui.engine.logs import LogStore
from qtui.engine.maskedtexts import TextMasks
from qtui.engine.packing import Packed
from qtui.engine.recorder import Recorder
from qtui.engine.values import Values
from qtui.engine.watch import Watcher
from qtui.engine.workers.base import Attempt, Doubting, Lane
from qtui.engine.workers.clustersource import ClusterSource
from qtui.engine.workers.executor import ExecutorSource
from qtui.engine.workers.keepers import Keeper as KeeperProcess
from qtui.engine.workers.keepers import Keepers
from qtui.engine.workers.registry import make_lane

CLOSE_SECONDS = 5.0
"""How long closing waits for processes to be gone; only one in uninterruptible sleep takes that long."""


class _Asked(NamedTuple):
    """A request in the inbox, and who wants to know whether anything came of it."""

    request: Request | RedefineRequested
    answer: Callable[[bool], None]


class _Written(NamedTuple):
    """In the inbox: the journal has the events up to this one."""

    seq: int


class Engine:
    """Runs one plan.

    Whoever brings news puts a stimulus into the inbox and tries the turn lock; the holder works off what the
    others left, so nobody waits for it. Events are recorded right behind, in order, by the recorder. `secrets` are
    masked in logs and record; `workflow` is what subscribers know the run's workflow by, if it has an id. Units with
    mode ``custom`` run in `executor`, or in what that makes; without one, UsageError is raised.

    With a `journal`, events are written there before anybody is told of them, with what `keeper` makes of results; a
    unit that is not idempotent starts when its start has been written. With `resumed` a run goes on, of which the view
    before is `opening`; `plan` is that of the resumption then.

    In the run of a `library` user nobody answers questions.
    """

    def __init__(
        self,
        plan: ExecutionPlan,
        options: RunOptions,
        *,
        run: str,
        name: str,
        files: RunFiles,
        params: Mapping[str, Any] | None = None,
        bus: EventBus | None = None,
        workflow: str = "",
        cache: Cache | None = None,
        secrets: Iterable[str] = (),
        executor: ExecutorSource | ClusterSource | None = None,
        journal: tuple[Sink, Keeper] | None = None,
        resumed: Resumption | None = None,
        opening: RunView | None = None,
        library: bool = False,
    ) -> None:
        self.options, self.run, self.name, self.workflow = options, run, name, workflow
        self.opening = opening or RunView.initial(plan)
        self._resumed = resumed
        self._scheduler = Scheduler(plan, options) if resumed is None else Scheduler.restore(options, resumed.view)
        self.plan = self._scheduler.plan  # which grows with what units add
        self.params: Mapping[str, Any] = dict(params or {})
        self._files, self._cache = files, cache
        self.masks = masks_of(secrets)
        self._texts = TextMasks(self.masks) if self.masks else None
        self.logs = LogStore(files, self.plan, self.masks)
        self.logs.on_error = lambda number, error: self.warn(number, f"some of its output is lost: {error.strerror}")
        adoption = Adoption(options, self._texts, library=library)
        self.record = variables.record_tag(files.given)
        self._attempts = Attempts(self, self.logs, adoption, self._texts, self.warn, self.record)
        self._environment: Mapping[str, str] = variables.of_run(os.environ, run, self.params, self.record)
        self._keepers: Keepers | None = None
        self._keepers_lock = threading.Lock()
        self._values = Values(self.plan, files)
        self.results = self._values.made
        # a wall clock that was set back since the run began must not turn back that of the run
        self._clock_offset = max(time.time(), self._begins_after()) - time.monotonic()
        self._inbox: deque[Stimulus | _Asked | _Written] = deque()
        self._lock = threading.Lock()
        self._broken = self._closed = False
        self._executor = executor
        self._lanes: dict[ExecutionMode, Lane] = {mode: make_lane(mode, executor) for mode in dict.fromkeys(plan.lanes)}
        self._journaling = (
            None if journal is None else Journaling(*journal, lambda trouble: self.post(JournalReported(trouble)))
        )
        self._held = HeldStarts()
        self._progress = ProgressThrottle()
        self._watcher = Watcher(self) if Watcher.wanted(plan.table, plan.mode) else None
        self._governing = Governing(self)
        self._due: float | None = None
        # a SimpleQueue, not an Event: its put may be called again by a signal handler that interrupts it
        self._wakes: SimpleQueue[None] = SimpleQueue()
        self._dispatcher = Dispatcher(
            bus or EventBus(),
            lambda: Origin(self.run, self.workflow or self.run, self.plan),
            self.value_of,
            lambda message: self.warn(-1, message),
        )
        self._recorder = Recorder(
            self.opening,
            self._dispatcher,
            self._journaling,
            self._held,
            lambda seq: self.post(_Written(seq)),
        )
        self._timer = threading.Thread(target=self._keep_time, name="qtui-timer", daemon=True)

    # -- the outside -------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Open the lanes and start the run."""
        for lane in self._lanes.values():
            lane.open(self)
        if self._cache is not None:
            self._cache.open(self)
        self._timer.start()
        self._recorder.start()
        self._dispatcher.thread.start()
        if self._watcher is not None:
            self._watcher.start()
        if self.options.adaptive:
            self._governing.start()
        if self._resumed is None:
            self.post(RunRequested(self.name))
        else:
            self._values.remember(self._resumed.view)
            self._note(self._resumed.events)
            self.post(ResumeRequested())

    def _begins_after(self) -> float:
        """When the latest event was that is known from an earlier process; 0 in a new run."""
        return self._resumed.view.updated_at if self._resumed is not None else self.opening.updated_at

    def ask(self, request: Request | RedefineRequested, answer: Callable[[bool], None]) -> None:
        """Post a request; `answer` is told, by whoever has the turn, whether anything came of it."""
        self.post(_Asked(request, answer))

    @property
    def unsaved(self) -> str:
        """Why the journal has not all events; empty if it has."""
        return self._journaling.trouble if self._journaling is not None else ""

    def post(self, stimulus: Stimulus | _Asked | _Written) -> None:
        """Bring news without taking the turn: the timer thread does, at once. For threads that must not wait."""
        wish = stimulus.request if type(stimulus) is _Asked else stimulus
        if type(wish) is GovernorRequested:
            self._governing.start()
        elif type(wish) in (RetryRequested, RedefineRequested):
            for lane in self._lanes.values():
                if isinstance(lane, Doubting):
                    lane.doubt()
        self._inbox.append(stimulus)
        self._wakes.put(None)

    def view(self) -> RunView:
        """What is known now."""
        return self._recorder.view

    def now(self) -> float:
        """Unix seconds from a clock that never steps back."""
        return time.monotonic() + self._clock_offset

    def feed(self) -> Feed:
        """A reader of all events from the first on."""
        return self._recorder.feed()

    def wait(self, timeout: float | None = None) -> RunFinished | None:
        """Wait until the run has finished and its last event was handed to every subscriber.

        None if `timeout` seconds pass first, or the engine is closed.
        """
        return self._dispatcher.wait(timeout)

    def close(self) -> None:
        """Kill what still runs, record that the run was interrupted then, and end the threads."""
        if self._closed:
            return
        self._closed = True
        self._inbox.append(InterruptRequested())  # what is cut has no end, and runs again when the run is resumed
        self._turn()
        if self._watcher is not None:
            self._watcher.close()
        self._governing.close()
        for lane in self._lanes.values():
            lane.close()
        if self._keepers is not None:
            self._keepers.close(CLOSE_SECONDS)
        if self._cache is not None:
            self._cache.close()
        self._turn()  # the timer thread, which would note the last warnings of these, may have gone
        self._recorder.finish(self._turn)
        self._wakes.put(None)
        _join(self._timer)
        self._recorder.join()
        _join(self._dispatcher.thread)
        self._dispatcher.close()
        self._recorder.close()
        self._files.close()

    # -- the turn ----------------------------------------------------------------------------------------

    def _turn(self, lane: Lane | None = None) -> StartUnit | None:
        """Work off the inbox unless somebody else does; may return one start of `lane` for the caller."""
        mine: StartUnit | None = None
        while self._inbox:
            if not self._lock.acquire(blocking=False):
                return mine  # the holder looks into the inbox again after letting go
            try:
                mine = self._work_off(lane, mine)
            except Exception as error:  # noqa: BLE001  - whatever it is, it is our bug and must end the run
                self._break(error)
            finally:
                self._lock.release()
        return mine

    def _work_off(self, lane: Lane | None, mine: StartUnit | None) -> StartUnit | None:
        inbox, lanes, handle, now = self._inbox, self._lanes, self._scheduler.handle, self.now
        while inbox:
            stimulus = inbox.popleft()
            if self._broken:
                continue
            asked = None
            if type(stimulus) is _Asked:
                stimulus, asked = stimulus
            elif type(stimulus) is _Written:
                self._let_start(stimulus.seq)
                continue
            events, effects = handle(stimulus, now())  # type: ignore[arg-type]
            if effects and self._journaling is not None:
                # before the recorder hears of the events: it looks whether something waits for those that it writes
                effects, never = self._held.sift(effects, self._recorder.noted + len(events), self.plan.table)
                inbox.extend(UnitReturned(stop.unit, stop.attempt, Outcome(canceled=True)) for stop in never)
            if events:
                self._note(events)
            if asked is not None:
                asked(any(type(event) is not Warned for event in events))  # a warning says why nothing came of it
            for effect in effects:
                if isinstance(effect, StartUnit):
                    if mine is None and lane is not None and effect.lane is lane.mode:
                        mine = effect
                        lane.keep(effect)
                    else:
                        lanes[effect.lane].post(effect)
                elif isinstance(effect, WakeAt):
                    self._due = effect.at
                    self._wakes.put(None)
                elif isinstance(effect, CheckCache):
                    if self._cache is not None:
                        self._cache.check(effect)
                    else:
                        inbox.append(CacheChecked(effect.unit, effect.generation, False, NO_CACHE))
                else:
                    lanes[effect.lane].post(effect)
        return mine

    def _let_start(self, seq: int) -> None:
        """The journal has the events up to `seq`."""
        if not self._closed:
            for start in self._held.release(seq):
                self._lanes[start.lane].post(start)

    def _note(self, events: list[Event]) -> None:
        if self._texts is not None:
            events = list(map(self._texts.event, events))
        for event in events:
            if type(event) is UnitsAdded:
                self._welcome(event.units)
            elif type(event) is UnitRedefined:
                self._welcome((event.definition,))
            elif type(event) is UnitFinished:
                self._values.ended(event)
                if self._cache is not None and self._is_new(event):
                    self._cache.keep(event.unit)
        self._recorder.note(events)

    def _is_new(self, end: UnitFinished) -> bool:
        """Whether a unit with a cache has made its result just now, and that is all there is: it has added no units."""
        if end.state is not UnitState.COMPLETED or end.fallback or end.cached or not self.plan.table[end.unit].cache:
            return False
        return all(added in self.plan.dropped for added in self.plan.added.get(end.unit, ()))

    def _welcome(self, units: Sequence[QuantumUnit]) -> None:
        """The plan has new units, or others: they have a lane, and a place for results, before any lane hears of it."""
        self._values.grow()
        for unit in units:
            mode = self.plan.lanes[self.plan.numbers[unit.id]]
            if mode not in self._lanes:
                lane = self._lanes[mode] = make_lane(mode, self._executor)
                lane.open(self)
        if self._watcher is None and Watcher.wanted(units, self.plan.mode):
            self._watcher = Watcher(self)
            self._watcher.start()

    def _break(self, error: Exception) -> None:
        """A bug of qtui: stop everything, and say so where people look."""
        self._broken = True
        story = "".join(traceback.format_exception(error)).rstrip()
        view, now = self.view(), self.now()
        counts = {str(state): count for state, count in view.counts.items() if count}
        self._note(
            [
                Warned(-1, f"internal error, please report it: {story}", now),
                RunFinished(RunState.INTERRUPTED, counts, view.elapsed(now), EXIT_INTERNAL, now),
            ]
        )
        for lane in self._lanes.values():
            threading.Thread(target=lane.close, name="qtui-close", daemon=True).start()

    # -- what lanes use (Host) and contexts read (RunFacts) ------------------------------------------------

    def attempt(self, start: StartUnit) -> Attempt:
        """The attempt of a start."""
        return Attempt(start, self.plan.table[start.unit])

    def open_context(self, attempt: Attempt) -> ExecutionContext:
        """Make the attempt's context, on the lane's thread."""
        timeout = attempt.unit.timeout
        return self._attempts.open(attempt, None if timeout is None else self.now() + timeout)

    def began(self, start: StartUnit, pid: int, place: str = "") -> None:
        """A lane that queues has begun an attempt."""
        self._inbox.append(UnitBegan(start.unit, start.attempt, pid, place))
        self._turn()

    def returned(self, attempt: Attempt, outcome: Outcome, value: Any, lane: Lane | None) -> StartUnit | None:
        """An attempt is over; its value is stored before anybody can ask for it."""
        start = attempt.start
        self._governing.note(start.lane, outcome.seconds)
        outcome = self._attempts.conclude(attempt, outcome)
        if outcome.error is None and not outcome.canceled:
            self._values.put(start.unit, value)
            if self._journaling is not None:
                self._journaling.value(start.unit, attempt.unit.id, start.attempt, value)
            if self._cache is not None and attempt.unit.cache is not None:
                if not outcome.added:
                    self._cache.prepare(start.unit)
                else:  # a result without what was added is not all there is
                    message = f"the result of {attempt.unit.id} is not kept for the next run: it has added units"
                    self.warn(start.unit, message)
        self._inbox.append(UnitReturned(start.unit, start.attempt, outcome))
        return self._turn(lane)

    def keeper(self, given: Sequence[int] = ()) -> KeeperProcess:
        """A new keeper process; see Keepers."""
        with self._keepers_lock:
            if self._keepers is None:
                discard = str(self._files.root()) if self._files.temporary else ""
                self._keepers = Keepers(self._environment, self.options.nice, discard, self.masks)
        return self._keepers.keeper(given)

    def put_result(self, number: int, value: Any) -> None:
        """Let an earlier result be the unit's. Raises BrokenResult if it cannot be loaded; then the unit has none."""
        self._values.put_loadable(number, value)
        if self._journaling is not None:
            self._journaling.value(number, self.plan.table[number].id, 0, value)

    def late(self, attempt: Attempt) -> None:
        """An abandoned attempt has ended by itself."""
        self._attempts.came_late(attempt)
        self.post(LateReturned(attempt.start.unit, attempt.start.attempt))

    def warn(self, unit: int, message: str) -> None:
        """Record a warning about a unit."""
        self.post(WarningRaised(message, unit))

    def lost(self, unit: int, cause: str) -> None:
        """The result of a completed unit is gone."""
        self.post(ResultLost(unit, cause))

    def resize(self, lane: ExecutionMode, workers: int, cause: str) -> None:
        """A lane can run so many units at a time now."""
        self.post(LaneWorkersRequested(lane, workers, cause))

    def interrupt(self, cause: str) -> None:
        """End the run without a signal, so that it can be resumed."""
        self.post(InterruptRequested(0, cause))

    def value_of(self, number: int) -> Any:
        """The value of a completed unit; one that a process made is loaded when it is first asked for here.

        Raises BrokenResult, naming the unit, if that fails.
        """
        return self._values.opened(number)

    def packed_of(self, number: int) -> Packed:
        """The value of a completed unit as bytes for a worker process. Raises what pickling raises."""
        return self._values.packed(number)

    def value_path(self, name: str) -> str:
        """The file `name` for a value that is too large for a message."""
        return self._values.path(name)

    def top_of(self, number: int) -> int:
        """The process below which all are that a running unit has started; 0 if there is none."""
        return self._attempts.top_of(number)

    def attempts(self) -> list[Attempt]:
        """The attempts that go on right now."""
        return self._attempts.going_on()

    def cluster(self) -> tuple[ClusterWorker, ...]:
        """The workers of the cluster that units are sent to, as they were a moment ago; none without one."""
        asked = (getattr(lane, "cluster", None) for lane in list(self._lanes.values()))
        return tuple(worker for cluster in asked if cluster is not None for worker in cluster())

    def state_of(self, number: int) -> UnitState:
        """The unit's state right now, ahead of the record by some milliseconds."""
        return self._scheduler.state_of(number)

    def cause_of(self, number: int) -> str:
        """Why a unit that has ended has no value."""
        return self._values.cause_of(number)

    def report_progress(self, number: int, attempt: int, done: float, total: float, message: str) -> None:
        """Record progress, at most once a second for each unit."""
        if self._progress.passes(number):
            self.post(ProgressReported(number, attempt, done, total, message))

    def added_to(self, number: int) -> Sequence[int]:
        """The units that needs of this one have added, but for those that were added together with it."""
        added, dropped = self.plan.added, self.plan.dropped
        if not added:
            return ()
        theirs = [added[need] for need in self.plan.needs[number] if need in added and number not in added[need]]
        return [other for units in theirs for other in units if other not in dropped]

    def environment_of(self, number: int) -> dict[str, str]:
        """qtui's environment as it was when the run began, then the unit's, then what tells it who it is."""
        return {**self._environment, **self.variables_of(number)}

    def variables_of(self, number: int) -> dict[str, str]:
        """What the unit's environment has over the run's."""
        return variables.of_unit(self.plan.table[number])

    # -- threads -----------------------------------------------------------------------------------------

    def _keep_time(self) -> None:
        """Wake when a timer is due, and take the turn for threads that only post."""
        while not self._closed:
            due = self._due
            with suppress(Empty):
                self._wakes.get(timeout=None if due is None else min(max(0.0, due - self.now()), threading.TIMEOUT_MAX))
                while True:
                    self._wakes.get_nowait()
            due = self._due
            if due is not None and due <= self.now():
                self._due = None
                self._inbox.append(TimerFired())
            self._turn()


def _join(thread: threading.Thread) -> None:
    if thread.is_alive() and thread is not threading.current_thread():
        thread.join(2.0)
