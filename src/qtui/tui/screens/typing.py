"""Lines to type into, as boxes over the screen have them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from textual import events
from textual.widgets import Input

from qtui.tui.text import clean

_AT_ONCE: Final[Mapping[str, Callable[[Input], None]]] = {
    "backspace": Input.action_delete_left,
    "delete": Input.action_delete_right,
    "left": Input.action_cursor_left,
    "right": Input.action_cursor_right,
    "home": Input.action_home,
    "end": Input.action_end,
    "ctrl+u": Input.action_delete_left_all,
    "ctrl+w": Input.action_delete_left_word,
    "ctrl+k": Input.action_delete_right_all,
}
"""Keys whose bindings would be carried out by the app, behind characters that were typed after them."""


class Typed(Input):
    """A line of text; whatever is pasted into it, it holds nothing that could steer a terminal.

    Its box has every key first: were it asked only when the line has no use for a key, characters that are typed right
    behind an enter would be in the line before the box knows of the enter.
    """

    def __init__(
        self,
        text: str = "",
        *,
        id: str,  # noqa: A002  - Textual's name
        taken: Callable[[events.Key], bool],
        placeholder: str = "",
    ) -> None:
        super().__init__(clean(text), id=id, placeholder=placeholder, compact=True, select_on_focus=False)
        self._taken = taken

    def on_key(self, event: events.Key) -> None:
        """Textual's hook, before the line does anything with a key."""
        if not self._taken(event):
            edit = _AT_ONCE.get(event.key)
            if edit is None:
                return
            edit(self)
        event.stop()
        event.prevent_default()

    def validate_value(self, value: str) -> str:
        """Pasted text may hold anything."""
        return clean(value)

    def take(self, character: str | None) -> bool:
        """Type a character that came before the line had the focus; False if it is none."""
        if not character or not character.isprintable():
            return False
        if not self.disabled:
            self.replace(character, *self.selection)
        return True

    def put(self, text: str, *, anew: bool = False) -> None:
        """Hold this text instead, with the cursor behind it; `anew`, what is typed next takes its place."""
        self.value = text
        self.cursor_position = len(self.value)
        if anew:
            self.select_all()
