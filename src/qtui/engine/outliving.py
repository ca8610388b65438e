"""Attempts on threads that could not be stopped, and that go on in this process although their run is closed."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Final

Tell = Callable[[str, int], None]
"""Is told the id of a unit and the number of its attempt."""


class Outliving:
    """Knows such attempts of all runs of this process, by the tag of the run's record. Any thread may call it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._going: defaultdict[str, dict[tuple[str, int], list[Tell]]] = defaultdict(dict)

    def add(self, record: str, unit: str, attempt: int) -> None:
        """An attempt has been abandoned."""
        with self._lock:
            self._going[record][unit, attempt] = []

    def ended(self, record: str, unit: str, attempt: int) -> None:
        """It has ended by itself after all: whoever follows it is told."""
        with self._lock:
            waiting = self._going[record].pop((unit, attempt), [])
            if not self._going[record]:
                del self._going[record]
        for tell in waiting:
            tell(unit, attempt)

    def of(self, record: str) -> list[tuple[str, int]]:
        """The attempts of a run that still go on."""
        with self._lock:
            return list(self._going.get(record, ()))

    def follow(self, record: str, unit: str, attempt: int, tell: Tell) -> None:
        """Have `tell` called once this attempt has ended; at once if it has."""
        with self._lock:
            waiting = self._going.get(record, {}).get((unit, attempt))
            if waiting is not None:
                waiting.append(tell)
                return
        tell(unit, attempt)


OUTLIVING: Final = Outliving()
"""Those of this process."""
