"""A question before something that cannot be taken back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from rich.cells import cell_len
from textual.app import ComposeResult

from qtui.core.state import RunView
from qtui.tui.format import Glyphs
from qtui.tui.roles import Role
from qtui.tui.screens.dialog import Dialog, paragraph
from qtui.tui.steering import Ask, Detach, Do, Note
from qtui.tui.text import PLAIN, Span
from qtui.tui.widgets.lines import Line, Lines, set_title, theme_of
from qtui.tui.wrapping import wrapped

_WIDTH: Final = 64
_BACK: Final = frozenset({"n", "enter", "escape", "q"})


TOO_LATE: Final = "too late: that is not what was asked any more; look, and ask again"


class Question(Dialog[Do | Detach | Note | None], inherit_bindings=False):
    """Answers with what the pressed key stands for, or None for back, which is what enter and escape mean; with a word
    about it if the run is not as it was when it was asked. `view` says how it is."""

    def __init__(self, ask: Ask, glyphs: Glyphs, view: Callable[[], RunView]) -> None:
        super().__init__(glyphs)
        self._ask = ask
        self._view = view
        self.moot_when_ended = ask.moot_when_ended

    def compose(self) -> ComposeResult:
        """Textual's hook: one box."""
        yield Lines(id="question")

    def pressed(self, key: str, character: str | None) -> bool:
        """Take the first key that is an answer; other keys do nothing while a question is open."""
        for option in self._ask.options:
            if character == option.key:
                self.close(option.action if self._ask.still(self._view()) else Note(TOO_LATE))
                return True
        if key in _BACK:
            self.close(None)
            return True
        return False

    def draw(self) -> None:
        """The text, the answers, and the way back, which is always on the screen."""
        box = self.query_one("#question", Lines)
        screen_width, screen_height = self.app.size
        width = max(20, min(_WIDTH, screen_width - 4))
        inside = width - 4
        text = paragraph(self._ask.text, inside)
        answers: list[Line] = []
        for option in self._ask.options:
            label = wrapped(option.label, inside - 4)
            answers.append((Span(f" {option.key} ", Role.KEY), Span(f" {label[0]}", PLAIN)))
            answers += [(Span(f"    {rest}", PLAIN),) for rest in label[1:]]
        back = " n  back (also enter, esc)"
        fill = " " * max(0, inside - cell_len(back))
        answers.append((Span(f"{back}{fill}", theme_of(box).row(focused=True)),))
        room = screen_height - 2 - len(answers)
        airy = len(text) + 2 <= room
        if len(text) > max(1, room):
            text = [*text[: max(1, room - 1)], (Span(f" {self.glyphs.ellipsis}", Role.MUTED),)][: max(1, room)]
        lines: list[Line] = [(), *text, (), *answers] if airy else [*text, *answers]
        box.styles.width = width
        box.styles.height = min(screen_height, len(lines) + 2)
        set_title(box, self._ask.title)
        box.show(lines)
