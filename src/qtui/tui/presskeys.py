"""A screen that tells the name of each key that the terminal sends, and what it does in the dashboard."""

from __future__ import annotations

from typing import ClassVar, Final

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType

from qtui.tui.actions import ACTIONS, Keymap, keys_of
from qtui.tui.drawn import Drawn, needs_ascii
from qtui.tui.roles import Role
from qtui.tui.text import PLAIN, Span, clean
from qtui.tui.widgets.lines import Line, Lines

ENDING: Final = frozenset({"q", "escape", "ctrl+c"})
"""Pressed twice on end, each of these closes the screen."""

_MOST_LINES: Final = 500
_HEADING: Final = "press keys to see their names; q, esc or ctrl+c twice ends"


class PressKeys(Drawn[None]):
    """Lists the keys that are pressed, the last at the end."""

    BINDINGS: ClassVar[list[BindingType]] = []

    def __init__(self, keymap: Keymap, *, ascii: bool = False) -> None:  # noqa: A002
        super().__init__(ascii=ascii)
        self._keymap = keymap
        self._told: list[Line] = [(Span(f" {_HEADING}", Role.TITLE),), ()]
        self._last = ""

    def compose(self) -> ComposeResult:
        """Textual's hook: the list."""
        yield Lines(id="pressed")

    def on_mount(self) -> None:
        """Show what to do."""
        super().on_mount()
        self.query_one(Lines).styles.height = "1fr"
        self._show()

    async def on_event(self, event: events.Event) -> None:
        """Textual's hook: no key does anything but be told."""
        if isinstance(event, events.Key):
            self._tell(event.key)
        else:
            await super().on_event(event)

    def _tell(self, key: str) -> None:
        if key == self._last and key in ENDING:
            self.exit()
        self._last = key
        self._told = [*self._told[-_MOST_LINES:], line_of(key, self._keymap)]
        self._show()

    def _show(self) -> None:
        lines = self.query_one(Lines)
        lines.show(self._told)
        lines.scroll_to(y=len(self._told), animate=False, force=True)


def line_of(key: str, keymap: Keymap) -> Line:
    """A key's name as `[keys]` of the settings takes it, and the actions that it is for."""
    does = [action.id for action in ACTIONS if key in keys_of(action, keymap)]
    return (Span(f'  "{clean(key)}"', Role.KEY), Span(f"  {', '.join(does)}" if does else "", PLAIN))


def tell_keys(keymap: Keymap) -> None:
    """Fill the terminal with the keys that are pressed, until the person ends it."""
    PressKeys(keymap, ascii=needs_ascii(False)).draw()
