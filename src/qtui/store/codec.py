"""Events and views as JSON texts, and back exactly as they were.

Texts are ASCII, so that every Python text has one. JSON has no NaN and no infinities: they are ``{"float": "nan"}``,
and a dictionary that happens to look like that is ``{"float": [value]}``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isfinite
from typing import Any, Final, get_type_hints

from pyrsistent import pvector

from qtui.core.events import CLASSES, NAMES, Event, UnitFinished, UnitReset, UnitStarted
from qtui.core.model import ExecutionMode, QuantumUnit, RunState, UnitError, UnitState
from qtui.core.plan import ExecutionPlan
from qtui.core.portable import MOST_BITS, MOST_DEEP, plain_unit, plain_value, unit_from_plain
from qtui.core.state import RunView
from qtui.store.errors import JournalDamaged

PlainUnit = Callable[[QuantumUnit], Mapping[str, Any]]

_SHORT: Final[Mapping[type[Event], int]] = {
    UnitFinished: UnitFinished._fields.index("error"),
    UnitStarted: UnitStarted._fields.index("place"),
    UnitReset: UnitReset._fields.index("losses"),
}
_USUAL: Final = {cls: tuple(cls._field_defaults[name] for name in cls._fields[at:]) for cls, at in _SHORT.items()}
"""What most events of a kind end with, so that it is not worth writing."""

_MARK: Final = '{"float":'
_ODD: Final = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}


def dump(value: Any, plain_unit: PlainUnit = plain_unit) -> str:
    """Plain data, with events and units in it, as a JSON text. What JSON has no word for is told as `repr` does."""

    def plain(thing: Any) -> Any:
        return plain_unit(thing) if isinstance(thing, QuantumUnit) else plain_value(thing)

    try:
        # what holds itself is found by the recursion that never ends
        text = json.dumps(value, default=plain, separators=(",", ":"), allow_nan=False, check_circular=False)
    except (ValueError, TypeError, RecursionError):  # NaN, a key that is no text, something that holds itself
        pass
    else:
        if _MARK not in text:
            return text
    return json.dumps(_marked(value, plain), separators=(",", ":"), allow_nan=False)


def load(text: str) -> Any:
    """What `dump` wrote. Raises ValueError or RecursionError for what is no JSON."""
    return json.loads(text, object_hook=_unmarked if _MARK in text else None)


def encode_events(events: Sequence[Event], plain_unit: PlainUnit = plain_unit) -> str:
    """The events as one JSON array; each is an array of its name and its fields. Units are told by `plain_unit`."""
    return dump(list(map(_short, events)), plain_unit)


def _short(event: Event) -> tuple[Any, ...]:
    kind = type(event)
    at = _SHORT.get(kind)
    return (NAMES[kind], *(event[:at] if at is not None and event[at:] == _USUAL[kind] else event))


def decode_events(text: str) -> list[Event]:
    """The events that `encode_events` wrote. Raises JournalDamaged for anything else."""
    try:
        found = load(text)
        if not isinstance(found, list):
            raise TypeError("it is no list")
        return [_event(plain) for plain in found]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise JournalDamaged(f"it has something that is no event: {error}") from error


def encode_view(view: RunView) -> str:
    """All of a view but its plan."""
    columns = {name: list(getattr(view, name)) for name in _NUMBERS}
    last = [
        _SAME if of is begun and of is not None else _plain(of) for of, begun in zip(view.last, view.begun, strict=True)
    ]
    plain = {
        **{name: getattr(view, name) for name in RunView.__slots__ if name not in _SPECIAL},
        **columns,
        "states": [str(state) for state in view.states],
        "begun": list(map(_plain, view.begun)),
        "last": last,
        "progress": list(map(_plain, view.progress)),
        "stopping": _plain(view.stopping),
        "finished": _plain(view.finished),
        "counts": {str(state): count for state, count in view.counts.items()},
        "left_behind": list(map(_plain, view.left_behind.values())),
        "brakes": list(map(_plain, view.brakes.values())),
        "open_items": sorted(view.open_items),
        "stale": list(view.stale.items()),
        "missed": list(view.missed.items()),
        "losses": list(view.losses.items()),
        "silent": list(view.silent.items()),
    }
    return dump(plain)


def decode_view(text: str, plan: ExecutionPlan) -> RunView:
    """The view that `encode_view` wrote, whose plan was `plan`. Raises JournalDamaged for anything else."""
    try:
        values = load(text)
        for name in ("former", "missed", "losses", "silent"):
            values.setdefault(name, {})  # records of older versions have none
        for name, read in _VIEW_READERS.items():
            values[name] = read(values[name])
        values["last"] = pvector(
            [
                begun if last == _SAME else _maybe(last)
                for last, begun in zip(values["last"], values["begun"], strict=True)
            ]
        )
        view = RunView(plan=plan, **values)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise JournalDamaged(f"it has something that is no state of a run: {error}") from error
    if len(view.states) != len(plan):
        raise JournalDamaged("it has the state of another plan")
    return view


# -- events ----------------------------------------------------------------------------------------------


def _error(plain: Any) -> UnitError | None:
    if plain is None:
        return None
    kind, message, traceback, code, bases, last_line = plain
    return UnitError(kind, message, traceback, code, tuple(bases), last_line)


_READERS: Final[Mapping[Any, Callable[[Any], Any]]] = {
    **{words: {str(word): word for word in words}.__getitem__ for words in (ExecutionMode, UnitState, RunState)},
    UnitError: _error,
    UnitError | None: _error,
    QuantumUnit: unit_from_plain,
    tuple[QuantumUnit, ...]: lambda plain: tuple(map(unit_from_plain, plain)),
    tuple[int, ...]: tuple,
}
"""How fields of a type are made of what JSON has for them; all others are the same in JSON."""


def _conversions(cls: type) -> tuple[tuple[int, Callable[[Any], Any]], ...]:
    hints = get_type_hints(cls)
    return tuple((at, _READERS[hint]) for at, hint in enumerate(hints.values()) if hint in _READERS)


_SHAPES: Final = {name: (cls, _conversions(cls)) for name, cls in CLASSES.items()}


def _event(plain: list[Any]) -> Event:
    """An event; fields that its class has got since have their defaults."""
    cls, conversions = _SHAPES[plain[0]]
    values = plain[1:]
    for at, read in conversions:
        if at < len(values):
            values[at] = read(values[at])
    return cls(*values)


def _plain(event: Event | None) -> Any:
    return None if event is None else (NAMES[type(event)], *event)


# -- views -----------------------------------------------------------------------------------------------

_SAME: Final = 1
"""Stands for the last event of a unit that is the one that began its attempt."""

_NUMBERS: Final = ("attempts", "bases", "generations")


def _maybe(plain: Any) -> Any:
    return None if plain is None else _event(plain)


def _by_attempt(plain: Iterable[Any]) -> dict[tuple[int, int], Any]:
    return {(event.unit, event.attempt): event for event in map(_maybe, plain)}


def _states(plain: Iterable[str]) -> Any:
    return pvector([_STATES[name] for name in plain])


_STATES: Final = {str(state): state for state in UnitState}
_VIEW_READERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    **dict.fromkeys(_NUMBERS, pvector),
    "state": _READERS[RunState],
    "states": _states,
    "begun": lambda plain: pvector(list(map(_maybe, plain))),
    "progress": lambda plain: pvector(list(map(_maybe, plain))),
    "stopping": _maybe,
    "finished": _maybe,
    "counts": lambda plain: {_STATES[name]: count for name, count in plain.items()},
    "left_behind": _by_attempt,
    "brakes": lambda plain: {event.scope: event for event in map(_maybe, plain)},
    "open_items": frozenset,
    "durations": lambda plain: {family: tuple(known) for family, known in plain.items()},
    "former": lambda plain: {name: tuple(known) for name, known in plain.items()},
    "stale": dict,
    "missed": dict,
    "losses": dict,
    "silent": dict,
}
_SPECIAL: Final = {"plan", "last", "_blamed", *_VIEW_READERS} - {"state", "durations", "former"}
"""The fields of a view that JSON does not have as they are."""


# -- what JSON does not have -----------------------------------------------------------------------------


def _marked(value: Any, plain: Callable[[Any], Any], above: frozenset[int] = frozenset()) -> Any:
    """`value` in words that JSON has."""
    inside = above | {id(value)}
    match value:
        case None | bool() | str():
            return value
        case float():
            return value if isfinite(value) else {"float": str(float(value))}
        case int() if value.bit_length() <= MOST_BITS:
            return value
        case list() | tuple() if id(value) not in above and len(above) < MOST_DEEP:
            return [_marked(item, plain, inside) for item in value]
        case Mapping() if id(value) not in above and len(above) < MOST_DEEP:
            found = {_key(key): _marked(item, plain, inside) for key, item in value.items()}
            return {"float": [found["float"]]} if found.keys() == {"float"} else found
        case QuantumUnit():
            return _marked(plain(value), plain, inside)
    return plain_value(value) if not isinstance(value, list | tuple | Mapping) else {"repr": "..."}


def _key(key: Any) -> str | int:
    return key if isinstance(key, str | int) else str(key)


def _unmarked(found: dict[str, Any]) -> Any:
    """What a dictionary that was read stands for."""
    if found.keys() != {"float"}:
        return found
    (value,) = found.values()
    return _ODD[value] if isinstance(value, str) else {"float": value[0]}
