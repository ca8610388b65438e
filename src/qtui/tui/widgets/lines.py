"""Lines: styled lines on the screen, of which only those that changed are painted again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual.binding import BindingType
from textual.content import Content
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widget import Widget

from qtui.tui.actions import Where, bindings
from qtui.tui.drawn import Drawn
from qtui.tui.roles import Role
from qtui.tui.text import PLAIN, Span, clean
from qtui.tui.theme import DARK, Theme

Line = tuple[Span, ...]


def theme_of(widget: Widget) -> Theme:
    """The theme of the screen."""
    app = widget.app
    return app.palette if isinstance(app, Drawn) else DARK


def strip_of(line: Sequence[Span], width: int, left: int = 0, *, theme: Theme) -> Strip:
    """`line` in exactly `width` cells, from cell `left` on. Every segment has a style, as filters demand."""
    strip = Strip([Segment(text, theme.style(style)) for text, style in line if text])
    return strip.crop_extend(left, left + width, PLAIN)


def set_title(widget: Widget, text: str) -> None:
    """Put `text` into the widget's border; never read as markup, and painted only if it is new."""
    # a border without corners leaves no space beside its title
    space = "" if widget.screen.classes.isdisjoint(("-small", "-micro")) else " "
    title = Content(f"{space}{clean(text)}{space}")
    if widget._border_title is None:
        widget.border_title = title
    elif widget._border_title.plain != title.plain:
        # assigning `border_title` would paint the whole widget, and titles tell what changes all the time
        widget._border_title = title
        x, y = widget.content_offset
        widget.refresh(Region(-x, -y, widget.outer_size.width, 1))


def set_row_count(widget: ScrollView, count: int, *, paint: bool = True) -> None:
    """Tell how many rows there are to scroll through, and `paint` all that are seen.

    Assigning `virtual_size` would lay out the whole screen each time, to decide on scrollbars; there are none.
    """
    widget.set_reactive(Widget.virtual_size, Size(0, count))
    if widget.scroll_offset.y > widget.max_scroll_y:
        widget.scroll_to(y=widget.max_scroll_y, animate=False, force=True)
    if paint:
        widget.refresh()


class Lines(ScrollView, can_focus=False):
    """A list of lines, replaced as a whole with `show`; scrolls up and down if there are more than fit.

    Nothing in a line is ever read as markup. Focusable only if the subclass says so. A line that is too long ends in
    `ellipsis`; `left` cells of each are scrolled out of sight.
    """

    ellipsis = ""
    left = 0

    SCROLL_KEYS: ClassVar[list[BindingType]] = bindings(Where.LINES)

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002  - Textual's name
        super().__init__(id=id, classes=classes)
        self._lines: list[Line] = []

    def show(self, lines: Sequence[Line]) -> None:
        """Show these lines instead of the former."""
        before, self._lines = self._lines, list(lines)
        if len(before) != len(lines):
            set_row_count(self, len(lines))
            return
        top, height = self.scroll_offset.y, self.size.height
        for at in range(top, min(top + height, len(lines))):
            if before[at] != self._lines[at]:
                self.refresh(Region(0, at - top, self.size.width, 1))

    def line(self, at: int) -> Line:
        """The line at this place of the list; empty beyond its end."""
        return self._lines[at] if at < len(self._lines) else ()

    def render_line(self, y: int) -> Strip:
        """Textual's hook: row `y` of the widget."""
        return self.fitted(self.line(y + self.scroll_offset.y), self.size.width)

    def fitted(self, line: Line, width: int) -> Strip:
        """`line` in exactly `width` cells, as it stands on the screen."""
        theme = theme_of(self)
        strip = strip_of(line, width, self.left, theme=theme)
        if not self.ellipsis or sum(cell_len(span.text) for span in line) - self.left <= width:
            return strip
        return Strip.join([strip.crop(0, width - 1), strip_of([Span(self.ellipsis, Role.MUTED)], 1, theme=theme)])

    def keep_in_sight(self, at: int, height: int) -> None:
        """Scroll as far as it takes to have line `at` on the screen, which has `height` rows, and no further."""
        top = int(self.scroll_offset.y)
        if not top <= at < top + height:
            self.scroll_to(y=min(max(top, at - height + 1), at), animate=False, force=True)

    def action_scroll_lines(self, count: int) -> None:
        """Scroll by lines."""
        self.scroll_to(y=self.scroll_offset.y + count, animate=False)

    def action_scroll_pages(self, count: float) -> None:
        """Scroll by pages, or a part of one."""
        self.action_scroll_lines(int(count * max(1, self.size.height - 1)))

    def action_scroll_to_line(self, line: int) -> None:
        """Scroll to a line; -1 is the end."""
        self.scroll_to(y=line if line >= 0 else self.max_scroll_y, animate=False)
