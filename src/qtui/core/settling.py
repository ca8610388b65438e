"""What follows from the ends of units: who may run now, who is skipped, what a brake says, and when the run is over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from heapq import heappush
from typing import Any, Final

from qtui.core.batching import wants_durations, with_duration
from qtui.core.brakes import HELD, PROBING, STOPPED, passes
from qtui.core.errors import EXIT_CANCELED, EXIT_FAILED, EXIT_OK, EXIT_RUN_TIMEOUT
from qtui.core.events import (
    BrakeChanged,
    ConfirmRequested,
    RunFinished,
    RunStopping,
    UnitFinished,
    UnitReady,
    UnitReset,
    UnitRetrying,
)
from qtui.core.innocence import DOUBTFUL, LOSSES, innocent, is_doubtful
from qtui.core.limits import learned_peak
from qtui.core.machine import (
    CANCELED,
    CANCELING,
    COMPLETED,
    HANDLER_TIMER,
    PENDING,
    PROBE_TIMER,
    READY,
    RETRY_TIMER,
    RETRYING,
    SKIPPED,
    TIMEOUT,
    RunMachine,
    new,
)
from qtui.core.model import ENDS, FAILURES, Outcome, RunState, UnitError, UnitState
from qtui.core.standing import BECAUSE, asks
from qtui.core.stimuli import CheckCache

HARDER: Final = ("drain", "timeout", "stop", "interrupt")
"""The ways to end a run: one that is ending can only be told to end harder."""

UNMET: Final = "its condition does not hold: "
"""How the cause of a unit begins that was skipped by its `if`."""

NEVER: Final = "can never start: "
"""How the cause of a unit begins that was skipped because the run would have stood still."""

CUT: Final = "cut by a signal"
"""The cause of the reset of a unit that ran when a signal ended the run."""

CUT_FOR: Final = "cut: "
"""How the cause of the reset begins where something else did."""

UNBEGUN: Final = "had not begun when the run was interrupted"
"""The cause of the reset of a unit that a lane had been given."""

_NOTHING: Final = Outcome()


class SettlingMachine(RunMachine):
    """Ends of units, and what they mean for others."""

    __slots__ = ()

    def _settle(self, now: float) -> None:
        """Tell dependents of every end, until nothing more follows. A loop: chains may be 10,000 units long."""
        if self._adder_reset:
            self._hold_back(now)
        while self._milestones or self._ended:
            while self._milestones:
                self._finish(self._milestones.pop(), COMPLETED, now)
            ended, self._ended = self._ended, {}
            for number in ended:
                self._tell_dependents(number, now)
            if self._undecided and ended:
                for number in sorted(self._undecided):
                    self._decide_if_met(number, now)
            if self._held_back and not self._plan.added.keys().isdisjoint(ended):
                held, self._held_back = sorted(self._held_back), set()
                for number in held:
                    self._decide_if_met(number, now)

    def _hold_back(self, now: float) -> None:
        """What units that run again have added waits for them: it may be added again, or be dropped."""
        self._adder_reset = False
        for number, state in enumerate(self._state):
            if state in (READY, RETRYING) and not self._slot[number]:
                adder = self._adding_above(number)
                if adder is not None:
                    self._reset(number, f"{self._plan.table[adder].id} runs again", now)
                    if not self._left[number]:
                        self._held_back.add(number)

    def _tell_dependents(self, number: int, now: float) -> None:
        left, states, handler = self._left, self._state, self._handler
        if states[number] not in ENDS:
            return  # run again in the same breath
        good = states[number] is COMPLETED or self._good(number)
        for fed in self._feeds[number]:
            if good or handler[fed]:
                still = left[fed] = left[fed] - 1
                if not still and states[fed] is PENDING:
                    self._decide(fed, now)
            elif states[fed] is PENDING:
                self._skip_for(fed, number, now)

    def _skip_for(self, number: int, need: int, now: float) -> None:
        """Skip a unit because of a need, naming the first of a chain of them."""
        first = self._cause[need] if self._skipped_for_need(need) else f"{BECAUSE}{self._plan.table[need].id}"
        because = need if self._state[need] in FAILURES else self._because[need]
        self._end_waiting(number, SKIPPED, first, now, because=because)

    # -- from pending to the queue -----------------------------------------------------------------------

    def _decide(self, number: int, now: float) -> None:
        """A pending unit whose needs have all ended as it wants: run it, unless `when` or `if` say no."""
        if self._adding and self._adding_above(number) is not None:
            self._held_back.add(number)
            return
        if self._straight[number] and not self._left_behind:
            self._step(number, READY)
            self._events.append(new(UnitReady, (number, now)))
            self._ready.push(number, self._limits.keys[number], self._limits.terms[number])
            return
        unit = self._plan.table[number]
        if unit.when == "failure":
            failed = self._failure_above(number)
            if failed is None:
                self._undecided.add(number)
                return
            if not failed:
                self._end_waiting(number, SKIPPED, "no need has failed", now)
                return
        if unit.condition is not None and not unit.condition.holds(lambda name, fact: self._fact(number, name, fact)):
            self._end_waiting(number, SKIPPED, f"{UNMET}{unit.condition}", now)
            return
        self._make_ready(number, now)

    def _decide_if_met(self, number: int, now: float) -> None:
        self._undecided.discard(number)
        if not self._left[number] and self._state[number] is PENDING:
            self._decide(number, now)

    def _fact(self, number: int, name: str, fact: str) -> Any:
        """What a condition asks of a unit or of a family: its state, if all have the same, and any of its flags."""
        units = self._plan.named(number, name)
        if fact == "state":
            states = {str(self._state[other]) for other in units}
            return states.pop() if len(states) == 1 else "mixed"
        flagged = self._fell_back if fact == "fallback" else self._cached
        return any(other in flagged for other in units)

    def _make_ready(self, number: int, now: float) -> None:
        if self._haunted(number):
            return  # a second attempt beside one that cannot be stopped is not what the user wrote
        again = self._state[number] is RETRYING
        self._step(number, READY)
        self._events.append(UnitReady(number, now))
        if again:
            self._enqueue(number)  # only the first attempt asks
        elif self._plan.table[number].cache is not None:
            self._checking.add(number)
            self._effects.append(CheckCache(number, self._generation[number], number in self._forced))
            self._forced.discard(number)
        else:
            self._ask(number, now)

    def _ask(self, number: int, now: float) -> None:
        """Ask for a confirmation, if the unit wants one."""
        unit = self._plan.table[number]
        if asks(unit, self._options):
            self._asked.add(number)
            self._events.append(ConfirmRequested(number, unit.confirm, now))
        else:
            self._enqueue(number)

    def _enqueue(self, number: int) -> None:
        if self._straight[number]:
            self._ready.push(number, self._limits.keys[number], self._limits.terms[number])
        elif self._plan.table[number].action is None:
            self._milestones.append(number)
        else:
            begun = self._plan.item_of[number] in self._open_items
            self._ready.push(number, *self._limits.of(number, item_begun=begun))

    def _withdraw(self, number: int) -> None:
        """A ready unit is not to start after all."""
        self._ready.discard(number)
        self._checking.discard(number)
        self._asked.discard(number)

    def _make_met_ready(self, now: float) -> None:
        for number, left in enumerate(self._left):
            if not left and self._state[number] is PENDING:
                self._decide(number, now)

    # -- ends --------------------------------------------------------------------------------------------

    def _failed(self, number: int, state: UnitState, error: UnitError, outcome: Outcome, now: float) -> None:
        """An attempt ended badly: try again, use the fallback, or end."""
        unit = self._plan.table[number]
        tries = self._attempt[number] - self._base[number]
        losses = self._losses.get(number, 0)
        free = innocent(unit, error, losses) and not outcome.abandoned
        # an abandoned attempt goes on, for how long nobody knows: waiting for it could keep the run for ever
        again = free or (tries <= unit.retry.max and unit.retry.covers(error) and not outcome.abandoned)
        if is_doubtful(unit, error):
            again, error = False, error._replace(message=f"{error.message}; {DOUBTFUL}")
        if again and self._starts_more(number) and self._bad_need(number) is None:
            delay = 0.0 if free else unit.retry.wait(tries, salt=number)
            self._base[number] += free
            if error.type in LOSSES:
                self._losses[number] = losses + 1
            self._step(number, RETRYING)
            self._events.append(UnitRetrying(number, self._attempt[number], delay, error, now))
            if self._left[number]:
                # a person had a need run again meanwhile: the next attempt waits for that, not for a timer
                self._reset(number, "a need runs again", now)
            else:
                heappush(self._timers, (now + delay, RETRY_TIMER, number, self._attempt[number]))
            self._brake(number, RETRYING, now, error)
        elif unit.fallback is not None:
            self._finish(number, COMPLETED, now, outcome, error=error, fallback=True)
            self._brake(number, COMPLETED, now, error)
        else:
            self._finish(number, state, now, outcome, error=error)
            self._brake(number, state, now, error)
            if not self._options.keep_going and not unit.allow_failure:
                cause = f"fail-fast: {unit.id} {'timed out' if state is TIMEOUT else 'failed'}"
                self._cancel_waiting(cause, now, because=number)

    def _finish(
        self,
        number: int,
        state: UnitState,
        now: float,
        outcome: Outcome = _NOTHING,
        *,
        error: UnitError | None = None,
        cause: str = "",
        cached: bool = False,
        fallback: bool = False,
        because: int = -1,
    ) -> None:
        """End the unit's generation."""
        self._step(number, state)
        self._open -= 1
        if self._adding:
            self._adding.discard(number)
        if self._handler[number]:
            self._open_handlers -= 1
        else:
            self._plain_ended_at = now
        self._cause[number], self._because[number] = cause, because
        if fallback:
            self._fell_back.add(number)
        if cached:
            self._cached.add(number)
        finished = (
            number,
            self._attempt[number],
            self._generation[number],
            state,
            now,
            outcome.seconds,
            error,
            cause,
            cached,
            fallback,
            outcome.abandoned,
            outcome.metrics,
            because,
            outcome.peak_memory,
            outcome.cpu_seconds,
        )
        self._events.append(new(UnitFinished, finished))
        self._ended[number] = None
        if self._batched and state is COMPLETED and not cached and wants_durations(self._plan.table[number]):
            self._durations = with_duration(self._durations, self._plan.table[number], outcome.seconds)
            self._count_anew(self._limits.learn_durations(number, self._durations))
        if outcome.peak_memory:
            self._learn_peak(number, outcome.peak_memory)
        if self._open_items:
            self._close_item(self._plan.item_of[number])

    def _learn_peak(self, number: int, used: int) -> None:
        """Units of this one's family are expected to use as much, and wait until there is."""
        unit = self._plan.table[number]
        peak = learned_peak(unit, self._peaks, used)
        if peak is not None:
            self._peaks[unit.name] = peak
            self._count_anew(self._limits.learn_peak(number, peak))

    def _end_waiting(self, number: int, state: UnitState, cause: str, now: float, *, because: int = -1) -> None:
        self._withdraw(number)
        self._finish(number, state, now, cause=cause, because=because)

    def _close_item(self, item: int) -> None:
        """Give back what an item of a group held, once all its units have ended."""
        if item in self._open_items and all(self._state[other].ended for other in self._plan.items[item]):
            self._open_items.discard(item)
            self._ready.give_back(self._limits.of_item(item))

    def _cancel_waiting(self, cause: str, now: float, *, because: int = -1, handlers: bool = False) -> None:
        """End everything that holds no worker; handlers only if that is said."""
        for number, state in enumerate(self._state):
            if (
                state in (PENDING, READY, RETRYING)
                and not self._slot[number]
                and (handlers or not self._handler[number])
            ):
                self._end_waiting(number, CANCELED, cause, now, because=because)

    def _cut(self, number: int, now: float) -> None:
        """An interrupted unit returned: it gets no end, so that a later resume runs it again."""
        stopping = self._stopping
        # the word of a begin may have been lost on its way, which matters where a unit must not run twice
        if number in self._unbegun and self._plan.table[number].idempotent:
            cause = UNBEGUN
        else:
            cause = CUT if stopping is None or stopping.signal else f"{CUT_FOR}{stopping.cause}"
        self._reset(number, cause, now)
        if self._options.brakes:
            self._brake(number, CANCELED, now)
        bad = self._bad_need(number)
        if bad is not None:
            # a need that a person had run again has failed meanwhile: no resume could run this unit
            self._skip_for(number, bad, now)

    def _reset(self, number: int, cause: str, now: float, *, forced: bool = False, losses: int = 0) -> None:
        """Open the unit's next generation; dependents that count on its end wait for it once more."""
        state = self._state[number]
        told = state.ended
        if number in self._ended:  # nobody has counted on it yet
            del self._ended[number]
            told = False
        if state.ended:
            if number in self._plan.added:
                self._adding.add(number)
                self._adder_reset = True
            self._open += 1
            self._open_handlers += self._handler[number]
            for fed in self._feeds[number] if told else ():
                self._left[fed] += self._met(fed, number)
        self._withdraw(number)
        self._step(number, PENDING)
        self._generation[number] += 1
        self._base[number] = self._attempt[number]
        self._cause[number], self._because[number] = "", -1
        self._fell_back.discard(number)
        self._cached.discard(number)
        self._forced.discard(number)
        self._losses.pop(number, None)
        if losses:
            self._losses[number] = losses
        if forced:
            self._forced.add(number)
        self._events.append(UnitReset(number, self._generation[number], cause, now, forced, losses=losses))
        if told:
            for fed in self._feeds[number]:
                if self._left[fed] and self._state[fed] in (READY, RETRYING) and not self._slot[fed]:
                    self._reset(fed, f"{self._plan.table[number].id} runs again", now)

    # -- brakes ------------------------------------------------------------------------------------------

    def _brake(self, number: int, state: UnitState, now: float, error: UnitError | None = None) -> None:
        """Count how an attempt ended for the brakes of the unit; re-tries and cancels matter only to a probe."""
        for scope in self._limits.scopes[number]:
            begun = self._begun_at[number]
            if state is COMPLETED and error is None:
                change = self._brakes.succeeded(scope, begun, now)
            elif error is None:
                change = self._brakes.canceled(scope, begun, now)
            elif state is not RETRYING or self._brakes.state(scope) == PROBING:
                change = self._brakes.failed(scope, error, begun, now)
            else:
                change = None
            if change is not None:
                self._apply_brake(change, now, because=number)

    def _apply_brake(self, change: BrakeChanged, now: float, *, because: int = -1) -> None:
        self._events.append(change)
        self._gate(change)
        if change.state == STOPPED:
            for number, state in enumerate(self._state):
                waits = state in (PENDING, READY, RETRYING) and not self._slot[number]
                if waits and change.scope in self._limits.scopes[number]:
                    self._end_waiting(number, CANCELED, f"stopped: {change.cause}", now, because=because)

    def _gate(self, change: BrakeChanged) -> None:
        """Let as many units of a scope start as its brake's state says."""
        left = passes(change, self._begun_in(change.scope))
        if left is None:
            self._ready.open(change.scope)
        else:
            self._ready.limit_passes(change.scope, left)
        probe = self._options.brakes[change.scope].probe
        if change.state == HELD and probe is not None:
            heappush(self._timers, (change.at + probe, PROBE_TIMER, list(self._options.brakes).index(change.scope), 0))

    def _begun_in(self, scope: str) -> Iterator[float]:
        """When the attempts that go on in a scope have begun."""
        return (self._begun_at[number] for number in self._holding() if scope in self._limits.scopes[number])

    # -- the run -----------------------------------------------------------------------------------------

    def _note_stopping(self, stopping: RunStopping) -> bool:
        """Record that the run was told to end; True if it had been told that, or harder, before."""
        if self._stopping is not None and HARDER.index(stopping.how) <= HARDER.index(self._stopping.how):
            return True
        self._stopping = stopping
        self._events.append(stopping)
        self._drop_timers(HANDLER_TIMER)
        return False

    def _stop_all(self, reason: str, cause: str, now: float, *, kill: bool, handlers: bool) -> None:
        """Stop everything that holds a worker; handlers only if that is said."""
        for number in self._holding():
            if self._state[number] is CANCELING:
                if kill:
                    self._kill(number, now)
            elif handlers or not self._handler[number]:
                self._stop(number, reason, cause, now)

    def _watch_handlers(self) -> None:
        """Once only handlers are left of a run that is being stopped, their time is limited."""
        stopping = self._stopping
        if stopping is None or stopping.how == "interrupt" or self._open > self._open_handlers:
            return
        if any(timer[1] == HANDLER_TIMER for timer in self._timers):
            return
        # one that stops for its own timeout may be tried again: then the time is looked at once more
        if any(not state.ended and state is not CANCELING for state in self._state):
            due = max(stopping.at, self._plain_ended_at) + self._options.handler_timeout
            heappush(self._timers, (due, HANDLER_TIMER, -1, 0))

    def _on_handler_timeout(self, now: float) -> None:
        cause = f"not done {self._options.handler_timeout:g} s after the run was stopped"
        self._cancel_waiting(cause, now, handlers=True)
        self._stop_all("cancel", cause, now, kill=False, handlers=True)

    def _finish_run(self, now: float) -> None:
        states = self._state
        stopping = self._stopping
        if stopping is not None and stopping.how == "interrupt" and self._open:
            self._run, code = RunState.INTERRUPTED, 128 + stopping.signal if stopping.signal else EXIT_FAILED
        elif stopping is not None and stopping.how == "timeout" and CANCELED in states:
            self._run, code = RunState.FAILED, EXIT_RUN_TIMEOUT
        elif stopping is not None and CANCELED in states:
            self._run, code = RunState.CANCELED, EXIT_CANCELED
        elif self._first_failure() is not None or any(cause.startswith(NEVER) for cause in filter(None, self._cause)):
            self._run, code = RunState.FAILED, EXIT_FAILED
        elif CANCELED in states:
            self._run, code = RunState.CANCELED, EXIT_CANCELED
        else:
            self._run, code = RunState.COMPLETED, EXIT_OK
        counts = {state.value: count for state, count in Counter(states).items()}
        self._finished_at = now
        self._events.append(RunFinished(self._run, counts, now - self._started_at, code, now))
