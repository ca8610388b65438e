"""The help: all keys, in groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen

from qtui.tui.format import SIGNS, Glyphs, Look
from qtui.tui.keys import Group
from qtui.tui.roles import Role
from qtui.tui.text import PLAIN, Span, pad
from qtui.tui.widgets.lines import Line, Lines, set_title

_COLUMN = 52
_MEANINGS = {
    Look.WAIT: "needs not met",
    Look.READY: "is about to start",
    Look.QUEUE: "waits for a worker, a pool, ...",
    Look.RUN: "running",
    Look.OK: "completed",
    Look.HIT: "not run: unchanged",
    Look.RETRY: "waits for its next try",
    Look.STOP: "asked to stop",
    Look.FAIL: "failed",
    Look.TIME: "ran out of time",
    Look.SKIP: "not run: a need failed, or if says no",
    Look.ASK: "waits for your yes; a answers",
    Look.CANC: "canceled",
}


class HelpLines(Lines, can_focus=True):
    """The text of the help."""

    BINDINGS: ClassVar[list[BindingType]] = Lines.SCROLL_KEYS


class Help(ModalScreen[None], inherit_bindings=False):
    """Shows the keys, and what the states of units mean unless told not to, until escape, ``?`` or ``q``."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,question_mark,q,f1", "dismiss", show=False)]

    def __init__(self, glyphs: Glyphs, groups: Sequence[Group], *, states: bool = True) -> None:
        super().__init__(classes="" if glyphs.unicode else "-ascii")
        self._glyphs = glyphs
        self._groups = groups
        self._with_states = states

    def compose(self) -> ComposeResult:
        """Textual's hook: one box."""
        yield HelpLines(id="help")

    def on_mount(self) -> None:
        """Draw for the size there is."""
        self._draw()

    def on_resize(self) -> None:
        """Draw again for the new size."""
        self._draw()

    def _draw(self) -> None:
        if not self.query("#help"):
            return  # closed again before it was there: keys come faster than screens
        blocks = [self._block(name, [(key.keys, key.text) for key in keys]) for name, keys in self._groups]
        states = self._states() if self._with_states else []
        width, height = self.app.size
        if states and width >= 2 * _COLUMN + 6:
            left, right = [line for block in blocks for line in block], states
            rows = max(len(left), len(right))
            lines = [_beside(_at(left, row), _at(right, row)) for row in range(rows)]
            box_width = 2 * _COLUMN + 4
        else:
            lines = [line for block in blocks for line in block] + states
            box_width = min(_COLUMN + 4, width)
        box = self.query_one("#help", HelpLines)
        box.styles.width = box_width
        box.styles.height = min(height, len(lines) + 2)
        set_title(box, "Keys  esc closes" + ("  j k scroll" if len(lines) + 2 > height else ""))
        box.show(lines)

    def _block(self, name: str, keys: list[tuple[str, str]]) -> list[Line]:
        lines: list[Line] = [(Span(f" {name}", Role.TITLE),)]
        for key, text in keys:
            shown = key if self._glyphs.unicode else key.replace("↓ ↑", "").replace("→", "").replace("←", "")
            lines.append((Span(f"  {pad(shown, 13)}", Role.KEY), Span(text, PLAIN)))
        return [*lines, ()]

    def _states(self) -> list[Line]:
        lines: list[Line] = [(Span(" States", Role.TITLE),)]
        for look, meaning in _MEANINGS.items():
            role = SIGNS[look].role
            word = Span(f"{self._glyphs.sign(look)} {look.value}", role)
            lines.append((Span("  ", PLAIN), word, Span(" " * (9 - len(look.value)), PLAIN), Span(meaning, PLAIN)))
        return lines


def _at(lines: list[Line], row: int) -> Line:
    return lines[row] if row < len(lines) else ()


def _beside(left: Line, right: Line) -> Line:
    used = sum(len(span.text) for span in left)
    return (*left, Span(" " * max(1, _COLUMN - used), PLAIN), *right)
