"""Values on their way between processes: pickled once where they were made, loaded once where they are used.

A value of up to `INLINE_BYTES` travels inside messages. A larger one goes to a file, of which only the name travels:
its large buffers (arrays) are written as they are, out of band of the pickle (PEP 574), and whoever loads the value
maps them into its memory, privately and without a copy. bytes and bytearrays are such a buffer themselves.

What another process could not import (lambdas, what belongs to ``__main__`` or to a workflow file that was loaded by
its path) goes by value, with cloudpickle.
"""

from __future__ import annotations

import importlib
import io
import mmap
import os
import pickle
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from importlib.machinery import ModuleSpec
from operator import attrgetter
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

from qtui.core.errors import BrokenResult, Canceled
from qtui.engine.failure import describe_exception

INLINE_BYTES = 1 << 20
"""The largest value that travels inside a message."""

_STACK_GLOBAL = b"\x93"
_ALIGNMENT = 64
"""Pieces of a file begin at multiples of this: arrays over them are as fast as those that were made in memory."""


class Packed(NamedTuple):
    """A value as bytes: `data` is its pickle, or `path` a file with pieces of `sizes` bytes, the pickle first.

    `kind` is ``pickle``, or ``bytes`` and ``bytearray`` for a file that is nothing else. All fields are plain data.
    """

    data: bytes
    path: str = ""
    sizes: tuple[int, ...] = ()
    kind: str = "pickle"


class ResultError(Exception):
    """A unit returned something that cannot go to other units."""


def pack(value: Any, new_file: Callable[[], str]) -> Packed:
    """`value` as bytes; a large one is written to a file, whose path `new_file` gives.

    Raises what pickling raises (anything: user classes decide), or OSError.
    """
    kind = type(value).__name__
    if type(value) in (bytes, bytearray) and len(value) > INLINE_BYTES:
        path = new_file()
        _write(path, [value])
        return Packed(b"", path, (len(value),), kind)
    data, buffers = _pickle(value)
    if not buffers and len(data) <= INLINE_BYTES:
        return Packed(data)
    pieces: list[Any] = [data, *(buffer.raw() for buffer in buffers)]
    path = new_file()
    _write(path, pieces)
    return Packed(b"", path, tuple(memoryview(piece).nbytes for piece in pieces))


def unpack(packed: Packed) -> Any:
    """The value. Raises what loading raises (anything: user classes decide), or OSError."""
    if not packed.path:
        return pickle.loads(packed.data)
    with open(packed.path, "rb") as file:  # noqa: PTH123
        if packed.kind != "pickle":
            return _read_raw(file, packed)
        # a private mapping: arrays are writable, and what is written stays with this reader
        memory = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    pieces = [memory[start : start + size] for start, size in _places(packed.sizes)]
    return pickle.loads(pieces[0], buffers=pieces[1:])


def pieces_of(packed: Packed) -> list[Any]:
    """Its pieces, those of a file mapped and read only. Raises OSError."""
    if not packed.path:
        return [packed.data]
    with open(packed.path, "rb") as file:  # noqa: PTH123
        memory = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    return [memory[start : start + size] for start, size in _places(packed.sizes)]


def pack_pieces(pieces: Sequence[Any], kind: str, path: str) -> Packed:
    """The value that has these pieces, in a new file. Raises OSError."""
    _write(path, list(pieces))
    return Packed(b"", path, tuple(memoryview(piece).nbytes for piece in pieces), kind)


def load_value(packed: Packed, maker: str) -> Any:
    """The value that the unit `maker` made. Raises BrokenResult, naming it, whatever goes wrong."""
    try:
        return unpack(packed)
    except BaseException as error:
        if isinstance(error, Canceled):
            raise
        what = describe_exception(error)
        raise BrokenResult(f"the result of {maker} cannot be loaded: {what.type}: {what.message}") from error


def is_plain(packed: Packed) -> bool:
    """True if the value surely loads anywhere: an inline pickle that names no class or function."""
    return not packed.path and _STACK_GLOBAL not in packed.data


def names_no_class(packed: Packed) -> bool:
    """True for a value of None, booleans, numbers, texts, bytes, lists, tuples, dictionaries and sets.

    Unlike `is_plain` it looks into files, too. Raises OSError.
    """
    if not packed.path:
        return is_plain(packed)
    if packed.kind != "pickle" or len(packed.sizes) > 1:
        return False
    with open(packed.path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:  # noqa: PTH123
        return data.find(_STACK_GLOBAL) < 0


def is_data(value: Any, packed: Packed) -> bool:
    """True if the value itself is as good as its copy: bytes, arrays and the like, whose classes have no say in it."""
    if packed.kind != "pickle":
        return True
    try:
        memoryview(value)
    except TypeError:
        return False
    return True


def dumps(value: Any) -> bytes:
    """A pickle that another process of ours can load, in one piece. Raises what pickling raises."""
    return _pickle(value, sys.maxsize)[0]


def _pickle(value: Any, in_band: int = INLINE_BYTES) -> tuple[bytes, list[pickle.PickleBuffer]]:
    """The pickle of a value, and those of its buffers that have more than `in_band` bytes."""
    try:
        data, buffers = _pickle_with(_dumps_by_name if _replaced else pickle.dumps, value, in_band)
    except Exception:  # noqa: BLE001  - a lambda, something of __main__, or what cannot be pickled at all
        return _pickle_with(_cloudpickle, value, in_band)
    if _STACK_GLOBAL in data and any(name in data for name in _by_value):
        return _pickle_with(_cloudpickle, value, in_band)
    return data, buffers


def _pickle_with(dump: Callable[..., bytes], value: Any, in_band: int) -> tuple[bytes, list[pickle.PickleBuffer]]:
    buffers: list[pickle.PickleBuffer] = []

    def leave_in_band(buffer: pickle.PickleBuffer) -> bool:
        small = buffer.raw().nbytes <= in_band
        if not small:
            buffers.append(buffer)
        return small

    return dump(value, protocol=5, buffer_callback=leave_in_band), buffers


# -- what goes by name although that leads to another ------------------------------------------------------

_replaced: frozenset[str] = frozenset()
"""Modules of which there are older ones than that in sys.modules; replaced, never changed, as `_by_value` is."""


def note_replaced(names: Iterable[str]) -> None:
    """Let functions and classes of older modules of these names go by name: other processes import what is there."""
    global _replaced
    _replaced |= frozenset(names)


class _ByName(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, (FunctionType, type)) and value.__module__ in _replaced:
            now = _named_in(value.__module__, value.__qualname__)
            if now is not value and type(now) is type(value):
                return _named_in, (value.__module__, value.__qualname__)
        return NotImplemented


def _dumps_by_name(value: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    _ByName(file, **options).dump(value)
    return file.getvalue()


def _named_in(module: str, name: str) -> Any:
    """What an importable module has by that name; None if there is none."""
    try:
        return attrgetter(name)(importlib.import_module(module))
    except (ImportError, AttributeError):
        return None


# -- what goes by value ------------------------------------------------------------------------------------

_known: set[str] = set()
_by_value: tuple[bytes, ...] = (b"__main__",)
"""Names of modules that other processes cannot import; replaced, never changed, as several threads read it."""


def note_modules() -> None:
    """Find the modules that were loaded by path so far; see `note_module`."""
    places = set(sys.path)
    for name, module in list(sys.modules.items()):
        if "." not in name and name not in _known:
            if _lies_in(places, name, module):
                _known.add(name)
            else:
                note_module(name)


def note_module(name: str) -> None:
    """Let what belongs to a module go by value if another process could not import it by its name."""
    global _by_value
    if name in _known:
        return
    _known.add(name)
    module = sys.modules.get(name)
    if name != "__main__" and module is not None and not _importable(name, module):
        import cloudpickle

        cloudpickle.register_pickle_by_value(module)
        _by_value = (*_by_value, name.encode())


def _lies_in(places: set[str], name: str, module: ModuleType) -> bool:
    """A quick look that settles nearly all modules: built in, or a file of that name in a place of sys.path."""
    file = _file_of(module)
    if file is None:
        return True
    path = Path(file)
    if path.stem == "__init__":
        path = path.parent
    return path.name.partition(".")[0] == name and str(path.parent) in places


def _importable(name: str, module: ModuleType) -> bool:
    """Whether its name leads to its file; a workflow file loaded by path has a name that leads nowhere."""
    file = _file_of(module)
    if file is None:
        return getattr(module, "__spec__", None) is not None  # built in or a namespace; else somebody made it by hand
    above = name.rpartition(".")[0]
    places = None
    if above:
        package = sys.modules.get(above)
        places = getattr(package, "__path__", None)
        if package is None or places is None or not _importable(above, package):
            return False
    spec = _find(name, places)
    if spec is None:
        return False
    return not spec.has_location or os.path.realpath(spec.origin or "") == os.path.realpath(file)


def _find(name: str, places: Sequence[str] | None) -> ModuleSpec | None:
    """How the module would be imported. find_spec of importlib.util answers from sys.modules, so not that."""
    for finder in sys.meta_path:
        with suppress(Exception):  # whatever somebody else's finder does
            spec = finder.find_spec(name, places)
            if spec is not None:
                return spec
    return None


def _file_of(module: object) -> str | None:
    try:
        file = getattr(module, "__file__", None)
    except Exception:  # noqa: BLE001  - anything may stand in sys.modules, with any __getattr__
        return None
    return file if isinstance(file, str) else None


def _cloudpickle(value: Any, **options: Any) -> bytes:
    import cloudpickle  # most workers never need it, and it takes 10 ms

    return bytes(cloudpickle.dumps(value, **options))


# -- files -------------------------------------------------------------------------------------------------


def _places(sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Where each piece begins, and its size."""
    start = 0
    for size in sizes:
        yield start, size
        start += size + -size % _ALIGNMENT


def _write(path: str, pieces: list[Any]) -> None:
    """Write pieces to a new file; none is left of it if that fails."""
    try:
        with open(path, "xb", buffering=0, opener=_private) as file:
            views = [memoryview(piece).cast("B") for piece in pieces]
            for view, (start, _) in zip(views, _places([view.nbytes for view in views]), strict=True):
                file.seek(start)
                while view:
                    view = view[file.write(view) :]
    except FileExistsError:
        raise
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(path)  # noqa: PTH108
        raise


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _read_raw(file: Any, packed: Packed) -> bytes | bytearray:
    if packed.kind == "bytes":
        data: bytes = file.raw.readall()
        return data
    value = bytearray(packed.sizes[0])
    file.readinto(value)
    return value
