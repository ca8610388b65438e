"""The banner: what must not be overlooked while it lasts, in every arrangement."""

from __future__ import annotations

from typing import Final

from rich.cells import cell_len

from qtui.core.session import RunSession
from qtui.core.state import RunView
from qtui.tui.roles import Role, loud
from qtui.tui.text import Span, clean, cut_end
from qtui.tui.widgets.lines import Line, Lines
from qtui.tui.wrapping import broken

_MOST_LINES: Final = 3


class Banner(Lines):
    """Takes no room while there is nothing to say."""

    def __init__(self) -> None:
        super().__init__(id="banner")
        self._said = ("", 0)
        self.display = False

    def tell(self, text: str) -> None:
        """Show this, in words and reversed, so that it is seen without colour, too; nothing for an empty text."""
        width = self.app.size.width
        if self._said == (text, width):
            return
        self._said = text, width
        lines = banner_lines(text, width) if text else []
        self.display = bool(lines)
        if lines:
            self.styles.height = len(lines)
        self.show(lines)


def banner_lines(text: str, width: int) -> list[Line]:
    """`text` in up to three lines that fill `width` cells."""
    room = max(8, width - 4)
    pieces = broken(clean(text), room)
    if len(pieces) > _MOST_LINES:
        pieces[_MOST_LINES - 1] = cut_end(f"{pieces[_MOST_LINES - 1]}...", room, "...")
    lines: list[Line] = []
    for piece, sign in zip(pieces[:_MOST_LINES], "!  ", strict=False):
        line = f" {sign} {piece}"
        lines.append((Span(line + " " * max(0, width - cell_len(line)), loud(Role.ERROR)),))
    return lines


def alarm(session: RunSession, view: RunView) -> str:
    """What is wrong with the run as a whole; empty for nothing."""
    if view.unsaved and not view.state.ended and not session.lost:
        return f"the record cannot be written: {view.unsaved} - nothing new starts"
    return session.trouble
