"""The fold: what is known about a run, after some more of its events. Pure, so it is the same wherever it is made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any, assert_never

from qtui.core.batching import wants_durations, with_duration
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
    UnitSilent,
    UnitStale,
    UnitStarted,
    UnitSubmitted,
    Warned,
    WorkersChanged,
)
from qtui.core.growth import grow
from qtui.core.innocence import LOSSES, innocent
from qtui.core.limits import learned_peak
from qtui.core.model import ExecutionMode, RunState, UnitState
from qtui.core.redefining import redefine
from qtui.core.state import RunView


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
        self._left_behind, self._silent = view.left_behind, view.silent
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
                if type(event) is CacheMissed and event.unchanged:
                    self._changes["missed"] = {**self._known("missed"), event.unit: event.reason}
            case UnitProgress():
                self._progress[event.unit] = event
            case UnitSilent():
                self._note_silence(event)
            case UnitRetrying():
                self._step(event.unit, UnitState.RETRYING, event)
                self._forgive(event)
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
                self._changes["stale"] = {**self._known("stale"), event.unit: event.cause}
            case UnitReset():
                self._step(event.unit, UnitState.PENDING, event)
                self._generations[event.unit] = event.generation
                if event.attempts:
                    self._attempts[event.unit] = event.attempts
                self._bases[event.unit] = self._attempts[event.unit]
                self._begun[event.unit] = None
                for name in ("stale", "missed", "losses"):
                    if event.unit in (known := self._known(name)):
                        self._changes[name] = {n: what for n, what in known.items() if n != event.unit}
                if event.losses:
                    self._changes["losses"] = {**self._known("losses"), event.unit: event.losses}
            case _:
                self._apply_to_run(event)
        self._changes["updated_at"] = event.at
        if self._asked or self._waiting_since is not None:
            self._count_waiting(event.at)

    def _known(self, name: str) -> Any:
        """What the view says by now in the field `name`, one of those that `_changes` has."""
        return self._changes[name] if name in self._changes else getattr(self._view, name)

    def _note_silence(self, event: UnitSilent) -> None:
        others = {number: since for number, since in self._silent.items() if number != event.unit}
        self._silent = others if event.since is None else {**others, event.unit: event.since}

    def _forgive(self, event: UnitRetrying) -> None:
        """An attempt that is made again for free does not count, but how often that was done does."""
        losses = self._known("losses")
        before = losses.get(event.unit, 0)
        self._bases[event.unit] += innocent(self._plan.table[event.unit], event.error, before)
        if event.error.type in LOSSES:
            self._changes["losses"] = {**losses, event.unit: before + 1}

    def _learn_peak(self, event: UnitFinished) -> None:
        unit, peaks = self._plan.table[event.unit], self._known("peaks")
        peak = learned_peak(unit, peaks, event.peak_memory)
        if peak is not None:
            self._changes["peaks"] = {**peaks, unit.name: peak}

    def _learn_duration(self, event: UnitFinished) -> None:
        unit = self._plan.table[event.unit]
        if wants_durations(unit):
            self._changes["durations"] = with_duration(self._known("durations"), unit, event.duration)

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
        former = [self._view.former.get(unit.id, (0, 0)) for unit in islice(self._plan.table, before, None)]
        for column in (self._attempts, self._bases):
            column.extend([attempts for attempts, _ in former])
        self._generations.extend([generation + 1 for _, generation in former])
        for column, value in (
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
                change["brakes"] = {**self._known("brakes"), event.scope: event}
            case WorkersChanged():
                change["workers"] = event.workers
                if event.lane and event.target and self._known("governed"):
                    change["lane_workers"] = {**self._known("lane_workers"), event.lane: event.target}
                if event.lane == ExecutionMode.CUSTOM:
                    change["unmanned_at"] = None if event.target else event.at
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
        started_at, finished = self._known("started_at"), self._known("finished")
        self._running = True
        self._waited = 0.0
        if started_at is not None and finished is not None:
            self._changes["started_at"] = started_at + (event.at - finished.at)
        self._changes.update(state=RunState.RUNNING, finished=None, stopping=None, opened_at=event.at, unmanned_at=None)

    def _resume(self, event: RunResumed) -> None:
        """The run goes on; the time in which nobody ran it does not count."""
        started_at, finished = self._known("started_at"), self._known("finished")
        until = finished.at if finished is not None else self._known("updated_at")
        ran = until - started_at if started_at is not None else 0.0
        self._running, self._left_behind = True, {}
        self._waited, self._waiting_since = 0.0, None
        self._changes.update(state=RunState.RUNNING, finished=None, stopping=None, paused=False, unsaved="")
        self._changes.update(workers=event.workers, governed=event.governed, lane_workers=event.lane_workers)
        self._changes.update(started_at=event.at - ran, opened_at=event.at, brakes={}, stale={}, unmanned_at=None)

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
        if number in self._silent:
            self._silent = {other: since for other, since in self._silent.items() if other != number}
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
            silent=self._silent,
            **self._changes,
        )


def _without(left: Mapping[tuple[int, int], UnitAbandoned], late: LateResult) -> dict[tuple[int, int], UnitAbandoned]:
    """What is left behind once `late` has ended; its own slot, or else the one it lets another give back, is free."""
    kept = {key: event for key, event in left.items() if key != (late.unit, late.attempt)}
    return {key: event._replace(worker=0) if event.worker == late.worker else event for key, event in kept.items()}
