"""A question before something that cannot be taken back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from rich.cells import cell_len
from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.screen import ModalScreen

from qtui.core.state import RunView
from qtui.tui.format import Glyphs
from qtui.tui.roles import Role
from qtui.tui.steering import Ask, Detach, Do, Note
from qtui.tui.text import PLAIN, Span, clean
from qtui.tui.widgets.lines import Line, Lines, set_title, theme_of

_WIDTH = 64
_BACK = frozenset({"n", "enter", "escape", "q"})


TOO_LATE: Final = "too late: that is not what was asked any more; look, and ask again"


class Question(ModalScreen[Do | Detach | Note | None], inherit_bindings=False):
    """Answers with what the pressed key stands for, or None for back, which is what enter and escape mean; with a word
    about it if the run is not as it was when it was asked. `view` says how it is."""

    def __init__(self, ask: Ask, glyphs: Glyphs, view: Callable[[], RunView]) -> None:
        super().__init__(classes="" if glyphs.unicode else "-ascii")
        self._ask = ask
        self._view = view

    @property
    def moot_when_ended(self) -> bool:
        """True if the question makes no sense once the run has finished."""
        return self._ask.moot_when_ended

    def compose(self) -> ComposeResult:
        """Textual's hook: one box."""
        yield Lines(id="question")

    def on_mount(self) -> None:
        """Draw for the size there is."""
        self._draw()

    def on_resize(self) -> None:
        """Draw again for the new size."""
        self._draw()

    def on_key(self, event: events.Key) -> None:
        """Take the first key that is an answer; other keys do nothing while a question is open.

        No bindings: those are carried out by the app, which would put a fast "back" before the answer it follows.
        """
        if not self.is_active:
            return  # keys that were typed fast are all on their way here before the first has closed the question
        for option in self._ask.options:
            if event.character == option.key:
                event.stop()
                self.dismiss(option.action if self._ask.still(self._view()) else Note(TOO_LATE))
                return
        if event.key in _BACK:
            event.stop()
            self.dismiss(None)

    def _draw(self) -> None:
        if not self.query("#question"):
            return  # answered before it was there: keys come faster than screens
        box = self.query_one("#question", Lines)
        width = max(20, min(_WIDTH, self.app.size.width - 4))
        inside = width - 4
        lines: list[Line] = [()]
        for paragraph in self._ask.text.splitlines():
            lines += [(Span(f" {line}", PLAIN),) for line in self._wrapped(clean(paragraph), inside - 1)]
        lines.append(())
        for option in self._ask.options:
            label = self._wrapped(option.label, inside - 4)
            lines.append((Span(f" {option.key} ", Role.KEY), Span(f" {label[0]}", PLAIN)))
            lines += [(Span(f"    {rest}", PLAIN),) for rest in label[1:]]
        back = " n  back (also enter, esc)"
        fill = " " * max(0, inside - cell_len(back))
        lines.append((Span(f"{back}{fill}", theme_of(box).row(focused=True)),))
        box.styles.width = width
        box.styles.height = len(lines) + 2
        set_title(box, self._ask.title)
        box.show(lines)

    def _wrapped(self, text: str, width: int) -> list[str]:
        """Lines of at most `width` cells: a character may take two."""
        return [line.plain.rstrip() for line in Text(text).wrap(self.app.console, width)]
