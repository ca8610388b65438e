"""``qtui run``: start a workflow and follow it on a screen, as lines, or as JSON."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Protocol

from qtui.cli.options import choose_ui, params_of, wants_color
from qtui.core.errors import EXIT_INTERNAL
from qtui.core.session import RunSession
from qtui.core.stimuli import InterruptRequested
from qtui.manager import routed_output
from qtui.services import default_state_dir, open_services
from qtui.workflow import Overrides

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Follower(Protocol):
    def follow(self) -> None:
        """Write until the run's record is closed."""


def run(options: argparse.Namespace) -> int:
    """Run a workflow; returns the exit code of the run, the same in every ``--ui``."""
    ui = choose_ui(options.ui, os.environ)
    overrides = Overrides(workers=options.workers, keep_going=options.keep_going)
    state_dir = Path(options.state_dir).absolute() if options.state_dir else default_state_dir()
    # user modules are imported by load: their log handlers must find the routed streams already there
    with routed_output(), open_services(state_dir) as services:
        definition = services.manager.load(options.workflow, params_of(options.param), overrides)
        if options.dry_run:
            from qtui.cli.inspect import dry_run

            return dry_run(definition, services.manager.plan(definition))
        if ui == "tui":
            # before the run begins: beside busy threads this import takes seconds instead of 0.2
            from qtui.cli.screen import show
        session = services.manager.start(definition)
        with _interrupted_by_signals(session):
            if ui == "tui":
                show(session, title=definition.name, ascii_only=options.ascii)
            else:
                _follow(session, _follower(ui, session, options))
        code = _exit_code(session)
        busy = session.view().abandoned > 0
    if busy:
        # an abandoned thread may hold locks that the interpreter's own farewell would wait for
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _follower(ui: str, session: RunSession, options: argparse.Namespace) -> _Follower:
    if ui == "json":
        from qtui.cli.json_lines import JsonLines

        return JsonLines(session)
    from qtui.cli.plain import PlainLines

    return PlainLines(session, color=wants_color(options.color, os.environ, sys.stdout.isatty()))


def _follow(session: RunSession, follower: _Follower) -> None:
    """Wait for the end while a thread writes the output; a closed pipe ends the output, not the run."""
    writer = threading.Thread(target=_write, args=(follower,), name="qtui-output", daemon=True)
    writer.start()
    while session.wait(timeout=0.5) is None:
        pass  # a timeout, so that signal handlers get their turn on every platform
    session.close()
    writer.join()


def _write(follower: _Follower) -> None:
    try:
        follower.follow()
    except BrokenPipeError:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def _exit_code(session: RunSession) -> int:
    end = session.view().finished
    return end.exit_code if end is not None else EXIT_INTERNAL


@contextmanager
def _interrupted_by_signals(session: RunSession) -> Iterator[None]:
    """While this holds, INT, TERM and HUP stop the run (and kill it when they come again) instead of qtui."""

    def interrupt(number: int, _frame: FrameType | None) -> None:
        session.request(InterruptRequested(number))

    before = {number: signal.signal(number, interrupt) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
