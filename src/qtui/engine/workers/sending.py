"""What an attempt in another process is told, as plain data: the same in the process lane and in executors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

from qtui.core.model import Call, FromUnit, QuantumUnit, UnitError, UnitState
from qtui.engine import packing
from qtui.engine.failure import describe_exception
from qtui.engine.workers.base import Host
from qtui.engine.workers.slots import Unstartable

Told = tuple[Any, ...]
"""Another unit as an attempt knows it: its number, id, state, why it has no value, and its value."""

_DEFAULTS = {
    field.name: getattr(QuantumUnit(id="default"), field.name)
    for field in fields(QuantumUnit)
    if field.name not in ("action", "args", "fallback")
}
"""What of a unit's definition travels to a worker, if it is not the default."""


class Others(NamedTuple):
    """What an attempt sees of other units: the needs as declared, each of them, and what they have added."""

    declared: Sequence[Told]
    needs: Sequence[Told]
    added: Sequence[Told]


def sees_others(unit: QuantumUnit) -> bool:
    """Whether a call gets to see the results of its needs at all."""
    takes_context = isinstance(unit.action, Call) and unit.action.wants_context
    return takes_context or any(type(value) is FromUnit for value in unit.args.values())


def others_of(host: Host, unit: QuantumUnit, number: int, tell: Callable[[int], Told]) -> Others:
    """What an attempt of `unit` sees of others, each as `tell` has it. Raises what that raises."""
    if not sees_others(unit):
        return Others((), (), ())
    plan = host.plan
    takes_context = isinstance(unit.action, Call) and unit.action.wants_context
    return Others(
        [tuple(need) for need in plan.declared[number]],
        [tell(need) for need in plan.needs[number]],
        [tell(added) for added in host.added_to(number)] if takes_context else (),
    )


def told_of(host: Host, number: int, there: packing.Packed | None = None) -> Told:
    """A unit with its value, or True in its place if that is `there` already. Raises Unstartable."""
    name, state = host.plan.table[number].id, host.state_of(number)
    if state is not UnitState.COMPLETED:
        return number, name, str(state), host.cause_of(number), None
    try:
        packed = host.packed_of(number)
    except Exception as error:
        raise cannot_send(f"the result of {name}", error) from error
    return number, name, str(state), "", True if packed is there else tuple(packed)


def definition_of(unit: QuantumUnit) -> dict[str, Any]:
    """The fields of a unit that differ from their defaults, without action, arguments and fallback."""
    return {name: value for name, default in _DEFAULTS.items() if (value := getattr(unit, name)) != default}


def cannot_send(what: str, error: BaseException) -> Unstartable:
    """The end of an attempt of which something cannot be pickled."""
    cause = describe_exception(error)
    message = f'{what} cannot be sent to a process: {cause.type}: {cause.message} (mode = "thread" needs no sending)'
    return Unstartable(UnitError("NotSendable", message))


def culprit(unit: QuantumUnit) -> str:
    """Which part of a unit cannot be pickled, in words."""
    for name, value in unit.args.items():
        try:
            packing.dumps(value)
        except Exception:  # noqa: BLE001  - the one that fails is the one we look for
            return f"the argument {name}"
    return "its definition"
