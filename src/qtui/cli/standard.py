"""Standard input, output and error as a process may find them: closed, or in an encoding that has not every sign."""

from __future__ import annotations

import io
import os
import sys


def hold_standard_streams() -> None:
    """Let there be standard streams that take everything.

    One that is closed (``<&-``, ``>&-``) leads nowhere from now on: the next file that is opened would be taken for it
    otherwise, and what units print would go there. A sign that an encoding has not is written as an escape.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            _lead_nowhere(number)
            stream = open(number, "w" if number else "r", encoding="utf-8", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)
        elif number and isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def _lead_nowhere(number: int) -> None:
    try:
        os.fstat(number)
    except OSError:
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, number)
        if null != number:
            os.close(null)
        os.set_inheritable(number, True)  # also where it was in its place at once
