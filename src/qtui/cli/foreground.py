"""A program that has the terminal for itself while it runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import FrameType
from typing import Any, Final, Self

from qtui.core.errors import UsageError

_KEYS: Final = (signal.SIGINT, signal.SIGQUIT)
_PASSED_ON: Final = (signal.SIGTERM, signal.SIGHUP)


def in_foreground(argv: Sequence[str], directory: str, environment: Mapping[str, str]) -> int:
    """Run a program with the standard streams of this one; its exit code, 128 and the signal if one has killed it.

    What is typed is for the program alone: ctrl+c interrupts it, and not this one. Raises UsageError if it cannot be
    started.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    with _Signals() as signals:
        try:
            process = subprocess.Popen(argv, cwd=directory, env=environment)
        except OSError as error:
            where = f" in {directory}" if error.filename == directory else ""
            raise UsageError(f"cannot start {argv[0]}{where}: {error.strerror}") from None
        signals.are_for(process)
        code = process.wait()
    return code if code >= 0 else 128 - code


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
        with suppress(ProcessLookupError):
            process.send_signal(number)
