"""Units as library users make them: from a function and keys, or by hand."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from qtui.core.errors import InvalidWorkflow, Problem
from qtui.core.model import EMPTY, CachePolicy, Call, ExecutionMode, Fallback, QuantumUnit, Source
from qtui.definition.assemble import Assembler
from qtui.definition.drafts import Draft, Surroundings, free_name_fault, function_fault
from qtui.definition.keys import Table
from qtui.definition.report import Locate, Report, shown_file
from qtui.definition.unit_keys import FUNCTION_KEYS

# ``matrix`` and ``group`` need a workflow around them, and in the library there is nobody to answer ``confirm``
_KEYS: Final[Table] = {name: key for name, key in FUNCTION_KEYS.items() if name not in ("matrix", "group", "confirm")}
_RESOURCE_TYPES: Final = ("cpu", "io", "async")
_OWN_MODULES: Final = frozenset(
    {"qtui.taskunits", "qtui.partitioner", "qtui.quantumplan", "qtui.managed", "qtui.taskworkflows"}
)


def make_unit(
    function: Callable[..., Any],
    name: str,
    keys: Mapping[str, Any],
    metadata: Mapping[str, Any],
    source: Source,
    pools: Mapping[str, int] = EMPTY,
    cpus: float | None = None,
    memory: int | None = None,
) -> QuantumUnit:
    """The unit that calls `function`, with the keys of a unit in a workflow file.

    It may use `pools`, and of `cpus` and `memory` (bytes) so much, None meaning no limit. Raises InvalidWorkflow,
    naming `source`.
    """
    fault = free_name_fault(name)
    if fault is not None:
        raise problem(str(name), fault.message, source)
    if not isinstance(metadata, Mapping):
        raise problem(name, f"metadata is a mapping from names to anything, not {type(metadata).__name__}", source)
    if not callable(function):
        raise problem(name, f"a unit needs a function, not a value of type {type(function).__name__}", source)
    report = Report()
    draft = Draft(
        name=name,
        keys=_given(keys),
        source=source,
        locate=at(source),
        table=_KEYS,
        function=function,
        freely_named=True,
    )
    directory = os.getcwd()  # noqa: PTH109
    surroundings = Surroundings(params={}, env={}, directory=directory, pools=pools, cpus=cpus, memory=memory)
    made = Assembler(surroundings, report).assemble([draft])
    report.raise_if_any()
    # as other functions of the program they run where it runs, unless they are told otherwise
    cwd = made.units[0].cwd if keys.get("cwd") is not None else None
    return replace(made.units[0], cwd=cwd, metadata=dict(metadata))


def _given(keys: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that say something: None is a value only for a fallback."""
    given = {key: value for key, value in keys.items() if value is not None or key == "fallback"}
    for key, tidy in (("dependencies", ids), ("tags", list)):
        if key in given and isinstance(given[key], Iterable) and not isinstance(given[key], str):
            given[key] = tidy(given[key])
    # the defaults of the parameters: whoever is silent about them leaves them to the key tables
    for key, default in (("dependencies", []), ("tags", []), ("retries", 0), ("priority", 0)):
        if key in given and type(given[key]) is type(default) and given[key] == default:
            del given[key]
    return given


def tidied(unit: QuantumUnit) -> QuantumUnit:
    """A unit that was made by hand, with its action and collections as the engine wants them."""
    action: Any = unit.action
    if callable(action) and not isinstance(action, Call):
        action = Call.of(action, unit.args)
    fault = function_fault(action.function) if isinstance(action, Call) else None
    if fault is not None:
        raise InvalidWorkflow([Problem(message=fault.message, key=f"units.{unit.id}", hint=fault.hint)])
    return replace(unit, action=action, dependencies=tuple(ids(unit.dependencies)), tags=frozenset(unit.tags))


def with_metadata(unit: QuantumUnit) -> QuantumUnit:
    """What the metadata of a unit says, unless its keys say it. Raises InvalidWorkflow for what means nothing."""
    metadata, found = unit.metadata, {}
    for entry, message in _metadata_faults(metadata):
        where = str(unit.source) if unit.source is not None else None
        raise InvalidWorkflow([Problem(message=message, where=where, key=f"units.{unit.id}.metadata.{entry}")])
    kind = metadata.get("resource_type")
    if unit.kind is None and kind in ("cpu", "io"):
        found["kind"] = kind
    if unit.fallback is None and metadata.get("fallback_value") is not None:
        found["fallback"] = Fallback(metadata["fallback_value"])
    if unit.cache is None and metadata.get("cacheable"):
        keys = metadata.get("cache_keys")
        found["cache"] = CachePolicy(keys=tuple(keys) if keys else None)
    return replace(unit, **found) if found else unit


def _metadata_faults(metadata: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The entries that have a meaning, but not with these values."""
    kind, cacheable, keys = (metadata.get(name) for name in ("resource_type", "cacheable", "cache_keys"))
    if kind not in (None, *_RESOURCE_TYPES):
        yield "resource_type", f"expected one of {', '.join(_RESOURCE_TYPES)}, not {kind!r}"
    if cacheable is not None and not isinstance(cacheable, bool):
        yield "cacheable", f"expected True or False, not {cacheable!r}"
    named = isinstance(keys, Iterable) and not isinstance(keys, str) and all(isinstance(key, str) for key in keys)
    if keys is not None and not named:
        yield "cache_keys", f"expected a list of names, not {keys!r}"


def balanced(unit: QuantumUnit) -> QuantumUnit:
    """The unit in a process if it is of kind cpu, and its mode leaves that open."""
    if unit.mode is ExecutionMode.AUTO and unit.kind == "cpu":
        return replace(unit, mode=ExecutionMode.PROCESS)
    return unit


def ids(dependencies: Iterable[str | QuantumUnit]) -> list[str]:
    """The ids of units, for those that are named by the unit itself."""
    listed = [dependencies] if isinstance(dependencies, str | QuantumUnit) else dependencies
    return [each.id if isinstance(each, QuantumUnit) else each for each in listed]


def problem(name: str, message: str, source: Source, hint: str | None = None) -> InvalidWorkflow:
    """What is wrong with a unit, and where it was made."""
    return InvalidWorkflow([Problem(message=message, where=str(source), key=f"units.{name}", hint=hint)])


def at(source: Source) -> Locate:
    """Every key of what was made there is there."""
    return lambda _path, _needle: str(source)


def caller() -> Source:
    """The file and line outside of the library that called it."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__") in _OWN_MODULES:
        frame = frame.f_back
    return Source(file=shown_file(frame.f_code.co_filename), line=frame.f_lineno)
