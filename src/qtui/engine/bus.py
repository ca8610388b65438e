"""EventBus: tells subscribers what happened, on blinker. It stands behind the recorder, never before it."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import count, repeat
from typing import Any, Generic, NamedTuple, TypeVar, overload

from blinker import ANY, Signal

from qtui.core.errors import BrokenResult, did_you_mean
from qtui.core.events import (
    CLASSES,
    NAMES,
    RunFinished,
    RunStarted,
    UnitFinished,
    UnitReset,
    UnitsAdded,
    UnitStarted,
)
from qtui.core.events import Event as Fact
from qtui.core.model import QuantumUnit, RunState, UnitState
from qtui.core.plan import ExecutionPlan

T = TypeVar("T")


class EventType(Enum):
    """What the library tells about workflows and their tasks."""

    WORKFLOW_CREATED = auto()
    WORKFLOW_STARTED = auto()
    WORKFLOW_COMPLETED = auto()
    WORKFLOW_FAILED = auto()
    TASK_PENDING = auto()
    TASK_STARTED = auto()
    TASK_COMPLETED = auto()
    TASK_FAILED = auto()
    TASK_SKIPPED = auto()
    TASK_CANCELLED = auto()


_ENDS: Mapping[UnitState, EventType] = {
    UnitState.COMPLETED: EventType.TASK_COMPLETED,
    UnitState.FAILED: EventType.TASK_FAILED,
    UnitState.TIMEOUT: EventType.TASK_FAILED,
    UnitState.SKIPPED: EventType.TASK_SKIPPED,
    UnitState.CANCELED: EventType.TASK_CANCELLED,
}


def _new_id() -> str:
    return os.urandom(16).hex()  # importing uuid would cost every start


@dataclass(frozen=True, slots=True, kw_only=True)
class Event(Generic[T]):
    """Something that happened, at `timestamp` (Unix seconds); `source` says where, for subscribers to choose by."""

    type: EventType | None
    data: T | None = None
    source: str | None = None
    id: str = field(default_factory=_new_id)
    timestamp: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice(Event[Mapping[str, Any]]):
    """An event of a run, `event`, with its place in the run's record and the plan that names its unit.

    `type` is None where there is no EventType for it; `source` is the id of the workflow (of the run, where that is no
    workflow of a WorkflowManager).
    """

    run: str
    seq: int
    event: Fact
    plan: ExecutionPlan = field(repr=False)

    @property
    def name(self) -> str:
        """The event's name, for example ``unit_finished``."""
        return NAMES[type(self.event)]

    @property
    def unit(self) -> str | None:
        """The id of the unit it is about, or None if it is about the run."""
        number = getattr(self.event, "unit", -1)
        return self.plan.table[number].id if number >= 0 else None


class Origin(NamedTuple):
    """Where events of a run come from: the run, the workflow that it is a run of, and its plan at that moment."""

    run: str
    workflow: str
    plan: ExecutionPlan

    def notice(self, seq: int, fact: Fact, value_of: Callable[[int], Any] | None = None) -> Notice:
        """What subscribers get for an event; with `value_of`, the result of a completed unit too."""
        return Notice(
            type=_type_of(fact),
            data=_data(self, fact, value_of),
            source=self.workflow,
            id=f"{self.run}:{seq}",
            timestamp=fact.at,
            run=self.run,
            seq=seq,
            event=fact,
            plan=self.plan,
        )

    def pending(self, seq: int, fact: Fact) -> Iterable[Event[Any]]:
        """One more event for each unit that `fact` has added to the plan."""
        if not isinstance(fact, UnitsAdded):
            return
        for unit in fact.units:
            data = {"workflow_id": self.workflow, "execution_id": self.run, **pending_data(unit)}
            data["added_by"] = self.plan.table[fact.unit].id
            kind, event_id = EventType.TASK_PENDING, f"{self.run}:{seq}:{unit.id}"
            yield Event(type=kind, data=data, source=self.workflow, id=event_id, timestamp=fact.at)


Middleware = Callable[[Any], Event[Any] | None]


class EventBus:
    """Subscribe to what runs and library calls tell, and publish to others; any thread may.

    There are two ways to say what to hear. An `EventType` gives what is published of that type, by runs or by
    `publish`. The name of an event of the record (``unit_finished``), or ``"*"`` for all of them, gives runs'
    `Notice`; see the events' reference. A Notice is an Event too, so handlers and middleware of one kind do for both.

    Runs tell on their dispatcher's thread, in the order of their record; `publish` calls handlers itself. Handlers are
    called in the order in which they subscribed, and are held until they unsubscribe: a lambda will do. One that raises
    stops nobody. (blinker alone leaves the order open and lets one raising receiver silence the rest.)
    """

    def __init__(self, history_limit: int = 1000) -> None:
        self._signals: dict[EventType | str, Signal] = {key: Signal(str(key)) for key in [*EventType, *CLASSES, "*"]}
        self._middleware: tuple[Middleware, ...] = ()
        # of events that nobody asked for there is no Notice unless somebody looks at the history
        self._history: deque[Event[Any] | tuple[Origin, tuple[int, Fact]]] = deque(maxlen=history_limit)
        self._numbers = count(1)
        self._lock = threading.RLock()

    @overload
    def subscribe(
        self,
        event_type: EventType,
        handler: Callable[[Event[Any]], Any],
        source: str | None = None,
        *,
        first: bool = False,
    ) -> Callable[[], None]: ...

    @overload
    def subscribe(
        self, event_type: str, handler: Callable[[Notice], Any], source: str | None = None, *, first: bool = False
    ) -> Callable[[], None]: ...

    def subscribe(
        self,
        event_type: EventType | str,
        handler: Callable[[Any], Any],
        source: str | None = None,
        *,
        first: bool = False,
    ) -> Callable[[], None]:
        """Call `handler` with every such event, with `source` only those from there; the returned function undoes it.

        With `first` it is called before those that are subscribed already: for what they may want to look at.
        Raises ValueError for a name that is not an event's and TypeError for a handler that cannot be called.
        """
        signal = self._signal(event_type)
        if not callable(handler):
            raise TypeError(f"a handler is a function, not {type(handler).__name__}")
        number = next(self._numbers)
        subscription = _Subscription(handler, -number if first else number)
        with self._lock:
            signal.connect(subscription, sender=ANY if source is None else source, weak=False)

        def unsubscribe() -> None:
            subscription.active = False
            with self._lock:
                signal.disconnect(subscription)

        return unsubscribe

    def publish(self, event_type: EventType, data: Any = None, source: str | None = None) -> str:
        """Tell subscribers, and return the event's id when all of them have been called.

        Raises ExceptionGroup with what handlers and middleware raised, after the last of them; what is no Exception
        (KeyboardInterrupt) at once. Raises TypeError if `event_type` is none.
        """
        if not isinstance(event_type, EventType):
            raise TypeError(f"publish takes an EventType, not {type(event_type).__name__}")
        event = Event(type=event_type, data=data, source=source)
        raised = self._tell(event, Exception)
        if raised:
            names = ", ".join(by for by, _ in raised)
            raise BaseExceptionGroup(f"{event_type.name}: {names} raised", [error for _, error in raised])
        return event.id

    def add_middleware(self, middleware: Middleware) -> None:
        """Let `middleware` see every event first, behind those that were added before.

        What it returns goes on in the event's place (`dataclasses.replace` makes one), and None lets nothing go on.
        What subscribers see is all it changes: view, feeds and record of a run stay as they are. If it raises, the
        event goes on unchanged.
        """
        with self._lock:
            self._middleware = (*self._middleware, middleware)

    @property
    def history(self) -> list[Event[Any]]:
        """The last events, the newest at the end: what passed the middleware, whether or not anybody listened."""
        with self._lock:
            kept = list(self._history)
        return [event if isinstance(event, Event) else event[0].notice(*event[1]) for event in kept]

    # -- for engines -------------------------------------------------------------------------------------

    def deliver(
        self, origin: Origin, batch: Sequence[tuple[int, Fact]], value_of: Callable[[int], Any]
    ) -> list[tuple[str, BaseException, Fact]]:
        """Tell of events of a run, by their places in its record; returns who raised what, and at which event.

        `value_of` gives the result of a completed unit, if somebody wants to know it.
        """
        if not self._middleware and not any(signal.receivers for signal in self._signals.values()):
            with self._lock:
                self._history.extend(zip(repeat(origin), batch))
            return []
        raised: list[tuple[str, BaseException, Fact]] = []
        with_values = value_of if self._signals[EventType.TASK_COMPLETED].receivers else None
        for seq, fact in batch:
            if self._wanted(fact):
                # not even sys.exit() in a handler may end the dispatcher, whom the end of the run waits for
                for event in (origin.notice(seq, fact, with_values), *origin.pending(seq, fact)):
                    raised += [(by, error, fact) for by, error in self._tell(event, BaseException)]
            else:
                with self._lock:
                    self._history.append((origin, (seq, fact)))
        return raised

    def tell(self, event_type: EventType, data: Mapping[str, Any], source: str) -> list[tuple[str, BaseException]]:
        """Publish for the library, which no subscriber may keep from its work; returns who raised what.

        Only a KeyboardInterrupt goes on: that is no subscriber's.
        """
        return self._tell(Event(type=event_type, data=data, source=source), (Exception, SystemExit))

    # -- inside ------------------------------------------------------------------------------------------

    def _signal(self, key: EventType | str) -> Signal:
        try:
            return self._signals[key]
        except KeyError:
            hint = _hint(key)
            raise ValueError(f'there is no event "{key}"' + (f" ({hint})" if hint else "")) from None

    def _wanted(self, fact: Fact) -> bool:
        if self._middleware or self._signals["*"].receivers or self._signals[NAMES[type(fact)]].receivers:
            return True
        event_type = EventType.TASK_PENDING if isinstance(fact, UnitsAdded) else _type_of(fact)
        return event_type is not None and bool(self._signals[event_type].receivers)

    def _tell(
        self, event: Event[Any], caught: type[BaseException] | tuple[type[BaseException], ...]
    ) -> list[tuple[str, BaseException]]:
        """Hand an event on, to the middleware and then to subscribers; returns who raised what."""
        raised: list[tuple[str, BaseException]] = []
        for middleware in self._middleware:
            try:
                changed = middleware(event)
                if changed is None:
                    return raised
                if not isinstance(changed, Event):
                    raise TypeError(f"middleware returns an Event or None, not {type(changed).__name__}")
                event = changed
            except caught as error:
                raised.append((f"the middleware {_name_of(middleware)}", error))
        with self._lock:
            self._history.append(event)
            listening = self._listening(event)
        for subscription in listening:
            try:
                subscription(None, event)
            except caught as error:
                raised.append((f"the subscriber {_name_of(subscription.handler)}", error))
        return raised

    def _listening(self, event: Event[Any]) -> list[_Subscription]:
        keys = (event.type, event.name, "*") if isinstance(event, Notice) else (event.type,)
        signals = [signal for key in keys if key is not None and (signal := self._signals[key]).receivers]
        found: list[Any] = [subscription for signal in signals for subscription in signal.receivers_for(event.source)]
        return found if len(found) < 2 else sorted(found, key=lambda subscription: subscription.number)


def _hint(key: object) -> str | None:
    """What somebody may have meant who asks for an event that there is not."""
    if not isinstance(key, str):
        return None
    named = key.upper().removeprefix("EVENTTYPE.")
    return f"EventType.{named} is one" if named in EventType.__members__ else did_you_mean(key, [*CLASSES])


class _Subscription:
    """What blinker holds of a handler."""

    __slots__ = ("active", "handler", "number")

    def __init__(self, handler: Callable[[Any], Any], number: int) -> None:
        self.handler, self.number = handler, number
        self.active = True

    def __call__(self, _sender: object, event: Event[Any]) -> None:
        if self.active:  # it may have unsubscribed since the event was on its way
            self.handler(event)


def _name_of(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__qualname__", None) or repr(function))


def pending_data(unit: QuantumUnit) -> dict[str, Any]:
    """What is told of a task that is new."""
    return {
        "task_id": unit.id,
        "name": unit.name,
        "description": unit.description,
        "dependencies": list(unit.dependencies),
        "status": UnitState.PENDING.name,
    }


def _type_of(fact: Fact) -> EventType | None:
    match fact:
        case UnitStarted():
            return EventType.TASK_STARTED
        case UnitFinished():
            return _ENDS[fact.state]
        case UnitReset():
            return EventType.TASK_PENDING
        case RunStarted():
            return EventType.WORKFLOW_STARTED
        case RunFinished():
            completed = fact.state is RunState.COMPLETED
            return EventType.WORKFLOW_COMPLETED if completed else EventType.WORKFLOW_FAILED
    return None


def _data(origin: Origin, fact: Fact, value_of: Callable[[int], Any] | None) -> dict[str, Any]:
    """What subscribers get as `data`. A `status` is the name of a UnitState or RunState."""
    data: dict[str, Any] = {"workflow_id": origin.workflow, "execution_id": origin.run}
    number = getattr(fact, "unit", -1)
    if number >= 0:
        data["task_id"] = origin.plan.table[number].id
    match fact:
        case UnitStarted():
            data |= {"status": "RUNNING", "attempt": fact.attempt, "worker": fact.worker}
        case UnitFinished():
            data |= {"status": fact.state.name, "attempt": fact.attempt, "duration": fact.duration}
            data |= {"error": str(fact.error) if fact.error else None, "cause": fact.cause}
            data |= {"cached": fact.cached, "fallback": fact.fallback}
            if value_of is not None and fact.state is UnitState.COMPLETED:
                try:
                    data["result"] = value_of(fact.unit)
                except BrokenResult as error:  # it is where it was made, and dependents may have it
                    data["error"] = str(error)
        case UnitReset():
            data |= {"status": "PENDING", "cause": fact.cause}
        case RunStarted():
            data |= {"status": "RUNNING", "name": fact.name, "task_count": len(origin.plan)}
        case RunFinished():
            failed = fact.state is not RunState.COMPLETED
            data |= {"status": fact.state.name, "duration": fact.duration, "task_count": len(origin.plan)}
            data["successful_tasks"] = fact.counts.get(UnitState.COMPLETED, 0)
            data["error"] = _ends_in_words(fact) if failed else None
    return data


def _ends_in_words(end: RunFinished) -> str:
    bad = {state: number for state, number in end.counts.items() if number and state != UnitState.COMPLETED}
    return ", ".join(f"{number} {state}" for state, number in bad.items()) or str(end.state)
