"""Removes what runs have left, by age and by size; never a run that is live, looked at, or that could still go on."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from qtui.core.errors import QtuiError, UsageError
from qtui.core.model import RunState
from qtui.store.history import History
from qtui.store.journal_reader import JournalReader
from qtui.store.rundir import VALUES, RunDirectory, RunIsLive, last_change, run_directories

KEEP_DAYS: Final = 90.0
MAX_BYTES: Final = 5 << 30
"""What is kept if nobody says otherwise."""

_REMOVED: Final = ".pruned-"
"""Directories that are being removed are called so: no list of runs has them."""


_NO_LOCKS: Final = (errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""What file systems say that lock no directories, or none that are open for reading."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """A run that was removed, or would be: its size on the disk, and why. `error` says why it could not be removed."""

    run: str
    bytes: int
    why: str
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    run: str
    changed: float
    bytes: int


def prune(
    state_dir: Path,
    keep_days: float | None = KEEP_DAYS,
    max_bytes: int | None = MAX_BYTES,
    dry_run: bool = False,
    *,
    unfinished: bool = False,
    spare: Collection[str] = (),
    spared: Callable[[str], object] | None = None,
) -> list[Pruned]:
    """Remove runs that last changed more than `keep_days` days ago, then the oldest until the rest is at most
    `max_bytes`; returns them, oldest first. None is no limit.

    Runs that did not come to their end, and those that cannot be read, go only if `unfinished`; live ones, those that
    are `held_open` and those in `spare` never do. `spared` hears of each that stays for one of these reasons but the
    last, though a limit is against it. Of runs that stay, the values go that a killed process has left. A `dry_run`
    only tells. Raises UsageError if the place is not safe.
    """
    history = History(state_dir)
    candidates = sorted(_candidates(state_dir, history, note=not dry_run), key=lambda each: each.changed)
    if not dry_run:
        _sweep(state_dir / "runs")
    total, now = sum(each.bytes for each in candidates), time.time()
    pruned = []
    for each in candidates:
        why = _why(each, now, keep_days, max_bytes, total) if each.run not in spare else ""
        error = _remove(state_dir, each.run, unfinished=unfinished, dry_run=dry_run) if why else None
        if error is None:
            if why and spared is not None:
                spared(each.run)
            if not dry_run:
                _clear_values(state_dir, each.run)
            continue
        pruned.append(Pruned(run=each.run, bytes=each.bytes, why=why, error=error))
        if not error:
            total -= each.bytes
            if not dry_run:
                history.forget(each.run)
    return pruned


@contextmanager
def held_open(directory: RunDirectory) -> Iterator[None]:
    """While this holds, or until this process dies, nobody on this host removes the run."""
    with _locked(directory.path, fcntl.LOCK_SH):
        yield


@contextmanager
def _locked(path: Path, kind: int) -> Iterator[None]:
    """Hold an flock on the directory itself: its ``lock`` says who runs it, and a reader must not keep others from
    that. Where directories cannot be locked nothing is held. Raises BlockingIOError with LOCK_NB."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _flock(descriptor, kind)
        yield
    finally:
        os.close(descriptor)


def _flock(descriptor: int, kind: int) -> None:
    try:
        fcntl.flock(descriptor, kind)
    except BlockingIOError:
        raise
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise


def _why(run: _Candidate, now: float, keep_days: float | None, max_bytes: int | None, total: int) -> str:
    """Why it is to go; empty if it may stay."""
    days = (now - run.changed) / 86400
    if keep_days is not None and days > keep_days:
        return f"last changed {days:.0f} days ago"
    if max_bytes is not None and total > max_bytes:
        return "the oldest, and all runs together take too much"
    return ""


def _remove(state_dir: Path, run: str, *, unfinished: bool, dry_run: bool) -> str | None:
    """Remove a run: empty once it is done, None if it has to stay, else why that cannot be done."""
    try:
        directory = RunDirectory.open(state_dir, run)
        if directory.holder() is not None or not (unfinished or _finished(directory)):
            return None
        with _locked(directory.path, fcntl.LOCK_EX | fcntl.LOCK_NB):
            if dry_run:
                return ""
            with directory.lock_for_removal():  # nobody can go on with it from here on
                if not (unfinished or _finished(directory)):
                    return None
                removed = directory.path.with_name(f"{_REMOVED}{run}-{secrets.token_hex(4)}")
                directory.path.rename(removed)  # gone at once, or not at all
        shutil.rmtree(removed)
    except (RunIsLive, BlockingIOError):
        return None
    except UsageError as error:
        return str(error)
    except OSError as error:
        return f"{error.filename or run} cannot be removed: {error.strerror or error}"
    return ""


def _clear_values(state_dir: Path, run: str) -> None:
    """Remove what a process has left in a run that nobody runs now."""
    if not (state_dir / "runs" / run / VALUES).is_dir():
        return
    with suppress(UsageError):  # somebody runs it, or it is not safe
        directory = RunDirectory.open(state_dir, run)
        if directory.holder() is None:
            with directory.lock_for_removal():
                directory.clear_values()


def _finished(directory: RunDirectory) -> bool:
    """True if nobody would go on with the run. Older versions kept no journal: what they left is finished."""
    if not directory.journal.exists():
        return True
    try:
        reader = JournalReader(directory.journal)
        try:
            state = reader.view().state
        finally:
            reader.close()
    except QtuiError:  # damaged, or of a newer version: nobody knows
        return False
    return state.ended and state is not RunState.INTERRUPTED


def _sweep(runs: Path) -> None:
    """Remove what is left of directories whose removal was cut short."""
    for path in runs.glob(f"{_REMOVED}*"):
        shutil.rmtree(path, ignore_errors=True)


# -- ages and sizes ----------------------------------------------------------------------------------------


def _candidates(state_dir: Path, history: History, *, note: bool) -> Iterator[_Candidate]:
    known, fresh = history.sizes(), {}
    for run in run_directories(state_dir):
        path = state_dir / "runs" / run
        try:
            stamp = last_change(path)
            if run in known and known[run][0] == stamp:
                size = known[run][1]
            else:
                size = _size(path)
                fresh[run] = (stamp, size)
        except FileNotFoundError:  # somebody else removes it
            continue
        yield _Candidate(run=run, changed=stamp / 1e9, bytes=size)
    if fresh and note:
        history.note_sizes(fresh)


def _size(path: Path) -> int:
    """Bytes on the disk, of all files below but those that come and go with readers."""
    total, waiting = 0, [str(path)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if not entry.name.endswith("-shm"):
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
    return total
