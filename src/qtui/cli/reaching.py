"""How commands reach runs that other processes run, or have run."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from qtui.cli.rundata import GONE
from qtui.store.rundir import default_state_dir, find_live_run, find_run

if TYPE_CHECKING:
    from qtui.attached import AttachedSession


def state_dir_of(options: argparse.Namespace) -> Path:
    """Where the runs are that the command line speaks of."""
    return Path(options.state_dir).absolute() if options.state_dir else default_state_dir()


@contextmanager
def opened(options: argparse.Namespace, *, read_only: bool = True, sole: bool = False) -> Iterator[AttachedSession]:
    """The run that ``options.run`` means (None: the latest, or if `sole` the only one that goes on). Raises UsageError
    if it means none, or several."""
    # not by a manager: who only looks, or asks for something, needs no engine; and who runs one needs none of this
    from qtui.attached import AttachedSession

    state_dir = state_dir_of(options)
    found = find_live_run(state_dir) if sole and options.run is None else find_run(state_dir, options.run)
    with closing(AttachedSession(found, read_only)) as session:
        yield session


def gone(run: str) -> str:
    """What to tell of a run that has no end and nobody who runs it."""
    return f"{GONE}: qtui resume {run}"
