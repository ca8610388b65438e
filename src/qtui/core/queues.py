"""Which attempts share a worker process, as those of batches do: each process runs one after another. Pure."""

from __future__ import annotations

from collections import deque

Attempt = tuple[int, int]
"""The number of a unit, and that of its attempt."""


class Queues:
    """The worker processes of a run and the attempts that each has, of which the first one runs. They are chosen as the
    lane of processes does it: one that is idle, else the shortest queue that has room, else a new one."""

    def __init__(self) -> None:
        self._queues: list[deque[Attempt]] = []
        self._place: dict[Attempt, int] = {}
        self._idle: list[int] = []
        self._shared: set[int] = set()

    def join(self, attempt: Attempt, batch: int, *, runs: bool = False) -> bool:
        """Find a process for an attempt, which shares it with others if `batch` is above 1: so many at most. False if
        others are there before it; one that `runs` already is the first."""
        place = self._idle.pop() if self._idle else None if runs else self._with_room(batch)
        if place is None:
            place = len(self._queues)
            self._queues.append(deque())
        if batch > 1:
            self._shared.add(place)
        queue = self._queues[place]
        queue.append(attempt)
        self._place[attempt] = place
        return len(queue) == 1

    def _with_room(self, batch: int) -> int | None:
        least = min(self._shared, key=lambda place: (len(self._queues[place]), place), default=None)
        return least if least is not None and len(self._queues[least]) < batch else None

    def leave(self, attempt: Attempt) -> Attempt | None:
        """An attempt is over, whether it ran or not; returns the one that begins now, if any does."""
        place = self._place.pop(attempt, None)
        if place is None:
            return None
        queue = self._queues[place]
        if queue[0] != attempt:
            queue.remove(attempt)
            return None
        queue.popleft()
        if queue:
            return queue[0]
        self._idle.append(place)
        self._shared.discard(place)
        return None

    def revoke(self, attempt: Attempt) -> None:
        """An attempt is not to begin any more, unless it has."""
        place = self._place.get(attempt)
        if place is not None and self._queues[place][0] != attempt:
            self.leave(attempt)
