"""A file in the person's own pager."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

DEFAULT: Final = "less -R"
TERMINAL: Final = "/dev/tty"


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


def show(command: list[str]) -> str:
    """Show a file until the person leaves the pager; the terminal has to be free. Returns what went wrong, if anything.

    The pager is what keys like ctrl+c go to meanwhile, and nobody else. A ctrl+z would leave nobody in front of the
    terminal: the pager goes on.
    """
    try:
        # standard output and error may lead elsewhere: what units print must not get onto the screen
        with open(TERMINAL, "r+b", buffering=0) as terminal, _lent(terminal.fileno()):  # noqa: PTH123
            process = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, process_group=0)
            os.tcsetpgrp(terminal.fileno(), process.pid)
            while True:
                _, status = os.waitpid(process.pid, os.WUNTRACED)
                if not os.WIFSTOPPED(status):
                    break
                os.killpg(process.pid, signal.SIGCONT)
    except OSError as error:
        return f"{command[0]} cannot be started: {error.strerror}{f': {error.filename}' if error.filename else ''}"
    process.returncode = code = os.waitstatus_to_exitcode(status)
    return f"{command[0]} ended with code {code}" if code else ""


@contextmanager
def _lent(terminal: int) -> Iterator[None]:
    """While this holds, another group of processes may be in front of the terminal; then this one is again."""
    front = os.tcgetpgrp(terminal)
    try:
        yield
    finally:
        before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # it would stop whoever takes the terminal back
        os.tcsetpgrp(terminal, front)
        signal.signal(signal.SIGTTOU, before)
