"""What goes to other processes, worker processes and those of executors alike: attempts as plain data."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import fields
from itertools import count
from typing import Any, Final, Protocol

from qtui.core.model import Call, FromUnit, QuantumUnit, UnitError, UnitState
from qtui.engine import packing
from qtui.engine.failure import describe_exception
from qtui.engine.returned import Awaited
from qtui.engine.workers.base import Attempt, Host
from qtui.engine.workers.slots import Unstartable

_DEFAULTS: Final = {
    field.name: getattr(QuantumUnit(id="default"), field.name)
    for field in fields(QuantumUnit)
    if field.name not in ("action", "args", "fallback")
}
"""What of a unit's definition travels, if it is not the default."""

_PlaceOf = Callable[[int], int | None] | None


class Sending(Protocol):
    """What a lane asks of who packs its attempts; see `Sender`."""

    def path(self) -> list[str]:
        """Where other processes look for modules."""

    def params(self) -> packing.Packed:
        """The params of the run."""

    def function(self, unit: QuantumUnit) -> tuple[int, packing.Packed]:
        """A number for the unit's function, and the function."""

    def forget_functions(self) -> None:
        """Pack functions anew."""

    def job(
        self,
        attempt: Attempt,
        key: int,
        function: packing.Packed | None,
        *,
        made: packing.Packed | None = None,
        log: str = "",
    ) -> tuple[Any, ...]:
        """The fields of the `Job` that the attempt is over there."""


class Sender:
    """Packs the attempts of a run for other processes, on whatever threads ask for it.

    What is too large for a message goes to files of the run whose names begin with `name`. Every method raises
    Unstartable for what cannot be pickled.
    """

    def __init__(self, host: Host, name: str) -> None:
        self._host, self._name = host, name
        self._numbers = count(1)
        self._lock = threading.Lock()
        self._params: packing.Packed | None = None
        self._functions: dict[int, tuple[Any, int, packing.Packed]] = {}
        self._function_numbers = count(1)

    def path(self) -> list[str]:
        """Where other processes look for modules."""
        return list(sys.path)

    def params(self) -> packing.Packed:
        """The params of the run, packed once."""
        with self._lock:
            if self._params is None:
                packing.note_modules()
                self._params = self._pack(dict(self._host.params), lambda: "the params of the run")
            return self._params

    def function(self, unit: QuantumUnit) -> tuple[int, packing.Packed]:
        """A number for the unit's function, and the function, packed once."""
        assert isinstance(unit.action, Call)
        function = unit.action.function
        sent = Awaited(function) if unit.action.is_async else function
        with self._lock:
            known = self._functions.get(id(function))
            if known is None:
                if not self._functions:
                    packing.note_modules()
                packing.note_module(getattr(function, "__module__", None) or "__main__")
                # kept alive, so its id, too
                packed = self._pack(sent, lambda: "the function")
                known = self._functions[id(function)] = (function, next(self._function_numbers), packed)
            return known[1:]

    def forget_functions(self) -> None:
        """Pack functions anew: one that its module does not have by its name any more then goes by value."""
        with self._lock:
            self._functions.clear()

    def job(
        self,
        attempt: Attempt,
        key: int,
        function: packing.Packed | None,
        *,
        made: packing.Packed | None = None,
        place_of: _PlaceOf = None,
        log: str = "",
    ) -> tuple[Any, ...]:
        """The fields of the `Job` that the attempt is over there.

        `key` and `function` are what `function` gives for the unit, but None for one that has been sent before. `made`
        is a result that is at hand there; for one that goes there another way, `place_of` tells what stands for it.
        """
        host, unit, number = self._host, attempt.unit, attempt.start.unit
        wants_context, sees = _wants_context(unit), sees_run(unit)
        pack_need = self._need if isinstance(unit.action, Call) else self._addition  # a command can do without
        head: packing.Packed | None = None
        if wants_context or unit.args:
            head = self._pack((_definition_of(unit), dict(unit.args)), lambda: _culprit(unit))
        return (
            number,
            attempt.start.attempt,
            key,
            None if function is None else tuple(function),
            wants_context,
            None if head is None else tuple(head),
            [tuple(need) for need in host.plan.declared[number]] if sees else (),
            [pack_need(need, made, place_of) for need in host.plan.needs[number]] if sees else (),
            [self._addition(added, made, place_of) for added in host.added_to(number)] if wants_context else (),
            {**host.variables_of(number), "QTUI_ATTEMPT": str(attempt.start.attempt)},
            unit.cwd,
            log,
            unit.log_max,
            unit.timeout,
        )

    def _need(self, number: int, made: packing.Packed | None, place_of: _PlaceOf) -> tuple[Any, ...]:
        host = self._host
        name, state = host.plan.table[number].id, host.state_of(number)
        if state is not UnitState.COMPLETED:
            return number, name, str(state), host.cause_of(number), None
        place = None if place_of is None else place_of(number)
        if place is not None:
            return number, name, str(state), "", place
        try:
            packed = host.packed_of(number)
        except Exception as error:
            raise _cannot_send(f"the result of {name}", error) from error
        return number, name, str(state), "", True if packed is made else tuple(packed)

    def _addition(self, number: int, made: packing.Packed | None, place_of: _PlaceOf) -> tuple[Any, ...]:
        """The same of a unit that a need has added. That it cannot be sent concerns only those who ask for it."""
        try:
            return self._need(number, made, place_of)
        except Unstartable as error:
            name, reason = self._host.plan.table[number].id, error.unit_error.message
            return number, name, str(UnitState.COMPLETED), reason, None

    def _pack(self, value: Any, what: Callable[[], str]) -> packing.Packed:
        try:
            return packing.pack(value, lambda: self._host.value_path(f"{self._name}.{next(self._numbers)}"))
        except Exception as error:
            raise _cannot_send(what(), error) from error


def sees_run(unit: QuantumUnit) -> bool:
    """Whether the unit is given anything of its run: commands are, functions that ask for it are."""
    asks = _wants_context(unit) or any(type(value) is FromUnit for value in unit.args.values())
    return asks or not isinstance(unit.action, Call)


def _wants_context(unit: QuantumUnit) -> bool:
    return isinstance(unit.action, Call) and unit.action.wants_context


def _definition_of(unit: QuantumUnit) -> dict[str, Any]:
    """The fields of a unit that differ from their defaults, without action, arguments and fallback."""
    return {name: value for name, default in _DEFAULTS.items() if (value := getattr(unit, name)) != default}


def _cannot_send(what: str, error: BaseException) -> Unstartable:
    """The end of an attempt of which something cannot be pickled."""
    cause = describe_exception(error)
    message = f'{what} cannot be sent to a process: {cause.type}: {cause.message} (mode = "thread" needs no sending)'
    return Unstartable(UnitError("NotSendable", message))


def _culprit(unit: QuantumUnit) -> str:
    """Which part of a unit cannot be pickled, in words."""
    for name, value in unit.args.items():
        try:
            packing.dumps(value)
        except Exception:  # noqa: BLE001  - the one that fails is the one we look for
            return f"the argument {name}"
    return "its definition"
