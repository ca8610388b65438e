"""The question before a workflow that runs is run a second time."""

from __future__ import annotations

from typing import Final

from textual.app import ComposeResult

from qtui.tui.format import Glyphs
from qtui.tui.picking import Choice, Entry
from qtui.tui.roles import Role
from qtui.tui.screens.dialog import Dialog, paragraph
from qtui.tui.text import PLAIN, Span, clean, pad
from qtui.tui.widgets.lines import Line, Lines, set_title, theme_of

_WIDTH: Final = 64
_BACK: Final = frozenset({"n", "enter", "escape", "q"})


class SecondRun(Dialog[Choice | None], inherit_bindings=False):
    """Answers with what is to be done about the workflow `entry`, of which a run goes on, or None for back."""

    def __init__(self, entry: Entry, glyphs: Glyphs) -> None:
        super().__init__(glyphs)
        self._entry = entry

    def compose(self) -> ComposeResult:
        """Textual's hook: one box."""
        yield Lines(id="question")

    def pressed(self, key: str, character: str | None) -> bool:
        """Take the first key that is an answer; enter, which has led here, starts nothing."""
        if character == "y":
            self.close(self._entry.choice)
        elif character == "a":
            self.close(self._entry.live)
        elif key in _BACK:
            self.close(None)
        else:
            return False
        return True

    def draw(self) -> None:
        """What it would come to, the answers, and the way back."""
        box = self.query_one("#question", Lines)
        screen_width, screen_height = self.app.size
        width = max(20, min(_WIDTH, screen_width - 4))
        text = (
            f"{clean(self._entry.name)} is running. A second run does all of the work again at the same time, and both "
            "write the same files, unless the workflow's concurrency is refuse or queue."
        )
        answers: list[Line] = [
            (Span(" a ", Role.KEY), Span(" attach to the run that goes on", PLAIN)),
            (Span(" y ", Role.KEY), Span(" start a second run", PLAIN)),
            (Span(pad(" n  back (also enter, esc)", width - 4), theme_of(box).row(focused=True)),),
        ]
        lines = [*paragraph(text, width - 4)[: max(1, screen_height - 2 - len(answers))], *answers]
        box.styles.width = width
        box.styles.height = min(screen_height, len(lines) + 2)
        set_title(box, "Run it twice?")
        box.show(lines)
