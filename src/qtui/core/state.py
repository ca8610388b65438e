"""What is known about a run: RunView, its lens UnitView, and the pure fold that makes one from events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, assert_never

from pyrsistent import PVector, pvector

from qtui.core.batching import Durations, wants_durations, with_duration
from qtui.core.carrying import carried
from qtui.core.events import (
    BrakeChanged,
    CacheMissed,
    ConfirmRequested,
    Event,
    GovernorChanged,
    JournalChanged,
    LateResult,
    PlanReplaced,
    RunFinished,
    RunPaused,
    RunReopened,
    RunResumed,
    RunStarted,
    RunStopping,
    RunUnpaused,
    UnitAbandoned,
    UnitApproved,
    UnitCanceling,
    UnitFinished,
    UnitProgress,
    UnitReady,
    UnitRedefined,
    UnitReset,
    UnitRetrying,
    UnitsAdded,
    UnitStale,
    UnitStarted,
    UnitSubmitted,
    Warned,
    WorkersChanged,
)
from qtui.core.growth import grow
from qtui.core.limits import learned_peak
from qtui.core.model import LOST_LOOP, STEPS, ExecutionMode, QuantumUnit, RunState, UnitError, UnitState
from qtui.core.plan import ExecutionPlan
from qtui.core.redefining import redefine

# The columns are indexed by unit number; a PVector's C evolver sets an item in about 0.03 µs.
Column = PVector[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """All that is known about a run after `seq` events; immutable, so any thread may hold one.

    Columns by unit number: `states`; `attempts` made; `bases`, the attempts made before this generation;
    `generations`; `begun`, the UnitSubmitted or UnitStarted of this generation's latest attempt; `last`, the latest
    event of the unit but for progress and what concerns abandoned attempts; `left_behind`, the abandoned attempts that
    still go on, by unit and attempt; `progress`, the latest UnitProgress of the latest attempt.
    `brakes` has the latest change of each brake by its scope. `open_items` are the items of groups (see
    `ExecutionPlan.items`) that have begun and not ended. `waited` is how many seconds the run did nothing but wait for
    answers of people, up to `waiting_since`, when such a wait began that still goes on. `asked` units wait for
    an answer. While the run is `governed`, `lane_workers` has the targets of
    lanes; before it begins nobody has said whether it is. `peaks` are the bytes of memory that are expected of units by
    family, where the workflow does not say, and `durations` tell how long units took whose batches depend on that.
    `started_at` (Unix seconds) is later than the run's beginning by the time in which the run did not go on.
    `stale` has the completed units whose results could be others now, and why; `unsaved` says why the record cannot be
    written, and is empty while it can.
    """

    plan: ExecutionPlan
    seq: int = 0
    name: str = ""
    state: RunState = RunState.PENDING
    started_at: float | None = None
    updated_at: float = 0.0
    workers: int = 0
    governed: bool | None = None
    lane_workers: Mapping[str, int] = field(default_factory=dict)
    paused: bool = False
    stopping: RunStopping | None = None
    finished: RunFinished | None = None
    states: Column
    attempts: Column
    bases: Column
    generations: Column
    begun: Column
    last: Column
    progress: Column
    counts: Mapping[UnitState, int]
    submitted: int = 0
    left_behind: Mapping[tuple[int, int], UnitAbandoned] = field(default_factory=dict)
    opened_at: float | None = None
    brakes: Mapping[str, BrakeChanged] = field(default_factory=dict)
    open_items: frozenset[int] = frozenset()
    asked: int = 0
    waited: float = 0.0
    waiting_since: float | None = None
    peaks: Mapping[str, int] = field(default_factory=dict)
    durations: Durations = field(default_factory=dict)
    stale: Mapping[int, str] = field(default_factory=dict)
    unsaved: str = ""

    @classmethod
    def initial(cls, plan: ExecutionPlan) -> RunView:
        """The view before the first event: every unit pending."""
        n = len(plan)
        zeros, nones = pvector([0] * n), pvector([None] * n)
        counts = dict.fromkeys(UnitState, 0)
        counts[UnitState.PENDING] = n
        return cls(
            plan=plan,
            states=pvector([UnitState.PENDING] * n),
            attempts=zeros,
            bases=zeros,
            generations=pvector([1] * n),
            begun=nones,
            last=nones,
            progress=nones,
            counts=counts,
        )

    def unit(self, number: int) -> UnitView:
        """The lens on one unit."""
        return UnitView(self, number)

    @property
    def units(self) -> list[UnitView]:
        """A lens on every unit, in declared order; made anew at each call."""
        return [UnitView(self, number) for number in range(len(self.plan))]

    @property
    def abandoned(self) -> int:
        """How many abandoned attempts still go on."""
        return len(self.left_behind)

    @property
    def stuck(self) -> int:
        """How many of them keep a worker."""
        return sum(left.worker > 0 for left in self.left_behind.values())

    @property
    def timed_out(self) -> str:
        """The cause of the end of a run that took longer than it may; empty for any other."""
        return self.stopping.cause if self.stopping is not None and self.stopping.how == "timeout" else ""

    @property
    def stalled(self) -> bool:
        """True if units could start, but every worker is kept by an attempt that cannot be stopped."""
        going = self.active or self.paused or self.stopping is not None or self.state is not RunState.RUNNING
        return not going and self.stuck > 0 and self.counts[UnitState.READY] > self.asked

    @property
    def ended(self) -> int:
        """How many units have ended."""
        return sum(count for state, count in self.counts.items() if state.ended)

    @property
    def active(self) -> int:
        """How many units hold a worker: running, stopping, or handed to a lane that has not begun them yet."""
        return self.counts[UnitState.RUNNING] + self.counts[UnitState.CANCELING] + self.submitted

    def elapsed(self, now: float) -> float:
        """Seconds the run has taken; until `now` while it goes on."""
        if self.started_at is None:
            return 0.0
        end = self.finished.at if self.finished is not None else now
        return max(0.0, end - self.started_at)


@dataclass(frozen=True, slots=True)
class UnitView:
    """A lens on one unit of a view, made on demand for the rows somebody looks at."""

    view: RunView
    number: int

    @property
    def unit(self) -> QuantumUnit:
        """Its definition."""
        return self.view.plan.table[self.number]

    @property
    def id(self) -> str:
        """Its id."""
        return self.unit.id

    @property
    def state(self) -> UnitState:
        """Its state."""
        state: UnitState = self.view.states[self.number]
        return state

    @property
    def attempt(self) -> int:
        """The number of the latest attempt; 0 before the first."""
        attempt: int = self.view.attempts[self.number]
        return attempt

    @property
    def attempt_in_generation(self) -> int:
        """The latest attempt, counted from 1 within this generation."""
        return self.attempt - int(self.view.bases[self.number])

    @property
    def generation(self) -> int:
        """1, and one more for each time a person had it run again."""
        generation: int = self.view.generations[self.number]
        return generation

    @property
    def finished(self) -> UnitFinished | None:
        """The end of this generation, if it has come."""
        last = self.view.last[self.number]
        return last if isinstance(last, UnitFinished) else None

    @property
    def submitted(self) -> bool:
        """True while a lane holds the unit without having begun it."""
        return self.state is UnitState.READY and isinstance(self.view.last[self.number], UnitSubmitted)

    @property
    def worker(self) -> int | None:
        """The worker slot of the latest attempt."""
        begun = self.view.begun[self.number]
        return None if begun is None else begun.worker

    @property
    def lane(self) -> ExecutionMode:
        """The lane it runs in."""
        return self.view.plan.lanes[self.number]

    @property
    def pid(self) -> int:
        """The process of the latest attempt; 0 if it is qtui's own or not known."""
        begun = self.view.begun[self.number]
        return begun.pid if isinstance(begun, UnitStarted) else 0

    @property
    def started_at(self) -> float | None:
        """When the latest attempt began (Unix seconds)."""
        begun = self.view.begun[self.number]
        return begun.at if isinstance(begun, UnitStarted) else None

    @property
    def error(self) -> UnitError | None:
        """What the latest attempt died of; also readable where a fallback hides it."""
        last = self.view.last[self.number]
        return last.error if isinstance(last, UnitFinished | UnitRetrying) else None

    @property
    def progress(self) -> UnitProgress | None:
        """How far the latest attempt says it is."""
        progress: UnitProgress | None = self.view.progress[self.number]
        return progress

    @property
    def cause(self) -> str:
        """Why it is in this state, in a few words; empty when the state says all."""
        last = self.view.last[self.number]
        match last:
            case UnitFinished():
                return last.cause or (str(last.error) if last.error else "")
            case UnitRetrying():
                return str(last.error)
            case UnitCanceling() | UnitReset():
                return str(last.cause)
            case _:
                return ""

    def elapsed(self, now: float) -> float | None:
        """Seconds of the latest attempt (until `now` while it runs), or None if there was none."""
        match self.view.last[self.number]:
            case UnitFinished() as last:
                return last.duration if last.attempt and self.view.begun[self.number] is not None else None
            case UnitStarted() | UnitCanceling() if (start := self.started_at) is not None:
                return max(0.0, now - start)
            case _:
                return None

    def retry_in(self, now: float) -> float | None:
        """Seconds until the next attempt becomes ready, or None when it is not retrying."""
        last = self.view.last[self.number]
        return max(0.0, last.at + last.delay - now) if isinstance(last, UnitRetrying) else None


def fold(view: RunView, events: Iterable[Event]) -> RunView:
    """The view after `events`. Pure; costs a few tenths of a microsecond an event when batched."""
    folding = _Folding(view)
    for event in events:
        folding.apply(event)
    return folding.result()


class _Folding:
    """One pass of the fold: evolvers for the columns, plain attributes for the rest."""

    def __init__(self, view: RunView) -> None:
        self._view = view
        self._changes: dict[str, Any] = {}
        self._counts = dict(view.counts)
        self._seq = view.seq
        self._submitted = view.submitted
        self._plan = view.plan
        self._open_items = view.open_items
        self._asked = view.asked
        self._waited, self._waiting_since = view.waited, view.waiting_since
        self._running = view.state is RunState.RUNNING
        self._left_behind = view.left_behind
        self._states = view.states.evolver()
        self._attempts = view.attempts.evolver()
        self._bases = view.bases.evolver()
        self._generations = view.generations.evolver()
        self._begun = view.begun.evolver()
        self._last = view.last.evolver()
        self._progress = view.progress.evolver()

    def apply(self, event: Event) -> None:
        self._seq += 1
        match event:
            case UnitReady():
                self._step(event.unit, UnitState.READY, event)
            case UnitStarted():
                self._begin(event, UnitState.RUNNING)
            case UnitFinished():
                self._step(event.unit, event.state, event)
                if event.peak_memory:
                    self._learn_peak(event)
                if event.state is UnitState.COMPLETED and not event.cached:
                    self._learn_duration(event)
            case UnitSubmitted():
                self._begin(event, UnitState.READY)
                self._submitted += 1
            case CacheMissed() | ConfirmRequested() | UnitApproved():
                self._asked += type(event) is ConfirmRequested
                self._note_last(event.unit, event)
            case UnitProgress():
                self._progress[event.unit] = event
            case UnitRetrying():
                self._step(event.unit, UnitState.RETRYING, event)
                self._bases[event.unit] += event.error.type == LOST_LOOP
            case UnitCanceling():
                self._step(event.unit, UnitState.CANCELING, event)
            case UnitAbandoned():
                self._left_behind = {**self._left_behind, (event.unit, event.attempt): event}
            case LateResult():
                self._left_behind = _without(self._left_behind, event)
            case UnitsAdded():
                self._grow(event)
            case PlanReplaced():
                _Folding.__init__(self, carried(self.result(), event))  # a plan is where everything begins
            case UnitRedefined():
                self._thaw()
                redefine(self._plan, event.unit, event.definition)
            case UnitStale():
                self._changes["stale"] = {**self._stale(), event.unit: event.cause}
            case UnitReset():
                self._step(event.unit, UnitState.PENDING, event)
                self._generations[event.unit] = event.generation
                self._bases[event.unit] = self._attempts[event.unit]
                self._begun[event.unit] = None
                if event.unit in self._stale():
                    self._changes["stale"] = {n: why for n, why in self._stale().items() if n != event.unit}
            case _:
                self._apply_to_run(event)
        self._changes["updated_at"] = event.at
        if self._asked or self._waiting_since is not None:
            self._count_waiting(event.at)

    def _stale(self) -> Mapping[int, str]:
        stale: Mapping[int, str] = self._changes.get("stale", self._view.stale)
        return stale

    def _learn_peak(self, event: UnitFinished) -> None:
        unit, peaks = self._plan.table[event.unit], self._changes.get("peaks", self._view.peaks)
        peak = learned_peak(unit, peaks, event.peak_memory)
        if peak is not None:
            self._changes["peaks"] = {**peaks, unit.name: peak}

    def _learn_duration(self, event: UnitFinished) -> None:
        unit = self._plan.table[event.unit]
        if wants_durations(unit):
            durations = self._changes.get("durations", self._view.durations)
            self._changes["durations"] = with_duration(durations, unit, event.duration)

    def _thaw(self) -> None:
        """Have a plan of our own that can be changed; one for all events of a batch."""
        if self._plan is self._view.plan:
            self._plan = self._plan.thawed()

    def _grow(self, event: UnitsAdded) -> None:
        self._thaw()
        before = len(self._plan)
        grow(self._plan, event.unit, event.units, event.begun)
        new = len(self._plan) - before
        self._states.extend([UnitState.PENDING] * new)
        self._counts[UnitState.PENDING] += new
        for column, value in (
            (self._attempts, 0),
            (self._bases, 0),
            (self._generations, 1),
            (self._begun, None),
            (self._last, None),
            (self._progress, None),
        ):
            column.extend([value] * new)

    def _count_waiting(self, at: float) -> None:
        """Keep the account of the time in which the run only waits for answers."""
        active = self._counts[UnitState.RUNNING] + self._counts[UnitState.CANCELING] + self._submitted
        waiting = self._running and self._asked > 0 and not active
        if waiting and self._waiting_since is None:
            self._waiting_since = at
        elif not waiting and self._waiting_since is not None:
            self._waited += at - self._waiting_since
            self._waiting_since = None

    def _apply_to_run(
        self,
        event: RunStarted
        | RunPaused
        | RunUnpaused
        | RunReopened
        | RunResumed
        | JournalChanged
        | RunStopping
        | BrakeChanged
        | WorkersChanged
        | GovernorChanged
        | Warned
        | RunFinished,
    ) -> None:
        change = self._changes
        match event:
            case RunStarted():
                self._running = True
                change.update(name=event.name, state=RunState.RUNNING, workers=event.workers)
                change.update(governed=event.governed, lane_workers=event.lane_workers)
                change.update(started_at=event.at, opened_at=event.at)
            case RunPaused():
                change["paused"] = True
            case RunUnpaused():
                change["paused"] = False
            case RunReopened():
                self._reopen(event)
            case RunResumed():
                self._resume(event)
            case JournalChanged():
                change["unsaved"] = event.cause
            case RunStopping():
                change["stopping"] = event
            case BrakeChanged():
                change["brakes"] = {**change.get("brakes", self._view.brakes), event.scope: event}
            case WorkersChanged():
                change["workers"] = event.workers
                if event.lane:
                    targets = change.get("lane_workers", self._view.lane_workers)
                    change["lane_workers"] = {**targets, event.lane: event.target}
            case GovernorChanged():
                change.update(governed=event.on, lane_workers={})
            case RunFinished():
                self._running = False
                change.update(state=event.state, finished=event)
            case Warned():
                pass
            case _:
                assert_never(event)

    def _reopen(self, event: RunReopened) -> None:
        """The run goes on; the time since it had finished does not count."""
        before = {**{name: getattr(self._view, name) for name in ("started_at", "finished")}, **self._changes}
        self._running = True
        self._waited = 0.0
        if before["started_at"] is not None and before["finished"] is not None:
            self._changes["started_at"] = before["started_at"] + (event.at - before["finished"].at)
        self._changes.update(state=RunState.RUNNING, finished=None, stopping=None, opened_at=event.at)

    def _resume(self, event: RunResumed) -> None:
        """The run goes on; the time in which nobody ran it does not count."""
        known = {**{name: getattr(self._view, name) for name in ("started_at", "updated_at")}, **self._changes}
        ran = known["updated_at"] - known["started_at"] if known["started_at"] is not None else 0.0
        self._running, self._left_behind = True, {}
        self._waited, self._waiting_since = 0.0, None
        self._changes.update(state=RunState.RUNNING, finished=None, stopping=None, paused=False, unsaved="")
        self._changes.update(workers=event.workers, governed=event.governed, lane_workers=event.lane_workers)
        self._changes.update(started_at=event.at - ran, opened_at=event.at, brakes={}, stale={})

    def _begin(self, event: UnitSubmitted | UnitStarted, state: UnitState) -> None:
        number = event.unit
        self._step(number, state, event)
        self._attempts[number] = event.attempt
        self._begun[number] = event
        self._progress[number] = None
        if self._plan.items and (item := self._plan.item_of[number]) >= 0:
            self._open_items |= {item}

    def _step(self, number: int, state: UnitState, event: Event) -> None:
        counts = self._counts
        counts[self._states[number]] -= 1
        counts[state] += 1
        self._states[number] = state
        self._note_last(number, event)
        if state.ended and self._open_items:
            self._close_item(self._plan.item_of[number])

    def _close_item(self, item: int) -> None:
        if item in self._open_items and all(self._states[other].ended for other in self._plan.items[item]):
            self._open_items -= {item}

    def _note_last(self, number: int, event: Event) -> None:
        last = type(self._last[number])
        if last is UnitSubmitted:
            self._submitted -= 1
        elif last is ConfirmRequested:
            self._asked -= 1
        self._last[number] = event

    def result(self) -> RunView:
        return replace(
            self._view,
            plan=self._plan,
            seq=self._seq,
            states=self._states.persistent(),
            attempts=self._attempts.persistent(),
            bases=self._bases.persistent(),
            generations=self._generations.persistent(),
            begun=self._begun.persistent(),
            last=self._last.persistent(),
            progress=self._progress.persistent(),
            counts=self._counts,
            submitted=self._submitted,
            open_items=self._open_items,
            asked=self._asked,
            waited=self._waited,
            waiting_since=self._waiting_since,
            left_behind=self._left_behind,
            **self._changes,
        )


def _without(left: Mapping[tuple[int, int], UnitAbandoned], late: LateResult) -> dict[tuple[int, int], UnitAbandoned]:
    """What is left behind once `late` has ended; its own slot, or else the one it lets another give back, is free."""
    kept = {key: event for key, event in left.items() if key != (late.unit, late.attempt)}
    return {key: event._replace(worker=0) if event.worker == late.worker else event for key, event in kept.items()}


def stalled_by(stuck: int) -> str:
    """Why nothing starts, for people: `stuck` attempts keep every worker."""
    return (
        f"stalled by {stuck} abandoned attempt{'' if stuck == 1 else 's'}, which cannot be stopped and keep all workers"
    )


def check_steps(before: RunView, after: RunView) -> list[str]:
    """The illegal steps between two views one event apart; empty when all is well (for tests and `doctor`)."""
    return [
        f"{unit.id}: {old} -> {new}"
        for unit, old, new in zip(before.plan.table, before.states, after.states, strict=False)
        if old is not new and new not in STEPS[old]
    ]
