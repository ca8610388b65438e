"""The environment variables by which units learn about themselves and their run."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import date, time
from pathlib import Path, PurePath
from typing import Any, Final

from qtui.core.model import QuantumUnit
from qtui.core.naming import MATRIX, PARAM, variable_part

_NAMES: Final = frozenset(
    f"QTUI_{name}"
    for name in (
        *("ATTEMPT", "COMMAND", "CPUS", "EVENT", "MEMORY", "MESSAGE", "NEEDS"),
        *("PYTHON", "RECORD", "RESULT", "RUN", "STATE", "UNIT"),
    )
)
_PREFIXES: Final = (PARAM, MATRIX)

RECORD: Final = "QTUI_RECORD"
"""Tells which run's directory a process belongs to, as ids of runs are the same in copies of it."""

MOST_TEXT: Final = 16 * 1024
"""The most characters of a param in a variable; no process starts with one that has more than 128 kB."""


def is_set_for_units(variable: str) -> bool:
    """Whether qtui sets a variable for what it starts."""
    return variable in _NAMES or variable.startswith(_PREFIXES)


def record_tag(directory: Path | None) -> str:
    """Tells a run's directory from its copies, and stays when it is moved; empty if there is none."""
    try:
        found = directory.stat() if directory is not None else None
    except OSError:
        return ""  # the process that ends what is left over finds nothing then
    return f"{found.st_dev:x}:{found.st_ino:x}" if found is not None else ""


def of_run(environ: Mapping[str, str], run: str, params: Mapping[str, Any], record: str = "") -> dict[str, str]:
    """What every unit of a run has: `environ` without what a run around this one has put there, then its own.

    `record` is the tag of its directory."""
    return {
        **{name: value for name, value in environ.items() if not is_set_for_units(name)},
        **_told(PARAM, params),
        "QTUI_RUN": run,
        **({RECORD: record} if record else {}),
        "QTUI_PYTHON": sys.executable,
    }


def of_unit(unit: QuantumUnit) -> dict[str, str]:
    """What a unit has over its run, but for what differs from attempt to attempt."""
    variables = {**unit.env, "QTUI_UNIT": unit.id, **_told(MATRIX, unit.matrix)}
    if unit.cpus:
        variables["QTUI_CPUS"] = f"{unit.cpus:g}"
    if unit.memory:
        variables["QTUI_MEMORY"] = str(unit.memory)
    return variables


def _told(prefix: str, values: Mapping[str, Any]) -> dict[str, str]:
    """A variable for each value that is plain, or a list of such, and not too long for a variable."""
    plain = {name: _text(value) for name, value in values.items() if _is_plain(value)}
    return {
        f"{prefix}{variable_part(name)}": text
        for name, text in plain.items()
        if len(text) <= MOST_TEXT and "\0" not in text
    }


def _is_plain(value: Any) -> bool:
    listed = value if isinstance(value, list | tuple) else [value]
    return all(isinstance(item, str | bool | int | float | date | time | PurePath | None) for item in listed)


def _text(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case list() | tuple():
            return " ".join(_text(item) for item in value)
        case _:
            return str(value)
