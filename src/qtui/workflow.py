"""Workflow: the builder for workflows written in Python."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, overload

from qtui.core.errors import InvalidWorkflow
from qtui.core.model import QuantumUnit, Source, WorkflowDefinition
from qtui.core.plan import ExecutionPlan
from qtui.definition import params as declared_params
from qtui.definition.assemble import Assembler, finish
from qtui.definition.drafts import Draft, Surroundings, item_parameter, name_fault
from qtui.definition.expressions import REPORTED, fill, has_expression
from qtui.definition.keys import COMMAND_KEYS, FUNCTION_KEYS, WORKFLOW_KEYS, Table, read_table
from qtui.definition.options import Overrides, default_workers
from qtui.definition.report import Locate, Report, shown_file
from qtui.definition.values import Fault, Rejected, variables

__all__ = ["Overrides", "Workflow", "default_workers"]

P = ParamSpec("P")
R = TypeVar("R")


class Workflow:
    """A workflow made in Python: units are added, then `definition` makes the value that a run begins with.

    The arguments are the keys of ``[workflow]`` in a workflow file. `params` maps names to a type (the param must
    be given), a default, or a table with ``type``, ``default``, ``choices``, ``pattern`` and ``help``. `env` holds
    for every unit. Strings may have ``${{ params.x }}``, ``${{ matrix.x }}`` and ``${{ env.X }}``.
    Relative paths start at the directory of the file that makes the Workflow.

    Every method raises InvalidWorkflow, naming the caller's file and line, for what cannot be right.
    """

    def __init__(
        self,
        name: str,
        *,
        mode: str = "auto",
        strategy: str = "adaptive",
        workers: int | str = "auto",
        max_workers: int | None = None,
        keep_going: bool = True,
        params: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
        description: str = "",
        grace: float | str = 5.0,
        max_async: int = 256,
        timeout: float | str | None = None,
        nice: int = 0,
    ) -> None:
        self._source = _caller()
        report, locate = Report(), _at(self._source)
        given = {
            "name": name,
            "mode": mode,
            "strategy": strategy,
            "workers": workers,
            "max_workers": max_workers,
            "keep_going": keep_going,
            "description": description,
            "grace": grace,
            "max_async": max_async,
            "timeout": timeout,
            "nice": nice,
        }
        self._settings, faults = read_table(_given(given), WORKFLOW_KEYS)
        report.add(locate, ("workflow",), *faults)
        self._params = _declared(params or {}, locate, report)
        self._env: dict[str, str] = {}
        try:
            self._env = variables(env or {})
        except Rejected as rejected:
            report.add(locate, ("env",), *rejected.faults)
        report.raise_if_any()
        self._drafts: list[Draft] = []
        self._included: list[tuple[str, Workflow]] = []

    @property
    def name(self) -> str:
        """The workflow's name."""
        return str(self._settings["name"])

    @property
    def params(self) -> Mapping[str, declared_params.ParamSpec]:
        """The declared params by name, those of included workflows among them."""
        return dict(self._params)

    # -- adding units ------------------------------------------------------------------------------------

    @overload
    def unit(self, function: Callable[P, R], /) -> Callable[P, R]: ...

    @overload
    def unit(
        self, function: None = None, /, *, name: str | None = None, dependencies: Iterable[str] = (), **keys: Any
    ) -> Callable[[Callable[P, R]], Callable[P, R]]: ...

    def unit(
        self,
        function: Any = None,
        /,
        *,
        name: str | None = None,
        dependencies: Iterable[str] = (),
        **keys: Any,
    ) -> Any:
        """Decorate a function to make it a unit; it stays the plain function. Takes what `add_unit` takes."""
        source = _caller()

        def add(function: Callable[P, R]) -> Callable[P, R]:
            self._add_function(function, name, dependencies, keys, source)
            return function

        return add if function is None else add(function)

    def add_unit(
        self,
        function: Callable[..., Any],
        dependencies: Iterable[str] = (),
        name: str | None = None,
        **keys: Any,
    ) -> QuantumUnit:
        """Add a unit that calls `function`; its name is the function's unless given.

        `keys` are the unit keys of a workflow file, None meaning that a key is not set. Returns the unit as far as
        it is known now: items of a matrix, and values with expressions, are filled in by `definition`.
        """
        return self._add_function(function, name, dependencies, keys, _caller())

    def command(
        self,
        name: str,
        run: str | Iterable[str] | None = None,
        argv: Iterable[str] | None = None,
        dependencies: Iterable[str] = (),
        **keys: Any,
    ) -> QuantumUnit:
        """Add a unit that runs shell text (`run`) or a program without a shell (`argv`); one of them."""
        source = _caller()
        if (run is None) == (argv is None):
            _reject(source, ("units", str(name)), Fault("a command has either run or argv"))
        keys = {"run": run, "argv": argv, **keys}
        return self._add(_draft(name, dependencies, keys, COMMAND_KEYS, source))

    def map(
        self,
        function: Callable[..., Any],
        items: Iterable[Any],
        name: str,
        dependencies: Iterable[str] = (),
        **keys: Any,
    ) -> None:
        """Add one unit for each item, called ``name[0]``, ``name[1]`` and so on; `name` alone means all of them.

        The function is called with the item, or with context and item if it has two parameters to fill.
        """
        source = _caller()
        draft = _draft(name, dependencies, keys, FUNCTION_KEYS, source)
        mapped = tuple(items)
        if not mapped:
            _reject(source, draft.path, Fault("there is no item to map over"))
        if "matrix" in keys:
            _reject(source, (*draft.path, "matrix"), Fault("items and a matrix exclude each other"))
        try:
            item_parameter(function, keys.get("args") or {})
        except Rejected as rejected:
            _reject(source, draft.path, *rejected.faults)
        self._add(replace(draft, function=function, mapped=mapped))

    def include(self, other: Workflow, prefix: str) -> None:
        """Add the units of another workflow as ``prefix.NAME``.

        Their needs, env and directory stay their own; what is declared by both must be the same param.
        """
        source = _caller()
        path = ("include", str(prefix))
        fault = name_fault(prefix)
        if fault is not None:
            _reject(source, path, fault)
        if other is self or other._includes(self):
            _reject(source, path, Fault("a workflow cannot include itself"))
        if any(prefix == taken for taken, _ in self._included):
            _reject(source, path, Fault("this prefix is already taken"))
        for name, spec in other._params.items():
            if self._params.get(name, spec) != spec:
                _reject(source, path, Fault(f'both workflows declare the param "{name}", and differently'))
        self._params |= other._params
        self._included.append((prefix, other))

    def _includes(self, other: Workflow) -> bool:
        return any(inner is other or inner._includes(other) for _, inner in self._included)

    def _add_function(
        self,
        function: Callable[..., Any],
        name: str | None,
        dependencies: Iterable[str],
        keys: Mapping[str, Any],
        source: Source,
    ) -> QuantumUnit:
        if not callable(function):
            _reject(source, (), Fault(f"a unit needs a function, not a value of type {type(function).__name__}"))
        name = getattr(function, "__name__", "") if name is None else name
        return self._add(replace(_draft(name, dependencies, keys, FUNCTION_KEYS, source), function=function))

    def _add(self, draft: Draft) -> QuantumUnit:
        """Check what can be checked now, so that errors point at the line that adds the unit."""
        report = Report()
        keys = dict(draft.keys)
        if "matrix" in draft.table and not has_expression(matrix := keys.pop("matrix", None)) and matrix is not None:
            _, faults = read_table({"matrix": matrix}, draft.table)
            report.add(draft.locate, draft.path, *faults)
        preview = replace(draft, keys=keys, mapped=draft.mapped and draft.mapped[:1])
        unit = next(Assembler(self._surroundings({}, self._env), report, preview=True).units([preview]))
        report.raise_if_any()
        self._drafts.append(draft)
        return unit

    # -- the result --------------------------------------------------------------------------------------

    def definition(
        self, params: Mapping[str, Any] | None = None, overrides: Overrides | None = None
    ) -> WorkflowDefinition:
        """The finished workflow with these values for its params; raises InvalidWorkflow with every fault."""
        report, locate = Report(), _at(self._source)
        resolved, faults = declared_params.resolve(self._params, params or {})
        report.add(locate, ("params",), *faults)
        units, known = self._units({name: resolved.get(name, REPORTED) for name in self._params}, report)
        return finish(
            name=self.name,
            units=units,
            settings=self._settings,
            overrides=overrides,
            params=resolved,
            directory=self._directory,
            source=str(file.resolve()) if (file := Path(self._source.file)).is_file() else None,
            locate=locate,
            report=report,
            graph_known=known,
        )

    @property
    def _directory(self) -> str:
        file = Path(self._source.file)
        return str(file.resolve().parent) if file.is_file() else os.getcwd()  # noqa: PTH109

    def _surroundings(self, params: Mapping[str, Any], env: Mapping[str, str]) -> Surroundings:
        return Surroundings(params=params, env=env, directory=self._directory)

    def _units(self, params: Mapping[str, Any], report: Report) -> tuple[list[QuantumUnit], bool]:
        """The units, those of included workflows behind, and whether all of them are known."""
        env: dict[str, str] = {}
        try:
            env = fill(self._env, {"params": params, "env": os.environ}, keep_type=False)
        except Rejected as rejected:
            report.add(_at(self._source), ("env",), *rejected.faults)
        assembler = Assembler(self._surroundings(params, env), report)
        units = list(assembler.units(self._drafts))
        known = assembler.graph_known
        for prefix, other in self._included:
            theirs, their_graph_known = other._units({name: params[name] for name in other._params}, report)
            known = known and their_graph_known
            try:
                units += _nested(theirs, prefix, env)
            except InvalidWorkflow as error:
                report.extend(error.problems)
                known = False
        return units, known


def _nested(units: list[QuantumUnit], prefix: str, env: Mapping[str, str]) -> list[QuantumUnit]:
    """The units under their prefix; ``*`` goes on meaning the units it meant before."""
    needs = {unit.id: unit.dependencies for unit in units}
    if any("*" in names for names in needs.values()):
        plan = ExecutionPlan.build(units)
        for number, declared in enumerate(plan.declared):
            meant = (
                [plan.table[other].id for other in need.units] if need.name == "*" else [need.name] for need in declared
            )
            needs[plan.table[number].id] = tuple(dict.fromkeys(chain.from_iterable(meant)))
    return [
        replace(
            unit,
            id=f"{prefix}.{unit.id}",
            family=unit.family and f"{prefix}.{unit.family}",
            dependencies=tuple(f"{prefix}.{name}" for name in needs[unit.id]),
            env={**env, **unit.env},
        )
        for unit in units
    ]


def _declared(params: Mapping[str, Any], locate: Locate, report: Report) -> dict[str, declared_params.ParamSpec]:
    specs = {}
    for name, declared in params.items():
        try:
            specs[name] = declared_params.declare(name, declared)
        except Rejected as rejected:
            report.add(locate, ("params", str(name)), *rejected.faults)
    return specs


def _draft(name: str, dependencies: Iterable[str], keys: Mapping[str, Any], table: Table, source: Source) -> Draft:
    listed = dependencies if isinstance(dependencies, str) else list(dependencies)
    given = _given({**keys, **({"dependencies": listed} if listed else {})})
    return Draft(name=name, keys=given, source=source, locate=_at(source), table=table)


def _given(keys: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that are set: None is a value only for a fallback."""
    return {name: value for name, value in keys.items() if value is not None or name == "fallback"}


def _at(source: Source) -> Locate:
    return lambda _path, _needle: str(source)


def _reject(source: Source, path: tuple[str, ...], *faults: Fault) -> None:
    report = Report()
    report.add(_at(source), path, *faults)
    report.raise_if_any()


def _caller() -> Source:
    """The file and line outside of this module that called it."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    return Source(file=shown_file(frame.f_code.co_filename), line=frame.f_lineno)
