"""Lines of which some lead somewhere: one goes from line to line, and enter opens where the line leads."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.binding import BindingType
from textual.message import Message

from qtui.tui.actions import USUAL, Keymap, Where, bindings
from qtui.tui.format import Glyphs
from qtui.tui.keys import key_for
from qtui.tui.tabs.entry import Goal, Row, with_cursor
from qtui.tui.text import PLAIN, Span
from qtui.tui.widgets.lines import Line, Lines


class CursorLines(Lines, can_focus=True):
    """Rows with a cell on the left for the sign of where one is, which is there while the pane has the focus.

    Where no row leads anywhere there is nothing to be at: then keys scroll, as they do for any lines.
    """

    BINDINGS: ClassVar[list[BindingType]] = [*Lines.SCROLL_KEYS, *bindings(Where.CURSOR)]

    class Followed(Message):
        """Enter on a line that leads somewhere."""

        def __init__(self, goal: Goal) -> None:
            super().__init__()
            self.goal = goal

    class LedNowhere(Message):
        """Enter on any other line."""

    def __init__(
        self,
        glyphs: Glyphs,
        *,
        keymap: Keymap = USUAL,
        id: str | None = None,  # noqa: A002  - Textual's name
    ) -> None:
        super().__init__(id=id)
        self._glyphs = glyphs
        self._keymap = keymap
        self.at = 0

    # -- what a subclass says ------------------------------------------------------------------------------

    @property
    def count(self) -> int:
        """How many rows there are."""
        raise NotImplementedError

    @property
    def leads(self) -> bool:
        """Whether any row leads anywhere."""
        raise NotImplementedError

    def row(self, at: int) -> Row:
        """The row at this place, without the cell on its left."""
        raise NotImplementedError

    # -- the line that one is at ---------------------------------------------------------------------------

    def line(self, at: int) -> Line:
        """A row, with the cell on its left."""
        if at >= self.count:
            return ()
        row = self.row(at)
        if at == self.at and self.has_focus and self.leads:
            return with_cursor(row, self.size.width, self._glyphs, key_for("line.open", self._keymap))
        return (Span(" ", PLAIN), *row.spans)

    def on_focus(self) -> None:
        """Show where one is."""
        self.refresh()

    def on_blur(self) -> None:
        """And no more."""
        self.refresh()

    def action_scroll_lines(self, count: int) -> None:
        """Go down or up by lines."""
        if self.leads:
            self.go_to(self.at + count)
        else:
            super().action_scroll_lines(count)

    def action_scroll_to_line(self, line: int) -> None:
        """Go to a line; -1 is the last."""
        if self.leads:
            self.go_to(line if line >= 0 else self.count - 1)
        else:
            super().action_scroll_to_line(line)

    def go_to(self, at: int) -> None:
        """Be at this row, or the nearest there is, and have it on the screen."""
        self.at = max(0, min(at, self.count - 1))
        self.keep_in_sight(self.at, self.size.height)
        self.refresh()

    def action_open_line(self) -> None:
        """Go where the line leads."""
        goal = self.row(self.at).goal if self.leads and self.at < self.count else None
        self.post_message(self.Followed(goal) if goal is not None else self.LedNowhere())

    def on_click(self, event: events.Click) -> None:
        """A click goes to the line, a second one where it leads."""
        offset = event.get_content_offset(self)
        if offset is not None and self.leads:
            self.go_to(self.scroll_offset.y + offset.y)
            if event.chain > 1:
                self.action_open_line()
