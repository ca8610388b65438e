"""Turns drafts into units: fills in expressions, expands matrices, parses every key, and checks the graph."""

from __future__ import annotations

import os
from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from qtui.core.errors import CircularDependencyError, InvalidWorkflow, Problem
from qtui.core.model import (
    EMPTY,
    Action,
    Argv,
    Call,
    ExecutionMode,
    QuantumUnit,
    RunOptions,
    Shell,
    WorkflowDefinition,
)
from qtui.core.plan import ExecutionPlan
from qtui.definition.drafts import Draft, Surroundings, item_parameter, name_fault
from qtui.definition.expressions import Scope, fill, has_expression
from qtui.definition.keys import ACTIONS, DEFAULT_KEYS, ONLY_COMMANDS, Key, Templates, read_table
from qtui.definition.matrix import Item, item_label
from qtui.definition.options import Overrides, build_options
from qtui.definition.report import Locate, Report, shown_file
from qtui.definition.values import Fault, Rejected, quoted, variables

_NOT_UNIT_FIELDS = frozenset({"run", "argv", "call", "shell", "matrix"})


class _Instance(NamedTuple):
    """One unit that a draft stands for; `args` come on top of the draft's own."""

    id: str
    family: str = ""
    matrix: Item = EMPTY
    args: Mapping[str, Any] = EMPTY
    positional: tuple[Any, ...] = ()


class Assembler:
    """Makes the units of one workflow's drafts; faults go to the report.

    A draft with a fault still gives its units, so that its dependents are not told that they are missing. With
    `preview`, expressions are left as they are written, and numbers and the like that have one are left out.
    """

    def __init__(self, surroundings: Surroundings, report: Report, *, preview: bool = False) -> None:
        self._around, self._report, self._preview = surroundings, report, preview
        self._calls: dict[tuple[int, tuple[str, ...]], Call] = {}
        self.graph_known = True
        """False if ids are missing, because a matrix could not be expanded."""

    def units(self, drafts: Iterable[Draft]) -> Iterator[QuantumUnit]:
        """The units, in the order of the drafts and of their items."""
        for draft in drafts:
            yield from self._expand(draft)

    def _expand(self, draft: Draft) -> Iterator[QuantumUnit]:
        fault = name_fault(draft.name)
        if fault is not None:
            self._report.add(draft.locate, draft.path, fault)
        try:
            instances = list(self._instances(draft))
        except Rejected as rejected:
            self._report.add(draft.locate, (*draft.path, "matrix"), *rejected.faults)
            self.graph_known = False
            instances = []
            ready = {
                name: value for name, value in draft.keys.items() if name != "matrix" and not has_expression(value)
            }
            self._report.add(draft.locate, draft.path, *read_table(ready, draft.table)[1])
        for number, instance in enumerate(instances, 1):
            unit, sound = self._unit(draft, instance)
            yield unit
            if not sound:
                # the other items have the same faults; their ids are all that is still needed
                yield from (replace(unit, id=other.id, matrix=other.matrix) for other in instances[number:])
                return

    def _instances(self, draft: Draft) -> Iterator[_Instance]:
        if draft.mapped is not None:
            yield from _mapped(draft)
            return
        if "matrix" not in draft.keys and "matrix" not in draft.defaults:
            yield _Instance(draft.name)
            return
        key = draft.table["matrix"]
        scope = {"params": self._around.params, "env": ChainMap(dict(self._around.env), os.environ)}
        given = draft.keys.get("matrix", draft.defaults.get("matrix"))
        for item in key.parse(fill(given, scope, keep_type=True)).expand():
            yield _Instance(f"{draft.name}{item_label(item)}", draft.name, item)

    def _unit(self, draft: Draft, instance: _Instance) -> tuple[QuantumUnit, bool]:
        scope: dict[str, Mapping[str, Any]] = {"params": self._around.params, "env": {}}
        if instance.matrix:
            scope["matrix"] = instance.matrix
        faults: list[Fault] = []
        env = self._env(draft, scope, faults)
        scope["env"] = ChainMap(env, os.environ)
        fields, own_faults = self._fields(draft, scope)
        faults += own_faults
        call_args = {**fields.get("args", {}), **instance.args}
        # whether a call binds cannot be told from args that were rejected
        args_known = "args" in fields or ("args" not in draft.keys and "args" not in draft.defaults)
        action: Action | None = None
        try:
            action = self._action(draft, fields, call_args if args_known else None, instance.positional)
        except Rejected as rejected:
            faults += rejected.faults
        self._report.add(draft.locate, draft.path, *faults)
        kept = {name: value for name, value in fields.items() if name not in _NOT_UNIT_FIELDS}
        kept["args"] = call_args
        kept["env"] = env
        kept["cwd"] = os.path.normpath(os.path.join(self._around.directory, fields.get("cwd", ".")))  # noqa: PTH118
        unit = QuantumUnit(
            id=instance.id,
            action=action,
            family=instance.family,
            matrix=dict(instance.matrix),
            source=draft.source,
            **kept,
        )
        return unit, not faults

    def _env(self, draft: Draft, scope: Mapping[str, Mapping[str, Any]], faults: list[Fault]) -> dict[str, str]:
        env = dict(self._around.env)
        for given, own in ((draft.defaults.get("env"), False), (draft.keys.get("env"), True)):
            if given is None:
                continue
            try:
                env |= variables(self._fill(given, {**scope, "env": ChainMap(env, os.environ)}))
            except Rejected as rejected:
                if own:
                    faults += [fault.under("env") for fault in rejected.faults]
                else:
                    self._report.add(draft.locate, ("defaults", "env"), *rejected.faults)
        return env

    def _fields(self, draft: Draft, scope: Scope) -> tuple[dict[str, Any], list[Fault]]:
        """The parsed keys by field, defaults under the unit's own, and the faults of the unit's own."""
        filler = partial(self._fill_key, scope)
        skipped = ("env", "matrix")
        defaults = {name: value for name, value in draft.defaults.items() if name not in (*draft.keys, *skipped)}
        fields, faults = read_table(defaults, DEFAULT_KEYS, filler)
        self._report.add(draft.locate, ("defaults",), *faults)
        own = {name: value for name, value in draft.keys.items() if name not in skipped or name not in draft.table}
        parsed, faults = read_table(own, draft.table, filler)
        return fields | parsed, faults

    def _fill(self, value: Any, scope: Scope, *, keep_type: bool = False) -> Any:
        return value if self._preview else fill(value, scope, keep_type=keep_type)

    def _fill_key(self, scope: Scope, key: Key, value: Any) -> Any:
        if key.templates is Templates.NONE:
            return value
        if self._preview and key.name not in ("args", "fallback") and key.templates is Templates.VALUE:
            if has_expression(value):
                raise Rejected
            return value
        return self._fill(value, scope, keep_type=key.templates is Templates.VALUE)

    def _action(
        self, draft: Draft, fields: Mapping[str, Any], args: Mapping[str, Any] | None, positional: tuple[Any, ...]
    ) -> Action | None:
        given = [name for name in ACTIONS if name in draft.keys]
        if len(given) > 1:
            raise Rejected(Fault(f"{' and '.join(given)} exclude each other", "keep one of them", (given[1],)))
        if draft.function is not None:
            return self._call(draft.function, "", args, positional, ())
        if "args" in draft.keys and "call" not in given:
            raise Rejected(Fault("only a call takes args", None, ("args",)))
        if "shell" in draft.keys and "run" not in given:
            raise Rejected(Fault("only run uses a shell", None, ("shell",)))
        commands_own = [name for name in ONLY_COMMANDS if name in draft.keys]
        if commands_own and not {"run", "argv"} & set(given):
            other = "a call" if given else "a milestone"
            raise Rejected(*(Fault(f"only commands have it, not {other}", None, (name,)) for name in commands_own))
        if "run" in fields:
            return Shell(fields["run"], fields["shell"]) if "shell" in fields else Shell(fields["run"])
        if "argv" in fields:
            return Argv(fields["argv"])
        if "call" in fields:
            assert self._around.find is not None
            try:
                function = self._around.find(fields["call"])
            except Rejected as rejected:
                raise Rejected(*(fault.under("call") for fault in rejected.faults)) from None
            return self._call(function, fields["call"], args, (), ("args",) if "args" in draft.keys else ("call",))
        return None

    def _call(
        self,
        function: Callable[..., Any],
        reference: str,
        args: Mapping[str, Any] | None,
        positional: tuple[Any, ...],
        path: tuple[str, ...],
    ) -> Call | None:
        if args is None:
            return None
        if positional:
            return Call(partial(function, *positional), reference or _function_name(function), wants_context=False)
        # which arguments there are decides whether a call binds, not their values: one look for all items
        memo = (id(function), tuple(args))
        try:
            if memo not in self._calls:
                self._calls[memo] = Call.of(function, args, reference)
            return self._calls[memo]
        except TypeError as error:
            shown = reference or _function_name(function)
            raise Rejected(Fault(f"{shown} cannot be called like this: {error}", None, path)) from None


def _mapped(draft: Draft) -> Iterator[_Instance]:
    assert draft.function is not None and draft.mapped is not None
    parameter = item_parameter(draft.function, draft.keys.get("args", EMPTY))
    for number, item in enumerate(draft.mapped):
        label, matrix = f"{draft.name}[{number}]", {"item": item}
        if parameter is None:
            yield _Instance(label, draft.name, matrix, positional=(item,))
        else:
            yield _Instance(label, draft.name, matrix, {parameter: item})


def _function_name(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__qualname__", None) or repr(function))


def check_graph(
    units: Sequence[QuantumUnit],
    mode: ExecutionMode,
    params: Mapping[str, Any],
    report: Report,
    *,
    source: str | None,
    known: bool = True,
) -> None:
    """Report unknown needs, duplicate ids and cycles; raise CircularDependencyError if a cycle is the only fault.

    `source` is where a fault of the whole workflow is. With `known` False some units are missing, so only the names
    that needs share with params are checked.
    """
    for unit in units:
        for need in unit.dependencies:
            if need in params:
                message = f"needs {quoted(need)}, which is also the name of a param"
                hint = "rename one of them: both would be context[...]"
                report.extend([Problem(message=message, where=str(unit.source), key=f"units.{unit.name}", hint=hint)])
    if not known:
        return
    try:
        ExecutionPlan.build(units, default_mode=mode)
    except CircularDependencyError as error:
        if not report:
            raise
        report.extend(error.problems)
    except InvalidWorkflow as error:
        file = shown_file(source) if source else None
        report.extend(replace(each, where=each.where or file) for each in _by_family(units, error.problems))


def _by_family(units: Sequence[QuantumUnit], problems: Iterable[Problem]) -> Iterator[Problem]:
    """The problems with the names of families for those of their items, which makes equal ones one."""
    names = {f"units.{unit.id}": f"units.{unit.name}" for unit in units}
    for problem in problems:
        yield replace(problem, key=names.get(problem.key or "", problem.key))


def finish(
    *,
    name: str,
    units: Sequence[QuantumUnit],
    settings: Mapping[str, Any],
    overrides: Overrides | None,
    params: Mapping[str, Any],
    directory: str,
    source: str | None,
    locate: Locate,
    report: Report,
    graph_known: bool = True,
) -> WorkflowDefinition:
    """The definition of `units`, or InvalidWorkflow with everything that was reported or is found now."""
    options = RunOptions()
    try:
        options = build_options(settings, overrides)
    except Rejected as rejected:
        report.add(locate, ("workflow",), *rejected.faults)
    check_graph(units, options.mode, params, report, source=source, known=graph_known)
    report.raise_if_any()
    return WorkflowDefinition(
        name=name,
        description=settings.get("description", ""),
        units=tuple(units),
        options=options,
        params=dict(params),
        directory=directory,
        source=source,
    )
