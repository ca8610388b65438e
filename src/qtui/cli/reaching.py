"""How commands reach runs that other processes run, or have run."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TextIO

from qtui.attached import AttachedSession
from qtui.cli.rundata import GONE
from qtui.core.errors import UsageError
from qtui.store.rundir import default_state_dir, find_run


def state_dir_of(options: argparse.Namespace) -> Path:
    """Where the runs are that the command line speaks of."""
    return Path(options.state_dir).absolute() if options.state_dir else default_state_dir()


@contextmanager
def opened(options: argparse.Namespace, *, read_only: bool = True) -> Iterator[AttachedSession]:
    """The run that ``options.run`` means (None: the latest). Raises UsageError if it means none, or several."""
    # not by a manager: who only looks, or asks for something, needs no engine
    with closing(AttachedSession(find_run(state_dir_of(options), options.run), read_only)) as session:
        yield session


def standard_output() -> TextIO:
    """Where bytes may be written to. Raises UsageError if the program was started without."""
    if sys.stdout is None:
        raise UsageError("standard output is closed")
    return sys.stdout


def gone(run: str) -> str:
    """What to tell of a run that has no end and nobody who runs it."""
    return f"{GONE}: qtui resume {run}"
