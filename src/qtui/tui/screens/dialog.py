"""What all boxes over the screen have in common: they close once, and no key that was typed at them acts on what is
below."""

from __future__ import annotations

from typing import ClassVar, Generic

from textual import events
from textual.app import ComposeResult
from textual.screen import ModalScreen, ScreenResultType

from qtui.tui.format import Glyphs
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

    typed_ahead: ClassVar[frozenset[str]] = frozenset()
    """The keys besides characters that count also if they were typed before the box was there. None and no character
    either for a box that has to be read first."""

    def __init__(self, glyphs: Glyphs) -> None:
        super().__init__(classes="dialog" if glyphs.unicode else "dialog -ascii")
        self.glyphs = glyphs
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
        """Whether a key is not for the widget with the focus: the box has use for it, or is closed by one that came
        before it in the same burst."""
        return self._answered_already or self.pressed(event.key, event.character)

    def take_ahead(self, event: events.Key) -> bool:
        """Have a key that was typed at what is below, before the box was there; False if it does not count."""
        if not self.typed_ahead or not (event.is_printable or event.key in self.typed_ahead):
            return False
        self.post_message(events.Key(event.key, event.character))
        return True


def paragraph(text: str, width: int, role: Role | None = None) -> list[Line]:
    """`text` as lines of a box with `width` cells inside, a space before each."""
    style = PLAIN if role is None else role
    return [(Span(f" {line}", style),) for line in wrapped(text, width - 1)]
