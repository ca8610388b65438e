"""Finding units: views and their order, the filter, marks, and the next one that has failed."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtui.core.failures import causes_of, rounds
from qtui.tui.format import counted
from qtui.tui.panes import Pane
from qtui.tui.screens.arranging import Arranging
from qtui.tui.screens.base import TOO_NEW
from qtui.tui.text import clean
from qtui.tui.views.base import ViewKind
from qtui.tui.views.flat import SortKey
from qtui.tui.widgets.tree import UnitTree

if TYPE_CHECKING:
    from qtui.tui.widgets.filter import FilterInput


class Finding(Arranging):
    """The keys that find units."""

    def _go_to_units(self) -> None:
        """Show what is about to change."""
        self.leave_zoom()
        self.focus_pane(Pane.UNITS)

    # -- views -------------------------------------------------------------------------------------------

    def action_next_view(self) -> None:
        """Show the units in the next view."""
        self.show_units(self.tree_pane.view_kind.next)

    def show_units(self, kind: ViewKind) -> None:
        """Show the units in a view, and say which one that is."""
        self._go_to_units()
        tree = self.tree_pane
        tree.show_view(kind)
        self.note(
            {
                ViewKind.DEPENDENCY: "by dependency: each unit below one that it needs",
                ViewKind.LEVELS: "by level: units that do not wait for each other are together; "
                f"{self.key('move.unfold')} unfolds",
                ViewKind.FLAT: self._sorting(tree.sorted_by),
            }[kind]
        )

    def action_sort(self) -> None:
        """Sort the list by something else; the other views keep the order of the plan, so they give way to it."""
        tree = self.tree_pane
        shown = tree.view_kind is ViewKind.FLAT
        self.sort_units(tree.sorted_by.next if shown else tree.sorted_by)

    def sort_units(self, by: SortKey) -> None:
        """Show the list sorted by this, and say so."""
        self._go_to_units()
        switched = self.tree_pane.view_kind is not ViewKind.FLAT
        self.tree_pane.sort(by)
        more = f"; {self.key('units.view')} goes on to the tree" if switched else ""
        self.note(f"{self._sorting(by)}{more}")

    def _sorting(self, by: SortKey) -> str:
        return f"a list, sorted by {by.told}; {self.key('units.sort')} sorts by {by.next}"

    def action_fold_finished(self) -> None:
        """Leave out what has ended well, or show it again."""
        self._go_to_units()
        tree = self.tree_pane
        if tree.found is not None:
            self.note(f"the filter decides what is on show; {self.key('screen.back')} drops it")
        elif tree.fold_finished():
            self.note(f"what has ended well is folded away; {self.key('units.finished')} shows it again")
        else:
            self.note("all units are on show")

    def on_unit_tree_told(self, event: UnitTree.Told) -> None:
        """A key in the pane had nothing to do, or did something that is not seen."""
        self.note(event.text)

    # -- the filter --------------------------------------------------------------------------------------

    def action_filter(self) -> None:
        """Begin to type a filter."""
        self._go_to_units()
        line = self._filter_line()
        line.value = ""
        self.tree_pane.begin_filter()
        self.add_class("-filtering")
        self.set_focus(line)

    def filter_units(self, words: str) -> None:
        """Show the units for which these words hold."""
        self.tree_pane.begin_filter()
        self.tree_pane.set_filter(words)
        self._keep_filter()

    def on_input_changed(self) -> None:
        """Filter while it is typed. This may come late, when enter or an arrow was typed right behind the text."""
        if self.has_class("-filtering"):
            self._filter_as_typed()

    def _filter_as_typed(self) -> None:
        tree, typed = self.tree_pane, self._filter_line().value
        if tree.filter != clean(typed).strip():
            tree.set_filter(typed)

    def _enter_filter(self) -> None:
        self._filter_as_typed()
        self._keep_filter()

    def _keep_filter(self) -> None:
        """Keep the filter, unless nothing matches it."""
        tree = self.tree_pane
        if tree.complaint:
            self.note(tree.complaint)
            self.drop_filter()
        elif tree.filter and not tree.has_matches:
            self.note(f"nothing matches {tree.filter}")
            self.drop_filter()
        else:
            self._close_filter_line()

    def _step_filtered(self, step: int) -> None:
        self._filter_as_typed()
        self.tree_pane.next_match(step)

    def drop_filter(self) -> None:
        """Show all units again."""
        self._close_filter_line()
        self.tree_pane.set_filter("")

    def _filter_line(self) -> FilterInput:
        """The line to type into; made when it is wanted first, as it has more styles than the rest of the screen."""
        from qtui.tui.widgets.filter import FilterInput

        made = self.query(FilterInput)
        if made:
            return made.first()
        line = FilterInput(
            {
                "enter": self._enter_filter,
                "escape": self.drop_filter,
                "down": partial(self._step_filtered, 1),
                "up": partial(self._step_filtered, -1),
            }
        )
        self.mount(line, before="#keys")
        return line

    def _close_filter_line(self) -> None:
        self.remove_class("-filtering")
        self.focus_pane(Pane.UNITS)

    def action_next_match(self, step: int) -> None:
        """Go to another match."""
        if not self.tree_pane.next_match(step):
            none = f"no filter is set; {self.key('filter.begin')} sets one"
            self.note("nothing matches the filter" if self.tree_pane.filter else none)

    # -- marks -------------------------------------------------------------------------------------------

    def action_mark_all(self) -> None:
        """Mark all that the filter finds; without one, all failures that look like the selected one."""
        tree = self.tree_pane
        if tree.found is not None:
            units, what = tuple(tree.found), "that the filter finds"
        else:
            alike = next((cause.units for cause in self.bridge.causes if tree.unit in cause.units), ())
            units, what = alike, "that failed alike"
        if not units:
            one, other = self.key("units.mark_all"), self.key("filter.begin")
            self.note(f"{one} marks what a filter finds, or on a failed unit all that failed alike; {other} filters")
        elif tree.mark(units):
            keys = f"{self.key('unit.retry')} and {self.key('unit.cancel')}"
            back = self.key("screen.back") + ("" if tree.found is None else " twice")
            self.note(f"{counted(len(units), 'unit')} marked {what}; {keys} go to what is marked, {back} unmarks")
        else:
            self.note(f"{counted(len(units), 'unit')} unmarked")

    def drop_marks(self) -> bool:
        """Mark nothing; False if nothing was marked."""
        return self.tree_pane.clear_marks()

    # -- failures ----------------------------------------------------------------------------------------

    def show_failed(self, unit: int, *, by_hand: bool = True) -> bool:
        """Select a unit that has failed, with its log at what it died of; False if it has no row yet. `by_hand` says
        that a person wants it."""
        if not self.tree_pane.select_unit(unit, by_hand=by_hand):
            return False
        self.log_pane.watch_unit(self.bridge.view, unit)
        self.log_pane.show_failure()
        self.stale = True
        return True

    def action_next_failed(self) -> None:
        """Go to the next failed unit: one of each cause, what hit most units first, then the next of each; failures
        that are allowed come behind all others. The log comes to the screen if no tab is there."""
        causes, allowed = self.bridge.causes, self.bridge.allowed
        order = sorted(rounds(causes), key=lambda turn: turn[0] in allowed)
        if not order:
            self.note("nothing has failed")
            return
        selected = self.tree_pane.unit
        here = next((place for place, (unit, _) in enumerate(order) if unit == selected), -1)
        unit, at = order[(here + 1) % len(order)]
        if not self.show_failed(unit):
            self.note(TOO_NEW)
            return
        self.show_log()
        cause = causes[at]
        units = cause.units
        marks = f"{self.key('units.mark_all')} marks them"
        which = f"{units.index(unit) + 1} of {len(units)} units, {marks}" if len(units) > 1 else "1 unit"
        which += ", allowed" if unit in allowed else ""
        (own,) = causes_of(self.bridge.view, [unit])  # with its own numbers and paths
        self.note(f"cause {at + 1}/{len(causes)} ({which}): {clean(own.words)}")
