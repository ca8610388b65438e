"""A program that has the terminal for itself while it runs."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Final, Self

from qtui.core.errors import UsageError

_KEYS: Final = (signal.SIGINT, signal.SIGQUIT)
_PASSED_ON: Final = (signal.SIGTERM, signal.SIGHUP)
_PR_SET_PDEATHSIG: Final = 1


def in_foreground(argv: Sequence[str], directory: str, environment: Mapping[str, str]) -> int:
    """Run a program with the standard streams of this one; its exit code, 128 and the signal if one has killed it.

    What is typed is for the program alone: ctrl+c interrupts it, and not this one. The terminal has the modes
    that it had before, and if this process is killed so is the program. Call it on the main thread. Raises UsageError
    if it cannot be started.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    ends_too = _ending_with_this()
    with kept_terminal() as lend, _Signals() as signals:
        try:
            process = subprocess.Popen(argv, cwd=directory, env=environment, preexec_fn=ends_too)
        except OSError as error:
            where = f" in {directory}" if error.filename == directory else ""
            raise UsageError(f"cannot start {argv[0]}{where}: {error.strerror}") from None
        lend(process.pid)
        signals.are_for(process)
        code = _waited(process)
    return code if code >= 0 else 128 - code


@contextmanager
def kept_terminal() -> Iterator[Callable[[int], None]]:
    """See to it that the terminal has in the end the modes that it has now, if this process is in front of it.

    What comes is to be called with the process that may put itself in front, as shells do.
    """
    groups = {os.getpgrp()}
    try:
        modes = termios.tcgetattr(0) if os.tcgetpgrp(0) in groups else None
    except (OSError, termios.error):
        modes = None
    try:
        yield groups.add
    finally:
        # who takes the terminal from the background is stopped for it, unless it blocks the signal
        before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTTOU,))
        with suppress(OSError, termios.error):
            if modes is not None and os.tcgetpgrp(0) in groups:  # else the shell has it, after ctrl+z
                os.tcsetpgrp(0, os.getpgrp())
                termios.tcsetattr(0, termios.TCSADRAIN, modes)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _waited(process: subprocess.Popen[Any]) -> int:
    """Wait for the end of a program. A shell that stops itself has a group of its own: this one stops then, too, so
    that the shell in front of both takes over, and continues it. Ctrl+z has reached both where they are one group."""
    while True:
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            process.returncode = os.waitstatus_to_exitcode(status)
            return process.returncode
        if os.getpgid(process.pid) != os.getpgrp():
            os.killpg(0, signal.SIGTSTP)
            os.kill(process.pid, signal.SIGCONT)


def _ending_with_this() -> Callable[[], None]:
    """What has the kernel kill a new process as soon as this thread has ended. A shell that outlived this process would
    take the terminal from the one in front, which then ends."""
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class _Signals:
    """While this holds, signals do not end this process: they are for the other one, which may be about to start."""

    def __init__(self) -> None:
        # what is typed reaches the whole group; without a terminal only this process may have been meant
        self._meant = _PASSED_ON if os.isatty(0) else (*_KEYS, *_PASSED_ON)
        self._process: subprocess.Popen[Any] | None = None
        self._early: list[int] = []

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._got) for number in (*_KEYS, *_PASSED_ON)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def are_for(self, process: subprocess.Popen[Any]) -> None:
        """It has started; what came before it was there is for it, too."""
        self._process = process
        for number in self._early:
            self._pass_on(process, number)

    def _got(self, number: int, _frame: FrameType | None) -> None:
        if self._process is None:
            self._early.append(number)
        elif number in self._meant:
            self._pass_on(self._process, number)

    @staticmethod
    def _pass_on(process: subprocess.Popen[Any], number: int) -> None:
        if process.returncode is None:  # its own way to send one could take the end of it from who waits for that
            with suppress(ProcessLookupError):
                os.kill(process.pid, number)
