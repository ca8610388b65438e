"""``qtui replay``: the dashboard over the record of a run, with a time slider."""

from __future__ import annotations

import argparse
import os
from contextlib import closing

from qtui.cli.options import choose_ui
from qtui.cli.reaching import state_dir_of
from qtui.core.errors import EXIT_OK, UsageError
from qtui.services import open_services
from qtui.store.prune import held_open
from qtui.store.rundir import RunDirectory


def replay(options: argparse.Namespace) -> int:
    """Play a run again: from its beginning, or stand at ``--at``. Returns 0, whatever became of the run."""
    if choose_ui("auto", os.environ) != "tui":
        raise UsageError(
            "a replay needs a terminal to draw on; qtui attach --ui plain prints the record, qtui report sums it up"
        )
    from qtui.cli.look import look_of
    from qtui.cli.sketch import sketched

    state_dir = state_dir_of(options)
    with open_services(state_dir) as services, closing(services.manager.replay(options.run)) as session:
        session.speed = options.speed
        if options.at is not None:
            session.seek(session.begin + options.at)
        session.playing = options.at is None
        title = session.view().name or session.run
        names, look = (unit.id for unit in session.view().units), look_of(options)
        with (
            held_open(RunDirectory.open(state_dir, session.run)),
            sketched(title, names, ascii=look.ascii) as sketch,
        ):
            from qtui.cli.screen import show

            runs = state_dir / "runs"
            show(lambda: session, title=title, look=look, sketch=sketch, runs=runs, player=session)
    return EXIT_OK
