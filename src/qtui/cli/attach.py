"""``qtui attach``: follow and steer a run of another process, on the dashboard, as lines, or as JSON."""

from __future__ import annotations

import argparse
import os
import sys
import threading
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TextIO

from qtui.attached import AttachedSession
from qtui.cli.answers import answering, can_answer
from qtui.cli.earlier import past_in
from qtui.cli.manner import manner_of
from qtui.cli.options import choose_ui, wants_color
from qtui.cli.reaching import gone, opened, state_dir_of
from qtui.cli.run import Follower, write
from qtui.cli.telling import tell
from qtui.core.errors import EXIT_INTERNAL, EXIT_OK
from qtui.store.prune import held_open
from qtui.store.rundir import RunDirectory

LOOK_SECONDS = 0.5


def attach(options: argparse.Namespace) -> int:
    """Follow a run until one leaves or it ends; leaving never touches it, and tells how the run is.

    Returns the exit code of a run that has finished, 0 if it goes on, and 3 if nobody runs it any more.
    """
    ui = choose_ui(options.ui, os.environ)
    state_dir = state_dir_of(options)
    with (
        opened(options, read_only=options.read_only) as session,
        held_open(RunDirectory.open(state_dir, session.run)),
    ):
        if ui == "tui":
            _show(session, state_dir / "runs", options)
        else:
            _print(session, ui, sys.stdout, options)
        end = session.view().finished
        if end is not None:
            return end.exit_code
        if session.lost:
            tell(gone(session.run))
            return EXIT_INTERNAL
        tell(f"the run goes on; qtui attach {session.run} shows it again")
        return EXIT_OK


def _show(session: AttachedSession, runs: Path, options: argparse.Namespace) -> None:
    """Draw it until the person leaves; the end of a run that has ended stays on the terminal."""
    from qtui.cli.look import look_of
    from qtui.cli.sketch import sketched
    from qtui.cli.summary import summary

    view, look = session.view(), look_of(options)
    title = view.name or session.run
    with sketched(title, (unit.id for unit in view.units), ascii=look.ascii) as sketch:
        from qtui.cli.screen import show

        show(lambda: session, title=title, look=look, sketch=sketch, runs=runs, ask_past=past_in(runs.parent))
    if session.view().finished is not None and sys.stdout.isatty():
        with suppress(OSError):  # the terminal may be gone
            print("\n".join(summary(session, past_in(runs.parent))), flush=True)


def _print(session: AttachedSession, ui: str, out: TextIO, options: argparse.Namespace) -> None:
    """Write what happens until the run has ended or is lost; ctrl+c ends only that."""
    answerable = ui == "plain" and not session.read_only and can_answer(session)
    follower = _follower(session, ui, out, options, answerable=answerable)
    writer = threading.Thread(target=write, args=(follower, out), name="qtui-output", daemon=True)
    writer.start()
    try:
        with answering(session) if answerable else nullcontext():
            while session.wait(timeout=LOOK_SECONDS) is None and not session.lost and writer.is_alive():
                pass  # a timeout, so that signals get their turn on every platform
    except KeyboardInterrupt:
        return
    session.close()
    writer.join()


def _follower(
    session: AttachedSession, ui: str, out: TextIO, options: argparse.Namespace, *, answerable: bool
) -> Follower:
    if ui == "json":
        from qtui.cli.json_lines import JsonLines

        return JsonLines(session, out)
    from qtui.cli.plain import PlainLines

    color = wants_color(options.color, os.environ, out.isatty())
    manner, past = manner_of(options, os.environ, color=color), past_in(state_dir_of(options))
    return PlainLines(session, out, manner, answerable=answerable, ask_past=past)
