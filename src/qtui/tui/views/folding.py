"""Views by a layout: rows that fold. The tree by dependency is one, the levels are another."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from qtui.tui.bridge import Bridge
from qtui.tui.format import Glyphs
from qtui.tui.layout import Bundle, TreeLayout
from qtui.tui.rows import Drawing, Row, RowPainter
from qtui.tui.tally import Tally
from qtui.tui.views.base import Found, UnitsView, ViewKind


class DependencyView(UnitsView):
    """Each unit below one that it needs; rows never change places."""

    kind = ViewKind.DEPENDENCY
    heading = "Units"

    def __init__(self, bridge: Bridge, glyphs: Glyphs) -> None:
        self._bridge = bridge
        self._glyphs = glyphs
        self._layout = self._tally.layout
        self._painter = self._make_painter()
        self._unfolded: set[int] = set(self._layout.opened)
        self._shut: set[int] = set()

    @property
    def _tally(self) -> Tally:
        return self._bridge.tree

    def _make_painter(self) -> RowPainter:
        return RowPainter(self._tally, self._bridge, self._glyphs)

    # -- nodes -------------------------------------------------------------------------------------------

    def unit(self, node: int) -> int | None:
        unit = self._layout.units[node]
        return unit if unit >= 0 else None

    def bundle(self, node: int) -> Bundle | None:
        return self._layout.bundle(node)

    def label(self, node: int) -> str:
        return self._layout.label(node)

    def units_under(self, node: int) -> Sequence[int]:
        return self._layout.units_under(node)

    def node_of(self, unit: int) -> int | None:
        return self._layout.node_of[unit] if unit < len(self._layout.node_of) else None

    def node_like(self, bundle: Bundle) -> int:
        same = self._layout.node(bundle.key)
        if same is not None:
            return same
        node = self._layout.node_of[bundle.units[0]]
        folded = [holder for holder in self._layout.holders(node) if holder not in self._unfolded]
        return folded[-1] if folded else node

    def above(self, node: int) -> int | None:
        above = self._layout.parents[node]
        return above if above >= 0 else None

    def place(self, node: int) -> int:
        return node

    # -- rows --------------------------------------------------------------------------------------------

    def rows(self, selected: int, *, unfinished: bool) -> list[int]:
        layout = self._layout
        without: set[int] = set()
        if unfinished:
            without = layout.finished(self._bridge.view.states)
            without.difference_update((selected, *layout.ancestors(selected)))
        exposed = self._exposed()
        exposed.add(selected)
        return layout.rows(unfolded=self._unfolded, closed=self._shut, exposed=exposed, without=without)

    def matching(self, found: Collection[int]) -> Found:
        return Found(*self._layout.matching(found, unfolded=self._unfolded, exposed=self._exposed()))

    def _exposed(self) -> set[int]:
        return {self._layout.exposing(unit) for unit in self._tally.exposed}

    def passing(self, node: int) -> bool:
        return not self._unfolded.issuperset(self._layout.holders(node))

    def reveal(self, node: int) -> None:
        self._shut.difference_update(self._layout.ancestors(node))

    def refresh(self) -> bool:
        return False

    # -- folds -------------------------------------------------------------------------------------------

    def folded(self, node: int) -> bool:
        return self.bundle(node) is not None and node not in self._unfolded

    def fold(self, node: int) -> bool:
        if node in self._unfolded:
            self._unfolded.discard(node)
        elif self._layout.children(node) and node not in self._shut and self.bundle(node) is None:
            self._shut.add(node)
        else:
            return False
        return True

    def unfold(self, node: int) -> bool:
        if node in self._shut:
            self._shut.discard(node)
        elif self.folded(node):
            self._unfolded.add(node)
        else:
            return False
        return True

    def follow(self, *, replaced: bool) -> Callable[[int], int]:
        before, layout = self._layout, self._tally.layout

        def moved(node: int) -> int:
            if replaced:
                return layout.node_like(node, before)
            found = layout.node(before.key(node))
            # a family that is no more: where its first unit is now
            return layout.node_of[before.units_under(node)[0]] if found is None else found

        new = _new_nodes(before, layout, replaced=replaced)
        self._layout = layout
        self._painter = self._make_painter()
        self._unfolded = {moved(node) for node in self._unfolded} | new
        self._shut = {moved(node) for node in self._shut}
        return moved

    # -- painting ----------------------------------------------------------------------------------------

    def paint(self, node: int, drawing: Drawing) -> Row:
        closed = node in self._shut and not drawing.filtered
        return self._painter.row(node, drawing._replace(closed=closed, unfolded=node in self._unfolded))


class LevelsView(DependencyView):
    """What can run together, level by level; groups unfold to grids."""

    kind = ViewKind.LEVELS
    heading = "Units by level"

    @property
    def _tally(self) -> Tally:
        return self._bridge.by_level()

    def _make_painter(self) -> RowPainter:
        from qtui.tui.levels import LevelPainter

        return LevelPainter(self._tally, self._bridge, self._glyphs)


def _new_nodes(before: TreeLayout, layout: TreeLayout, *, replaced: bool) -> set[int]:
    """The nodes of `layout` that begin unfolded and were not there before."""
    if replaced:
        return set(layout.opened) - {layout.node_like(node, before) for node in before.bundle_nodes}
    return {node for node in layout.opened if before.node(layout.key(node)) is None}
