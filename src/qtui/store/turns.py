"""Whose turn it is: runs of one workflow in one directory know of each other, so that a new one can be refused or wait.

Each takes part with a file in ``STATE/turns``, which it keeps locked for as long as it goes on: the kernel drops the
lock when the process dies. What they decide by these files they decide one at a time, behind another lock, the gate.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from qtui.core.errors import UsageError
from qtui.store.runlock import HEARTBEAT_SECONDS, Holder, RunIsLive, RunLock, find_holder, here, take_lock

POLL_SECONDS: Final = 0.1
"""How often whoever waits looks whether its turn has come."""

_GATE_SECONDS: Final = 10.0
"""How long to wait for the gate, which is held for milliseconds."""

_RUN: Final = "run-"
_WAIT: Final = "wait-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    """Another run of the workflow that goes on or, without `run`, one that waits for its turn as number `ticket`."""

    run: str
    ticket: int
    holder: Holder
    path: Path

    def __str__(self) -> str:
        return f"run {self.run} ({self.holder})" if self.run else f"another one ({self.holder})"


class Turn:
    """The right of a run to go on, until `release` or the end of this process."""

    def __init__(self, place: _Place, run: str, lock: RunLock) -> None:
        self.run, self._place = run, place
        self._lock: RunLock | None = lock

    def release(self) -> None:
        """Let the next one have its turn. Never raises, and may be called twice."""
        lock, self._lock = self._lock, None
        if lock is not None:
            self._place.leave(self._place.of_run(self.run), lock)


def take_turn(
    state_dir: Path,
    workflow: str,
    directory: str,
    policy: str,
    run: str | Callable[[], str],
    *,
    tell: Callable[[str], None] | None = None,
    inside: str = "",
) -> Turn:
    """Take part among the runs of `workflow`, a file or a name, in `directory`, as `run`, or as what it returns then.

    With ``allow`` the turn comes at once, with ``refuse`` only if nobody else has it or waits for it. With ``queue``
    this waits until all that go on have ended and those that came earlier have had their turns: in the order of arrival
    among processes that see each other's locks, but not before one that is allowed to begin at any time. `tell` hears
    who is waited for. `run` is asked when the turn has come. `inside` is the run that this process belongs to.

    Raises UsageError if it is refused, if it would wait for what waits for it, or if there can be no locks.
    """
    own = run if isinstance(run, str) else ""
    make = run if callable(run) else lambda: own
    place = _Place(state_dir, workflow, directory, own)
    with place.gate():
        others = place.others()
        if policy == "allow" or not others:
            return place.enter(make())
        if policy == "refuse":
            raise UsageError(_refused(others[0]))
        if any(other.run == inside for other in others if other.run):
            raise UsageError(
                f"this was started by a unit of run {inside} of the same workflow, which cannot end before: with "
                'concurrency = "queue" both would wait for ever'
            )
        ticket = 1 + max(other.ticket for other in others)
        path = place.of_ticket(ticket)
        lock = take_lock(path, f"number {ticket}", here())
    try:
        return _wait(place, ticket, lock, make, tell or (lambda _: None))
    finally:
        place.leave(path, lock)


def _wait(place: _Place, ticket: int, lock: RunLock, run: Callable[[], str], tell: Callable[[str], None]) -> Turn:
    told, beaten = "", time.monotonic()
    while True:
        ahead = place.others(ticket)
        if not ahead:
            with place.gate():  # somebody may have begun meanwhile
                ahead = place.others(ticket)
                if not ahead:
                    return place.enter(run())
        words = _waiting(ahead)
        if words != told:
            told = words
            tell(words)
        if time.monotonic() - beaten > HEARTBEAT_SECONDS:
            beaten = time.monotonic()
            lock.beat()
        time.sleep(POLL_SECONDS)


def _refused(other: Other) -> str:
    what = "goes on" if other.run else "is about to begin"
    look = f"; qtui attach {other.run} shows it" if other.run else ""
    return f'{other} of this workflow {what} in this directory, and its concurrency is "refuse": nothing was run{look}'


def _waiting(ahead: list[Other]) -> str:
    more = f" and {len(ahead) - 1} more" if len(ahead) > 1 else ""
    return f'waits for {ahead[0]} of this workflow{more} to end, as its concurrency is "queue"; ctrl+c gives up'


class _Place:
    """The files of all that take part for one workflow."""

    def __init__(self, state_dir: Path, workflow: str, directory: str, own: str = "") -> None:
        self._own = own  # a run that goes on, whose own lock is no other's
        key = "\0".join(os.path.realpath(part) if Path(part).is_absolute() else part for part in (workflow, directory))
        digest = hashlib.sha256(os.fsencode(key)).hexdigest()[:32]
        self._runs, self._turns, self._prefix = state_dir / "runs", state_dir / "turns", f"{digest}."
        self._gate = self._turns / f"{digest}.gate"

    def of_run(self, run: str) -> Path:
        """The file of a run that has its turn."""
        return self._turns / f"{self._prefix}{_RUN}{run}"

    def of_ticket(self, ticket: int) -> Path:
        """The file of somebody who waits."""
        return self._turns / f"{self._prefix}{_WAIT}{ticket}"

    @contextmanager
    def gate(self) -> Iterator[None]:
        """While this holds, nobody else enters or leaves. Raises UsageError."""
        _make_private(self._turns)
        deadline = time.monotonic() + _GATE_SECONDS
        while True:
            try:
                lock = take_lock(self._gate, "(their gate)", here())
                break
            except RunIsLive as live:
                if time.monotonic() > deadline:
                    raise UsageError(f"{live.holder} holds {self._gate}: end it if it hangs") from None
            time.sleep(0.002)
        try:
            yield
        finally:
            if not any(self._entries()):  # those who wait for it find out that it is another one
                self._gate.unlink(missing_ok=True)
            lock.release()

    def others(self, before: int | None = None) -> list[Other]:
        """Who goes on, and who waits (with a number below `before`, if that is given) in the order of arrival."""
        found = []
        for path in list(self._entries()):
            kind = path.name.removeprefix(self._prefix)
            run = kind.removeprefix(_RUN) if kind.startswith(_RUN) else ""
            ticket = int(kind.removeprefix(_WAIT)) if not run else 0
            if (before is not None and ticket >= before) or (run and run == self._own):
                continue
            holder = find_holder(path, run or f"number {ticket}")
            if holder is None and run:
                holder = find_holder(self._runs / run / "lock", run)  # where another host gives signs of life
            if holder is not None:
                found.append(Other(run=run, ticket=ticket, holder=holder, path=path))
        return sorted(found, key=lambda other: (other.ticket, other.holder.since))

    def enter(self, run: str) -> Turn:
        """Let the run have its turn; behind the gate only."""
        stays = {self.of_run(run), *(other.path for other in self.others())}
        for path in list(self._entries()):
            if path not in stays:
                path.unlink(missing_ok=True)  # its process has died
        return Turn(self, run, take_lock(self.of_run(run), run, here()))

    def leave(self, path: Path, lock: RunLock) -> None:
        """Take part no longer. Never raises."""
        try:
            with self.gate():
                path.unlink(missing_ok=True)
        except (UsageError, OSError):
            with suppress(OSError):
                path.unlink()
        lock.release()

    def _entries(self) -> Iterator[Path]:
        with suppress(FileNotFoundError), os.scandir(self._turns) as entries:
            for entry in entries:
                rest = entry.name.removeprefix(self._prefix)
                ticket = rest.removeprefix(_WAIT)
                if rest != entry.name and (rest.startswith(_RUN) or (ticket != rest and ticket.isdecimal())):
                    yield self._turns / entry.name


def _make_private(path: Path) -> None:
    """Make the directory, for its owner alone. Raises UsageError if it cannot be made or belongs to others."""
    try:
        for each in (path.parent, path):  # with parents=True, those above would be open to others
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        message = f"{path} cannot be made: {error.strerror or error} (keep runs elsewhere with --state-dir)"
        raise UsageError(message) from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UsageError(f"{path} is not a directory of yours alone: look what it is, then remove it or chmod 700 it")
