"""The tabs of what is selected: its log, and what there is to know besides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Final

from textual import events
from textual.widget import Widget

from qtui.core.events import Event
from qtui.tui.panes import Arrangement, Pane
from qtui.tui.screens.arranging import Arranging
from qtui.tui.screens.base import TOO_NEW
from qtui.tui.tabs.attempts import Attempts
from qtui.tui.tabs.entry import Tab, tab_at, tab_bar
from qtui.tui.widgets.cursor import CursorLines
from qtui.tui.widgets.details import DetailView

_TABS: Final = tuple(Tab)
_TITLE_AT: Final = 2
"""The column of a pane where its title begins."""


class Detailed(Arranging):
    """The keys that choose a tab. Any but the log stands in the log's place; it stays when the selection moves."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.tab = Tab.LOG
        self.attempts = Attempts(self.session.plan)
        self._log_width = -1

    def make_details(self) -> Iterator[Widget]:
        """The views for what is not the log: in its place, and beside it on a large screen."""
        shared = (self.session, self.bridge, self.attempts, self.glyphs)
        yield DetailView(*shared, tab=Tab.INFO, keymap=self.keymap, id="details")
        yield DetailView(*shared, tab=Tab.WHY, alone=True, keymap=self.keymap, id="why")

    @cached_property
    def details(self) -> DetailView:
        """What stands in the place of the log."""
        return self.query_one("#details", DetailView)

    @cached_property
    def why(self) -> DetailView:
        """What stands beside it on a large screen."""
        return self.query_one("#why", DetailView)

    # -- places --------------------------------------------------------------------------------------------

    def place_panes(self) -> None:
        """Also the view beside the log, which tells what that does not."""
        super().place_panes()
        self.why.choose(Tab.WHY if self.tab is not Tab.WHY else Tab.INFO)
        self.why.display = self.arrangement is Arrangement.LARGE and not self.has_class("-zoomed")

    def widgets_of(self, pane: Pane) -> Iterator[tuple[Widget, bool]]:
        """In the place of the log the tab stands that was chosen."""
        if pane is not Pane.LOG:
            yield from super().widgets_of(pane)
            return
        yield self.log_pane, self.tab is Tab.LOG
        yield self.details, self.tab is not Tab.LOG

    def focus_of(self, pane: Pane) -> Widget:
        """What has the focus in the place of the log."""
        return self.details if pane is Pane.LOG and self.tab is not Tab.LOG else super().focus_of(pane)

    # -- frames --------------------------------------------------------------------------------------------

    def update_details(self, now: float, *, changed: bool) -> None:
        """Bring what is on the screen up to date."""
        width = self.log_pane.size.width
        if width != self._log_width:
            # the log has written its title before in this frame
            self._log_width, self.stale = width, True
            self.log_pane.prefix = f"{tab_bar(Tab.LOG, width)} "
        for view in (self.details, self.why):
            view.update_details(now, changed=changed)

    def keep_attempts(self, events: Sequence[Event], *, jumped: bool) -> None:
        """Remember the attempts among new events; `jumped` says that these go on behind the session's new opening."""
        if jumped:
            self.attempts.begin_anew(self.session.plan)
        self.attempts.take(events)

    def watch_details(self) -> None:
        """Tell of what is selected."""
        tree = self.tree_pane
        for view in (self.details, self.why):
            if tree.bundle is not None:
                view.watch_bundle(tree.bundle)
            elif tree.unit is not None:
                view.watch_unit(tree.unit)

    # -- keys ----------------------------------------------------------------------------------------------

    def show_tab(self, tab: Tab) -> None:
        """Have this tab in the place of the log, whatever stood there."""
        focused = self.focused in (self.log_pane, self.details)
        self.tab = tab
        if tab is not Tab.LOG:
            self.details.choose(tab)
        self.place_panes()
        if focused:
            self.set_focus(self.focus_of(Pane.LOG))
        self.update_details(self.session.now(), changed=True)

    def action_tab(self, name: str) -> None:
        """Show a tab; go there if it would not be on the screen otherwise. The key of the one that is shown leaves it:
        who has moved on and asks the same of another unit must not lose it."""
        wanted = Tab(name)
        unit = self.tree_pane.unit
        if wanted is Tab.LOG and unit is not None:  # also from the log of an earlier attempt
            self.log_pane.watch_unit(self.bridge.view, unit, self.bridge.view.attempts[unit])
        if wanted is self.tab and wanted is not Tab.LOG and self.focus_of(Pane.LOG).display:
            self.note(f"{self.key('tab.log')} shows the log again")
        self.show_tab(wanted)
        if not self.focus_of(Pane.LOG).display:
            self.show_pane(Pane.LOG)

    def on_detail_view_stepped(self, event: DetailView.Stepped) -> None:
        """The next tab, or the one before; the log is one of them."""
        self.show_tab(_TABS[(_TABS.index(self.tab) + event.step) % len(_TABS)])

    def close_tab(self) -> bool:
        """Go back to the log; False if it is what is shown."""
        if self.tab is Tab.LOG:
            return False
        self.show_tab(Tab.LOG)
        return True

    def on_cursor_lines_followed(self, event: CursorLines.Followed) -> None:
        """Go to a unit, or to the log of an attempt."""
        goal = event.goal
        self.go_to_unit(goal.unit)
        if goal.attempt:
            self.show_tab(Tab.LOG)
            self.log_pane.watch_unit(self.bridge.view, goal.unit, goal.attempt)

    def number_of(self, unit: str) -> int | None:
        """The number of a unit, if it is in the plan now."""
        return self.bridge.view.plan.numbers.get(unit)

    def go_to_unit(self, unit: int) -> None:
        """Select a unit, or say why that cannot be."""
        if not self.tree_pane.select_unit(unit):
            self.note(TOO_NEW)

    def on_cursor_lines_led_nowhere(self) -> None:
        """Say so."""
        self.note("there is nothing to open on this line; lines with a unit or a try have something")

    def on_click(self, event: events.Click) -> None:
        """A click on the name of a tab."""
        widget = self.focus_of(Pane.LOG)
        if not widget.display or event.screen_y != widget.region.y:
            return
        tab = tab_at(self.tab, widget.size.width, event.screen_x - widget.region.x - _TITLE_AT)
        if tab is not None:
            self.show_tab(tab)
