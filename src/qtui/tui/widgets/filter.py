"""The line to type a filter into."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from textual import events

from qtui.tui.screens.typing import Typed


class FilterInput(Typed):
    """Tells the text while it is typed.

    `steers` says what the keys do that are not typed: enter, escape and the arrows. They do it at once, not by a
    message, so that the key behind them is for what has the focus then.
    """

    def __init__(
        self,
        steers: Mapping[str, Callable[[], None]],
        what: str = "text  glob*  state:failed  tag:NAME  !not",
    ) -> None:
        super().__init__(id="filter", taken=self._steered, placeholder=what)
        self._steers = steers

    def _steered(self, event: events.Key) -> bool:
        steer = self._steers.get(event.key)
        if steer is None:
            return False
        steer()
        return True
