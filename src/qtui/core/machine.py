"""The steps that units and runs can take, over flat arrays indexed by unit number. Pure; the scheduler decides when."""

from __future__ import annotations

from heapq import heappop, heappush

from qtui.core.errors import EXIT_CANCELED, EXIT_FAILED, EXIT_OK, EXIT_RUN_TIMEOUT, IllegalStep
from qtui.core.events import (
    Event,
    LateResult,
    RunFinished,
    RunStopping,
    UnitAbandoned,
    UnitCanceling,
    UnitFinished,
    UnitReady,
    UnitReset,
    UnitRetrying,
    UnitStarted,
    UnitSubmitted,
)
from qtui.core.model import (
    FAILURES,
    LOST_LOOP,
    STEPS,
    ExecutionMode,
    Outcome,
    RunOptions,
    RunState,
    UnitError,
    UnitState,
)
from qtui.core.plan import ExecutionPlan
from qtui.core.ready import ReadyQueue
from qtui.core.stimuli import Effect, InterruptUnit, KillUnit, StartUnit

PENDING, READY, RUNNING = UnitState.PENDING, UnitState.READY, UnitState.RUNNING
RETRYING, CANCELING = UnitState.RETRYING, UnitState.CANCELING
COMPLETED, FAILED, TIMEOUT = UnitState.COMPLETED, UnitState.FAILED, UnitState.TIMEOUT
SKIPPED, CANCELED = UnitState.SKIPPED, UnitState.CANCELED

QUEUEING_LANES = frozenset({ExecutionMode.COMMAND, ExecutionMode.PROCESS, ExecutionMode.CUSTOM})
"""Lanes that say themselves, with `UnitBegan`, when a unit really begins."""

# Timers: (due, kind, unit, attempt). A timer that no longer fits its unit is ignored when it fires.
RETRY_TIMER, TIMEOUT_TIMER, KILL_TIMER, RUN_TIMER = 0, 1, 2, 3

_HARDER = ("drain", "timeout", "stop", "interrupt")
"""The ways to end a run: one that is ending can only be told to end harder."""


class RunMachine:
    """The state of a run and its units, and every step they can take; each step notes its events and effects.

    `_step` is the one place where a unit's state is written.
    """

    def __init__(self, plan: ExecutionPlan, options: RunOptions) -> None:
        n = len(plan)
        self._plan = plan
        self._options = options
        self._needs, self._feeds, self._lanes = plan.needs, plan.feeds, plan.lanes
        self._state: list[UnitState] = [PENDING] * n
        self._attempt = [0] * n
        self._base = [0] * n
        self._generation = [1] * n
        self._left = [len(needs) for needs in plan.needs]
        self._slot = [0] * n  # the worker slot held, 0 for none
        self._reason = [""] * n  # why a canceling unit is being stopped: cancel, timeout or interrupt
        self._cause = [""] * n
        self._killing = [False] * n
        limits = {"sequential": 1, "async": options.max_async}
        self._ready = ReadyQueue(
            [unit.priority for unit in plan.table],
            plan.ranks,
            [(str(lane),) if lane in limits else () for lane in plan.lanes],
            limits,
        )
        sequential = options.mode is ExecutionMode.SEQUENTIAL
        self._max_workers = 1 if sequential else options.max_workers
        self._target = max(1, min(options.workers, self._max_workers))
        self._free_slots: list[int] = []
        self._slots_made = 0
        self._active = 0
        self._left_behind: dict[tuple[int, int], int] = {}  # abandoned attempts that go on, and the slot they keep
        self._most_abandoned = options.max_abandoned if options.max_abandoned is not None else self._target
        self._open = n
        self._run = RunState.PENDING
        self._started_at = 0.0
        self._paused = False
        self._stopping: RunStopping | None = None
        self._timers: list[tuple[float, int, int, int]] = []
        self._milestones: list[int] = []
        self._events: list[Event] = []
        self._effects: list[Effect] = []

    # -- steps of units ----------------------------------------------------------------------------------

    def _step(self, number: int, to: UnitState) -> None:
        """The one place where a unit's state is written."""
        state = self._state[number]
        if to not in STEPS[state]:
            unit = self._plan.table[number]
            raise IllegalStep(
                f"{unit.id}: {state} -> {to} is not a step "
                f"(attempt {self._attempt[number]}, generation {self._generation[number]})"
            )
        self._state[number] = to

    def _make_ready(self, number: int, now: float) -> None:
        if self._haunted(number):
            return  # a second attempt beside one that cannot be stopped is not what the user wrote
        self._step(number, READY)
        self._events.append(UnitReady(number, now))
        if self._plan.table[number].action is None:
            self._milestones.append(number)  # not finished here: a long chain of them would recurse
        else:
            self._ready.push(number)

    def _fill(self, now: float) -> None:
        """Start the best ready units while there are workers."""
        if self._paused or self._stopping is not None:
            return
        while self._active + self._stuck < self._target:
            number = self._ready.pop()
            if number is None:
                return
            self._active += 1
            attempt = self._attempt[number] = self._attempt[number] + 1
            if self._free_slots:
                slot = heappop(self._free_slots)
            else:
                slot = self._slots_made = self._slots_made + 1
            self._slot[number] = slot
            lane = self._lanes[number]
            if lane in QUEUEING_LANES:
                self._events.append(UnitSubmitted(number, attempt, lane, slot, now))
            else:
                self._start(number, 0, now)
            self._effects.append(StartUnit(number, attempt, lane, slot))

    @property
    def _stuck(self) -> int:
        """How many slots are kept by attempts that cannot be stopped."""
        return sum(slot > 0 for slot in self._left_behind.values()) if self._left_behind else 0

    def _stalled(self) -> bool:
        """True if units could start, but every worker is kept by an attempt that cannot be stopped."""
        starts = self._run is RunState.RUNNING and not self._paused and self._stopping is None
        return starts and not self._active and self._stuck > 0 and READY in self._state

    def _haunted(self, number: int) -> bool:
        """True while an abandoned attempt of the unit still goes on."""
        return bool(self._left_behind) and any(unit == number for unit, _ in self._left_behind)

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

    def _start(self, number: int, pid: int, now: float) -> None:
        self._step(number, RUNNING)
        attempt = self._attempt[number]
        self._events.append(UnitStarted(number, attempt, self._lanes[number], self._slot[number], pid, now))
        self._add_timeout(number, now)

    def _failed(self, number: int, state: UnitState, error: UnitError, outcome: Outcome, now: float) -> None:
        """An attempt ended badly: try again, use the fallback, or end."""
        unit = self._plan.table[number]
        tries = self._attempt[number] - self._base[number]
        innocent = error.type == LOST_LOOP and not outcome.abandoned
        # an abandoned attempt goes on, for how long nobody knows: waiting for it could keep the run for ever
        again = innocent or (tries <= unit.retry.max and unit.retry.covers(error) and not outcome.abandoned)
        if again and self._starts_more() and self._bad_need(number) is None:
            delay = 0.0 if innocent else unit.retry.wait(tries, salt=number)
            self._base[number] += innocent
            self._step(number, RETRYING)
            self._events.append(UnitRetrying(number, self._attempt[number], delay, error, now))
            if self._left[number]:
                # a person had a need run again meanwhile: the next attempt waits for that, not for a timer
                self._reset(number, "a need runs again", now)
            else:
                heappush(self._timers, (now + delay, RETRY_TIMER, number, self._attempt[number]))
        elif unit.fallback is not None:
            self._finish(number, COMPLETED, now, outcome, error=error, fallback=True)
        else:
            self._finish(number, state, now, outcome, error=error)
            if not self._options.keep_going:
                self._cancel_waiting(f"fail-fast: {unit.id} {'timed out' if state is TIMEOUT else 'failed'}", now)

    def _starts_more(self) -> bool:
        """False once the run is ending, or fails fast and has failed: then there are no re-tries either."""
        failing_fast = not self._options.keep_going and any(state in FAILURES for state in self._state)
        return self._stopping is None and not failing_fast

    def _finish(
        self,
        number: int,
        state: UnitState,
        now: float,
        outcome: Outcome | None = None,
        *,
        error: UnitError | None = None,
        cause: str = "",
        fallback: bool = False,
    ) -> None:
        """End the unit's generation and let its dependents know."""
        if outcome is None:
            outcome = _NOTHING
        self._step(number, state)
        self._open -= 1
        self._events.append(
            UnitFinished(
                number,
                self._attempt[number],
                self._generation[number],
                state,
                now,
                outcome.seconds,
                error,
                cause,
                False,
                fallback,
                outcome.abandoned,
                outcome.metrics,
            )
        )
        if state is COMPLETED:
            left, states = self._left, self._state
            for fed in self._feeds[number]:
                left[fed] -= 1
                if not left[fed] and states[fed] is PENDING:
                    self._make_ready(fed, now)
        else:
            self._skip_below(number, now)

    def _skip_below(self, number: int, now: float) -> None:
        cause = f"because {self._plan.table[number].id}"
        stack = [number]
        while stack:
            for fed in self._feeds[stack.pop()]:
                if self._state[fed] is PENDING:
                    self._end_waiting(fed, SKIPPED, cause, now)
                    stack.append(fed)

    def _end_waiting(self, number: int, state: UnitState, cause: str, now: float) -> None:
        self._step(number, state)
        self._open -= 1
        self._events.append(
            UnitFinished(number, self._attempt[number], self._generation[number], state, now, cause=cause)
        )

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

    def _cut(self, number: int, now: float) -> None:
        """An interrupted unit returned: it gets no end, so that a later resume runs it again."""
        self._reset(number, "cut by a signal", now)
        bad = self._bad_need(number)
        if bad is not None:
            # a need that a person had run again has failed meanwhile: no resume could run this unit
            self._finish(number, SKIPPED, now, cause=f"because {self._plan.table[bad].id}")

    def _reset(self, number: int, cause: str, now: float) -> None:
        if self._state[number].ended:
            self._open += 1
        self._step(number, PENDING)
        self._generation[number] += 1
        self._base[number] = self._attempt[number]
        self._events.append(UnitReset(number, self._generation[number], cause, now))

    def _make_met_ready(self, now: float) -> None:
        for number, left in enumerate(self._left):
            if not left and self._state[number] is PENDING:
                self._make_ready(number, now)

    def _add_timeout(self, number: int, began: float) -> None:
        timeout = self._plan.table[number].timeout
        if timeout is not None:
            heappush(self._timers, (began + timeout, TIMEOUT_TIMER, number, self._attempt[number]))

    def _grace(self, number: int) -> float:
        grace = self._plan.table[number].grace
        return self._options.grace if grace is None else grace

    # -- steps of the run --------------------------------------------------------------------------------

    def _note_stopping(self, stopping: RunStopping) -> bool:
        """Record that the run was told to end; True if it had been told that, or harder, before."""
        if self._stopping is not None and _HARDER.index(stopping.how) <= _HARDER.index(self._stopping.how):
            return True
        self._stopping = stopping
        self._events.append(stopping)
        return False

    def _stop_all(self, reason: str, cause: str, now: float, *, kill: bool) -> None:
        for number in self._holding():
            if self._state[number] is not CANCELING:
                self._stop(number, reason, cause, now)
            elif kill:
                self._kill(number, now)

    def _holding(self) -> list[int]:
        return [number for number, slot in enumerate(self._slot) if slot]

    def _cancel_waiting(self, cause: str, now: float) -> None:
        """End everything that holds no worker."""
        for number, state in enumerate(self._state):
            if state in (PENDING, READY, RETRYING) and not self._slot[number]:
                self._ready.discard(number)
                self._end_waiting(number, CANCELED, cause, now)

    def _finish_run(self, now: float) -> None:
        states = self._state
        stopping = self._stopping
        if stopping is not None and stopping.how == "interrupt" and self._open:
            self._run, code = RunState.INTERRUPTED, 128 + stopping.signal
        elif stopping is not None and stopping.how == "timeout" and any(state is CANCELED for state in states):
            self._run, code = RunState.FAILED, EXIT_RUN_TIMEOUT
        elif stopping is not None and any(state is CANCELED for state in states):
            self._run, code = RunState.CANCELED, EXIT_CANCELED
        elif any(state in FAILURES for state in states):
            self._run, code = RunState.FAILED, EXIT_FAILED
        elif any(state is CANCELED for state in states):
            self._run, code = RunState.CANCELED, EXIT_CANCELED
        else:
            self._run, code = RunState.COMPLETED, EXIT_OK
        counts: dict[str, int] = {}
        for state in states:
            counts[state.value] = counts.get(state.value, 0) + 1
        self._events.append(RunFinished(self._run, counts, now - self._started_at, code, now))

    def _bad_need(self, number: int) -> int | None:
        """A need of the unit that ended without a value, if there is one."""
        for need in self._needs[number]:
            if self._state[need].ended and self._state[need] is not COMPLETED:
                return need
        return None


_NOTHING = Outcome()
