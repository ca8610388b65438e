"""The units that could start now, best first, within the limits that their lanes set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heappop, heappush

Limit = str


class ReadyQueue:
    """A priority queue that never offers a unit whose limits are used up.

    `holds` names the limits each unit takes one of; `capacity` how many of each there are. Units with the same
    holds share a heap, so a full limit costs one look, not one per unit behind it. Order: priority, then the
    longest remaining path, then declared order.
    """

    def __init__(
        self,
        priorities: Sequence[int],
        ranks: Sequence[int],
        holds: Sequence[tuple[Limit, ...]],
        capacity: Mapping[Limit, int],
    ) -> None:
        self._keys = [(-p, -r, n) for n, (p, r) in enumerate(zip(priorities, ranks, strict=True))]
        self._holds = holds
        self._free = dict(capacity)
        self._heaps: dict[tuple[Limit, ...], list[tuple[int, int, int]]] = {held: [] for held in set(holds)}
        # most runs have no limits at all: then there is one heap and nothing to look up
        self._only = self._heaps.get(()) if len(self._heaps) == 1 else None
        self._queued = [False] * len(self._keys)

    def push(self, number: int) -> None:
        """Add a unit that became ready."""
        self._queued[number] = True
        heappush(self._heaps[self._holds[number]], self._keys[number])

    def discard(self, number: int) -> None:
        """Take a unit out without starting it; its heap entry is dropped when it comes to the top."""
        self._queued[number] = False

    def pop(self) -> int | None:
        """Take the best unit whose limits allow it, and take one of each of them; None if there is none."""
        if self._only is not None:
            return self._pop_from(self._only)
        best: list[tuple[int, int, int]] | None = None
        for held, heap in self._heaps.items():
            while heap and not self._queued[heap[0][2]]:
                heappop(heap)
            if not heap or (best and heap[0] > best[0]):
                continue
            if all(self._free[limit] > 0 for limit in held):
                best = heap
        if best is None:
            return None
        number = self._pop_from(best)
        if number is not None:
            self.take(number)
        return number

    def _pop_from(self, heap: list[tuple[int, int, int]]) -> int | None:
        queued = self._queued
        while heap:
            number = heappop(heap)[2]
            if queued[number]:
                queued[number] = False
                return number
        return None

    def take(self, number: int) -> None:
        """Count a unit's limits as used."""
        for limit in self._holds[number]:
            self._free[limit] -= 1

    def give_back(self, number: int) -> None:
        """Count a unit's limits as free again."""
        for limit in self._holds[number]:
            self._free[limit] += 1
