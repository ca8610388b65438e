"""The units that could start now, best first, within the limits that pools, budgets, lanes and brakes set."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Set
from heapq import heappop, heappush
from typing import NamedTuple

Key = tuple[int, float, int]
"""What the queue is ordered by, smallest first."""


class Terms(NamedTuple):
    """What a start takes: amounts of limits until they are given back, and a pass of each gate."""

    holds: tuple[tuple[str, int], ...] = ()
    gates: tuple[str, ...] = ()


FREE = Terms()
_Entry = tuple[int, float, int, int]  # key and unit, flat: comparing nested tuples takes twice as long


class Room:
    """How much is left of each limit, and how many units the gates let through."""

    def __init__(self, capacity: Mapping[str, int]) -> None:
        self._capacity = dict(capacity)
        self._free = defaultdict(lambda: 1, capacity)  # what nobody has declared is a mutex
        self._passes: dict[str, int] = {}  # of gates that do not stand open

    def shut(self, terms: Terms) -> list[str]:
        """The gates that let no start on these terms through."""
        return [gate for gate in terms.gates if not self._passes.get(gate, 1)]

    def short(self, terms: Terms, reserved: Set[str] = frozenset()) -> set[str]:
        """The limits that keep a unit from starting on these terms: there is too little, or what there is is
        `reserved` for one that goes before it."""
        return {limit for limit, amount in terms.holds if self._free[limit] < amount or limit in reserved}

    def shortage(self, terms: Terms) -> str:
        """The first limit of which there is too little for a start on these terms; empty if there is enough of all."""
        return next((limit for limit, amount in terms.holds if self._free[limit] < amount), "")

    def copy(self) -> Room:
        """The same, to see what a start would leave."""
        other = Room(self._capacity)
        other._free.update(self._free)
        other._passes = dict(self._passes)
        return other

    def free(self, limit: str) -> int:
        """How much is left; below 0 where there is less than is held."""
        return self._free[limit]

    def take(self, terms: Terms) -> None:
        """Count what a start on these terms takes."""
        for limit, amount in terms.holds:
            self._free[limit] -= amount
        for gate in terms.gates:
            if gate in self._passes:
                self._passes[gate] -= 1

    def give_back(self, terms: Terms) -> None:
        """Count what was held as free again; passes of gates do not come back."""
        for limit, amount in terms.holds:
            self._free[limit] += amount

    def resize(self, limit: str, capacity: int) -> None:
        """Let there be so much of a limit; what is held beyond that is given back in its own time."""
        self._free[limit] = self._free.get(limit, 0) + capacity - self._capacity.get(limit, 0)
        self._capacity[limit] = capacity

    def limit_passes(self, gate: str, passes: int) -> None:
        """Let only `passes` more units through a gate."""
        self._passes[gate] = passes

    def open(self, gate: str) -> None:
        """Let every unit through a gate."""
        self._passes.pop(gate, None)


class ReadyQueue(Room):
    """A priority queue that never offers a unit whose limits are used up or whose gates are closed.

    Units on the same terms share a heap, so a limit that is used up costs one look, not one per unit behind it. A unit
    that is short of a limit goes before all later ones that want it: small ones cannot starve a large one.
    """

    def __init__(self, size: int, capacity: Mapping[str, int]) -> None:
        super().__init__(capacity)
        self._unbound: list[_Entry] = []  # on free terms; in most runs that is all
        self._heaps: dict[Terms, list[_Entry]] = {}
        self._queued: list[_Entry | None] = [None] * size

    def push(self, number: int, key: Key, terms: Terms = FREE) -> None:
        """Add a unit, or give one that is queued another key and other terms."""
        entry = (*key, number)
        self._queued[number] = entry
        if terms is FREE:
            heappush(self._unbound, entry)
            return
        heap = self._heaps.get(terms)
        if heap is None:
            heap = self._heaps[terms] = []
        heappush(heap, entry)

    def discard(self, number: int) -> None:
        """Take a unit out without starting it; its heap entry is dropped when it comes to the top."""
        self._queued[number] = None

    def __contains__(self, number: int) -> bool:
        return self._queued[number] is not None

    def pop(self, fits: Callable[[int], bool] | None = None) -> tuple[int, Terms] | None:
        """Take the best unit that may start, and what it needs; None if there is none, or if it does not fit."""
        if not self._heaps:
            heap, queued = self._unbound, self._queued
            while heap:
                entry = heappop(heap)
                number = entry[3]
                if queued[number] is not entry:
                    continue
                if fits is not None and not fits(number):
                    heappush(heap, entry)
                    return None
                queued[number] = None
                return number, FREE
            return None
        tops = []
        for terms, heap in ((FREE, self._unbound), *self._heaps.items()):
            self._clear_top(heap)
            if heap:
                tops.append((heap[0], terms, heap))
        tops.sort(key=lambda top: top[0])
        reserved: set[str] = set()
        for _, terms, heap in tops:
            if self.shut(terms):
                continue  # held for nobody knows how long: it keeps nothing from others
            short = self.short(terms, reserved)
            if not short:
                if fits is not None and not fits(heap[0][3]):
                    return None
                self.take(terms)
                return self._taken(heap, terms)
            reserved |= short
        return None

    def _clear_top(self, heap: list[_Entry]) -> None:
        while heap:
            if self._queued[heap[0][3]] is heap[0]:
                return
            heappop(heap)

    def _taken(self, heap: list[_Entry], terms: Terms) -> tuple[int, Terms]:
        number = heappop(heap)[3]
        self._queued[number] = None
        return number, terms

    def grow(self, count: int) -> None:
        """There are so many more units."""
        self._queued += [None] * count
