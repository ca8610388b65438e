"""What a person changes about a unit on the screen: its definition with that."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from qtui.core.model import LONGEST, Argv, Call, FromUnit, QuantumUnit, Shell
from qtui.core.naming import is_variable
from qtui.core.stimuli import EditRequested

LOWEST, HIGHEST = -1_000_000, 1_000_000
"""Priorities; what goes beyond stays there."""

NO_COMMAND: Final = "it is no command, so it cannot become another one"
NO_CALL: Final = "it calls no function, so it has no arguments"
TOO_LONG: Final = "its timeout is longer than qtui can count"
NO_NAME: Final = "a name in its environment is empty, begins with a digit, or has a space or = in it"
NO_VALUE: Final = "a value in its environment has a NUL in it"


def edited(unit: QuantumUnit, edit: EditRequested) -> QuantumUnit | str:
    """The definition with what `edit` changes, or why it cannot be. It is `unit` itself if nothing is another."""
    changes: dict[str, Any] = {}
    if edit.env:
        pairs = [pair.partition("=") for pair in edit.env]
        if any(not is_variable(name) or not sign for name, sign, _ in pairs):
            return NO_NAME
        if any("\0" in value for _, _, value in pairs):
            return NO_VALUE
        changes["env"] = {**unit.env, **{name: value for name, _, value in pairs}}
    if edit.timeout > LONGEST:
        return TOO_LONG
    if edit.timeout >= 0:
        changes["timeout"] = edit.timeout or None
    if edit.command:
        if not isinstance(unit.action, Shell | Argv):
            return NO_COMMAND
        if edit.command != str(unit.action):
            shell = unit.action.shell if isinstance(unit.action, Shell) else Shell(()).shell
            changes["action"] = Shell((edit.command,), shell)
    if edit.args:
        given = dict(_arguments(edit.args))
        if why := unfit(unit, given):
            return why
        changes["args"] = {**unit.args, **given}
    if edit.memory >= 0:
        changes["memory"] = edit.memory
    if edit.cpus >= 0:
        changes["cpus"] = edit.cpus
    if edit.priority:
        changes["priority"] = min(max(unit.priority + edit.priority, LOWEST), HIGHEST)
    different = {name: value for name, value in changes.items() if not _same(getattr(unit, name), value)}
    return replace(unit, **different) if different else unit


def argument(text: str) -> Any:
    """The value that somebody has typed: JSON, or else the text itself."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _arguments(pairs: Sequence[str]) -> Iterator[tuple[str, Any]]:
    for pair in pairs:
        name, _, value = pair.partition("=")
        yield name, argument(value)


def unfit(unit: QuantumUnit, given: Mapping[str, Any]) -> str:
    """Why the unit's function cannot be called with these arguments in place of its own; empty if it can, as far as
    that is known here."""
    if not isinstance(unit.action, Call):
        return NO_CALL
    for name in given:
        if not name.isidentifier():
            return f"{name!r} is no name of an argument"
        if isinstance(unit.args.get(name), FromUnit):
            return f"its argument {name} is the result of another unit"
    try:
        signature = inspect.signature(unit.action.function)
    except (ValueError, TypeError):
        return ""  # a function without one takes anything, as when it was loaded
    try:
        signature.bind(*([None] if unit.action.wants_context else []), **{**unit.args, **given})
    except TypeError as error:
        return f"its function cannot be called so: {error}"
    return ""


def _same(old: Any, new: Any) -> bool:
    """Whether nothing changes; the equality of strangers (arrays) may be no boolean, and they do change."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return old.keys() == new.keys() and all(_same(value, new[name]) for name, value in old.items())
    same = old is new or (type(old) is type(new) and old == new)
    return same is True
