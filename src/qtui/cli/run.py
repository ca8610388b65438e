"""``qtui run``: start a workflow and follow it on a screen, as lines, or as JSON."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import Protocol, TextIO

from qtui.cli.adjust import adjusted, environment_of
from qtui.cli.answers import answering, can_answer
from qtui.cli.ask import asker
from qtui.cli.options import choose_ui, params_of, wants_color
from qtui.core.errors import EXIT_INTERNAL, UsageError
from qtui.core.model import WorkflowDefinition
from qtui.core.session import RunSession
from qtui.core.stimuli import InterruptRequested
from qtui.manager import routed_output
from qtui.services import Services, default_state_dir, open_services
from qtui.tui.text import clean
from qtui.workflow import Overrides

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Follower(Protocol):
    def follow(self) -> None:
        """Write until the run's record is closed."""


def run(options: argparse.Namespace) -> int:
    """Run a workflow; returns the exit code of the run, the same in every ``--ui``."""
    ui = choose_ui(options.ui, os.environ)
    env = environment_of(options)
    os.environ.update(env)  # as if they had been set outside; over the workflow's own, they are an override
    overrides = Overrides(workers=options.workers, keep_going=options.keep_going, env=env)
    state_dir = Path(options.state_dir).absolute() if options.state_dir else default_state_dir()
    if sys.stdout is None:
        raise UsageError("standard output is closed; send it to /dev/null to run without output")
    out = _reserved_stdout() if ui == "json" else sys.stdout
    # user modules are imported by load: their log handlers must find the routed streams already there
    with routed_output(), open_services(state_dir) as services:
        params = params_of(options.param)
        loaded = services.manager.load(options.workflow, params, overrides, asker(os.environ))
        definition = adjusted(loaded, options)
        if options.dry_run:
            from qtui.cli.inspect import dry_run

            return dry_run(definition, services.manager.plan(definition))
        for problem in definition.advice[len(loaded.advice) :]:
            print(clean(str(problem)), file=sys.stderr)
        if ui == "tui":
            session = _on_screen(services, definition, options)
        else:
            make_follower = _follower(ui, out, definition, options)
            session = services.manager.start(definition)
            asking = answering(session) if ui == "plain" else nullcontext()
            with _interrupted_by_signals(session), asking:
                _follow(session, make_follower(session), out)
        return _exit_code(session)


def _on_screen(services: Services, definition: WorkflowDefinition, options: argparse.Namespace) -> RunSession:
    # before the run begins: beside busy threads this import takes seconds instead of 0.2
    from qtui.cli.screen import cleared_terminal, draw, finish
    from qtui.tui.app import make_dashboard

    with ExitStack() as terminal:
        terminal.enter_context(cleared_terminal())
        session = services.manager.start(definition)
        app = make_dashboard(session, title=definition.name, ascii=options.ascii)
        with _interrupted_by_signals(session, app.hang_up):
            story = draw(app)
            terminal.close()
            finish(session, story)
    return session


def _reserved_stdout() -> TextIO:
    """Standard output for the events alone: whatever modules, units or their children print by themselves goes to
    standard error from now on, so that every line is an event."""
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return events


def _follower(
    ui: str, out: TextIO, definition: WorkflowDefinition, options: argparse.Namespace
) -> Callable[[RunSession], _Follower]:
    """What writes the output. Its modules are imported now, before the run may use up the descriptors."""
    if ui == "json":
        from qtui.cli.json_lines import JsonLines

        return lambda session: JsonLines(session, out)
    from qtui.cli.plain import PlainLines

    color = wants_color(options.color, os.environ, out.isatty())
    bell = definition.notify if out.isatty() else None
    return lambda session: PlainLines(
        session, out, color=color, verbose=options.verbose, bell=bell, answerable=can_answer(session)
    )


def _follow(session: RunSession, follower: _Follower, out: TextIO) -> None:
    """Wait for the end while a thread writes the output; a closed pipe ends the output, not the run."""
    writer = threading.Thread(target=_write, args=(follower, out), name="qtui-output", daemon=True)
    writer.start()
    while session.wait(timeout=0.5) is None:
        pass  # a timeout, so that signal handlers get their turn on every platform
    session.close()
    writer.join()


def _write(follower: _Follower, out: TextIO) -> None:
    try:
        follower.follow()
    except OSError as error:
        # a closed pipe or a full disk ends the output, not the run; what is still buffered goes nowhere
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, out.fileno())
        os.close(null)
        if not isinstance(error, BrokenPipeError) and sys.stderr is not None:
            print(f"qtui: the output ends here, it cannot be written: {error.strerror}", file=sys.stderr)


def _exit_code(session: RunSession) -> int:
    end = session.view().finished
    return end.exit_code if end is not None else EXIT_INTERNAL


@contextmanager
def _interrupted_by_signals(session: RunSession, told: Callable[[], None] = lambda: None) -> Iterator[None]:
    """While this holds, INT, TERM and HUP stop the run (and kill it when they come again) instead of qtui.
    `told` is called for each of them, too."""

    def interrupt(number: int, _frame: FrameType | None) -> None:
        session.request(InterruptRequested(number))
        told()

    for number in _SIGNALS:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        # the run has its exit code by now: a signal that comes late must not replace it
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
