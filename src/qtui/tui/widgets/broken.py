"""Lines of which long ones may be broken over rows, with a place that stays and an end that may be followed."""

from __future__ import annotations

from typing import Final

from textual.geometry import Region

from qtui.tui.widgets.lines import Line, Lines, set_row_count
from qtui.tui.wrapped import Place, Row, end_place, moved, wrap

_CACHED_ROWS: Final = 200


class BrokenLines(Lines, can_focus=False):
    """Shows `count` lines from a place on, which is a line and a row of it. Follows the end until one scrolls up.

    A subclass says what the lines are, and that something has `changed`. What scrolls is the line of the place, so
    that a mouse moves by lines, and keys by rows.
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002  - Textual's name
        super().__init__(id=id)
        self.following = True
        self._place, self._end = Place(), Place()
        self._moving = False
        self._rows: tuple[object, list[tuple[int, Row]]] = (None, [])
        self._painted: dict[int, Row] = {}  # what stands on the screen, which may be of several moments
        self._wrapped: dict[tuple[Line, int], list[Row]] = {}
        self._settled: object = None
        self._settled_for: object = None
        self._framed: object = None
        self._version = 0

    @property
    def count(self) -> int:
        """How many lines there are."""
        raise NotImplementedError

    @property
    def wrapping(self) -> bool:
        """Whether long lines are broken over rows."""
        return False

    @property
    def has_end(self) -> bool:
        """Whether there is an end to follow."""
        return True

    @property
    def text_width(self) -> int:
        """Cells of a row that its text has."""
        return self.size.width

    def shown_line(self, at: int) -> Line:
        """Line `at` as it is on the screen."""
        return self.line(at)

    def changed(self) -> None:
        """Some of the lines are others now."""
        self._version += 1

    def _height_of(self, line: int) -> int:
        return len(self._broken(self.line(line))) if self.wrapping else 1

    def _broken(self, line: Line) -> list[Row]:
        """The rows of a line; those that are on the screen are asked for again and again."""
        width = self.text_width
        rows = self._wrapped.get((line, width))
        if rows is None:
            if len(self._wrapped) > _CACHED_ROWS:
                self._wrapped.clear()
            rows = self._wrapped[line, width] = wrap(line, width)
        return rows

    def _key(self) -> object:
        """What the rows on the screen follow from."""
        return (self._version, self._place, self.size, self.wrapping, self.text_width)

    def _settle(self) -> None:
        """Find out where the end is, after something has changed, and stay there while following."""
        height = self.size.height
        self._end = end_place(self.count, height, self._height_of)
        self._moving = True
        count = self._end.line + height if self._end != Place() else min(self.count, height)
        set_row_count(self, count, paint=False)
        self._moving = False
        if self.following and self.has_end:
            self._go(self._end)
        else:
            self._go(min(self._place, self._end))
        self._settled = self._key()
        self._settled_for = self._version, self._place

    @property
    def unsettled(self) -> bool:
        """Whether lines or the place are others than when the end was found out; a new size is seen to at once."""
        return self._settled_for != (self._version, self._place)

    def _go(self, place: Place) -> None:
        """Have the first row of the screen be this one."""
        self._moving = True
        self.scroll_to(y=place.line, animate=False, force=True)
        self._moving = False
        self._place = place
        self._paint_rows()

    def _paint_rows(self) -> None:
        """Paint the rows that are others now; all of them if they may also be others for what stands beside them."""
        after = self._screen_rows()
        frame = (self.size, self.text_width, self.left)
        if frame != self._framed or self.text_width != self.size.width:
            self._framed = frame
            self.refresh()
            return
        for y in range(self.size.height):
            if self._painted.get(y) != (after[y][1] if y < len(after) else ()):
                self.refresh(Region(0, y, self.size.width, 1))

    def row_at(self, y: int) -> tuple[int, Row]:
        """Row `y` of the screen, which is painted now: the line it begins, else -1, and the text."""
        rows = self._screen_rows()
        line, row = rows[y] if y < len(rows) else (-1, ())
        self._painted[y] = row
        return line, row

    def _screen_rows(self) -> list[tuple[int, Row]]:
        """The rows on the screen: the line of each if the row is its first, else -1, and the text."""
        key = self._key()
        if self._rows[0] != key:
            line, skipped = self._place
            rows: list[tuple[int, Row]] = []
            while len(rows) < self.size.height and line < self.count:
                shown = self.shown_line(line)
                found = self._broken(shown) if self.wrapping else [shown]
                rows += [(line if not at else -1, row) for at, row in enumerate(found)][skipped:]
                line, skipped = line + 1, 0
            self._rows = (key, rows)
        return self._rows[1]

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Following ends when one scrolls up and begins again at the end."""
        super().watch_scroll_y(old_value, new_value)
        if not self._moving:  # by the mouse, which knows lines only
            line = int(new_value)
            self.following = line >= min(self._end.line, self.max_scroll_y)
            self._place = self._end if self.following else Place(line)
            self.refresh()

    def follow(self, on: bool) -> None:
        """Follow the end, or stay where one is."""
        self.following = on
        if on:
            self._settle()

    def show_line(self, at: int) -> None:
        """Scroll so that line `at` is on the screen, below a few others; nothing moves if it is there already."""
        self._settle()
        last = moved(self._place, self.size.height - 1, self._height_of, Place(self.count, 0))
        if not self._place <= Place(at) <= last:
            self._move_to(moved(Place(at), -(self.size.height // 3), self._height_of, self._end))

    def show_end_with(self, at: int) -> None:
        """Scroll to the end, or where line `at` is further up than that, so that all of it is on the screen, with what
        comes behind it."""
        self._settle()
        room = self.size.height - self._height_of(at)
        above = 0 if room < 0 else min(room, self.size.height // 3)
        self._move_to(self._end if self._end <= Place(at) else moved(Place(at), -above, self._height_of, self._end))

    def _move_to(self, place: Place) -> None:
        place = min(place, self._end)
        self.following = place >= self._end
        self._go(place)

    def action_scroll_lines(self, count: int) -> None:
        """Scroll by rows."""
        self._move_to(moved(self._place, count, self._height_of, self._end))

    def action_scroll_to_line(self, line: int) -> None:
        """Scroll to a line; -1 is the end."""
        self._move_to(Place(line) if line >= 0 else self._end)

    def on_resize(self) -> None:
        """Stay at the end while following."""
        self._settle()
