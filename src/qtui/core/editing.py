"""What a person changes about a unit on the screen: its definition with that."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from qtui.core.model import LONGEST, Argv, QuantumUnit, Shell
from qtui.core.stimuli import EditRequested

LOWEST, HIGHEST = -1_000_000, 1_000_000
"""Priorities; what goes beyond stays there."""

NO_COMMAND: Final = "it is no command, so it cannot become another one"
TOO_LONG: Final = "its timeout is longer than qtui can count"
NO_NAME: Final = "a name in its environment is empty or has a ="


def edited(unit: QuantumUnit, edit: EditRequested) -> QuantumUnit | str:
    """The definition with what `edit` changes, or why it cannot be."""
    changes: dict[str, Any] = {}
    if edit.env:
        pairs = [pair.partition("=") for pair in edit.env]
        if any(not name or not sign or "\0" in name + value for name, sign, value in pairs):
            return NO_NAME
        changes["env"] = {**unit.env, **{name: value for name, _, value in pairs}}
    if edit.timeout > LONGEST:
        return TOO_LONG
    if edit.timeout >= 0:
        changes["timeout"] = edit.timeout or None
    if edit.command:
        if not isinstance(unit.action, Shell | Argv):
            return NO_COMMAND
        shell = unit.action.shell if isinstance(unit.action, Shell) else Shell(()).shell
        changes["action"] = Shell((edit.command,), shell)
    if edit.memory >= 0:
        changes["memory"] = edit.memory
    if edit.cpus >= 0:
        changes["cpus"] = edit.cpus
    if edit.priority:
        changes["priority"] = min(max(unit.priority + edit.priority, LOWEST), HIGHEST)
    return replace(unit, **changes) if changes else unit
