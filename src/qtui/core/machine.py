"""The steps of units, over flat arrays indexed by unit number. Pure; what follows from ends is in `settling`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from heapq import heapify, heappop, heappush
from typing import Final

from qtui.core.batching import Durations
from qtui.core.brakes import PROBING, Brakes
from qtui.core.errors import IllegalStep
from qtui.core.events import (
    Event,
    LateResult,
    RunStopping,
    UnitAbandoned,
    UnitCanceling,
    UnitStarted,
    UnitSubmitted,
    WorkersChanged,
)
from qtui.core.limits import WORKER, Limits, capacities, lane_limit
from qtui.core.model import FAILURES, STEPS, ExecutionMode, QuantumUnit, RunState, UnitState
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan
from qtui.core.ready import FREE, ReadyQueue, Terms
from qtui.core.standing import Standing
from qtui.core.stimuli import Effect, InterruptUnit, KillUnit, StartUnit
from qtui.core.targets import WorkerTargets

PENDING, READY, RUNNING = UnitState.PENDING, UnitState.READY, UnitState.RUNNING
RETRYING, CANCELING = UnitState.RETRYING, UnitState.CANCELING
COMPLETED, FAILED, TIMEOUT = UnitState.COMPLETED, UnitState.FAILED, UnitState.TIMEOUT
SKIPPED, CANCELED = UnitState.SKIPPED, UnitState.CANCELED

new: Final = tuple.__new__
"""Makes what is made for each unit, of all of its fields: a NamedTuple's own constructor is a function in Python, and
takes 0.4 to 0.9 µs where this takes 0.2 to 0.4."""

QUEUEING_LANES = frozenset({ExecutionMode.COMMAND, ExecutionMode.PROCESS, ExecutionMode.CUSTOM})
"""Lanes that say themselves, with `UnitBegan`, when a unit really begins."""

# Timers: (due, kind, number, attempt). A timer that no longer fits its unit is ignored when it fires; those of a brake
# have its place among the brakes for a number, those of the run -1.
RETRY_TIMER, TIMEOUT_TIMER, KILL_TIMER, RUN_TIMER, PROBE_TIMER, HANDLER_TIMER = range(6)


def goes_straight(unit: QuantumUnit) -> bool:
    """True if the unit neither asks nor decides anything on its way from pending to the queue, as most do."""
    asks = unit.condition is not None or unit.cache is not None or unit.confirm or unit.group
    return unit.action is not None and not asks and unit.when == "success"


class RunMachine(Standing):
    """The state of a run and its units, and the steps of attempts; each step notes its events and effects.

    `_step` is the one place where a unit's state is written.
    """

    # of an object with more than 30 attributes and no slots, Python 3.11 looks each method up anew: 5 % of a simulation
    # fmt: off
    __slots__ = (
        "_active", "_adder", "_adder_reset", "_adding", "_asked", "_attempt", "_base", "_batched", "_because",
        "_begun_at", "_brakes", "_cached", "_cause", "_checking", "_durations", "_effects", "_ended", "_events",
        "_feeds", "_fell_back", "_finished_at", "_forced", "_former", "_free_slots", "_generation", "_handler",
        "_held_back", "_killing", "_lanes", "_left", "_left_behind", "_limits", "_load", "_losses", "_milestones",
        "_most_abandoned", "_needs", "_open", "_open_handlers", "_open_items", "_opened_at", "_options", "_paused",
        "_peaks", "_plain_ended_at", "_plan", "_ready", "_reason", "_redefined", "_refused", "_run", "_shares",
        "_slot", "_slots_made", "_started_at", "_state", "_stopping", "_straight", "_targets", "_terms", "_timers",
        "_unbegun", "_undecided", "_unmanned", "_unsaved", "_waited", "_waiting_since",
    )
    # fmt: on

    def __init__(self, plan: ExecutionPlan, options: RunOptions) -> None:
        n = len(plan)
        self._plan = plan = plan.thawed()  # it may grow
        self._options = options
        self._needs, self._feeds, self._lanes = plan.needs, plan.feeds, plan.lanes
        self._handler: list[bool] = [unit.is_handler for unit in plan.table]
        self._state: list[UnitState] = [PENDING] * n
        self._attempt = [0] * n
        self._base = [0] * n
        self._generation = [1] * n
        self._left = [len(needs) for needs in plan.needs]  # needs that have not ended as the unit wants it
        self._begun_at = [0.0] * n
        self._slot = [0] * n  # the worker slot held, 0 for none
        self._unbegun: set[int] = set()  # a lane has them, and has not said that they begin
        self._terms: dict[int, Terms] = {}  # what units that hold a slot hold besides
        self._reason = [""] * n  # why a canceling unit is being stopped: cancel, timeout or interrupt
        self._cause: list[str] = [""] * n  # and by what; later, why it ended
        self._because: list[int] = [-1] * n  # the unit whose failure made this one end without a run
        self._killing = [False] * n
        self._fell_back: set[int] = set()
        self._cached: set[int] = set()
        self._forced: set[int] = set()  # pending, and to be run whatever the cache holds
        self._checking: set[int] = set()  # ready, while the cache is asked
        self._asked: set[int] = set()  # ready, while a person is asked
        self._former: Mapping[str, tuple[int, int]] = {}  # attempts and generation of units that have left the plan
        self._losses: dict[int, int] = {}  # how often workers were lost with attempts of these generations
        self._peaks: dict[str, int] = {}  # bytes to expect of units, by family
        self._targets = WorkerTargets(plan.lanes, options)
        self._limits = Limits(plan, options, self._targets.of_lane)
        self._straight = [goes_straight(unit) for unit in plan.table]
        self._ready = ReadyQueue(n, capacities(options, self._targets.of_lane))
        self._open_items: set[int] = set()
        self._brakes = Brakes(options.brakes, {})
        self._free_slots: list[int] = []
        self._slots_made = 0
        self._active = 0
        self._shares: dict[int, int] = {}  # of active units that share a worker, what they take of it
        self._load = 0  # what all active units take of workers
        self._batched = any(unit.batch is not None for unit in plan.table)
        self._durations: Durations = {}
        self._left_behind: dict[tuple[int, int], int] = {}  # abandoned attempts that go on, and the slot they keep
        self._most_abandoned = options.max_abandoned if options.max_abandoned is not None else self._targets.first
        self._open = n
        self._open_handlers = sum(self._handler)
        self._plain_ended_at = 0.0  # when the last unit ended that is no handler
        self._run = RunState.PENDING
        self._started_at = self._finished_at = 0.0
        self._opened_at = 0.0
        self._waited = 0.0
        self._waiting_since: float | None = None
        self._paused = False
        self._unsaved = ""  # why the record cannot be written
        self._unmanned = False  # the cluster has no workers
        self._stopping: RunStopping | None = None
        self._timers: list[tuple[float, int, int, int]] = []
        self._milestones: list[int] = []
        self._ended: dict[int, None] = {}  # units whose end the others have not been told of, in order
        self._undecided: set[int] = set()
        self._adder: dict[int, int] = {number: adder for adder, added in plan.added.items() for number in added}
        self._adding: set[int] = set()  # units that have added others and run again: those are held back
        self._adder_reset = False
        self._held_back: set[int] = set()  # pending, and all their needs are met
        self._redefined: dict[int, QuantumUnit] = {}  # during a retry: what units are from now on
        self._refused: dict[int, str] = {}  # and why others cannot be what they are to be
        self._events: list[Event] = []
        self._effects: list[Effect] = []

    # -- what is known -----------------------------------------------------------------------------------

    def _starts_more(self, number: int) -> bool:
        """False for a unit that is not tried again, because the run or a brake's scope is coming to an end."""
        stopping = self._stopping
        if self._handler[number]:
            return stopping is None or stopping.how != "interrupt"
        if stopping is not None or self._brakes.stopped(self._limits.scopes[number]):
            return False
        return self._options.keep_going or self._first_failure() is None

    def _first_failure(self) -> int | None:
        """A unit whose failure is not allowed, if there is one."""
        if FAILURES.isdisjoint(self._state):
            return None
        return next((n for n, state in enumerate(self._state) if state in FAILURES and not self._good(n)), None)

    def _grace(self, number: int) -> float:
        grace = self._plan.table[number].grace
        return self._options.grace if grace is None else grace

    def _holding(self) -> list[int]:
        return [number for number, slot in enumerate(self._slot) if slot]

    # -- steps -------------------------------------------------------------------------------------------

    def _step(self, number: int, to: UnitState) -> None:
        """The one place where a unit's state is written."""
        states = self._state
        if to not in STEPS[states[number]]:
            unit = self._plan.table[number]
            raise IllegalStep(
                f"{unit.id}: {states[number]} -> {to} is not a step "
                f"(attempt {self._attempt[number]}, generation {self._generation[number]})"
            )
        states[number] = to

    def _fill(self, now: float) -> None:
        """Start the best ready units while there are workers. Once the run is ending, only handlers are ready."""
        stopping = self._stopping
        if self._unsaved or (stopping.how == "interrupt" if stopping is not None else self._paused):
            return
        most = (self._targets.together - (self._stuck if self._left_behind else 0)) * WORKER
        fits = (lambda number: self._load + WORKER // self._limits.batch(number) <= most) if self._batched else None
        while self._load < most and (taken := self._ready.pop(fits)) is not None:
            number, terms = taken
            if terms is not FREE or not self._straight[number]:
                terms = self._begin_item(number, terms)
                if terms.holds:
                    self._terms[number] = terms
            self._active += 1
            batch = self._take_worker(number) if self._batched else 1
            self._load += WORKER // batch
            attempt = self._attempt[number] = self._attempt[number] + 1
            if self._free_slots:
                slot = heappop(self._free_slots)
            else:
                slot = self._slots_made = self._slots_made + 1
            self._slot[number] = slot
            lane = self._lanes[number]
            if lane in QUEUEING_LANES:
                self._begun_at[number] = now
                self._unbegun.add(number)
                self._events.append(new(UnitSubmitted, (number, attempt, lane, slot, now)))
            else:
                self._start(number, 0, now)
            self._effects.append(new(StartUnit, (number, attempt, lane, slot, batch)))

    def _take_worker(self, number: int) -> int:
        """Note what a unit takes of a worker; returns how many like it share one."""
        batch = self._limits.batch(number)
        if batch > 1:
            self._shares[number] = WORKER // batch
        return batch

    def _begin_item(self, number: int, taken: Terms) -> Terms:
        """Note the first start of an item of a group; returns what the unit itself holds."""
        item = self._plan.item_of[number]
        if item < 0:
            return taken
        if item not in self._open_items:
            self._open_items.add(item)
            for other in self._plan.items[item]:
                if other in self._ready:
                    self._ready.push(other, *self._limits.of(other, item_begun=True))
        return self._limits.own(number)

    def _start(self, number: int, pid: int, now: float, place: str = "") -> None:
        self._step(number, RUNNING)
        self._unbegun.discard(number)
        attempt = self._attempt[number]
        self._begun_at[number] = now
        began = number, attempt, self._lanes[number], self._slot[number], pid, now, place
        self._events.append(new(UnitStarted, began))
        for scope in self._limits.scopes[number]:
            if self._brakes.state(scope) == PROBING:
                self._ready.limit_passes(scope, 0)  # one that was handed over earlier tries as well as any
        if self._plan.table[number].timeout is not None:
            self._add_timeout(number, now)

    def _let_go(self, number: int) -> int:
        """The attempt is over: give back what it held; returns its slot, which is not free yet."""
        slot, self._slot[number] = self._slot[number], 0
        self._active -= 1
        self._load -= self._shares.pop(number, WORKER) if self._shares else WORKER
        terms = self._terms.pop(number, None)
        if terms is not None:
            self._ready.give_back(terms)
        return slot

    def _stop(self, number: int, reason: str, cause: str, now: float) -> None:
        """Ask a unit that holds a worker to stop, and set the timer that ends its grace."""
        attempt = self._attempt[number]
        self._step(number, CANCELING)
        self._reason[number], self._cause[number] = reason, cause
        self._note_canceling(number, now)
        self._effects.append(InterruptUnit(number, attempt, self._lanes[number]))
        heappush(self._timers, (now + self._grace(number), KILL_TIMER, number, attempt))

    def _kill(self, number: int, now: float) -> None:
        if self._killing[number]:
            return
        self._killing[number] = True
        self._note_canceling(number, now)
        self._effects.append(KillUnit(number, self._attempt[number], self._lanes[number]))

    def _note_canceling(self, number: int, now: float) -> None:
        reason, cause = self._reason[number], self._cause[number]
        self._events.append(UnitCanceling(number, self._attempt[number], reason, cause, self._killing[number], now))

    # -- how many may run ----------------------------------------------------------------------------------

    def _resize_lanes(self) -> None:
        for lane, target in self._targets.of_lane.items():
            self._ready.resize(lane_limit(lane), target * WORKER)

    def _renew_limits(self) -> None:
        """What units hold, or how they are ordered, has changed."""
        self._limits = Limits(self._plan, self._options, self._targets.of_lane, self._peaks, self._durations)
        self._resize_lanes()
        self._count_anew(range(len(self._plan)))

    def _count_anew(self, numbers: Iterable[int]) -> None:
        """Count and queue units again, whose terms or keys have changed."""
        for number in numbers:
            if self._slot[number]:
                held, terms = self._terms.pop(number, FREE), self._limits.own(number)
                self._ready.give_back(held)
                self._ready.take(Terms(terms.holds))  # it has passed its gates
                if terms.holds:
                    self._terms[number] = terms
                if self._batched:
                    self._load -= self._shares.pop(number, WORKER)
                    self._load += WORKER // self._take_worker(number)
            elif number in self._ready:
                begun = self._plan.item_of[number] in self._open_items
                self._ready.push(number, *self._limits.of(number, item_begun=begun))

    def _note_workers(self, cause: str, now: float, lane: ExecutionMode | None = None) -> None:
        together = self._targets.together
        target = together if lane is None else self._targets.of_lane[lane]
        self._events.append(WorkersChanged(target, cause, now, "" if lane is None else str(lane), together))

    # -- attempts that cannot be stopped -----------------------------------------------------------------

    @property
    def _stuck(self) -> int:
        """How many slots are kept by attempts that cannot be stopped."""
        return sum(slot > 0 for slot in self._left_behind.values()) if self._left_behind else 0

    def _stalled(self) -> bool:
        """True if units could start, but every worker is kept by an attempt that cannot be stopped."""
        starts = self._run is RunState.RUNNING and not self._paused and self._stopping is None
        waits = self._state.count(READY) > len(self._asked) if self._left_behind else False
        return starts and not self._active and self._stuck > 0 and waits

    def _leave_behind(self, number: int, slot: int, now: float) -> None:
        """An attempt could not be stopped: its slot is free at once, unless too many have been left behind already."""
        attempt = self._attempt[number]
        kept = slot if len(self._left_behind) >= self._most_abandoned else 0
        self._left_behind[number, attempt] = kept
        self._events.append(UnitAbandoned(number, attempt, kept, now))
        if not kept:
            heappush(self._free_slots, slot)

    def _came_late(self, number: int, attempt: int, now: float) -> None:
        """An abandoned attempt has ended: the slot that is kept longest, its own first, is free again."""
        own = self._left_behind.pop((number, attempt))
        slot = own or next((slot for slot in self._left_behind.values() if slot), 0)
        for key, kept in self._left_behind.items():
            if slot and kept == slot:
                self._left_behind[key] = 0
                break
        if slot:
            heappush(self._free_slots, slot)
        self._events.append(LateResult(number, attempt, slot, now))

    # -- timers ------------------------------------------------------------------------------------------

    def _add_timeout(self, number: int, began: float) -> None:
        timeout = self._plan.table[number].timeout
        if timeout is not None:
            heappush(self._timers, (began + timeout, TIMEOUT_TIMER, number, self._attempt[number]))

    def _add_run_timer(self) -> None:
        """The run's own timeout; the time in which it only waits for people does not count."""
        if self._options.timeout is not None and self._waiting_since is None:
            heappush(self._timers, (self._opened_at + self._options.timeout + self._waited, RUN_TIMER, -1, 0))

    def _drop_timers(self, kind: int) -> None:
        self._timers = [timer for timer in self._timers if timer[1] != kind]
        heapify(self._timers)

    def _count_waiting(self, now: float) -> None:
        """Keep the account of the time in which the run only waits for answers."""
        waiting = self._run is RunState.RUNNING and bool(self._asked) and not self._active
        if waiting == (self._waiting_since is not None):
            return
        if waiting:
            self._waiting_since = now
        elif self._waiting_since is not None:
            self._waited += now - self._waiting_since
            self._waiting_since = None
        self._drop_timers(RUN_TIMER)
        self._add_run_timer()
