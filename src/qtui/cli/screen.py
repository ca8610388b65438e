"""Shows a run on the dashboard, and keeps everything else off the terminal meanwhile."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from qtui.cli.plain import summary
from qtui.core.session import RunSession
from qtui.tui.app import run_dashboard


def show(session: RunSession, *, ascii_only: bool) -> None:
    """Draw the dashboard until it is left, then print the summary."""
    with _quiet_descriptors():
        run_dashboard(session, title=session.view().name, ascii_only=ascii_only)
    session.close()
    for line in summary(session):
        print(line)


@contextmanager
def _quiet_descriptors() -> Iterator[None]:
    """While the screen is up, what C code and child processes of Python units write to descriptors 1 and 2 goes to
    a file instead of across the screen; Textual draws on a copy of standard error. Shown afterwards, if any."""
    screen = os.dup(2)
    saved_out = os.dup(1)
    drawn, standard_error = os.fdopen(os.dup(screen), "w", encoding="utf-8"), sys.__stderr__
    with tempfile.TemporaryFile() as stray:
        os.dup2(stray.fileno(), 1)
        os.dup2(stray.fileno(), 2)
        sys.__stderr__ = drawn  # type: ignore[misc]
        try:
            yield
        finally:
            sys.__stderr__ = standard_error  # type: ignore[misc]
            os.dup2(screen, 2)
            os.dup2(saved_out, 1)
            drawn.close()
            os.close(screen)
            os.close(saved_out)
            stray.seek(0)
            if text := stray.read(1 << 16):
                sys.stderr.write(_printable(text))


def _printable(data: bytes) -> str:
    from qtui.tui.text import clean_lines

    return "\n".join(["qtui: written past the screen:", *clean_lines(data.decode("utf-8", "replace"))]) + "\n"
