"""The scheduler: a pure function of (stimulus, now) over flat arrays indexed by unit number."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import heapify, heappop, heappush
from typing import Any

from qtui.core.errors import EXIT_CANCELED, EXIT_FAILED, EXIT_OK, IllegalStep
from qtui.core.events import (
    Event,
    RunFinished,
    RunPaused,
    RunReopened,
    RunStarted,
    RunStopping,
    RunUnpaused,
    UnitCanceling,
    UnitFinished,
    UnitProgress,
    UnitReady,
    UnitReset,
    UnitRetrying,
    UnitStarted,
    UnitSubmitted,
    Warned,
    WorkersChanged,
)
from qtui.core.model import (
    FAILURES,
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
from qtui.core.state import RunView
from qtui.core.stimuli import (
    CancelRequested,
    CancelRunRequested,
    Decision,
    Effect,
    InterruptRequested,
    InterruptUnit,
    KillUnit,
    PauseRequested,
    ProgressReported,
    RetryRequested,
    RunRequested,
    StartUnit,
    Stimulus,
    TimerFired,
    UnitBegan,
    UnitReturned,
    UnpauseRequested,
    WakeAt,
    WarningRaised,
    WorkersRequested,
)

PENDING, READY, RUNNING = UnitState.PENDING, UnitState.READY, UnitState.RUNNING
RETRYING, CANCELING = UnitState.RETRYING, UnitState.CANCELING
COMPLETED, FAILED, TIMEOUT = UnitState.COMPLETED, UnitState.FAILED, UnitState.TIMEOUT
SKIPPED, CANCELED = UnitState.SKIPPED, UnitState.CANCELED

QUEUEING_LANES = frozenset({ExecutionMode.COMMAND, ExecutionMode.PROCESS, ExecutionMode.CUSTOM})
"""Lanes that say themselves, with `UnitBegan`, when a unit really begins."""

# Timers: (due, kind, unit, attempt). A timer that no longer fits its unit is ignored when it fires.
_RETRY, _TIMEOUT, _KILL = 0, 1, 2

_HARDER = ("drain", "stop", "interrupt")
"""The ways to end a run: one that is ending can only be told to end harder."""


class Scheduler:
    """Decides what a run does next. The same stimuli at the same times give the same decisions.

    It keeps no secret: everything it knows follows from the plan and the events it has emitted, so `restore`
    can build its twin from a `RunView`.
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
        self._open = n
        self._run = RunState.PENDING
        self._started_at = 0.0
        self._paused = False
        self._stopping: RunStopping | None = None
        self._timers: list[tuple[float, int, int, int]] = []
        self._wake_at: float | None = None
        self._milestones: list[int] = []
        self._events: list[Event] = []
        self._effects: list[Effect] = []
        self._handlers: dict[type[Any], Callable[[Any, float], None]] = {
            UnitReturned: self._on_returned,
            UnitBegan: self._on_began,
            TimerFired: self._on_timer,
            ProgressReported: self._on_progress,
            RunRequested: self._on_run,
            CancelRequested: self._on_cancel,
            CancelRunRequested: self._on_cancel_run,
            InterruptRequested: self._on_interrupt,
            RetryRequested: self._on_retry,
            PauseRequested: self._on_pause,
            UnpauseRequested: self._on_unpause,
            WorkersRequested: self._on_workers,
            WarningRaised: self._on_warning,
        }

    @classmethod
    def restore(cls, plan: ExecutionPlan, options: RunOptions, view: RunView) -> Scheduler:
        """The scheduler that has emitted the events folded into `view`, and decides on as that one would.

        It needs no time: what is due follows from the events' own times. Its first decision carries a `WakeAt`.
        """
        self = cls(plan, options)
        self._run, self._paused, self._stopping = view.state, view.paused, view.stopping
        self._started_at = view.started_at or 0.0
        if view.workers:
            self._target = view.workers
        self._state = list(view.states)
        self._attempt, self._base = list(view.attempts), list(view.bases)
        self._generation = list(view.generations)
        self._left = [sum(self._state[need] is not COMPLETED for need in needs) for needs in plan.needs]
        self._open = sum(not state.ended for state in self._state)
        for number, last in enumerate(view.last):
            self._restore_unit(number, last, view.begun[number])
        taken = {slot for slot in self._slot if slot}
        self._slots_made = max(taken, default=0)
        self._free_slots = [slot for slot in range(1, self._slots_made + 1) if slot not in taken]
        heapify(self._timers)
        return self

    def _restore_unit(self, number: int, last: Event | None, begun: UnitSubmitted | UnitStarted | None) -> None:
        state = self._state[number]
        if state is READY and not isinstance(last, UnitSubmitted):
            self._ready.push(number)
        elif state is RETRYING and isinstance(last, UnitRetrying):
            self._timers.append((last.at + last.delay, _RETRY, number, last.attempt))
        elif begun is not None and (state in (RUNNING, CANCELING) or state is READY):
            self._slot[number] = begun.worker
            self._active += 1
            self._ready.take(number)
            if isinstance(begun, UnitStarted):
                self._add_timeout(number, begun.at)
            if isinstance(last, UnitCanceling):
                self._reason[number], self._cause[number] = last.reason, last.cause
                self._killing[number] = last.killing
                if not last.killing:
                    self._timers.append((last.at + self._grace(number), _KILL, number, last.attempt))

    def handle(self, stimulus: Stimulus, now: float) -> Decision:
        """Decide what `stimulus`, arriving at `now` (Unix seconds), leads to."""
        self._handlers[type(stimulus)](stimulus, now)
        while self._milestones:
            self._finish(self._milestones.pop(), COMPLETED, now)
        if self._run is RunState.RUNNING:
            self._fill(now)
            if not self._open or (self._stopping is not None and not self._active):
                self._finish_run(now)
        if self._run is RunState.RUNNING and self._timers and self._timers[0][0] != self._wake_at:
            self._wake_at = self._timers[0][0]
            self._effects.append(WakeAt(self._wake_at))
        decision = Decision(self._events, self._effects)
        self._events, self._effects = [], []
        return decision

    def state_of(self, number: int) -> UnitState:
        """The unit's state now; may be read from any thread."""
        return self._state[number]

    # -- news from lanes ---------------------------------------------------------------------------------

    def _on_returned(self, stimulus: UnitReturned, now: float) -> None:
        number, attempt, outcome = stimulus
        slot = self._slot[number]
        if attempt != self._attempt[number] or not slot:
            return  # a late message of an attempt that has ended
        reason = self._reason[number]
        succeeded = not reason and outcome.error is None and not outcome.canceled
        if succeeded and self._state[number] is READY:
            # the lane never said that the unit began, which loses nothing but a time
            self._start(number, 0, now)
        self._slot[number] = 0
        heappush(self._free_slots, slot)
        self._active -= 1
        self._ready.give_back(number)
        if not reason:
            if succeeded:
                self._finish(number, COMPLETED, now, outcome)
            else:
                self._failed(number, FAILED, outcome.error or UnitError("lost", "stopped by itself"), outcome, now)
            return
        cause = self._cause[number]
        self._reason[number] = self._cause[number] = ""
        self._killing[number] = False
        if reason == "timeout":
            self._failed(number, TIMEOUT, UnitError("timeout", cause), outcome, now)
        elif reason == "interrupt":
            self._cut(number, now)
        else:
            self._finish(number, CANCELED, now, outcome, cause=cause)

    def _on_began(self, stimulus: UnitBegan, now: float) -> None:
        number, attempt, pid = stimulus
        if attempt != self._attempt[number] or not self._slot[number] or self._state[number] is not READY:
            return
        self._start(number, pid, now)

    def _on_progress(self, stimulus: ProgressReported, now: float) -> None:
        if stimulus.attempt == self._attempt[stimulus.unit] and self._state[stimulus.unit] is RUNNING:
            self._events.append(UnitProgress(*stimulus, now))

    def _on_warning(self, stimulus: WarningRaised, now: float) -> None:
        self._events.append(Warned(stimulus.unit, stimulus.message, now))

    # -- time --------------------------------------------------------------------------------------------

    def _on_timer(self, _stimulus: TimerFired, now: float) -> None:
        self._wake_at = None
        if self._run is not RunState.RUNNING:
            return  # an interrupted run keeps its back-offs for the day it is reopened
        while self._timers and self._timers[0][0] <= now:
            _due, kind, number, attempt = heappop(self._timers)
            if attempt != self._attempt[number]:
                continue
            state = self._state[number]
            if kind == _RETRY and state is RETRYING:
                self._make_ready(number, now)
            elif kind == _TIMEOUT and state is RUNNING:
                limit = self._plan.table[number].timeout or 0.0
                self._stop(number, "timeout", f"timed out after {limit:g} s", now)
            elif kind == _KILL and state is CANCELING:
                self._kill(number, now)

    def _add_timeout(self, number: int, began: float) -> None:
        timeout = self._plan.table[number].timeout
        if timeout is not None:
            heappush(self._timers, (began + timeout, _TIMEOUT, number, self._attempt[number]))

    def _grace(self, number: int) -> float:
        grace = self._plan.table[number].grace
        return self._options.grace if grace is None else grace

    # -- wishes ------------------------------------------------------------------------------------------

    def _on_run(self, stimulus: RunRequested, now: float) -> None:
        if self._run is not RunState.PENDING:
            return
        self._run, self._started_at = RunState.RUNNING, now
        self._events.append(RunStarted(now, stimulus.name, self._target))
        self._make_met_ready(now)

    def _make_met_ready(self, now: float) -> None:
        for number, left in enumerate(self._left):
            if not left and self._state[number] is PENDING:
                self._make_ready(number, now)

    def _on_cancel(self, stimulus: CancelRequested, now: float) -> None:
        if self._run.ended:
            return  # what an interrupted run left without an end is for a resume
        for number in stimulus.units:
            state = self._state[number]
            if state is CANCELING:
                self._cancel_stopping(number, stimulus.cause, now)
            elif self._slot[number]:
                self._stop(number, "cancel", stimulus.cause, now)
            elif not state.ended:
                self._ready.discard(number)
                self._finish(number, CANCELED, now, cause=stimulus.cause)

    def _cancel_stopping(self, number: int, cause: str, now: float) -> None:
        """Kill a unit that is stopping; if that was for a timeout, it is now neither tried again nor replaced."""
        if self._reason[number] != "cancel":
            self._reason[number], self._cause[number] = "cancel", cause
            if self._killing[number]:
                self._note_canceling(number, now)
        self._kill(number, now)

    def _on_cancel_run(self, stimulus: CancelRunRequested, now: float) -> None:
        if self._run is not RunState.RUNNING:
            return
        again = self._note_stopping(RunStopping(now, stimulus.how, stimulus.cause))
        if self._stopping is not None and self._stopping.how != "interrupt":
            self._cancel_waiting(stimulus.cause, now)
        if stimulus.how == "stop":
            self._stop_all("cancel", stimulus.cause, now, kill=again)

    def _on_interrupt(self, stimulus: InterruptRequested, now: float) -> None:
        if self._run is not RunState.RUNNING:
            return
        again = self._note_stopping(RunStopping(now, "interrupt", "interrupted", stimulus.signal))
        self._stop_all("interrupt", "interrupted by a signal", now, kill=again)

    def _on_retry(self, stimulus: RetryRequested, now: float) -> None:
        if self._stopping is not None and self._run is RunState.RUNNING:
            self._events.append(Warned(-1, "the run is ending; units can be retried when it has", now))
            return
        chosen = set(stimulus.units)
        if stimulus.scope == "dependents":
            for number in stimulus.units:
                chosen.update(below for below in self._plan.below(number) if self._state[below].ended)
        ordered = [number for number in self._plan.order if number in chosen]
        for number in ordered:
            self._retry(number, stimulus.cause, now)
        if self._run.ended and any(not self._state[number].ended for number in ordered):
            self._run, self._stopping = RunState.RUNNING, None
            # the reopening comes first in the record: nobody sees a finished run with pending units
            self._events.insert(0, RunReopened(now, stimulus.cause))
            self._make_met_ready(now)  # what an interrupt had cut goes on too

    def _retry(self, number: int, cause: str, now: float) -> None:
        """Open the unit's next generation, if it has ended and its needs allow it."""
        state = self._state[number]
        if state is RETRYING:
            self._make_ready(number, now)  # a person does not want to wait for the back-off
        if not state.ended:
            return
        bad = self._bad_need(number)
        if bad is not None:
            message = f"not run again: it needs {self._plan.table[bad].id}, which is {self._state[bad]}"
            self._events.append(Warned(number, message, now))
            return
        was_completed = state is COMPLETED
        self._reset(number, cause, now)
        for fed in self._feeds[number]:
            if was_completed:
                self._left[fed] += 1
                if self._state[fed] in (READY, RETRYING) and not self._slot[fed]:
                    self._ready.discard(fed)
                    self._reset(fed, f"{self._plan.table[number].id} runs again", now)
        self._revive(number, now)
        if not self._left[number]:
            self._make_ready(number, now)

    def _revive(self, number: int, now: float) -> None:
        """Reset the units below that were skipped for a reason that is gone."""
        stack = [number]
        while stack:
            for fed in self._feeds[stack.pop()]:
                if self._state[fed] is SKIPPED and self._bad_need(fed) is None:
                    self._reset(fed, f"{self._plan.table[number].id} runs again", now)
                    stack.append(fed)

    def _reset(self, number: int, cause: str, now: float) -> None:
        if self._state[number].ended:
            self._open += 1
        self._step(number, PENDING)
        self._generation[number] += 1
        self._base[number] = self._attempt[number]
        self._events.append(UnitReset(number, self._generation[number], cause, now))

    def _on_pause(self, stimulus: PauseRequested, now: float) -> None:
        if not self._paused:
            self._paused = True
            self._events.append(RunPaused(now, stimulus.cause))

    def _on_unpause(self, stimulus: UnpauseRequested, now: float) -> None:
        if self._paused:
            self._paused = False
            self._events.append(RunUnpaused(now, stimulus.cause))

    def _on_workers(self, stimulus: WorkersRequested, now: float) -> None:
        target = max(1, min(stimulus.target, self._max_workers))
        if target != self._target:
            self._target = target
            self._events.append(WorkersChanged(target, stimulus.cause, now))

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
        while self._active < self._target:
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

    def _start(self, number: int, pid: int, now: float) -> None:
        self._step(number, RUNNING)
        attempt = self._attempt[number]
        self._events.append(UnitStarted(number, attempt, self._lanes[number], self._slot[number], pid, now))
        self._add_timeout(number, now)

    def _failed(self, number: int, state: UnitState, error: UnitError, outcome: Outcome, now: float) -> None:
        """An attempt ended badly: try again, use the fallback, or end."""
        unit = self._plan.table[number]
        tries = self._attempt[number] - self._base[number]
        # an abandoned attempt may still be at work: a second one beside it would not be what the user wrote
        again = tries <= unit.retry.max and unit.retry.covers(error) and not outcome.abandoned
        if again and self._starts_more() and self._bad_need(number) is None:
            delay = unit.retry.wait(tries, salt=number)
            self._step(number, RETRYING)
            self._events.append(UnitRetrying(number, self._attempt[number], delay, error, now))
            if self._left[number]:
                # a person had a need run again meanwhile: the next attempt waits for that, not for a timer
                self._reset(number, "a need runs again", now)
            else:
                heappush(self._timers, (now + delay, _RETRY, number, self._attempt[number]))
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
        heappush(self._timers, (now + self._grace(number), _KILL, number, attempt))

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

    def _holding(self) -> Iterable[int]:
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
