"""ExecutionContext: the one object that user code sees."""

from __future__ import annotations

import _thread
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from qtui.core.errors import Canceled, NoResult, UsageError, did_you_mean
from qtui.core.model import FromUnit, QuantumUnit, UnitState
from qtui.core.plan import ExecutionPlan, Need, meanings

if TYPE_CHECKING:
    from qtui.definition.additions import Additions

T_co = TypeVar("T_co", covariant=True)

MOST_METRICS = 1000
MOST_TEXT = 4096
"""How many metrics a unit may record, and how many characters are kept of each text that stays in the record."""


class Indexed(Protocol[T_co]):
    """A sequence, or a dictionary with numbers for keys."""

    def __getitem__(self, number: int, /) -> T_co: ...


class Output(Protocol):
    """Where `context.log` and what a unit prints goes."""

    @property
    def path(self) -> str:
        """The file."""

    def write(self, data: bytes) -> None:
        """Append."""

    def close(self) -> None:
        """No more will come."""


class Units(Protocol):
    """Units by number: the plan, or the part of it that a worker process was told."""

    @property
    def table(self) -> Indexed[QuantumUnit]:
        """The definitions."""

    @property
    def declared(self) -> Indexed[Sequence[Need]]:
        """What each unit said it needs."""

    @property
    def needs(self) -> Indexed[Sequence[int]]:
        """The units that these are."""


class RunFacts(Protocol):
    """What a context reads of its run; the engine is one."""

    @property
    def plan(self) -> Units:
        """The units."""

    @property
    def params(self) -> Mapping[str, Any]:
        """The run's params."""

    def value_of(self, number: int) -> Any:
        """The value of a unit that has completed. Raises BrokenResult if it cannot be loaded."""

    def state_of(self, number: int) -> UnitState:
        """The unit's state right now."""

    def cause_of(self, number: int) -> str:
        """Why a unit that has ended has no value."""

    def added_to(self, number: int) -> Sequence[int]:
        """The units that needs of this one have added, but for those that were added together with it."""

    def environment_of(self, number: int) -> dict[str, str]:
        """The unit's environment variables."""

    def report_progress(self, number: int, attempt: int, done: float, total: float, message: str) -> None:
        """Note how far an attempt is."""


class ExecutionContext(Mapping[str, Any]):
    """One attempt's view of its run: a mapping of the results it needs, then of the run's params.

    ``context["need"]`` is a need's result, a list in matrix order where the need is a family; ``context["params"]``
    are all params. Only declared needs are visible. Safe to use from any thread of the unit.
    """

    __slots__ = (
        "_added",
        "_canceled",
        "_ended",
        "_environment",
        "_facts",
        "_number",
        "_stopped",
        "attempt",
        "deadline",
        "log_writer",
        "metrics",
    )

    def __init__(
        self,
        facts: RunFacts,
        number: int,
        attempt: int,
        log_writer: Output,
        deadline: float | None,
    ) -> None:
        self._facts, self._number = facts, number
        self._canceled: threading.Event | None = None
        self._stopped = self._ended = False
        self.attempt = attempt
        self._environment: Mapping[str, str] | None = None
        self._added: Additions | None = None
        self.metrics: dict[str, Any] = {}
        """What `record_metric` noted; it travels with the end of the unit."""
        self.deadline = deadline
        """When the attempt times out (Unix seconds), or None."""
        self.log_writer = log_writer

    def __repr__(self) -> str:
        return f"<ExecutionContext of {self.unit.id}, attempt {self.attempt}: {', '.join(self)}>"

    @property
    def unit(self) -> QuantumUnit:
        """The definition of the unit that runs."""
        return self._facts.plan.table[self._number]

    @property
    def matrix(self) -> Mapping[str, Any]:
        """The values of this item of a matrix."""
        return self.unit.matrix

    @property
    def params(self) -> Mapping[str, Any]:
        """The run's params."""
        return self._facts.params

    @property
    def environment(self) -> Mapping[str, str]:
        """The unit's environment variables; in-process units do not get them through os.environ."""
        if self._environment is None:  # made when asked for: copying os.environ costs more than running a small unit
            self._environment = {**self._facts.environment_of(self._number), "QTUI_ATTEMPT": str(self.attempt)}
        return self._environment

    # -- results -----------------------------------------------------------------------------------------

    def __getitem__(self, key: str) -> Any:
        for name in meanings(self.unit.id, key):
            for need in self._facts.plan.declared[self._number]:
                if need.name == name:
                    return self._value(need)
            for number in self._facts.plan.needs[self._number]:
                if self._facts.plan.table[number].id == name:
                    return self._result(number)
        if key == "params":
            return self._facts.params
        if key in self._facts.params:
            return self._facts.params[key]
        raise NoResult(self._unknown(key))

    def _unknown(self, key: str) -> str:
        """Why there is nothing called `key`; in other processes nobody knows what other units there are."""
        unit, plan = self.unit.id, self._facts.plan
        if isinstance(plan, ExecutionPlan) and any(name in plan.numbers for name in meanings(unit, key)):
            return f'{unit} does not need "{key}", so it cannot see its result'
        hint = did_you_mean(key, self)
        return f'there is no input, and no need of {unit}, called "{key}"' + (f" ({hint})" if hint else "")

    def __iter__(self) -> Iterator[str]:
        names = [need.name for need in self._facts.plan.declared[self._number]]
        yield from dict.fromkeys([*names, *self._facts.params])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _value(self, need: Need) -> Any:
        values = [self._result(number) for number in need.units]
        return values if need.many else values[0]

    def _result(self, number: int) -> Any:
        state = self._facts.state_of(number)
        if state.ended and state is not UnitState.COMPLETED:
            cause = self._facts.cause_of(number)
            name = self._facts.plan.table[number].id
            raise NoResult(f"{name} has no result: it {state.told}{f' ({cause})' if cause else ''}")
        return self._facts.value_of(number)

    def get_dependency_result(self, need: str) -> Any:
        """The result of a need, or None if it has none."""
        try:
            return self[need]
        except NoResult:
            return None

    def filled(self, args: Mapping[str, Any]) -> Mapping[str, Any]:
        """Arguments with the results of needs where `FromUnit` stands for them. Raises NoResult for one without."""
        if not any(type(value) is FromUnit for value in args.values()):
            return args
        return {name: self[value.need] if type(value) is FromUnit else value for name, value in args.items()}

    @property
    def unit_results(self) -> dict[str, Any]:
        """The results of all needs, by the names they were declared with."""
        return {need.name: self.get_dependency_result(need.name) for need in self._facts.plan.declared[self._number]}

    @property
    def added(self) -> dict[str, Any]:
        """The results of the units that needs of this one have added, by id; of those that have completed by now."""
        facts = self._facts
        numbers = [number for number in facts.added_to(self._number) if facts.state_of(number) is UnitState.COMPLETED]
        return {facts.plan.table[number].id: facts.value_of(number) for number in numbers}

    @property
    def states(self) -> dict[str, UnitState]:
        """The states of all needs, by unit id."""
        plan = self._facts.plan
        return {plan.table[number].id: self._facts.state_of(number) for number in plan.needs[self._number]}

    # -- stopping ----------------------------------------------------------------------------------------

    @property
    def cancelled(self) -> bool:
        """True once the unit was asked to stop."""
        return self._stopped or (self._canceled is not None and self._canceled.is_set())

    def check(self) -> None:
        """Raise `Canceled` if the unit was asked to stop. Call it where stopping is safe."""
        if self.cancelled:
            raise Canceled(f"{self.unit.id} was asked to stop")

    def sleep(self, seconds: float) -> None:
        """Sleep, and raise `Canceled` as soon as the unit is asked to stop."""
        self.check()
        self.cancel_event().wait(seconds)
        self.check()

    def stop(self) -> None:
        """Say that the unit was asked to stop. Unlike setting the event, a signal handler may do it.

        The handler may have interrupted the main thread where that holds the event's lock, so a thread of its own
        sets the event: one without the locks of `threading`, for the same reason.
        """
        self._stopped = True
        if self._canceled is not None:
            _thread.start_new_thread(self._canceled.set, ())

    def cancel_event(self) -> threading.Event:
        """The event that is set when the unit is asked to stop; made at first use, as most units never look."""
        if self._canceled is None:
            with _event_lock:
                if self._canceled is None:
                    self._canceled = threading.Event()
                    if self._stopped:  # looked at after the event is there for `stop` to see, so one of the two sets it
                        self._canceled.set()
        return self._canceled

    # -- growing the plan --------------------------------------------------------------------------------

    def add_unit(
        self,
        function: Callable[..., Any],
        dependencies: Iterable[str | QuantumUnit] = (),
        name: str | None = None,
        **keys: Any,
    ) -> QuantumUnit:
        """Add a unit that calls `function`, named like it unless `name` is given; `keys` are those of a unit.

        What is added joins the run when this attempt completes; one that fails adds nothing. Added units need this one,
        and what `dependencies` name: units of the run, and others that are added. Nothing that was there comes to need
        them, but for what needs ``*``. Returns the unit. Raises InvalidWorkflow for what cannot be right by itself; a
        name that is taken or not there, or units that need each other, are the failure of this attempt. Raises
        UsageError when the attempt has ended.
        """
        return self._adding().function(function, name, dependencies, keys)

    def add_command(
        self,
        name: str,
        run: str | Iterable[str] | None = None,
        argv: Iterable[str] | None = None,
        dependencies: Iterable[str | QuantumUnit] = (),
        **keys: Any,
    ) -> QuantumUnit:
        """Add a unit that runs shell text (`run`) or a program without a shell (`argv`); see `add_unit`."""
        return self._adding().command(name, run, argv, dependencies, keys)

    def map(
        self,
        function: Callable[..., Any],
        items: Iterable[Any],
        name: str,
        dependencies: Iterable[str | QuantumUnit] = (),
        **keys: Any,
    ) -> list[QuantumUnit]:
        """Add a unit for each item, called ``name[0]`` and so on, and `name` together; see `add_unit`."""
        return self._adding().map(function, items, name, dependencies, keys)

    @property
    def additions(self) -> tuple[QuantumUnit, ...]:
        """What this attempt has added so far."""
        return () if self._added is None else tuple(self._added.units.values())

    def end(self) -> None:
        """The attempt has ended: it adds no more units."""
        self._ended = True

    def _adding(self) -> Additions:
        with _adding_lock:
            if self._ended:
                raise UsageError(f"attempt {self.attempt} of {self.unit.id} has ended, so it can add no more units")
            if self._added is None:
                from qtui.definition.additions import Additions  # few units add any, and it takes some ten ms

                self._added = Additions(self.unit, self.params, __file__)
            return self._added

    # -- telling -----------------------------------------------------------------------------------------

    def record_metric(self, name: str, value: Any) -> None:
        """Note a figure that travels with the end of the unit.

        Of a text only `MOST_TEXT` characters are kept. Raises TypeError for a name that is no text, or a value that is
        neither a finite number nor text, and ValueError beyond `MOST_METRICS`.
        """
        number = isinstance(value, int | float) and math.isfinite(value)
        if not isinstance(name, str) or not (number or isinstance(value, str)):
            raise TypeError(f"a metric is a finite number or text under a name, not {type(value).__name__}")
        if len(self.metrics) >= MOST_METRICS and name not in self.metrics:
            raise ValueError(f"a unit may record {MOST_METRICS} metrics; write more of them to a file or return them")
        self.metrics[name[:MOST_TEXT]] = value[:MOST_TEXT] if isinstance(value, str) else value

    def progress(self, done: float, total: float = 0, message: str = "") -> None:
        """Say how far the unit is; recorded at most once a second, so call it as often as you like.

        Raises TypeError or ValueError if `done` and `total` are not finite numbers.
        """
        done, total = float(done), float(total)
        if not (math.isfinite(done) and math.isfinite(total)):
            raise ValueError("progress is counted in finite numbers")
        self._facts.report_progress(self._number, self.attempt, done, total, str(message)[:MOST_TEXT])

    def log(self, text: str) -> None:
        """Write a line to the unit's log."""
        self.log_writer.write(f"{text}\n".encode(errors="replace"))


_event_lock = threading.Lock()
_adding_lock = threading.Lock()

current_context: ContextVar[ExecutionContext | None] = ContextVar("qtui_context", default=None)
"""The context of the unit that runs in this thread or task."""


class ProgressThrottle:
    """Lets one report per unit and second pass; the last one before the end of a unit may be dropped."""

    def __init__(self) -> None:
        self._passed: dict[int, float] = {}

    def passes(self, number: int) -> bool:
        """True if it is time to record this unit's progress again."""
        now = time.monotonic()
        if now - self._passed.get(number, 0.0) < 1.0:
            return False
        self._passed[number] = now
        return True
