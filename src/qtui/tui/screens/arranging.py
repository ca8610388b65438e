"""Which panes are on the screen, which one has the focus, and the keys for that."""

from __future__ import annotations

from typing import Any, Final

from textual import events
from textual.widget import Widget

from qtui.tui.panes import LOWER, Arrangement, Pane, arrangement_for, panes_shown
from qtui.tui.screens.base import RunScreen
from qtui.tui.widgets.events import EventsPane

_FOCUS_IDS: Final = {
    Pane.UNITS: "#units",
    Pane.LOG: "#log",
    Pane.WORKERS: "#worker-lines",
    Pane.EVENTS: "#events",
}


class Arranging(RunScreen):
    """Places the panes. `stale` says that what is on the screen was placed anew since it was drawn."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.stale = True
        self._pane = Pane.UNITS
        self._lower = Pane.LOG
        self._zoomed = False
        self._opened = False
        self._arranged: Arrangement | None = None

    def on_resize(self) -> None:
        """Another size may need another arrangement."""
        self.place_panes()

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """The mouse may have moved the focus."""
        for pane, selector in _FOCUS_IDS.items():
            if event.widget.id == selector[1:] and pane is not self._pane:
                self._pane = pane
                self.place_panes()

    def place_panes(self) -> None:
        """Show the panes that the size, the focus and the zoom ask for."""
        arrangement = arrangement_for(*self.app.size)
        if self._pane in LOWER:
            self._lower = self._pane
        if arrangement is not self._arranged:
            for other in Arrangement:
                self.set_class(other is arrangement, f"-{other}")
            self._arranged = arrangement
            self.tree_pane.write_title()
            self.query_one(EventsPane).write_title()
        self.set_class(self._zoomed, "-zoomed")
        shown = panes_shown(arrangement, lower=self._lower, focused=self._pane, zoomed=self._zoomed)
        for pane in Pane:
            widget = self.query_one(f"#{pane}", Widget)
            if widget.display != (pane in shown):
                widget.display = pane in shown
        self.stale = True

    def focus_pane(self, pane: Pane) -> None:
        """Go to a pane, and show it if it is hidden."""
        self._pane = pane
        self.place_panes()
        self.set_focus(self.query_one(_FOCUS_IDS[pane], Widget))

    def action_pane(self, pane: str) -> None:
        """Go to a pane."""
        self._opened = False
        self.focus_pane(Pane(pane))

    def action_next_pane(self, step: int) -> None:
        """Go to the next pane, or the one before."""
        panes = list(Pane)
        self.action_pane(panes[(panes.index(self._pane) + step) % len(panes)])

    def action_zoom(self) -> None:
        """Give the whole screen to the pane, or take it back."""
        self._zoomed = not self._zoomed
        self._opened = False
        self.place_panes()

    def open_log(self) -> None:
        """Give the whole screen to the log, until escape."""
        self._opened = self._zoomed = True
        self.focus_pane(Pane.LOG)

    def close_zoom(self) -> bool:
        """Take the whole screen back from a pane; False if none has it."""
        if not self._zoomed:
            return False
        self._zoomed = False
        self.focus_pane(Pane.UNITS if self._opened else self._pane)
        self._opened = False
        return True

    def leave_zoom(self) -> None:
        """Show the other panes, too."""
        self._zoomed = False
