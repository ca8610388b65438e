"""The scheduler: a pure function of (stimulus, now)."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

from qtui.core.brakes import OPEN
from qtui.core.events import (
    CacheMissed,
    RunStopping,
    UnitProgress,
    UnitSilent,
    Warned,
)
from qtui.core.machine import (
    CANCELED,
    CANCELING,
    COMPLETED,
    FAILED,
    HANDLER_TIMER,
    KILL_TIMER,
    PENDING,
    PROBE_TIMER,
    READY,
    RETRY_TIMER,
    RETRYING,
    RUN_TIMER,
    RUNNING,
    SKIPPED,
    TIMEOUT,
    TIMEOUT_TIMER,
    new,
)
from qtui.core.model import RunState, UnitError, UnitState
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan
from qtui.core.restoring import RestoredMachine
from qtui.core.settling import NEVER
from qtui.core.state import stalled_by
from qtui.core.stimuli import (
    ApproveRequested,
    CacheChecked,
    CancelRequested,
    CancelRunRequested,
    Decision,
    EditRequested,
    GovernorRequested,
    InterruptRequested,
    JournalReported,
    LaneWorkersRequested,
    LateReturned,
    PauseRequested,
    ProgressReported,
    RedefineRequested,
    ReleaseRequested,
    ResultLost,
    ResumeRequested,
    RetryRequested,
    RunRequested,
    SetAsideRequested,
    SilenceReported,
    Stimulus,
    TimerFired,
    UnitBegan,
    UnitReturned,
    UnpauseRequested,
    WakeAt,
    WarningRaised,
    WorkersRequested,
    WorkersStepRequested,
)


class Scheduler(RestoredMachine):
    """Decides what a run does next. The same stimuli at the same times give the same decisions.

    It keeps no secret: everything it knows follows from the plan and the events it has emitted, so `restore`
    can build its twin from a `RunView`.
    """

    __slots__ = ("_handlers", "_wake_at")

    def __init__(self, plan: ExecutionPlan, options: RunOptions) -> None:
        super().__init__(plan, options)
        self._wake_at: float | None = None
        self._handlers: dict[type[Any], Callable[[Any, float], None]] = {
            UnitReturned: self._on_returned,
            UnitBegan: self._on_began,
            LateReturned: self._on_late,
            ResultLost: self._on_result_lost,
            TimerFired: self._on_timer,
            CacheChecked: self._on_cache,
            ProgressReported: self._on_progress,
            SilenceReported: self._on_silence,
            RunRequested: self._on_run,
            ResumeRequested: self._on_resume,
            JournalReported: self._on_journal,
            CancelRequested: self._on_cancel,
            CancelRunRequested: self._on_cancel_run,
            InterruptRequested: self._on_interrupt,
            RetryRequested: self._on_retry,
            RedefineRequested: self._on_redefine,
            EditRequested: self._on_edit,
            SetAsideRequested: self._on_set_aside,
            ApproveRequested: self._on_approve,
            ReleaseRequested: self._on_release,
            PauseRequested: self._on_pause,
            UnpauseRequested: self._on_unpause,
            WorkersRequested: self._on_workers,
            WorkersStepRequested: self._on_workers_step,
            GovernorRequested: self._on_governor,
            LaneWorkersRequested: self._on_lane_workers,
            WarningRaised: self._on_warning,
        }

    def handle(self, stimulus: Stimulus, now: float) -> Decision:
        """Decide what `stimulus`, arriving at `now` (Unix seconds), leads to."""
        was_stalled = self._stalled() if self._left_behind else False
        self._handlers[type(stimulus)](stimulus, now)
        self._settle(now)
        if self._run is RunState.RUNNING:
            self._fill(now)
            while not self._active and self._open and self._stands_still():
                self._give_up_one(now)
                self._settle(now)
                self._fill(now)
            if self._asked or self._waiting_since is not None:
                self._count_waiting(now)
            if self._stopping is not None:
                self._watch_handlers()
            if not self._open or (
                self._stopping is not None and self._stopping.how == "interrupt" and not self._active
            ):
                self._finish_run(now)
        if self._left_behind and not was_stalled and self._stalled():
            self._events.append(Warned(-1, stalled_by(self._stuck), now))
        if self._run is RunState.RUNNING and self._timers and self._timers[0][0] != self._wake_at:
            self._wake_at = self._timers[0][0]
            self._effects.append(WakeAt(self._wake_at))
        decision = new(Decision, (self._events, self._effects))
        self._events, self._effects = [], []
        return decision

    def _stands_still(self) -> bool:
        """True if nothing goes on, and neither time nor a person nor an end of a brake could change that."""
        asks = self._asked or self._checking or self._left_behind
        if asks or self._paused or self._unsaved or self._stopping is not None or RETRYING in self._state:
            return False
        ready = [number for number, state in enumerate(self._state) if state is READY]
        if any(self._brakes.state(scope) != OPEN for number in ready for scope in self._limits.scopes[number]):
            return False
        return not any(state is PENDING and self._is_due(number) for number, state in enumerate(self._state))

    def _is_due(self, number: int) -> bool:
        """True for a pending unit that may be decided about, as in a run that has not been resumed yet."""
        if self._bad_need(number) is not None:
            return True
        if self._left[number] or number in self._held_back:
            return False
        return number not in self._undecided or self._failure_above(number) is not None

    def _give_up_one(self, now: float) -> None:
        """End one unit that can never start, a ready one if there is one; others may be able to start then.

        What a workflow says is checked for this before a run. Units that were added can still come to it.
        """
        state = READY if READY in self._state else PENDING
        number = self._state.index(state)
        if state is READY:
            begun = self._plan.item_of[number] in self._open_items
            limit = self._ready.shortage(self._limits.of(number, item_begun=begun)[1])
            why = f"what it wants of {limit} is never given back" if limit else "nothing lets it start"
        else:
            need = next((need for need in self._needs[number] if not self._met(number, need)), None)
            why = f"it waits for {self._plan.table[need].id}" if need is not None else "nothing lets it start"
        cause = f"{NEVER}{why}"
        self._events.append(Warned(number, cause, now))
        if state is READY:
            self._reset(number, cause, now)
        self._end_waiting(number, SKIPPED, cause, now)

    @property
    def plan(self) -> ExecutionPlan:
        """The plan, which may grow whenever a decision is made; numbers never change."""
        return self._plan

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
        self._let_go(number)
        if outcome.abandoned:
            self._leave_behind(number, slot, now)
        else:
            heappush(self._free_slots, slot)
        if not reason:
            if succeeded:
                self._complete(number, outcome, now)
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
            self._brake(number, CANCELED, now)

    def _on_began(self, stimulus: UnitBegan, now: float) -> None:
        number, attempt, pid, place = stimulus
        if attempt != self._attempt[number] or not self._slot[number] or self._state[number] is not READY:
            return
        self._start(number, pid, now, place)

    def _on_late(self, stimulus: LateReturned, now: float) -> None:
        number, attempt = stimulus
        if stimulus not in self._left_behind:
            return
        self._came_late(number, attempt, now)
        if self._run is RunState.RUNNING:
            self._decide_if_met(number, now)

    def _on_cache(self, stimulus: CacheChecked, now: float) -> None:
        number, generation, hit, reason, unchanged = stimulus
        if number not in self._checking or generation != self._generation[number] or self._run.ended:
            return  # canceled or run again meanwhile; a run that is reopened asks once more
        self._checking.discard(number)
        if hit:
            self._finish(number, COMPLETED, now, cause=reason, cached=True)
        else:
            self._events.append(CacheMissed(number, reason, now, unchanged))
            self._ask(number, now)

    def _on_progress(self, stimulus: ProgressReported, now: float) -> None:
        if stimulus.attempt == self._attempt[stimulus.unit] and self._state[stimulus.unit] is RUNNING:
            self._events.append(UnitProgress(*stimulus, now))

    def _on_silence(self, stimulus: SilenceReported, now: float) -> None:
        if stimulus.attempt == self._attempt[stimulus.unit] and self._state[stimulus.unit] is RUNNING:
            self._events.append(UnitSilent(*stimulus, now))

    def _on_warning(self, stimulus: WarningRaised, now: float) -> None:
        self._events.append(Warned(stimulus.unit, stimulus.message, now))

    # -- time --------------------------------------------------------------------------------------------

    def _on_timer(self, _stimulus: TimerFired, now: float) -> None:
        self._wake_at = None
        if self._run is not RunState.RUNNING:
            return  # an interrupted run keeps its back-offs for the day it is reopened
        while self._timers and self._timers[0][0] <= now:
            due, kind, number, attempt = heappop(self._timers)
            if number < 0 or kind == PROBE_TIMER:
                self._on_other_timer(kind, number, due, now)
                continue
            if attempt != self._attempt[number]:
                continue
            state = self._state[number]
            if kind == RETRY_TIMER and state is RETRYING:
                self._make_ready(number, now)
            elif kind == TIMEOUT_TIMER and state is RUNNING:
                limit = self._plan.table[number].timeout or 0.0
                self._stop(number, "timeout", f"timed out after {limit:g} s", now)
            elif kind == KILL_TIMER and state is CANCELING:
                self._kill(number, now)

    def _on_other_timer(self, kind: int, place: int, due: float, now: float) -> None:
        if kind == RUN_TIMER:
            self._on_run_timeout(now)
        elif kind == HANDLER_TIMER:
            self._on_handler_timeout(now)
        else:
            change = self._brakes.probe(list(self._options.brakes)[place], due, now)
            if change is not None:
                self._apply_brake(change, now)

    def _on_run_timeout(self, now: float) -> None:
        cause = f"the run timed out after {self._options.timeout:g} s"
        if not self._note_stopping(RunStopping(now, "timeout", cause)):
            self._cancel_waiting(cause, now)
            self._stop_all("cancel", cause, now, kill=False, handlers=False)
