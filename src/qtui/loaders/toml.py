"""The workflow file: reads TOML and turns its tables into drafts, telling every fault with its line."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from qtui.core.definition import Notify, WorkflowDefinition
from qtui.core.errors import InvalidWorkflow
from qtui.core.options import RunOptions
from qtui.definition import params as declared_params
from qtui.definition.assemble import Assembler, Assembly
from qtui.definition.dotenv import read_env_files
from qtui.definition.drafts import Draft, Surroundings, name_fault
from qtui.definition.expressions import REPORTED, Scope, Unsettled, fill
from qtui.definition.graph import Shared, check_secrets, finish, options_of
from qtui.definition.groups import read_groups
from qtui.definition.keys import Key, Templates, read_table, unknown_key
from qtui.definition.matrix import MOST_ITEMS, Item
from qtui.definition.nesting import nested
from qtui.definition.options import Overrides
from qtui.definition.params import Ask, ParamSpec
from qtui.definition.report import Report, shown_file
from qtui.definition.rows import read_rows
from qtui.definition.secrecy import Carriers
from qtui.definition.unit_keys import ACTIONS, DEFAULT_KEYS
from qtui.definition.values import Fault, Rejected, expected, label, variables
from qtui.definition.workflow_keys import (
    INCLUDED_KEYS,
    NOTIFY_KEYS,
    SECTIONS,
    VERSION,
    WORKFLOW_KEYS,
    pool,
    secret_names,
    tag,
)
from qtui.loaders.document import Document, failure
from qtui.loaders.executors import find_executor
from qtui.loaders.imports import import_function

T = TypeVar("T")

MOST_FILES: Final = 1000
"""Files that are included, each time that they are."""

_OUTER_SECTIONS: Final = ("notify",)
"""The tables that count only in the file that is run."""


def load_toml(
    path: Path, params: Mapping[str, str], overrides: Overrides | None, ask: Ask | None = None
) -> WorkflowDefinition:
    """The workflow in a TOML file; raises InvalidWorkflow with every fault."""
    try:
        return _Loader(path).load(params, overrides, ask)
    except RecursionError:
        raise failure(str(path), "tables or arrays are nested too deeply") from None


class _File:
    """One of the files of a workflow, with those it includes by prefix."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.included: dict[str, _File] = {}
        self.complete = True
        self.settings: dict[str, Any] = {}
        self.specs: dict[str, ParamSpec] = {}
        self.broken: set[str] = set()
        self.defaults: dict[str, Any] = {}
        self.secrets: tuple[str, ...] = ()

    def walk(self) -> Iterator[_File]:
        """This file, then those it includes."""
        yield self
        for inner in self.included.values():
            yield from inner.walk()


class _Loader:
    """A workflow file, and the files it includes, on their way to a definition."""

    def __init__(self, path: Path) -> None:
        self._report = Report()
        self._advice = Report()
        self._shared = Shared()
        self._specs: dict[str, ParamSpec] = {}
        self._found: dict[tuple[str, str], Any] = {}
        self._rows: dict[tuple[str, str], tuple[Item, ...]] = {}
        self._readable = True
        self._over: Mapping[str, str] = {}
        self._documents: dict[Path, Document] = {}
        self._sizes: dict[Path, tuple[int, int]] = {}
        root = self._document(path)
        self._check_size(root)
        self._root = self._read(root, ())

    def load(self, given: Mapping[str, str], overrides: Overrides | None, ask: Ask | None) -> WorkflowDefinition:
        root = self._root.document
        if not self._readable:
            self._report.raise_if_any()  # messages about such keys could not be trusted
        self._over = overrides.env if overrides is not None else {}
        params = self._params(given, ask)
        for file in self._root.walk():
            self._settle(file, params)
        for file in self._root.walk():
            Carriers(self._shared.secrets, file.document.tables).check_names(file.document.locate, self._report)
        settings = self._root.settings
        options = options_of(settings, overrides, root.locate, self._report)
        assembly = self._assemble(self._root, params, options, MOST_ITEMS)
        return finish(
            name=settings.get("name", root.path.stem),
            description=settings.get("description", ""),
            assembly=assembly,
            options=options,
            shared=self._shared,
            params=params,
            notify=self._notify(params),
            settings=settings,
            advice=self._advice.problems,
            directory=root.directory,
            source=str(root.path.resolve()),
            locate=root.locate,
            report=self._report,
            find_executor=partial(find_executor, directory=root.directory),
        )

    # -- files -------------------------------------------------------------------------------------------

    def _document(self, path: Path) -> Document:
        """The document in a file, which may be included several times."""
        key = path.resolve()
        if key not in self._documents:
            self._documents[key] = Document.read(path)
        return self._documents[key]

    def _check_size(self, root: Document) -> None:
        """Raise InvalidWorkflow if the files that files include are too many: they double with each that has two."""
        files, units = 0, 0
        for prefix, path in _included(root):
            more_files, more_units = self._least_size(path)
            files, units = files + more_files, units + more_units
            for count, most, what in (
                (units, MOST_ITEMS, "units that a workflow may have"),
                (files, MOST_FILES, "files that a workflow may include"),
            ):
                if count > most:
                    fault = Fault(f"with this file there are more than the {most:,} {what}")
                    self._report.add(root.locate, ("workflow", "include", prefix), fault)
                    self._report.raise_if_any()

    def _least_size(self, path: Path) -> tuple[int, int]:
        """How many files a file is with those it includes, and how many units at least they bring along."""
        key = path.resolve()
        if key not in self._sizes:
            self._sizes[key] = (1, 0)  # also for one that includes itself, or cannot be read: that is told later
            with suppress(InvalidWorkflow):
                document = self._document(Path(shown_file(str(path))))
                own = document.tables.get("units")
                inner = [self._least_size(inner) for _, inner in _included(document)]
                units = len(own) if isinstance(own, dict) else 0
                self._sizes[key] = (1 + sum(each[0] for each in inner), units + sum(each[1] for each in inner))
        return self._sizes[key]

    def _read(self, document: Document, around: tuple[Path, ...]) -> _File:
        """The file and those it includes; `around` are the files that this one is included by."""
        file = _File(document)
        self._readable = document.check(self._report) and self._readable
        self._check_top(document)
        workflow = document.tables.get("workflow")
        written = workflow.get("include", {}) if isinstance(workflow, dict) else {}
        parsed, faults = read_table({"include": written}, WORKFLOW_KEYS)
        file.complete = not faults  # they are reported with the other faults of [workflow]
        around = (*around, document.path.resolve())
        for prefix, name in parsed.get("include", {}).items():
            inner = self._include(document, prefix, name, around)
            if inner is None:
                file.complete = False
            else:
                file.included[prefix] = inner
        return file

    def _include(self, document: Document, prefix: str, name: str, around: tuple[Path, ...]) -> _File | None:
        place = ("workflow", "include", prefix)
        fault = name_fault(prefix)
        path = Path(os.path.normpath(os.path.join(document.directory, name)))  # noqa: PTH118
        if fault is None and path.resolve() in around:
            circle = " includes ".join(shown_file(str(one)) for one in (*around[around.index(path.resolve()) :], path))
            fault = Fault(f"these files include each other: {circle}", "remove one of the includes")
        if fault is None and path.suffix != ".toml":
            fault = Fault("only .toml files can be included", "a Python workflow has the method include for this")
        if fault is None and not path.is_file():
            fault = Fault(f"there is no file {shown_file(str(path))}", "the path starts at the including file")
        if fault is not None:
            self._report.add(document.locate, place, fault)
            return None
        try:
            inner = self._document(Path(shown_file(str(path))))
        except InvalidWorkflow as error:
            self._report.extend(error.problems)
            self._readable = False
            return None
        self._check_included(inner)
        return self._read(inner, around)

    def _check_included(self, inner: Document) -> None:
        """Say of what counts only in the file that is run that it does not count here."""
        workflow = inner.tables.get("workflow")
        idle: list[tuple[str, ...]] = [
            ("workflow", name)
            for name in (workflow if isinstance(workflow, dict) else ())
            if name in WORKFLOW_KEYS and name not in INCLUDED_KEYS
        ]
        idle += [(name,) for name in _OUTER_SECTIONS if name in inner.tables]
        for path in idle:
            self._advice.add(inner.locate, path, Fault("has no effect where the file is included"))

    def _check_top(self, document: Document) -> None:
        for name, value in document.tables.items():
            if name not in SECTIONS:
                fault = unknown_key(name, SECTIONS)
                if name in WORKFLOW_KEYS:
                    fault = fault._replace(hint="it belongs in [workflow]")
                elif fault.hint is None and isinstance(value, dict) and not {*ACTIONS, "needs"}.isdisjoint(value):
                    fault = fault._replace(hint=f"did you mean [units.{name}]?")
                self._report.add(document.locate, (), fault)
        version = document.tables.get("version", VERSION)
        if version != VERSION or isinstance(version, bool):
            faults = expected(f"{VERSION}, the version known here", version).faults
            self._report.add(document.locate, ("version",), *faults)

    # -- what the files share ----------------------------------------------------------------------------

    def _params(self, given: Mapping[str, str], ask: Ask | None) -> dict[str, Any]:
        """The values of the params of all files."""
        fill_default = partial(_fill_key, {"env": os.environ})
        for file in self._root.walk():
            document = file.document
            for name, declared in document.table("params", self._report).items():
                try:
                    file.specs[name] = declared_params.declare(name, declared, fill_default)
                except Rejected as rejected:
                    file.broken.add(name)
                    self._report.add(document.locate, ("params", name), *rejected.faults)
                    continue
                if self._specs.setdefault(name, file.specs[name]) != file.specs[name]:
                    fault = Fault("is declared differently in the file that includes this one")
                    self._report.add(document.locate, ("params", name), fault)
        broken = {name for file in self._root.walk() for name in file.broken}
        usable = {name: value for name, value in given.items() if name not in broken}
        if not self._report:
            usable = declared_params.ask_missing(self._specs, usable, ask)
        values, faults = declared_params.resolve(self._specs, usable)
        for fault in faults:
            owner = next((file for file in self._root.walk() if fault.path[0] in file.specs), self._root)
            self._report.add(owner.document.locate, ("params",), fault)
        return values

    def _scope(self, file: _File, params: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
        """What expressions of a file may use: its own params, marked where they have none because of a fault."""
        known = {name: params.get(name, REPORTED) for name in (*file.specs, *file.broken)}
        return {"params": known, "env": os.environ}

    def _settle(self, file: _File, params: Mapping[str, Any]) -> None:
        """Read everything of a file but its units."""
        document, filler = file.document, partial(_fill_key, self._scope(file, params))
        given = document.table("workflow", self._report)
        if file is not self._root:
            given = {name: value for name, value in given.items() if name in INCLUDED_KEYS or name not in WORKFLOW_KEYS}
        file.settings, faults = read_table(given, WORKFLOW_KEYS, filler)
        self._report.add(document.locate, ("workflow",), *faults)
        file.defaults = self._defaults(file, params)
        scope = self._scope(file, params)
        shared = Shared(
            pools=self._named(document, "pools", pool, scope), tags=self._named(document, "tags", tag, scope)
        )
        if "secrets" in document.tables:
            try:
                file.secrets = secret_names(document.table("secrets", self._report))
            except Rejected as rejected:
                self._report.add(document.locate, ("secrets",), *rejected.faults)
        shared.secrets.update(dict.fromkeys(file.secrets))
        shared.tag_places.update(dict.fromkeys(shared.tags, document.locate))
        for message in self._shared.merge(shared):
            self._report.add(document.locate, (), Fault(message))

    def _named(self, document: Document, section: str, parse: Callable[[Any], T], scope: Scope) -> dict[str, T]:
        """The values of a table whose keys are names."""
        found = {}
        for name, value in document.table(section, self._report).items():
            try:
                found[label(name)] = parse(fill(value, scope, keep_type=True))
            except Rejected as rejected:
                self._report.add(document.locate, (section, name), *rejected.faults)
        return found

    def _notify(self, params: Mapping[str, Any]) -> Notify | None:
        document = self._root.document
        if "notify" not in document.tables:
            return None
        filler = partial(_fill_key, self._scope(self._root, params))
        parsed, faults = read_table(document.table("notify", self._report), NOTIFY_KEYS, filler)
        self._report.add(document.locate, ("notify",), *faults)
        return Notify(**parsed)

    # -- units -------------------------------------------------------------------------------------------

    def _assemble(self, file: _File, params: Mapping[str, Any], options: RunOptions, most: int) -> Assembly:
        document = file.document
        env, scope = self._env(file, params), self._scope(file, params)
        around = Surroundings(
            params=scope["params"],
            env=env,
            directory=document.directory,
            find=partial(self._find_function, document.directory),
            rows=partial(self._read_rows, document.directory),
            pools=self._shared.slots,
            cpus=options.cpus,
            memory=options.memory,
            elsewhere=options.elsewhere,
            over=self._over,
        )
        drafts, tables = self._drafts(file), document.table("groups", self._report)
        groups = read_groups(tables, drafts, around, document.locate, self._report)
        made = Assembler(around, self._report, groups).assemble(drafts, most)
        made.known = made.known and file.complete and isinstance(document.tables.get("units", {}), dict)
        for prefix, inner in file.included.items():
            theirs = self._assemble(inner, params, options, most - len(made.units))
            try:
                made.extend(nested(theirs, prefix, env))
            except InvalidWorkflow as error:
                self._report.extend(error.problems)
                made.known = False
        return made

    def _env(self, file: _File, params: Mapping[str, Any]) -> dict[str, str]:
        """The variables of a file's units: those of its env_file, and [env] over them."""
        document, scope = file.document, self._scope(file, params)
        env, problems = read_env_files(file.settings.get("env_file", ()), document.directory, document.locate)
        self._report.extend(problems)
        try:
            given = document.table("env", self._report)
            env |= variables(fill(given, {**scope, "env": {**os.environ, **env, **self._over}}, keep_type=False))
        except Rejected as rejected:
            self._report.add(document.locate, ("env",), *rejected.faults)
        env |= self._over
        check_secrets(file.secrets, env, document.locate, self._report)
        return env

    def _drafts(self, file: _File) -> list[Draft]:
        document = file.document
        drafts = []
        for name, keys in document.table("units", self._report).items():
            if not isinstance(keys, dict):
                fault = expected("a table", keys, f"write a table [units.{name}] with the keys of the unit").faults
                self._report.add(document.locate, ("units", name), *fault)
                keys = {}
            source = document.unit_source(name)
            drafts.append(Draft(name=name, keys=keys, source=source, locate=document.locate, defaults=file.defaults))
        return drafts

    def _defaults(self, file: _File, params: Mapping[str, Any]) -> dict[str, Any]:
        """The defaults; checked here too, because a fault matters even where every unit has a value of its own."""
        document = file.document
        defaults = document.table("defaults", self._report)
        own = {name: value for name, value in defaults.items() if name not in ACTIONS}
        scope = {**self._scope(file, params), "env": Unsettled(), "matrix": Unsettled()}
        _, faults = read_table(own, DEFAULT_KEYS, partial(_fill_key, scope))
        faults += [
            Fault("cannot be a default", "write it in [units.NAME]", (name,)) for name in ACTIONS if name in defaults
        ]
        self._report.add(document.locate, ("defaults",), *faults)
        return {name: value for name, value in defaults.items() if name in DEFAULT_KEYS}

    def _read_rows(self, directory: str, name: str) -> tuple[Item, ...]:
        if (directory, name) not in self._rows:
            self._rows[directory, name] = read_rows(name, directory)
        return self._rows[directory, name]

    def _find_function(self, directory: str, reference: str) -> Any:
        if (directory, reference) not in self._found:
            try:
                self._found[directory, reference] = import_function(reference, directory)
            except Rejected as rejected:
                self._found[directory, reference] = rejected
        found = self._found[directory, reference]
        if isinstance(found, Rejected):
            raise found
        return found


def _included(document: Document) -> Iterator[tuple[str, Path]]:
    """The prefixes and paths of the files that a document includes, but for those that cannot be workflow files."""
    workflow = document.tables.get("workflow")
    written = workflow.get("include") if isinstance(workflow, dict) else None
    for prefix, name in written.items() if isinstance(written, dict) else ():
        if isinstance(name, str) and name.endswith(".toml"):
            path = Path(os.path.normpath(os.path.join(document.directory, name)))  # noqa: PTH118
            if path.is_file():
                yield prefix, path


def _fill_key(scope: Scope, key: Key, value: Any) -> Any:
    if key.templates is Templates.NONE:
        return value
    return fill(value, scope, keep_type=key.templates is Templates.VALUE)
