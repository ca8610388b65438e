"""All units in one list, in an order that a person chooses; what needs eyes comes first unless they do."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final

from qtui.core.events import ConfirmRequested, UnitFinished
from qtui.core.model import FAILURES, UnitState
from qtui.core.state import RunView
from qtui.tui.bridge import Bridge
from qtui.tui.format import Glyphs, short_clock, size_of
from qtui.tui.layout import FINISHED, Bundle
from qtui.tui.rounds import Round
from qtui.tui.rows import Drawing, Row, RowPainter
from qtui.tui.text import pad
from qtui.tui.views.base import Found, UnitsView, ViewKind


class SortKey(Round):
    """What the list may be sorted by, in the order in which one key goes round them."""

    STATE = "state"
    START = "start"
    TIME = "time"
    MEMORY = "memory"
    NAME = "name"

    @property
    def told(self) -> str:
        """What comes first, for people."""
        return {
            SortKey.STATE: "state, what failed first",
            SortKey.START: "start, the latest first",
            SortKey.TIME: "time, the longest first",
            SortKey.MEMORY: "memory, the highest peak of what has ended first",
            SortKey.NAME: "name",
        }[self]


_URGENCY: Final[Mapping[UnitState, int]] = {
    state: rank
    for rank, states in enumerate(
        (
            (UnitState.FAILED, UnitState.TIMEOUT),
            (UnitState.RETRYING, UnitState.CANCELING),
            (UnitState.RUNNING,),
            (UnitState.READY,),
            (UnitState.PENDING,),
            (UnitState.CANCELED,),
            (UnitState.SKIPPED,),
            (UnitState.COMPLETED,),
        )
    )
    for state in states
}
_VALUE_WIDTH: Final = 6
_NUMBERS: Final = re.compile(r"(\d{1,15})")


def in_order(view: RunView, by: SortKey, names: Sequence[str], now: float) -> list[int]:
    """The units of `view`, sorted; what has nothing to be sorted by comes last, and alike ones as in the plan."""
    units = range(len(view.plan))
    match by:
        case SortKey.STATE:
            return sorted(units, key=lambda unit: _urgency(view, unit))
        case SortKey.START:
            return _falling(units, [view.unit(unit).started_at for unit in units])
        case SortKey.TIME:
            return _falling(units, [view.unit(unit).elapsed(now) for unit in units])
        case SortKey.MEMORY:
            return _falling(units, [peak_of(view, unit) or None for unit in units])
        case SortKey.NAME:
            return sorted(units, key=lambda unit: _natural(names[unit]))


def _urgency(view: RunView, unit: int) -> int:
    """What asks a person waits for them as what failed does; for what failed as it may nobody has to do anything."""
    if view.asked and isinstance(view.last[unit], ConfirmRequested):
        return _URGENCY[UnitState.RETRYING]
    state: UnitState = view.states[unit]
    allowed = state in FAILURES and view.plan.table[unit].allow_failure
    return _URGENCY[UnitState.CANCELED if allowed else state]


def peak_of(view: RunView, unit: int) -> int:
    """The bytes of memory that a unit took at most; 0 while that is not known."""
    last = view.last[unit]
    return last.peak_memory if isinstance(last, UnitFinished) else 0


def _falling(units: Iterable[int], values: Sequence[float | None]) -> list[int]:
    def rank(unit: int) -> float:
        value = values[unit]
        return 1.0 if value is None else -value

    return sorted(units, key=rank)


def _natural(name: str) -> list[tuple[int, str]]:
    """Numbers in names count as numbers: ``part_2`` comes before ``part_10``."""
    pieces = _NUMBERS.split(name.lower())
    return [(int(piece), "") if at % 2 else (-1, piece) for at, piece in enumerate(pieces)]


class FlatView(UnitsView):
    """The list. A unit's node is its number; `by` says what the list is sorted by."""

    kind = ViewKind.FLAT

    def __init__(self, bridge: Bridge, glyphs: Glyphs, clock: Callable[[], float]) -> None:
        self._bridge = bridge
        self._glyphs = glyphs
        self._clock = clock
        self._painter = RowPainter(bridge.tree, bridge, glyphs)
        self._plan = bridge.view.plan
        self.by = SortKey.STATE
        self._order: list[int] = []
        self._places: list[int] = []
        self._seen = -1
        self.sort()

    @property
    def heading(self) -> str:
        return f"Units by {self.by}"

    def sort(self, by: SortKey | None = None) -> None:
        """Sort anew, from now on by `by`. O(units log units)."""
        self.by = by or self.by
        view = self._bridge.view
        self._seen, self._plan = view.seq, view.plan
        self._order = in_order(view, self.by, self._bridge.layout.names, self._clock())
        self._places = [0] * len(self._order)
        for place, unit in enumerate(self._order):
            self._places[unit] = place

    def unit(self, node: int) -> int:
        return node

    def bundle(self, node: int) -> None:  # noqa: ARG002
        return None

    def label(self, node: int) -> str:
        return self._bridge.layout.names[node]

    def units_under(self, node: int) -> Sequence[int]:
        return (node,)

    def node_of(self, unit: int) -> int | None:
        return unit if unit < len(self._order) else None

    def node_like(self, bundle: Bundle) -> int:
        return min(bundle.units, key=self.place)

    def above(self, node: int) -> None:  # noqa: ARG002
        return None

    def place(self, node: int) -> int:
        return self._places[node]

    def rows(self, selected: int, *, unfinished: bool) -> list[int]:
        if not unfinished:
            return self._order
        states = self._bridge.view.states
        return [unit for unit in self._order if unit == selected or states[unit] not in FINISHED]

    def matching(self, found: Collection[int]) -> Found:
        hits = {unit for unit in found if unit < len(self._order)}
        return Found([unit for unit in self._order if unit in hits], hits)

    def passing(self, node: int) -> bool:  # noqa: ARG002
        return False

    def reveal(self, node: int) -> None:
        pass

    def refresh(self) -> bool:
        if self._bridge.view.seq == self._seen:
            return False
        before = self._order
        self.sort()
        return self._order != before

    def folded(self, node: int) -> bool:  # noqa: ARG002
        return False

    def fold(self, node: int) -> bool:  # noqa: ARG002
        return False

    def unfold(self, node: int) -> bool:  # noqa: ARG002
        return False

    def follow(self, *, replaced: bool) -> Callable[[int], int]:
        before = self._plan
        self._painter = RowPainter(self._bridge.tree, self._bridge, self._glyphs)
        self.sort()
        if not replaced:
            return lambda node: node
        numbers = self._plan.numbers
        return lambda node: numbers.get(before.table[node].id, 0)

    def paint(self, node: int, drawing: Drawing) -> Row:
        return self._painter.flat_row(node, self._value(node), drawing)

    def _value(self, unit: int) -> str:
        """What the list is sorted by, where that is not in each row anyway."""
        view = self._bridge.view
        if self.by is SortKey.START:
            begun, started = view.unit(unit).started_at, view.started_at
            told = "" if begun is None or started is None else f"+{short_clock(max(0.0, begun - started))}"
            return pad(told, _VALUE_WIDTH + 1)
        if self.by is SortKey.MEMORY:
            peak = peak_of(view, unit)
            return pad(size_of(peak) if peak else "", _VALUE_WIDTH)
        return ""
