"""Which panes are on the screen, which one has the focus, and the keys for that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from textual import events
from textual.widget import Widget

from qtui.tui.panes import LOW, LOWER, LOWEST, Arrangement, Pane, arrangement_for, panes_shown
from qtui.tui.screens.base import RunScreen
from qtui.tui.widgets.events import EventsPane

_FOCUS_IDS: Final = {
    Pane.UNITS: "#units",
    Pane.LOG: "#log",
    Pane.WORKERS: "#worker-lines",
    Pane.EVENTS: "#events",
    Pane.TIMELINE: "#timeline",
}


class Arranging(RunScreen):
    """Places the panes."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._pane = Pane.UNITS
        self._lower = Pane.LOG
        self._lowest = Pane.EVENTS
        self._zoomed = False
        self._opened = False
        self._arranged: Arrangement | None = None

    @property
    def arrangement(self) -> Arrangement:
        """How the panes are placed on a terminal of this size."""
        return arrangement_for(*self.app.size)

    def on_resize(self) -> None:
        """Another size may need another arrangement."""
        self.stale = True
        self.place_panes()
        if self.focused is None:  # there was nothing on the screen that could have it
            self.call_after_refresh(self._focus_again)

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """The mouse may have moved the focus."""
        for pane in Pane:
            if event.widget is self.focus_of(pane) and pane is not self._pane:
                self._pane = pane
                self.place_panes()

    def place_panes(self) -> None:
        """Show the panes that the size, the focus and the zoom ask for."""
        arrangement = self.arrangement
        if self._pane in LOWER:
            self._lower = self._pane
        if self._pane in LOWEST:
            self._lowest = self._pane
        self.follow_size()
        if arrangement is not self._arranged:
            self._arranged = arrangement
            self.tree_pane.brief = arrangement is Arrangement.MICRO
            self.tree_pane.write_title()
            self.query_one(EventsPane).write_title()
        shown = panes_shown(
            arrangement, lower=self._lower, lowest=self._lowest, focused=self._pane, zoomed=self._zoomed
        )
        for pane in Pane:
            for widget, stands in self.widgets_of(pane):
                if widget.display != (stands and pane in shown):
                    widget.display = not widget.display
        self.stale = True

    def follow_size(self, *, update: bool = True) -> None:
        """Take the classes by which the stylesheet places the panes; `update` has what is there follow."""
        arrangement = self.arrangement
        classes = {f"-{other}": other is arrangement for other in Arrangement}
        classes |= {"-zoomed": self._zoomed, "-low": self.app.size.height < LOW}
        self.update_classes(classes, update=update)

    def focus_pane(self, pane: Pane) -> None:
        """Go to a pane, and show it if it is hidden."""
        self._pane = pane
        self.place_panes()
        self.set_focus(self.focus_of(pane))

    def show_pane(self, pane: Pane) -> None:
        """Have a pane on the screen; go there only if it is not there otherwise."""
        if self._pane is Pane.UNITS:
            self._lower = pane
            self.place_panes()
        if not self.focus_of(pane).display:
            self.focus_pane(pane)

    def show_log(self) -> None:
        """Have the log, or the tab in its place, on the screen, beside the pane one is in where there is room."""
        if self.focus_of(Pane.LOG).display:
            return
        self.leave_zoom()
        self.show_pane(Pane.LOG)

    def widgets_of(self, pane: Pane) -> Iterator[tuple[Widget, bool]]:
        """What can stand in the place of a pane, and which of it does."""
        yield self.query_one(f"#{pane}", Widget), True

    def focus_of(self, pane: Pane) -> Widget:
        """What has the focus when one is in a pane."""
        return self.query_one(_FOCUS_IDS[pane], Widget)

    def _focus_again(self) -> None:
        if self.focused is None:
            self.set_focus(self.focus_of(self._pane))

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
