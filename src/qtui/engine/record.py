"""The record of a run in memory, and the feeds that read it."""

from __future__ import annotations

import threading
from functools import partial
from itertools import count
from typing import Final

from qtui.core.events import Event
from qtui.core.session import Record

_record: Final = partial(tuple.__new__, Record)  # as Record(...), without a Python call for each


class EventRecord:
    """All events of a run in order. One thread appends; any number of feeds read, each at its own pace."""

    def __init__(self, first: int = 0) -> None:
        self._events: list[Event] = []
        self.first = first
        """The number of the last event that is not in it."""
        self._grown = threading.Condition()
        self._closed = False

    def extend(self, batch: list[Event]) -> None:
        """Append a batch and wake the readers."""
        self._events.extend(batch)
        with self._grown:
            self._grown.notify_all()

    def close(self) -> None:
        """Nothing more will come."""
        with self._grown:
            self._closed = True
            self._grown.notify_all()

    def feed(self) -> RecordFeed:
        """A reader from the first event on."""
        return RecordFeed(self)

    def after(self, seq: int, timeout: float | None) -> list[Record]:
        """The records behind `seq`; waits up to `timeout` seconds for the first."""
        place = seq - self.first
        if len(self._events) <= place and timeout != 0:
            with self._grown:
                self._grown.wait_for(lambda: len(self._events) > place or self._closed, timeout)
        return list(map(_record, zip(count(seq + 1), self._events[place:])))

    def ended_at(self, seq: int) -> bool:
        """True if a reader at `seq` has read all there will ever be."""
        return self._closed and self.first + len(self._events) <= seq


class RecordFeed:
    """One reader's place in the record."""

    def __init__(self, record: EventRecord) -> None:
        self._record = record
        self._seq = record.first

    def take(self, timeout: float | None = None) -> list[Record]:
        """All that has come since the last call; empty if the time is over or the record closed."""
        records = self._record.after(self._seq, timeout)
        self._seq += len(records)
        return records

    @property
    def closed(self) -> bool:
        """True when all was taken and nothing more will come."""
        return self._record.ended_at(self._seq)
