"""The environment variables by which units learn about themselves and their run."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final

from qtui.core.model import QuantumUnit

_NAMES: Final = frozenset(
    f"QTUI_{name}"
    for name in ("ATTEMPT", "CPUS", "EVENT", "MEMORY", "MESSAGE", "NEEDS", "PYTHON", "RESULT", "RUN", "STATE", "UNIT")
)
_PREFIXES: Final = ("QTUI_PARAM_", "QTUI_MATRIX_")


def of_run(environ: Mapping[str, str], run: str, params: Mapping[str, Any]) -> dict[str, str]:
    """What every unit of a run has: `environ` without what a run around this one has put there, then its own."""
    return {
        **{name: value for name, value in environ.items() if name not in _NAMES and not name.startswith(_PREFIXES)},
        **{f"QTUI_PARAM_{_name(name)}": _text(value) for name, value in params.items()},
        "QTUI_RUN": run,
        "QTUI_PYTHON": sys.executable,
    }


def of_unit(unit: QuantumUnit) -> dict[str, str]:
    """What a unit has over its run, but for what differs from attempt to attempt."""
    variables = {**unit.env, "QTUI_UNIT": unit.id}
    for name, value in unit.matrix.items():
        variables[f"QTUI_MATRIX_{_name(name)}"] = _text(value)
    if unit.cpus:
        variables["QTUI_CPUS"] = f"{unit.cpus:g}"
    if unit.memory:
        variables["QTUI_MEMORY"] = str(unit.memory)
    return variables


def _name(name: str) -> str:
    return "".join(sign if sign.isalnum() else "_" for sign in name).upper()


def _text(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case list() | tuple():
            return " ".join(_text(item) for item in value)
        case _:
            return str(value)
