"""Results of units, kept so that a later process can go on with the run.

What is exactly the same after a round trip through JSON is kept as JSON. Everything else is a pickle, which may run any
code when it is loaded, and so is signed under the user's key and never loaded with a wrong signature. Large values are
files of their own, complete and on the disk before their name is.
"""

from __future__ import annotations

import hmac
import io
import json
import math
import os
import pickle
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from qtui.core.errors import Canceled, QtuiError
from qtui.store.journal import StoredResult
from qtui.store.rundir import RunDirectory

ROW_BYTES: Final = 64 << 10
"""The largest value that stands in the journal itself."""

_JSON_PARTS: Final = 10_000
_JSON_DEPTH: Final = 64
_JSON_BITS: Final = 1024
"""What is larger, deeper or more is not tried as JSON: looking through it would take longer than pickling it."""

_encode_json: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
_NONE: Final = pickle.dumps(None, protocol=5)
_STACK_GLOBAL: Final = b"\x93"
_FILE: Final = re.compile(r"results/([0-9a-f]{64})")
_KINDS: Final = frozenset({"pickle", "bytes", "bytearray"})


class PackedValue(Protocol):
    """A value as bytes: `data` is its pickle, or `path` a file with pieces of `sizes` bytes, the pickle first; of
    another `kind` than ``pickle`` the file is the value."""

    @property
    def data(self) -> bytes:
        """The pickle of a small value."""

    @property
    def path(self) -> str:
        """The file of a large one."""

    @property
    def sizes(self) -> Sequence[int]:
        """The sizes of the pieces in the file."""

    @property
    def kind(self) -> str:
        """``pickle``, ``bytes`` or ``bytearray``."""


Pack = Callable[[Any, Callable[[], str]], PackedValue]
"""Makes a value bytes; a large one is written to the file whose path the second argument gives. May raise anything."""


class Verified(NamedTuple):
    """Bytes that our key vouches for; the fields are those of a PackedValue. A file stays where it is: it belongs to
    the run."""

    data: bytes
    path: str = ""
    sizes: tuple[int, ...] = ()
    kind: str = "pickle"


class ResultUnusable(QtuiError):
    """A result that was not kept, or that cannot be trusted; the message says why."""


class ResultStore:
    """Keeps the results of one run. Any thread may call it, several at a time.

    Values of more than `persist_max` bytes are not kept; None means no limit.
    """

    def __init__(self, directory: RunDirectory, key: bytes, persist_max: int | None, pack: Pack) -> None:
        self._directory, self._key, self._max, self._pack = directory, key, persist_max, pack

    def encode(self, number: int, unit: str, attempt: int, value: Any) -> StoredResult:
        """The value of a unit, ready for the journal. What cannot be kept has the kind ``none``, and why."""
        return _tried(StoredResult(number, unit, attempt, "none"), lambda none: self._encode_value(none, value))

    def encode_packed(self, number: int, unit: str, attempt: int, packed: PackedValue) -> StoredResult:
        """As `encode`, of a value that has been packed already. Its file is linked if that is possible; it must never
        change."""
        return _tried(StoredResult(number, unit, attempt, "none"), lambda none: self._encode_packed(none, packed))

    def load(self, stored: StoredResult) -> Any:
        """The value if it was kept as JSON, else Verified bytes of it. Never loads a pickle. Raises ResultUnusable."""
        if stored.kind == "none":
            raise ResultUnusable(f"the result of {stored.id} was not kept: {stored.why}")
        if stored.kind == "json":
            try:
                return json.loads(stored.data)
            except (ValueError, RecursionError):
                raise ResultUnusable(f"the stored result of {stored.id} is damaged") from None
        if stored.kind == "pickle":
            self._verify(stored, self._signature(stored, Verified(b""), stored.data))
            return Verified(stored.data)
        return self._load_file(stored)

    def sweep(self) -> None:
        """Remove what a process left that died while it wrote; for whoever holds the run's lock."""
        for path in self._directory.results.glob(".new-*"):
            path.unlink(missing_ok=True)

    def remove_others(self, referred: Collection[str]) -> None:
        """Remove values that are not among the paths `referred`, those of the journal: units have made others since.

        For whoever holds the run's lock, once nothing more is written and the journal is on the disk itself: a loss of
        power must not bring back a row whose file is gone. What cannot be removed stays, and is tried again the next
        time.
        """
        with suppress(OSError):
            for path in self._directory.results.iterdir():
                name = f"results/{path.name}"
                if name not in referred and _FILE.fullmatch(name):
                    path.unlink(missing_ok=True)

    # -- keeping -----------------------------------------------------------------------------------------

    def _encode_value(self, stored: StoredResult, value: Any) -> StoredResult:
        text = _json_of(value)
        if text is not None:
            self._check_size(len(text))
            return stored._replace(kind="json", data=text)
        with suppress(TypeError):  # what is no bytes or array tells its size only by being pickled
            self._check_size(memoryview(value).nbytes)
        packed = self._pack(value, self._new_file)
        try:
            return self._sign(stored, packed, Path(packed.path) if packed.path else None)
        finally:
            if packed.path:
                Path(packed.path).unlink(missing_ok=True)

    def _encode_packed(self, stored: StoredResult, packed: PackedValue) -> StoredResult:
        if not packed.path and len(packed.data) <= ROW_BYTES:
            text = _json_of_pickle(packed.data)
            if text is not None:
                self._check_size(len(text))
                return stored._replace(kind="json", data=text)
        return self._sign(stored, packed, None)

    def _sign(self, stored: StoredResult, packed: PackedValue, new: Path | None) -> StoredResult:
        """`new` is the value's file if it is here already."""
        self._check_size(sum(packed.sizes) if packed.path else len(packed.data))
        if not packed.path and len(packed.data) <= ROW_BYTES:
            stored = stored._replace(kind="pickle", data=packed.data)
            return stored._replace(digest=self._signature(stored, Verified(b""), packed.data))
        sizes = tuple(packed.sizes) if packed.path else (len(packed.data),)
        about = Verified(b"", packed.path, sizes, packed.kind)
        header = json.dumps({"kind": about.kind, "sizes": about.sizes}).encode()
        stored = stored._replace(kind="file", data=header)
        new = new or self._place(packed)
        try:
            with new.open("rb") as file:
                digest = self._signature(stored, about, file)
                os.fsync(file.fileno())
            new.rename(self._directory.results / digest)
        finally:
            new.unlink(missing_ok=True)
        _sync_directory(self._directory.results)
        return stored._replace(path=f"results/{digest}", digest=digest)

    def _place(self, packed: PackedValue) -> Path:
        """A new file with what is packed."""
        new = Path(self._new_file())
        if packed.path:
            try:
                os.link(packed.path, new)
            except FileNotFoundError:
                raise
            except OSError:  # another file system, or one without links
                shutil.copyfile(packed.path, new)
                new.chmod(0o600)
        else:
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with open(descriptor, "wb") as file:  # noqa: PTH123
                file.write(packed.data)
        return new

    def _new_file(self) -> str:
        self._directory.results.mkdir(mode=0o700, exist_ok=True)
        return str(self._directory.results / f".new-{secrets.token_hex(8)}")

    def _check_size(self, size: int) -> None:
        if self._max is not None and size > self._max:
            raise _TooLarge(f"{_readable(size)} is more than persist_max of {_readable(self._max)}")

    # -- signatures --------------------------------------------------------------------------------------

    def _signature(self, stored: StoredResult, about: Verified, content: bytes | io.BufferedIOBase) -> str:
        """Of the bytes, how they are to be read, and whose result they are: none can stand in for another."""
        what = [self._directory.run, stored.id, stored.attempt, stored.kind, about.kind, list(about.sizes)]
        # JSON has no line breaks, so where the bytes begin is clear
        header = b"qtui result 1 " + _encode_json(what).encode() + b"\n"
        if isinstance(content, bytes):
            return hmac.digest(self._key, header + content, "sha256").hex()
        signature = hmac.new(self._key, header, "sha256")
        while chunk := content.read(1 << 20):
            signature.update(chunk)
        return signature.hexdigest()

    def _verify(self, stored: StoredResult, signature: str) -> None:
        if not hmac.compare_digest(stored.digest.encode("utf-8", "replace"), signature.encode()):
            raise ResultUnusable(
                f"the stored result of {stored.id} cannot be trusted: it was changed, or signed with another key"
            )

    def _load_file(self, stored: StoredResult) -> Verified:
        about = _about_file(stored)
        if about is None:
            raise ResultUnusable(f"the stored result of {stored.id} is damaged")
        path = self._directory.path / stored.path
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
            with open(descriptor, "rb") as file:  # noqa: PTH123
                found = os.fstat(descriptor)
                if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
                    raise ResultUnusable(f"the stored result of {stored.id} cannot be trusted: {path} is not yours")
                self._verify(stored, self._signature(stored, about, file))
        except OSError as error:
            raise ResultUnusable(
                f"the stored result of {stored.id} cannot be read: {error.strerror or error} ({path})"
            ) from None
        return about._replace(path=str(path))


class _TooLarge(Exception):
    """A value of more than persist_max bytes."""


def _tried(none: StoredResult, encode: Callable[[StoredResult], StoredResult]) -> StoredResult:
    """What `encode` makes of `none`, or that with the reason why it makes nothing."""
    try:
        return encode(none)
    except Canceled:
        raise
    except _TooLarge as error:
        why = str(error)
    except OSError as error:
        why = f"it cannot be written: {error.strerror or error}"
    except BaseException as error:  # noqa: BLE001  - pickling raises whatever user classes do
        why = f"it cannot be pickled: {_told(error)}"
    return none._replace(why=why)


def _about_file(stored: StoredResult) -> Verified | None:
    """How a file is to be read; None if nobody can tell. It is believed only once the signature is verified."""
    if stored.kind != "file" or not _FILE.fullmatch(stored.path):
        return None
    try:
        header = json.loads(stored.data)
        kind, sizes = header["kind"], header["sizes"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    if kind not in _KINDS or not isinstance(sizes, list) or not all(type(size) is int and size >= 0 for size in sizes):
        return None
    return Verified(b"", stored.path, tuple(sizes), kind)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# -- JSON --------------------------------------------------------------------------------------------------


def _json_of(value: Any) -> bytes | None:
    """The value as JSON, or None if that would not be the very same value."""
    if value is None:  # most units have no result
        return b"null"
    if not _is_json(value):
        return None
    text = _encode_json(value).encode()
    return text if len(text) <= ROW_BYTES else None


def _is_json(value: Any) -> bool:
    """True if a round trip gives equal values of equal types that share the same parts: none."""
    seen: set[int] = set()
    left, waiting = _JSON_PARTS, [(value, _JSON_DEPTH)]
    while waiting:
        item, depth = waiting.pop()
        kind = type(item)
        if kind is list or kind is dict:
            left -= len(item)
            if id(item) in seen or left < 0 or depth == 0:
                return False
            seen.add(id(item))
            if kind is dict and not all(type(key) is str and _is_json_text(key) for key in item):
                return False
            waiting.extend((part, depth - 1) for part in (item.values() if kind is dict else item))
        elif not _is_json_atom(item, kind):
            return False
    return True


def _is_json_atom(item: Any, kind: type) -> bool:
    if kind is str:
        return _is_json_text(item)
    if kind is int:
        return bool(item.bit_length() <= _JSON_BITS)
    if kind is float:
        return math.isfinite(item)
    return item is None or kind is bool


def _is_json_text(text: str) -> bool:
    if len(text) > ROW_BYTES:
        return False
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:  # surrogates: two of them would come back as one character
        return False
    return True


def _json_of_pickle(data: bytes) -> bytes | None:
    """As `_json_of`, of a value that has been pickled, if loading it can run no code."""
    if data == _NONE:
        return b"null"
    if _STACK_GLOBAL in data:
        return None
    try:
        return _json_of(_DataUnpickler(io.BytesIO(data)).load())
    except Exception:  # noqa: BLE001  - then it stays a pickle, and whoever loads it will see
        return None


class _DataUnpickler(pickle.Unpickler):
    """Loads what is made of data alone."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        raise pickle.UnpicklingError(f"{module_name}.{global_name} is no data")


# -- words -------------------------------------------------------------------------------------------------


def _told(error: BaseException) -> str:
    try:
        message = str(error)[:200]
    except Exception:  # noqa: BLE001  - a user's class
        message = ""
    text = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return "".join(sign if sign.isprintable() else " " for sign in text)


def _readable(size: int) -> str:
    amount, unit = float(size), "bytes"
    for larger in ("KB", "MB", "GB", "TB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{amount:.0f} {unit}" if amount == int(amount) or amount >= 100 else f"{amount:.1f} {unit}"
