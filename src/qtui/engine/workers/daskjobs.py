"""Attempts on their way through a Dask cluster, the tasks that carry them, and how many go at a time."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

from qtui.core.model import LOST_WORKER, UnitError
from qtui.engine.failure import describe_exception
from qtui.engine.workers.base import Attempt

WAIT_SECONDS: Final = 0.02
"""How long short units wait for others to be sent with, while every thread of the cluster has work."""

SHARE_SECONDS: Final = 0.05
MOST_SHARING: Final = 16
"""Units share a task if they take no longer than this together, and are no more than that."""

LONG_SECONDS: Final = 1.0
AHEAD_SECONDS: Final = 0.1
MOST_AHEAD: Final = 32
"""How much work waits at each thread of the cluster: of units below `LONG_SECONDS` one, and as many as take
`AHEAD_SECONDS` of shorter ones. To send the next takes some 15 ms."""


class ClusterJob:
    """An attempt on its way. `worker` is the address where it has begun, `read` how much of its output is here.

    Its end is on the way here once it is `ending`; what of it is fetched by `homecoming`. It `came_back` if a shared
    task did not come to it, and is `hopeless` if there was no cluster for it: then the run is being interrupted.
    """

    __slots__ = (
        "attempt",
        "began_at",
        "came_back",
        "ended",
        "ending",
        "homecoming",
        "hopeless",
        "read",
        "task",
        "token",
        "worker",
    )

    def __init__(self, attempt: Attempt, token: str) -> None:
        self.attempt, self.token = attempt, token
        self.task: ClusterTask | None = None
        self.worker = ""
        self.began_at = 0.0
        self.read = 0
        self.came_back = self.ending = self.ended = self.hopeless = False
        self.homecoming: Any = None

    def may_begin_twice(self, keys: Collection[str]) -> bool:
        """Whether Dask begins it again without a word, as a task of its own that is one of these."""
        alone = self.task is not None and self.task.key in keys and len(self.task.jobs) == 1
        return alone and self.attempt.unit.idempotent and not self.attempt.interrupted

    @property
    def key(self) -> tuple[int, int]:
        """Its unit and the attempt's number."""
        return self.attempt.start.unit, self.attempt.start.attempt

    @property
    def number(self) -> int:
        """Its unit."""
        return self.attempt.start.unit

    @property
    def seconds(self) -> float:
        """How long it has run."""
        return time.monotonic() - self.began_at if self.began_at else 0.0


class ClusterTask:
    """A task as Dask has it: one attempt, or several short ones that its worker takes up one after another."""

    def __init__(self, key: str, jobs: list[ClusterJob], parcels: bytes, values: Sequence[Any]) -> None:
        self.key, self.jobs, self.parcels, self.values = key, jobs, parcels, list(values)
        self.future: Any = None
        self.worker = ""
        """Where it has been taken up."""

    @property
    def open_jobs(self) -> list[ClusterJob]:
        """Those of which nobody has told how they ended."""
        return [job for job in self.jobs if not (job.ended or job.ending)]

    def let_go(self) -> None:
        """Let Dask forget it once all of it has ended: else it would run all of it again when the worker is lost."""
        if self.future is not None and not self.open_jobs:
            self.future.release()

    @property
    def useless(self) -> bool:
        """Whether nobody wants anything more of it."""
        return all(job.attempt.interrupted for job in self.open_jobs)


class Pace:
    """How long units usually take, and what follows from that for sending them: short ones go many at a time, as a task
    costs more than they do."""

    def __init__(self) -> None:
        self._usual = 0.0
        self._waiting_since = 0.0

    def note(self, seconds: float) -> None:
        """An attempt has taken so long."""
        if seconds:
            self._usual += (seconds - self._usual) * (0.1 if self._usual else 1.0)

    def ahead(self) -> int:
        """How many units wait at each thread, so that it has work until more of it has come; a power of two, so that it
        seldom changes. None of those that take a second: they would lose one in a hundred by that, and who looks at the
        run takes what is there for running."""
        if not self._usual or self._usual >= LONG_SECONDS:
            return 0
        wanted = min(AHEAD_SECONDS / self._usual, MOST_AHEAD)
        return 1 << max(0, int(wanted).bit_length() - 1)

    def may_wait(self, unsent: int, sent: int, threads: int) -> bool:
        """Whether more units may be waited for to be sent together."""
        now = time.monotonic()
        self._waiting_since = self._waiting_since or now
        enough = unsent >= threads * MOST_SHARING or now - self._waiting_since >= WAIT_SECONDS
        work = sent * self._usual
        return not enough and self._usual < SHARE_SECONDS and work > 2 * WAIT_SECONDS * threads

    def parts(self, jobs: Sequence[ClusterJob], threads: int) -> Iterator[list[ClusterJob]]:
        """Divide attempts that are sent now into those of one task. One that must not run twice has its own: if the
        worker is lost, Dask begins the whole task again. So has one that came back."""
        self._waiting_since = 0.0
        short = SHARE_SECONDS / self._usual if self._usual else 1
        most = max(1, min(int(short), -(-len(jobs) // threads), MOST_SHARING))
        sharing: list[ClusterJob] = []
        for job in jobs:
            if job.came_back or not job.attempt.unit.idempotent:
                yield [job]
                continue
            sharing.append(job)
            if len(sharing) == most:
                yield sharing
                sharing = []
        if sharing:
            yield sharing


def told_by_dask(raised: BaseException) -> UnitError:
    """What it means that Dask could not run a task, or has lost it."""
    what = describe_exception(raised)
    names = (what.type, *what.bases)
    if {"KilledWorker", "FuturesCancelledError", "CancelledError"} & set(names):
        return UnitError(LOST_WORKER, f"Dask has given it up: {what.type}: {what.message}")
    if "ModuleNotFoundError" in names:
        return UnitError("lost", f"its worker cannot run it: {what.message} (install qtui there, in the same version)")
    return UnitError("lost", f"Dask could not run it: {what.type}: {what.message}", bases=names)


def room_words(threads: int, workers: int, unmanned: float | None) -> str:
    """Why there is room for units: threads and workers of the cluster, `unmanned` seconds after it had none."""
    follow = "follow the cluster"
    if unmanned is not None:
        follow = f"go on, as the cluster has workers again after {unmanned:.0f} s"
    ones = "thread" if threads == 1 else "threads"
    return f"{follow}: {threads} {ones} of {workers} worker{'' if workers == 1 else 's'}"
