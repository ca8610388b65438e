"""``qtui resume``: go on with a run whose process has gone, with the reason for every unit that runs."""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from qtui.cli.options import EVERY, parse
from qtui.cli.run import drive, tell
from qtui.core.errors import UsageError, did_you_mean
from qtui.core.model import UnitState, WorkflowDefinition
from qtui.core.resuming import NOT_RUN, Resumption
from qtui.manager import LiveSession
from qtui.services import Services, open_services
from qtui.store.rundir import default_state_dir
from qtui.tui.text import clean

MOST_LINES: Final = 30
"""Units that are named with their reasons; more of one reason are counted."""


def resume(options: argparse.Namespace) -> int:
    """Go on with a run; returns its exit code, or 0 after ``--dry-run``."""
    state_dir = Path(options.state_dir).absolute() if options.state_dir else default_state_dir()
    with open_services(state_dir) as services:
        head = services.manager.head(options.run)
    words = list(head.origin.get("words", ()))
    if not words:
        raise UsageError(f"run {head.run} was begun by a program, not by a command line: that program has to resume it")
    if head.origin.get("masked"):
        raise UsageError(
            f"run {head.run} was begun with a secret on its command line or among its answers, which was not kept: "
            "set it in the environment, and begin a new run"
        )
    _go_to(str(head.origin.get("cwd", "")), head.run)
    given = parse(words)
    if given.command != "run":
        raise UsageError(f"run {head.run} was not begun by qtui run")
    if given.directory:
        _go_to(given.directory, head.run)
    for name in ("ui", "verbose", "color", "ascii"):
        setattr(given, name, getattr(options, name))
    given.state_dir, given.detach, given.dry_run = str(state_dir), options.detach, False
    given.cwd = options.cwd
    given.param = [*_without(given.param, options.param), *options.param]
    given.yes = [*given.yes, *options.yes]

    def begin(
        services: Services,
        definition: WorkflowDefinition,
        answers: Mapping[str, str],  # noqa: ARG001
    ) -> Callable[[], LiveSession] | None:
        again = _again(definition, [*options.again, *options.yes])
        turn = services.manager.take_turn(definition, tell, head.run) if not options.dry_run else None
        prepared = services.manager.resume(
            head.run,
            definition,
            only_failed=options.only_failed,
            redo_stale=options.stale,
            again=again,
            turn=turn,
            tell=tell,
        )
        for line in told(prepared.resumption):
            print(clean(line), file=sys.stdout if options.dry_run else sys.stderr)
        if options.dry_run:
            prepared.abandon()
            return None
        return prepared.begin

    return drive(given, begin, dict(head.origin.get("answers", {})))


def _without(earlier: Sequence[str], later: Sequence[str]) -> list[str]:
    """The params of an earlier command line that a later one does not set."""
    names = {pair.partition("=")[0] for pair in later}
    return [pair for pair in earlier if pair.partition("=")[0] not in names]


def _again(definition: WorkflowDefinition, names: Sequence[str]) -> set[str]:
    """The ids of the units that are meant: by id, by family, or all of them. Raises UsageError for anything else."""
    found: set[str] = set()
    for name in names:
        ids = {unit.id for unit in definition.units if name in (EVERY, unit.id, unit.name)}
        if not ids:
            hint = did_you_mean(name, [unit.id for unit in definition.units]) or "qtui status lists the units"
            raise UsageError(f'there is no unit "{name}" ({hint})')
        found |= ids
    return found


def _go_to(directory: str, run: str) -> None:
    try:
        os.chdir(directory)
    except OSError as error:
        raise UsageError(f"run {run} was begun in {directory}, which cannot be used: {error.strerror}") from None


def told(how: Resumption) -> Iterator[str]:
    """What a resume does, in lines: why units run, what is kept, and what is stale."""
    units = how.view.plan.table
    state = how.view.states
    again = {number: why for number, why in how.reasons.items() if why != NOT_RUN}
    fresh = len(how.reasons) - len(again)
    plural = "" if len(how.reasons) == 1 else "s"
    yield f"resume: {len(how.reasons)} unit{plural} to run, {how.kept} kept"
    width = min(40, max((len(units[number].id) for number in again), default=0))
    for number, why in list(again.items())[:MOST_LINES]:
        yield f"  run   {units[number].id:<{width}}  {why}"
    for why, count in Counter(list(again.values())[MOST_LINES:]).most_common():
        yield f"  run   {count} more  {why}"
    if fresh:
        yield f"  run   {fresh} that had not run yet"
    stale = {number: why for number, why in how.view.stale.items() if state[number] is UnitState.COMPLETED}
    for number, why in list(stale.items())[:MOST_LINES]:
        yield f"  stale {units[number].id}  {why}: kept; --stale runs it again"
    if len(stale) > MOST_LINES:
        yield f"  stale {len(stale) - MOST_LINES} more"
    for number in how.questions:
        yield f"  ask   {units[number].id}  is not idempotent and may have done its work: it asks before it runs"
