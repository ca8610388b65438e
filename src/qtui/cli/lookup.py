"""What commands of a workflow need of the machine, and is not there: told before a run, but no fault of the file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cache
from typing import Final, NamedTuple

from qtui.cli.words import counted
from qtui.core.definition import WorkflowDefinition
from qtui.core.errors import Problem
from qtui.core.model import Argv, QuantumUnit, Shell
from qtui.definition.report import shown_file

_HINT: Final = "a unit that runs before may make it"


class _Lack(NamedTuple):
    key: str
    message: str
    path: str
    """What somebody may make meanwhile; empty for a program that was looked for on the PATH."""


def missing(definition: WorkflowDefinition) -> Iterator[Problem]:
    """The directories and programs of commands that are not there: one for each family, those that are the same once.

    What another unit has among its `outputs` is not told, nor what is in a directory that is missing.
    """
    base = definition.directory or os.curdir
    makers = _Makers(definition, base)
    lookup, is_directory = cache(_program_fault), cache(os.path.isdir)
    told: dict[_Lack, list[QuantumUnit]] = {}
    seen: set[str] = set()
    for number, unit in enumerate(definition.units):
        if unit.name in seen:
            continue
        lack = _lack(unit, base, lookup, is_directory)
        if lack is not None and not (lack.path and makers.make(lack.path, number)):
            told.setdefault(lack, []).append(unit)
            seen.add(unit.name)
    for lack, (unit, *others) in told.items():
        more = f", for this and {counted(len(others), 'other unit')}" if others else ""
        yield Problem(
            message=f"{lack.message}{more}",
            where=str(unit.source) if unit.source is not None else None,
            key=f"units.{unit.name}.{lack.key}",
            hint=_HINT if lack.path else None,
        )


def _lack(
    unit: QuantumUnit, base: str, lookup: Callable[[str, str, str], str], is_directory: Callable[[str], bool]
) -> _Lack | None:
    match unit.action:
        case Argv(argv=(program, *_)):
            key = "argv"
        case Shell(shell=(program, *_)):
            key = "shell"
        case _:
            return None
    cwd = os.path.abspath(os.path.join(base, unit.cwd or ""))  # noqa: PTH100, PTH118  - as the unit would be started
    if not is_directory(cwd):
        return _Lack("cwd", f"there is no directory {shown_file(cwd)}", cwd)
    fault = lookup(program, cwd, unit.env.get("PATH", os.environ.get("PATH", os.defpath)))
    path = os.path.join(cwd, program) if "/" in program else ""  # noqa: PTH118
    return _Lack(key, fault, path) if fault else None


def _program_fault(program: str, cwd: str, search: str) -> str:
    """What keeps a program from being started in `cwd`, looked for as it would be; empty for nothing."""
    if "/" in program:
        found = [os.path.join(cwd, program)]  # noqa: PTH118
        nowhere = f"there is no program {program} in {shown_file(cwd)}"
        if os.path.isabs(program):  # noqa: PTH117
            nowhere = f"there is no program {program}"
    else:
        found = [os.path.join(cwd, directory, program) for directory in search.split(":")]  # noqa: PTH118
        nowhere = f"there is no program {program} on the PATH"
    files = [path for path in found if os.path.isfile(path)]  # noqa: PTH113
    if any(os.access(path, os.X_OK) for path in files):
        return ""
    return f"{shown_file(files[0])} is not executable" if files else nowhere


class _Makers:
    """Which units promise to make which paths."""

    def __init__(self, definition: WorkflowDefinition, base: str) -> None:
        self._outputs: dict[str, int] = {}  # the unit that makes it, -1 for several
        self._above: dict[str, int] = {}
        for number, unit in enumerate(definition.units):
            for output in unit.outputs:
                path = os.path.abspath(os.path.join(base, unit.cwd or "", output))  # noqa: PTH100, PTH118
                _note(self._outputs, path, number)
                while _note(self._above, path, number) and path != os.sep:
                    path = os.path.dirname(path)  # noqa: PTH120

    def make(self, path: str, wanted_by: int) -> bool:
        """Whether another unit makes the path, something in it, or a directory that it is in."""
        path = os.path.normpath(path)
        if self._above.get(path, wanted_by) != wanted_by:
            return True
        while path != (path := os.path.dirname(path)):  # noqa: PTH120
            if self._outputs.get(path, wanted_by) != wanted_by:
                return True
        return False


def _note(makers: dict[str, int], path: str, number: int) -> bool:
    """Note who makes a path; False if several were known before, and so for all that it is in."""
    known = makers.setdefault(path, number)
    if known not in (-1, number):
        makers[path] = -1
    return known != -1
