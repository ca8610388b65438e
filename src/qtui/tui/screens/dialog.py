"""What all boxes over the screen have in common: they close once, and no key that was typed at them acts on what is
below, unless it is a line that is typed into."""

from __future__ import annotations

import time
from typing import ClassVar, Generic

from textual import events
from textual.app import ComposeResult
from textual.screen import ModalScreen, ScreenResultType

from qtui.tui.format import Glyphs
from qtui.tui.keys import Key
from qtui.tui.roles import Role
from qtui.tui.text import PLAIN, Span
from qtui.tui.widgets.lines import Line
from qtui.tui.wrapping import wrapped


class Dialog(ModalScreen[ScreenResultType], Generic[ScreenResultType], inherit_bindings=False):
    """A box that is answered with keys. A subclass takes them in `pressed` and draws in `draw`.

    No bindings: those are carried out by the app, one turn later, when a fast key before has closed the box already and
    they would act on what is below.
    """

    moot_when_ended = False
    """True if there is nothing to answer any more once the run has finished."""

    hints: tuple[Key, ...] = (Key("esc", "close"),)
    """What the key line below the box says: no other keys do anything meanwhile."""

    typed_ahead: ClassVar[bool] = False
    """Whether keys are carried out in order however fast they come: those that were typed before the box was there are
    for the box, and those behind the one that closes it are for what is below. A box that has to be read first takes
    none of the former, and lets none of the latter through."""

    def __init__(self, glyphs: Glyphs) -> None:
        super().__init__(classes="dialog" if glyphs.unicode else "dialog -ascii")
        self.glyphs = glyphs
        self._opened = time.monotonic()
        self._answered_already = False  # Textual has a `_closed` of its own, and would never end the screen

    def compose(self) -> ComposeResult:
        """Textual's hook: the widgets of the box."""
        raise NotImplementedError

    def draw(self) -> None:
        """Draw for the size there is; called when the widgets are there, and when the size is another."""
        raise NotImplementedError

    def pressed(self, key: str, character: str | None) -> bool:
        """A key was pressed; False leaves it to the widget that has the focus."""
        raise NotImplementedError

    def close(self, result: ScreenResultType | None = None) -> None:
        """Give the answer and go; does nothing if that has happened already."""
        if not self._answered_already and self.is_active:
            self._answered_already = True
            self.dismiss(result)

    def on_mount(self) -> None:
        """Draw for the first time, unless the widgets have gone again: keys come faster than screens."""
        if self.children:
            self.draw()

    def on_resize(self) -> None:
        """Draw again for the new size, unless the widgets are not there yet."""
        if self.children:
            self.draw()

    def on_key(self, event: events.Key) -> None:
        """Take a key."""
        if self.taken(event):
            event.stop()

    def taken(self, event: events.Key) -> bool:
        """Whether a key is not for the widget with the focus: the box has use for it, or it does not count. It came
        before the box, or behind one that has closed it in the same burst."""
        early = not self.typed_ahead and event.time < self._opened
        return early or self._answered_already or self.pressed(event.key, event.character)


def paragraph(text: str, width: int, role: Role | None = None) -> list[Line]:
    """`text` as lines of a box with `width` cells inside, a space before each."""
    style = PLAIN if role is None else role
    return [(Span(f" {line}", style),) for line in wrapped(text, width - 1)]
