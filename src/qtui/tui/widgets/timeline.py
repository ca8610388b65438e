"""The timeline: units as bars in time, of the past and as expected, with keys to look closer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from math import inf
from operator import is_
from typing import TYPE_CHECKING, ClassVar, Final

from textual import events
from textual.binding import BindingType
from textual.geometry import Region
from textual.strip import Strip

from qtui.tui.actions import USUAL, Keymap, Where, bindings
from qtui.tui.bridge import Bridge
from qtui.tui.format import Glyphs
from qtui.tui.keys import key_for
from qtui.tui.layout import Key
from qtui.tui.roles import Role
from qtui.tui.tabs.attempts import Attempts
from qtui.tui.tabs.entry import Goal, Row
from qtui.tui.text import PLAIN, Span, clean, pad
from qtui.tui.timeaxis import Window, axis, whole
from qtui.tui.timeline import (
    bars_of,
    bars_width,
    bundle_name,
    critical_nodes,
    folded_line,
    legend,
    line_of,
    name_width,
    row_of,
    rows_of,
    span_of_run,
    starts_of,
    title,
    top_that_follows,
)
from qtui.tui.widgets.cursor import CursorLines
from qtui.tui.widgets.lines import Line, set_row_count, set_title, strip_of, theme_of

if TYPE_CHECKING:
    from qtui.core.forecast import Forecast
    from qtui.tui.forecaster import Told

PAINT_SECONDS: Final = 0.5
"""The least time between two paintings of the same."""
TIME_SECONDS: Final = 2.0
"""The same while nothing but time has passed: then each row is written, up to the line of now."""
MOST_SHARE: Final = 50
"""The time between two paintings is so many times as long as one takes: all starts of ten thousand units are sorted."""
LEGEND_FROM: Final = 8
LEGEND_WIDTH: Final = 70
"""The least lines and cells of a pane in which a line tells what the textures mean."""
_TITLE_GAPS: Final = 4


class TimelinePane(CursorLines):
    """A line with the axis, the rows, and where there is room a line that tells what they are made of.

    The rows follow the time, so that what goes on is in sight, until a person selects a unit or moves; the window is
    the whole run until somebody zooms or pans, of one that is played again up to the moment `until`.
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings(Where.TIMELINE)

    def __init__(
        self,
        bridge: Bridge,
        attempts: Attempts,
        glyphs: Glyphs,
        *,
        keymap: Keymap = USUAL,
        until: float = 0.0,
        id: str | None = None,  # noqa: A002  - Textual's name
    ) -> None:
        super().__init__(glyphs, keymap=keymap, id=id)
        self._bridge, self._attempts, self._until = bridge, attempts, until
        self._told: Told | None = None
        self._forecast: Forecast | None = None
        self._error = ""
        self._now = self._clock = 0.0
        self._counted: Told | None = None
        self._rows: list[int] = []
        self._order: dict[int, float] = {}
        self._starts: list[float] = []
        self._critical: frozenset[int] = frozenset()
        self._known: tuple[object, ...] | None = None  # what the rows were made of
        self._layout = bridge.layout  # whose nodes they are
        self._opened: frozenset[Key] = frozenset()
        self._watched: Key | None = None
        self._reached: Key | None = None  # of what was watched
        self._begin = 0.0
        self._window = Window(0.0, 1.0, 1)
        self._zoomed = self._panned = False
        self._idle_of: float | None = None  # the beginning before which the time is shown in which nobody ran the run
        self._follows, self._moved, self._hidden = True, False, False
        self._placed = 0  # where the rows were scrolled to by themselves
        self._painted: dict[int, Line] = {}
        self._stale, self._paint_after, self._painted_at = True, 0.0, 0.0

    # -- what is shown -------------------------------------------------------------------------------------

    def watch_row(self, key: Key | None) -> None:
        """Have the row of this unit or bundle in sight, and be at it."""
        if key is None or key == self._watched:
            return
        self._follows &= self._watched is None  # what is selected at the beginning nobody has chosen
        self._watched = key
        self._hurry()

    def forget(self) -> None:
        """Numbers of units mean something else from now on."""
        self._watched, self._reached, self._known = None, None, None
        self._opened = frozenset()
        self._hurry()

    def update_timeline(self, now: float, *, error: str = "", changed: bool) -> None:
        """Bring bars and title up to date; call it in every frame, with whether anything has changed since the last
        one. `error` says why nothing is foretold."""
        self._stale |= changed
        if self._hidden and self.display and not (self._moved or self._is_over):
            self._follows = True  # who comes here sees what goes on first
        self._hidden = not self.display
        self._count_down(now)
        if not self._stale or not self.display or not self.size.width or time.monotonic() < self._paint_after:
            return
        began = time.monotonic()
        is_same = self._error == error and self._is_sorted and self._paint_after > 0
        if is_same and began < self._painted_at + TIME_SECONDS:
            return
        self._stale, self._painted_at = False, began
        self._now, self._error = now, error
        self._sort()
        self._place_window()
        self._follow()
        self._paint_changed()
        self._write_title()
        self._paint_after = began + max(PAINT_SECONDS, MOST_SHARE * (time.monotonic() - began))

    def _hurry(self) -> None:
        self._stale, self._paint_after = True, 0.0

    def on_resize(self) -> None:
        """Draw for the new size, and follow, or keep in sight where one is, in the next frame."""
        self._painted.clear()
        if self._known is not None and self.size.width:
            set_row_count(self, len(self._rows) + self._other_lines)
            self._place_window()
            if not self._follows:
                self.keep_in_sight(self.at, self._height)
        self._hurry()

    # -- rows ----------------------------------------------------------------------------------------------

    @property
    def _is_sorted(self) -> bool:
        """Whether nothing has come since the rows were made."""
        bridge = self._bridge
        known = (bridge.view, bridge.layout, bridge.outlook.told, self._opened)
        return self._known is not None and all(map(is_, known, self._known))

    def _sort(self) -> None:
        """Bring the rows and their order up to date; what one was at is found again."""
        if self._is_sorted:
            return
        here = self._layout.key(self._rows[self.at]) if self._known and self.at < len(self._rows) else None
        view, layout, self._told = self._bridge.view, self._bridge.layout, self._bridge.outlook.told
        self._known, self._layout = (view, layout, self._told, self._opened), layout
        self._forecast = self._told.forecast if self._told is not None and not view.state.ended else None
        self._starts = starts_of(view, self._attempts, self._forecast)
        self._order = rows_of(layout, self._starts, self._opened)
        self._critical = critical_nodes(view, layout, self._forecast)
        before, self._rows = len(self._rows), list(self._order)
        if before != len(self._rows):
            self._placed = min(int(self.scroll_offset.y), max(0, len(self._rows) - self._height))
            set_row_count(self, len(self._rows) + self._other_lines)
        self.at = min(self.at, max(0, len(self._rows) - 1))
        if here is not None:
            self._be_at(here)

    def _be_at(self, key: Key) -> bool:
        node = row_of(self._layout, key, self._order)
        if node is None:
            return False
        self.at = self._rows.index(node)
        return True

    def _follow(self) -> None:
        """Have in sight what was selected since the last painting, or while nobody has, what goes on."""
        if self._watched != self._reached:
            self._reached = self._watched
            if self._watched is not None and self._be_at(self._watched) and not self._follows:
                self.keep_in_sight(self.at, self._height)
                self._reveal_bars()
        if self._follows:
            begun = sum(start <= self._now for start in self._order.values())
            at_work = {row_of(self._layout, unit, self._order) for unit in self._bridge.holding}
            first = next((at for at, row in enumerate(self._rows) if row in at_work), begun)
            top = top_that_follows(int(self.scroll_offset.y), self._height, first, begun)
            self._placed = min(top, max(0, len(self._rows) - self._height))
            if self._placed != int(self.scroll_offset.y):
                self.scroll_to(y=self._placed, animate=False, force=True)

    @property
    def _legend_lines(self) -> int:
        return int(self.size.height >= LEGEND_FROM and self.size.width >= LEGEND_WIDTH)

    @property
    def _other_lines(self) -> int:
        return 1 + self._legend_lines

    @property
    def _height(self) -> int:
        """How many rows there is room for."""
        return max(1, self.size.height - self._other_lines)

    # -- the window ----------------------------------------------------------------------------------------

    def _place_window(self) -> None:
        """The whole run, or the part of it that somebody has chosen, which follows the time unless it was moved."""
        view = self._bridge.view
        idle = self._idle_of is not None and self._idle_of == view.opened_at
        self._begin, end = span_of_run(view, self._starts, self._forecast, self._now, idle=idle)
        width = bars_width(self.size.width - 1)
        if not self._zoomed:
            self._window = whole(self._begin, max(end, self._until), width)
            return
        self._window = self._window._replace(width=width)
        if not self._panned and not self._is_over:
            self._window = self._window.holding(self._now)

    @property
    def _is_over(self) -> bool:
        return self._bridge.view.state.ended

    def _reveal_bars(self) -> None:
        """Move a window that somebody has chosen to the begin of the row that one is at, if none of it is seen."""
        start = self._order[self._rows[self.at]]
        if self._zoomed and start < inf and not 0 <= self._window.at(start) < self._window.width:
            self._panned = True
            self._window = self._window.around(start)

    def action_zoom_time(self, steps: int) -> None:
        """See less time in more detail, or more time for a negative number; around now, or the row that one is at."""
        window, around = self._window, self._now
        if self._panned or self._is_over or not 0 <= window.at(around) < window.width:
            start = self._order.get(self._rows[self.at], inf) if self._rows else inf
            middle = (window.begin + window.end) / 2
            around = start if 0 <= window.at(start) < window.width else middle
        self._zoomed = True
        self._window = window.zoomed(steps, around)
        self._hurry()

    def action_pan_time(self, steps: int) -> None:
        """See what is later, or earlier for a negative number."""
        self._zoomed = self._panned = True
        self._window = self._window.panned(steps)
        self._hurry()

    def action_whole_time(self) -> None:
        """See the whole run again, and what goes on now; once more what came since it went on after a long pause."""
        opened_at = self._bridge.view.opened_at
        self._idle_of = opened_at if self._zoomed or self._idle_of != opened_at else None
        self._zoomed = self._panned = False
        self._follows, self._moved = True, False
        self._hurry()

    # -- painting ------------------------------------------------------------------------------------------

    def _paint_changed(self) -> None:
        """Paint again what looks otherwise. Lines are written from their left edge on: what is the same on the right is
        left out."""
        width = self.size.width
        for y in range(self.size.height):
            before, after = self._painted.get(y), self._line_at(y)
            if before != after:
                self._painted[y] = after
                self.refresh(Region(0, y, width - _same_on_the_right(before, after), 1))

    def render_line(self, y: int) -> Strip:
        """Textual's hook: row `y` of the widget."""
        if y not in self._painted:
            self._painted[y] = self._line_at(y)
        return strip_of(self._painted[y], self.size.width, theme=theme_of(self))

    def _line_at(self, y: int) -> Line:
        width, height = self.size
        if self._known is None:
            return ()
        if y == 0:
            zero = self._begin if self._is_over else self._now
            start = pad(" UNIT", width - self._window.width)
            return Span(start, Role.MUTED), Span(axis(self._window, zero, now=not self._is_over), Role.MUTED)
        if y == height - 1 and self._legend_lines:
            folds = any(self._layout.bundle(node) is not None for node in self._rows)
            return Span(" ", PLAIN), *legend(
                self._glyphs, width - 1, over=self._is_over, ahead=self._forecast is not None, folds=folds
            )
        at = y - 1 + int(self.scroll_offset.y)
        if at >= len(self._rows):
            return ()
        cursor = Span(self._glyphs.cursor, Role.KEY) if at == self.at else Span(" ", PLAIN)
        return cursor, *self.row(at).spans

    def row(self, at: int) -> Row:
        """The row at this place, without the cell on its left."""
        node, view, layout, forecast = self._rows[at], self._bridge.view, self._layout, self._forecast
        name, units, width = layout.label(node), layout.units_under(node), self.size.width - 1
        now = None if self._is_over else self._now
        critical = node in self._critical
        if layout.bundle(node) is not None:
            name = bundle_name(name, len(units))
            line = folded_line(
                name, view, units, forecast, self._window, self._now, self._glyphs, width=width, critical=critical
            )
            return Row(line, Goal(units[0]))
        unit = units[0]
        name = self._bridge.short.within(unit, name_width(width), self._glyphs.ellipsis)
        bars = bars_of(view, unit, self._attempts.of(view, unit), forecast, self._now)
        line = line_of(name, bars, self._window, now, self._glyphs, width=width, critical=critical)
        return Row(line, Goal(unit))

    def _write_title(self) -> None:
        key = key_for("pane.timeline", self._keymap)
        told = self._bridge.outlook.told if not self._is_over else None
        all_key = key_for("timeline.whole", self._keymap)
        cut = not self._zoomed and min(self._starts, default=inf) < self._begin
        shows = f"since it went on, {all_key} shows all" if cut else ""
        room = self.size.width - _TITLE_GAPS
        set_title(self, title(key, told, self._clock, room, clean(self._error), rows=self._rows_shown(), shows=shows))

    def _count_down(self, now: float) -> None:
        """Have the title tell what the status line tells in the same second, whenever the rows are painted."""
        told = self._bridge.outlook.told
        is_same = int(now) == int(self._clock) and told is self._counted
        self._clock, self._counted = now, told
        if not is_same and self.display and self.size.width:
            self._write_title()

    def _rows_shown(self) -> str:
        """Which rows are to be seen, if not all."""
        first, last = int(self.scroll_offset.y), min(int(self.scroll_offset.y) + self._height, len(self._rows))
        return f"rows {first + 1:,}-{last:,} of {len(self._rows):,}" if last - first < len(self._rows) else ""

    # -- keys and mouse ------------------------------------------------------------------------------------

    @property
    def count(self) -> int:
        """How many rows there are."""
        return len(self._rows)

    @property
    def leads(self) -> bool:
        """Every row leads to a unit."""
        return bool(self._rows)

    def go_to(self, at: int) -> None:
        """Be at this row, or the nearest there is, and have it on the screen."""
        self._follows, self._moved = False, True
        self.at = max(0, min(at, self.count - 1))
        self.keep_in_sight(self.at, self._height)
        self._reveal_bars()
        self._painted.clear()
        self.refresh()

    def action_open_line(self) -> None:
        """Select the unit; or show what a bundle holds in rows of its own, or hide it again."""
        bundle = self._layout.bundle(self._rows[self.at]) if self._rows else None
        if bundle is None:
            super().action_open_line()
            return
        self._opened ^= {bundle.key}
        self._hurry()

    def on_click(self, event: events.Click) -> None:
        """A click goes to the row, a second one where it leads."""
        offset = event.get_content_offset(self)
        if offset is None or not 0 < offset.y <= self._height or offset.y - 1 + self.scroll_offset.y >= self.count:
            return
        self.go_to(int(offset.y - 1 + self.scroll_offset.y))
        if event.chain > 1:
            self.action_open_line()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Whoever scrolls looks where they want."""
        super().watch_scroll_y(old_value, new_value)
        self._painted.clear()
        self._write_title()
        if int(new_value) != self._placed:
            self._follows, self._moved = False, True

    def on_mount(self) -> None:
        """Name the pane."""
        self._write_title()


def _same_on_the_right(before: Line | None, after: Line) -> int:
    """How many cells at the end of both lines are the same. Those hold bars: a cell is a character there."""
    if before is None or _length(before) != _length(after):  # their ends stand in different places
        return 0
    count = 0
    for old, new in zip(_cells(before), _cells(after), strict=True):
        if old != new:
            break
        count += 1
    return count


def _length(line: Line) -> int:
    return sum(len(span.text) for span in line)


def _cells(line: Line) -> Iterator[tuple[str, object]]:
    for text, style in reversed(line):
        for character in reversed(text):
            yield character, style
