"""The engine's side of the journal: what is written when, and what becomes of events that cannot be."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Protocol

from qtui.core.errors import QtuiError
from qtui.core.events import Event, UnitFinished
from qtui.core.model import QuantumUnit, UnitState
from qtui.core.state import RunView
from qtui.core.stimuli import Effect, InterruptUnit, KillUnit, LaneEffect, StartUnit

RETRY_SECONDS: Final = 2.0
"""How long what could not be written waits until it is tried again."""


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
    they are not many. They are tried again every `RETRY_SECONDS`, and with success `report` is told an empty text.
    `trouble` is that text.
    """

    def __init__(self, sink: Sink, keeper: Keeper, report: Callable[[str], None]) -> None:
        self._sink, self._keeper, self._report = sink, keeper, report
        self._waiting: list[Event] = []
        self._values: dict[int, Any] = {}
        self._results: list[Any] = []
        self._again = self._checkpoint_again = 0.0  # when what has failed is tried again, on the monotonic clock
        self.trouble = ""

    @property
    def written(self) -> int:
        """The number of the last event that is safe."""
        return self._sink.last

    @property
    def pause(self) -> float | None:
        """Seconds until what could not be written is tried again, or None if there is nothing."""
        return max(0.0, self._again - time.monotonic()) if self._waiting else None

    def value(self, number: int, unit_id: str, attempt: int, value: Any) -> None:
        """A unit has a new value; called by the thread that made it, before anybody is told.

        The None of a first attempt is kept for free; a later one takes the place of what may be there.
        """
        if value is not None or attempt != 1:
            self._values[number] = self._keeper.encode(number, unit_id, attempt, value)

    def write(self, batch: Sequence[Event], *, sync: bool, last: bool = False) -> None:
        """Write `batch`, and what could not be written before, if it is time for that; the `last` time it always is.

        Never raises: a record that cannot be kept, be it for a bug of ours, is told of, and the run goes on.
        """
        if self._values:
            self._take_values(batch)
        self._waiting += batch
        if not self._waiting or (self.trouble and not last and time.monotonic() < self._again):
            return
        try:
            self._sink.append(self._sink.last + 1, self._waiting, self._results, sync=sync)
        except QtuiError as error:
            self._put_off(str(error))
        except Exception as error:  # noqa: BLE001  - the thread that calls this must live on
            self._put_off(f"internal error, please report it: {type(error).__name__}: {error}")
        else:
            self._waiting, self._results = [], []
            self._tell("")

    def _take_values(self, batch: Sequence[Event]) -> None:
        """The values of the units that have completed are to be written with that."""
        for event in batch:
            if type(event) is UnitFinished and event.state is UnitState.COMPLETED and not event.fallback:
                value = self._values.pop(event.unit, None)
                if value is not None:
                    self._results.append(value)

    def keep(self, view: RunView) -> None:
        """Note a checkpoint if it is time for one; `view` is what is known after the events written last."""
        if view.seq != self._sink.last or not self._sink.checkpoint_due(len(view.plan)):
            return
        if time.monotonic() < self._checkpoint_again:
            return
        try:
            self._sink.checkpoint(view)
        except Exception:  # noqa: BLE001  - readers do without; and if events cannot be written either, the next ones tell
            self._checkpoint_again = time.monotonic() + RETRY_SECONDS

    def _put_off(self, trouble: str) -> None:
        self._again = time.monotonic() + RETRY_SECONDS
        self._tell(trouble)

    def _tell(self, trouble: str) -> None:
        if trouble != self.trouble:
            self.trouble = trouble
            self._report(trouble)


class HeldStarts:
    """Starts that wait until the journal has them. For whoever has the turn; its truth is for anybody."""

    def __init__(self) -> None:
        self._held: dict[int, tuple[int, StartUnit]] = {}

    def __bool__(self) -> bool:
        return bool(self._held)

    def sift(
        self, effects: Iterable[Effect], seq: int, table: Sequence[QuantumUnit]
    ) -> tuple[list[Effect], list[LaneEffect]]:
        """Hold the starts of units that must not run twice; `seq` is the number of the event that tells of them.

        Returns all other effects, but for the stops of starts that are held, which come by themselves: those attempts
        will never be.
        """
        passed: list[Effect] = []
        never: list[LaneEffect] = []
        for effect in effects:
            if type(effect) is StartUnit and not table[effect.unit].idempotent:
                self._held[effect.unit] = (seq, effect)
            elif isinstance(effect, InterruptUnit | KillUnit) and effect.unit in self._held:
                del self._held[effect.unit]
                never.append(effect)
            else:
                passed.append(effect)
        return passed, never

    def release(self, seq: int) -> list[StartUnit]:
        """The starts that need not wait any more, now that the journal has the events up to `seq`."""
        free = [start for needed, start in self._held.values() if needed <= seq]
        for start in free:
            del self._held[start.unit]
        return free
