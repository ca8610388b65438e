"""The command lane: shell texts and programs as process groups of their own."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Any

from qtui.core.model import Argv, ExecutionMode, Outcome, Shell, UnitError
from qtui.engine.logs import LogWriter
from qtui.engine.workers.base import Attempt
from qtui.engine.workers.pool import PooledLane

STDOUT_KEPT = 64 * 1024
"""How many of the last bytes of a command's standard output become part of its result."""

DRAIN_SECONDS = 1.0
"""How long to read on after a command's main process has ended while something else holds its pipes open."""

_CHUNK = 64 * 1024


class CommandLane(PooledLane):
    """Each command leads a session and process group; TERM, then after the grace KILL, go to the whole group."""

    def __init__(self) -> None:
        super().__init__(ExecutionMode.COMMAND)

    def perform(self, attempt: Attempt) -> tuple[Outcome, Any]:
        """Run the unit's commands one after another, up to the first that fails."""
        began = time.monotonic()
        context = self._host.open_context(attempt)
        lines = _command_lines(attempt)
        tail = b""
        error: UnitError | None = None
        try:
            for number, argv in enumerate(lines):
                if attempt.interrupted:
                    break
                try:
                    running = _Running(argv, attempt.unit.cwd, context.environment, context.log_writer)
                except OSError as raised:
                    error = _not_started(argv, attempt.unit.cwd, raised)
                    context.log(f"qtui: {error.message}")
                    break
                attempt.kept = running
                if number == 0:
                    self._host.began(attempt.start, running.pid)
                if attempt.interrupted:  # asked to stop between the check above and now
                    running.signal(signal.SIGTERM)
                try:
                    code = running.wait()
                except OSError:  # its output cannot be read: leave no process behind
                    running.end()
                    raise
                tail = (tail + running.tail)[-STDOUT_KEPT:]
                if code != 0:
                    which = f" in command {number + 1} of {len(lines)}" if len(lines) > 1 else ""
                    error = UnitError("exit", describe_exit(code) + which, exit_code=code)
                    break
        finally:
            context.log_writer.close()
        outcome = Outcome(error, attempt.interrupted, False, time.monotonic() - began, context.metrics)
        if attempt.interrupted or error is not None:
            return outcome, None
        return outcome, {"exit_code": 0, "stdout": tail.decode("utf-8", "replace")}

    def interrupt(self, attempt: Attempt) -> None:
        """Send TERM to the command's group."""
        if attempt.kept is not None:
            attempt.kept.signal(signal.SIGTERM)

    def kill(self, attempt: Attempt) -> None:
        """Send KILL to the command's group."""
        if attempt.kept is not None:
            attempt.kept.signal(signal.SIGKILL)


class _Running:
    """A started command: its process, the two pipes it writes to, and the tail of its standard output."""

    def __init__(self, argv: Sequence[str], cwd: str | None, env: Mapping[str, str], log: LogWriter) -> None:
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=dict(env),
            start_new_session=True,
            bufsize=0,
        )
        self.pid = self._process.pid
        self._log = log
        self._reaped = False
        self.tail = b""

    def signal(self, number: int) -> None:
        """Signal the whole group. The leader stays unreaped until `wait` is through, so its id is never another's."""
        if not self._reaped:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def wait(self) -> int:
        """Read output until the command is over; what it left behind in its group is killed. Returns its code."""
        stdout, stderr = self._process.stdout, self._process.stderr
        assert stdout is not None and stderr is not None
        with selectors.DefaultSelector() as selector, stdout, stderr, _exit_descriptor(self.pid) as ended:
            selector.register(stdout, selectors.EVENT_READ)
            selector.register(stderr, selectors.EVENT_READ)
            selector.register(ended, selectors.EVENT_READ)
            deadline: float | None = None
            while len(selector.get_map()) > (0 if deadline is not None else 1):
                timeout = None if deadline is None else deadline - time.monotonic()
                if timeout is not None and timeout <= 0:
                    break
                for key, _ in selector.select(timeout):
                    if key.fileobj is ended:
                        selector.unregister(ended)
                        deadline = time.monotonic() + DRAIN_SECONDS
                        # a background child would hold the pipes open; nothing of a unit outlives the unit
                        self.signal(signal.SIGTERM)
                    elif not self._read(key.fd, is_stdout=key.fileobj is stdout):
                        selector.unregister(key.fileobj)
        self._wait_unreaped()
        return self.end()

    def end(self) -> int:
        """Kill what is left of the group, and reap its leader. Returns its code."""
        self.signal(signal.SIGKILL)
        self._reaped = True
        return self._process.wait()

    def _read(self, fd: int, *, is_stdout: bool) -> bool:
        data = os.read(fd, _CHUNK)
        if data:
            self._log.write(data)
            if is_stdout:
                self.tail = (self.tail + data)[-STDOUT_KEPT:]
        return bool(data)

    def _wait_unreaped(self) -> None:
        """Wait until the leader has ended, but leave it a zombie: that keeps its group's number taken."""
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)


class _exit_descriptor:  # noqa: N801  - used as a with statement only
    """A descriptor that becomes readable when the process ends: a pidfd."""

    def __init__(self, pid: int) -> None:
        self._fd = os.pidfd_open(pid)

    def __enter__(self) -> int:
        return self._fd

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


def describe_exit(code: int) -> str:
    """``exit 3``, or the signal's name for a negative code as subprocess gives it."""
    if code >= 0:
        return f"exit {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "unknown"
    hint = ", probably out of memory" if -code == signal.SIGKILL else ""
    return f"killed by signal {-code} ({name}{hint})"


def _command_lines(attempt: Attempt) -> list[tuple[str, ...]]:
    match attempt.unit.action:
        case Shell(texts, shell):
            return [(*shell, "-c", text) for text in texts]
        case Argv(argv):
            return [argv]
        case action:
            raise TypeError(f"{attempt.unit.id}: the command lane cannot run {action!r}")


def _not_started(argv: Sequence[str], cwd: str | None, raised: OSError) -> UnitError:
    """127 and 126 are what shells answer for a program that is not there or cannot be run."""
    code = 127 if isinstance(raised, FileNotFoundError) else 126
    reason = os.strerror(raised.errno) if raised.errno else str(raised)
    missing = f"in {cwd}: " if cwd and not os.path.isdir(cwd) else ""  # noqa: PTH112
    return UnitError("exit", f"cannot start {argv[0]}: {missing}{reason}", exit_code=code)
