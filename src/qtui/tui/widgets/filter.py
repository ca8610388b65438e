"""The line to type a filter into."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Input

from qtui.tui.text import clean


class FilterInput(Input):
    """Tells the text while it is typed. Enter keeps it, escape gives it up; the arrows go to the next match."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "give_up", show=False),
        Binding("down", "step(1)", show=False),
        Binding("up", "step(-1)", show=False),
    ]

    class GivenUp(Message):
        """No filter is wanted."""

    class Step(Message):
        """The next (1) or previous (-1) match is wanted."""

        def __init__(self, count: int) -> None:
            super().__init__()
            self.count = count

    def __init__(self, what: str = "text  glob*  state:failed  tag:NAME  !not") -> None:
        super().__init__(id="filter", placeholder=what, compact=True, select_on_focus=False)

    def validate_value(self, value: str) -> str:
        """Pasted text may hold anything."""
        return clean(value)

    def action_give_up(self) -> None:
        """Escape."""
        self.post_message(self.GivenUp())

    def action_step(self, count: int) -> None:
        """The arrows."""
        self.post_message(self.Step(count))
