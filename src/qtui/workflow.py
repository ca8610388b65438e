"""Workflow: the builder for workflows written in Python."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, ParamSpec, TypedDict, TypeVar, Unpack, overload

from qtui.core.definition import Notify, WorkflowDefinition
from qtui.core.errors import InvalidWorkflow
from qtui.core.model import EMPTY, QuantumUnit, Source
from qtui.core.options import Brake, RunOptions
from qtui.definition import params as declared_params
from qtui.definition.assemble import Assembler, Assembly, Calls
from qtui.definition.dotenv import read_env_files
from qtui.definition.drafts import Draft, Surroundings, item_parameter, name_fault
from qtui.definition.expressions import REPORTED, fill, has_expression
from qtui.definition.graph import Shared, check_secrets, finish, options_of
from qtui.definition.groups import read_groups
from qtui.definition.keys import Table, read_table
from qtui.definition.matrix import Item
from qtui.definition.nesting import nested
from qtui.definition.options import Overrides, default_workers
from qtui.definition.report import Locate, Report, caller, given_keys, reject, set_keys
from qtui.definition.rows import read_rows
from qtui.definition.secrecy import Carriers, note_secrets
from qtui.definition.unit_keys import COMMAND_KEYS, FUNCTION_KEYS
from qtui.definition.values import Fault, Rejected, label, variables
from qtui.definition.workflow_keys import WORKFLOW_KEYS, pool, secret_names, tag
from qtui.definition.workflow_keys import notify as parse_notify

__all__ = ["Overrides", "Workflow", "default_workers"]

P = ParamSpec("P")
R = TypeVar("R")
V = TypeVar("V")


class Settings(TypedDict, total=False):
    """The keys of ``[workflow]`` that a `Workflow` takes; None is as good as leaving one out."""

    description: str
    mode: str
    executor: str | None
    address: str | None
    strategy: str
    workers: int | str
    min_workers: int | None
    max_workers: int | None
    max_async: int
    cpus: float | None
    memory_limit: int | str | None
    nice: int
    keep_going: bool
    max_failures: int | Mapping[str, Any] | Brake | None
    timeout: float | str | None
    grace: float | str
    handler_timeout: float | str | None
    on_hangup: str | None
    concurrency: str | None
    durability: str | None
    persist_max: int | str | None
    env_file: str | Iterable[str] | None


_SETTINGS: Final = {name: key for name, key in WORKFLOW_KEYS.items() if name != "include"}


class Workflow:
    """A workflow made in Python: units are added, then `definition` makes the value that a run begins with.

    The arguments are the keys of ``[workflow]`` in a workflow file, which `Settings` lists, and the tables beside it:
    `params` maps names to a type (the param must be given), a default, or a table with ``type``, ``default``,
    ``choices``, ``pattern`` and ``help``. `env` holds for every unit. `pools` maps names to slots, or to tables with
    ``slots`` and ``max_failures``; `tags` maps names to tables with ``max_failures``; `groups` maps names to tables
    with ``matrix``, ``pools`` and ``max_failures``, for units with ``group=NAME``; `secrets` are names of variables.
    Strings may have ``${{ params.x }}``, ``${{ matrix.x }}`` and ``${{ env.X }}``. Relative paths start at the
    directory of the file that makes the Workflow.

    Every method raises InvalidWorkflow, naming the caller's file and line, for what cannot be right.
    """

    def __init__(
        self,
        name: str,
        *,
        params: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
        pools: Mapping[str, Any] | None = None,
        tags: Mapping[str, Any] | None = None,
        groups: Mapping[str, Any] | None = None,
        secrets: Iterable[str] | None = None,
        notify: Mapping[str, Any] | Notify | None = None,
        **settings: Unpack[Settings],
    ) -> None:
        self._source = caller(__file__)
        report, locate = Report(), _at(self._source)
        self._settings, faults = read_table(set_keys({"name": name, **settings}), _SETTINGS)
        report.add(locate, ("workflow",), *faults)
        self._params = _named("params", params, declared_params.declare, locate, report)
        self._shared = Shared(
            pools=_named("pools", pools, lambda _, value: pool(value), locate, report),
            tags=_named("tags", tags, lambda _, value: tag(value), locate, report),
        )
        self._shared.tag_places.update(dict.fromkeys(self._shared.tags, locate))
        self._groups = dict(groups or {})
        self._notify = _accepted("notify", notify, parse_notify, locate, report) if notify is not None else None
        names = _accepted("secrets", {"names": secrets or ()}, secret_names, locate, report)
        self._shared.secrets.update(dict.fromkeys(names or ()))
        note_secrets(self._shared.secrets)
        self._env: dict[str, str] = _accepted("env", env or {}, variables, locate, report) or {}
        self._hide_secrets(report)
        report.raise_if_any()
        self._drafts: list[Draft] = []
        self._included: list[tuple[str, Workflow]] = []
        self._calls = Calls()
        file = Path(self._source.file)
        self._directory = str(file.resolve().parent) if file.is_file() else os.getcwd()  # noqa: PTH109

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
        source = caller(__file__)

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
        return self._add_function(function, name, dependencies, keys, caller(__file__))

    def command(
        self,
        name: str,
        run: str | Iterable[str] | None = None,
        argv: Iterable[str] | None = None,
        dependencies: Iterable[str] = (),
        **keys: Any,
    ) -> QuantumUnit:
        """Add a unit that runs shell text (`run`) or a program without a shell (`argv`); one of them."""
        source = caller(__file__)
        if (run is None) == (argv is None):
            reject(source, ("units", str(name)), Fault("a command has either run or argv"))
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
        source = caller(__file__)
        draft = _draft(name, dependencies, keys, FUNCTION_KEYS, source)
        mapped = tuple(items)
        if not mapped:
            reject(source, draft.path, Fault("there is no item to map over"))
        if "matrix" in keys:
            reject(source, (*draft.path, "matrix"), Fault("items and a matrix exclude each other"))
        try:
            item_parameter(function, keys.get("args") or {})
        except Rejected as rejected:
            reject(source, draft.path, *rejected.faults)
        self._add(replace(draft, function=function, mapped=mapped))

    def include(self, other: Workflow, prefix: str) -> None:
        """Add the units of another workflow as ``prefix.NAME``.

        Their needs, env and directory stay their own; params, pools and tags that both declare must be the same. Of the
        other arguments of `other` only `env_file` and `secrets` count here.
        """
        source = caller(__file__)
        path = ("include", str(prefix))
        fault = name_fault(prefix)
        if fault is not None:
            reject(source, path, fault)
        if other is self or other._includes(self):
            reject(source, path, Fault("a workflow cannot include itself"))
        if any(prefix == taken for taken, _ in self._included):
            reject(source, path, Fault("this prefix is already taken"))
        for name, spec in other._params.items():
            if self._params.get(name, spec) != spec:
                reject(source, path, Fault(f'both workflows declare the param "{name}", and differently'))
        for message in self._shared.merge(other._shared):
            reject(source, path, Fault(message))
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
            reject(source, (), Fault(f"a unit needs a function, not a value of type {type(function).__name__}"))
        name = getattr(function, "__name__", "") if name is None else name
        return self._add(replace(_draft(name, dependencies, keys, FUNCTION_KEYS, source), function=function))

    def _add(self, draft: Draft) -> QuantumUnit:
        """Check what can be checked now, so that errors point at the line that adds the unit."""
        report = Report()
        keys = dict(draft.keys)
        if "matrix" in draft.table and not has_expression(matrix := keys.pop("matrix", None)) and matrix is not None:
            _, faults = read_table({"matrix": matrix}, draft.table)
            report.add(draft.locate, draft.path, *faults)
        keys.pop("group", None)  # which items there are may hang on params
        preview = replace(draft, keys=keys, mapped=draft.mapped and draft.mapped[:1])
        surroundings = Surroundings(params={}, env=self._env, directory=self._directory, pools=self._shared.slots)
        made = Assembler(surroundings, report, calls=self._calls, preview=True).assemble([preview])
        self._hide_secrets(report)
        report.raise_if_any()
        self._drafts.append(draft)
        return made.units[0]

    def _hide_secrets(self, report: Report) -> None:
        for name in self._shared.secrets:
            report.hide((self._env.get(name, ""), os.environ.get(name, "")))

    # -- the result --------------------------------------------------------------------------------------

    def definition(
        self, params: Mapping[str, Any] | None = None, overrides: Overrides | None = None
    ) -> WorkflowDefinition:
        """The finished workflow with these values for its params; raises InvalidWorkflow with every fault."""
        report, locate = Report(), _at(self._source)
        resolved, faults = declared_params.resolve(self._params, params or {})
        report.add(locate, ("params",), *faults)
        self._check_names(self._shared.secrets, report)
        options = options_of(self._settings, overrides, locate, report)
        over = overrides.env if overrides is not None else EMPTY
        assembly = self._assemble({name: resolved.get(name, REPORTED) for name in self._params}, options, over, report)
        return finish(
            name=self.name,
            description=self._settings.get("description", ""),
            assembly=assembly,
            options=options,
            shared=self._shared,
            params=resolved,
            notify=self._notify,
            settings=self._settings,
            advice=(),
            directory=self._directory,
            source=str(file.resolve()) if (file := Path(self._source.file)).is_file() else None,
            locate=locate,
            report=report,
        )

    def _check_names(self, secrets: Iterable[str], report: Report) -> None:
        """Report names, those in included workflows too, that the values of secrets would be part of."""
        carriers = Carriers(secrets, {"env": self._env})
        for name, keys in self._groups.items():
            carriers.check_keys(("groups", str(name)), keys, _at(self._source), report)
        for draft in self._drafts:
            carriers.check_keys(draft.path, draft.keys, draft.locate, report)
        for _, other in self._included:
            other._check_names(secrets, report)

    def _assemble(
        self,
        params: Mapping[str, Any],
        options: RunOptions,
        over: Mapping[str, str],
        report: Report,
        around: Shared | None = None,
    ) -> Assembly:
        """The units, those of included workflows behind; pools are those of the outermost workflow `around`.

        The variables in `over` go over all others.
        """
        shared = around or self._shared
        env = self._variables(params, over, report)
        surroundings = Surroundings(
            params=params,
            env=env,
            directory=self._directory,
            pools=shared.slots,
            cpus=options.cpus,
            memory=options.memory,
            elsewhere=options.elsewhere,
            rows=partial(_rows, self._directory),
            over=over,
        )
        groups = read_groups(self._groups, self._drafts, surroundings, _at(self._source), report)
        made = Assembler(surroundings, report, groups, calls=self._calls).assemble(self._drafts)
        for prefix, other in self._included:
            theirs = other._assemble({name: params[name] for name in other._params}, options, over, report, shared)
            try:
                made.extend(nested(theirs, prefix, env))
            except InvalidWorkflow as error:
                report.extend(error.problems)
                made.known = False
        return made

    def _variables(self, params: Mapping[str, Any], over: Mapping[str, str], report: Report) -> dict[str, str]:
        """The variables of all units: those of `env_file`, and `env` over them."""
        locate = _at(self._source)
        env, problems = read_env_files(self._settings.get("env_file", ()), self._directory, locate)
        report.extend(problems)
        try:
            env |= fill(self._env, {"params": params, "env": {**os.environ, **env, **over}}, keep_type=False)
        except Rejected as rejected:
            report.add(locate, ("env",), *rejected.faults)
        env |= over
        check_secrets(self._shared.secrets, env, locate, report)
        return env


def _rows(directory: str, name: str) -> tuple[Item, ...]:
    return read_rows(name, directory)


def _named(
    section: str, given: Mapping[str, Any] | None, parse: Callable[[str, Any], V], locate: Locate, report: Report
) -> dict[str, V]:
    """The values of a table whose keys are names."""
    found = {}
    for name, value in (given or {}).items():
        try:
            found[label(name)] = parse(name, value)
        except Rejected as rejected:
            report.add(locate, (section, str(name)), *rejected.faults)
    return found


def _accepted(section: str, given: Any, parse: Callable[[Any], V], locate: Locate, report: Report) -> V | None:
    try:
        return parse(given)
    except Rejected as rejected:
        report.add(locate, (section,), *rejected.faults)
        return None


def _draft(name: str, dependencies: Iterable[str], keys: Mapping[str, Any], table: Table, source: Source) -> Draft:
    given = given_keys(dependencies, keys)
    return Draft(name=name, keys=given, source=source, locate=_at(source), table=table)


def _at(source: Source) -> Locate:
    return lambda _path, _needle: str(source)
