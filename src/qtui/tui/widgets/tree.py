"""The tree of units: rows over a layout; only rows on screen that changed are painted again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual import events
from textual.binding import BindingType
from textual.geometry import Region
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from qtui.core.model import FAILURES
from qtui.tui.actions import Where, bindings
from qtui.tui.bridge import Bridge
from qtui.tui.format import Glyphs
from qtui.tui.layout import Bundle, TreeLayout, row_of
from qtui.tui.rows import WORD_FROM, Row, RowPainter, gutter_width
from qtui.tui.text import Span, clean
from qtui.tui.widgets.lines import set_row_count, set_title, strip_of, theme_of


class UnitTree(ScrollView, can_focus=True):
    """The dependency view. The selection is a node, so it stays with its unit when rows come and go; when the plan has
    grown, selection, folds and place on the screen are carried over to the new layout by key."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(Where.TREE)

    class Selected(Message):
        """Another node was selected."""

    class Opened(Message):
        """The selected unit is to be opened: a leaf was entered."""

    def __init__(
        self,
        layout: TreeLayout,
        bridge: Bridge,
        glyphs: Glyphs,
        *,
        clock: Callable[[], float],
        id: str | None = None,  # noqa: A002  - Textual's name
    ) -> None:
        super().__init__(id=id)
        self.nodes = layout
        self._bridge = bridge
        self._clock = clock
        self._glyphs = glyphs
        self._painter = RowPainter(layout, bridge, glyphs)
        self._unfolded: set[int] = set(layout.opened)
        self._shut: set[int] = set()
        self._rows: list[int] = []
        self._painted: dict[int, Row] = {}
        self._hits: set[int] = set()
        self.filter = ""
        self.selected = 0
        self._unfiltered = 0
        self._lay_out_rows()

    # -- what is selected --------------------------------------------------------------------------------

    @property
    def unit(self) -> int | None:
        """The selected unit, or None on the row of a bundle."""
        unit = self.nodes.units[self.selected]
        return unit if unit >= 0 else None

    @property
    def units(self) -> Sequence[int]:
        """The selected unit, or all that the selected bundle holds."""
        return self.nodes.units_under(self.selected)

    @property
    def targets(self) -> tuple[int, ...]:
        """The units that an action goes to, in the order of the plan."""
        return tuple(sorted(self.units))

    @property
    def targets_label(self) -> str:
        """What those units are called together."""
        return self.label

    @property
    def bundle(self) -> Bundle | None:
        """The selected bundle, or None on the row of a unit."""
        return self.nodes.bundle(self.selected)

    @property
    def label(self) -> str:
        """The name of the selected row."""
        return self.nodes.label(self.selected)

    def select_unit(self, unit: int) -> None:
        """Select a unit of the layout, opening what hides it."""
        node = self.nodes.node_of[unit]
        opened = self._shut.intersection(self.nodes.ancestors(node))
        self._shut -= opened
        if self.filter and row_of(self._rows, node) is None:
            self.filter = ""
        self._select(node)

    def next_failed(self) -> bool:
        """Select the next failed or timed-out unit below, from the top again at the end; False if there is none."""
        states = self._bridge.view.states
        node_of = self.nodes.node_of
        failed = sorted(node for node, state in zip(node_of, states, strict=False) if state in FAILURES)
        if not failed:
            return False
        node = next((node for node in failed if node > self.selected), failed[0])
        self.select_unit(self.nodes.units[node])
        return True

    def next_match(self, step: int) -> bool:
        """Select the next (`step` 1) or previous (-1) row that matches the filter; False without a match."""
        hits = sorted(self._hits.intersection(self._rows))
        if not self.filter or not hits:
            return False
        beyond = [node for node in hits if (node > self.selected if step > 0 else node < self.selected)]
        wrapped = hits[0] if step > 0 else hits[-1]
        self._select((beyond[0] if step > 0 else beyond[-1]) if beyond else wrapped)
        return True

    @property
    def has_matches(self) -> bool:
        """True if the filter matches any row."""
        return bool(self._hits)

    def begin_filter(self) -> None:
        """Remember what is selected: it stays so where a filter matches nothing."""
        self._unfiltered = self.selected
        self.set_filter("")

    def set_filter(self, text: str) -> int:
        """Show only rows that hold `text`, and those above them; empty shows all. Returns the number of matches.

        Selects the first match from where the selection was on.
        """
        self.filter = clean(text)
        if not self.filter:
            # what was found may stand under a row that is folded shut
            self._shut.difference_update(self.nodes.ancestors(self.selected))
        self._lay_out_rows()
        if not self.filter:
            self._select(self.selected)
        elif self._hits:
            below = [node for node in self._hits if node >= self._unfiltered]
            self._select(min(below or self._hits))
        else:
            self.selected = self._unfiltered
        return len(self._hits)

    # -- frames ------------------------------------------------------------------------------------------

    def grow(self, layout: TreeLayout) -> None:
        """Show a later layout of the same plan; the bridge must know it already."""
        before = self.nodes

        def moved(node: int) -> int:
            found = layout.node(before.key(node))
            # a family that is no more: where its first unit is now
            return layout.node_of[before.units_under(node)[0]] if found is None else found

        self._move_to(layout, moved, {node for node in layout.opened if before.node(layout.key(node)) is None})

    def replace(self, layout: TreeLayout) -> None:
        """Show the layout of another plan: units are the same by their ids."""
        before = self.nodes
        kept = {layout.node_like(node, before) for node in before.bundle_nodes}
        self._move_to(layout, lambda node: layout.node_like(node, before), set(layout.opened) - kept)

    def _move_to(self, layout: TreeLayout, moved: Callable[[int], int], new: set[int]) -> None:
        """Show `layout`, where a node of before is at `moved(node)`, and the `new` nodes are unfolded."""
        anchors = self._anchors()
        self.nodes = layout
        self._painter = RowPainter(layout, self._bridge, self._glyphs)
        self._unfolded = {moved(node) for node in self._unfolded} | new
        self._shut = {moved(node) for node in self._shut}
        self.selected, self._unfiltered = moved(self.selected), moved(self._unfiltered)
        self._lay_out_rows([(moved(node), y) for node, y in anchors])

    def update_rows(self, *, exposure: bool) -> None:
        """Paint what changed since the last frame; `exposure`: units inside of bundles entered or left trouble."""
        if exposure:
            self._lay_out_rows()
        width, height = self.size
        top, gutter, now = self.scroll_offset.y, gutter_width(self._words), self._clock()
        for y in range(min(height, len(self._rows) - top)):
            painted = self._painted.get(y)
            row = self._row(y + top, now)
            if painted is None or painted.body != row.body:
                self.refresh(Region(0, y, width, 1))
            elif painted.gutter != row.gutter:
                self.refresh(Region(0, y, gutter, 1))

    def render_line(self, y: int) -> Strip:
        """Textual's hook: row `y` of the widget."""
        at = y + self.scroll_offset.y
        width, theme = self.size.width, theme_of(self)
        if at >= len(self._rows):
            self._painted.pop(y, None)
            return strip_of((), width, theme=theme)
        row = self._painted[y] = self._row(at, self._clock())
        strip = strip_of((*row.gutter, *row.body), width, theme=theme)
        if self._rows[at] == self.selected:
            style = theme.row(focused=self.has_focus)
            strip = strip_of([Span(segment.text, style) for segment in strip], width, theme=theme)
        return strip

    def _row(self, at: int, now: float) -> Row:
        node = self._rows[at]
        return self._painter.row(
            node,
            now=now,
            width=self.size.width,
            words=self._words,
            closed=node in self._shut and not self.filter,
            selected=node == self.selected,
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
        exposed = {self.nodes.exposing(unit) for unit in self._bridge.exposed}
        if self.filter:
            self._rows, self._hits = self.nodes.matching(self.filter, exposed=exposed)
        else:
            self._hits = set()
            exposed.add(self.selected)
            self._rows = self.nodes.rows(unfolded=self._unfolded, closed=self._shut, exposed=exposed)
        if row_of(self._rows, self.selected) is None:
            above = (node for node in self.nodes.ancestors(self.selected) if row_of(self._rows, node) is not None)
            kept = next(above, self._rows[0] if self._rows else self.selected)
            if kept != self.selected:
                self.selected = kept
                self.post_message(self.Selected())  # the log follows the cursor, whatever moved it
        self._painted.clear()
        set_row_count(self, len(self._rows))
        if not self.is_mounted:
            return
        for node, y in anchors:
            if (now := row_of(self._rows, node)) is not None:
                self.scroll_to(y=now - y, animate=False, force=True)
                break
        self.write_title()
        self.refresh()

    def _select(self, node: int) -> None:
        before, self.selected = self.selected, node
        hidden_again = before != node and not self._unfolded.issuperset(self.nodes.holders(before))
        if hidden_again or row_of(self._rows, node) is None:
            self._lay_out_rows()
        at = row_of(self._rows, self.selected)
        if at is None:
            return
        self._reveal(at)
        for other in (before, self.selected):
            if (row := row_of(self._rows, other)) is not None:
                self.refresh(Region(0, row - self.scroll_offset.y, self.size.width, 1))
        self.write_title()
        self.post_message(self.Selected())

    def _reveal(self, at: int) -> None:
        top, height = self.scroll_offset.y, max(1, self.size.height)
        if at < top:
            self.scroll_to(y=at, animate=False, force=True)
        elif at >= top + height:
            self.scroll_to(y=at - height + 1, animate=False, force=True)

    def write_title(self) -> None:
        """Put the pane's name, the filter and the place of the selection into the border."""
        at = row_of(self._rows, self.selected)
        place = f"{(at or 0) + 1}/{len(self._rows)}" if self._rows else "no match"
        set_title(self, f"Units /{self.filter}  {place}" if self.filter else f"Units {place}")

    # -- keys and mouse ----------------------------------------------------------------------------------

    def action_move(self, count: int) -> None:
        """Select the row `count` below."""
        if self._rows:
            at = (row_of(self._rows, self.selected) or 0) + count
            self._select(self._rows[min(max(at, 0), len(self._rows) - 1)])

    def action_move_to(self, row: int) -> None:
        """Select the first row, or the last (-1)."""
        if self._rows:
            self._select(self._rows[row])

    def action_move_pages(self, count: float) -> None:
        """Select the row that many pages below."""
        self.action_move(int(count * max(1, self.size.height - 1)))

    def action_fold(self) -> None:
        """Fold the selected row; if there is nothing to fold, select the row above it in the tree."""
        node = self.selected
        if node in self._unfolded:
            self._unfolded.discard(node)
        elif self.nodes.children(node) and node not in self._shut and self.bundle is None:
            self._shut.add(node)
        else:
            if self.nodes.parents[node] >= 0:
                self._select(self.nodes.parents[node])
            return
        self._lay_out_rows()

    def action_unfold(self) -> None:
        """Unfold the selected row; a row without anything to unfold is opened."""
        node = self.selected
        if node in self._shut:
            self._shut.discard(node)
        elif self.bundle is not None:
            if node in self._unfolded:
                return
            self._unfolded.add(node)
        else:
            self.post_message(self.Opened())
            return
        self._lay_out_rows()

    def action_open(self) -> None:
        """Open the selected unit, or unfold and fold the selected bundle."""
        if self.bundle is None:
            self.post_message(self.Opened())
        elif self.selected in self._unfolded:
            self.action_fold()
        else:
            self.action_unfold()

    def on_click(self, event: events.Click) -> None:
        """Select the row under the pointer; open it on the second click."""
        offset = event.get_content_offset(self)
        if offset is None or not offset.y + self.scroll_offset.y < len(self._rows):
            return
        self._select(self._rows[int(offset.y + self.scroll_offset.y)])
        if event.chain == 2:
            self.action_open()

    def on_resize(self) -> None:
        """Keep the selected row on the screen."""
        self._painted.clear()
        if (at := row_of(self._rows, self.selected)) is not None:
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
