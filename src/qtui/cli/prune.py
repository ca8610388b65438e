"""``qtui prune``: delete old runs."""

from __future__ import annotations

import argparse
from typing import Final

from qtui.cli.reaching import state_dir_of
from qtui.cli.telling import tell
from qtui.cli.words import counted
from qtui.core.errors import EXIT_FAILED, EXIT_OK
from qtui.store.prune import KEEP_DAYS, MAX_BYTES
from qtui.store.prune import prune as prune_runs
from qtui.tui.format import size_of
from qtui.tui.text import clean

DAY_SECONDS: Final = 86400.0


def prune(options: argparse.Namespace) -> int:
    """Delete what is older, or more, than asked for, or than the limits that hold by themselves; say what it was, and
    how many runs stay though a limit is against them.

    1 if something could not be deleted, else 0.
    """
    days = options.older_than / DAY_SECONDS if options.older_than is not None else None
    size = options.max_size
    if days is None and size is None:
        days, size = KEEP_DAYS, MAX_BYTES
    spared: list[str] = []
    found = prune_runs(
        state_dir_of(options), days, size, options.dry_run, unfinished=options.unfinished, spared=spared.append
    )
    pruned = [each for each in found if not each.error]
    for each in pruned:
        print(clean(f"{each.run}  {size_of(each.bytes):>5}  {each.why}"))
    would = "would be deleted" if options.dry_run else "deleted"
    print(f"{counted(len(pruned), 'run')} {would}, {size_of(sum(each.bytes for each in pruned))}")
    if spared:
        print(_stays(len(spared), options.unfinished))
    for each in found:
        if each.error:
            tell(f"{each.run}: {each.error}")
    return EXIT_OK if len(pruned) == len(found) else EXIT_FAILED


def _stays(count: int, unfinished: bool) -> str:
    """What is told of runs that were spared."""
    runs = counted(count, "run")
    if unfinished:
        return f"{runs} spared: in use now"
    return f"{runs} spared: not finished, or in use now; --unfinished deletes those that nobody runs"
