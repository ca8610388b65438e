"""A bar for units by state: one cell per share, parts that differ by texture; pure."""

from __future__ import annotations

from collections.abc import Mapping

from qtui.core.model import UnitState
from qtui.tui.format import Glyphs
from qtui.tui.roles import Role
from qtui.tui.text import Span


def bar_of(
    counts: Mapping[UnitState, int], total: int, width: int, glyphs: Glyphs, *, cached: int = 0, allowed: int = 0
) -> list[Span]:
    """A bar of exactly `width` cells for `total` units, of which `allowed` have failed as they may; no part that is not
    empty vanishes, while there is room."""

    def count(*states: UnitState) -> int:
        return sum(counts.get(state, 0) for state in states)

    parts = [
        (glyphs.full, count(UnitState.COMPLETED) - cached, Role.SUCCESS),
        (glyphs.cached, cached, Role.CACHED),
        (glyphs.failed, count(UnitState.FAILED, UnitState.TIMEOUT) - allowed, Role.ERROR),
        (glyphs.left_out, count(UnitState.SKIPPED, UnitState.CANCELED) + allowed, Role.MUTED),
        (glyphs.running, count(UnitState.RUNNING, UnitState.CANCELING), Role.PRIMARY),
    ]
    cells = [max(1, number * width // max(1, total)) if number else 0 for _, number, _ in parts]
    while sum(cells) > width:
        cells[cells.index(max(cells))] -= 1
    if sum(number for _, number, _ in parts) == total:
        cells[cells.index(max(cells))] += width - sum(cells)
    spans = [Span(glyph * n, role) for (glyph, _, role), n in zip(parts, cells, strict=True) if n]
    return [*spans, Span(glyphs.empty * (width - sum(cells)), Role.MUTED)]
