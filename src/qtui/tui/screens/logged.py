"""The keys of the log: how it is shown, and what is searched for in it and in all others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtui.core.model import FAILURES
from qtui.core.state import RunView
from qtui.tui.gutter import Gutter
from qtui.tui.panes import Pane
from qtui.tui.patterns import Pattern
from qtui.tui.screens.base import TOO_NEW
from qtui.tui.screens.detailed import Detailed
from qtui.tui.tabs.entry import Tab
from qtui.tui.widgets.log import LogView

if TYPE_CHECKING:
    from qtui.tui.logsearch import Hit

NO_LOG = "no log is shown: select a unit that has begun"


def logs_of(view: RunView) -> list[tuple[int, int]]:
    """The units and attempts that may have a log: of units that have failed first, and earlier attempts last."""
    begun = [unit for unit in range(len(view.plan)) if view.attempts[unit]]
    begun.sort(key=lambda unit: view.states[unit] not in FAILURES)
    earlier = [(unit, attempt) for unit in begun for attempt in range(view.attempts[unit] - 1, 0, -1)]
    return [(unit, view.attempts[unit]) for unit in begun] + earlier


class Logged(Detailed):
    """The keys that say how the log is shown, and those that search."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._searched = ""  # the text that was searched for last

    def on_log_view_said(self, event: LogView.Said) -> None:
        """Something about a search."""
        self.note(event.text)

    def action_follow(self) -> None:
        """Let the log follow the end, or let it be."""
        log = self.log_pane
        log.follow(not log.following)
        stays = f"the log stays where it is; {self.key('log.follow')} follows its end again"
        self.note("the log follows its end" if log.following else stays)

    def action_wrap(self) -> None:
        """Break long lines over rows, or do not."""
        sides = f"{self.key('log.left')} {self.key('log.right')}"
        cut = f"long lines of the log are cut off; {sides} move them"
        self.note("long lines of the log are wrapped" if self.log_pane.toggle_wrap() else cut)

    def action_gutter(self) -> None:
        """Say beside each line of the log when it was written."""
        match self.log_pane.turn_gutter():
            case Gutter.NONE:
                self.note("no times beside the lines of the log")
            case Gutter.CLOCK:
                self.note("beside each line of the log: when it was written")
            case Gutter.ELAPSED:
                self.note("beside each line of the log: how long after the begin of the attempt")

    # -- search ------------------------------------------------------------------------------------------

    def action_search(self) -> None:
        """Type what to search for in the log. An action of the screen and no message of the pane: the line has to be
        there before the keys that were typed right behind the one that asks for it."""
        if self.log_pane.shown is None:
            self.note(NO_LOG)
            return
        from qtui.tui.screens.searchline import SearchLine

        what = "search this log; ~ regular expression"
        self.app.push_screen(SearchLine(self.glyphs, what, self._searched), self._search_log)

    def _search_log(self, pattern: Pattern | None) -> None:
        if pattern is not None:
            self._searched = pattern.typed
            self.log_pane.search(pattern)

    def end_search(self) -> bool:
        """Forget what is searched for in the log; False if nothing is, or one is elsewhere."""
        log = self.log_pane
        if log.finder.pattern is None or self.focused is not log:
            return False
        log.search(None)
        return True

    def action_search_all(self) -> None:
        """Type what to search for in the logs of all units."""
        if not logs_of(self.bridge.view):
            self.note("nothing has begun yet, so there are no logs")
            return
        from qtui.tui.screens.searchline import SearchLine

        what = "search all logs; ~ regular expression"
        self.app.push_screen(SearchLine(self.glyphs, what, self._searched), self._search_all)

    def _search_all(self, pattern: Pattern | None) -> None:
        from qtui.tui.logsearch import AllLogsSearch
        from qtui.tui.screens.found import FoundList

        if pattern is None:
            return
        self._searched = pattern.typed
        view = self.bridge.view
        search = AllLogsSearch(self.session, logs_of(view), pattern)
        found = FoundList(self.glyphs, search, view.plan, lambda unit: view.attempts[unit])

        def go(hit: Hit | None) -> None:
            if hit is not None and view.plan.table[hit.unit].id == self.bridge.view.plan.table[hit.unit].id:
                self._show_hit(hit, pattern)

        self.app.push_screen(found, go)

    def _show_hit(self, hit: Hit, pattern: Pattern) -> None:
        """Show the line of a log that was found."""
        if not self.tree_pane.select_unit(hit.unit):
            self.note(TOO_NEW)
            return
        self.show_tab(Tab.LOG)
        log = self.log_pane
        log.watch_unit(self.bridge.view, hit.unit, hit.attempt)
        log.search(pattern)
        log.show_offset(hit.start)
        self.focus_pane(Pane.LOG)
