"""``qtui shell``: a shell where a unit of a run has run, with its variables, to find out what went wrong there."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from qtui.cli.foreground import in_foreground
from qtui.cli.naming import unit_named
from qtui.cli.options import parse
from qtui.cli.reaching import state_dir_of
from qtui.cli.surroundings import HIDDEN, Alone, Recorded, alone, needs_of
from qtui.core.errors import QtuiError
from qtui.core.model import Argv, Call, QuantumUnit, Shell
from qtui.core.state import UnitView
from qtui.store.journal import Head
from qtui.store.rundir import find_run
from qtui.tui.text import clean

COMMAND: Final = "QTUI_COMMAND"
"""The variable that holds what the unit runs."""


def shell(options: argparse.Namespace) -> int:
    """Open a shell beside a run that goes on or has ended, of which nothing is changed; returns the shell's exit code.

    Raises UsageError if the unit's directory is gone, or there is no shell.
    """
    state_dir = state_dir_of(options)
    recorded = Recorded(state_dir, find_run(state_dir, options.run))
    plan = recorded.view.plan
    unit = recorded.view.unit(unit_named(plan, options.unit))
    known = recorded.known(needs_of(plan, unit.number))
    with alone(plan, recorded.head.params, known, recorded.run) as around:
        files = around.files(unit.number, max(1, unit.attempt))
        command = command_of(unit.unit, recorded.head)
        environment = {**around.environment_of(unit.number), **files.variables, COMMAND: command}
        for line in about(recorded.run, unit, command, around, files.variables):
            print(clean(line), file=sys.stderr)
        directory = unit.unit.cwd or recorded.head.directory or str(Path.cwd())
        return in_foreground([os.environ.get("SHELL") or "/bin/sh"], directory, environment)


def command_of(unit: QuantumUnit, head: Head) -> str:
    """What a shell evaluates to do what the unit does; empty if none can."""
    match unit.action:
        case Argv(argv):
            return shlex.join(argv)
        case Shell((text,), ("sh",)):
            return text
        case Shell(texts, words):
            return " &&\n".join(shlex.join((*words, "-c", text)) for text in texts)
        case Call():
            return _debugging(unit, head)
    return ""


def _debugging(unit: QuantumUnit, head: Head) -> str:
    """The command that runs a function in the foreground; empty if the run was begun by a program."""
    words = list(head.origin.get("words", ()))
    try:
        given = parse(words) if words else None
    except QtuiError:  # another version has written them
        given = None
    if given is None or given.command != "run":
        return ""
    directory = str(Path(head.origin.get("cwd", ""), given.directory or ""))
    params = [word for param in given.param for word in ("-p", param)]
    return shlex.join(["qtui", "-C", directory, "run", "--debug", given.workflow, unit.id, *params])


def about(run: str, unit: UnitView, command: str, around: Alone, given: Mapping[str, str]) -> Iterator[str]:
    """What people should know before they type; `given` are the variables that name files."""
    yield f"qtui: {unit.id} of run {run} {unit.state.told}{f': {unit.cause}' if unit.cause else ''}"
    if isinstance(unit.unit.action, Call):
        yield f"  calls    {unit.unit.action}, a Python function; this runs it alone:"
        yield f"           {command or 'qtui run --debug WORKFLOW UNIT'}"
    elif command:
        first, *more = command.splitlines()
        yield f"  runs     {first}{' ...' if more else ''}"
        yield f'           eval "${COMMAND}" does that here'
    if "QTUI_NEEDS" in given:
        yield "  needs    $QTUI_NEEDS is a file with the results, a copy"
    for number in around.plan.needs[unit.number]:
        if cause := around.cause_of(number):
            yield f"  missing  the result of {around.plan.table[number].id}: {cause}"
    for name in around.missing(unit.number):
        yield f"  missing  ${name} holds a secret, which is not recorded: set it"
    if HIDDEN in command:
        yield f"  missing  the command holds a secret, which is not recorded: it stands there as {HIDDEN}"
    for text in around.told:
        yield f"  note     {text}"
    yield "qtui: nothing that is done here changes the run; exit leaves"
