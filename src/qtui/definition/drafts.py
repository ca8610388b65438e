"""Drafts: units as people wrote them, before params, matrix items and defaults are filled in."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from qtui.core.model import EMPTY, ExecutionMode, Source
from qtui.definition.keys import Table
from qtui.definition.matrix import Item, ReadRows
from qtui.definition.report import Locate
from qtui.definition.unit_keys import UNIT_KEYS
from qtui.definition.values import Fault, Rejected, label, quoted

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """One unit as written. `keys` are its own and `defaults` those of every unit, both still unchecked.

    `function` is set for units made in Python; with `mapped`, the unit is made once for each of these items. One that
    is `freely_named` may be called like anything that can be shown.
    """

    name: str
    keys: Mapping[str, Any]
    source: Source
    locate: Locate
    table: Table = field(default_factory=lambda: UNIT_KEYS)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    function: Callable[..., Any] | None = None
    mapped: Sequence[Any] | None = None
    freely_named: bool = False

    @property
    def in_python(self) -> bool:
        """Whether it was written in Python, so that its keys are arguments; else it is in a file."""
        return self.table is not UNIT_KEYS

    @property
    def path(self) -> tuple[str, str]:
        """The key path of the unit's table."""
        return ("units", self.name)


def no_rows(name: str) -> tuple[Item, ...]:
    """Where files of rows cannot be read."""
    message = f"only a workflow file can take its items from a file such as {quoted(name)}"
    raise Rejected(Fault(message, "read it in Python, and give the values as lists"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the drafts of one workflow share.

    Resolved params, the workflow's variables, the directory where relative paths start, and how to find the
    function that a `call` names (raising `Rejected`); needed only where drafts have calls. How to read the file of rows
    that a matrix names. Then the sizes of the pools that are declared, None if that is not known, and the run's budgets
    of cores and bytes, None where there is none, which are not for units with modes in `elsewhere` (see RunOptions).
    Last, variables from outside that go over all that the workflow and its units set.
    """

    params: Mapping[str, Any]
    env: Mapping[str, str]
    directory: str
    find: Callable[[str], Callable[..., Any]] | None = None
    rows: ReadRows = no_rows
    pools: Mapping[str, int] | None = field(default_factory=dict)
    cpus: float | None = None
    memory: int | None = None
    elsewhere: frozenset[ExecutionMode] = frozenset()
    over: Mapping[str, str] = field(default_factory=dict)


def name_fault(name: Any) -> Fault | None:
    """What is wrong with the name of a unit, if anything."""
    if isinstance(name, str) and _NAME.fullmatch(name):
        return None
    return Fault(
        f"{quoted(str(name))} cannot be the name of a unit",
        "use letters, digits, _ - and . and begin with a letter or digit",
    )


def function_fault(function: Callable[..., Any]) -> Fault | None:
    """What is wrong with a function that a unit is to call, if it can be told without its arguments."""
    # a decorator may well make a plain function of a generator, so it is not looked behind
    called = function, getattr(function, "__call__", None)  # noqa: B004  - the method is wanted
    if any(map(inspect.isasyncgenfunction, called)):
        return Fault("calling an async generator runs nothing of it", "return a list: [item async for item in ...]")
    if any(map(inspect.isgeneratorfunction, called)):
        return Fault("calling a generator function runs nothing of it", "return a list instead of yielding its items")
    return None


def free_name_fault(name: Any) -> Fault | None:
    """What is wrong with a name where units may be called like anything that can be shown."""
    try:
        label(name)
    except Rejected as rejected:
        return rejected.faults[0]
    if name == "*":
        return Fault("as a dependency this means every other unit, so it cannot be a name")
    return None


def item_parameter(function: Callable[..., Any], args: Mapping[str, Any] = EMPTY) -> str | None:
    """The parameter of `function` that takes an item of `map`: the first that `args` and the context leave free.

    None if the item is passed by position, as to builtins. Raises `Rejected` if there is no place for an item.
    """
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (ValueError, TypeError):
        return None
    kinds = {parameter.kind for parameter in parameters}
    free = [
        parameter
        for parameter in parameters
        if parameter.kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        and parameter.name not in args
    ]
    required = [parameter for parameter in free if parameter.default is inspect.Parameter.empty]
    if len(required) > 1 or (free and _is_context(free[0])):
        first, *free = free
        if free and _is_context(free[0]) and not _is_context(first):
            hint = f"write ({free[0].name}, {first.name})"
            raise Rejected(Fault("the context is passed first, before the item", hint))
        if not free or inspect.Parameter.POSITIONAL_ONLY in kinds:
            raise Rejected(Fault("the function has no parameter that could take an item by its name"))
    elif not free and inspect.Parameter.VAR_POSITIONAL not in kinds:
        raise Rejected(Fault("the function has no parameter for an item"))
    return None if not free or inspect.Parameter.POSITIONAL_ONLY in kinds else free[0].name


def _is_context(parameter: inspect.Parameter) -> bool:
    return parameter.name in ("context", "ctx") or "ExecutionContext" in str(parameter.annotation)
