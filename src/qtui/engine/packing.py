"""Values on their way between processes: pickled once where they were made, loaded once where they are used.

A value of up to `INLINE_BYTES` travels inside messages. A larger one goes to a file, of which only the name travels:
its large buffers (arrays) are written as they are, out of band of the pickle (PEP 574), and whoever loads the value
maps them into its memory, privately and without a copy. bytes and bytearrays are such a buffer themselves.
"""

from __future__ import annotations

import importlib.machinery
import mmap
import os
import pickle
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

from qtui.core.errors import BrokenResult, Canceled
from qtui.engine.failure import describe_exception

INLINE_BYTES = 1 << 20
"""The largest value that travels inside a message."""

_STACK_GLOBAL = b"\x93"


class Packed(NamedTuple):
    """A value as bytes: `data` is its pickle, or `path` a file with pieces of `sizes` bytes each, the pickle first.

    `kind` is ``pickle``, or ``bytes`` and ``bytearray`` for a file that is nothing else. All fields are plain data.
    """

    data: bytes
    path: str = ""
    sizes: tuple[int, ...] = ()
    kind: str = "pickle"


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
    pieces, start = [], 0
    for size in packed.sizes:
        pieces.append(memory[start : start + size])
        start += size
    return pickle.loads(pieces[0], buffers=pieces[1:])


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
    """A pickle that another process of ours can load: what it could not import goes by value, with cloudpickle."""
    return _pickle(value)[0]


def _pickle(value: Any) -> tuple[bytes, list[pickle.PickleBuffer]]:
    """The pickle of a value, and its large buffers."""
    try:
        data, buffers = _pickle_with(pickle.dumps, value)
    except Exception:  # noqa: BLE001  - a lambda, something of __main__, or what cannot be pickled at all
        return _pickle_with(_cloudpickle, value)
    if _STACK_GLOBAL in data and (_by_value or b"__main__" in data):
        return _pickle_with(_cloudpickle, value)
    return data, buffers


def _pickle_with(dump: Callable[..., bytes], value: Any) -> tuple[bytes, list[pickle.PickleBuffer]]:
    buffers: list[pickle.PickleBuffer] = []

    def leave_in_band(buffer: pickle.PickleBuffer) -> bool:
        small = buffer.raw().nbytes <= INLINE_BYTES
        if not small:
            buffers.append(buffer)
        return small

    return dump(value, protocol=5, buffer_callback=leave_in_band), buffers


def note_module(name: str) -> None:
    """Let what belongs to a module go by value if another process could not import it by its name."""
    if name in _known:
        return
    _known.add(name)
    module = sys.modules.get(name)
    if name != "__main__" and module is not None and not _importable(module):
        import cloudpickle

        cloudpickle.register_pickle_by_value(module)
        _by_value.add(name)


_known: set[str] = set()
_by_value: set[str] = set()


def _importable(module: ModuleType) -> bool:
    """Whether its name leads to its file; a workflow file loaded by path has a name that leads nowhere."""
    file = getattr(module, "__file__", None)
    if file is None or "." in module.__name__:
        return True  # built in, or part of a package that was imported by name
    spec = importlib.machinery.PathFinder.find_spec(module.__name__)
    return spec is not None and spec.origin is not None and os.path.realpath(spec.origin) == os.path.realpath(file)


def _cloudpickle(value: Any, **options: Any) -> bytes:
    import cloudpickle  # most workers never need it, and it takes 10 ms

    return bytes(cloudpickle.dumps(value, **options))


def _write(path: str, pieces: list[Any]) -> None:
    with open(path, "xb", buffering=0, opener=_private) as file:
        for piece in pieces:
            view = memoryview(piece).cast("B")
            while view:
                view = view[file.write(view) :]


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _read_raw(file: Any, packed: Packed) -> bytes | bytearray:
    if packed.kind == "bytes":
        data: bytes = file.raw.readall()
        return data
    value = bytearray(packed.sizes[0])
    file.readinto(value)
    return value
