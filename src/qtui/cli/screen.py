"""Shows a run on the dashboard, and keeps everything else off the terminal meanwhile."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from qtui.cli.answers import answering
from qtui.cli.plain import summary
from qtui.core.session import RunSession
from qtui.tui.app import Dashboard, run_dashboard
from qtui.tui.text import clean_lines


@contextmanager
def cleared_terminal() -> Iterator[None]:
    """While this holds, the terminal belongs to the dashboard alone. Enter it before the run begins."""
    with _quiet_descriptors(), _quick_switches():
        yield


def draw(app: Dashboard) -> str | None:
    """Draw the dashboard until it is left. A screen that breaks does not end the run: the story is returned."""
    try:
        run_dashboard(app)
    except Exception:  # noqa: BLE001  - whatever broke the screen, the run is worth more
        return traceback.format_exc()
    return None


def finish(session: RunSession, story: str | None) -> None:
    """Once the terminal is free again: say if the screen broke, wait for the end of the run, print the summary."""
    if story is not None:
        print("\n".join(["qtui: the screen broke, please report it:", *clean_lines(story)]), file=sys.stderr)
    if session.view().finished is None:
        print("qtui: the run goes on without a screen; ctrl+c stops it", file=sys.stderr)
    with answering(session):
        while session.wait(timeout=0.5) is None:
            pass  # a timeout, so that signal handlers get their turn on every platform
    session.close()
    with suppress(OSError):  # the terminal may be gone
        print("\n".join(summary(session)), flush=True)


@contextmanager
def _quick_switches() -> Iterator[None]:
    """Let threads take turns five times as often as usual: beside eight threads of pure Python work the screen's
    ticks came 27 ms late instead of 188 (95th percentile), for 1-2 % of the threads' speed."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.001)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


@contextmanager
def _quiet_descriptors() -> Iterator[None]:
    """While the screen is up, what C code and child processes of Python units write to descriptors 1 and 2 goes to
    a file instead of across the screen, and is shown afterwards. Textual draws on a copy of standard error, and
    measures it."""
    kept = {descriptor: os.dup(descriptor) for descriptor in (1, 2)}
    standard = sys.__stdout__, sys.__stderr__
    with tempfile.TemporaryFile() as stray, os.fdopen(os.dup(2), "w", encoding=_encoding()) as drawn:
        for descriptor in kept:
            os.dup2(stray.fileno(), descriptor)
        sys.__stdout__ = sys.__stderr__ = drawn  # type: ignore[misc]
        try:
            yield
        finally:
            sys.__stdout__, sys.__stderr__ = standard  # type: ignore[misc]
            for descriptor, original in kept.items():
                os.dup2(original, descriptor)
                os.close(original)
            stray.seek(0)
            if text := stray.read(1 << 16):
                sys.stderr.write(_printable(text))


def _encoding() -> str:
    """What the terminal is written in; decides whether more than ASCII is drawn."""
    return getattr(sys.__stderr__, "encoding", None) or "ascii"


def _printable(data: bytes) -> str:
    return "\n".join(["qtui: written past the screen:", *clean_lines(data.decode("utf-8", "replace"))]) + "\n"
