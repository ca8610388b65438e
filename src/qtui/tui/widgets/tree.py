"""The pane of units: what is selected and marked, the filter, the views, and the keys for that."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import ClassVar

from textual import events
from textual.binding import BindingType
from textual.message import Message

from qtui.tui.actions import Where, bindings
from qtui.tui.format import counted
from qtui.tui.keys import key_for
from qtui.tui.scopes import Kind
from qtui.tui.text import clean
from qtui.tui.views.base import ViewKind
from qtui.tui.views.flat import FlatView, SortKey
from qtui.tui.widgets.unitrows import UnitRows


class UnitTree(UnitRows, can_focus=True):
    """The units in one of several views, with a filter and marks."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(Where.TREE)

    class Opened(Message):
        """The selected unit is to be opened: a leaf was entered."""

    class Told(Message):
        """There is something to say about what a key did."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    # -- what is selected --------------------------------------------------------------------------------

    @property
    def targets(self) -> tuple[int, ...]:
        """The units that an action goes to: the marked ones, else those of the selected row; in the order of the
        plan."""
        return self._marks.units or tuple(sorted(self.units))

    @property
    def targets_label(self) -> str:
        """What those units are called together."""
        return self._marks.label if self._marks else self.label

    def select_unit(self, unit: int, *, by_hand: bool = True) -> bool:
        """Select a unit, opening what hides it; False if it is so new that there is no row for it yet. `by_hand` says
        that a person wants it."""
        node = self._view.node_of(unit)
        if node is None:
            return False
        self._view.reveal(node)
        if self.filter and node not in self._places:
            self._drop_found()
        self._select(node, by_hand=by_hand)
        return True

    # -- marks -------------------------------------------------------------------------------------------

    @property
    def marks(self) -> frozenset[int]:
        """The marked units."""
        return frozenset(self._marks.units)

    def mark(self, units: Collection[int]) -> bool:
        """Mark these units, or unmark them if all of them are marked; True if they are now."""
        marked = self._marks.toggle(units)
        self._plan = self._bridge.view.plan  # which the numbers are of
        self.write_title()
        self.refresh()
        return marked

    def clear_marks(self) -> bool:
        """Mark nothing; False if nothing was marked."""
        marked = len(self._marks) > 0
        self._marks.clear()
        self.write_title()
        self.refresh()
        return marked

    # -- the filter --------------------------------------------------------------------------------------

    @property
    def found(self) -> Sequence[int] | None:
        """The units that the filter finds, or None without one."""
        return self._found

    @property
    def has_matches(self) -> bool:
        """True if the filter matches any row."""
        return bool(self._hits)

    def begin_filter(self) -> None:
        """Remember what is selected: it stays so where a filter matches nothing."""
        self._unfiltered = self.selected
        self.set_filter("")

    def set_filter(self, text: str) -> int:
        """Show only units for which the words of `text` hold (see `find_units`), and what is above them; empty shows
        all, and so do words that mean nothing: `complaint` says why. Returns how many were found.

        Selects the first match from where the selection was on.
        """
        self.filter, self.complaint = clean(text).strip(), ""
        self._kept.clear()
        if not self.filter:
            # what was found may stand under a row that is folded shut
            self._view.reveal(self.selected)
        if not self.filter or not self._find():
            self._found = None
        self._lay_out_rows()
        if self._found is None:
            self._select(self.selected)
        elif self._hits:
            here = self._view.place(self._unfiltered)
            hits = [node for node in self._rows if node in self._hits]
            self._select(next((node for node in hits if self._view.place(node) >= here), hits[0]))
        else:
            self.selected = self._unfiltered
        return len(self._found or ())

    def keep_found(self, units: Iterable[int]) -> None:
        """Of these units, which a person has acted on, those that the filter has found stay until it is another: who
        runs a failure again wants to see what becomes of it."""
        self._kept |= set(units).intersection(self._found or ())

    def _drop_found(self) -> None:
        self.filter, self.complaint, self._found = "", "", None
        self._kept.clear()

    def next_match(self, step: int) -> bool:
        """Select the next (`step` 1) or previous (-1) row that matches the filter; False without a match."""
        hits = [node for node in self._rows if node in self._hits]
        if self._found is None or not hits:
            return False
        here = self._view.place(self.selected)
        if step > 0:
            self._select(next((node for node in hits if self._view.place(node) > here), hits[0]))
        else:
            self._select(next((node for node in reversed(hits) if self._view.place(node) < here), hits[-1]))
        return True

    # -- what is worth saying ----------------------------------------------------------------------------

    def _key(self, action: str) -> str:
        return key_for(action, self._keymap)

    def warning(self) -> str:
        """What must be said about the filter and the marks: that it has no meaning, or that it hides some of these."""
        if self.complaint:
            return self.complaint
        hidden = 0 if self._found is None else self._marks.outside(self._found)
        if not hidden:
            return ""
        are, back = "is" if hidden == 1 else "are", self._key("screen.back")
        return f"{hidden:,} of {counted(len(self._marks), 'mark')} {are} hidden by the filter; {back} clears it"

    def reminder(self) -> str:
        """What the filter and the marks are, while nothing else is to be said."""
        back = self._key("screen.back")
        if self.filter:
            steps = f"{self._key('filter.next')} {self._key('filter.previous')}"
            return f"filter: {self.filter}; {steps} next, {back} clears"
        return f"{self._marks.label}: keys go to all of them; {back} unmarks" if self._marks else ""

    # -- views -------------------------------------------------------------------------------------------

    def show_view(self, kind: ViewKind) -> None:
        """Show another view; the selection goes on with its unit or bundle, at its place on the screen."""
        self._brief = None
        self._change_view(kind)

    def _change_view(self, kind: ViewKind) -> None:
        before, view = self._view, self._view_of(kind)
        if view is before:
            return
        y = self._places.get(self.selected, 0) - int(self.scroll_offset.y)
        view.refresh()

        def moved(node: int) -> int:
            bundle = before.bundle(node)
            found = view.node_of(before.units_under(node)[0]) if bundle is None else view.node_like(bundle)
            return 0 if found is None else found

        self.selected, self._unfiltered = moved(self.selected), moved(self._unfiltered)
        view.reveal(self.selected)
        self._view = view
        self._marks.forget_rows()
        self._lay_out_rows([(self.selected, y)])
        self.post_message(self.Selected())

    @property
    def sorted_by(self) -> SortKey:
        """What the flat view is sorted by."""
        return self._flat.by

    def sort(self, by: SortKey) -> None:
        """Sort the flat view, and show it."""
        self._flat.sort(by)
        self.show_view(ViewKind.FLAT)
        self._lay_out_rows()

    @property
    def _flat(self) -> FlatView:
        flat = self._view_of(ViewKind.FLAT)
        assert isinstance(flat, FlatView)
        return flat

    def fold_finished(self) -> bool:
        """Leave out what has ended well, or show it again; True if it is left out now. Failures never are."""
        self._unfinished = not self._unfinished
        self._lay_out_rows()
        self._reveal(self._places.get(self.selected, 0))
        return self._unfinished

    @property
    def brief(self) -> bool:
        """True while the list of what needs eyes most stands in for another view, on a screen with little room.

        It stays at its top until somebody moves in it; when it is switched off, what was selected before is again,
        unless somebody has.
        """
        return self._brief is not None

    @brief.setter
    def brief(self, on: bool) -> None:
        if on == self.brief:
            return
        if on:
            before = (self.view_kind, self.selected)
            self._change_view(ViewKind.FLAT)
            self._brief = before
            self._stay_at_top()
        elif self._brief is not None:
            (kind, selected), untouched = self._brief, self._at_top
            self._brief = None
            self._change_view(kind)
            if untouched:
                self._select(selected, by_hand=False)

    # -- keys and mouse ----------------------------------------------------------------------------------

    def action_move(self, count: int) -> None:
        """Select the row `count` below."""
        if self._rows:
            at = self._places.get(self.selected, 0) + count
            self._select(self._rows[min(max(at, 0), len(self._rows) - 1)])

    def action_move_to(self, row: int) -> None:
        """Select the first row, or the last (-1)."""
        if self._rows:
            self._select(self._rows[row])

    def action_move_pages(self, count: float) -> None:
        """Select the row that many pages below."""
        self.action_move(int(count * max(1, self.size.height - 1)))

    def action_mark(self) -> None:
        """Mark the selected row, or unmark it, and go on to the next."""
        if not self._rows:
            self.post_message(self.Told("there is nothing to mark"))
            return
        self.mark(self.units)
        self.action_move(1)

    @property
    def _foldable(self) -> bool:
        """Whether the selected row may be folded and unfolded: with a filter if it is that of a bundle that stands for
        all it holds, as of any other just what is found is on show."""
        bundle = self.bundle
        if self._found is None or bundle is None or bundle.kind is Kind.WORKFLOW:
            return self._found is None
        return set(bundle.units).issubset(self._found)

    @property
    def opening(self) -> str:
        """What opening the row of the selected bundle does, in words."""
        if not self._foldable:
            return "goes to the first that is found"
        return "unfolds" if self._view.folded(self.selected) else "folds"

    def action_fold(self) -> None:
        """Fold the selected row; if there is nothing to fold, select the row above it in the tree."""
        if self._foldable and self._view.fold(self.selected):
            self._lay_out_rows()
            self.post_message(self.Selected())
            return
        above = self._view.above(self.selected)
        if above is not None:
            self._select(above)
        elif self.view_kind is ViewKind.FLAT:
            self.post_message(self.Told(f"nothing folds in this list; {self._key('units.view')} shows another view"))
        else:
            self.post_message(self.Told("there is nothing to fold here, and nothing above"))

    def action_unfold(self) -> None:
        """Unfold the selected row, or go to the first that is inside; a row without anything to unfold is opened."""
        if self._foldable and self._view.unfold(self.selected):
            self._lay_out_rows()
            self.post_message(self.Selected())
        elif self.bundle is not None:
            self.action_move(1)
        else:
            self.post_message(self.Opened())

    def action_open(self) -> None:
        """Open the selected unit, or unfold and fold the selected bundle."""
        if self.bundle is None:
            self.post_message(self.Opened())
        elif self._view.folded(self.selected) or not self._foldable:
            self.action_unfold()
        else:
            self.action_fold()

    def on_click(self, event: events.Click) -> None:
        """Select the row under the pointer; open it on the second click."""
        offset = event.get_content_offset(self)
        if offset is None or not offset.y + self.scroll_offset.y < len(self._rows):
            return
        self._select(self._rows[int(offset.y + self.scroll_offset.y)])
        if event.chain == 2:
            self.action_open()
