"""Digests of files, for telling whether they have changed."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from hashlib import blake2b, file_digest
from pathlib import Path

from qtui.engine.plaindata import digest_bytes

CONTENT_MAX = 64 << 20
"""Files with more bytes than this are known by size and time of change only."""

LOOSE = "~"
"""Begins the digest of a file, or of several, that is known by size and time of change only."""

_SETTLED = 2.0
"""Seconds after which a further change of a file surely shows in its times."""

_PIECE = 1 << 20

_Identity = tuple[int, int]


class MissingFile(Exception):
    """There is no such file, or nothing that it could be compared by; the text says what is wrong with its name."""


class FileDigests:
    """Digests of files; one that has not been touched is read once, however many units read it.

    `check` is called before each file is read, and may raise to stop.
    """

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check
        self._known: dict[str, tuple[tuple[int, ...], str]] = {}

    def find(self, pattern: str, directory: str) -> dict[str, str]:
        """The digests of all files that `pattern` means, by name: a file, all files below a directory, or a glob.

        Links are followed, also to directories, but those that ``**`` comes upon. What is below a directory that can be
        reached in several ways is under the first of its names only. Raises MissingFile if there is none, and OSError.
        """
        path = os.path.join(directory, pattern)  # noqa: PTH118
        if os.path.lexists(path) or not any(sign in pattern for sign in "*?["):
            return self._tree(path, pattern, set())
        found: dict[str, str] = {}
        seen: set[_Identity] = set()
        for match in _glob(directory, pattern):
            name = match if os.path.isabs(pattern) else os.path.relpath(match, directory)  # noqa: PTH117
            found |= self._tree(match, name, seen)
        if not found:
            raise MissingFile(f"{pattern} matches no file")
        return found

    def content(self, path: str) -> str:
        """The digest of what is in a file, however large. Raises OSError."""
        digest = blake2b(digest_size=16)
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123
            while piece := file.read(_PIECE):
                self._check()
                digest.update(piece)
        return digest.hexdigest()

    def _tree(self, path: str, name: str, seen: set[_Identity]) -> dict[str, str]:
        """The file, or all files below the directory; directories in `seen` are left out, and new ones added."""
        try:
            status = os.stat(path)  # noqa: PTH116
        except (FileNotFoundError, NotADirectoryError):
            raise MissingFile(f"{name} is missing") from None
        if not stat.S_ISDIR(status.st_mode):
            return {name: self._file(path, name, status)}
        if _identity(status) in seen:
            return {}
        seen.add(_identity(status))
        above = {_identity(os.stat(each)) for each in Path(os.path.realpath(path)).parents}  # noqa: PTH116
        found = {os.path.join(name, ""): "directory"}  # noqa: PTH118
        for at, directories, files in os.walk(path, onerror=_fail, followlinks=True):
            below = name + at[len(path) :]
            found |= self._directories(at, below, directories, seen, above)
            for entry in sorted(files):
                inner = os.path.join(below, entry)  # noqa: PTH118
                found[inner] = self._entry(os.path.join(at, entry), inner)  # noqa: PTH118
        return found

    def _directories(
        self, at: str, name: str, directories: list[str], seen: set[_Identity], above: set[_Identity]
    ) -> dict[str, str]:
        """Leave only those in `directories` that are new and not `above`; of links to others what they say counts."""
        found, further = {}, []
        for entry in sorted(directories):
            inner = os.path.join(at, entry)  # noqa: PTH118
            identity = _identity(os.stat(inner))  # noqa: PTH116
            if identity not in seen and identity not in above:
                seen.add(identity)
                further.append(entry)
            elif os.path.islink(inner):  # noqa: PTH114
                found[os.path.join(name, entry)] = _link(inner)  # noqa: PTH118
        directories[:] = further
        return found

    def _entry(self, path: str, name: str) -> str:
        """A file in a directory; a link that leads nowhere counts as what it says."""
        try:
            status = os.stat(path)  # noqa: PTH116
        except FileNotFoundError:
            return _link(path)
        return self._file(path, name, status)

    def _file(self, path: str, name: str, status: os.stat_result) -> str:
        self._check()
        if not stat.S_ISREG(status.st_mode):
            raise MissingFile(f"{name} is neither a file nor a directory")  # reading a FIFO would wait for a writer
        if status.st_size > CONTENT_MAX:
            return f"{LOOSE}{status.st_size:x}.{status.st_mtime_ns:x}"
        signature = _signature(status)
        known = self._known.get(path)
        if known is not None and known[0] == signature:
            return known[1]
        with open(path, "rb") as file:  # noqa: PTH123
            digest = file_digest(file, lambda: blake2b(digest_size=16)).hexdigest()
            unchanged = _signature(os.fstat(file.fileno())) == signature
        if unchanged and time.time() - max(status.st_mtime, status.st_ctime) > _SETTLED:
            self._known[path] = (signature, digest)
        return digest


def _signature(status: os.stat_result) -> tuple[int, ...]:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _identity(status: os.stat_result) -> _Identity:
    return (status.st_dev, status.st_ino)


def _link(path: str) -> str:
    return digest_bytes(os.fsencode(os.readlink(path)))  # noqa: PTH115


def _fail(error: OSError) -> None:
    raise error


def _glob(directory: str, pattern: str) -> list[str]:
    base = Path(directory)
    if os.path.isabs(pattern):  # noqa: PTH117
        base, pattern = Path("/"), pattern.lstrip("/")
    try:
        return sorted(map(str, base.glob(pattern)))
    except (ValueError, NotImplementedError) as error:
        raise MissingFile(f"{pattern} is no pattern: {error}") from None
