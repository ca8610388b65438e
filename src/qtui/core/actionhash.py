"""What tells that two units do the same, whatever they are called."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import Any, Final

from qtui.core.model import EMPTY, Argv, Call, QuantumUnit, Shell
from qtui.core.naming import PARAM, variable_part
from qtui.core.portable import Mask, plain_value, shown

_BYTES: Final = 8


class ActionHashes(Mapping[str, str]):
    """The `action_hash` of each unit by its id, in a run with these `params`. It is made when it is asked for."""

    def __init__(self, units: Iterable[QuantumUnit], mask: Mask = str, params: Mapping[str, Any] = EMPTY) -> None:
        self._units, self._mask, self._params = {unit.id: unit for unit in units}, mask, params

    def __getitem__(self, unit: str) -> str:
        return action_hash(self._units[unit], self._mask, self._params)

    def __iter__(self) -> Iterator[str]:
        return iter(self._units)

    def __len__(self) -> int:
        return len(self._units)


def action_hash(unit: QuantumUnit, mask: Mask = str, params: Mapping[str, Any] = EMPTY) -> str:
    """A short text that is the same for units that do the same: their command with the variables and `params` of the
    run that it names, or the name of their function, their arguments, matrix values and directory.

    It is not about the code of functions and programs, nor about what these read from elsewhere, nor about how a unit
    is run (timeout, retries, needs). A unit that was read from a record has the same one, if `mask` hides what the
    record hides.
    """
    args, matrix, cwd = unit.args, unit.matrix, unit.cwd
    what = (
        _plain_action(unit.action, mask),
        _plain(args, mask) if args else None,
        _plain(matrix, mask) if matrix else None,
        mask(cwd) if cwd else None,
        *(_named(unit, mask, params) if unit.env or params else ()),
    )
    # of what this is made of, `repr` is exact, and takes half as long as to write JSON
    return blake2b(repr(what).encode(), digest_size=_BYTES).hexdigest()


def _named(unit: QuantumUnit, mask: Mask, params: Mapping[str, Any]) -> Iterator[Any]:
    """The variables that the text of a command names. That it uses those that it does not name nobody can know, and a
    number that is another one in each run would make all units do something else."""
    match unit.action:
        case Shell(texts, _) | Argv(texts):
            text = "\n".join(map(mask, texts))
        case _:
            return
    # a record has hidden names, too
    if named := [(shown, mask(value)) for name, value in unit.env.items() if (shown := mask(name)) in text]:
        yield "env", sorted(named)
    if PARAM in text and (given := [name for name in params if PARAM + variable_part(mask(name)) in text]):
        yield "params", _plain({name: params[name] for name in given}, mask)


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
