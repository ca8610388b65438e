"""The units that a person has marked; actions go to them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from qtui.core.plan import ExecutionPlan
from qtui.tui.format import counted


class Marks:
    """Marked units, by number."""

    def __init__(self) -> None:
        self._units: set[int] = set()
        self._within: dict[int, int] = {}
        self._outside: tuple[Sequence[int], int] = ((), 0)

    def __len__(self) -> int:
        return len(self._units)

    @property
    def units(self) -> tuple[int, ...]:
        """The marked units, in the order of the plan."""
        return tuple(sorted(self._units))

    @property
    def label(self) -> str:
        """What they are called together."""
        return counted(len(self._units), "marked unit")

    def toggle(self, units: Iterable[int]) -> bool:
        """Mark these units, or unmark them if all of them are marked; True if they are now."""
        given = set(units)
        marked = not given <= self._units
        self._units = self._units | given if marked else self._units - given
        self._forget()
        return marked

    def clear(self) -> None:
        """Mark nothing."""
        self._units.clear()
        self._forget()

    def within(self, node: int, units: Sequence[int]) -> int:
        """How many of the `units` of a row are marked; counted once for each `node` until something changes."""
        if not self._units:
            return 0
        if len(units) == 1:
            return int(units[0] in self._units)
        if node not in self._within:
            self._within[node] = len(self._units.intersection(units))
        return self._within[node]

    def outside(self, found: Sequence[int]) -> int:
        """How many marked units are not among those that were `found`; counted once for each finding."""
        if self._outside[0] is not found:
            self._outside = found, len(self._units.difference(found))
        return self._outside[1]

    def forget_rows(self) -> None:
        """Nodes mean something else than before."""
        self._within.clear()

    def follow(self, before: ExecutionPlan, after: ExecutionPlan) -> None:
        """Go over to a plan that has replaced another: units are the same by their ids."""
        found = (after.numbers.get(before.table[unit].id) for unit in self._units)
        self._units = {unit for unit in found if unit is not None}
        self._forget()

    def _forget(self) -> None:
        self._within.clear()
        self._outside = (), len(self._units)
