"""What a signal, or the death of a process, has cut: units that began and have no end, in a run that does not go on."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from qtui.core.events import Event, UnitFinished, UnitReset, UnitStarted
from qtui.core.model import FAILURES, UnitState
from qtui.core.settling import CUT, CUT_FOR
from qtui.core.state import RunView, UnitView

INTERRUPTED: Final = "interrupted"
"""The state of such a unit, for people."""

ASKING: Final = "asking"
"""The state of a unit that waits for a person's yes, for people."""

ALLOWED: Final = "(allowed)"
"""Behind the state of units whose failure counts for nothing."""

WHEN_LOST: Final = "ran when its process was lost"


def says_cut(reset: UnitReset) -> bool:
    """True for the reset of a unit that ran when the run was interrupted."""
    return reset.cause == CUT or reset.cause.startswith(CUT_FOR)


def may_have_run(view: RunView, number: int) -> bool:
    """True for a unit that began, or had been handed to a lane, and has no end."""
    if view.states[number].ended:
        return False
    last = view.last[number]
    was_cut = isinstance(last, UnitReset) and says_cut(last)
    return was_cut or (view.begun[number] is not None and not isinstance(last, UnitReset))


def is_cut(view: RunView, number: int, lost: bool) -> bool:
    """Whether the unit was cut; in a run that goes on, it waits for its turn. `lost` says that nobody runs the run."""
    return (lost or view.state.ended) and may_have_run(view, number)


def counts_of(view: RunView, lost: bool = False) -> dict[str, int]:
    """How many units are in each state that any is in, those that were cut apart."""
    counts = {str(state): view.counts[state] for state in UnitState}
    if lost or view.state.ended:
        cut = [state for number, state in enumerate(view.states) if is_cut(view, number, lost)]
        for state in cut:
            counts[str(state)] -= 1
        counts[INTERRUPTED] = len(cut)
    return {state: count for state, count in counts.items() if count}


def told_counts(view: RunView, lost: bool = False) -> dict[str, int]:
    """As `counts_of`, for people: what is ready and waits for a person's yes is ``asking``, for it waits for no worker,
    and comes first, for nothing else ends that. Nobody is asked in a run that is `lost`. Failures that are allowed are
    ``failed (allowed)`` or ``timeout (allowed)``."""
    counts: dict[str, int] = {}
    for state, count in counts_of(view, lost).items():
        allowed = _allowed(view, state) if state in FAILURES else 0
        counts |= {state: count - allowed, f"{state} {ALLOWED}": allowed} if allowed else {state: count}
    counts = {state: count for state, count in counts.items() if count}
    asking = view.asked if not lost else 0
    if not asking:
        return counts
    ready = str(UnitState.READY)
    told = {ASKING: asking, **counts, ready: counts[ready] - asking}
    return {state: count for state, count in told.items() if count}


def _allowed(view: RunView, state: str) -> int:
    table = view.plan.table
    return sum(each == state and table[number].allow_failure for number, each in enumerate(view.states))


def cut_cause(unit: UnitView) -> str:
    """What a unit did when it was cut, in words."""
    if isinstance(unit.view.last[unit.number], UnitReset):
        return unit.cause
    if unit.state is UnitState.RETRYING:
        return f"waited for another try when its process was lost: {unit.cause}"
    return "was about to run when its process was lost" if unit.submitted else WHEN_LOST


def shown(view: RunView, lost: bool) -> RunView:
    """The view as a screen shows it: what was cut neither runs nor waits, but has an end, canceled, with its cause."""
    cut = [number for number in range(len(view.plan)) if is_cut(view, number, lost)]
    if not cut:
        return view
    states, last, counts, submitted = view.states.evolver(), view.last.evolver(), dict(view.counts), view.submitted
    for number in cut:
        unit = view.unit(number)
        states[number], last[number] = UnitState.CANCELED, _end(unit)
        counts[unit.state] -= 1
        counts[UnitState.CANCELED] += 1
        submitted -= unit.submitted
    view = replace(view, states=states.persistent(), last=last.persistent())
    return replace(view, counts=counts, submitted=submitted, silent={})


def _end(unit: UnitView) -> Event:
    view = unit.view
    begun = view.begun[unit.number]
    took = max(0.0, view.updated_at - begun.at) if isinstance(begun, UnitStarted) and unit.error is None else 0.0
    return UnitFinished(
        unit.number,
        unit.attempt,
        unit.generation,
        UnitState.CANCELED,
        view.updated_at,
        took,
        error=unit.error,
        cause=f"{INTERRUPTED}: {cut_cause(unit)}",
    )
