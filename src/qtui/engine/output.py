"""Routes what Python units print to their logs, whichever thread or task they run in."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from qtui.engine.context import current_context


class UnitOutput(io.TextIOBase):
    """Stands in for sys.stdout or sys.stderr: text from inside a unit goes to its log, all other to `outside`.

    A thread that a unit starts by itself has no unit (context variables do not follow it before Python 3.14), so
    what it prints goes to `outside` too.
    """

    def __init__(self, outside: TextIO) -> None:
        self._outside = outside

    def write(self, text: str) -> int:
        context = current_context.get()
        if context is None:
            return self._outside.write(text)
        context.log_writer.write(text.encode("utf-8", "replace"))
        return len(text)

    def flush(self) -> None:
        if current_context.get() is None:
            self._outside.flush()

    def isatty(self) -> bool:
        return current_context.get() is None and self._outside.isatty()

    def fileno(self) -> int:
        return self._outside.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8" if current_context.get() is not None else (self._outside.encoding or "utf-8")

    def writable(self) -> bool:
        return True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._outside, name)


@contextmanager
def routed_output() -> Iterator[None]:
    """While this holds, what units print goes to their logs.

    Enter it before user modules are imported, so that their log handlers catch hold of the routed streams; and
    again inside anything that replaces sys.stdout itself.
    """
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = UnitOutput(sys.stdout), UnitOutput(sys.stderr)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
