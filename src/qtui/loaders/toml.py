"""The workflow file: reads TOML and turns its tables into drafts, telling every fault with its line."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import tomli

from qtui.core.errors import InvalidWorkflow, Problem
from qtui.core.model import Source, WorkflowDefinition
from qtui.definition import params as declared_params
from qtui.definition.assemble import Assembler, finish
from qtui.definition.drafts import Draft, Surroundings
from qtui.definition.expressions import REPORTED, fill, has_expression
from qtui.definition.keys import (
    ACTIONS,
    DEFAULT_KEYS,
    WORKFLOW_KEYS,
    Key,
    Templates,
    read_table,
    unknown_key,
)
from qtui.definition.options import Overrides
from qtui.definition.report import Report
from qtui.definition.values import Fault, Rejected, expected, variables
from qtui.loaders.imports import import_function
from qtui.loaders.lines import Lines

VERSION: Final = 1
TABLES: Final[Mapping[str, str]] = {
    "version": f"The version of the format: `{VERSION}`, which is also the default",
    "workflow": "How the whole is called and driven",
    "params": "Values given on the command line with `-p NAME=VALUE`; a bare value is a default",
    "env": "Environment variables of every unit",
    "defaults": "Unit keys that hold where a unit does not say otherwise; not `run`, `argv` and `call`",
    "units": "One table for each unit, its name in the header: `[units.NAME]`",
}
"""The top level of a workflow file, with help."""

_PLACE: Final = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)")


def load_toml(path: Path, params: Mapping[str, str], overrides: Overrides | None) -> WorkflowDefinition:
    """The workflow in a TOML file; raises InvalidWorkflow with every fault."""
    text = _read(path)
    try:
        return _Loader(path, text, _parse(str(path), text)).load(params, overrides)
    except RecursionError:
        raise _failure(str(path), "tables or arrays are nested too deeply") from None


def _read(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _failure(str(path), f"cannot be read: {error.strerror}") from None
    try:
        # TOML counts CRLF as one line end; a byte order mark is what some editors put in front
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line, column = before.count(b"\n") + 1, len(before) - before.rfind(b"\n")
        message = f"the byte 0x{data[error.start]:02x} is not UTF-8 text"
        raise _failure(f"{path}:{line}:{column}", message, "save the file as UTF-8") from None


def _parse(file: str, text: str) -> dict[str, Any]:
    try:
        return tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        found = _PLACE.search(str(error))
        message = " ".join(_PLACE.sub("", str(error)).split())
        line, column = (found[1], found[2]) if found and found[1] else _end_of(text)
        raise _failure(f"{file}:{line}:{column}", f"not correct TOML: {message}") from None
    except ValueError as error:
        # not a TOML error but one of Python's, for example for a number of thousands of digits
        raise _failure(file, f"not usable as TOML: {' '.join(str(error).split())}") from None


def _end_of(text: str) -> tuple[int, int]:
    return text.count("\n") + 1, len(text) - text.rfind("\n")


def _failure(where: str, message: str, hint: str | None = None) -> InvalidWorkflow:
    return InvalidWorkflow([Problem(message=message, where=where, hint=hint)])


class _Loader:
    """One workflow file on its way to a definition."""

    def __init__(self, path: Path, text: str, document: dict[str, Any]) -> None:
        self._file, self._document = str(path), document
        self._path = path
        self._directory = str(path.resolve().parent)
        self._lines = Lines(text)
        self._report = Report()
        self._found: dict[str, Any] = {}

    def load(self, given: Mapping[str, str], overrides: Overrides | None) -> WorkflowDefinition:
        self._check_top()
        params, known = self._params(given)
        scope = {"params": known, "env": os.environ}
        settings, faults = read_table(self._table("workflow"), WORKFLOW_KEYS, partial(_fill_key, scope))
        self._report.add(self._locate, ("workflow",), *faults)
        surroundings = Surroundings(
            params=known, env=self._env(scope), directory=self._directory, find=self._find_function
        )
        assembler = Assembler(surroundings, self._report)
        units = list(assembler.units(self._drafts()))
        return finish(
            name=settings.get("name", self._path.stem),
            units=units,
            settings=settings,
            overrides=overrides,
            params=params,
            directory=self._directory,
            source=str(self._path.resolve()),
            locate=self._locate,
            report=self._report,
            graph_known=assembler.graph_known and isinstance(self._document.get("units", {}), dict),
        )

    def _locate(self, path: tuple[str, ...], needle: str) -> str:
        line, column = self._lines.place(path, needle)
        place = f"{self._file}:{line}" if line else self._file
        return f"{place}:{column}" if column else place

    def _check_top(self) -> None:
        for name, value in self._document.items():
            if name not in TABLES:
                fault = unknown_key(name, TABLES)
                if name in WORKFLOW_KEYS:
                    fault = fault._replace(hint="it belongs in [workflow]")
                elif fault.hint is None and isinstance(value, dict) and not {*ACTIONS, "needs"}.isdisjoint(value):
                    fault = fault._replace(hint=f"did you mean [units.{name}]?")
                self._report.add(self._locate, (), fault)
        version = self._document.get("version", VERSION)
        if version != VERSION or isinstance(version, bool):
            self._report.add(
                self._locate, ("version",), *expected(f"{VERSION}, the version known here", version).faults
            )

    def _table(self, name: str) -> dict[str, Any]:
        value = self._document.get(name, {})
        if isinstance(value, dict):
            return value
        self._report.add(self._locate, (name,), *expected(f"a table: [{name}]", value).faults)
        return {}

    def _params(self, given: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The values of the params, and the same with marks for those that have none because of a fault."""
        specs, broken = {}, []
        fill_default = partial(_fill_key, {"env": os.environ})
        for name, declared in self._table("params").items():
            try:
                specs[name] = declared_params.declare(name, declared, fill_default)
            except Rejected as rejected:
                broken.append(name)
                self._report.add(self._locate, ("params", name), *rejected.faults)
        usable = {name: value for name, value in given.items() if name not in broken}
        values, faults = declared_params.resolve(specs, usable)
        self._report.add(self._locate, ("params",), *faults)
        return values, {name: values.get(name, REPORTED) for name in (*specs, *broken)}

    def _env(self, scope: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
        try:
            return variables(fill(self._table("env"), scope, keep_type=False))
        except Rejected as rejected:
            self._report.add(self._locate, ("env",), *rejected.faults)
            return {}

    def _drafts(self) -> list[Draft]:
        defaults = self._defaults()
        drafts = []
        for name, keys in self._table("units").items():
            if not isinstance(keys, dict):
                fault = expected("a table", keys, f"write a table [units.{name}] with the keys of the unit").faults
                self._report.add(self._locate, ("units", name), *fault)
                keys = {}
            line = self._lines.line(("units", name))
            source = Source(file=self._file, line=line)
            drafts.append(Draft(name=name, keys=keys, source=source, locate=self._locate, defaults=defaults))
        return drafts

    def _defaults(self) -> dict[str, Any]:
        """The defaults; checked here too, because a fault matters even where every unit has a value of its own."""
        defaults = self._table("defaults")
        ready = {name: value for name, value in defaults.items() if not has_expression(value) and name not in ACTIONS}
        _, faults = read_table(ready, DEFAULT_KEYS)
        faults += [
            Fault("cannot be a default", "write it in [units.NAME]", (name,)) for name in ACTIONS if name in defaults
        ]
        self._report.add(self._locate, ("defaults",), *faults)
        return {name: value for name, value in defaults.items() if name in DEFAULT_KEYS}

    def _find_function(self, reference: str) -> Any:
        if reference not in self._found:
            try:
                self._found[reference] = import_function(reference, self._directory)
            except Rejected as rejected:
                self._found[reference] = rejected
        found = self._found[reference]
        if isinstance(found, Rejected):
            raise found
        return found


def _fill_key(scope: Mapping[str, Mapping[str, Any]], key: Key, value: Any) -> Any:
    if key.templates is Templates.NONE:
        return value
    return fill(value, scope, keep_type=key.templates is Templates.VALUE)
