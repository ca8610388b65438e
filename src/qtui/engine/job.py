"""One attempt in a process that is not qtui's: what was sent for it, and what is sent back, by whatever way."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any, Protocol

from qtui.core.errors import BrokenResult, Canceled
from qtui.core.model import QuantumUnit, UnitState
from qtui.core.plan import Need
from qtui.engine import packing
from qtui.engine.context import ProgressThrottle
from qtui.engine.failure import describe_exception
from qtui.engine.packing import Packed, ResultError, load_value, pack, unpack


class Outside(Protocol):
    """Whom a job asks for the params of its run, and tells how far it is."""

    @property
    def params(self) -> Mapping[str, Any]:
        """The run's params."""

    def send(self, message: tuple[Any, ...]) -> None:
        """Tell qtui."""


class Job:
    """One attempt as it was sent, and what ExecutionContext reads of its run (RunFacts)."""

    def __init__(self, outside: Outside, fields: tuple[Any, ...], kept: Any) -> None:
        (
            self.number,
            self.attempt,
            self.function,
            self.packed_function,
            self.wants_context,
            self._head,
            declared,
            needs,
            added,
            self.variables,
            self.directory,
            self.log,
            self.log_limit,
            self._timeout,
        ) = fields
        self._outside = outside
        self.plan = self
        self._throttle = ProgressThrottle()
        self._definition: dict[str, Any] = {"id": self.variables["QTUI_UNIT"]}
        self.declared = {self.number: [Need(*need) for need in declared]}
        self.needs = {self.number: tuple(number for number, *_ in needs)}
        self._added = tuple(number for number, *_ in added)
        known = (*needs, *added)
        self._ids = {number: name for number, name, *_ in known}
        self._states = {number: UnitState(state) for number, _, state, *_ in known}
        self._causes: dict[int, str] = {number: cause for number, _, _, cause, _ in known}
        self._packed = {number: value for number, *_, value in known if value is not None and value is not True}
        self._values = {number: kept for number, *_, value in known if value is True}

    @cached_property
    def table(self) -> dict[int, QuantumUnit]:
        """The unit's definition, without action, arguments and fallback, and the ids of its needs.

        A function that takes neither context nor arguments does not see it, so it came without: there is the id alone.
        """
        return {
            self.number: QuantumUnit(**self._definition),
            **{number: QuantumUnit(id=name) for number, name in self._ids.items()},
        }

    @property
    def params(self) -> Mapping[str, Any]:
        """The run's params."""
        return self._outside.params

    def deadline(self) -> float | None:
        """When the attempt times out that begins now (Unix seconds), or None."""
        return None if self._timeout is None else time.time() + self._timeout

    def arguments(self) -> dict[str, Any]:
        """The arguments of the call."""
        if self._head is None:
            return {}
        self._definition, arguments = load_sent(self._head, "its arguments")
        return arguments  # type: ignore[no-any-return]

    def value_of(self, number: int) -> Any:
        """The value of a need, or of what one has added. Raises BrokenResult."""
        if number not in self._values:
            if self._causes[number] and self._states[number] is UnitState.COMPLETED:
                raise BrokenResult(self._causes[number])
            packed = self._packed.get(number)
            self._values[number] = None if packed is None else load_value(Packed(*packed), self._ids[number])
        return self._values[number]

    def state_of(self, number: int) -> UnitState:
        """The state of a need."""
        return self._states[number]

    def cause_of(self, number: int) -> str:
        """Why a need that has ended has no value."""
        return self._causes[number]

    def added_to(self, number: int) -> Sequence[int]:  # noqa: ARG002  - there is only one unit here
        """The units that its needs have added."""
        return self._added

    def environment_of(self, number: int) -> dict[str, str]:  # noqa: ARG002  - there is only one unit here
        """The unit's environment, which is the process's while it runs."""
        return dict(os.environ)

    def report_progress(self, number: int, attempt: int, done: float, total: float, message: str) -> None:
        """Pass progress on, at most once a second: units may call this millions of times."""
        if self._throttle.passes(number):
            self._outside.send(("progress", number, attempt, done, total, message))


class LoadError(Exception):
    """What was sent for a unit cannot be loaded in the worker."""


def load_sent(packed: tuple[Any, ...], what: str) -> Any:
    """What was sent as the fields of a `Packed`. Raises LoadError, which calls it `what`."""
    try:
        return unpack(Packed(*packed))
    except Canceled:
        raise
    except BaseException as error:
        cause = describe_exception(error)
        raise LoadError(f"{what} cannot be loaded in a worker process: {cause.type}: {cause.message}") from error


def pack_result(value: Any, new_file: Callable[[], str]) -> Packed:
    """The value that a unit has returned, as `pack` makes it; raises ResultError for one that cannot be sent."""
    try:
        packed = pack(value, new_file)
        if not packed.path and not packing.is_plain(packed):
            unpack(packed)  # one that cannot be loaded is this unit's mistake, not that of those who need it
    except Canceled:
        raise
    except BaseException as error:
        what = describe_exception(error)
        raise ResultError(f"its result cannot be sent to other units: {what.type}: {what.message}") from error
    return packed


def plain_metrics(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Metrics as exact plain types: a numpy float is a float, but not to marshal."""
    return {str(name): value[:] if isinstance(value, str) else _number(value) for name, value in metrics.items()}


def _number(value: float) -> float:
    return int(value) if isinstance(value, int) else float(value)


def leave_fork(answer: tuple[Any, ...]) -> None:
    """A child that a unit forked has come back from the unit's function, or fallen out of it."""
    with suppress(BaseException):
        if answer[0] == "error":
            sys.stderr.write(f"{answer[1][2]}\n")  # its traceback
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(answer[0] != "value")
