"""Parsers of single values: each returns what it promises or raises `Rejected`, saying what was expected."""

from __future__ import annotations

import datetime
import math
import re
import shlex
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final, NamedTuple

from qtui.core.errors import did_you_mean
from qtui.core.model import LONGEST, Fallback
from qtui.core.quantities import bytes_of, seconds_of

Path = tuple[str, ...]

LARGEST: Final = 1 << 60
"""The largest size in bytes."""

MOST_WORKERS: Final = 1024
"""The largest number of workers."""

STOP_SIGNALS: Final = ("TERM", "INT", "HUP", "QUIT", "USR1", "USR2", "KILL")
"""The signals that may ask a command to stop."""

TOO_LARGE: Final = "is too large: whole numbers have 64 bits"
"""What is wrong with a whole number that does not fit: few programs could read it, and Python may not even write it."""

ADDRESS: Final = r"^([a-z][a-z0-9+.-]*://)?([^\s/:@\[\]]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$"
"""Where something listens."""

SHOWN: Final = 60
"""How much of a value an error message quotes, in characters."""


class Fault(NamedTuple):
    """What is wrong with a value.

    `path` leads to it from the value that was parsed; an item of a list is the part ``[2]``. `needle` is the text
    to point at, where only a part of a string is wrong.
    """

    message: str
    hint: str | None = None
    path: Path = ()
    needle: str = ""

    def under(self, *parts: str) -> Fault:
        """The same fault, seen from further up."""
        return self._replace(path=(*parts, *self.path))


class Rejected(ValueError):
    """A value that cannot be used. Without faults: the cause was reported elsewhere."""

    def __init__(self, *faults: Fault) -> None:
        self.faults = faults
        super().__init__("; ".join(fault.message for fault in faults))


def quoted(text: str) -> str:
    """`text` for a message: in quotes, on one line, shortened, with nothing that a terminal would act on."""
    shown = text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
    return '"' + "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in shown) + '"'


def described(value: Any) -> str:
    """What kind of value this is, in TOML's words."""
    match value:
        case bool():
            return "a boolean"
        case str():
            return f"the string {quoted(value)}"
        case int():
            return f"the number {value}" if abs(value) < 1e15 else "a huge number"
        case float():
            return f"the number {value}"
        case list() | tuple() | set() | frozenset():
            return "a list"
        case Mapping():
            return "a table"
        case datetime.date() | datetime.time():
            return "a date or time"
    return f"a value of type {type(value).__name__}"


def expected(what: str, value: Any, hint: str | None = None) -> Rejected:
    """The error for a value of the wrong kind."""
    return Rejected(Fault(f"expected {what}, not {described(value)}", hint))


def fits(value: Any) -> bool:
    """False for a whole number of more than 64 bits."""
    return not isinstance(value, int) or -(1 << 63) <= value < 1 << 63


def anything(value: Any) -> Any:
    """Every value is fine."""
    return value


def text(value: Any) -> str:
    """A string without NUL, which no operating system takes in names, arguments or variables."""
    if not isinstance(value, str):
        raise expected("a string", value)
    if "\0" in value:
        raise Rejected(Fault("contains a NUL character"))
    return value


def filled_text(value: Any) -> str:
    """A string with more than white space in it."""
    if not text(value).strip():
        raise Rejected(Fault("is empty"))
    return str(value)


def label(value: Any) -> str:
    """A short text for the screen: not empty, and only printable characters."""
    if not filled_text(value).isprintable():
        raise Rejected(Fault(f"{quoted(value)} has characters that cannot be shown"))
    return str(value)


def address(value: Any) -> str:
    """Where something listens: ``scheme://host:port``, without a scheme what Dask's configuration has for it."""
    if not re.fullmatch(ADDRESS, label(value), re.ASCII):
        raise Rejected(Fault(f"{quoted(value)} is not an address", 'write "tls://HOST:PORT" or "tcp://HOST:PORT"'))
    return str(value)


def flag(value: Any) -> bool:
    """true or false, nothing that merely looks like it."""
    if not isinstance(value, bool):
        raise expected("true or false", value)
    return value


def integer(least: int, most: int) -> Callable[[Any], int]:
    """A parser of whole numbers between `least` and `most`."""

    def parse(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise expected("a whole number", value)
        if not least <= value <= most:
            raise expected(f"a whole number from {least} to {most}", value)
        return value

    return parse


def number(least: float, most: float) -> Callable[[Any], float]:
    """A parser of finite numbers between `least` and `most`."""

    def parse(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise expected("a number", value)
        if not least <= value <= most:  # false for nan, too
            raise expected(f"a number from {least:g} to {most:g}", value)
        return float(value)

    return parse


def duration(value: Any) -> float:
    """Seconds from a number of them or from a string with units, such as ``"1h30m"`` or ``"500ms"``."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise expected('a duration such as "90s", or a number of seconds', value)
    if isinstance(value, str):
        found = seconds_of(value)
        if found is None:
            hint = f'did you mean "{value}s"?' if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value) else None
            raise expected('a duration such as "90s", "1h30m" or "500ms"', value, hint)
        seconds = found
    elif isinstance(value, float) and not math.isfinite(value):
        raise expected("a finite number of seconds", value)
    else:
        seconds = float(min(max(value, -1), LONGEST + 1))  # a whole number may be too large for a float
    if seconds < 0:
        raise Rejected(Fault("a duration cannot be negative"))
    if seconds > LONGEST:
        raise Rejected(Fault("is longer than qtui can count; leave it out for no limit"))
    return seconds


def positive_duration(value: Any) -> float:
    """A duration of more than nothing."""
    seconds = duration(value)
    if not seconds:
        raise Rejected(Fault("must be longer than 0", "leave it out for no limit"))
    return seconds


def size(value: Any) -> int:
    """Bytes from a number of them or from a string with a unit, such as ``"64M"``; K, M, G and T are powers of 1024."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise expected('a size such as "64M", or a number of bytes', value)
    if isinstance(value, str):
        found = bytes_of(value)
        if found is None:
            raise expected('a size such as "64M" or "1.5G"', value)
        value = found
    count = int(value)
    if not 0 <= count <= LARGEST:
        raise Rejected(Fault("a size cannot be negative" if count < 0 else "is more than any disk holds"))
    return count


def shown_size(count: int) -> str:
    """Bytes as people write them: ``6G``, ``1.5G``."""
    power = min(max(count.bit_length() - 1, 0) // 10, 4)
    return f"{round(count / 1024**power, 1):g}{'BKMGT'[power] if power else ''}"


def signal_name(value: Any) -> str:
    """A signal that may ask a unit to stop, without the SIG."""
    if not isinstance(value, str):
        raise expected("one of " + ", ".join(STOP_SIGNALS), value)
    return str(one_of(STOP_SIGNALS)(value.upper().removeprefix("SIG")))


def one_of(choices: Iterable[str], convert: Callable[[str], Any] = str) -> Callable[[Any], Any]:
    """A parser of the words in `choices`; `convert` makes the value of the word."""
    known = tuple(choices)

    def parse(value: Any) -> Any:
        if not isinstance(value, str):
            raise expected("one of " + ", ".join(known), value)
        if value not in known:
            raise Rejected(Fault(f"{quoted(value)} is not one of {', '.join(known)}", did_you_mean(value, known)))
        return convert(value)

    return parse


def items(value: Any, what: str, parse: Callable[[Any], Any]) -> tuple[Any, ...]:
    """A list, or another collection in Python, with every item parsed; all bad items are told."""
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Collection):
        hint = f"write [{quoted(value)}]" if isinstance(value, str) and len(value) < SHOWN else None
        raise expected(what, value, hint)
    parsed, faults = [], []
    for place, item in enumerate(value):
        try:
            parsed.append(parse(item))
        except Rejected as rejected:
            faults += [fault.under(f"[{place}]") for fault in rejected.faults]
    if faults:
        raise Rejected(*faults)
    return tuple(parsed)


def names(value: Any) -> tuple[str, ...]:
    """The names of units, families and globs."""
    return items(value, "a list of names", label)


def paths(value: Any) -> tuple[str, ...]:
    """The paths of files, or globs for them."""
    return items(value, "a list of paths", filled_text)


def regex(value: Any) -> str:
    """A regular expression."""
    try:
        re.compile(filled_text(value))
    except (re.error, OverflowError, RecursionError) as error:
        raise Rejected(Fault(f"is not a regular expression: {error}")) from None
    return str(value)


def variable(value: Any) -> str:
    """The name of an environment variable."""
    if not isinstance(value, str):
        raise expected("a string", value)
    if not value or not value.isprintable() or "=" in value:
        raise Rejected(Fault(f"{quoted(value)} is not a name for an environment variable"))
    return value


def labels(value: Any) -> frozenset[str]:
    """A set of tags."""
    return frozenset(items(value, "a list of strings", label))


def argv(value: Any) -> tuple[str, ...]:
    """A program and its arguments."""
    words = items(value, "a list of strings", text)
    if not words or not words[0].strip():
        raise Rejected(Fault("names no program"))
    return words


def commands(value: Any) -> tuple[str, ...]:
    """One shell text or a list of them."""
    if isinstance(value, str):
        return (filled_text(value),)
    texts = items(value, "a string or a list of strings", filled_text)
    if not texts:
        raise Rejected(Fault("is empty"))
    return texts


def shell_words(value: Any) -> tuple[str, ...]:
    """A shell and its options, written as one string."""
    try:
        return tuple(shlex.split(filled_text(value)))
    except ValueError as error:
        if isinstance(error, Rejected):
            raise
        raise Rejected(Fault(f"{quoted(value)} cannot be split into words: {error}")) from None


def variables(value: Any) -> dict[str, str]:
    """Environment variables: a table of strings."""
    if not isinstance(value, Mapping):
        raise expected("a table of strings", value)
    faults = []
    for name, content in value.items():
        if not isinstance(name, str) or not name or "=" in name or not name.isprintable():
            faults.append(Fault("is not a name for an environment variable", None, (str(name),)))
            continue
        try:
            text(content)
        except Rejected as rejected:
            hint = f'write "{content}"' if isinstance(content, int | float) and not isinstance(content, bool) else None
            faults += [fault._replace(hint=hint).under(name) for fault in rejected.faults]
    if faults:
        raise Rejected(*faults)
    return dict(value)


def arguments(value: Any) -> dict[str, Any]:
    """Keyword arguments: a table of anything."""
    if not isinstance(value, Mapping):
        raise expected("a table of arguments", value)
    faults = [Fault("is not a name for an argument", None, (str(name),)) for name in value if not _identifies(name)]
    if faults:
        raise Rejected(*faults)
    return dict(value)


def _identifies(name: Any) -> bool:
    return isinstance(name, str) and name.isidentifier()


def fallback(value: Any) -> Fallback:
    """Any value, wrapped."""
    return Fallback(value)
