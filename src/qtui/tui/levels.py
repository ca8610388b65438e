"""Rows of the view by level: a bar for each family, and groups as grids: a row is an item, a column a step."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final, NamedTuple

from rich.cells import cell_len

from qtui.tui.bars import bar_of
from qtui.tui.bridge import Bridge
from qtui.tui.format import SIGNS, Glyphs
from qtui.tui.layout import Bundle
from qtui.tui.roles import Role
from qtui.tui.rows import Content, Drawing, Row, RowPainter, most_urgent, step_name
from qtui.tui.scopes import Kind
from qtui.tui.tally import Tally
from qtui.tui.text import PLAIN, Span, cut_end, pad

BAR: Final = 10
BAR_FROM: Final = 36
"""Cells of a bar, and of a row behind its gutter from which on there are bars."""
_MOST_UNITS: Final = 64  # of an item that is looked at unit by unit in each frame


class Columns(NamedTuple):
    """The columns of a grid: the names of steps, each in `width` cells, the last of which is empty."""

    names: tuple[str, ...]
    width: int

    @property
    def cells(self) -> int:
        """What they take together."""
        return len(self.names) * self.width


def columns_for(names: Sequence[str], room: int) -> Columns | None:
    """Columns for steps of these names in half of `room` cells: as wide as the names, if possible, and none where not
    even a sign and a space fit."""
    if not names or 2 * len(names) > room // 2:
        return None
    longest = max(cell_len(name) for name in names) + 1
    return Columns(tuple(names), max(2, min(longest, room // 2 // len(names))))


class LevelPainter(RowPainter):
    """Makes the rows. What stands before a name is of one width, so that names and bars are in columns."""

    def __init__(self, tally: Tally, bridge: Bridge, glyphs: Glyphs) -> None:
        super().__init__(tally, bridge, glyphs)
        self._steps = cache(self._find_steps)
        self._level = cache(self._find_level)
        self._depths = tally.layout.plan.depths
        self._level_width = len(str(max(self._depths, default=0))) + 1

    def _bundle_row(self, node: int, bundle: Bundle, drawing: Drawing) -> Row:
        columns = self._columns(node, drawing) if bundle.kind is Kind.ITEM else None
        if columns is None or len(bundle.units) > _MOST_UNITS:
            return super()._bundle_row(node, bundle, drawing)
        looks = [self._bridge.look_of(unit) for unit in bundle.units]
        steps = [step_name(self._bridge.view.unit(unit)) for unit in bundle.units]
        cells = []
        for name in columns.names:
            here = [look for look, step in zip(looks, steps, strict=True) if step == name]
            look = most_urgent(here) if here else None
            sign = Span(" ", PLAIN) if look is None else Span(self._glyphs.sign(look), SIGNS[look].role)
            cells += [sign, Span(" " * (columns.width - 1), PLAIN)]
        cause = self._item_cause(bundle, looks, drawing.now)
        told = Content(self._item_name(bundle, self._counts(node)), self._marks_of(node), cause)
        body = self._body(node, cells, told, drawing)
        return Row(self._bundle_gutter(node, bundle, drawing), body)

    def _lead(self, node: int, signs: list[Span], drawing: Drawing) -> list[Span]:
        depth, guide = self._layout.depths[node], self._glyphs.member
        if depth:
            return [Span(" " * self._level_width + guide * depth, Role.MUTED), *signs]
        return [Span(self._level(node), Role.MUTED), *self._share(node, drawing), *signs]

    def _note(self, node: int) -> str:
        """What it needs; inside of a bundle each row would say the same."""
        needs = "" if self._layout.depths[node] else self._further(node)
        return f"{self._glyphs.up} {needs}" if needs else ""

    def _find_level(self, node: int) -> str:
        """The number of the level, in the first row of it."""
        level = self._level_of(node)
        first = node == 0 or self._level_of(self._row_before(node)) != level
        return pad(str(level) if first else "", self._level_width)

    def _row_before(self, node: int) -> int:
        node -= 1
        while self._layout.parents[node] >= 0:
            node = self._layout.parents[node]
        return node

    def _level_of(self, node: int) -> int:
        bundle = self._layout.bundle(node)
        if bundle is None or bundle.kind is Kind.FAMILY:
            return self._depths[self._layout.units_under(node)[0]]
        return min(self._depths[unit] for unit in bundle.units)

    def _share(self, node: int, drawing: Drawing) -> list[Span]:
        """How much of a bundle is done; above a grid the names of its columns."""
        bundle = self._layout.bundle(node)
        if bundle is not None and drawing.unfolded and (columns := self._columns(node, drawing)) is not None:
            names = (
                pad(cut_end(name, columns.width - 1, self._glyphs.ellipsis if columns.width > 3 else ""), columns.width)
                for name in columns.names
            )
            return [Span(" " * len(self._glyphs.member) + "".join(names), Role.MUTED)]
        if drawing.room < BAR_FROM:
            return []
        if bundle is None:
            return [Span(" " * (BAR + 1), PLAIN)]
        counts = self._counts(node)
        allowed = sum(self._allowed(bundle, counts).values())
        return [*bar_of(counts, len(bundle.units), BAR, self._glyphs, allowed=allowed), Span(" ", PLAIN)]

    def _columns(self, node: int, drawing: Drawing) -> Columns | None:
        """The columns of the group that a row is of, or is in."""
        group = node if self._layout.depths[node] == 0 else self._layout.parents[node]
        bundle = self._layout.bundle(group)
        if bundle is None or bundle.kind is not Kind.GROUP:
            return None
        return columns_for(self._steps(group), drawing.room - self._level_width - len(self._glyphs.member))

    def _find_steps(self, group: int) -> tuple[str, ...]:
        """The steps of a group's items, in the order of the plan."""
        view = self._bridge.view
        return tuple(dict.fromkeys(step_name(view.unit(unit)) for unit in self._layout.units_under(group)))
