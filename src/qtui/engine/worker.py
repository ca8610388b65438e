"""The process worker: a fresh Python that runs one unit after another, told by frames on a socket.

It is started by a keeper, leads a process group of its own, and reaches nothing of the terminal. Whatever a unit does
to it stays in it: qtui sees frames of plain data, or the end of the process.

Frames from qtui (marshalled tuples; `Packed` values as tuples):
  ("init", sys.path, params, bytes of memory above which it is worn, directory for large results)
  ("job", unit, attempt, function, its pickle or None if it was sent before, wants context, head, declared, needs,
          variables, directory, log, its limit, deadline)
          head: packed (fields of the definition, arguments) or None; declared: (name, units, many);
          needs: (unit, id, state, packed value, None for no value, or True for the value this worker has just made)
Frames to qtui:
  ("ready", pid)
  ("progress", unit, attempt, done, total, message)
  ("value", packed, whether it stays at hand for the next job, seconds, metrics, worn)
  ("error", UnitError, seconds, metrics, worn)
  ("canceled", seconds, metrics)
`worn` is "" or why this worker is not to be used again: "leftovers" (children or threads of the unit are still there),
"used" (it is time for a new one).
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # signal.signal costs 5 us, and each unit pays it
import fcntl
import os
import pickle
import signal
import socket
import sys
import termios
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any

from qtui.core.errors import Canceled
from qtui.core.model import QuantumUnit, UnitState
from qtui.core.plan import Need
from qtui.engine import packing
from qtui.engine.context import ExecutionContext, current_context
from qtui.engine.failure import describe_exception
from qtui.engine.logpage import LogPage
from qtui.engine.packing import Packed, load_value, pack, unpack
from qtui.engine.wire import FrameReader, frame

RECYCLE_AFTER = 5000
"""Units after which a worker is replaced: slow leaks of user code end there."""

DRAIN_SECONDS = 1.0
"""The longest that the end of a unit waits for its output to reach the log."""

_MEMORY_CHECK_SECONDS = 0.02
_FIONREAD = termios.FIONREAD
_F_SETSIG = 10  # fcntl(2); not in the fcntl module
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Job:
    """One attempt as it was sent, and what ExecutionContext reads of its run (RunFacts)."""

    def __init__(self, worker: Worker, fields: tuple[Any, ...], kept: Any) -> None:
        (
            self.number,
            self.attempt,
            self.function,
            self.pickled_function,
            self.wants_context,
            self._head,
            declared,
            needs,
            self.variables,
            self.directory,
            self.log,
            self.log_limit,
            self.deadline,
        ) = fields
        self._worker = worker
        self.plan = self
        self.params: Mapping[str, Any] = worker.params
        self._definition: dict[str, Any] = {}
        self.declared = {self.number: [Need(*need) for need in declared]}
        self.needs = {self.number: tuple(number for number, *_ in needs)}
        self._ids = {number: name for number, name, *_ in needs}
        self._states = {number: UnitState(state) for number, _, state, _ in needs}
        self._packed = {number: value for number, *_, value in needs if value is not None and value is not True}
        self._values = {number: kept for number, *_, value in needs if value is True}

    @cached_property
    def table(self) -> dict[int, QuantumUnit]:
        """The unit's definition, without action and arguments, and the ids of its needs."""
        return {
            self.number: QuantumUnit(**self._definition),
            **{number: QuantumUnit(id=name) for number, name in self._ids.items()},
        }

    def arguments(self) -> dict[str, Any]:
        """The arguments of the call."""
        if self._head is None:
            return {}
        self._definition, arguments = unpack(Packed(*self._head))
        return arguments  # type: ignore[no-any-return]

    def value_of(self, number: int) -> Any:
        """The value of a need."""
        if number not in self._values:
            packed = self._packed.get(number)
            self._values[number] = None if packed is None else load_value(Packed(*packed), self._ids[number])
        return self._values[number]

    def state_of(self, number: int) -> UnitState:
        """The state of a need."""
        return self._states[number]

    def environment_of(self, number: int) -> dict[str, str]:  # noqa: ARG002  - there is only one unit here
        """The unit's environment, which is the process's while it runs."""
        return dict(os.environ)

    def report_progress(self, number: int, attempt: int, done: float, total: float, message: str) -> None:
        """Pass progress on; called at most once a second."""
        self._worker.send(("progress", number, attempt, float(done), float(total), str(message)))


class Worker:
    """Runs the jobs that come through `channel`; what units print goes through descriptor 1 to the keeper."""

    def __init__(self, channel: int, page: int) -> None:
        self._channel = socket.socket(fileno=channel)
        self._sending = threading.Lock()
        self._page = LogPage(page)
        self._output = os.dup(1)
        self._stdout, self._stderr = sys.stdout, sys.stderr
        self._home = os.getcwd()  # noqa: PTH109
        self._variables: dict[str, str] = {}
        self._hidden: dict[str, str | None] = {}
        self._functions: dict[int, Any] = {}
        self.params: Mapping[str, Any] = {}
        self._memory_limit, self._values = 0, ""
        self._done = 0
        self._unchecked = 0.0
        self._context: ExecutionContext | None = None
        self._running = False
        self._told_to_stop = False

    def serve(self) -> None:
        """Work until the channel closes."""
        frames = FrameReader()
        kept: Any = None
        self._install_signal()
        self.send(("ready", os.getpid()))
        while True:
            data = self._channel.recv(1 << 20)
            if not data:
                return
            for kind, *fields in frames.feed(data):
                if kind == "init":
                    sys.path[:], params, self._memory_limit, self._values = fields
                    self.params = unpack(Packed(*params))
                else:
                    job, kept = Job(self, tuple(fields), kept), None
                    answer, kept = self._perform(job)
                    self.send(answer)
                    if self._told_to_stop:
                        return

    def send(self, message: tuple[Any, ...]) -> None:
        """Send a frame; also from threads of the unit."""
        with self._sending:
            self._channel.sendall(frame(message))

    # -- one unit ----------------------------------------------------------------------------------------

    def _perform(self, job: Job) -> tuple[tuple[Any, ...], Any]:
        """Run a job: the frame that answers it, and its value."""
        began = time.monotonic()
        threads = threading.active_count()
        metrics: dict[str, Any] = {}
        value: Any = None
        try:
            self._prepare(job)
            context = ExecutionContext(job, job.number, job.attempt, _Log(self._stdout), job.deadline)
            metrics = context.metrics
            self._context = context
            self._running = True
            try:
                value = self._call(job, context)
                packed = self._pack(value, job)
                stays = bool(packed.path) and packing.is_data(value, packed)
                answer: tuple[Any, ...] = ("value", tuple(packed), stays)
            finally:
                self._running = False
        except Canceled:
            answer = ("canceled",)
        except BaseException as error:  # noqa: BLE001  - SystemExit and KeyboardInterrupt end the attempt, not the worker
            answer = ("error", tuple(describe_exception(error)))
        self._context = None
        if self._told_to_stop:
            answer = ("canceled",)
        self._deliver_output()
        seconds = time.monotonic() - began
        worn = "leftovers" if self._leaves_something(threads) else self._worn(seconds)
        return (*answer, seconds, _plain_metrics(metrics), worn), value if answer[0] == "value" and answer[2] else None

    def _call(self, job: Job, context: ExecutionContext) -> Any:
        token = current_context.set(context)
        try:
            if job.function not in self._functions:
                self._functions[job.function] = pickle.loads(job.pickled_function)
            function, arguments = self._functions[job.function], job.arguments()
            return function(context, **arguments) if job.wants_context else function(**arguments)
        finally:
            current_context.reset(token)

    def _pack(self, value: Any, job: Job) -> Packed:
        try:
            packed = pack(value, lambda: f"{self._values}{job.number}.{job.attempt}")
            if not packed.path and not packing.is_plain(packed):
                unpack(packed)  # one that cannot be loaded is this unit's mistake, not that of those who need it
        except (Canceled, OSError):
            raise
        except BaseException as error:
            what = describe_exception(error)
            raise ResultError(f"its result cannot be sent to other units: {what.type}: {what.message}") from error
        return packed

    # -- around it ---------------------------------------------------------------------------------------

    def _prepare(self, job: Job) -> None:
        """Put back what the unit before may have changed, and set what is this one's."""
        self._install_signal()
        for fd in (1, 2):
            os.dup2(self._output, fd)
        sys.stdout, sys.stderr = self._stdout, self._stderr
        self._page.point(job.log, job.log_limit)
        os.chdir(job.directory or self._home)
        if job.variables != self._variables:
            self._change_environment(job.variables)

    def _change_environment(self, variables: dict[str, str]) -> None:
        for name in self._variables.keys() - variables.keys():
            before = self._hidden.pop(name)
            if before is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = before
        for name, value in variables.items():
            if name not in self._variables:
                self._hidden[name] = os.environ.get(name)
            if os.environ.get(name) != value:
                os.environ[name] = value
        self._variables = variables

    def _deliver_output(self) -> None:
        """Wait until all that the unit has printed is in its log; costs two system calls if it has printed nothing."""
        with suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        with suppress(BaseException):
            self._stdout.flush()
            self._stderr.flush()
        until = time.monotonic() + DRAIN_SECONDS
        while self._output_pending() and time.monotonic() < until:
            time.sleep(0.0002)
        self._page.point("", 0)

    def _output_pending(self) -> bool:
        waiting = fcntl.ioctl(self._output, _FIONREAD, b"\0\0\0\0")
        return waiting != b"\0\0\0\0" or self._page.busy  # in this order: see LogPage

    def _leaves_something(self, threads: int) -> bool:
        """True if children or threads of the unit are still there; daemon threads are libraries' monitors."""
        left = threading.active_count() > threads and any(
            not thread.daemon and thread is not threading.main_thread() for thread in threading.enumerate()
        )
        try:
            while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
                os.waitpid(ended.si_pid, 0)
        except ChildProcessError:
            return left
        return True

    def _worn(self, seconds: float) -> str:
        self._done += 1
        self._unchecked += seconds
        if self._done >= RECYCLE_AFTER:
            return "used"
        if self._unchecked > _MEMORY_CHECK_SECONDS:
            self._unchecked = 0.0
            with open("/proc/self/statm", "rb") as file:  # noqa: PTH123
                if self._memory_limit and int(file.read().split()[1]) * _PAGE > self._memory_limit:
                    return "used"
        return ""

    # -- stopping ----------------------------------------------------------------------------------------

    def _install_signal(self) -> None:
        _signal.signal(_signal.SIGTERM, self._on_term)

    def _on_term(self, *_: object) -> None:
        """Runs in the main thread, between two steps of whatever that is doing."""
        first, self._told_to_stop = not self._told_to_stop, True
        if self._context is not None:
            self._context.stop()  # not its event: the main thread may be inside that, with its lock
        if self._running and first:
            raise Canceled("asked to stop")
        if self._context is None and not self._running:
            os._exit(0)


class ResultError(Exception):
    """A unit returned something that cannot go to other units."""


class _Log:
    """`context.log`, in order with what is printed."""

    path = ""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, data: bytes) -> None:
        """Print it."""
        self._stream.write(data.decode(errors="replace"))
        self._stream.flush()

    def close(self) -> None:
        """Nothing to do."""


def _plain_metrics(metrics: dict[str, Any]) -> dict[str, Any]:
    """Metrics as exact plain types: a numpy float is a float, but not to marshal."""
    return {str(name): value[:] if isinstance(value, str) else _number(value) for name, value in metrics.items()}


def _number(value: float) -> float:
    return int(value) if isinstance(value, int) else float(value)


def arm_lifeline(fd: int) -> None:
    """Have the kernel kill this process group when the other end of the pipe closes (fcntl(2), F_SETOWN, F_SETSIG).

    A thread that watched the pipe could not run while a unit holds the GIL; PR_SET_PDEATHSIG follows a thread.
    """
    own = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # settings of its own
    os.close(fd)
    fcntl.fcntl(own, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(own, _F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(own, fcntl.F_SETFL, fcntl.fcntl(own, fcntl.F_GETFL) | os.O_ASYNC)


def main(arguments: list[str]) -> None:
    """``worker PAGE CHANNEL LIFELINE``: three descriptors."""
    page, channel, lifeline = (int(argument) for argument in arguments)
    keeper = os.getppid()
    for fd in (page, channel):
        os.set_inheritable(fd, False)
    arm_lifeline(lifeline)
    if os.getppid() != keeper:
        os._exit(1)  # it ended before the line was armed
    _become_subreaper()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="replace", line_buffering=True)  # type: ignore[union-attr]
    sys.argv = [""]
    try:
        Worker(channel, page).serve()
    except (BrokenPipeError, ConnectionResetError):
        pass  # qtui is gone
    finally:
        os._exit(0)  # without waiting for what units may have registered or left running


def _become_subreaper() -> None:
    import ctypes

    libc = ctypes.CDLL(None)
    libc.prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: what units leave behind is counted, however it hides
    libc.prctl(15, b"qtui-worker", 0, 0, 0)  # PR_SET_NAME
