"""The engine's side of the journal: what is written when, and what becomes of events that cannot be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Protocol

from qtui.core.errors import QtuiError
from qtui.core.events import Event, UnitFinished
from qtui.core.model import UnitState
from qtui.core.state import RunView

RETRY_SECONDS: Final = 2.0
"""How often a journal is tried again that cannot be written."""


class Sink(Protocol):
    """A journal. Its methods raise QtuiError, and then nothing of what was to be written is there."""

    @property
    def last(self) -> int:
        """The number of the last event that is in it."""

    def append(self, first: int, events: Sequence[Event], results: Iterable[Any] = (), *, sync: bool = False) -> None:
        """Write events, numbered on from `first`, and results, all or nothing; with `sync`, onto the disk itself."""

    def checkpoint_due(self, units: int) -> bool:
        """Whether it is time for a checkpoint of a run of so many units."""

    def checkpoint(self, view: RunView) -> None:
        """Keep what is known after the last event."""


class Keeper(Protocol):
    """Makes of a value what the journal keeps of it."""

    def encode(self, number: int, unit_id: str, attempt: int, value: Any) -> Any:
        """What is to be kept of the unit's value, ready to be written. Never raises."""


class Journaling:
    """Writes a run's events to its journal, in order and in batches; the recorder thread calls `write`.

    While the journal cannot be written, `report` is told why, once, and the events wait: nothing new starts then, so
    they are not many. They are tried again, and with success `report` is told an empty text. `trouble` is that text.
    """

    def __init__(self, sink: Sink, keeper: Keeper, report: Callable[[str], None]) -> None:
        self._sink, self._keeper, self._report = sink, keeper, report
        self._waiting: list[Event] = []
        self._values: dict[int, Any] = {}
        self._results: list[Any] = []
        self.trouble = ""

    @property
    def written(self) -> int:
        """The number of the last event that is safe."""
        return self._sink.last

    @property
    def pause(self) -> float | None:
        """Seconds until what could not be written is tried again, or None if there is nothing."""
        return RETRY_SECONDS if self._waiting else None

    def value(self, number: int, unit_id: str, attempt: int, value: Any) -> None:
        """A unit has a new value; called by the thread that made it, before anybody is told. None is kept for free."""
        self._values.pop(number, None)
        if value is not None:
            self._values[number] = self._keeper.encode(number, unit_id, attempt, value)

    def write(self, batch: Sequence[Event], *, sync: bool) -> None:
        """Write `batch`, and what could not be written before."""
        for event in batch:
            if type(event) is UnitFinished and event.state is UnitState.COMPLETED and not event.fallback:
                value = self._values.pop(event.unit, None)
                if value is not None:
                    self._results.append(value)
        self._waiting += batch
        if not self._waiting:
            return
        try:
            self._sink.append(self._sink.last + 1, self._waiting, self._results, sync=sync)
        except QtuiError as error:
            self._tell(str(error))
            return
        self._waiting, self._results = [], []
        self._tell("")

    def keep(self, view: RunView) -> None:
        """Note a checkpoint if it is time for one; `view` is what is known after the events written last."""
        if view.seq != self._sink.last or not self._sink.checkpoint_due(len(view.plan)):
            return
        try:
            self._sink.checkpoint(view)
        except QtuiError:
            return  # readers do without; and if events cannot be written either, the next ones tell

    def _tell(self, trouble: str) -> None:
        if trouble != self.trouble:
            self.trouble = trouble
            self._report(trouble)
