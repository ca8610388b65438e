"""``${{ params.x }}``, ``${{ matrix.x }}`` and ``${{ env.X }}``: a dotted lookup, and never more than that."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from qtui.core.errors import did_you_mean
from qtui.core.model import FromUnit
from qtui.definition.values import Fault, Path, Rejected, quoted

Scope = Mapping[str, Mapping[str, Any]]
"""The values by namespace: params, matrix, env."""

REPORTED: Final = object()
"""Stands for a value whose fault is already known; what uses it is left out without another message."""


class Known(Mapping[str, Any]):
    """Values of a namespace; to look up one that is `REPORTED` raises `Rejected` without a fault."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def __getitem__(self, name: str) -> Any:
        value = self._values[name]
        if value is REPORTED:
            raise Rejected
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class Unsettled(Mapping[str, Any]):
    """A namespace whose values are not known yet, or never will be: it has every name, and each is `REPORTED`."""

    def __getitem__(self, name: str) -> Any:
        return REPORTED

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


_OPEN: Final = "${{"
_EXPRESSION: Final = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
_LOOKUP: Final = re.compile(r"\s*([A-Za-z_]+)\.([A-Za-z0-9_.-]+)\s*", re.ASCII)
_ABSENT: Final = {
    "params": "the workflow declares no params, or they cannot be used here",
    "matrix": "there is no matrix here",
    "env": "env cannot be used here",
}


def has_expression(value: Any) -> bool:
    """True if a string somewhere in `value` has an expression."""
    match value:
        case str():
            return _OPEN in value
        case Mapping():
            return any(has_expression(item) for item in value.values())
        case list() | tuple() | set() | frozenset():
            return any(has_expression(item) for item in value)
    return False


def lookups(value: Any) -> Iterator[tuple[str, str, str]]:
    """Every expression in the strings of `value`: the namespace and the name it looks up, and its text."""
    match value:
        case str():
            for expression in _EXPRESSION.finditer(value):
                if (lookup := _LOOKUP.fullmatch(expression[1])) is not None:
                    yield lookup[1], lookup[2], expression[0]
        case Mapping():
            for item in value.values():
                yield from lookups(item)
        case list() | tuple() | set() | frozenset():
            for item in value:
                yield from lookups(item)


def fill(value: Any, scope: Scope, *, keep_type: bool) -> Any:
    """`value` with the expressions in its strings replaced.

    With `keep_type`, a string that is nothing but one expression becomes the value itself: a number stays one.
    Raises `Rejected` with every expression that cannot be replaced.
    """
    if not has_expression(value):
        return value
    filling = _Filling(scope, keep_type)
    filled = filling.fill(value, ())
    if filling.faults or filling.incomplete:
        raise Rejected(*filling.faults)
    return filled


def as_text(value: Any) -> str:
    """A value inside a longer string: booleans as in TOML, the items of a list with spaces between them."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return " ".join(map(as_text, value))
    return "" if value is None else str(value)


class _Filling:
    """One value on its way; collects the faults of its expressions.

    `incomplete` says that an expression names a value that is `REPORTED`.
    """

    def __init__(self, scope: Scope, keep_type: bool) -> None:
        self._scope, self._keep_type = scope, keep_type
        self.faults: list[Fault] = []
        self.incomplete = False

    def fill(self, value: Any, path: Path) -> Any:
        match value:
            case str():
                return self._fill_text(value, path)
            case FromUnit():  # a tuple, but not a list of values
                return value
            case Mapping():
                return {key: self.fill(item, (*path, str(key))) for key, item in value.items()}
            case list() | tuple() | set() | frozenset():
                return [self.fill(item, (*path, f"[{at}]")) for at, item in enumerate(value)]
        return value

    def _fill_text(self, text: str, path: Path) -> Any:
        whole = _EXPRESSION.fullmatch(text)
        if self._keep_type and whole and text.count(_OPEN) == 1:
            return self._value(whole, path)
        if _OPEN in _EXPRESSION.sub("", text):
            self.faults.append(Fault("${{ is never closed", "close it with }}", path, _OPEN))
        return _EXPRESSION.sub(lambda match: as_text(self._value(match, path)), text)

    def _value(self, match: re.Match[str], path: Path) -> Any:
        try:
            value = _look_up(match, self._scope)
        except Rejected as rejected:
            self.faults.extend(fault.under(*path) for fault in rejected.faults)
            return ""
        self.incomplete = self.incomplete or value is REPORTED
        return value


def _look_up(match: re.Match[str], scope: Scope) -> Any:
    lookup = _LOOKUP.fullmatch(match[1])
    if lookup is None:
        message = f"{quoted(match[0])} is not an expression"
        raise Rejected(Fault(message, "write params.NAME, matrix.NAME or env.NAME", (), match[0]))
    space, name = lookup.groups()
    if space not in _ABSENT:
        known = ", ".join(scope)
        there = did_you_mean(space, scope) or f"there are {known}"
        raise Rejected(Fault(f"there is no {quoted(space)} to take {quoted(name)} from", there, (), match[0]))
    if name in (values := scope.get(space, {})):
        return values[name]
    hint = did_you_mean(name, values)
    if not values:
        hint = _ABSENT[space]
    elif hint is None and space != "env":
        hint = f"there are {', '.join(sorted(values))}"
    raise Rejected(Fault(f"{space}.{name} is not known", hint, (), match[0]))
