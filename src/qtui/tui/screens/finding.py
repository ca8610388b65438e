"""Finding units: the filter, and the next one that has failed."""

from __future__ import annotations

from textual.widgets import Input

from qtui.tui.panes import Pane
from qtui.tui.screens.arranging import Arranging
from qtui.tui.widgets.filter import FilterInput


class Finding(Arranging):
    """The keys that find units."""

    def action_filter(self) -> None:
        """Begin to type a filter."""
        self.leave_zoom()
        self.focus_pane(Pane.UNITS)
        line = self.query_one(FilterInput)
        line.value = ""
        self.tree_pane.begin_filter()
        self.add_class("-filtering")
        self.set_focus(line)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while it is typed."""
        if self.has_class("-filtering"):
            self.tree_pane.set_filter(event.value)

    def on_input_submitted(self) -> None:
        """Keep the filter, unless nothing matches it."""
        if self.tree_pane.filter and not self.tree_pane.has_matches:
            self.note(f"nothing matches {self.tree_pane.filter}")
            self.drop_filter()
        else:
            self._close_filter_line()

    def on_filter_input_given_up(self) -> None:
        """Show all units again."""
        self.drop_filter()

    def on_filter_input_step(self, event: FilterInput.Step) -> None:
        """Go to another match while typing."""
        self.tree_pane.next_match(event.count)

    def drop_filter(self) -> None:
        self._close_filter_line()
        self.tree_pane.set_filter("")

    def _close_filter_line(self) -> None:
        self.remove_class("-filtering")
        self.focus_pane(Pane.UNITS)

    def action_next_match(self, step: int) -> None:
        """Go to another match."""
        if not self.tree_pane.next_match(step):
            self.note("no filter is set; / sets one" if not self.tree_pane.filter else "nothing matches the filter")

    def action_next_failed(self) -> None:
        """Go to the next failed unit."""
        if not self.tree_pane.next_failed():
            self.note("nothing has failed")
