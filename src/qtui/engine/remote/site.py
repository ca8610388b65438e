"""A site: who runs units of one run in one process of a cluster, by the lanes that run them on qtui's own machine."""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from qtui.core.model import Call, Outcome, UnitError
from qtui.engine.failure import describe_exception
from qtui.engine.packing import Packed, pack
from qtui.engine.remote.parcel import Parcel, RemoteValue, inlined
from qtui.engine.remote.siterun import SiteRun
from qtui.engine.remote.work import Work

ASK_SECONDS: Final = 0.5
"""How often it is asked whether an attempt is still wanted."""

TIMEOUT_MORE: Final = 5.0
"""How much longer than its timeout a unit may run: qtui stops it then, unless it is gone."""

MOST_INSIDE: Final = 8192
"""The most bytes of a result, and of a log, that travel inside a message."""

MOST_LOG: Final = 256 * 1024
"""The most bytes of a log in an answer."""

_MOST_REFUSED: Final = 10_000
_HOST: Final = socket.gethostname()
_OF_THE_MACHINE: Final = ("LoadError", "BrokenResult", "lost")
"""Errors that may have to do with the machine on which they happened."""


class Site:
    """The attempts of one run in this process, each on the thread that has called `perform`. Any thread may call it.

    What is on disk lies in `directory`, which is the site's own. `tell` is given what is to be known of an attempt: its
    token, and a message of plain data with a ``kind``. `put` is to keep a large value, by its name.
    """

    def __init__(
        self, directory: str, tell: Callable[[str, dict[str, Any]], None], put: Callable[[str, RemoteValue], None]
    ) -> None:
        self._directory, self._put = directory, put
        self._tell_plain = tell
        self._lock = threading.Lock()
        self._run: SiteRun | None = None
        self._works: dict[str, Work] = {}
        self._refused: dict[str, None] = {}
        self._logs: dict[str, Work] = {}
        self._closed = self._empty = False
        self._used_at = time.monotonic()
        os.makedirs(directory, mode=0o700, exist_ok=True)  # noqa: PTH103

    def idle_since(self) -> float | None:
        """Since when nothing has been here, on the monotonic clock; None if an attempt is."""
        return None if self._works else self._used_at

    def use(self) -> None:
        """Say that an attempt is about to come."""
        self._used_at = time.monotonic()

    def perform(self, parcel: Parcel, values: Sequence[RemoteValue], wanted: Callable[[], bool]) -> None:
        """Run an attempt; returns when it has ended, which was told then.

        `values` are those of its needs to which the parcel points. An attempt that is not `wanted` any more, asked
        every `ASK_SECONDS`, is stopped, and killed after its grace; so is one that runs on `TIMEOUT_MORE` after its
        timeout.
        """
        run = self._run_of(parcel)
        if run is None:
            self.tell(parcel.token, _told(Outcome(canceled=True)))
            return
        try:
            work = run.add(parcel, values)
        except OSError as error:
            message = f"cannot write the files that it is given: {error.strerror or error}{_on_host()}"
            self.tell(parcel.token, _told(Outcome(UnitError("OSError", message))))
            return
        try:
            missing = _missing_directory(work)
            if missing is not None:
                work.end(Outcome(missing))
            elif self._begin(run, work):
                self._see_through(run, work, wanted)
            self._finish(run, work)
        finally:
            with self._lock:
                self._works.pop(parcel.token, None)
            self.use()
            run.remove(work)

    def stop(self, token: str, *, kill: bool) -> bool:
        """Ask an attempt to stop, or kill it; False if it is not here. One that comes later is refused then."""
        with self._lock:
            work = self._works.get(token)
            if work is None or self._run is None:
                self._refused[token] = None
                if len(self._refused) > _MOST_REFUSED:
                    del self._refused[next(iter(self._refused))]
                return False
            self._run.stop(work, kill=kill)
            return True

    def logs(self, offsets: Mapping[str, int]) -> dict[str, tuple[int, bytes]]:
        """What attempts have printed, from these offsets on, by token: the offset of what follows, and up to `MOST_LOG`
        bytes. That offset is further on where output was dropped because the log has reached its limit.

        Attempts that have ended have a log until `forget`, unless all of it was told with their end.
        """
        found: dict[str, tuple[int, bytes]] = {}
        for token, offset in offsets.items():
            work, run = self._logs.get(token), self._run
            if work is not None and run is not None:
                with suppress(KeyError):  # dropped this moment
                    found[token] = _read_on(run, work, offset)
        return found

    def forget(self, tokens: Iterable[str]) -> None:
        """The logs of these attempts are not wanted any more, once they have ended."""
        for token in tokens:
            with self._lock:
                work = None if token in self._works else self._logs.pop(token, None)
            if work is not None and self._run is not None:
                self._run.drop_log(work)

    def close(self) -> None:
        """Kill everything, and remove the directory. Attempts that come now are refused."""
        with self._lock:
            self._closed, run = True, self._run
        if run is not None:
            run.close()
        self._empty = True
        shutil.rmtree(self._directory, ignore_errors=True)

    def tell(self, token: str, message: dict[str, Any]) -> None:
        """Tell something of an attempt, in the form that every encoding of messages takes."""
        self._tell_plain(token, _plain(message))

    # -- one attempt -------------------------------------------------------------------------------------

    def _run_of(self, parcel: Parcel) -> SiteRun | None:
        """The run, made when its first attempt comes; None if all is over."""
        with self._lock:
            if self._closed:
                return None
            if self._run is None:
                self._run = SiteRun(self._directory, parcel, self.tell)
            return self._run

    def _begin(self, run: SiteRun, work: Work) -> bool:
        """Have it run; False if it is not to."""
        token = work.parcel.token
        with self._lock:  # a stop comes before this, or behind the start
            if self._closed or token in self._refused:
                self._refused.pop(token, None)
                return False
            self._works[token] = self._logs[token] = work
            run.begin(work)
        return True

    def _see_through(self, run: SiteRun, work: Work, wanted: Callable[[], bool]) -> None:
        """Wait for its end, and bring that about if nobody else does."""
        kill_at: float | None = None
        while not work.ended.wait(ASK_SECONDS):
            now = time.monotonic()
            if self._empty:  # nothing of it can be there any more
                return
            if kill_at is None:
                if not wanted() or work.overdue(now, TIMEOUT_MORE):
                    kill_at = now + work.parcel.grace
                    run.stop(work, kill=False)
            elif now >= kill_at:
                run.stop(work, kill=True)

    def _finish(self, run: SiteRun, work: Work) -> None:
        token, outcome, value, held = work.parcel.token, work.outcome, None, 0
        added = None
        if outcome.error is None and not outcome.canceled:
            try:
                packed = work.value if isinstance(work.value, Packed) else pack(work.value, run.new_file)
                size = sum(packed.sizes) if packed.path else len(packed.data)
                if size <= MOST_INSIDE:
                    value = list(packed)
                else:
                    self._put(f"{token}/value", RemoteValue.of(packed))
                    held = size
                added = None if work.additions is None else list(inlined(Packed(*work.additions)))
            except Exception as error:  # noqa: BLE001  - the disk is full, or the cluster has gone
                what = describe_exception(error)
                message = f"its result cannot be kept: {what.type}: {what.message}{_on_host()}"
                outcome, value, held = outcome._replace(error=UnitError("lost", message)), None, 0
        self.tell(token, {**_told(outcome), "value": value, "held": held, "added": added, **self._log_of(run, work)})

    def _log_of(self, run: SiteRun, work: Work) -> dict[str, Any]:
        chunk = run.logs.read(work.number, work.parcel.attempt, 0, MOST_INSIDE + 1)
        if len(chunk.data) > MOST_INSIDE or chunk.next < chunk.size:
            return {"log": [chunk.size, b""], "more": True}
        with self._lock:
            self._logs.pop(work.parcel.token, None)
        run.drop_log(work)
        return {"log": [0, chunk.data]}


def _read_on(run: SiteRun, work: Work, offset: int) -> tuple[int, bytes]:
    chunk = run.logs.read(work.number, work.parcel.attempt, offset, MOST_LOG)
    if chunk.next > offset + len(chunk.data):  # a gap, and a line that tells of it
        offset = chunk.next
        chunk = run.logs.read(work.number, work.parcel.attempt, offset, MOST_LOG)
    return offset, chunk.data


def _missing_directory(work: Work) -> UnitError | None:
    """The error of a function whose directory is not there; of commands their keepers tell."""
    cwd = work.unit.cwd
    if not isinstance(work.unit.action, Call) or cwd is None or os.path.isdir(cwd):  # noqa: PTH112
        return None
    return UnitError("FileNotFoundError", f"its directory {cwd} is not there{_on_host()}")


def _told(outcome: Outcome) -> dict[str, Any]:
    """An end without a value, as a message."""
    return {
        "kind": "ended",
        "error": None if outcome.error is None else list(_placed(outcome.error)),
        "canceled": outcome.canceled,
        "abandoned": outcome.abandoned,
        "seconds": outcome.seconds,
        "cpu_seconds": outcome.cpu_seconds,
        "peak_memory": outcome.peak_memory,
        "metrics": dict(outcome.metrics),
        "added": None,
        "value": None,
        "held": 0,
        "log": [0, b""],
    }


def _on_host() -> str:
    return f" (on {_HOST})"


def _placed(error: UnitError) -> UnitError:
    """The error, with the name of the machine where that matters: what qtui could not find, load or start there."""
    by_qtui = error.type in _OF_THE_MACHINE or (not error.traceback and error.message.startswith("cannot "))
    if not by_qtui or error.message.endswith(_on_host()):
        return error
    hint = f" (on {_HOST}, where what it imports has to be, too)" if "ModuleNotFound" in error.message else _on_host()
    return error._replace(message=error.message + hint)


def _plain(value: Any) -> Any:
    """A message as every encoding of messages takes it: lone surrogates are told, and numbers have 64 bits."""
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case dict():
            return {_plain(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case int() if not -(1 << 63) <= value < 1 << 63:
            with suppress(OverflowError):
                return float(value)
            return str(value)
        case _:
            return value
