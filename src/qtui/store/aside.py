"""A run's journal as a copy elsewhere: for who may not write so much as the files that SQLite makes beside it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from qtui.store.journal_rows import told
from qtui.store.place import beside
from qtui.store.rundir import RunDirectory, RunIsLive


@contextmanager
def copied(directory: RunDirectory) -> Iterator[RunDirectory]:
    """A directory that has a copy of the run's journal and nothing else, until this is left.

    Raises RunIsLive if somebody runs the run, and JournalError if its journal cannot be copied.
    """
    with TemporaryDirectory(prefix="qtui-") as place:
        copy = RunDirectory(run=directory.run, path=Path(place))
        _check_idle(directory)
        with told(directory.journal, "cannot be copied"):
            for source, target in zip(_files_of(directory.journal), _files_of(copy.journal), strict=True):
                if source.exists():
                    shutil.copyfile(source, target)
        _check_idle(directory)  # or what was copied may be of several moments
        yield copy


def _files_of(journal: Path) -> tuple[Path, Path]:
    return journal, beside(journal)[0]


def _check_idle(directory: RunDirectory) -> None:
    holder = directory.holder()
    if holder is not None:
        raise RunIsLive(directory.run, holder)
