"""What is known about a run as plain data: what ``status --json`` and the reports are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from shlex import quote
from types import MappingProxyType
from typing import Any, Final

from qtui.core.cutting import INTERRUPTED, counts_of, cut_cause, is_cut
from qtui.core.events import ConfirmRequested, PlanReplaced, UnitFinished, UnitStarted
from qtui.core.model import FAILURES, UnitState
from qtui.core.session import RunSession
from qtui.core.state import RunView, UnitView

GONE: Final = "the process that ran it is gone"

LOST: Final = "lost"
"""The state of a run that has no end, and nobody who could bring it to one."""

Starts = Mapping[int, UnitStarted]
"""How attempts began that a signal has cut, by unit."""

NO_STARTS: Final[Starts] = MappingProxyType({})

_TELLING_SECONDS: Final = 1.0
"""That a unit ran for at least a shorter time than this tells nothing."""

_AT_WORK: Final = frozenset({UnitState.RUNNING, UnitState.CANCELING})


def run_state(view: RunView, lost: bool) -> str:
    """The state of the run in one word."""
    return LOST if lost and not view.state.ended else str(view.state)


def unit_state(unit: UnitView, lost: bool) -> str:
    """The state of the unit in one word. What ran in a lost run runs no more, although nobody could write that down."""
    return INTERRUPTED if is_cut(unit.view, unit.number, lost) else str(unit.state)


def was_lost(unit: UnitView, lost: bool) -> bool:
    """Whether the unit ran when its run was lost, so that nobody knows for how long it ran."""
    return lost and unit.state in _AT_WORK


def cut_starts(session: RunSession, view: RunView) -> Starts:
    """How the attempts began that a signal has cut. `view`, the session's, does not know: they are to run anew."""
    cut = {number for number in range(len(view.plan)) if is_cut(view, number, session.lost) and not view.begun[number]}
    if not cut:
        return NO_STARTS
    begun = session.opening.begun
    found = {n: begun[n] for n in cut if n < len(begun) and isinstance(begun[n], UnitStarted)}
    for seq, event in session.feed().take(0):
        if seq > view.seq:
            break
        if isinstance(event, PlanReplaced):
            found.clear()  # units have other numbers from here on
        elif isinstance(event, UnitStarted) and event.unit in cut:
            found[event.unit] = event
    return {number: start for number, start in found.items() if start.attempt == view.attempts[number]}


def moment_of(view: RunView, now: float, lost: bool) -> float:
    """When what is known was true: the last that a lost run said of itself, or `now`."""
    return view.updated_at if lost else now


def took(view: RunView, now: float, lost: bool, form: Callable[[float], str]) -> str:
    """How long processes ran it, as `form` writes seconds; ``at least ...`` if nobody knows how long it went on."""
    words = form(view.elapsed(moment_of(view, now, lost)))
    return f"at least {words}" if lost and not view.state.ended else words


def seconds_of(unit: UnitView, now: float, starts: Starts) -> float | None:
    """Seconds of the unit's latest attempt, or None if there was none; the least if `was_lost`."""
    start = starts.get(unit.number)
    return max(0.0, unit.view.last[unit.number].at - start.at) if start is not None else unit.elapsed(now)


def unit_took(unit: UnitView, now: float, lost: bool, starts: Starts, form: Callable[[float], str]) -> str:
    """How long the unit ran, as `form` writes seconds; ``at least ...`` if nobody knows how long it went on, and empty
    if it never ran, or nothing that tells anything is known."""
    seconds = seconds_of(unit, now, starts)
    if seconds is None:
        return ""
    if not was_lost(unit, lost):
        return form(seconds)
    return f"at least {form(seconds)}" if seconds >= _TELLING_SECONDS else ""


def told_cause(unit: UnitView, now: float, lost: bool, form: Callable[[float], str]) -> str:
    """Why the unit is in its state, and what it did when it was cut; empty if the state says all."""
    if not is_cut(unit.view, unit.number, lost):
        return unit.cause
    least = unit_took(unit, now, True, NO_STARTS, form) if was_lost(unit, lost) else ""
    return f"{cut_cause(unit)}, for {least}" if least else cut_cause(unit)


def run_data(run: str, view: RunView, now: float, *, lost: bool = False, starts: Starts = NO_STARTS) -> dict[str, Any]:
    """The run and its units as JSON-ready data; times are Unix seconds, durations seconds.

    ``run``, ``name``, ``state`` (a RunState's value or ``lost``), ``paused``, ``exit_code`` (null before the end),
    ``started``, ``ended``, ``duration`` (in which processes ran it; of a lost run the least that it can have been),
    ``unsaved`` (why the record cannot be written, or empty), ``lost`` (that nobody runs it any more, and the command
    that goes on with it; null for any other), ``asking`` (how many units wait for a person), ``counts`` by state, and
    ``units``: see `unit_data`.
    """
    at, end = moment_of(view, now, lost), view.finished
    is_lost = lost and not view.state.ended
    return {
        "run": run,
        "name": view.name,
        "state": run_state(view, lost),
        "paused": view.paused,
        "exit_code": end.exit_code if end is not None else None,
        "started": view.started_at,
        "ended": end.at if end is not None else None,
        "duration": round(view.elapsed(at), 6),
        "unsaved": view.unsaved,
        "lost": {"message": GONE, "command": f"qtui resume {run}"} if is_lost else None,
        "asking": view.asked if not is_lost else 0,
        "counts": counts_of(view, lost),
        "units": [unit_data(run, unit, at, lost, starts) for unit in view.units],
    }


def unit_data(run: str, unit: UnitView, now: float, lost: bool, starts: Starts) -> dict[str, Any]:
    """A unit: ``id``, ``family``, ``state``, ``attempt``, ``generation``, ``mode``, ``place`` (the worker of a
    cluster that the latest attempt ran on, or empty), ``started``, ``duration`` (null if it never ran, and the least
    that it can have been if it ran when its run was lost), ``cause``, ``error`` (``type``,
    ``message``, ``exit_code``, or null), and what must not be overlooked: ``cached``, ``fallback``, ``abandoned``,
    ``allowed``, ``stale`` (why, or empty), ``silent`` (for how many seconds it has been silent and idle, if that is
    longer than its ``stall``, else null), ``asks`` (the ``question`` that it waits for a yes to, and the ``command``
    that says it, or null)."""
    end, error, seconds = unit.finished, unit.error, seconds_of(unit, now, starts)
    start, silent = starts.get(unit.number), unit.silent_for(now)
    return {
        "id": unit.id,
        "family": unit.unit.name,
        "state": unit_state(unit, lost),
        "attempt": unit.attempt,
        "generation": unit.generation,
        "mode": str(unit.lane),
        "place": unit.place,
        "started": start.at if start is not None else unit.started_at,
        "duration": round(seconds, 6) if seconds is not None else None,
        "cause": unit.cause,
        "error": None
        if error is None
        else {"type": error.type, "message": error.message, "exit_code": error.exit_code},
        "cached": end is not None and end.cached,
        "fallback": end is not None and end.fallback,
        "abandoned": end is not None and end.abandoned,
        "allowed": is_allowed(unit),
        "stale": unit.view.stale.get(unit.number, ""),
        "silent": round(silent, 3) if silent is not None and not lost else None,
        "asks": _asks(run, unit) if not lost else None,
    }


def _asks(run: str, unit: UnitView) -> dict[str, str] | None:
    last = unit.view.last[unit.number]
    if not isinstance(last, ConfirmRequested):
        return None
    return {"question": last.question, "command": f"qtui approve {run} {quote(unit.id)}"}


def is_allowed(unit: UnitView) -> bool:
    """Whether the unit failed and that counts for nothing."""
    return unit.state in FAILURES and unit.unit.allow_failure


def failures(view: RunView) -> Iterator[tuple[UnitView, UnitFinished]]:
    """The units that failed or timed out, with their ends."""
    for unit in view.units:
        if unit.state in FAILURES and (end := unit.finished) is not None:
            yield unit, end
