"""Definitions as plain data: what a record keeps of units, plans and options, and what another process makes of it.

Functions do not travel: a call from plain data keeps its name, and raises UsageError if it is called.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from itertools import compress
from operator import attrgetter, is_not
from reprlib import Repr
from typing import Any, Final, NoReturn

from qtui.core.condition import NODES, Condition
from qtui.core.errors import UsageError
from qtui.core.model import (
    Action,
    Argv,
    CachePolicy,
    Call,
    ExecutionMode,
    Fallback,
    FromUnit,
    QuantumUnit,
    RetryPolicy,
    Shell,
    Source,
)
from qtui.core.options import Brake, RunOptions
from qtui.core.plan import ExecutionPlan, Need

Mask = Callable[[str], str]
"""Hides what is secret in a text that people have written."""

Digest = Callable[[Call], str]
"""Identifies the code of a call; an empty text if that is not possible."""

MOST_SHOWN: Final = 200
_MOST_READ: Final = 1 << 16
MOST_DEEP: Final = 60
MOST_BITS: Final = 4096  # Python refuses to write much longer numbers in decimal
_ADDRESS: Final = re.compile(r" at 0x[0-9a-fA-F]+")


def plain_unit(
    unit: QuantumUnit, lane: ExecutionMode | None = None, *, mask: Mask = str, digest: Digest | None = None
) -> dict[str, Any]:
    """What differs in `unit` from a unit that says nothing, as data for JSON, with its `lane` if that is given.

    `mask` is asked about texts that may hold a secret, so not about names. What JSON cannot hold of arguments and the
    like is left as ``{"repr": text}``.
    """
    writer = _Writer(mask, digest)
    plain = writer.changed(unit)
    return plain if lane is None else {**plain, "lane": str(lane)}


def unit_from_plain(plain: Mapping[str, Any]) -> QuantumUnit:
    """The unit that `plain_unit` wrote. Raises KeyError, TypeError or ValueError for anything else."""
    values = {name: value for name, value in plain.items() if name != "lane"}
    for name in values.keys() & _UNIT_READERS.keys():
        values[name] = _UNIT_READERS[name](values[name])
    return QuantumUnit(**values)


def plain_plan(plan: ExecutionPlan, *, mask: Mask = str, digest: Digest | None = None) -> dict[str, Any]:
    """A plan, with what units have added to it, as data for JSON."""
    writer = _Writer(mask, digest)
    needs: dict[int, int] = {}  # many units may share one need, by its identity, and it may be long
    distinct: list[Need] = []
    declared = []
    for of_unit in plan.declared:
        for need in of_unit:
            if id(need) not in needs:
                needs[id(need)] = len(distinct)
                distinct.append(need)
        declared.append([needs[id(need)] for need in of_unit])
    return {
        "mode": str(plan.mode),
        "units": [
            {**writer.changed(unit), "lane": str(lane)} for unit, lane in zip(plan.table, plan.lanes, strict=True)
        ],
        "needs": [[need.name, list(need.units), need.many] for need in distinct],
        "declared": declared,
        "ranks": list(plan.ranks),
        "typical": plan.typical,
        "items": [list(item) for item in plan.items],
        "added": [[by, list(units)] for by, units in plan.added.items()],
        "dropped": sorted(plan.dropped),
    }


def plan_from_plain(plain: Mapping[str, Any]) -> ExecutionPlan:
    """The plan that `plain_plan` wrote. Raises LookupError, TypeError or ValueError for anything else."""
    table = tuple(map(unit_from_plain, plain["units"]))
    distinct = [Need(name, tuple(units), many) for name, units, many in plain["needs"]]
    declared = tuple(tuple(distinct[place] for place in of_unit) for of_unit in plain["declared"])
    needs = tuple(tuple(dict.fromkeys(n for need in of_unit for n in need.units)) for of_unit in declared)
    feeds: list[list[int]] = [[] for _ in table]
    for number, of_unit in enumerate(needs):
        for need in of_unit:
            feeds[need].append(number)
    items = tuple(tuple(item) for item in plain["items"])
    item_of = [-1] * len(table)
    for place, item in enumerate(items):
        for number in item:
            item_of[number] = place
    if not len(table) == len(declared) == len(plain["ranks"]):
        raise ValueError("its parts are of different lengths")
    return ExecutionPlan(
        table=table,
        needs=needs,
        feeds=tuple(map(tuple, feeds)),
        declared=declared,
        lanes=tuple(ExecutionMode(unit["lane"]) for unit in plain["units"]),
        ranks=tuple(plain["ranks"]),
        numbers={unit.id: number for number, unit in enumerate(table)},
        items=items,
        item_of=tuple(item_of),
        added={by: tuple(units) for by, units in plain["added"]},
        dropped=frozenset(plain["dropped"]),
        typical=plain["typical"],
        mode=ExecutionMode(plain["mode"]),
    )


def plain_options(options: RunOptions) -> dict[str, Any]:
    """What differs from the defaults, as data for JSON."""
    return _Writer(str, None).changed(options)


def options_from_plain(plain: Mapping[str, Any]) -> RunOptions:
    """The options that `plain_options` wrote. Raises KeyError, TypeError or ValueError for anything else."""
    values = dict(plain)
    for name in values.keys() & _OPTION_READERS.keys():
        values[name] = _OPTION_READERS[name](values[name])
    return RunOptions(**values)


def plain_value(value: Any, mask: Mask = str) -> Any:
    """`value` as data for JSON: what JSON has, with tuples as lists, and ``{"repr": text}`` for everything else."""
    return _plain_value(value, mask, frozenset())


# -- writing ---------------------------------------------------------------------------------------------


class _Writer:
    """Makes plain data of definitions."""

    def __init__(self, mask: Mask, digest: Digest | None) -> None:
        self._mask, self._digest = mask, digest
        # calls by the id of their function and the rest: to look into one takes as long as all else
        self._calls: dict[tuple[int, str, bool], dict[str, Any]] = {}

    def changed(self, thing: Any) -> dict[str, Any]:
        """The fields of a dataclass that differ from their defaults."""
        plain = {}
        names, defaults, values_of = _FIELDS[type(thing)]
        values = values_of(thing)
        each = zip(names, values, defaults, strict=True)
        for name, value, default in compress(each, map(is_not, values, defaults)):  # most fields are their defaults
            kind = type(value)
            if kind in _ATOMS:
                if kind is not type(default) or value != default:
                    plain[name] = plain_value(value, self._mask if name in _TEXTS else str)
            elif kind is dict and not value and type(default) is dict:
                continue
            elif not _same(value, default):
                plain[name] = self._field(name, value)
        return plain

    def _field(self, name: str, value: Any) -> Any:
        if name in _BY_SCOPE:
            return {key: self._field("", item) for key, item in value.items()}
        match value:
            case Call() | Shell() | Argv():
                return self._action(value)
            case RetryPolicy() | CachePolicy() | Brake() | Source():
                return self.changed(value)
            case Condition():
                return {
                    "text": self._mask(value.text),
                    "tree": self._tree(value.tree),
                    "units": list(value.units),
                }
            case Fallback():
                return {"value": plain_value(value.value, self._mask)}
            case frozenset():
                return sorted(value)
        return plain_value(value, self._mask if name in _TEXTS else str)

    def _action(self, action: Action) -> dict[str, Any]:
        match action:
            case Shell():
                return {"shell": list(map(self._mask, action.texts)), "with": list(action.shell)}
            case Argv():
                return {"argv": list(map(self._mask, action.argv))}
        key = (id(action.function), action.reference, action.wants_context)
        plain = self._calls.get(key)
        if plain is None:
            plain = self._calls[key] = self._call(action)
        return plain

    def _call(self, call: Call) -> dict[str, Any]:
        function = call.function
        if isinstance(function, _Absent | _AbsentCoroutine):
            source = function.source
        else:
            source = self._digest(call) if self._digest is not None else ""
        plain = {"call": shown(self._mask(str(call))), "async": call.is_async, "source": source}
        return plain if call.wants_context else {**plain, "context": False}

    def _tree(self, node: Any) -> list[Any]:
        """A node of a condition: its class, and what it is made of."""
        name = type(node).__name__.lstrip("_")
        if name == "Value":
            return [name, plain_value(node.value, self._mask)]
        if name in ("All", "Any"):
            return [name, [self._tree(part) for part in node.parts]]
        return [name, *(self._tree(part) if isinstance(part, tuple) else part for part in node)]


_ATOMS: Final = frozenset([str, int, float, bool])
_BY_SCOPE: Final = frozenset(["brakes", "group_pools"])
"""The fields that have more of their kind by name."""

_TEXTS: Final = frozenset(
    ["args", "confirm", "cwd", "description", "env", "file", "inputs", "matrix", "metadata", "outputs", "progress"]
)
"""The fields with texts in which a secret may be; all others are names, numbers, or words of qtui's own."""


def _default(each: Field[Any]) -> Any:
    """The default of a field; MISSING if it has none."""
    return each.default_factory() if each.default_factory is not MISSING else each.default


def _fields(cls: type) -> tuple[tuple[str, ...], tuple[Any, ...], Callable[[Any], tuple[Any, ...]]]:
    """Of a dataclass: the names of its fields, their defaults, and what gives the values of a thing, in this order."""
    names = tuple(each.name for each in fields(cls))
    return names, tuple(map(_default, fields(cls))), attrgetter(*names)


_FIELDS: Final = {cls: _fields(cls) for cls in (QuantumUnit, RetryPolicy, CachePolicy, Source, RunOptions, Brake)}


def _same(value: Any, default: Any) -> bool:
    """Whether a value is the default; the equality of strangers (arrays) may be no boolean, and they are no default."""
    if type(default) is dict:
        return not value and isinstance(value, Mapping)
    return type(value) is type(default) and bool(value == default)


def _plain_value(value: Any, mask: Mask, above: frozenset[int]) -> Any:
    """`above` are the containers around the value: one may hold itself."""
    if type(value) is str:  # most are
        return mask(value)
    match value:
        case None | bool():
            return value
        case str():
            return mask(str.__str__(value))
        case int():
            return int(value) if value.bit_length() <= MOST_BITS else {"repr": f"<int of {value.bit_length()} bits>"}
        case float():
            return float(value)
        case FromUnit():
            return {"result": value.need}
    if id(value) not in above and len(above) < MOST_DEEP:
        inside = above | {id(value)}
        match value:
            case list() | tuple():
                return [_plain_value(item, mask, inside) for item in value]
            case Mapping() if all(isinstance(key, str) for key in value):
                return {mask(str.__str__(key)): _plain_value(item, mask, inside) for key, item in value.items()}
    return {"repr": shown(mask(_repr.repr(value)))}  # masked first: a cut may go through a secret


_repr: Final = Repr()
_repr.maxstring = _repr.maxother = _repr.maxlong = _MOST_READ


def shown(text: str) -> str:
    """A text that is the same in every process, and not too long."""
    return _ADDRESS.sub("", text)[:MOST_SHOWN]


# -- reading ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Absent:
    """Stands for a function that stayed with the process that had it; `source` is the digest of its code."""

    reference: str
    source: str

    def __call__(self, *_args: Any, **_values: Any) -> NoReturn:
        _refuse(self.reference)


@dataclass(frozen=True, slots=True)
class _AbsentCoroutine:
    """The same for a coroutine function."""

    reference: str
    source: str

    async def __call__(self, *_args: Any, **_values: Any) -> NoReturn:
        _refuse(self.reference)


def _refuse(reference: str) -> NoReturn:
    raise UsageError(f"{reference}: the record of a run has no functions; load the workflow to run them")


def _read_action(plain: Mapping[str, Any]) -> Action:
    if "shell" in plain:
        return Shell(tuple(plain["shell"]), tuple(plain["with"]))
    if "argv" in plain:
        return Argv(tuple(plain["argv"]))
    absent = _AbsentCoroutine if plain["async"] else _Absent
    return Call(absent(plain["call"], plain["source"]), plain["call"], plain.get("context", True))


def _read_condition(plain: Mapping[str, Any]) -> Condition:
    return Condition(plain["text"], _read_tree(plain["tree"]), tuple(plain["units"]))


def _read_tree(plain: Sequence[Any]) -> Any:
    name, *parts = plain
    node = _NODES[name]
    if name == "Value":
        return node(*parts)
    if name in ("All", "Any"):
        return node(tuple(map(_read_tree, parts[0])))
    return node(*(_read_tree(part) if isinstance(part, list) else part for part in parts))


def _read_retry(plain: Mapping[str, Any]) -> RetryPolicy:
    return RetryPolicy(**{**plain, "on": tuple(plain.get("on", ()))})


def _read_cache(plain: Mapping[str, Any]) -> CachePolicy:
    values: dict[str, Any] = dict(plain)
    for name in values.keys() & {"inputs", "env", "keys"}:
        values[name] = tuple(values[name])
    return CachePolicy(**values)


def _read_brakes(plain: Mapping[str, Any]) -> dict[str, Brake]:
    return {scope: Brake(**brake) for scope, brake in plain.items()}


_NODES: Final[Mapping[str, Callable[..., Any]]] = {node.__name__.lstrip("_"): node for node in NODES}
_UNIT_READERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "action": _read_action,
    "dependencies": tuple,
    "mode": ExecutionMode,
    "retry": _read_retry,
    "tags": frozenset,
    "fallback": lambda plain: Fallback(plain["value"]),
    "success_exit_codes": tuple,
    "condition": _read_condition,
    "outputs": tuple,
    "cache": _read_cache,
    "source": lambda plain: Source(**plain),
}
_OPTION_READERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "approved": tuple,
    "mode": ExecutionMode,
    "brakes": _read_brakes,
}
