"""What people, and the governor, ask of a run."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from qtui.core.editing import edited
from qtui.core.events import (
    GovernorChanged,
    JournalChanged,
    RunPaused,
    RunReopened,
    RunStarted,
    RunStopping,
    RunUnpaused,
    UnitApproved,
    UnitReset,
    Warned,
    WorkersChanged,
)
from qtui.core.growing import GrowingMachine
from qtui.core.holding import bounded
from qtui.core.innocence import MOST_LOSSES
from qtui.core.machine import (
    CANCELED,
    CANCELING,
    COMPLETED,
    HANDLER_TIMER,
    PENDING,
    RETRYING,
    RUN_TIMER,
    SKIPPED,
)
from qtui.core.model import ExecutionMode, QuantumUnit, RunState
from qtui.core.redefining import obstacle
from qtui.core.stimuli import (
    ApproveRequested,
    CancelRequested,
    CancelRunRequested,
    CheckCache,
    EditRequested,
    GovernorRequested,
    InterruptRequested,
    JournalReported,
    LaneWorkersRequested,
    PauseRequested,
    RedefineRequested,
    ReleaseRequested,
    ResultLost,
    ResumeRequested,
    RetryRequested,
    RunRequested,
    SetAsideRequested,
    UnpauseRequested,
    WorkersRequested,
    WorkersStepRequested,
)


class WishingMachine(GrowingMachine):
    """What a run does about requests."""

    __slots__ = ()

    def _on_run(self, stimulus: RunRequested, now: float) -> None:
        if self._run is not RunState.PENDING:
            return
        self._run, self._started_at, self._opened_at = RunState.RUNNING, now, now
        targets = self._targets
        lanes = {str(lane): target for lane, target in targets.of_lane.items()}
        self._events.append(RunStarted(now, stimulus.name, targets.together, targets.governed, lanes))
        self._add_run_timer()
        self._make_met_ready(now)

    def _on_resume(self, _stimulus: ResumeRequested, now: float) -> None:
        """Every unit that has not ended is pending: decide anew what runs, and what never can."""
        if self._run is not RunState.RUNNING:
            return
        for number in self._plan.order:
            bad = self._bad_need(number) if self._state[number] is PENDING else None
            if bad is not None:
                self._skip_for(number, bad, now)
        self._settle(now)
        self._make_met_ready(now)

    def _on_journal(self, stimulus: JournalReported, now: float) -> None:
        if stimulus.cause != self._unsaved:
            self._unsaved = stimulus.cause
            self._events.append(JournalChanged(stimulus.cause, now))

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
                self._end_waiting(number, CANCELED, stimulus.cause, now)

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
        # what the run's timeout has asked to stop is not asked twice
        timed_out = self._stopping is not None and self._stopping.how == "timeout"
        again = self._note_stopping(RunStopping(now, stimulus.how, stimulus.cause)) or timed_out
        if self._stopping is not None and self._stopping.how != "interrupt":
            self._cancel_waiting(stimulus.cause, now, handlers=again)
        if stimulus.how == "stop":
            self._stop_all("cancel", stimulus.cause, now, kill=again, handlers=again)

    def _on_interrupt(self, stimulus: InterruptRequested, now: float) -> None:
        if self._run is not RunState.RUNNING:
            return
        signal, cause = stimulus
        again = self._note_stopping(RunStopping(now, "interrupt", cause or "interrupted", signal))
        self._stop_all("interrupt", cause or "interrupted by a signal", now, kill=again, handlers=True)

    def _on_redefine(self, stimulus: RedefineRequested, now: float) -> None:
        for unit in stimulus.units:
            number = self._plan.numbers[unit.id]
            why = obstacle(self._plan, number, unit, self._options)
            if why:
                self._refused[number] = f"{why} in its file, and only a resume of the run (qtui resume) takes that up"
            else:
                self._redefined[number] = unit
        self._on_retry(stimulus.retry, now)
        self._redefined.clear()
        self._refused.clear()

    def _on_retry(self, stimulus: RetryRequested, now: float) -> None:
        if self._stopping is not None and self._run is RunState.RUNNING:
            self._events.append(Warned(-1, "the run is ending; units can be retried when it has", now))
            return
        named = frozenset(stimulus.units)
        chosen = set(named)
        if stimulus.scope == "dependents":
            for number in stimulus.units:
                chosen.update(below for below in self._plan.below(number) if self._state[below].ended)
        ordered = [number for number in self._plan.order if number in chosen]
        with self._reopening(ordered, stimulus.cause, now):
            for number in ordered:
                self._retry(number, stimulus.cause, now, forced=number in named)

    def _on_result_lost(self, stimulus: ResultLost, now: float) -> None:
        """Make a lost result anew; what waits for it waits again."""
        number, cause = stimulus
        if self._run is not RunState.RUNNING or self._state[number] is not COMPLETED:
            return  # it is made anew already, or nobody can ask for it any more
        losses, why = self._losses.get(number, 0), ""
        if not self._plan.table[number].idempotent:
            why = "it is not idempotent"
        elif losses >= MOST_LOSSES:
            why = f"something was lost {losses} times before"
        elif self._stopping is not None or not self._starts_more(number):
            why = "nothing new starts"
        if why:
            self._events.append(Warned(number, f"{cause}; it is not run again: {why}", now))
        else:
            self._retry(number, cause, now, forced=False, losses=losses + 1)

    @contextmanager
    def _reopening(self, wanted: Collection[int], cause: str, now: float) -> Iterator[None]:
        """A run that has ended goes on if one of the `wanted` units, or any that this resets, has no end then. Brakes
        let go of what runs again."""
        unanswered = set(self._checking)
        left = [number for number, state in enumerate(self._state) if not state.ended] if self._run.ended else []
        yield
        again = any(not self._state[number].ended for number in wanted)
        if self._run.ended and (again or any(isinstance(event, UnitReset) for event in self._events)):
            self._run, self._stopping, self._opened_at = RunState.RUNNING, None, now
            self._started_at += now - self._finished_at  # what was between does not count
            self._waited, self._waiting_since = 0.0, None
            # the reopening comes first in the record: nobody sees a finished run with pending units
            self._events.insert(0, RunReopened(now, cause))
            self._drop_timers(RUN_TIMER)
            self._drop_timers(HANDLER_TIMER)
            self._add_run_timer()
            self._make_met_ready(now)  # what an interrupt had cut goes on too
            for number in sorted(unanswered & self._checking):
                self._effects.append(CheckCache(number, self._generation[number]))
        if not self._run.ended:
            left += [event.unit for event in self._events if isinstance(event, UnitReset)]
            self._release_stopped(left, cause, now)

    def _retry(self, number: int, cause: str, now: float, *, forced: bool, losses: int = 0) -> None:
        """Open the unit's next generation, if it has ended and its needs allow it."""
        state = self._state[number]
        anew = number in self._redefined
        if state is RETRYING and not anew:
            self._make_ready(number, now)  # a person does not want to wait for the back-off
        if not (state.ended or (state is RETRYING and anew)):
            return
        if number in self._refused:
            self._events.append(Warned(number, f"not run again: {self._refused[number]}", now))
            return
        if number in self._plan.dropped:
            self._events.append(Warned(number, "not run again: nothing adds it any more", now))
            return
        running = self._added_runs(number)
        if running is not None:
            message = f"not run again: it has added {self._plan.table[running].id}, which still runs"
            self._events.append(Warned(number, message, now))
            return
        bad = self._bad_need(number)
        if bad is not None:
            message = f"not run again: it needs {self._plan.table[bad].id}, which is {self._state[bad]}"
            self._events.append(Warned(number, message, now))
            return
        self._reset(number, cause, now, forced=forced, losses=losses)
        self._redefine(number, cause, now)
        self._revive(number, now)
        if self._haunted(number):
            message = "waits until its abandoned attempt has ended: that could not be stopped, and goes on"
            self._events.append(Warned(number, message, now))
        self._decide_if_met(number, now)

    def _on_edit(self, stimulus: EditRequested, now: float) -> None:
        ended = []
        for number in stimulus.units:
            unit = self._plan.table[number]
            new = edited(unit, stimulus)
            why = obstacle(self._plan, number, new, self._options) if isinstance(new, QuantumUnit) else new
            if self._slot[number]:
                why = "it runs; cancel it first, or wait for its end"
            elif self._run.ended and not self._state[number].ended:
                why = "the run was interrupted; it takes a resume (qtui resume) to go on"
            if why:
                self._events.append(Warned(number, f"not edited: {why}", now))
            elif isinstance(new, QuantumUnit) and new is not unit:
                self._redefined[number] = new
                if self._state[number].ended:
                    ended.append(number)
                else:
                    self._redefine_waiting(number, stimulus.cause, now)
        if ended:
            self._on_retry(RetryRequested(tuple(ended), cause=stimulus.cause), now)
        self._redefined.clear()

    def _redefine_waiting(self, number: int, cause: str, now: float) -> None:
        """What waits is another unit from now on: it is decided anew whether it may run."""
        if self._state[number] is not PENDING:
            self._reset(number, cause, now)
        self._redefine(number, cause, now)
        self._decide_if_met(number, now)

    def _on_set_aside(self, stimulus: SetAsideRequested, now: float) -> None:
        if self._run.ended and (stimulus.how == "skip" or self._run is RunState.INTERRUPTED):
            return
        if self._stopping is not None and self._run is RunState.RUNNING:
            self._events.append(Warned(-1, "the run is ending; units can be set aside when it has", now))
            return
        with self._reopening((), stimulus.cause, now):
            for number in stimulus.units:
                if self._slot[number]:
                    self._events.append(Warned(number, "not set aside: it runs; cancel it first", now))
                elif stimulus.how == "done":
                    self._let_be_done(number, stimulus.cause, now)
                elif not self._state[number].ended:
                    self._end_waiting(number, SKIPPED, stimulus.cause, now)

    def _let_be_done(self, number: int, cause: str, now: float) -> None:
        """End a unit as if it had completed, with its fallback's value or none."""
        state = self._state[number]
        if state is COMPLETED or number in self._plan.dropped:
            return
        if state.ended:
            self._reset(number, cause, now)
            self._revive(number, now)
        self._withdraw(number)
        self._finish(number, COMPLETED, now, cause=cause, fallback=True)

    def _on_approve(self, stimulus: ApproveRequested, now: float) -> None:
        if self._run.ended:
            return
        for number in stimulus.units:
            if number in self._asked:
                self._asked.discard(number)
                self._events.append(UnitApproved(number, stimulus.cause, now))
                self._enqueue(number)

    def _on_release(self, stimulus: ReleaseRequested, now: float) -> None:
        for scope in stimulus.scopes or tuple(self._options.brakes):
            self._release(scope, stimulus.cause, now)

    def _release(self, scope: str, cause: str, now: float) -> None:
        change = self._brakes.release(scope, cause, now)
        if change is not None:
            self._apply_brake(change, now)

    def _release_stopped(self, numbers: list[int], cause: str, now: float) -> None:
        """What is to run again is let go of by the brakes that had stopped it for good."""
        for number in numbers:
            for scope in self._limits.scopes[number]:
                if self._brakes.stopped((scope,)):
                    self._release(scope, cause, now)

    def _on_pause(self, stimulus: PauseRequested, now: float) -> None:
        if not self._paused:
            self._paused = True
            self._events.append(RunPaused(now, stimulus.cause))

    def _on_unpause(self, stimulus: UnpauseRequested, now: float) -> None:
        if self._paused:
            self._paused = False
            self._events.append(RunUnpaused(now, stimulus.cause))

    def _on_workers(self, stimulus: WorkersRequested, now: float) -> None:
        self._take_over(stimulus.cause, now)
        if self._targets.set(stimulus.target):
            self._note_workers(stimulus.cause, now)
        elif stimulus.target > self._targets.together:
            sequential = self._options.mode is ExecutionMode.SEQUENTIAL
            why = (
                "in mode sequential units run one at a time"
                if sequential
                else f"{self._targets.together} is max_workers"
            )
            self._events.append(Warned(-1, f"no more {bounded(bool(self._options.elsewhere))}: {why}", now))

    def _on_workers_step(self, stimulus: WorkersStepRequested, now: float) -> None:
        self._on_workers(WorkersRequested(self._targets.decided + stimulus.step, stimulus.cause), now)

    def _on_governor(self, stimulus: GovernorRequested, now: float) -> None:
        if not stimulus.on:
            self._take_over(stimulus.cause, now)
        elif not self._targets.governed and self._options.mode is not ExecutionMode.SEQUENTIAL:
            self._targets.give_back()
            self._events.append(GovernorChanged(True, stimulus.cause, now))
            self._renew_limits()
            for lane in self._targets.of_lane:
                self._note_workers(f"{self._targets.of_lane[lane]}: {stimulus.cause}", now, lane)

    def _on_lane_workers(self, stimulus: LaneWorkersRequested, now: float) -> None:
        if self._run is not RunState.RUNNING:
            return
        lane, target, together = stimulus.lane, stimulus.target, self._targets.together
        cluster = lane is ExecutionMode.CUSTOM
        if cluster and not target:  # its target stays: what it is sent waits there, and goes on when a worker comes
            self._unmanned = True
            self._events.append(WorkersChanged(0, stimulus.cause, now, str(lane), together))
            return
        if self._targets.set_lane(lane, target):
            self._resize_lanes()
            self._note_workers(stimulus.cause, now, lane)
        elif cluster and self._unmanned:  # as many as before, or a person decides how many are sent
            target = self._targets.of_lane.get(lane, together)
            self._events.append(WorkersChanged(target, stimulus.cause, now, str(lane), together))
        self._unmanned = self._unmanned and not cluster

    def _take_over(self, cause: str, now: float) -> None:
        """A person decides how many units run at a time, whatever lane they run in."""
        if self._targets.governed:
            self._targets.take_over()
            self._events.append(GovernorChanged(False, cause, now))
            self._renew_limits()
