"""A file in the person's own pager."""

from __future__ import annotations

import os
import select
import shlex
import shutil
import signal
import subprocess
import termios
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from threading import Event
from typing import Any, Final

DEFAULT: Final = "less -R"
TERMINAL: Final = "/dev/tty"

QUICK_SECONDS: Final = 1.0
"""Who leaves a pager sooner has hardly read anything: it has not waited (``cat``, ``less -F``), or it has failed."""

GRACE_SECONDS: Final = 1.0
"""How long a pager gets to leave by itself when it has to."""

POLL_SECONDS: Final = 0.2
"""How often somebody who waits for a key looks whether the screen has to go."""

_ANY_KEY: Final = b"\r\nqtui: any key goes back to the screen"
_LOCAL, _CHARACTERS = 3, 6
_BLOCKED: Final = (signal.SIGTTOU,)
_USUAL: Final = b"\x1b[4l\x1b(B\x0f\x1b[?7h\x1b[?1l\x1b>\x1b[0m\x1b[?25h"
"""Switches off what a pager may have left on: a script may end well although what it has called was killed. Nothing in
it moves the cursor."""
_ON_TOP: Final = b"\x1b[?1049l"
"""Leaves the other screen, where a pager was killed on it."""
_OF_SHELLS: Final = 128
"""A shell ends with more than this if what it ran was killed."""
WHOLE_SCREEN: Final = "\x1b[?6l\x1b[r"
"""Draws on all rows again. This moves the cursor, so it is for a screen that is painted anew."""


def pager_command(environ: Mapping[str, str], path: str) -> list[str] | str:
    """What shows `path`: the program and its arguments; or a text that says why there is none."""
    chosen = environ.get("PAGER", "").strip() or DEFAULT
    try:
        words = shlex.split(chosen)
    except ValueError as error:
        return f"PAGER cannot be read ({error}): {chosen}"
    if not words or shutil.which(words[0], path=environ.get("PATH")) is None:
        return f"{words[0] if words else chosen} is not there; PAGER says what shows logs"
    return [*words, path]


class Pager:
    """A pager in the place of the screen. `lend` is told which group of processes is in front of the terminal then, and
    0 when it is not any more."""

    def __init__(self, lend: Callable[[int], None] | None = None) -> None:
        self._lend = lend if lend is not None else lambda _group: None
        self._group = 0
        self._ended = False
        self._gone = Event()

    def show(self, command: list[str]) -> str:
        """Show a file until the person leaves the pager; the terminal has to be free. Returns what went wrong, if
        anything.

        The pager is what keys like ctrl+c go to meanwhile, and nobody else. A ctrl+z would leave nobody in front of the
        terminal: the pager goes on.
        """
        self._ended = False
        self._gone.clear()
        try:
            # standard output and error may lead elsewhere: what units print must not get onto the screen
            with open(TERMINAL, "r+b", buffering=0) as terminal:  # noqa: PTH123
                began = time.monotonic()
                code = self._shown(command, terminal.fileno())
                if not self._ended and time.monotonic() - began < QUICK_SECONDS:
                    self._wait_for_key(terminal.fileno())
        except OSError as error:
            return f"{command[0]} cannot be started: {error.strerror}{f': {error.filename}' if error.filename else ''}"
        except termios.error:  # the terminal has vanished
            return ""
        return f"{command[0]} ended with code {code}" if code and not self._ended else ""

    def end(self) -> None:
        """End what is shown, if anything is; any thread but that of `show` may call this."""
        self._ended = True
        if not (group := self._group):
            return
        for number in (signal.SIGHUP, signal.SIGCONT):
            _signal(group, number)
        if not self._gone.wait(GRACE_SECONDS):
            _signal(group, signal.SIGKILL)

    def _shown(self, command: list[str], terminal: int) -> int:
        """Run a program in front of the terminal; its exit code, below 0 if a signal has killed it."""
        front, modes = os.tcgetpgrp(terminal), termios.tcgetattr(terminal)
        process = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, process_group=0)
        self._group = process.pid
        self._lend(process.pid)
        try:
            with suppress(OSError):  # it is ended if it does not get there
                os.tcsetpgrp(terminal, process.pid)
            status = self._waited(process.pid, terminal)
        finally:
            self._group = 0
            self._gone.set()
            with suppress(OSError, termios.error):
                _take_back(terminal, process.pid, front, modes)
            self._lend(0)
        process.returncode = code = os.waitstatus_to_exitcode(status)
        os.write(terminal, _USUAL + (_ON_TOP if code < 0 or code > _OF_SHELLS else b""))
        return code

    def _waited(self, process: int, terminal: int) -> int:
        while True:
            _, status = os.waitpid(process, os.WUNTRACED)
            if not os.WIFSTOPPED(status):
                return status
            # somebody else may have the terminal by now: it would be stopped again, and again
            _signal(process, signal.SIGCONT if _in_front(terminal) == process else signal.SIGKILL)

    def _wait_for_key(self, terminal: int) -> None:
        """Let what stands there be read. No key is a signal meanwhile: ctrl+c would be for the run."""
        before, modes = termios.tcgetattr(terminal), termios.tcgetattr(terminal)
        modes[_LOCAL] &= ~(termios.ECHO | termios.ICANON | termios.ISIG)
        modes[_CHARACTERS][termios.VMIN], modes[_CHARACTERS][termios.VTIME] = 1, 0
        termios.tcsetattr(terminal, termios.TCSANOW, modes)
        os.write(terminal, _ANY_KEY)
        while not self._ended and not select.select([terminal], [], [], POLL_SECONDS)[0]:
            pass
        termios.tcflush(terminal, termios.TCIFLUSH)
        termios.tcsetattr(terminal, termios.TCSANOW, before)


def _take_back(terminal: int, lent: int, front: int, modes: list[Any]) -> None:
    """Put the group `front` before a terminal that was `lent` to another, and its modes back, unless somebody else has
    it by now: the shell, when this program has let go of it."""
    if _in_front(terminal) != lent:
        return
    # whoever takes the terminal from the background is stopped for it, unless it blocks the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
    try:
        os.tcsetpgrp(terminal, front)
        termios.tcsetattr(terminal, termios.TCSANOW, modes)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _in_front(terminal: int) -> int:
    """The group of processes in front of a terminal; 0 if it has vanished."""
    with suppress(OSError):
        return os.tcgetpgrp(terminal)
    return 0


def _signal(group: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, number)
