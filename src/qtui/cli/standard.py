"""Standard input, output and error as a process may find them: closed, unread, or in an encoding that lacks signs."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


def hold_standard_streams() -> None:
    """Let there be standard streams that take everything.

    One that is closed (``<&-``, ``>&-``) leads nowhere from now on: the next file that is opened would be taken for it
    otherwise, and what units print would go there. A sign that an encoding has not is written as an escape. What
    standard error cannot take is lost, and nothing is raised: words about a run are worth less than the run. A pipe
    that is full is waited for, also where somebody who shares it has switched that off.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            _lead_nowhere(number)
            stream = open(number, "w" if number else "r", encoding="utf-8", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)
        # in the C locale it is "surrogateescape", which takes no other sign either
        elif number and isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="backslashreplace")
        os.set_blocking(number, True)
    told = io.BufferedWriter(_Unheard(2, "w", closefd=False))
    words = io.TextIOWrapper(told, encoding=sys.stderr.encoding, errors="backslashreplace", line_buffering=True)
    sys.stderr = sys.__stderr__ = words  # type: ignore[misc]


@contextmanager
def emptied_input() -> Iterator[None]:
    """While this holds, standard input is empty for what runs in this process, and for what that starts: a unit that
    reads it must not take what is typed from whoever it is meant for, who has it from `keyboard`."""
    before = sys.stdin, sys.__stdin__
    with open(os.dup(0), encoding="utf-8") as typed, open(0, encoding="utf-8", closefd=False) as empty:  # noqa: PTH123
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        sys.stdin, sys.__stdin__ = empty, typed  # type: ignore[misc]
        try:
            yield
        finally:
            sys.stdin, sys.__stdin__ = before  # type: ignore[misc]
            os.dup2(typed.fileno(), 0)


def keyboard() -> int:
    """The descriptor from which a terminal tells what is typed, if standard input is one."""
    assert sys.__stdin__ is not None
    return sys.__stdin__.fileno()


class _Unheard(io.FileIO):
    """A descriptor whose reader may have gone, or whose disk may be full: that is no fault."""

    def write(self, data: ReadableBuffer, /) -> int:
        """Write, and take what cannot be written for written."""
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def _lead_nowhere(number: int) -> None:
    try:
        os.fstat(number)
    except OSError:
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, number)
        if null != number:
            os.close(null)
        os.set_inheritable(number, True)  # also where it was in its place at once
