"""The directories of runs, ``STATE/runs/RUN``: made, checked and found. They are for their owner alone."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from qtui.core.errors import QtuiError, UsageError, did_you_mean
from qtui.store.mounts import network_of
from qtui.store.runlock import Holder, RunIsLive, RunLock, find_holder, here, take_lock

__all__ = [
    "Holder",
    "RunDirectory",
    "RunIsLive",
    "RunLock",
    "default_state_dir",
    "find_run",
    "here",
    "last_change",
    "latest_runs",
    "list_runs",
    "run_directories",
]

JOURNAL: Final = "journal.db"
VALUES: Final = "values"
_ENTRIES: Final = (JOURNAL, "commands.db", "cluster.json", "lock", "logs", "results")
_RUN: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,127}")
_SECOND: Final = len("20260102-030405")
"""The part of a run's id that sorts by time."""

_SHOWN: Final = 6
"""Candidates that are named when a text fits several runs."""
_NONE_LIVE: Final = "nor does one of a workflow of that name go on; qtui history lists them all"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDirectory:
    """The directory of one run. `network` names the network file system it is on (``nfs4``), empty on a local one."""

    run: str
    path: Path
    network: str = ""

    @classmethod
    def create(cls, state_dir: Path, run: str) -> RunDirectory:
        """Make the directory of a new run, and those above, for their owner alone (0700).

        One that is there is taken if it has no journal yet. Raises UsageError if there is one, or if no directory can
        be made or the place is not safe.
        """
        found = cls._find(state_dir, run, make=True)
        if os.path.lexists(found.journal):
            raise UsageError(f"run {run} exists already in {found.path}")
        return found

    @classmethod
    def open(cls, state_dir: Path, run: str) -> RunDirectory:
        """The directory of a run. Raises UsageError if there is none or if it is not safe: see `create`."""
        return cls._find(state_dir, run, make=False)

    @classmethod
    def _find(cls, state_dir: Path, run: str, *, make: bool) -> RunDirectory:
        if not _RUN.fullmatch(run):
            raise UsageError(f'"{run}" is not the id of a run')
        path = state_dir / "runs" / run
        try:
            with _opened_runs(state_dir, make=make) as runs, _opened(run, runs, path, make=make) as directory:
                _check_entries(directory, path)
            return cls(run=run, path=path, network=network_of(path))
        except OSError as error:
            if isinstance(error, FileNotFoundError) and not make:
                raise UsageError(f"there is no run {run} in {state_dir}") from None
            raise UsageError(_not_usable(path, error, make)) from None

    @property
    def journal(self) -> Path:
        """The run's record."""
        return self.path / JOURNAL

    @property
    def commands(self) -> Path:
        """What other processes ask of the run."""
        return self.path / "commands.db"

    @property
    def cluster(self) -> Path:
        """What the workers of its cluster do right now."""
        return self.path / "cluster.json"

    @property
    def logs(self) -> Path:
        """The output of its units."""
        return self.path / "logs"

    @property
    def results(self) -> Path:
        """Values that are too large for the journal."""
        return self.path / "results"

    def clear_values(self) -> None:
        """Remove the values that a process has handed on in files, and was killed before it could; for whoever holds
        the run's lock. What cannot be removed stays."""
        shutil.rmtree(self.path / VALUES, ignore_errors=True)

    def lock(self, holder: Holder | None = None) -> RunLock:
        """Take the run's lock, as this process or as `holder`.

        Raises RunIsLive if somebody else drives the run, and UsageError if it is gone or cannot be locked.
        """
        return take_lock(self.path / "lock", self.run, holder or here())

    def lock_for_removal(self) -> RunLock:
        """As `lock`, for the moment in which the run is removed: works on a full disk too."""
        return take_lock(self.path / "lock", self.run, here(), signed=False)

    def holder(self) -> Holder | None:
        """Who drives the run right now, or None. Raises UsageError if the lock is not ours or cannot be looked at."""
        return find_holder(self.path / "lock", self.run)


def default_state_dir() -> Path:
    """``$XDG_STATE_HOME/qtui``, by default ``~/.local/state/qtui``."""
    home = os.environ.get("XDG_STATE_HOME") or ""
    # the specification says that a relative path is to be ignored
    base = Path(home) if Path(home).is_absolute() else Path.home() / ".local" / "state"
    return base / "qtui"


def list_runs(state_dir: Path) -> list[str]:
    """The ids of all runs that have a journal, oldest first. Raises UsageError if the place is not safe."""
    return [run for run in run_directories(state_dir) if (state_dir / "runs" / run / JOURNAL).exists()]


def latest_runs(state_dir: Path) -> list[str]:
    """As `list_runs`, but those that somebody runs first, the latest taken up before the others, and then the rest,
    what changed last before the others: a run that was resumed is as recent as that."""
    runs = state_dir / "runs"
    return sorted(list_runs(state_dir), key=lambda run: (*_recency(runs / run, run), run), reverse=True)


def _recency(path: Path, run: str) -> tuple[float, int]:
    try:
        holder = find_holder(path / "lock", run)
        return (holder.since or 1.0 if holder is not None else 0.0), last_change(path)
    except (UsageError, OSError):  # whoever opens it is told
        return 0.0, 0


def last_change(path: Path) -> int:
    """When the run in a directory last changed, in nanoseconds (Unix time). Reading a journal does not count, though
    SQLite makes files for it. Raises OSError."""
    stamps = []
    for name in (JOURNAL, f"{JOURNAL}-wal", "logs", "results"):
        try:
            found = (path / name).lstat()
        except FileNotFoundError:
            continue
        if found.st_size:
            stamps.append(found.st_mtime_ns)
    return max(stamps, default=path.stat().st_mtime_ns)


def run_directories(state_dir: Path) -> list[str]:
    """As `list_runs`, with what has no journal: runs of older versions, and those that are just being made."""
    found = []
    try:
        with _opened_runs(state_dir, make=False) as runs, os.scandir(runs) as entries:
            for entry in entries:
                if _RUN.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                    # ids tell the second; runs of one second are told apart by when they last changed
                    changed = entry.stat(follow_symlinks=False).st_mtime_ns
                    found.append((entry.name[:_SECOND], changed, entry.name))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UsageError(_not_usable(state_dir / "runs", error, False)) from None
    return [name for _, _, name in sorted(found)]


def find_run(state_dir: Path, text: str | None = None, *, idle: bool = False) -> RunDirectory:
    """The run whose id `text` is, or fits if that is only one; else the only run that goes on of the
    workflow with that name or file. The first of `latest_runs` without a text, with `idle` the first that nobody runs,
    if there is one.

    Raises UsageError, which names the candidates, and for what `RunDirectory.open` raises it.
    """
    runs = list_runs(state_dir)
    if text is not None and not text.strip():
        raise UsageError("the id of the run is empty; without one it is the latest (an unset variable in a script?)")
    if text is None:
        if not runs:
            raise UsageError(f"there are no runs in {state_dir} yet")
        latest = latest_runs(state_dir)
        free = (run for run in latest if not _recency(state_dir / "runs" / run, run)[0]) if idle else iter(latest)
        return RunDirectory.open(state_dir, next(free, latest[0]))
    fitting = [text] if text in runs else [run for run in runs if _fits(text, run)]
    if len(fitting) == 1:
        return RunDirectory.open(state_dir, fitting[0])
    if fitting:
        raise UsageError(f'"{text}" fits {len(fitting)} runs: {_listed(fitting)}; type more of the id')
    if text in run_directories(state_dir):
        raise UsageError(f"run {text} has no journal; what there is of it is in {state_dir / 'runs' / text}")
    live = _live(state_dir)
    named = [run for run, names in live.items() if text in names]
    if len(named) == 1:
        return RunDirectory.open(state_dir, named[0])
    if named:
        raise UsageError(f'{len(named)} runs of "{text}" go on: {_listed(named)}; name one by its id')
    listed = f"these go on: {_listed([f'{names[0]} {run}' for run, names in live.items()])}" if live else ""
    known = [*runs, *(names[0] for names in live.values())]
    hint = did_you_mean(text, known) or listed or (_NONE_LIVE if runs else "there are none yet")
    raise UsageError(f'there is no run "{text}" in {state_dir} ({hint})')


def find_live_run(state_dir: Path) -> RunDirectory:
    """The only run that goes on. Raises UsageError, which names the candidates, if there are none or several."""
    live = _live(state_dir)
    if len(live) == 1:
        return RunDirectory.open(state_dir, next(iter(live)))
    if not live:
        raise UsageError(f"no run goes on in {state_dir}")
    listed = _listed([f"{names[0]} {run}" for run, names in live.items()])
    raise UsageError(f"{len(live)} runs go on: {listed}; name one")


def _fits(text: str, run: str) -> bool:
    """Whether a run is meant: its id begins or ends so, or the part of it that tells runs of one second apart does."""
    return run.startswith(text) or run.endswith(text) or run.rpartition("-")[2].startswith(text)


def _listed(runs: Sequence[str]) -> str:
    """The last of these, which are the newest."""
    more = f" and {len(runs) - _SHOWN} more" if len(runs) > _SHOWN else ""
    return f"{', '.join(runs[: -_SHOWN - 1 : -1])}{more}"


def _live(state_dir: Path) -> dict[str, tuple[str, ...]]:
    """The runs that go on, the latest last: the name of the workflow of each, and those of its file."""
    from qtui.store.journal_reader import JournalReader  # takes longer to import than to find a run by its id

    found: dict[str, tuple[str, ...]] = {}
    for run in latest_runs(state_dir):
        path = state_dir / "runs" / run
        if not _recency(path, run)[0]:
            break
        with suppress(QtuiError, OSError), closing(JournalReader(path / JOURNAL)) as reader:
            source = str(reader.head.origin.get("source") or "")
            found[run] = (reader.head.name, source, os.path.basename(source))  # noqa: PTH119
    return dict(reversed(found.items()))


# -- what is safe ------------------------------------------------------------------------------------------


@contextmanager
def _opened_runs(state_dir: Path, *, make: bool) -> Iterator[int]:
    """The directory of all runs. Nobody else can change the way to it once it has been checked."""
    if make:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    link = state_dir.lstat()
    if stat.S_ISLNK(link.st_mode) and link.st_uid not in (0, os.geteuid()):
        raise UsageError(f"{state_dir} is a symbolic link that {_owner(link)} made; qtui follows only your own")
    # a person may keep the state elsewhere and link to it, but inside of it everything is what it seems to be
    with (
        _opened(str(state_dir), None, state_dir, make=False, follow=True) as state,
        _opened("runs", state, state_dir / "runs", make=make) as runs,
    ):
        yield runs


@contextmanager
def _opened(name: str, above: int | None, path: Path, *, make: bool, follow: bool = False) -> Iterator[int]:
    """The directory `name` in `above`, checked: for its owner alone. Raises UsageError and OSError."""
    if make:
        with suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=above)
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    try:
        directory = os.open(name, flags, dir_fd=above)
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP):
            raise UsageError(_in_the_way(path)) from None
        raise
    try:
        found = os.fstat(directory)
        if found.st_uid != os.geteuid():
            raise UsageError(
                f"{path} belongs to {_owner(found)}, not to you: work as that user, or elsewhere with --state-dir"
            )
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise UsageError(
                f"others may write to {path} (mode {stat.S_IMODE(found.st_mode):04o}), so what is in it cannot be "
                f"trusted: look whether it is as you left it, then chmod 700 {path}"
            )
        yield directory
    finally:
        os.close(directory)


def _check_entries(directory: int, path: Path) -> None:
    for name in _ENTRIES:
        try:
            found = os.stat(name, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            continue
        if stat.S_ISLNK(found.st_mode):
            raise UsageError(_in_the_way(path / name))
        if found.st_uid != os.geteuid():
            raise UsageError(f"{path / name} belongs to {_owner(found)}, not to you")


def _in_the_way(path: Path) -> str:
    if path.is_symlink():
        return f"{path} is a symbolic link, which qtui does not follow: remove it"
    return f"{path} is in the way: it is no directory"


def _owner(found: os.stat_result) -> str:
    import pwd  # only errors need it

    try:
        return pwd.getpwuid(found.st_uid).pw_name
    except KeyError:
        return f"user {found.st_uid}"


def _not_usable(path: Path, error: OSError, make: bool) -> str:
    what = "made" if make else "read"
    return f"{path} cannot be {what}: {error.strerror or error} (keep runs elsewhere with --state-dir)"
