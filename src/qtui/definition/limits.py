"""What units ask for of pools and budgets, against what there is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from qtui.core.errors import did_you_mean
from qtui.core.limits import MUTEX
from qtui.core.model import ExecutionMode
from qtui.definition.drafts import Surroundings
from qtui.definition.values import Fault, quoted, shown_size


def slots_of(fields: Mapping[str, Any]) -> tuple[dict[str, int], set[str]]:
    """The slots that a unit takes, those of its mutexes among them, and the pools that these mutexes are."""
    mutexes = [f"{MUTEX}{name}" for name in fields.get("mutex", ())]
    return {**fields.get("pools", {}), **dict.fromkeys(mutexes, 1)}, set(mutexes)


def over_limits(
    fields: Mapping[str, Any], around: Surroundings, *, in_python: bool = False, is_async: bool = False
) -> Iterator[Fault]:
    """A fault for each pool that does not exist, and for each thing of which a unit asks for more than there is.

    `in_python` says whether who reads it has written arguments, or tables of a file, `is_async` whether the unit is a
    coroutine function, which runs on this machine in any case.
    """
    if around.pools is not None:
        yield from _over_pools(fields.get("pools", {}), around.pools, in_python)
    runs_elsewhere = not is_async and fields.get("mode", ExecutionMode.AUTO) in around.elsewhere
    if "resources" not in fields or runs_elsewhere:
        return
    cpus, memory, _ = fields["resources"]
    if around.cpus is not None and cpus > around.cpus:
        message = f"asks for {cpus:g} cpus of {around.cpus:g}"
        where = f"cpus={cpus:g}" if in_python else "cpus in [workflow]"
        yield Fault(message, f"set {where} if there are more", ("resources", "cpus"))
    if around.memory is not None and memory > around.memory:
        message = f"asks for {shown_size(memory)} of the memory_limit of {shown_size(around.memory)}"
        yield Fault(message, None, ("resources", "memory"))


def _over_pools(wanted: Mapping[str, int], pools: Mapping[str, int], in_python: bool) -> Iterator[Fault]:
    for name, count in wanted.items():
        there = pools.get(name)
        if there is None:
            declared = (
                f"declare it: pools={{{quoted(name)}: {count}}}"
                if in_python
                else f"declare it in [pools]: {name} = {count}"
            )
            hint = did_you_mean(name, pools) or declared
            yield Fault(f"there is no pool {quoted(name)}", hint, ("pools",), name)
        elif count > there:
            yield Fault(f"asks for {count} slots of {quoted(name)}, which has {there}", None, ("pools",), name)
