"""The help: the keys of the pane one is in, then all others, and what the states mean."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import Screen

from qtui.tui.actions import BY_ID, USUAL, Keymap, keys_of
from qtui.tui.format import Glyphs
from qtui.tui.helptext import COLUMN, help_lines
from qtui.tui.keys import Group, Key, key_for
from qtui.tui.screens.dialog import Dialog
from qtui.tui.widgets.lines import Lines, set_title

_FRAME = 4  # border and padding
_CLOSING = frozenset({"escape", "q"})


class HelpLines(Lines, can_focus=True):
    """The text of the help."""

    BINDINGS: ClassVar[list[BindingType]] = Lines.SCROLL_KEYS


class Help(Dialog[None], inherit_bindings=False):
    """Shows the keys, those of the groups `first` before the others, and what the states of units mean unless told not
    to, until escape, ``q`` or the key of the help in `keymap`."""

    def __init__(
        self,
        glyphs: Glyphs,
        groups: Sequence[Group],
        *,
        keymap: Keymap = USUAL,
        first: Collection[str] = (),
        states: bool = True,
    ) -> None:
        super().__init__(glyphs)
        self._closing_keys = _CLOSING.union(keys_of(BY_ID["app.help"], keymap))
        self._scrolling = " ".join(key_for(action, keymap) for action in ("lines.down", "lines.up"))
        self.hints = (Key("esc", "close"), Key(self._scrolling, "scroll"))
        self._groups = groups
        self._first = first
        self._with_states = states

    def compose(self) -> ComposeResult:
        """Textual's hook: one box."""
        yield HelpLines(id="help")

    def pressed(self, key: str, character: str | None) -> bool:  # noqa: ARG002
        """Close, or leave the key to the text, which scrolls."""
        if key in self._closing_keys:
            self.close()
            return True
        return False

    def draw(self) -> None:
        """Draw for the size there is."""
        if not self.query("#help"):
            return  # closed again before it was there: keys come faster than screens
        width, height = self.app.size
        columns = 2 if self._with_states and width >= 2 * COLUMN + _FRAME else 1
        inside = max(1, min(columns * COLUMN, width - _FRAME))
        lines = help_lines(self._groups, inside, self.glyphs, first=self._first, states=self._with_states)
        box = self.query_one("#help", HelpLines)
        box.styles.width = inside + _FRAME
        box.styles.height = min(height, len(lines) + 2)
        set_title(box, "Keys  esc closes" + (f"  {self._scrolling} scroll" if len(lines) + 2 > height else ""))
        box.show(lines)


def groups_with_focus(screen: Screen[None]) -> frozenset[str]:
    """The groups of the keys that the part of `screen` with the focus answers itself."""
    inner = (active.binding.id for active in screen.active_bindings.values() if active.node is screen.focused)
    return frozenset(BY_ID[id_].group for id_ in inner if id_ in BY_ID)
