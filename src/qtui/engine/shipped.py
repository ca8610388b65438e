"""What runs at the other end of an executor: one attempt as plain data, with nothing of qtui's process around it."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Final, NamedTuple, Protocol
from weakref import WeakValueDictionary

from qtui.core.errors import Canceled
from qtui.core.model import Outcome, UnitError
from qtui.engine import variables
from qtui.engine.addedunits import pack_additions, with_additions
from qtui.engine.caplog import dropped_line
from qtui.engine.context import ExecutionContext, current_context
from qtui.engine.failure import describe_exception
from qtui.engine.job import Job, leave_fork, load_sent, pack_result, plain_metrics
from qtui.engine.output import UnitOutput
from qtui.engine.packing import Packed
from qtui.engine.returned import settled

MOST_OUTPUT: Final = 1 << 20
"""How many bytes of a unit's output come back with its result."""


class Runnable(Protocol):
    """What is submitted to an executor."""

    def run(self) -> Any:
        """Run the unit; returns what is to go back to qtui."""


LIVE: Final[WeakValueDictionary[str, Any]] = WeakValueDictionary()
"""Attempts of this process by token: one that was pickled, but has come to its own process, is run as it is there."""


def run_job(job: Runnable) -> Any:
    """The function that executors are given: pickled by name, wherever it goes."""
    return job.run()


class Answer(NamedTuple):
    """What comes back from another process; it travels as a tuple of plain values.

    `error` are the fields of a UnitError and `value` those of a Packed, if there is one; `progress` is the last
    (done, total, message), and `added` the fields of a Packed with the units that it adds.
    """

    token: str
    error: tuple[Any, ...] | None
    canceled: bool
    seconds: float
    metrics: dict[str, Any]
    value: tuple[Any, ...] | None
    progress: tuple[float, float, str] | None
    output: bytes
    added: tuple[Any, ...] | None

    @classmethod
    def read(cls, message: Any, token: str) -> Answer | None:
        """The answer to the job of that token, if `message` is one."""
        kinds: tuple[Any, ...] = (str, tuple | None, bool, float, dict, tuple | None, tuple | None, bytes, tuple | None)
        if type(message) is not tuple or len(message) != len(kinds) or message[0] != token:
            return None
        if not all(isinstance(value, kind) for value, kind in zip(message, kinds, strict=True)):
            return None
        return cls(*message)

    def outcome(self) -> Outcome:
        """What the attempt came to."""
        error = None if self.error is None else UnitError(*self.error)
        return with_additions(Outcome(error, self.canceled, False, self.seconds, self.metrics), self.added)

    def packed(self) -> Packed | None:
        """The value, if there is one."""
        return None if self.value is None else Packed(*self.value)


class Shipped:
    """One attempt, sent to another process: the fields of a `Job`, and what else it needs of its run."""

    def __init__(
        self,
        *,
        token: str,
        home: int,
        path: Sequence[str],
        run: str,
        record: str,
        params: tuple[Any, ...] | None,
        values: str,
        job: tuple[Any, ...],
    ) -> None:
        self._token, self._home, self._path = token, home, path
        self._run, self._record, self._params = run, record, params
        self._values, self._fields = values, job

    @cached_property
    def params(self) -> Mapping[str, Any]:
        """The run's params."""
        return {} if self._params is None else load_sent(self._params, "the params of the run")

    def send(self, message: tuple[Any, ...]) -> None:
        """There is no way to qtui but the answer."""
        raise NotImplementedError(f"an executor in another process cannot tell of {message[0]} while a unit runs")

    def environment(self, own: Mapping[str, str]) -> dict[str, str]:
        """This process's environment, and what tells a unit about its run and itself."""
        return {**variables.of_run(os.environ, self._run, self.params, self._record), **own}

    def run(self) -> Any:
        """Run the unit here; returns the fields of the Answer."""
        live = LIVE.get(self._token) if os.getpid() == self._home else None
        if live is not None:
            return live.run()
        began, pid = time.monotonic(), os.getpid()
        _make_ready(self._path)
        job = _SentJob(self, self._fields, None)
        output = _Collected(min(job.log_limit, MOST_OUTPUT))
        context = ExecutionContext(job, job.number, job.attempt, output, job.deadline())
        value: Packed | None = None
        added: tuple[Any, ...] | None = None
        error: UnitError | None = None
        canceled = False
        try:
            value = pack_result(self._call(job, context), lambda: self._new_file(job))
            added = pack_additions(context, lambda: f"{self._new_file(job)}.added")
        except Canceled:
            canceled = True
        except BaseException as raised:  # noqa: BLE001  - SystemExit must not end somebody else's process
            error = describe_exception(raised)
        if os.getpid() != pid:
            leave_fork(("error", error) if error is not None else ("value",))
        answer = Answer(
            token=self._token,
            error=None if error is None else tuple(error),
            canceled=canceled,
            seconds=time.monotonic() - began,
            metrics=plain_metrics(context.metrics),
            value=None if value is None else tuple(value),
            progress=job.progress,
            output=output.text(),
            added=added,
        )
        return tuple(answer)

    def _call(self, job: _SentJob, context: ExecutionContext) -> Any:
        function = load_sent(job.packed_function, "its function")
        arguments = context.filled(job.arguments())
        token = current_context.set(context)
        try:
            return settled(function(context, **arguments) if job.wants_context else function(**arguments))
        finally:
            current_context.reset(token)

    def _new_file(self, job: _SentJob) -> str:
        if not os.path.isdir(self._values):  # noqa: PTH112
            raise OSError("it is too large for a message, and the directory of the run cannot be reached from there")
        return f"{self._values}{job.number}.{job.attempt}"


def arrived(shipped: Shipped) -> Shipped:
    """How a job is unpickled: as what it has become on its way."""
    return shipped


class _SentJob(Job):
    """A job in a process that is not the unit's alone: its environment is the context's only."""

    progress: tuple[float, float, str] | None = None

    def __init__(self, shipped: Shipped, fields: tuple[Any, ...], kept: Any) -> None:
        super().__init__(shipped, fields, kept)
        self._shipped = shipped

    def environment_of(self, number: int) -> dict[str, str]:  # noqa: ARG002  - there is only one unit here
        """The unit's environment; other units may run in this process at the same time."""
        return self._shipped.environment(self.variables)

    def report_progress(self, number: int, attempt: int, done: float, total: float, message: str) -> None:  # noqa: ARG002
        """Keep the last, which goes back with the answer."""
        self.progress = (done, total, message)


class _Collected:
    """What a unit prints, the first and the last half of `limit`."""

    path = ""

    def __init__(self, limit: int) -> None:
        self._half = limit // 2
        self._head, self._tail = bytearray(), bytearray()
        self._dropped = 0
        self._lock = threading.Lock()

    def write(self, data: bytes) -> None:
        """Append."""
        with self._lock:
            room = max(0, self._half - len(self._head))
            self._head += data[:room]
            self._tail += data[room:]
            if len(self._tail) > 2 * self._half:
                self._shorten()

    def close(self) -> None:
        """Nothing to do."""

    def text(self) -> bytes:
        """What is kept of it, with a line for what is not."""
        with self._lock:
            if len(self._tail) > self._half:
                self._shorten()
            return bytes(self._head + (dropped_line(self._dropped) if self._dropped else b"") + self._tail)

    def _shorten(self) -> None:
        more = len(self._tail) - self._half
        self._dropped += more
        del self._tail[:more]


_making_ready = threading.Lock()


def _make_ready(path: Sequence[str]) -> None:
    """Let modules be found where qtui finds them, and what units print go to them; for good, as others may run here."""
    with _making_ready:
        known = set(sys.path)
        sys.path += [place for place in path if place not in known]
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is not None and not isinstance(stream, UnitOutput):
                setattr(sys, name, UnitOutput(stream))
