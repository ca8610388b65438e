"""How commands reach runs that other processes run, or have run."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from qtui.cli.naming import units_named
from qtui.cli.rundata import GONE
from qtui.core.errors import QtuiError, UsageError
from qtui.store.rundir import RunDirectory, default_state_dir, find_live_run, find_run

if TYPE_CHECKING:
    from qtui.attached import AttachedSession


def state_dir_of(options: argparse.Namespace) -> Path:
    """Where the runs are that the command line speaks of."""
    return Path(options.state_dir).absolute() if options.state_dir else default_state_dir()


@contextmanager
def opened(options: argparse.Namespace, *, read_only: bool = True, sole: bool = False) -> Iterator[AttachedSession]:
    """The run that ``options.run`` means (None: the latest, or if `sole` the only one that goes on). Raises UsageError
    if it means none, or several, and says how to name the run where it is a unit of that which None means."""
    # not by a manager: who only looks, or asks for something, needs no engine; and who runs one needs none of this
    from qtui.attached import AttachedSession

    state_dir = state_dir_of(options)
    default = find_live_run if sole else find_run
    try:
        found = default(state_dir) if options.run is None else find_run(state_dir, options.run)
    except UsageError as error:
        raise UsageError(f"{error}{_with_run(options, default)}") from None
    with closing(AttachedSession(found, read_only)) as session:
        yield session


def _with_run(options: argparse.Namespace, default: Callable[[Path], RunDirectory]) -> str:
    """The same command with the run before its units, if the first of them stands where the run belongs; else empty."""
    from qtui.attached import AttachedSession

    if options.run is None or "units" not in options:
        return ""
    words = [options.run, *options.units]
    with suppress(QtuiError), closing(AttachedSession(default(state_dir_of(options)), read_only=True)) as session:
        units_named(session.view().plan, words)
        return f"; for the unit: {shlex.join(['qtui', options.command, session.run, *words])}"
    return ""


def gone(run: str) -> str:
    """What to tell of a run that has no end and nobody who runs it."""
    return f"{GONE}: qtui resume {run}"
