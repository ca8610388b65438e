"""Rows of a view, one of which is selected: which there are, where they stand on the screen, and painting them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence, Set
from typing import Final, Self

from textual.geometry import Region
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from qtui.tui.actions import USUAL, Keymap
from qtui.tui.bridge import Bridge
from qtui.tui.format import Glyphs
from qtui.tui.keys import key_for
from qtui.tui.layout import FINISHED, Bundle
from qtui.tui.marks import Marks
from qtui.tui.match import BadFilter, find_units, follows_states
from qtui.tui.roles import Role
from qtui.tui.rows import WORD_FROM, Drawing, Row, cells_until_same
from qtui.tui.text import Span
from qtui.tui.views.base import UnitsView, ViewKind
from qtui.tui.views.flat import FlatView
from qtui.tui.views.folding import DependencyView, LevelsView
from qtui.tui.widgets.lines import set_row_count, set_title, strip_of, theme_of

ORDER_SECONDS: Final = 1.0
"""Rows change places at most so often, where they do at all."""


class UnitRows(ScrollView):
    """The rows of units. The selection is a node, so it stays with its unit when rows come and go, and at its place on
    the screen. Only rows on the screen that changed are painted again.
    """

    class Selected(Message, namespace="unit_tree"):
        """Another node was selected, or the selected one was folded or unfolded."""

    def __init__(
        self,
        bridge: Bridge,
        glyphs: Glyphs,
        *,
        clock: Callable[[], float],
        keymap: Keymap = USUAL,
        id: str | None = None,  # noqa: A002  - Textual's name
    ) -> None:
        super().__init__(id=id)
        self._bridge = bridge
        self._clock = clock
        self._glyphs = glyphs
        self._keymap = keymap
        self._views: dict[ViewKind, UnitsView] = {}
        self._view = self._view_of(ViewKind.DEPENDENCY)
        self._marks = Marks()
        self._plan = bridge.view.plan
        self._rows: list[int] = []
        self._places: dict[int, int] = {}  # of nodes among the rows
        self._painted: dict[int, tuple[int, Row]] = {}  # by line, with the width it was painted for
        self._compared: dict[int, tuple[int, Row]] = {}  # the same of those that are to be painted, to make them once
        self._compared_at = 0.0
        self._found: list[int] | None = None  # what the filter finds, while there is one
        self._kept: set[int] = set()  # what it has found and a person has acted on
        self._hits: set[int] = set()
        self._unfinished = False
        self._left_out = 0  # rows of what has ended well
        self._brief: tuple[ViewKind, int] | None = None
        self._seen, self._due = bridge.view.seq, 0.0
        self.filter = ""
        self.complaint = ""
        self.selected = 0
        self.chosen = False
        """True once a person has moved the selection, or acted on it: then nothing else moves it."""
        self._unfiltered = 0
        self._lay_out_rows()

    # -- what is selected --------------------------------------------------------------------------------

    @property
    def unit(self) -> int | None:
        """The selected unit, or None on the row of a bundle."""
        return self._view.unit(self.selected)

    @property
    def units(self) -> Sequence[int]:
        """The selected unit, or all that the selected bundle holds."""
        return self._view.units_under(self.selected)

    @property
    def bundle(self) -> Bundle | None:
        """The selected bundle, or None on the row of a unit."""
        return self._view.bundle(self.selected)

    @property
    def label(self) -> str:
        """The name of the selected row."""
        return self._view.label(self.selected)

    @property
    def view_kind(self) -> ViewKind:
        """The view that is shown."""
        return self._view.kind

    # -- frames ------------------------------------------------------------------------------------------

    def grow(self, *, replaced: bool = False) -> None:
        """Show later layouts, which the bridge knows already: of the same plan, or of one that has `replaced` it; units
        are the same by their ids."""
        anchors = self._anchors()
        moves = {kind: view.follow(replaced=replaced) for kind, view in self._views.items()}
        moved = moves[self.view_kind]
        self.selected, self._unfiltered = moved(self.selected), moved(self._unfiltered)
        if self._brief is not None:
            kind, selected = self._brief
            self._brief = kind, moves[kind](selected)
        if replaced:
            self._marks.follow(self._plan, self._bridge.view.plan)
            self._kept.clear()
        self._marks.forget_rows()
        self._plan = self._bridge.view.plan
        if self._found is not None:
            self._find()
        self._lay_out_rows([(moved(node), y) for node, y in anchors])

    def update_rows(self, *, exposure: bool, units: Set[int] | None = None) -> None:
        """Paint what changed since the last frame; `exposure`: units inside of bundles entered or left trouble. Other
        units than `units` look as they did, unless that is None."""
        if self._order_changed() or exposure:
            at_top = self._brief is not None and self._at_top
            self._lay_out_rows()
            if at_top:
                self._stay_at_top()
        width, height = self.size
        top, now = int(self.scroll_offset.y), self._clock()
        self._compared_at = now
        changed: list[Region] = []
        compared: dict[int, tuple[int, Row]] = {}
        for y in range(min(height, len(self._rows) - top)):
            if units is not None and y in self._painted and self._is_of_others(self._rows[y + top], units):
                continue
            row = self._row(y + top, now, width)
            painted_for, painted = self._painted.get(y, (-1, row))
            if painted_for != width:
                changed.append(Region(0, y, width, 1))
            elif painted != row:
                changed.append(Region(0, y, cells_until_same(painted, row, width), 1))
            if changed and changed[-1].y == y:
                compared[y] = width, row
        if changed:
            self.refresh(*changed)
            self._compared = compared

    def refresh(self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False) -> Self:
        """Textual's hook: something else is to be painted, so what was compared may not be any more."""
        self._compared = {}
        return super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)

    def _is_of_others(self, node: int, units: Set[int]) -> bool:
        """Whether a row is that of one unit, and of none of these."""
        shown = self._view.units_under(node)
        return len(shown) == 1 and shown[0] not in units

    def _order_changed(self) -> bool:
        """Bring up to date what depends on the states of all units, once in a while; True if rows may be others now."""
        seq = self._bridge.view.seq
        if seq == self._seen or time.monotonic() < self._due:
            return False
        self._seen, self._due = seq, time.monotonic() + ORDER_SECONDS
        changed = self._view.refresh()
        if self._found is not None and follows_states(self.filter):
            before = self._found
            self._find()
            changed |= self._found != before
        return changed or (self._unfinished and self._found is None)

    def render_line(self, y: int) -> Strip:
        """Textual's hook: row `y` of the widget."""
        at = y + int(self.scroll_offset.y)
        width, theme = self.size.width, theme_of(self)
        if at >= len(self._rows):
            self._painted.pop(y, None)
            empty = (Span(self._nothing_found, Role.MUTED),) if not at and self._found is not None else ()
            return strip_of(empty, width, theme=theme)
        # as it was compared: where only the gutter is painted, the rest must be what is there
        made_for, row = self._compared.pop(y, (-1, None))
        if row is None or made_for != width:
            row = self._row(at, self._compared_at or self._clock(), width)
        self._painted[y] = width, row
        strip = strip_of((*row.gutter, *row.body), width, theme=theme)
        if self._rows[at] == self.selected:
            style = theme.row(focused=self.has_focus)
            strip = strip_of([Span(strip.text, style)], width, theme=theme)
        return strip

    def _row(self, at: int, now: float, width: int) -> Row:
        node = self._rows[at]
        return self._view.paint(
            node,
            Drawing(
                now=now,
                width=width,  # asked for once: Textual works it out each time, in 60 us
                words=self._words,
                selected=node == self.selected,
                marked=self._marks.within(node, self._view.units_under(node)),
                filtered=self._found is not None,
            ),
        )

    @property
    def _words(self) -> bool:
        return self.app.size.width >= WORD_FROM

    def _anchors(self) -> list[tuple[int, int]]:
        """The nodes on the screen with their places on it: the selected one, then from the top."""
        top = int(self.scroll_offset.y)
        shown = [(node, y) for y, node in enumerate(self._rows[top : top + self.size.height])]
        return sorted(shown, key=lambda place: place[0] != self.selected)

    def _lay_out_rows(self, anchors: list[tuple[int, int]] | None = None) -> None:
        """Which nodes have a row; the first of `anchors` (by default those of now) that still has one stays where it is
        on the screen."""
        if anchors is None:
            anchors = self._anchors()
        self._left_out = 0
        if self._found is not None:
            self._rows, self._hits = self._view.matching(self._found)
        else:
            self._rows, self._hits = self._view.rows(self.selected, unfinished=self._unfinished), set()
            if self._unfinished:
                self._left_out = len(self._view.rows(self.selected, unfinished=False)) - len(self._rows)
        self._places = {node: at for at, node in enumerate(self._rows)}
        if self.selected not in self._places:
            kept = self._view.above(self.selected)
            while kept is not None and kept not in self._places:
                kept = self._view.above(kept)
            if kept is None:
                kept = self._rows[0] if self._rows else self.selected
            if kept != self.selected:
                self.selected = kept
                self.post_message(self.Selected())  # the log follows the cursor, whatever moved it
        self._painted.clear()
        set_row_count(self, len(self._rows))
        if not self.is_mounted:
            return
        for node, y in anchors:
            if node in self._places:
                self.scroll_to(y=self._places[node] - y, animate=False, force=True)
                break
        self.write_title()
        self.refresh()

    def _select(self, node: int, *, by_hand: bool = True) -> None:
        before, self.selected = self.selected, node
        self.chosen = self.chosen or by_hand
        if node not in self._places or (before != node and self._hides_again(before)):
            self._lay_out_rows()
        at = self._places.get(self.selected)
        if at is None:
            return
        self._reveal(at)
        for other in (before, self.selected):
            if (row := self._places.get(other)) is not None:
                self.refresh(Region(0, row - int(self.scroll_offset.y), self.size.width, 1))
        self.write_title()
        self.post_message(self.Selected())

    def _hides_again(self, node: int) -> bool:
        """True if the node was on show only because it was selected."""
        if self._view.passing(node):
            return True
        unit = self._view.unit(node)
        return self._unfinished and unit is not None and self._bridge.view.states[unit] in FINISHED

    def _reveal(self, at: int) -> None:
        top, height = self.scroll_offset.y, max(1, self.size.height)
        if at < top:
            self.scroll_to(y=at, animate=False, force=True)
        elif at >= top + height:
            self.scroll_to(y=at - height + 1, animate=False, force=True)

    def write_title(self) -> None:
        """Put the pane's name, the filter, the place of the selection and the marks into the border."""
        if not self.is_mounted:
            return
        at = self._places.get(self.selected, 0)
        place = f"{at + 1}/{len(self._rows)}" if self._rows else "no match" if self.filter else "all done"
        if self._found:
            place += f"  {len(self._found):,} found"  # the rows above these are not
        place = self.complaint or place  # while it is typed, there is no other line to tell it
        parts = [self._view.heading + (f" /{self.filter} " if self.filter else ""), place]
        if self._left_out:
            parts.append(f" {self._left_out:,} finished folded")
        if self._marks:
            parts.append(f" {len(self._marks):,} marked")
        set_title(self, " ".join(parts))

    @property
    def _nothing_found(self) -> str:
        """What stands in the place of rows."""
        return f"  nothing matches {self.filter} now; {key_for('screen.back', self._keymap)} shows all"

    # -- what rows depend on -----------------------------------------------------------------------------

    def _find(self) -> bool:
        """Find anew; False if the filter has no meaning."""
        try:
            found = find_units(self._bridge.view, self.filter)
            self._found = sorted({*found, *self._kept}) if self._kept else found
        except BadFilter as bad:
            self.complaint = str(bad)
        return not self.complaint

    @property
    def _at_top(self) -> bool:
        return bool(self._rows) and self.selected == self._rows[0]

    def _stay_at_top(self) -> None:
        if self._rows:
            self.scroll_to(y=0, animate=False, force=True)
            self._select(self._rows[0], by_hand=False)

    def _view_of(self, kind: ViewKind) -> UnitsView:
        """The view; made when it is shown first."""
        if kind not in self._views:
            self._views[kind] = (
                FlatView(self._bridge, self._glyphs, self._clock)
                if kind is ViewKind.FLAT
                else (LevelsView if kind is ViewKind.LEVELS else DependencyView)(self._bridge, self._glyphs)
            )
        return self._views[kind]

    def on_resize(self) -> None:
        """Keep the selected row on the screen."""
        self._painted.clear()
        if (at := self._places.get(self.selected)) is not None:
            self._reveal(at)

    def on_mount(self) -> None:
        """Say where the selection is."""
        self.write_title()

    def on_focus(self) -> None:
        """The selected row looks different with the focus."""
        self.refresh()

    def on_blur(self) -> None:
        """The selected row looks different without the focus."""
        self.refresh()
