"""The events pane: what happened, newest at the bottom."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import ClassVar

from textual.binding import BindingType
from textual.geometry import Region

from qtui.core.events import Event
from qtui.core.plan import ExecutionPlan
from qtui.tui.actions import USUAL, Keymap, Where, bindings
from qtui.tui.beat import Beat
from qtui.tui.eventlist import EventList, Happened, Others
from qtui.tui.format import Glyphs
from qtui.tui.happenings import event_line, others_line
from qtui.tui.tabs.entry import Goal, Row
from qtui.tui.text import clean
from qtui.tui.widgets.cursor import CursorLines
from qtui.tui.widgets.lines import set_row_count, set_title


class EventsPane(CursorLines):
    """Keeps the last few thousand events; follows the end until one goes up. Enter opens the unit of an event.

    `plan` is the one that holds before the first event; `number` finds a unit by its id, if it is there; the run
    is `clustered` if it may send units to a cluster. A painting that scrolls costs the whole pane: there are two a
    second at most.
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings(Where.EVENTS)

    def __init__(
        self,
        plan: ExecutionPlan,
        glyphs: Glyphs,
        *,
        number: Callable[[str], int | None] = lambda _: None,
        may_fail: Callable[[int], bool] = lambda _: False,
        keymap: Keymap = USUAL,
        clustered: bool = False,
        id: str | None = None,  # noqa: A002
    ) -> None:
        super().__init__(glyphs, keymap=keymap, id=id)
        self._list = EventList(plan)
        self._number = number
        self._may_fail = may_fail
        self._clustered = clustered
        self.ellipsis = glyphs.ellipsis
        self._only_problems = False
        self._following = True
        self._height = 0  # that it was arranged for
        self._painted = (0, 0)  # how many lines there had been, and events counted in them
        self._beat = Beat()

    @property
    def _events(self) -> deque[Happened | Others]:
        return self._list.problems if self._only_problems else self._list.all

    @property
    def _reached(self) -> tuple[int, int]:
        events = self._list
        return (events.problems_added, 0) if self._only_problems else (events.added, events.counted)

    def add(self, events: Iterable[Event]) -> None:
        """Append what people care about of `events`; call it in every frame, as a flood is painted less often."""
        self._list.add(events)
        if self._beat.due(changed=self._reached != self._painted):
            self._paint()

    def _paint(self) -> None:
        """Show the events that there are; who reads earlier ones keeps their place, also when others are dropped."""
        before, self._painted = self._painted, self._reached
        added, grown = self._painted[0] - before[0], len(self._events) - self.virtual_size.height
        if added or grown:
            self._show(dropped=added - grown)
            return
        top, last = int(self.scroll_offset.y), len(self._events) - 1
        for at in range(last, last - self._list.open_lines, -1):
            if top <= at < top + self.size.height:
                self.refresh(Region(0, at - top, self.size.width, 1))

    def _show(self, *, dropped: int = 0) -> None:
        set_row_count(self, len(self._events))
        if self._following:
            self._go_to_end()
        elif dropped:
            self.at = max(0, self.at - dropped)
            self.scroll_to(y=max(0, self.scroll_offset.y - dropped), animate=False, force=True)

    def _go_to_end(self) -> None:
        self.at = max(0, len(self._events) - 1)
        self.scroll_to(y=max(0, len(self._events) - self.size.height), animate=False, force=True)

    @property
    def count(self) -> int:
        """How many lines there are to see."""
        return len(self._events)

    @property
    def leads(self) -> bool:
        """Most events are about a unit."""
        return bool(self._events)

    def row(self, at: int) -> Row:
        """The line at this place."""
        line = self._events[at]
        event, unit = line.event, line.unit
        name = clean(unit) or "?" if unit else ""
        number = self._number(unit) if unit else None
        if isinstance(line, Others) and line.count > 1:
            spans = others_line(line.look, line.count, event.at, name, self._glyphs)
        else:
            allowed = number is not None and self._may_fail(number)
            spans = event_line(event, name, self._glyphs, begun=line.begun, cluster=self._clustered, allowed=allowed)
        return Row(spans, Goal(number) if number is not None else None)

    def go_to(self, at: int) -> None:
        """Be at this event; the last one is followed by those to come."""
        super().go_to(at)
        self._following = self.at >= len(self._events) - 1

    def action_problems(self) -> None:
        """Show only what is a problem, or all again."""
        self._only_problems = not self._only_problems
        self._following = True
        self._painted = self._reached
        self.write_title()
        self._show()

    def begin_anew(self, plan: ExecutionPlan) -> None:
        """Forget all events; `plan` is the one that holds before those to come, which are shown at once."""
        self._list = EventList(plan)
        self.at, self._painted = 0, (0, 0)
        self._beat.hurry()  # the former vanish also if none come

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Following ends when one scrolls up and begins again at the end."""
        super().watch_scroll_y(old_value, new_value)
        if self.size.height != self._height:
            return  # more or fewer rows moved it, and no person: see on_resize
        self._following = new_value >= self.max_scroll_y
        top, last = int(new_value), int(new_value) + max(1, self.size.height) - 1
        self.at = min(max(self.at, top), last, max(0, len(self._events) - 1))

    def on_mount(self) -> None:
        """Name the pane."""
        self.write_title()

    def write_title(self) -> None:
        """Put the pane's name into its border."""
        set_title(self, "Events  problems only" if self._only_problems else "Events")

    def on_resize(self) -> None:
        """Stay at the end while following, else at the event where one is."""
        self._height = self.size.height
        if self._following:
            self._go_to_end()
        elif self.leads and self._height:
            self.keep_in_sight(self.at, self._height)
            self.refresh()
