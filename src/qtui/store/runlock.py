"""The lock of a run: whoever drives it holds an flock, which the kernel drops when that process dies.

A few file systems keep locks from other hosts. Whoever holds one therefore also writes down who it is, and shows every
20 seconds that it lives, by the time of the file.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

from qtui.core.errors import UsageError
from qtui.store.boot import boot_id, host_name

HEARTBEAT_SECONDS: Final = 20.0
"""How often whoever holds a lock calls `RunLock.beat`."""

SILENT_SECONDS: Final = 60.0
"""After so long without a sign of life, a holder on another host is taken for dead."""

_LOOKERS_SECONDS: Final = 2.0
"""How long to wait for others who only look whether the lock is held; each takes some microseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds a lock: a process, its host and that host's boot, since when (Unix seconds). A pid of 0 is unknown."""

    pid: int
    host: str
    boot: str
    since: float

    @property
    def is_here(self) -> bool:
        """True if it is on this kernel, so that its lock can be believed and its processes can be looked at."""
        return self.boot == boot_id() if self.boot and boot_id() else self.host == host_name()

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}" if self.pid else "another process"


class RunIsLive(UsageError):
    """Somebody else drives the run; `holder` says who."""

    def __init__(self, run: str, holder: Holder, hint: str = "") -> None:
        self.run, self.holder = run, holder
        super().__init__(f"run {run} is live: {holder} drives it{hint or f' (look at it with: qtui attach {run})'}")


def here() -> Holder:
    """This process, from now on."""
    return Holder(pid=os.getpid(), host=host_name(), boot=boot_id(), since=time.time())


class RunLock:
    """A lock that is held until `release`, or until this process dies; children that it forks never hold it."""

    def __init__(self, descriptor: int, holder: Holder, path: Path, run: str) -> None:
        self._descriptor, self.holder, self._path, self._run = descriptor, holder, path, run
        _held.add(self)

    def beat(self) -> None:
        """Give a sign of life. If that fails, the lock itself still stands."""
        if self._descriptor >= 0:
            with suppress(OSError):
                os.utime(self._descriptor)

    @property
    def stands(self) -> bool:
        """Whether the file is still there: in a new one others would find no lock. Costs 3 us; raises OSError."""
        return self._descriptor >= 0 and _still_named(self._descriptor, self._path)

    def keep(self) -> None:
        """Make the file anew, locked, if it does not stand.

        Raises RunIsLive if somebody else has done so, and UsageError if that cannot be done.
        """
        if self._descriptor >= 0 and not self.stands:
            new = take_lock(self._path, self._run, self.holder)
            self._descriptor, new._descriptor = new._descriptor, self._descriptor
            new._close()

    def release(self) -> None:
        """Let go, for good, and leave word that nothing needs to be waited for. May be called twice."""
        if self._descriptor >= 0:
            with suppress(OSError):  # then other hosts wait for a minute
                os.ftruncate(self._descriptor, 0)
            self._close()

    def __enter__(self) -> RunLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        _held.discard(self)
        os.close(descriptor)


_held: set[RunLock] = set()


def _close_in_child() -> None:
    """A copy of a descriptor keeps an flock: what a unit forks could outlive qtui, and the run would seem to live."""
    for lock in list(_held):
        lock._close()


os.register_at_fork(after_in_child=_close_in_child)


def take_lock(path: Path, run: str, holder: Holder, *, signed: bool = True) -> RunLock:
    """Take the lock `path` of a run. Raises RunIsLive if somebody has it, and UsageError if there can be no lock.

    One that is not `signed` does not say who has it, and nothing is written to its file: that takes no room on the disk
    once there is a file.
    """
    deadline = time.monotonic() + _LOOKERS_SECONDS
    while True:
        descriptor = _open(path, os.O_RDWR | os.O_CREAT, run)
        try:
            if _try_lock(descriptor, path, run, deadline):
                _check_other_host(descriptor, path, run, holder)
                if signed:
                    _sign(descriptor, holder)
                return RunLock(descriptor, holder, path, run)
        except OSError as error:
            os.close(descriptor)
            raise UsageError(_not_lockable(path, error)) from None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        time.sleep(0.002)


def find_holder(path: Path, run: str) -> Holder | None:
    """Who holds the lock `path`, or None.

    A holder on another host counts for a minute after its last sign of life, also where its lock cannot be seen. Raises
    UsageError for what is not a lock of ours.
    """
    try:
        descriptor = _open(path, os.O_RDONLY, run)
    except FileNotFoundError:
        return None
    try:
        if not _lock(descriptor, fcntl.LOCK_SH):
            return _read_holder(descriptor)
        left = _parse(os.pread(descriptor, 4096, 0))
        silence = abs(time.time() - os.fstat(descriptor).st_mtime)
        return left if left is not None and not left.is_here and silence < SILENT_SECONDS else None
    except OSError as error:
        raise UsageError(_not_lockable(path, error)) from None
    finally:
        os.close(descriptor)


def _open(path: Path, flags: int, run: str) -> int:
    """Raises FileNotFoundError if there is none and none is to be made, else UsageError."""
    try:
        # O_NONBLOCK: a pipe in its place must not make us wait for somebody at the other end
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    except FileNotFoundError:
        if not flags & os.O_CREAT:
            raise
        raise UsageError(f"run {run} is gone: {path.parent} does not exist any more") from None
    except OSError as error:
        if path.is_symlink():
            raise UsageError(f"{path} is a symbolic link, which qtui does not follow: remove it") from None
        raise UsageError(f"the lock {path} cannot be opened: {error.strerror}") from None
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
        os.close(descriptor)
        raise UsageError(f"{path} is no lock of yours: remove it if nobody needs it")
    return descriptor


def _try_lock(descriptor: int, path: Path, run: str, deadline: float) -> bool:
    """True once the lock is ours; False to open it anew and try again. Raises RunIsLive."""
    if _lock(descriptor, fcntl.LOCK_EX):
        return _still_named(descriptor, path)
    # those who look take a shared lock: if we get one too, nobody holds the real one
    if not _lock(descriptor, fcntl.LOCK_SH):
        raise RunIsLive(run, _read_holder(descriptor))
    if time.monotonic() > deadline:
        raise UsageError(f"the lock of run {run} is never free, as other processes look at it: try again")
    return False


def _lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _still_named(descriptor: int, path: Path) -> bool:
    """False if the file was removed or replaced between our opening and locking it: others would lock another one."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _check_other_host(descriptor: int, path: Path, run: str, holder: Holder) -> None:
    """Raise RunIsLive if a process on another host may still live, whose lock this file system does not show."""
    left = _parse(os.pread(descriptor, 4096, 0))
    if left is None or left.host == holder.host or (left.boot and left.boot == holder.boot):
        return
    # a file server has a clock of its own: ask it, by a new file, what time it is
    with tempfile.TemporaryFile(dir=path.parent) as probe:
        silence = os.fstat(probe.fileno()).st_mtime - os.fstat(descriptor).st_mtime
    if abs(silence) < SILENT_SECONDS:
        wait = SILENT_SECONDS - silence
        hint = f", or did so {silence:.0f} s ago (if it is dead, try again in {wait:.0f} s)"
        raise RunIsLive(run, left, hint)


def _sign(descriptor: int, holder: Holder) -> None:
    text = json.dumps(asdict(holder)).encode() + b"\n"
    os.pwrite(descriptor, text, 0)
    os.ftruncate(descriptor, len(text))


def _read_holder(descriptor: int) -> Holder:
    """Who has signed; it may be about to."""
    deadline = time.monotonic() + 0.2
    while True:
        holder = _parse(os.pread(descriptor, 4096, 0))
        if holder is not None or time.monotonic() > deadline:
            return holder or Holder(pid=0, host="", boot="", since=0.0)
        time.sleep(0.002)


def _parse(text: bytes) -> Holder | None:
    """None for what says nothing. Only the first line counts: the rest may be of somebody before."""
    try:
        found = json.loads(text.partition(b"\n")[0])
        host = "".join(sign if sign.isprintable() else "?" for sign in str(found["host"]))
        return Holder(pid=int(found["pid"]), host=host, boot=str(found["boot"]), since=float(found["since"]))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None


def _not_lockable(path: Path, error: OSError) -> str:
    return (
        f"{path} cannot be locked: {error.strerror or error}; runs need a place where files can be written and locked "
        "(another one: --state-dir)"
    )
