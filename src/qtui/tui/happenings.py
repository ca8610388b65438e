"""What happened, in a line each: texts of events for people."""

from __future__ import annotations

import time
from typing import Final

from qtui.core.brakes import OPEN, STOPPED
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
    UnitRedefined,
    UnitReset,
    UnitRetrying,
    UnitSilent,
    UnitStale,
    Warned,
    WorkersChanged,
)
from qtui.core.holding import brake_words, governor_words, room_words, workers_words
from qtui.core.model import FAILURES, UnitState
from qtui.tui.format import SIGNS, Glyphs, Look, counted, last_line, short_clock
from qtui.tui.roles import Role
from qtui.tui.text import Span, clean

_ENDS: Final = {
    UnitState.COMPLETED: Look.OK,
    UnitState.FAILED: Look.FAIL,
    UnitState.TIMEOUT: Look.TIME,
    UnitState.SKIPPED: Look.SKIP,
    UnitState.CANCELED: Look.CANC,
}


def is_problem(event: Event) -> bool:
    """Whether somebody may want to do something about it."""
    match event:
        case UnitFinished():
            return event.state in FAILURES or event.fallback
        case BrakeChanged():
            return event.state != OPEN
        case JournalChanged():
            return bool(event.cause)
        case _:
            return isinstance(event, UnitRetrying | UnitAbandoned | ConfirmRequested | UnitStale | Warned)


def event_line(
    event: Event, name: str, glyphs: Glyphs, *, begun: bool = True, cluster: bool = False, allowed: bool = False
) -> tuple[Span, ...]:
    """Time of day, sign, the unit's name if it is about one, and a short text, as in `event_text`; `allowed` says that
    the unit may fail."""
    look = sign_of(event)
    allowed = allowed and isinstance(event, UnitFinished) and event.state in FAILURES
    if allowed:
        look = Look.ALLOWED
    warns = isinstance(event, Warned | UnitStale) or (isinstance(event, JournalChanged) and bool(event.cause))
    role = SIGNS[look].role if look else Role.WARNING if warns else Role.ACCENT
    sign = glyphs.sign(look) if look else "!" if warns else " "
    text = f"{'allowed, ' if allowed else ''}{event_text(event, begun=begun, cluster=cluster)}"
    return (
        Span(f"{_time_of_day(event.at)} ", Role.MUTED),
        Span(f"{sign} ", role),
        Span(f"{name}  " if name else "", Role.TEXT),
        Span(text, role if not name or look in _LOUD else Role.MUTED),
    )


def others_line(look: Look, count: int, at: float, name: str, glyphs: Glyphs) -> tuple[Span, ...]:
    """``22:15:12 ✓ 1,204 others  ok, last embed[shard=0]``: so many alike, and when and what the last one was."""
    return (
        Span(f"{_time_of_day(at)} ", Role.MUTED),
        Span(f"{glyphs.sign(look)} ", SIGNS[look].role),
        Span(f"{count:,} others  ", Role.TEXT),
        Span(f"{look.value}, last {name}", Role.MUTED),
    )


def _time_of_day(at: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at))


_LOUD: Final = (Look.FAIL, Look.TIME, Look.RETRY, Look.STOP, Look.CANC, Look.ASK)


def sign_of(event: Event) -> Look | None:
    """The look an event goes with, if there is one."""
    match event:
        case UnitFinished():
            return Look.HIT if event.cached else _ENDS[event.state]
        case UnitRetrying():
            return Look.RETRY
        case UnitCanceling():
            return Look.STOP
        case UnitReset():
            return Look.WAIT
        case ConfirmRequested():
            return Look.ASK
        case _:
            return None


def event_text(event: Event, *, begun: bool = True, cluster: bool = False) -> str:
    """What happened, in a few words, to a unit that has `begun` or that a lane only had, in a run here or on a
    `cluster`."""
    match event:
        case UnitFinished():
            return _end_text(event)
        case UnitRetrying():
            return f"{clean(str(event.error))}; tried again in {event.delay:g} s"
        case UnitCanceling():
            asked = "being killed" if event.killing else "asked to stop"
            return f"{asked if begun else 'taken back before it has begun'}: {clean(event.cause)}"
        case UnitAbandoned():
            return "could not be stopped: goes on by itself, its result will be dropped"
        case LateResult():
            return "its abandoned attempt has ended by itself"
        case UnitReset() | RunReopened():
            return clean(event.cause)
        case UnitRedefined():
            return f"has another definition from here on: {clean(event.cause)}"
        case UnitStale():
            return f"stale: {clean(event.cause)}"
        case RunResumed():
            return f"the run goes on: {clean(event.cause)}"
        case PlanReplaced():
            return f"the workflow has {counted(len(event.units), 'unit')} from here on"
        case JournalChanged():
            return (
                f"the record cannot be written: {clean(event.cause)}" if event.cause else "the record is written again"
            )
        case CacheMissed():
            return f"no earlier result: {clean(event.reason)}"
        case ConfirmRequested():
            return f"asks: {clean(event.question)}"
        case UnitApproved():
            return clean(event.by)
        case BrakeChanged():
            return _brake_text(event)
        case RunStarted():
            return f"run started with {room_words(event.workers, event.lane_workers, cluster=cluster)}"
        case RunPaused() | RunUnpaused():
            return clean(event.cause)
        case RunStopping():
            stopped = "the run is being stopped"
            how = {"drain": "nothing new starts", "stop": stopped, "timeout": stopped}.get(event.how, "interrupted")
            return f"{how}: {clean(event.cause)}"
        case RunFinished():
            return f"run {event.state.value} after {short_clock(event.duration)}"
        case WorkersChanged():
            return clean(workers_words(event, cluster=cluster))
        case GovernorChanged():
            return clean(governor_words(event, cluster=cluster))
        case UnitSilent():
            return "prints or computes again" if event.since is None else ""  # that it does not is a warning
        case Warned():
            return clean(event.message)
        case _:
            return ""


def _brake_text(event: BrakeChanged) -> str:
    """Nothing while failures are only counted."""
    if event.state == OPEN:
        return f"starts go on: {clean(event.cause)}" if event.cause else ""
    words = clean(brake_words(event))
    return f"stopped: {words}" if event.state == STOPPED else f"starts are held: {words}"


def _end_text(event: UnitFinished) -> str:
    if event.state is UnitState.COMPLETED:
        if event.cached:
            return f"hit: {clean(event.cause)}"
        if event.set_aside:
            return clean(event.cause)
        used = f" by fallback: {clean(str(event.error))}" if event.fallback else ""
        return f"ok {short_clock(event.duration)}{used}"
    if event.error is not None:
        word = "" if event.state is UnitState.TIMEOUT else "failed: "
        line = last_line(event.error)
        told = f"{word}{clean(str(event.error))}{' (abandoned)' if event.abandoned else ''}"
        return f"{told}: {line}" if line else told
    return clean(event.cause)
