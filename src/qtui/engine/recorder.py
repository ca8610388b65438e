"""The recorder: brings what was decided into the journal, then into the view, then to those who read and listen."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from qtui.core.events import Event
from qtui.core.folding import fold
from qtui.core.session import Feed
from qtui.core.state import RunView
from qtui.engine.dispatcher import Dispatcher
from qtui.engine.journaling import HeldStarts, Journaling
from qtui.engine.record import EventRecord

NAP: Final = 0.003
"""Seconds for which events gather: long enough to batch hundreds, short enough for a frame."""

CLOSE_SECONDS: Final = 30.0
"""How long closing waits for the last events to be written: another program may hold the journal for some seconds."""


class Recorder:
    """Records the events of a run in order and in batches, on a thread of its own, right behind the turn.

    Whoever has the turn calls `note`. Each batch is written to the journal first, if there is one; then it is folded
    into `view`, and feeds and `dispatcher` have it. While `held` has starts that wait for the journal, each batch goes
    onto the disk itself, and `written` is told up to which event the journal is safe.
    """

    def __init__(
        self,
        opening: RunView,
        dispatcher: Dispatcher,
        journaling: Journaling | None,
        held: HeldStarts,
        written: Callable[[int], None],
    ) -> None:
        self.view = opening
        """What is known after the events that were recorded."""
        self.noted = opening.seq
        """The number of the last event that was noted; the view has most of those before it."""
        self._dispatcher, self._journaling, self._held, self._written = dispatcher, journaling, held, written
        self._record = EventRecord(opening.seq)
        self._unrecorded: list[Event] = []
        self._news = threading.Event()
        self._last_turn: Callable[[], object] | None = None
        self._thread = threading.Thread(target=self._work, name="qtui-recorder", daemon=True)

    def start(self) -> None:
        """Begin to record."""
        self._thread.start()

    def note(self, events: Sequence[Event]) -> None:
        """These have happened, after all that were noted before."""
        self._unrecorded.extend(events)
        self.noted += len(events)
        if not self._news.is_set():
            self._news.set()

    def feed(self) -> Feed:
        """A reader of all events from the first on."""
        return self._record.feed()

    def finish(self, last_turn: Callable[[], object]) -> None:
        """Wait for nothing any more, and end once all is recorded.

        `last_turn` is called after each batch that was written, as the journal may have news that nobody else notes.
        """
        self._last_turn = last_turn

    def join(self) -> None:
        """Wait until all is recorded, for `CLOSE_SECONDS` at most."""
        self._news.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(CLOSE_SECONDS)

    def close(self) -> None:
        """Let feeds end: nothing more will come."""
        self._record.close()

    def _work(self) -> None:
        journaling = self._journaling
        while True:
            if self._last_turn is None:
                self._news.wait(journaling.pause if journaling is not None else None)
                time.sleep(NAP)
            self._news.clear()
            count = len(self._unrecorded)
            batch = self._unrecorded[:count]
            del self._unrecorded[:count]
            if journaling is not None:
                self._write(journaling, batch)
            if batch:
                self._tell(batch)
            elif self._last_turn is not None and not self._unrecorded:
                self._dispatcher.put(None)
                return

    def _write(self, journaling: Journaling, batch: Sequence[Event]) -> None:
        last_turn = self._last_turn
        journaling.write(batch, sync=bool(self._held), last=last_turn is not None)
        if last_turn is not None and not journaling.trouble:
            last_turn()
        if self._held:
            self._written(journaling.written)

    def _tell(self, batch: list[Event]) -> None:
        first = self.view.seq + 1
        self.view = fold(self.view, batch)
        if self._journaling is not None:
            self._journaling.keep(self.view)
        self._record.extend(batch)
        self._dispatcher.put(list(enumerate(batch, first)))
