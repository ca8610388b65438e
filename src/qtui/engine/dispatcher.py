"""Tells of events: the bus and its subscribers first, then those who wait for the end of the run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from qtui.core.events import NAMES, Event, RunFinished, RunReopened, Warned
from qtui.engine.bus import EventBus, Origin


class Dispatcher:
    """Hands batches of events to `bus`, in order, on a thread of its own, so that no handler holds up a run.

    `origin` says where they come from, `value_of` has the results of completed units, and `warn` is told of handlers
    that raise.
    """

    def __init__(
        self,
        bus: EventBus,
        origin: Callable[[], Origin],
        value_of: Callable[[int], Any],
        warn: Callable[[str], None],
    ) -> None:
        self._bus, self._origin, self._value_of, self._warn = bus, origin, value_of, warn
        self._batches: SimpleQueue[list[tuple[int, Event]] | None] = SimpleQueue()
        self._changed = threading.Condition()
        self._end: RunFinished | None = None
        self._over = self._bus_broke = False
        self.thread = threading.Thread(target=self._work, name="qtui-dispatcher", daemon=True)

    def put(self, batch: list[tuple[int, Event]] | None) -> None:
        """Tell of these events, each with its number in the record; None: nothing more will come."""
        self._batches.put(batch)

    def wait(self, timeout: float | None) -> RunFinished | None:
        """Wait until the end was handed to every subscriber; None if `timeout` seconds pass first, or after `close`."""
        with self._changed:
            self._changed.wait_for(lambda: self._end is not None or self._over, timeout)
            return self._end

    def close(self) -> None:
        """Let nobody wait any more."""
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def _work(self) -> None:
        while (batch := self._batches.get()) is not None:
            self._deliver(batch)
            for _, event in batch:
                if isinstance(event, RunFinished):
                    self._note_end(event)
                elif isinstance(event, RunReopened):
                    self._note_end(None)

    def _deliver(self, batch: list[tuple[int, Event]]) -> None:
        try:
            for who, raised, event in self._bus.deliver(self._origin(), batch, self._value_of):
                # a subscriber that fails on warnings would be warned about for ever
                if not isinstance(event, Warned):
                    self._warn(f"{who} raised {type(raised).__name__} at {NAMES[type(event)]}: {raised}")
        except BaseException as error:  # noqa: BLE001  - whatever the bus does, the end of the run must be told
            if not self._bus_broke:
                self._warn(f"subscribers miss events, the bus raised {type(error).__name__}: {error}")
            self._bus_broke = True

    def _note_end(self, end: RunFinished | None) -> None:
        with self._changed:
            self._end = end
            self._changed.notify_all()
