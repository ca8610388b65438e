"""``qtui resume``: go on with a run whose process has gone, with the reason for every unit that runs."""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from shlex import join, quote
from typing import Final

from qtui.cli.adjust import adjusted, still_meant
from qtui.cli.options import parse
from qtui.cli.reaching import state_dir_of
from qtui.cli.run import TakeTurn, drive
from qtui.cli.telling import tell
from qtui.cli.words import counted
from qtui.core.definition import WorkflowDefinition
from qtui.core.errors import UsageError
from qtui.core.model import UnitState
from qtui.core.resuming import LEFT_OUT, NOT_RUN, Resumption
from qtui.definition.selection import named_units
from qtui.manager import LiveSession
from qtui.services import Services, open_services
from qtui.store.journal import Head
from qtui.store.rundir import find_run, list_runs
from qtui.tui.text import clean

_COUNTED: Final = {NOT_RUN: "had not run yet", LEFT_OUT: "had been left out of a resume"}
"""What is told of all units to which it happened at once."""

MOST_LINES: Final = 30
"""Units that are named with their reasons; more of one reason are counted."""


def resume(options: argparse.Namespace) -> int:
    """Go on with a run; returns its exit code, or 0 after ``--dry-run``."""
    state_dir = state_dir_of(options)
    _check_run(options, state_dir)
    with open_services(state_dir) as services:
        head = services.manager.head(options.run, aside=options.dry_run)
    given = _given(head, options)
    given.state_dir = str(state_dir)
    lost = _Lost(head.run)

    def begin(
        services: Services,
        definition: WorkflowDefinition,
        answers: Mapping[str, str],  # noqa: ARG001
        take_turn: TakeTurn,
    ) -> Callable[[], LiveSession] | None:
        turn = take_turn(head.run) if not options.dry_run else None
        prepared = services.manager.resume(
            head.run,
            definition,
            only_failed=options.only_failed,
            redo_stale=options.stale,
            again=[*options.again, *options.yes],
            units=options.units,
            turn=turn,
            tell=tell,
            dry_run=options.dry_run,
        )
        for line in (*told(prepared.resumption, head.run), *not_run(prepared.resumption, head.run, options.again)):
            print(clean(line), file=sys.stdout if options.dry_run else sys.stderr)
        if prepared.over:
            tell(f"nothing to do: all units of run {head.run} have completed")
        if prepared.over or options.dry_run:
            prepared.abandon()
            return None
        return prepared.begin

    def adjust(loaded: WorkflowDefinition, given: argparse.Namespace) -> WorkflowDefinition:
        earlier = lost.without(loaded, given)
        earlier.yes = [*earlier.yes, *options.yes]
        return adjusted(loaded, earlier)

    return drive(given, begin, dict(head.origin.get("answers", {})), adjust)


def _given(head: Head, options: argparse.Namespace) -> argparse.Namespace:
    """The options that the run began with, with those of the resume over them; from the directory it began in."""
    words = list(head.origin.get("words", ()))
    if not words:
        raise UsageError(f"run {head.run} was begun by a program, not by a command line: that program has to resume it")
    if head.origin.get("masked"):
        raise UsageError(
            f"run {head.run} was begun with a secret on its command line or among its answers, which was not kept: "
            "set it in the environment, and begin a new run"
        )
    _go_to(str(head.origin.get("cwd", "")), head.run)
    given = parse(words, options.settings)
    if given.command != "run":
        raise UsageError(f"run {head.run} was not begun by qtui run")
    if given.directory:
        _go_to(given.directory, head.run)
    for name in ("ui", "verbose", "quiet", "output", "timestamps", "prefix", "color", "ascii", "theme", "on_finish"):
        setattr(given, name, getattr(options, name))
    given.detach, given.dry_run, given.cwd = options.detach, False, options.cwd
    given.param = [*_without(given.param, options.param), *options.param]
    elsewhere(given, options)
    return given


def elsewhere(given: argparse.Namespace, options: argparse.Namespace) -> None:
    """Take over where a resume is to run what is left. What was said of one cluster is not meant for another."""
    if options.executor or options.address:
        given.insecure = False
        given.address = options.address
    given.executor = options.executor or given.executor
    given.insecure = given.insecure or options.insecure


def _check_run(options: argparse.Namespace, state_dir: Path) -> None:
    """Refuse a unit in the place of the run, and say so."""
    text, runs = options.run, list_runs(state_dir)
    if text and runs and not any(run.startswith(text) or run.endswith(text) for run in runs):
        latest = find_run(state_dir, idle=True).run
        again = join(["qtui", "resume", latest, text, *options.units])
        raise UsageError(f'there is no run "{text}"; to run a unit again, name its run first: {again}')


class _Lost:
    """Names of units on the command line that a run began with, which the workflow does not have any more."""

    def __init__(self, run: str) -> None:
        self._run = run
        self._told: set[str] = set()

    def without(self, definition: WorkflowDefinition, given: argparse.Namespace) -> argparse.Namespace:
        """The options without them; each is told of once. Raises UsageError if they were all that was to run."""
        there, lost = still_meant(definition, given)
        if (given.units or given.tag) and not (there.units or there.tag):
            names = ", ".join([*given.units, *(f"-t {tag}" for tag in given.tag)])
            raise UsageError(
                f"run {self._run} was to run only {names}, and the workflow has nothing of that name any more: "
                "begin a new run"
            )
        for text in lost:
            if text not in self._told:
                self._told.add(text)
                tell(f"the run was begun with {text}, which the workflow does not have any more")
        return there


def _without(earlier: Sequence[str], later: Sequence[str]) -> list[str]:
    """The params of an earlier command line that a later one does not set."""
    names = {pair.partition("=")[0] for pair in later}
    return [pair for pair in earlier if pair.partition("=")[0] not in names]


def _go_to(directory: str, run: str) -> None:
    try:
        os.chdir(directory)
    except OSError as error:
        raise UsageError(f"run {run} was begun in {directory}, which cannot be used: {error.strerror}") from None


def told(how: Resumption, run: str) -> Iterator[str]:
    """What a resume does, in lines: why units run, what is kept, gone, stale, and left as it is."""
    units = how.view.plan.table
    state = how.view.states
    again = {number: why for number, why in how.reasons.items() if why not in _COUNTED}
    together = Counter(_COUNTED[why] for why in how.reasons.values() if why in _COUNTED)
    yield f"resume: {counted(len(how.reasons), 'unit')} to run, {how.kept} kept"
    width = min(40, max((len(units[number].id) for number in again), default=0))
    for number, why in list(again.items())[:MOST_LINES]:
        yield f"  run   {units[number].id:<{width}}  {why}"
    for why, count in Counter(list(again.values())[MOST_LINES:]).most_common():
        yield f"  run   {count} more  {why}"
    for words, count in together.items():
        yield f"  run   {count} that {words}"
    stale = {number: why for number, why in how.view.stale.items() if state[number] is UnitState.COMPLETED}
    yield from _few("stale", [f"{units[n].id}  {why}: kept; --stale runs it again" for n, why in stale.items()])
    yield from _few("gone", [f"{name}  is not in the workflow any more ({was})" for name, was in how.gone.items()])
    if how.left:
        counts = ", ".join(f"{count} {words}" for words, count in how.left.items())
        yield f"  left  {counts}: qtui resume {run} goes on with them"
    for number in how.questions:
        yield f"  ask   {units[number].id}  is not idempotent and may have done its work: it asks before it runs"


def not_run(how: Resumption, run: str, again: Sequence[str]) -> Iterator[str]:
    """Why units do not run that ``--again`` names: it lets them run without asking, but is no reason to."""
    plan, states = how.view.plan, how.view.states
    named = [plan.numbers[unit_id] for unit_id in named_units(plan, again)]
    lines = []
    for number in sorted(set(named) - how.reasons.keys()):
        unit_id, done = plan.table[number].id, states[number] is UnitState.COMPLETED
        why = "it has completed" if done else "it is left as it is"
        name = quote(unit_id)
        lines.append(f"{unit_id}  does not run, {why}; to run it: qtui resume {run} {name} --again={name}")
    yield from _few("again", lines)


def _few(what: str, lines: Sequence[str]) -> Iterator[str]:
    yield from (f"  {what:<5} {line}" for line in lines[:MOST_LINES])
    if len(lines) > MOST_LINES:
        yield f"  {what:<5} {len(lines) - MOST_LINES} more"
