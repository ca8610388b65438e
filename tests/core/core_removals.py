"""How each thing that is in a unit's way goes away, in the model: as an event that ends it, or as room for the unit."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from qtui.core.brakes import OPEN
from qtui.core.events import (
    BrakeChanged,
    Event,
    JournalChanged,
    LateResult,
    RunReopened,
    RunStarted,
    RunUnpaused,
    UnitFinished,
    UnitReady,
    WorkersChanged,
)
from qtui.core.folding import fold
from qtui.core.model import RunState, UnitState
from qtui.core.obstacles import (
    Abandoned,
    BackOff,
    Blame,
    Braked,
    Busy,
    Cause,
    Ending,
    First,
    Handed,
    HeldBack,
    LookUp,
    Needs,
    NotBegun,
    Over,
    Paused,
    Question,
    Reserved,
    Short,
    Unsaved,
)
from qtui.core.options import RunOptions
from qtui.core.ready import Terms
from qtui.core.scheduler import Scheduler
from qtui.core.state import RunView
from qtui.core.stimuli import ApproveRequested, CacheChecked, UnitBegan
from qtui.core.targets import WorkerTargets

STARTED, DECIDED, WAITS = "started", "decided", "waits"


def after(
    options: RunOptions,
    view: RunView,
    number: int,
    removed: Collection[Cause],
    now: float,
    kept: Cause | None = None,
) -> str:
    """What becomes of a unit once these causes have gone, all else being as it is in `view`; `kept` is still there,
    also where what is removed could not have gone before it."""
    left = kept.units if isinstance(kept, Needs | Blame | HeldBack) else ()
    for cause in removed:
        view = fold(view, list(_ended(options, view, number, cause, left, now)))
    scheduler = Scheduler.restore(options, view)
    for cause in removed:
        if isinstance(cause, Short):
            lacking = cause.share.wanted - scheduler._ready.free(cause.share.limit)
            scheduler._ready.give_back(Terms(((cause.share.limit, lacking),)))
        elif isinstance(cause, First | Reserved):
            for other in cause.units:
                scheduler._ready.discard(other)
    if view.state is RunState.RUNNING and view.states[number] is UnitState.PENDING:
        scheduler._decide_if_met(number, now)
    # before anything else is decided: what else could start waits for its turn, as the unit will
    if any(isinstance(cause, LookUp) for cause in removed):
        scheduler._on_cache(CacheChecked(number, view.generations[number], hit=False, reason=""), now)
    if any(isinstance(cause, Question) for cause in removed):
        scheduler._on_approve(ApproveRequested((number,)), now)
    if any(isinstance(cause, Handed) for cause in removed):
        scheduler._on_began(UnitBegan(number, view.attempts[number]), now)
    scheduler._settle(now)
    if view.state is RunState.RUNNING:
        scheduler._fill(now)  # and no more of `handle`: it gives up what can never start without the units taken away
    state = scheduler._state[number]
    if state is UnitState.RUNNING or (scheduler._slot[number] and not view.unit(number).submitted):
        return STARTED
    return DECIDED if state.ended else WAITS


def _ended(
    options: RunOptions, view: RunView, number: int, cause: Cause, left: Collection[int], now: float
) -> Iterator[Event]:
    """What happens when a cause goes, where that is an event; the units in `left` do not end."""
    match cause:
        case Needs(units) | Blame(units) | HeldBack(units):
            # a handler may want a failure; a hit of the cache teaches nothing about how long units take
            fails = view.plan.table[number].when == "failure"
            for unit in _all_that_ends_before(view, units, left):
                how = UnitState.FAILED if fails and unit in units else UnitState.COMPLETED
                yield UnitFinished(unit, view.attempts[unit], view.generations[unit], how, now, cached=True)
        case Abandoned(attempts):
            slots = {key: left.worker for key, left in view.left_behind.items()}
            for attempt in attempts:
                slot = slots.pop((number, attempt)) or next((slot for slot in slots.values() if slot), 0)
                slots = {key: 0 if kept == slot else kept for key, kept in slots.items()}
                yield LateResult(number, attempt, slot, now)
        case BackOff():
            yield UnitReady(number, now)
        case NotBegun():
            targets = WorkerTargets(view.plan.lanes, options)
            lanes = {str(lane): target for lane, target in targets.of_lane.items()}
            yield RunStarted(now, "", targets.together, targets.governed, lanes)
        case Over() | Ending():
            yield RunReopened(now, "")
        case Unsaved():
            yield JournalChanged("", now)
        case Paused():
            yield RunUnpaused(now, "")
        case Braked(brake):
            yield BrakeChanged(brake.scope, OPEN, 0, "", "", now)
        case Busy(more=more):
            yield WorkersChanged(view.workers + more, "", now, "", view.workers + more)
        case _:
            pass


def _all_that_ends_before(view: RunView, units: Collection[int], left: Collection[int]) -> list[int]:
    """These units, and what those of them that wait need before them, but for those in `left`."""
    found = list(units)
    for unit in found:
        above = view.plan.needs[unit] if view.states[unit] is UnitState.PENDING else ()
        still = [other for other in above if not view.states[other].ended and other not in left]
        found += [other for other in still if other not in found]
    return found
