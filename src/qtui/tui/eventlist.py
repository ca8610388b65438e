"""The list of what happened, in which a flood of ordinary events takes a line; pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final, NamedTuple

from qtui.core.events import Event, UnitFinished, UnitProgress, UnitReady, UnitReset, UnitStarted, UnitSubmitted
from qtui.core.model import UnitState
from qtui.core.plan import ExecutionPlan
from qtui.tui.eventnames import EventNames
from qtui.tui.format import Look
from qtui.tui.happenings import event_text, is_problem, sign_of

MOST_EVENTS: Final = 2_000
MOST_A_SECOND: Final = 10
"""Ordinary events that are told one by one; of more nobody could read any."""

# these come with every unit, or many times a second; the tree shows them
_SILENT: Final = frozenset({UnitReady, UnitSubmitted, UnitStarted, UnitProgress})


class Happened(NamedTuple):
    """An event, and the id of the unit that it is about; empty if it is about the whole run. `begun` is False for a
    unit that a lane has, and has not begun."""

    event: Event
    unit: str
    begun: bool


class Others:
    """So many further events that look alike; the last of them, and the id of its unit."""

    __slots__ = ("begun", "count", "event", "look", "unit")

    def __init__(self, look: Look, event: Event, begun: bool) -> None:
        self.look, self.event, self.unit, self.begun, self.count = look, event, "", begun, 1


class EventList:
    """The last few thousand lines, newest last: each an event, or `Others`.

    Ends of units and the like are ordinary: once there have been more than `MOST_A_SECOND` within a second, further
    ones are counted, until there are fewer again. A problem always has a line of its own, and what follows it is
    counted in a line below. `plan` is the one that holds before the first event.
    """

    def __init__(self, plan: ExecutionPlan) -> None:
        self._names = EventNames(plan)
        self.all: deque[Happened | Others] = deque(maxlen=MOST_EVENTS)
        self.problems: deque[Happened | Others] = deque(maxlen=MOST_EVENTS)
        self._counting: dict[Look, Others] = {}  # the lines at the end that count
        self._unbegun: set[int] = set()
        self._times: deque[float] = deque([float("-inf")] * MOST_A_SECOND, maxlen=MOST_A_SECOND)
        self.added = self.problems_added = 0
        """How many lines there have ever been."""
        self.counted = 0
        """How many events were counted in lines that were there."""

    @property
    def open_lines(self) -> int:
        """How many lines at the end of `all` may still change."""
        return len(self._counting)

    def add(self, events: Iterable[Event]) -> None:
        """Take what people care about of `events`."""
        times, counting = self._times, self._counting
        for event in events:
            if type(event) in _SILENT:
                self._note_begin(event)
                continue
            look = _ordinary(event)
            if look is None:
                self._add_other(event)
                continue
            flood = event.at - times[0] < 1.0
            times.append(event.at)
            others = counting.get(look)
            if not flood:
                self._name_last()
                self._append(self._happened(event))
            elif others is None:
                others = Others(look, event, self._has_begun(event))
                self._append(others, counts=True)
                counting[look] = others
            else:
                others.event = event
                others.count += 1
                self.counted += 1
        self._name_last()

    def _add_other(self, event: Event) -> None:
        """Take what does not come in numbers, or is a problem."""
        self._name_last()
        happened = self._happened(event)
        if not event_text(event):
            return
        self._append(happened)
        if is_problem(event):
            self.problems.append(happened)
            self.problems_added += 1

    def _happened(self, event: Event) -> Happened:
        return Happened(event, self._names.id_of(event), self._has_begun(event))

    def _note_begin(self, event: Event) -> None:
        if type(event) is UnitSubmitted:
            self._unbegun.add(event.unit)
        elif type(event) is UnitStarted:
            self._unbegun.discard(event.unit)

    def _has_begun(self, event: Event) -> bool:
        return getattr(event, "unit", -1) not in self._unbegun

    def _name_last(self) -> None:
        """Find the units of the lines that count, which have gone on: of a flood only the last one is named, but before
        its number means something else."""
        for others in self._counting.values():
            others.unit = self._names.id_of(others.event)

    def _append(self, line: Happened | Others, *, counts: bool = False) -> None:
        if not counts:
            self._counting.clear()
        self.all.append(line)
        self.added += 1


def _ordinary(event: Event) -> Look | None:
    """The look of what comes in numbers and is no problem."""
    if type(event) is UnitFinished and event.state is UnitState.COMPLETED and not event.fallback:
        return Look.HIT if event.cached else Look.OK  # of all the most frequent
    if type(event) is UnitReset:
        return Look.WAIT
    look = sign_of(event)
    return look if look is not None and not is_problem(event) else None
