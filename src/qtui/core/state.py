"""What is known about a run: RunView, and UnitView, its lens on one unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pyrsistent import PVector, pvector

from qtui.core.batching import Durations
from qtui.core.events import (
    BrakeChanged,
    RunFinished,
    RunStopping,
    UnitAbandoned,
    UnitCanceling,
    UnitFinished,
    UnitProgress,
    UnitReset,
    UnitRetrying,
    UnitStarted,
    UnitSubmitted,
)
from qtui.core.model import FAILURES, ExecutionMode, QuantumUnit, RunState, UnitError, UnitState
from qtui.core.plan import ExecutionPlan
from qtui.core.standing import BECAUSE, lets_run

# The columns are indexed by unit number; a PVector's C evolver sets an item in about 0.03 µs.
Column = PVector[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """All that is known about a run after `seq` events; immutable, so any thread may hold one.

    Columns by unit number: `states`; `attempts` made; `bases`, the attempts made before this generation;
    `generations`; `begun`, the UnitSubmitted or UnitStarted of this generation's latest attempt; `last`, the latest
    event of the unit but for progress and what concerns abandoned attempts; `progress`, the latest UnitProgress of the
    latest attempt. `submitted` units were handed to a lane that has not begun them, `asked` ones wait for an answer.
    `left_behind` has the abandoned attempts that still go on, by unit and attempt. `open_items` are the items of groups
    (see `ExecutionPlan.items`) that have begun and not ended. `stale` has the completed units whose results could be
    others now, and why. `missed` has the units that could not use an earlier result although nothing is known to have
    changed, and why. `losses` says of units how often they were run again for free because something was lost (see
    `qtui.core.innocence`), since a person had them run or their needs did. `silent` has the running units that are
    silent and idle for longer than their `stall`, and since when.

    Times are Unix seconds. `started_at` is later than the run's beginning by the time in which the run did not go on;
    `opened_at` is when it began, or was reopened or resumed last. `waited` is how many seconds since then it did
    nothing but wait for answers of people, up to `waiting_since`, when such a wait began that still goes on.

    `workers` is how many units may run together. While the run is `governed`, `lane_workers` has the targets of lanes;
    before it begins nobody has said whether it is. `brakes` has the latest change of each brake by its scope. `peaks`
    are the bytes of memory that are expected of units by family, where the workflow does not say, and `durations` tell
    how long units took whose batches depend on that. `former` has the attempts and the generation of units that have
    begun and are not in the plan any more, by id: should they come back, they count on. `unsaved` says why the record
    cannot be written, and is empty while it can. `unmanned_at` is since when the run's cluster has no workers; None
    while it has some, or nobody knows.
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
    missed: Mapping[int, str] = field(default_factory=dict)
    unsaved: str = ""
    unmanned_at: float | None = None
    former: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    losses: Mapping[int, int] = field(default_factory=dict)
    silent: Mapping[int, float] = field(default_factory=dict)
    _blamed: dict[int, int] = field(default_factory=dict, init=False, repr=False, compare=False)
    """What `UnitView` has found out of this view about what skipped units were skipped for."""

    @classmethod
    def initial(cls, plan: ExecutionPlan, name: str = "") -> RunView:
        """The view before the first event: every unit pending. `name` is that of the run, where it is known already."""
        n = len(plan)
        zeros, nones = pvector([0] * n), pvector([None] * n)
        counts = dict.fromkeys(UnitState, 0)
        counts[UnitState.PENDING] = n
        return cls(
            plan=plan,
            name=name,
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
    def awaits_cluster(self) -> bool:
        """Whether the run's cluster has no workers, and a unit that has not ended is to run there. O(units)."""
        if self.unmanned_at is None or self.state is not RunState.RUNNING:
            return False
        lanes = zip(self.plan.lanes, self.states, strict=True)
        return any(lane is ExecutionMode.CUSTOM and not state.ended for lane, state in lanes)

    @property
    def abandoned(self) -> int:
        """How many abandoned attempts still go on."""
        return len(self.left_behind)

    @property
    def stuck(self) -> int:
        """How many of them keep a worker."""
        return sum(left.worker > 0 for left in self.left_behind.values())

    @property
    def ended_by(self) -> str:
        """Why a run ends that neither its units nor a person have ended: it took longer than it may, or cannot go on;
        empty for any other."""
        stopping = self.stopping
        if stopping is None or stopping.how not in ("timeout", "interrupt") or stopping.signal:
            return ""
        return stopping.cause

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

    def moment(self, now: float) -> float:
        """`now` for the run, whose clock never goes back: not before its last event, whatever time it is where somebody
        looks at it."""
        return max(now, self.updated_at)

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
    def place(self) -> str:
        """The worker of a cluster that the latest attempt ran on; empty if that was this machine, or is not known."""
        begun = self.view.begun[self.number]
        return begun.place if isinstance(begun, UnitStarted) else ""

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
    def because(self) -> int:
        """The unit whose failure made this one end without a run; -1 without one. Of one that was skipped for a need
        it is a failure that is still in its way, if there is one: what its end names may have been run again since."""
        last = self.view.last[self.number]
        if not isinstance(last, UnitFinished):
            return -1
        blamed = self._blamed(last)
        if blamed < 0:
            return last.because
        return blamed if self.view.states[blamed] in FAILURES else UnitView(self.view, blamed).because

    def _blamed(self, end: UnitFinished) -> int:
        """What keeps a unit that was skipped for a need from running, the first of a chain: what its end names, unless
        that would let it run by now. -1 for any other unit, and if nothing is in its way any more."""
        view, plan, last, found = self.view, self.view.plan, end, -1
        path: list[int] = []
        while last.state is UnitState.SKIPPED and last.cause.startswith(BECAUSE):
            if last.unit in view._blamed:
                found = view._blamed[last.unit]
                break
            path.append(last.unit)
            named = plan.numbers.get(last.cause.removeprefix(BECAUSE), -1)
            found = named if named >= 0 and self._is_bad(named) else self._bad_need(last.unit)
            if found < 0 or not isinstance(view.last[found], UnitFinished):
                break
            last = view.last[found]
        view._blamed.update(dict.fromkeys(path, found))  # chains may be 10,000 units long, and each be asked for
        return found

    def _is_bad(self, need: int) -> bool:
        state: UnitState = self.view.states[need]
        return state.ended and not lets_run(self.view.plan.table[need], state)

    def _bad_need(self, number: int) -> int:
        return next((need for need in self.view.plan.needs[number] if self._is_bad(need)), -1)

    @property
    def cause(self) -> str:
        """Why it is in this state, in a few words; empty when the state says all. One that was skipped for a need names
        what is still in its way, as `because` does."""
        last = self.view.last[self.number]
        match last:
            case UnitFinished(state=UnitState.SKIPPED) if (blamed := self._blamed(last)) >= 0:
                return f"{BECAUSE}{self.view.plan.table[blamed].id}"
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

    def silent_for(self, now: float) -> float | None:
        """For how many seconds the unit is silent and idle, if that is longer than its `stall`; else None."""
        since = self.view.silent.get(self.number)
        return None if since is None else max(0.0, now - since)

    def retry_in(self, now: float) -> float | None:
        """Seconds until the next attempt becomes ready, or None when it is not retrying."""
        last = self.view.last[self.number]
        return max(0.0, last.at + last.delay - now) if isinstance(last, UnitRetrying) else None


def stalled_by(stuck: int) -> str:
    """Why nothing starts, for people: `stuck` attempts keep every worker."""
    return (
        f"stalled by {stuck} abandoned attempt{'' if stuck == 1 else 's'}, which cannot be stopped and keep all workers"
    )
