"""The events pane: what happened, newest at the bottom."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from typing import ClassVar, Final

from textual.binding import BindingType

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
    UnitProgress,
    UnitReady,
    UnitRedefined,
    UnitReset,
    UnitRetrying,
    UnitStale,
    UnitStarted,
    UnitSubmitted,
    Warned,
    WorkersChanged,
)
from qtui.core.holding import brake_words, governor_words, workers_words
from qtui.core.model import UnitState
from qtui.core.plan import ExecutionPlan
from qtui.core.session import Record
from qtui.tui.eventnames import EventNames
from qtui.tui.format import SIGNS, Glyphs, Look, counted, short_clock
from qtui.tui.roles import Role
from qtui.tui.text import Span, clean
from qtui.tui.widgets.lines import Line, Lines, set_row_count, set_title

MOST_EVENTS: Final = 2_000
PAINT_SECONDS: Final = 0.5
"""The least time between two paintings: nobody reads faster, and each costs the whole pane."""

# these come with every unit, or many times a second; the tree shows them
_SILENT: Final = (UnitReady, UnitSubmitted, UnitStarted, UnitProgress)

_ENDS: Final = {
    UnitState.COMPLETED: Look.OK,
    UnitState.FAILED: Look.FAIL,
    UnitState.TIMEOUT: Look.TIME,
    UnitState.SKIPPED: Look.SKIP,
    UnitState.CANCELED: Look.CANC,
}


class EventsPane(Lines, can_focus=True):
    """Keeps the last few thousand events; follows the end until one scrolls up.

    `plan` is the one that holds before the first event.
    """

    BINDINGS: ClassVar[list[BindingType]] = Lines.SCROLL_KEYS

    def __init__(self, plan: ExecutionPlan, glyphs: Glyphs, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._names = EventNames(plan)
        self._glyphs = glyphs
        self.ellipsis = glyphs.ellipsis
        self._events: deque[tuple[Event, str]] = deque(maxlen=MOST_EVENTS)
        self._following = True
        self._new = 0
        self._paint_after = 0.0

    def add(self, records: Iterable[Record]) -> None:
        """Append what people care about of `records`; call it in every frame, as a flood is painted less often."""
        for _, event in records:
            if not isinstance(event, _SILENT):
                name = self._names.name_of(event)
                if event_text(event):
                    self._events.append((event, name))
                    self._new += 1
        if not self._new or time.monotonic() < self._paint_after:
            return
        self._new, self._paint_after = 0, time.monotonic() + PAINT_SECONDS
        set_row_count(self, len(self._events))
        if self._following:
            self.scroll_to(y=max(0, len(self._events) - self.size.height), animate=False, force=True)

    def line(self, at: int) -> Line:
        """The event at this place, as a line."""
        return event_line(*self._events[at], self._glyphs) if at < len(self._events) else ()

    def begin_anew(self, plan: ExecutionPlan) -> None:
        """Forget all events; `plan` is the one that holds before those to come, which are shown at once."""
        self._events.clear()
        self._names = EventNames(plan)
        self._paint_after = 0.0
        self._new = 1  # the former vanish also if none come

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Following ends when one scrolls up and begins again at the end."""
        super().watch_scroll_y(old_value, new_value)
        self._following = new_value >= self.max_scroll_y

    def on_mount(self) -> None:
        """Name the pane."""
        self.write_title()

    def write_title(self) -> None:
        """Put the pane's name into its border."""
        set_title(self, "Events")

    def on_resize(self) -> None:
        """Stay at the end while following."""
        if self._following:
            self.scroll_to(y=self.max_scroll_y, animate=False, force=True)


def event_line(event: Event, name: str, glyphs: Glyphs) -> Line:
    """Time of day, sign, the unit's name if it is about one, and a short text."""
    look = sign_of(event)
    at = time.strftime("%H:%M:%S", time.localtime(event.at))
    warns = isinstance(event, Warned | UnitStale) or (isinstance(event, JournalChanged) and bool(event.cause))
    role = SIGNS[look].role if look else Role.WARNING if warns else Role.ACCENT
    sign = glyphs.sign(look) if look else "!" if warns else " "
    return (
        Span(f"{at} ", Role.MUTED),
        Span(f"{sign} ", role),
        Span(f"{name}  " if name else "", Role.TEXT),
        Span(event_text(event), role if not name or look in _LOUD else Role.MUTED),
    )


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


def event_text(event: Event) -> str:
    """What happened, in a few words."""
    match event:
        case UnitFinished():
            return _end_text(event)
        case UnitRetrying():
            return f"{clean(str(event.error))}; tried again in {event.delay:g} s"
        case UnitCanceling():
            return f"{'being killed' if event.killing else 'asked to stop'}: {clean(event.cause)}"
        case UnitAbandoned():
            return "could not be stopped: goes on by itself, its result will be dropped"
        case LateResult():
            return "its abandoned attempt has ended by itself"
        case UnitReset() | RunReopened():
            return clean(event.cause)
        case UnitRedefined():
            return "runs as its file says now from here on"
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
            return f"run started with {event.workers} workers"
        case RunPaused() | RunUnpaused():
            return clean(event.cause)
        case RunStopping():
            stopped = "the run is being stopped"
            how = {"drain": "nothing new starts", "stop": stopped, "timeout": stopped}.get(event.how, "interrupted")
            return f"{how}: {clean(event.cause)}"
        case RunFinished():
            return f"run {event.state.value} after {short_clock(event.duration)}"
        case WorkersChanged():
            return clean(workers_words(event))
        case GovernorChanged():
            return clean(governor_words(event))
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
        used = f" by fallback: {clean(str(event.error))}" if event.fallback else ""
        return f"ok {short_clock(event.duration)}{used}"
    if event.error is not None:
        word = "" if event.state is UnitState.TIMEOUT else "failed: "
        return f"{word}{clean(str(event.error))}{' (left behind)' if event.abandoned else ''}"
    return clean(event.cause)
