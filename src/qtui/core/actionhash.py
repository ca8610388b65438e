"""What tells that two units do the same, whatever they are called."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import Any, Final

from qtui.core.model import Argv, Call, QuantumUnit, Shell
from qtui.core.portable import Mask, plain_value, shown

_BYTES: Final = 8


class ActionHashes(Mapping[str, str]):
    """The `action_hash` of each unit by its id. It is made when it is asked for, which seldom happens: units that kept
    their names are known by those."""

    def __init__(self, units: Iterable[QuantumUnit], mask: Mask = str) -> None:
        self._units, self._mask = {unit.id: unit for unit in units}, mask

    def __getitem__(self, unit: str) -> str:
        return action_hash(self._units[unit], self._mask)

    def __iter__(self) -> Iterator[str]:
        return iter(self._units)

    def __len__(self) -> int:
        return len(self._units)


def action_hash(unit: QuantumUnit, mask: Mask = str) -> str:
    """A short text that is the same for units that do the same: their command, or the name of their function, their
    arguments, matrix values and directory.

    It is not about the code of functions, nor about how a unit is run (environment, timeout, retries, needs). A unit
    that was read from a record has the same one, if `mask` hides what the record hides.
    """
    args, matrix, cwd = unit.args, unit.matrix, unit.cwd
    what = (
        _plain_action(unit.action, mask),
        _plain(args, mask) if args else None,
        _plain(matrix, mask) if matrix else None,
        mask(cwd) if cwd else None,
    )
    # of what this is made of, `repr` is exact, and takes half as long as to write JSON
    return blake2b(repr(what).encode(), digest_size=_BYTES).hexdigest()


def _plain_action(action: Any, mask: Mask) -> Any:
    match action:
        case Shell(texts, shell):
            return "shell", *map(mask, texts), shell
        case Argv(argv):
            return "argv", *map(mask, argv)
        case Call():
            return "call", shown(mask(str(action))), action.wants_context
    return None if action is None else shown(mask(repr(action)))


def _plain(values: Mapping[str, Any], mask: Mask) -> Any:
    """The values as data, in no order of their own."""
    return sorted(plain_value(values, mask).items())
