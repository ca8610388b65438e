"""Values as texts for people: of any size, from anybody, with secrets in them, and without running their code."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final

from qtui.core.masking import TextMasker

MOST_CHARACTERS: Final = 4_000
"""Of a whole value."""
MOST_OF_TEXT: Final = 1_000
"""Of one text in it."""
_READ: Final = 64 << 10
_MOST_ITEMS: Final = 100
_MOST_DEEP: Final = 8
_MOST_BITS: Final = 4096  # Python refuses to write much longer numbers in decimal
_CUT: Final = "…"
_OF_A_COMMAND: Final = frozenset({"exit_code", "stdout"})


def value_text(value: Any, hide: TextMasker) -> str:
    """`value` much as JSON, with `hide` asked about each text in it before any is cut.

    Only None, booleans, numbers, texts, bytes, lists, tuples, sets and dictionaries are looked into, and of those only
    the classes of Python's own: everything else is told by the name of its class, as its code may do anything.
    """
    parts: list[str] = []
    left = MOST_CHARACTERS
    try:
        for part in _pieces(value, hide, _MOST_DEEP):
            parts.append(part)
            left -= len(part)
            if left < 0:
                return hide.beginning("".join(parts)) + _CUT
    except RuntimeError:  # a thread of the unit's goes on changing what it has returned
        return hide.beginning("".join(parts)) + f"{_CUT} (it is being changed)"
    return hide.text("".join(parts))


def result_text(value: Any, hide: TextMasker) -> str:
    """What a unit has made, for people: a text, and what a command has printed, in its own lines; all else as
    `value_text` has it."""
    if type(value) is str:
        return "".join(_beginning(value, hide))
    if type(value) is dict and value.keys() == _OF_A_COMMAND and type(value["stdout"]) is str:
        printed, rest = _beginning(value["stdout"], hide)
        return f"exit code {value_text(value['exit_code'], hide)}\n{printed.rstrip()}{rest}".rstrip()
    return value_text(value, hide)


def _pieces(value: Any, hide: TextMasker, deep: int) -> Iterator[str]:
    kind = type(value)
    if value is None or kind is bool or kind is float:
        yield json.dumps(value)
    elif kind is int:
        yield str(value) if value.bit_length() <= _MOST_BITS else f"<int of {value.bit_length():,} bits>"
    elif kind is str:
        yield _quoted(value, hide)
    elif kind in (bytes, bytearray):
        yield f"<{kind.__name__} of {len(value):,} bytes>"
    elif kind in _BRACKETS and deep:
        yield from _container(value, hide, deep - 1)
    else:
        yield f"<{hide.text(kind.__module__ + '.' + kind.__qualname__)}>"


_BRACKETS: Final[Mapping[type, tuple[str, str]]] = {
    list: ("[", "]"),
    tuple: ("(", ")"),
    set: ("{", "}"),
    frozenset: ("{", "}"),
    dict: ("{", "}"),
}


def _container(value: Any, hide: TextMasker, deep: int) -> Iterator[str]:
    before, after = _BRACKETS[type(value)]
    yield before
    items: Iterable[Any] = value.items() if type(value) is dict else value
    for at, item in enumerate(islice(items, _MOST_ITEMS)):
        if at:
            yield ", "
        if type(value) is dict:
            yield from _pieces(item[0], hide, deep)
            yield ": "
            item = item[1]
        yield from _pieces(item, hide, deep)
    if len(value) > _MOST_ITEMS:
        yield f", {_CUT} {len(value):,} in all"
    yield after


def _quoted(text: str, hide: TextMasker) -> str:
    shown, rest = _beginning(text, hide)
    return f"{json.dumps(shown, ensure_ascii=False)}{rest}"


def _beginning(text: str, hide: TextMasker) -> tuple[str, str]:
    """As much of a text as is told, and a word about the rest, if there is one."""
    shown = hide.text(text) if len(text) <= _READ else hide.beginning(text[:_READ])
    if len(shown) <= MOST_OF_TEXT and len(text) <= _READ:
        return shown, ""
    return shown[:MOST_OF_TEXT], f"{_CUT} ({len(text):,} characters)"
