"""The files that units promise to make: they must be there after a success, and are set aside after a failure."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from qtui.core.model import Outcome, UnitError

PARTIAL: Final = ".partial"
"""What the name of an output ends with that an attempt has left unfinished."""

_Signature = tuple[int, ...]


class Outputs:
    """The outputs of one attempt: paths, or globs, from `directory`. Make it right before the attempt begins.

    What was there before is told by its status, not by the clock: the clock of the files may be that of a server.
    """

    def __init__(self, patterns: Iterable[str], directory: str) -> None:
        self._patterns, self._directory = tuple(patterns), directory
        self._since = time.time_ns()
        self._before = {path: _signature(path) for pattern in self._patterns for path in self._find(pattern)}

    def checked(self, outcome: Outcome) -> Outcome:
        """The end of the attempt: a failure if it has succeeded without making all of them."""
        if outcome.error is not None or outcome.canceled:
            return outcome
        missing = [pattern for pattern in self._patterns if not any(map(os.path.exists, self._find(pattern)))]
        if not missing:
            return outcome
        return outcome._replace(error=UnitError("MissingOutput", f"did not make {_listed(missing)}"))

    def set_aside(self) -> list[OSError]:
        """Rename those that the attempt has made or changed to ``NAME.partial``; returns why some could not be."""
        errors = []
        for path in [path for pattern in self._patterns for path in self._find(pattern)]:
            try:
                if self._is_touched(path):
                    _replace(path, path + PARTIAL)
            except OSError as error:
                errors.append(error)
        return errors

    def _is_touched(self, path: str) -> bool:
        """Whether the attempt has made the output or changed it, or for a directory anything in it."""
        before, now = self._before.get(path), _signature(path)
        if now is None:
            return False
        return before != now or (stat.S_ISDIR(now[0]) and any(_times_below(path, self._since)))

    def _find(self, pattern: str) -> Iterator[str]:
        """The paths that are there for a pattern."""
        path = os.path.join(self._directory, pattern).rstrip("/")  # noqa: PTH118
        with suppress(ValueError, NotImplementedError):  # a name or a pattern that no file can have
            if os.path.lexists(path):
                yield path
            elif any(sign in pattern for sign in "*?["):
                base = Path("/" if os.path.isabs(pattern) else self._directory)  # noqa: PTH117
                yield from (str(match) for match in base.glob(pattern.lstrip("/")) if match.suffix != PARTIAL)


def _signature(path: str) -> _Signature | None:
    """What changes with a file; None if there is none."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return stat.S_IFMT(status.st_mode), status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _times_below(directory: str, since: int) -> Iterator[bool]:
    """For each entry below a directory, whether it was changed after `since`.

    Times of files may run 10 ms behind: a change right after `since` may not show, but none from before it does.
    """
    for at, directories, files in os.walk(directory):
        for name in (*directories, *files):
            signature = _signature(os.path.join(at, name))  # noqa: PTH118
            yield signature is not None and signature[-1] > since


def _replace(path: str, target: str) -> None:
    """Rename, in the place of what an earlier attempt may have left there."""
    try:
        os.replace(path, target)  # noqa: PTH105
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.EISDIR, errno.ENOTDIR):
            raise
        if os.path.isdir(target) and not os.path.islink(target):  # noqa: PTH112, PTH114
            shutil.rmtree(target)
        else:
            os.unlink(target)  # noqa: PTH108
        os.replace(path, target)  # noqa: PTH105


def _listed(names: list[str]) -> str:
    """``a, b and c``, and of more than five how many."""
    shown = names if len(names) <= 5 else [*names[:4], f"{len(names) - 4} more"]
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))
