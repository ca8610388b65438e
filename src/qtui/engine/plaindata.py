"""Digests of plain data and of functions: equal in every process for what is equal, and refused for everything else."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from hashlib import blake2b
from pathlib import PosixPath, PurePosixPath
from tokenize import TokenError
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, Final

from qtui.core.model import FromUnit

_SHOWN_EXACTLY: Final = frozenset(
    {
        type(None),
        type(...),
        bool,
        float,
        complex,
        str,
        date,
        datetime,
        time,
        timedelta,
        Decimal,
        PosixPath,
        PurePosixPath,
    }
)
"""Types whose repr says all there is."""


class NotPlain(Exception):
    """Something holds more than plain data, so nobody can tell whether it is the same another time."""


def digest_bytes(data: bytes) -> str:
    """The digest of bytes, in hexadecimal."""
    return blake2b(data, digest_size=16).hexdigest()


def digest_value(value: Any) -> str:
    """The digest of plain data: None, numbers, texts, bytes, dates, paths, and lists, tuples, dictionaries and sets of
    those. The order of dictionaries and sets does not count. Raises NotPlain, naming the type that is something else.
    """
    try:
        return digest_bytes(_encode(value))
    except RecursionError:
        raise NotPlain("something that holds itself") from None


def _encode(value: Any) -> bytes:
    kind = type(value)
    if kind in _SHOWN_EXACTLY:
        return _tagged(kind, [repr(value).encode()])
    if kind is int:
        return _tagged(kind, [b"%x" % value])  # in decimal, huge ones are refused
    if kind in (bytes, bytearray):
        return _tagged(kind, [value])
    if kind in (list, tuple, FromUnit):
        return _tagged(kind, map(_encode, value))
    if kind in (set, frozenset):
        return _tagged(kind, sorted(map(_encode, value)))
    if kind is dict:
        return _tagged(kind, sorted(_tagged(tuple, (_encode(key), _encode(item))) for key, item in value.items()))
    if kind is CodeType:
        return _tagged(kind, _code_parts(value))
    raise NotPlain(f"a {kind.__qualname__}")


def _tagged(kind: type, parts: Iterable[bytes]) -> bytes:
    """Each part with its length before it: what is made of different parts never looks the same."""
    return b"".join([kind.__name__.encode(), b"(", *(b"%d:%s" % (len(part), part) for part in parts), b")"])


def _code_parts(code: CodeType) -> Iterator[bytes]:
    """What code does, without where it was written. Its constants are plain data, and the code of inner functions."""
    yield code.co_code
    yield code.co_exceptiontable
    for names in (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars):
        yield _encode(names)
    yield _encode((code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags))
    yield _encode(code.co_consts)


class FunctionDigests:
    """Digests of functions; remembers those of their texts, as many units may call one function.

    Both the source text and the compiled code count: a file may have changed since it was imported, and then the text
    alone would speak for code that never ran.
    """

    def __init__(self) -> None:
        self._texts: dict[CodeType, str] = {}

    def of(self, function: Callable[..., Any]) -> str:
        """The digest of a function with its defaults and what it closes over.

        Raises NotPlain, saying which default or variable it is that holds more than plain data.
        """
        return digest_value(list(self._parts(function)))

    def _parts(self, function: Any) -> Iterator[str]:
        while True:
            if isinstance(function, functools.partial):
                given = {str(place): value for place, value in enumerate(function.args, 1)} | function.keywords
                yield _named("the argument", given)
                function = function.func
            elif isinstance(function, MethodType) and isinstance(function.__self__, type):
                yield self._class(function.__self__)
                function = function.__func__
            elif isinstance(function, functools._lru_cache_wrapper):
                function = function.__wrapped__
            else:
                break
        if isinstance(function, FunctionType):
            yield from self._function(function)
        elif isinstance(function, type):
            yield self._class(function)
        elif isinstance(function, BuiltinFunctionType) and isinstance(function.__self__, ModuleType):
            yield f"{function.__module__}.{function.__qualname__}"
        else:
            raise NotPlain(f"it is a {type(function).__qualname__}, not a plain function")

    def _function(self, function: FunctionType) -> Iterator[str]:
        code = function.__code__
        if code not in self._texts:
            self._texts[code] = digest_value([_source(function), code])
        yield self._texts[code]
        defaults = function.__defaults__ or ()
        positional = code.co_varnames[: code.co_argcount]
        yield _named("the default of", dict(zip(positional[len(positional) - len(defaults) :], defaults, strict=True)))
        yield _named("the default of", function.__kwdefaults__ or {})
        cells = zip(code.co_freevars, function.__closure__ or (), strict=True)
        yield _named("the closure variable", {name: _content(cell) for name, cell in cells})

    def _class(self, owner: type) -> str:
        text = _source(owner)
        if not text and owner.__module__ != "builtins":
            raise NotPlain(f"the source of the class {owner.__qualname__} cannot be found")
        return digest_value([f"{owner.__module__}.{owner.__qualname__}", text])


def _source(thing: Any) -> str:
    try:
        return inspect.getsource(thing)
    except (OSError, TypeError, SyntaxError, IndexError, TokenError):  # typed in, made by exec, or its file has changed
        return ""


def _content(cell: Any) -> Any:
    try:
        return [cell.cell_contents]
    except ValueError:  # not assigned yet
        return []


def _named(what: str, values: Mapping[str, Any]) -> str:
    digests = {}
    for name, value in values.items():
        try:
            digests[name] = digest_value(value)
        except NotPlain as found:
            raise NotPlain(f'{what} "{name}" holds {found}') from None
    return digest_value(digests)
