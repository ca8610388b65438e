"""EventBus: fans recorded events out to subscribers, on blinker. It stands behind the recorder, never before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from blinker import Signal

from qtui.core.errors import did_you_mean
from qtui.core.events import CLASSES, NAMES, Event
from qtui.core.plan import ExecutionPlan


class Notice(NamedTuple):
    """An event as subscribers get it: with its run, its place in the record, and the plan that names its unit."""

    run: str
    seq: int
    event: Event
    plan: ExecutionPlan

    @property
    def name(self) -> str:
        """The event's name, for example ``unit_finished``."""
        return NAMES[type(self.event)]

    @property
    def unit(self) -> str | None:
        """The id of the unit it is about, or None if it is about the run."""
        number = getattr(self.event, "unit", -1)
        return self.plan.table[number].id if number >= 0 else None


Handler = Callable[[Notice], Any]


class EventBus:
    """Subscribe to events by name, or to all of them with ``"*"``.

    Handlers run on the dispatcher's thread, in the order of the record. One that raises stops nobody else; the
    engine turns it into a ``warning`` event. (blinker alone leaves the order open, keeps weak references, so that
    lambdas vanish, and lets one raising receiver silence the rest.)
    """

    def __init__(self) -> None:
        self._signals = {name: Signal(name) for name in [*CLASSES, "*"]}

    def subscribe(self, name: str, handler: Handler) -> Callable[[], None]:
        """Call `handler` for every event of that name; the returned function undoes it.

        Raises ValueError for a name that is not an event's.
        """
        if name not in self._signals:
            hint = did_you_mean(name, self._signals)
            raise ValueError(f'there is no event "{name}"' + (f" ({hint})" if hint else ""))
        signal = self._signals[name]

        def receive(_sender: object, notice: Notice) -> None:
            handler(notice)

        signal.connect(receive, weak=False)
        return lambda: signal.disconnect(receive)

    @property
    def has_subscribers(self) -> bool:
        """True if anybody listens at all."""
        return any(signal.receivers for signal in self._signals.values())

    def deliver(self, notice: Notice) -> list[Exception]:
        """Hand `notice` to its subscribers; returns what their handlers raised."""
        raised: list[Exception] = []
        for signal in (self._signals[notice.name], self._signals["*"]):
            if not signal.receivers:
                continue
            for receiver in list(signal.receivers_for(None)):
                try:
                    receiver(None, notice)
                except Exception as error:  # noqa: BLE001  - a subscriber's bug must not reach the run
                    raised.append(error)
        return raised
