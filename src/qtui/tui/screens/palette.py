"""The palette: a list of all that can be done here, narrowed by what is typed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical

from qtui.tui.format import Glyphs
from qtui.tui.keys import Key
from qtui.tui.palette import Entry, narrowed, row
from qtui.tui.roles import Role
from qtui.tui.screens.dialog import Dialog
from qtui.tui.screens.typing import Typed
from qtui.tui.text import PLAIN, Span, clean
from qtui.tui.widgets.lines import Line, Lines, set_title, theme_of

_WIDTH: Final = 76
_HIGHEST: Final = 24
_FRAME: Final = 3  # the border, and the line to type into
_STEPS: Final = {"down": 1, "ctrl+n": 1, "tab": 1, "up": -1, "ctrl+p": -1, "shift+tab": -1}


class Palette(Dialog[Entry | None], inherit_bindings=False):
    """Answers with the chosen entry, or None."""

    hints = (Key("enter", "do it"), Key("up down", "choose"), Key("esc", "close"))
    typed_ahead = True

    def __init__(self, glyphs: Glyphs, entries: Sequence[Entry]) -> None:
        super().__init__(glyphs)
        self._entries = entries
        self._found = list(entries)
        self._at = 0
        self._typed = ""

    def compose(self) -> ComposeResult:
        """Textual's hook: a line to type into, and the list."""
        with Vertical(id="palette"):
            yield Typed(id="palette-words", taken=self.taken, placeholder="part of what it does")
            yield Lines(id="palette-list")

    def pressed(self, key: str, character: str | None) -> bool:
        """Enter, escape and the arrows; all else is typed."""
        if key == "enter":
            self._narrow()
            self._choose()
        elif key == "escape":
            self.close(None)
        elif key in _STEPS:
            self._narrow()
            self._move(_STEPS[key])
        elif key in ("pagedown", "pageup"):
            step = max(1, self.query_one("#palette-list", Lines).size.height - 1)
            self._move(step if key == "pagedown" else -step)
        else:
            return self.query_one(Typed).take(character)
        return True

    def on_input_changed(self) -> None:
        """Show what matches."""
        self._narrow()

    def on_click(self, event: events.Click) -> None:
        """A click on an entry chooses it."""
        box = self.query_one("#palette-list", Lines)
        if event.widget is box:
            at = int(event.y + box.scroll_offset.y)
            if 0 <= at < len(self._found):
                self._at = at
                self._choose()

    def _narrow(self) -> None:
        """Bring the list up to date with what is typed: a fast enter comes before the word that it was changed."""
        typed = self.query_one(Typed).value
        if typed != self._typed:
            self._typed, self._at = typed, 0
            self._found = narrowed(self._entries, typed)
            self.draw()

    def _choose(self) -> None:
        if self._found:
            self.close(self._found[self._at])

    def _move(self, step: int) -> None:
        self._at = min(max(self._at + step, 0), max(0, len(self._found) - 1))
        self.draw()

    def draw(self) -> None:
        """The entries that match."""
        width, height = self.app.size
        box, listed = self.query_one("#palette", Vertical), self.query_one("#palette-list", Lines)
        inside = max(1, min(_WIDTH, width) - 4)
        box.styles.width = min(_WIDTH, width)
        box.styles.height = high = min(height, len(self._entries) + _FRAME, _HIGHEST)
        room = max(1, high - _FRAME)
        set_title(box, "What to do  enter, esc closes")
        selected = theme_of(listed).row(focused=True)
        lines: list[Line] = []
        for at, entry in enumerate(self._found):
            key, text, name = row(entry, inside - 1, self.glyphs.ellipsis)
            if at == self._at:
                lines.append((Span(self.glyphs.cursor + clean(key + text + name), selected),))
            else:
                lines.append((Span(f" {key}", Role.KEY), Span(text, PLAIN), Span(name, Role.MUTED)))
        listed.show(lines or [(Span(" nothing matches", Role.MUTED),)])
        listed.keep_in_sight(self._at, room)
