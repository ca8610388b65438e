"""What the pane of units can show: views, which decide on rows and paint them. The widget does not know which it shows.

A *node* is a number by which a view knows what can have a row: a unit, or a bundle of units.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple, Protocol

from qtui.tui.layout import Bundle
from qtui.tui.rounds import Round
from qtui.tui.rows import Drawing, Row


class ViewKind(Round):
    """The views, in the order in which one key goes round them."""

    DEPENDENCY = "dependency"
    LEVELS = "levels"
    FLAT = "flat"


class Found(NamedTuple):
    """The rows of a filter: `rows` are all nodes on show, in order, and `hits` those that were looked for."""

    rows: list[int]
    hits: set[int]


class UnitsView(Protocol):
    """One way to show the units. Keeps its own folds and order; what is selected is up to the widget."""

    @property
    def kind(self) -> ViewKind:
        """Which one it is."""

    @property
    def heading(self) -> str:
        """What the pane is called while it is shown."""

    def unit(self, node: int) -> int | None:
        """The unit of a row, or None for a bundle's."""

    def bundle(self, node: int) -> Bundle | None:
        """The bundle of a row, or None for a unit's."""

    def label(self, node: int) -> str:
        """What a row is called."""

    def units_under(self, node: int) -> Sequence[int]:
        """The units of a row."""

    def node_of(self, unit: int) -> int | None:
        """The node of a unit, or None for one that is so new that it has none yet."""

    def node_like(self, bundle: Bundle) -> int:
        """The node for a bundle of another view: the same one, or where its first unit is to be seen."""

    def above(self, node: int) -> int | None:
        """The node that a row stands below or inside of, if there is one."""

    def place(self, node: int) -> int:
        """Where a node is among all nodes; rows are in this order."""

    def rows(self, selected: int, *, unfinished: bool) -> list[int]:
        """The nodes on show, the selected one among them; `unfinished` leaves out what has ended well."""

    def matching(self, found: Collection[int]) -> Found:
        """The nodes on show for a filter that found these units."""

    def passing(self, node: int) -> bool:
        """True if the node has a row only while it is selected."""

    def reveal(self, node: int) -> None:
        """Open what hides a node, as far as that is folded shut by hand."""

    def refresh(self) -> bool:
        """Bring the order up to date, where it depends on the run; True if it is another one now."""

    def folded(self, node: int) -> bool:
        """True for a bundle that does not show what it holds."""

    def fold(self, node: int) -> bool:
        """Fold a row; False if there is nothing to fold."""

    def unfold(self, node: int) -> bool:
        """Unfold a row; False if there is nothing to unfold."""

    def follow(self, *, replaced: bool) -> Callable[[int], int]:
        """Go over to the layouts that the bridge has now, of the same plan or of one that has `replaced` it; where each
        node of before is now."""

    def paint(self, node: int, drawing: Drawing) -> Row:
        """The row of a node."""
