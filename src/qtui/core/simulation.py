"""A run in virtual time: the scheduler itself, told that each attempt takes as long as was said beforehand. Pure."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from math import inf
from typing import Final

from qtui.core.batching import batch_size, wants_durations
from qtui.core.brakes import HELD
from qtui.core.events import (
    BrakeChanged,
    ConfirmRequested,
    RunStopping,
    UnitFinished,
    UnitReady,
    UnitStarted,
    UnitSubmitted,
)
from qtui.core.machine import QUEUEING_LANES, new
from qtui.core.model import ExecutionMode, Outcome, UnitState
from qtui.core.options import RunOptions
from qtui.core.queues import Attempt, Queues
from qtui.core.scheduler import Scheduler
from qtui.core.state import RunView
from qtui.core.stimuli import (
    ApproveRequested,
    CacheChecked,
    CheckCache,
    Decision,
    InterruptUnit,
    JournalReported,
    ReleaseRequested,
    RunRequested,
    StartUnit,
    Stimulus,
    TimerFired,
    UnitBegan,
    UnitReturned,
    UnpauseRequested,
    WakeAt,
    WorkersRequested,
)

STEPS_AT_ONCE: Final = 100
"""Ends of attempts between two pauses of `Simulation.steps`: about one millisecond."""

_DONE: Final = Outcome()
_STOPPED: Final = Outcome(canceled=True)
_PROCESS: Final = ExecutionMode.PROCESS
_COMPLETED: Final = UnitState.COMPLETED
_HELD: Final = frozenset({UnitState.RUNNING, UnitState.CANCELING})
_UNHEARD: Final = frozenset({UnitReady, UnitSubmitted, UnitStarted})
"""Most events, of which nothing follows here."""
_NOTHING: Final[Mapping[tuple[int, int], tuple[float, Outcome]]] = {}


@dataclass(frozen=True, slots=True)
class Simulated:
    """How a run goes. Times are seconds after the moment it was simulated from; those of the past are below 0.

    `starts` has when each unit's latest attempt begins, by number, infinity where none does; `ends` when the unit ends,
    infinity where it does not. `order` are the units in the order of the starts to come, `triggers` those whose ends
    let each unit start or end, -1 where time or nothing did, and `before` those that had its worker before it, -1 where
    nobody had. `otherwise` has the ends to come of units that do not complete, by number; `late` are those of them for
    which time runs out, or for one that they need, and `timed_out` says whether the run's own timeout does that to any.
    `asked` questions come up, of units and of brakes, each answered at once. `seconds` is when the last unit ends,
    `last` that unit, or -1 if nothing was left to do.
    """

    starts: Sequence[float]
    ends: Sequence[float]
    order: Sequence[int]
    triggers: Sequence[int]
    before: Sequence[int]
    otherwise: Mapping[int, UnitFinished]
    late: frozenset[int]
    timed_out: bool
    asked: int
    seconds: float
    last: int

    @property
    def unfinished(self) -> int:
        """How many units never end, because what they wait for never comes."""
        return sum(end == inf for end in self.ends)

    @property
    def incomplete(self) -> int:
        """How many units do not complete although nothing fails: they are late, or never end."""
        return len(self.late) + self.unfinished


class Simulation:
    """A run as it stands at `now` (Unix seconds), to be gone through as often as somebody wishes.

    What waits for a person does not wait here: see `assumed`. Every attempt succeeds, unless it takes longer than its
    timeout, and adds the units again that it has added last. For the units in `hits` an earlier result will do.
    """

    def __init__(self, view: RunView, options: RunOptions, now: float, hits: Collection[int] = ()) -> None:
        self._view, self._options, self._now, self._hits = view, options, now, frozenset(hits)
        # most lanes that queue need not say that an attempt has begun: it is known when it returns
        self._timed = {
            number
            for number, (unit, lane) in enumerate(zip(view.plan.table, view.plan.lanes, strict=True))
            if lane in QUEUEING_LANES and (unit.timeout is not None or options.brakes)
        }

    @property
    def assumed(self) -> list[str]:
        """What people would have to do at once for the run to go like that, in words."""
        view = self._view
        held = sum(brake.state == HELD for brake in view.brakes.values())
        said = [
            f"{view.asked} question{'' if view.asked == 1 else 's'} answered with yes" if view.asked else "",
            "the pause ended" if view.paused else "",
            f"{held} brake{'' if held == 1 else 's'} let go of" if held else "",
            "the record saved again" if view.unsaved else "",
            "a worker of the cluster there" if view.awaits_cluster else "",
        ]
        return [each for each in said if each]

    def run(
        self,
        seconds: Sequence[float],
        *,
        workers: int | None = None,
        returns: Mapping[tuple[int, int], tuple[float, Outcome]] = _NOTHING,
    ) -> Simulated:
        """How it goes if attempts take these `seconds`, by unit, and with other `workers` from now on.

        `returns` has what attempts come to of which more is known, by unit and number: after how long, and how.
        """
        steps = self.steps(seconds, workers=workers, returns=returns)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                simulated: Simulated = end.value
                return simulated

    def steps(
        self,
        seconds: Sequence[float],
        *,
        workers: int | None = None,
        returns: Mapping[tuple[int, int], tuple[float, Outcome]] = _NOTHING,
    ) -> Generator[None, None, Simulated]:
        """The same in small steps, for who must not keep others waiting; the generator returns what came out."""
        view = self._view
        begun = view.started_at is not None
        if begun:
            scheduler = yield from Scheduler.restoring(self._options, view)
        else:
            scheduler = Scheduler(view.plan, self._options)
        yield
        going = _Going(scheduler, view, self._now, seconds, returns, self._hits, self._timed)
        opening = [
            *(_opening(view) if begun else [RunRequested()]),
            *([WorkersRequested(workers)] if workers is not None else []),
        ]
        yield
        return (yield from going.steps(opening))


def _opening(view: RunView) -> Iterator[Stimulus]:
    """What people and others have to say before all goes on."""
    yield TimerFired()  # changes nothing, but a restored scheduler says with it when it wants to be woken
    if view.unsaved:
        yield JournalReported("")
    if view.paused:
        yield UnpauseRequested()
    if view.asked:
        yield ApproveRequested(tuple(n for n, last in enumerate(view.last) if isinstance(last, ConfirmRequested)))
    if any(brake.state == HELD for brake in view.brakes.values()):
        yield ReleaseRequested()
    for number, last in enumerate(view.last):
        if isinstance(last, UnitReady) and view.plan.table[number].cache is not None and view.begun[number] is None:
            yield CacheChecked(number, view.generations[number], hit=False, reason="")


class _Going:
    """One way through."""

    def __init__(
        self,
        scheduler: Scheduler,
        view: RunView,
        now: float,
        seconds: Sequence[float],
        returns: Mapping[tuple[int, int], tuple[float, Outcome]],
        hits: Collection[int],
        timed: Collection[int],
    ) -> None:
        self._handle, self._zero = scheduler.handle, now
        self._seconds, self._returns, self._hits = seconds, returns, hits
        self._timed = timed
        self._plan, n = view.plan, len(view.plan)
        self._starts, self._ends, self._triggers = [inf] * n, [inf] * n, [-1] * n
        self._order: list[int] = []
        self._otherwise: dict[int, UnitFinished] = {}
        self._late: set[int] = set()
        self._out_of_time = self._timed_out = False
        self._asked = 0
        self._before, self._had = [-1] * n, dict[int, int]()
        self._wake: float | None = None
        self._last, self._ended_at = -1, now
        self._attempts: list[tuple[float, int, int, Outcome]] = []
        """Those that go on: when each returns, of which unit, its number, and how."""
        shares = any(unit.batch is not None for unit in self._plan.table)
        self._queues = Queues() if shares else None
        self._outcomes = dict(self._more_than_done())
        self._begin_now: list[Attempt] = []
        """Those that lanes have and have not begun, as far as is known."""
        if view.started_at is not None:
            self._remember(view)

    def _remember(self, view: RunView) -> None:
        handed: list[UnitSubmitted] = []
        for number, last in enumerate(view.last):
            begun = view.begun[number]
            if begun is None or begun.attempt != view.attempts[number]:
                continue
            self._starts[number] = begun.at
            self._had[begun.worker] = number
            if isinstance(last, UnitFinished):
                continue
            state, attempt = view.states[number], int(view.attempts[number])
            told = self._returns.get((number, attempt))
            if not told and last is begun and isinstance(begun, UnitSubmitted):
                self._starts[number] = inf
                handed.append(begun)
                continue
            if state is UnitState.CANCELING and not told:
                self._attempts.append((self._zero, number, attempt, _STOPPED))
            elif state in _HELD or last is begun:
                after, outcome = told or (self._seconds[number], self._outcomes.get(number, _DONE))
                self._attempts.append((max(self._zero, begun.at + after), number, attempt, outcome))
            else:
                continue
            if self._queues is not None and begun.lane is _PROCESS and isinstance(begun, UnitStarted):
                self._queues.join((number, attempt), self._batch(view, number), runs=True)
        for number, last in enumerate(view.last):
            if isinstance(last, UnitFinished):
                self._ends[number] = last.at
        heapify(self._attempts)
        for begun in sorted(handed, key=lambda each: (each.at, each.worker)):  # as they were handed over
            attempt_of = begun.unit, begun.attempt
            batch = self._batch(view, begun.unit)
            if self._queues is None or begun.lane is not _PROCESS or self._queues.join(attempt_of, batch):
                self._begin_now.append(attempt_of)

    def _batch(self, view: RunView, number: int) -> int:
        return batch_size(self._plan.table[number], self._plan.lanes[number], view.durations)

    def _more_than_done(self) -> Iterator[tuple[int, Outcome]]:
        """What is said of units of which matters more than that they succeed: their time, or that they add again what
        they have added last."""
        table, added = self._plan.table, self._plan.added
        timed = [n for n, unit in enumerate(table) if wants_durations(unit)] if self._queues is not None else []
        for number in {*timed, *added}:
            again = tuple(table[each] for each in added.get(number, ()) if each not in self._plan.dropped)
            yield number, Outcome(seconds=self._seconds[number] if wants_durations(table[number]) else 0.0, added=again)

    def steps(self, opening: Sequence[Stimulus]) -> Generator[None, None, Simulated]:
        attempts, handle, follow, queues = self._attempts, self._handle, self._follow, self._queues
        now = self._zero
        for stimulus in opening:
            follow(handle(stimulus, now), now, -1)
        for begins in self._begin_now:
            for stimulus in self._begin(begins, now):
                follow(handle(stimulus, now), now, -1)
        count = 0
        while attempts or self._wake is not None:
            if self._wake is not None and not (attempts and attempts[0][0] < self._wake):
                now, self._wake = max(now, self._wake), None
                follow(handle(TimerFired(), now), now, -1)
                continue
            now, number, attempt, outcome = heappop(attempts)
            behind = queues.leave((number, attempt)) if queues is not None else None
            follow(handle(new(UnitReturned, (number, attempt, outcome)), now), now, number)
            if behind is not None:
                self._triggers[behind[0]] = self._before[behind[0]] = number
                for stimulus in self._begin(behind, now):
                    follow(handle(stimulus, now), now, number)
            count += 1
            if not count % STEPS_AT_ONCE:
                yield
        zero = self._zero
        return Simulated(
            starts=[at - zero for at in self._starts],
            ends=[at - zero for at in self._ends],
            order=self._order,
            triggers=self._triggers,
            before=self._before,
            otherwise=self._otherwise,
            late=frozenset(self._late),
            timed_out=self._timed_out,
            asked=self._asked,
            seconds=self._ended_at - zero,
            last=self._last,
        )

    def _follow(self, decision: Decision, now: float, trigger: int) -> None:
        """Carry out what was decided when `trigger` ended; what somebody would have to answer is answered."""
        answers: list[Stimulus] = []
        events, effects = decision
        for event in events:
            if type(event) in _UNHEARD:
                continue
            if isinstance(event, UnitFinished):
                number = self._last = event.unit
                self._ends[number] = self._ended_at = now
                if event.state is not _COMPLETED:
                    self._otherwise[number] = event
                    self._look_why(event)
                if number != trigger:
                    self._triggers[number] = trigger
            elif isinstance(event, RunStopping):
                self._out_of_time = event.how == "timeout"
            elif isinstance(event, ConfirmRequested):
                self._asked += 1
                answers.append(ApproveRequested((event.unit,)))
            elif isinstance(event, BrakeChanged) and event.state == HELD:
                self._asked += 1
                answers.append(ReleaseRequested())
        for effect in effects:
            if isinstance(effect, StartUnit):
                number, attempt, lane, worker, batch = effect
                self._triggers[number] = trigger
                self._before[number] = self._had.get(worker, -1)
                self._had[worker] = number
                begins = number, attempt
                if self._queues is not None and self._waits_behind_others(begins, lane, batch):
                    self._starts[number] = inf
                else:
                    answers += self._begin(begins, now)
            elif isinstance(effect, WakeAt):
                self._wake = effect.at
            elif isinstance(effect, InterruptUnit):
                if self._queues is not None:
                    self._queues.revoke((effect.unit, effect.attempt))
                if (effect.unit, effect.attempt) not in self._returns:
                    heappush(self._attempts, (now, effect.unit, effect.attempt, _STOPPED))
            elif isinstance(effect, CheckCache):
                hit = effect.unit in self._hits and not effect.forced
                answers.append(CacheChecked(effect.unit, effect.generation, hit, ""))
        for answer in answers:
            self._follow(self._handle(answer, now), now, trigger)

    def _waits_behind_others(self, attempt: Attempt, lane: ExecutionMode, batch: int) -> bool:
        """Whether it begins later, as others that share a worker with it are there before it."""
        if lane is not _PROCESS or attempt in self._returns or self._queues is None:
            return False
        return not self._queues.join(attempt, batch)

    def _begin(self, begins: Attempt, now: float) -> tuple[Stimulus, ...]:
        """An attempt begins; returns what the lane has to say of that."""
        number, attempt = begins
        if self._returns and begins in self._returns:
            after, outcome = self._returns[begins]
        else:
            after, outcome = self._seconds[number], self._outcomes.get(number, _DONE)
        heappush(self._attempts, (now + after, number, attempt, outcome))
        self._starts[number] = now
        self._order.append(number)
        return (UnitBegan(number, attempt),) if number in self._timed else ()

    def _look_why(self, end: UnitFinished) -> None:
        """Whether it is for want of time that a unit does not complete."""
        cut = self._out_of_time and end.state is UnitState.CANCELED
        if cut or end.state is UnitState.TIMEOUT or end.because in self._late:
            self._late.add(end.unit)
            self._timed_out |= cut
