"""The process worker: a fresh Python that runs one unit after another, told by frames on a socket.

It is started by a keeper, leads a process group of its own, and reaches nothing of the terminal. Whatever a unit does
to it stays in it: qtui sees frames of plain data, or the end of the process.

Frames from qtui (marshalled tuples; `Packed` values as tuples):
  ("init", sys.path, params, bytes of memory above which it is worn, directory for large results)
  ("job", unit, attempt, function, it packed or None if it was sent before, wants context, head, declared, needs,
          what these have added, variables, directory, log, its limit, timeout)
          head: packed (fields of the definition, arguments) or None; declared: (name, units, many);
          needs: (unit, id, state, cause, packed value, None for no value, or True for the value this worker has just
          made); the same of what needs have added, where a cause says why the value of a unit that has completed could
          not be sent
Frames to qtui:
  ("ready", pid)
  ("progress", unit, attempt, done, total, message)
  ("value", packed, whether it stays at hand for the next job, packed units that it adds or None, usage, metrics,
            worn)
  ("error", UnitError, usage, metrics, worn)
  ("canceled", usage, metrics, worn)
`usage` is (seconds, CPU seconds, peak of memory in bytes).
`worn` is "" or why this worker is not to be used again: "leftovers" (children or threads of the unit are still there),
"used" (it is time for a new one: too many units, too much memory, or a unit has changed limits or signals).
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # signal.signal costs 5 us, and each unit pays it
import ctypes
import fcntl
import marshal
import os
import socket
import sys
import termios
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any, TextIO

from qtui.core.errors import Canceled
from qtui.engine import packing
from qtui.engine.addedunits import pack_additions
from qtui.engine.context import ExecutionContext, current_context
from qtui.engine.failure import describe_exception
from qtui.engine.job import Job, leave_fork, load_sent, pack_result, plain_metrics
from qtui.engine.lifeline import arm, own_settings
from qtui.engine.logpage import LogPage
from qtui.engine.procstate import disarm_timers, process_state
from qtui.engine.returned import settled
from qtui.engine.usage import Meter
from qtui.engine.wire import frame

RECYCLE_AFTER = 5000
"""Units after which a worker is replaced: slow leaks of user code end there."""

DRAIN_SECONDS = 1.0
"""The longest that the end of a unit waits for its output to reach the log."""

_MEMORY_CHECK_SECONDS = 0.02
_FIONREAD = termios.FIONREAD
_PAGE = os.sysconf("SC_PAGE_SIZE")
_BUFFER = 1 << 16
_libc = ctypes.CDLL(None)
_c_stdout = ctypes.c_void_p.in_dll(_libc, "stdout")


class Worker:
    """Runs the jobs that come through `channel`; what units print goes through descriptor 1 to the keeper."""

    def __init__(self, channel: int, page: int) -> None:
        self._channel = socket.socket(fileno=channel)
        self._sending = threading.Lock()
        self._page = LogPage(page)
        self._pid = os.getpid()
        self._output = os.dup(1)
        self._stdout, self._stderr = sys.stdout, sys.stderr
        self._home = os.getcwd()  # noqa: PTH109
        self._variables: dict[str, str] = {}
        self._hidden: dict[str, str | None] = {}
        self._functions: dict[int, Any] = {}
        self._unloaded: dict[int, tuple[Any, ...]] = {}
        self._params: tuple[Any, ...] = ()
        self._memory_limit, self._values = 0, ""
        self._meter = Meter()
        self._done, self._jobs = 0, 0
        self._unchecked = 0.0
        self._state: tuple[Any, ...] = ()
        self._context: ExecutionContext | None = None
        self._running = False
        self._told_to_stop = False

    @cached_property
    def params(self) -> Mapping[str, Any]:
        """The run's params."""
        return load_sent(self._params, "the params of the run")  # type: ignore[no-any-return]

    def serve(self) -> None:
        """Work until the channel closes."""
        kept: Any = None
        self._install_signal()
        self._state = process_state()
        os.register_at_fork(after_in_child=_on_fork)
        self.send(("ready", self._pid))
        for kind, *fields in self._frames():
            if kind == "init":
                sys.path[:], self._params, self._memory_limit, self._values = fields
            else:
                self._jobs += 1
                self._page.enter(self._jobs)
                job, kept = Job(self, tuple(fields), kept), None
                answer, kept = self._perform(job)
                self.send(answer)
                if self._told_to_stop or self._page.halted:
                    return
                if answer[-1]:
                    self._wait_for_the_end()

    def _wait_for_the_end(self) -> None:
        """What is left of a unit, or what it has changed here, is gone with this worker: nothing that was sent already
        may begin here."""
        while self._channel.recv(_BUFFER):
            pass
        raise BrokenPipeError

    def _frames(self) -> Iterator[tuple[Any, ...]]:
        """What qtui sends, until it closes the channel."""
        with open(self._channel.fileno(), "rb", _BUFFER, closefd=False) as stream:
            while length := stream.read(4):
                yield marshal.loads(stream.read(int.from_bytes(length, "little")))

    def send(self, message: tuple[Any, ...]) -> None:
        """Send a frame; also from threads of the unit."""
        with self._sending:
            self._channel.sendall(frame(message))

    # -- one unit ----------------------------------------------------------------------------------------

    def _perform(self, job: Job) -> tuple[tuple[Any, ...], Any]:
        """Run a job: the frame that answers it, and its value."""
        self._meter.start()
        metrics: dict[str, Any] = {}
        value: Any = None
        try:
            self._prepare(job)
            context = ExecutionContext(job, job.number, job.attempt, _Log(self._stdout), job.deadline())
            metrics = context.metrics
            self._context = context
            self._running = True
            try:
                # a moment ago, when nothing was there to interrupt; or the job was taken back while it waited here
                if self._told_to_stop or self._page.halted or self._page.may_not(self._jobs):
                    raise Canceled("asked to stop")
                value = self._call(job, context)
                file = f"{self._values}{job.number}.{job.attempt}"
                packed = pack_result(value, lambda: file)
                stays = bool(packed.path) and packing.is_data(value, packed)
                added = pack_additions(context, lambda: f"{file}.added")
                answer: tuple[Any, ...] = ("value", tuple(packed), stays, added)
            finally:
                self._running = False
                disarm_timers()
        except Canceled:
            answer = ("canceled",)
        except BaseException as error:  # noqa: BLE001  - SystemExit and KeyboardInterrupt end the attempt, not the worker
            answer = ("error", tuple(describe_exception(error)))
        if os.getpid() != self._pid:
            leave_fork(answer)  # there can be only one answer
        self._context = None
        if self._told_to_stop:
            answer = ("canceled",)
        self._deliver_output()
        usage = self._meter.read()
        worn = "leftovers" if _leaves_something() else self._worn(usage[0])
        return (*answer, usage, plain_metrics(metrics), worn), value if answer[0] == "value" and answer[2] else None

    def _call(self, job: Job, context: ExecutionContext) -> Any:
        token = current_context.set(context)
        try:
            function, arguments = self._function(job), context.filled(job.arguments())
            return settled(function(context, **arguments) if job.wants_context else function(**arguments))
        finally:
            current_context.reset(token)

    def _function(self, job: Job) -> Any:
        key = job.function
        if job.packed_function is not None:
            self._unloaded[key] = job.packed_function  # kept until it has been loaded: it is sent only once
        if key in self._unloaded:
            self._functions[key] = load_sent(self._unloaded[key], "its function")
            del self._unloaded[key]
        return self._functions[key]

    # -- around it ---------------------------------------------------------------------------------------

    def _prepare(self, job: Job) -> None:
        """Put back what the unit before may have changed, and set what is this one's."""
        self._install_signal()
        for fd in (1, 2):
            os.dup2(self._output, fd)
        if not (_is_open(self._stdout) and _is_open(self._stderr)):
            self._stdout, self._stderr = _output_stream(1), _output_stream(2)
        sys.stdout, sys.stderr = self._stdout, self._stderr
        self._page.point(job.log, job.log_limit)
        os.chdir(os.path.join(self._home, job.directory) if job.directory else self._home)  # noqa: PTH118
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
            if self._variables.get(name) != value or os.environ.get(name) != value:
                os.environ[name] = value
        self._variables = variables

    def _deliver_output(self) -> None:
        """Wait until all that the unit has printed is in its log; costs two system calls if it has printed nothing."""
        if sys.stdout is not self._stdout or sys.stderr is not self._stderr:
            with suppress(BaseException):  # whatever the unit has put there
                sys.stdout.flush()
                sys.stderr.flush()
        with suppress(OSError, ValueError):  # the unit has closed them
            self._stdout.flush()
            self._stderr.flush()
        _libc.fflush(_c_stdout)  # what C code has printed; flushing all of its streams might wait for one in use
        until = time.monotonic() + DRAIN_SECONDS
        while self._output_pending() and time.monotonic() < until:
            self._page.last = True
            time.sleep(0.0002)
        self._page.point("", 0)

    def _output_pending(self) -> bool:
        waiting = fcntl.ioctl(self._output, _FIONREAD, b"\0\0\0\0")
        return waiting != b"\0\0\0\0" or self._page.busy  # in this order: see LogPage

    def _worn(self, seconds: float) -> str:
        self._done += 1
        self._unchecked += seconds
        if self._done >= RECYCLE_AFTER or process_state() != self._state:
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


class _Log:
    """`context.log`, in order with what is printed."""

    path = ""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, data: bytes) -> None:
        """Print it."""
        if _is_open(self._stream):
            self._stream.write(data.decode(errors="replace"))
            self._stream.flush()
        else:
            os.write(1, data)

    def close(self) -> None:
        """Nothing to do."""


def _output_stream(fd: int) -> TextIO:
    """A text stream over a descriptor, which stays open when a unit closes the stream."""
    return open(fd, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)


def _is_open(stream: TextIO) -> bool:
    try:
        return not stream.closed
    except ValueError:  # it was detached
        return False


def _leaves_something() -> bool:
    """True if children or threads of the unit are still there; daemon threads are libraries' monitors."""
    left = threading.active_count() > 1 and any(
        not thread.daemon and thread is not threading.main_thread() for thread in threading.enumerate()
    )
    try:
        while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
            os.waitpid(ended.si_pid, 0)
    except ChildProcessError:
        return left
    return True


def _on_fork() -> None:
    """In a child that a unit forks: it is no worker, and dies of TERM as any process (multiprocessing sends it)."""
    _signal.signal(_signal.SIGTERM, _signal.SIG_DFL)


def main(arguments: list[str]) -> None:
    """``worker PAGE CHANNEL LIFELINE``: three descriptors."""
    page, channel, lifeline = (int(argument) for argument in arguments)
    keeper = os.getppid()
    for fd in (page, channel):
        os.set_inheritable(fd, False)
    arm(own_settings(lifeline), os.getpgrp())
    if os.getppid() != keeper:
        os._exit(1)  # it ended before the line was armed
    _become_subreaper()
    sys.stdout, sys.stderr = _output_stream(1), _output_stream(2)
    sys.argv = [""]
    code = 0
    try:
        Worker(channel, page).serve()
    except (BrokenPipeError, ConnectionResetError):
        pass  # qtui is gone
    except BaseException:  # noqa: BLE001  - it ends here anyway, and says why in the log of the unit
        traceback.print_exc()
        code = 1
    finally:
        os._exit(code)  # without waiting for what units may have registered or left running


def _become_subreaper() -> None:
    _libc.prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: what units leave behind is counted, however it hides
    _libc.prctl(15, b"qtui-worker", 0, 0, 0)  # PR_SET_NAME
