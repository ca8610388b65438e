"""``qtui run --debug``: one unit in the foreground, with the terminal for its input and output, and no record of it."""

from __future__ import annotations

import argparse
import asyncio
import os
import select
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from types import FrameType
from typing import Any, Final

from qtui.cli.adjust import environment_of, overrides_of
from qtui.cli.ask import asker
from qtui.cli.foreground import in_foreground, kept_terminal
from qtui.cli.options import EVERY, params_of
from qtui.cli.reaching import state_dir_of
from qtui.cli.surroundings import Alone, Known, Recorded, alone, needs_of
from qtui.cli.telling import tell
from qtui.cli.words import counted
from qtui.core.definition import WorkflowDefinition
from qtui.core.errors import EXIT_CANCELED, EXIT_FAILED, EXIT_OK, QtuiError, UsageError
from qtui.core.model import FAILURES, Argv, Call, QuantumUnit, Shell, UnitState
from qtui.core.plan import ExecutionPlan
from qtui.definition.selection import named_units
from qtui.engine.context import ExecutionContext, current_context
from qtui.engine.failure import user_traceback
from qtui.engine.returned import settled
from qtui.engine.workers.command import command_lines
from qtui.engine.workers.exchange import BadResult
from qtui.listing import known_runs
from qtui.services import open_services
from qtui.store.rundir import RunDirectory
from qtui.tui.text import clean

RUN: Final = "debug"
"""What such a unit takes for the id of its run."""

MOST_RUNS: Final = 20
"""The latest runs that are looked through for results."""

MOST_SHOWN: Final = 500
_ENDING: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
EXIT_PIPE: Final = 141
"""128 and SIGPIPE: the reader has gone."""


def debug(options: argparse.Namespace) -> int:
    """Run the one unit that is named, with the latest results of what it needs; returns its exit code.

    Raises UsageError if a result is not there, and says how to make it.
    """
    if len(options.units) != 1 or options.tag:
        raise UsageError("--debug runs one unit: qtui run --debug WORKFLOW UNIT")
    if options.detach or options.dry_run:
        raise UsageError("--debug runs a unit now and in the foreground: leave out --detach and -n")
    env = environment_of(options)
    os.environ.update(env)
    state_dir = state_dir_of(options)
    with open_services(state_dir) as services:
        load = services.manager.load
        definition = load(options.workflow, params_of(options.param), overrides_of(options, env), asker(os.environ))
    plan = ExecutionPlan.build(definition.units, default_mode=definition.options.mode)
    unit = _named(plan, options.units[0])
    number = plan.numbers[unit.id]
    run, known = _results(state_dir, definition, plan, number, options.workflow)
    _confirm(unit, options.yes)
    tell(f"{unit.id} alone: not recorded, no retries, no timeout{f'; results of run {run}' if run else ''}")
    with alone(plan, definition.params, known, RUN) as around:
        directory = unit.cwd or definition.directory or str(Path.cwd())
        if isinstance(unit.action, Shell | Argv):
            return _run_command(around, number, directory)
        if isinstance(unit.action, Call):
            return _Called(around, number, unit.action).run(directory)
    tell(f"{unit.id} does nothing by itself: it is there for what needs it")
    return EXIT_OK


def _named(plan: ExecutionPlan, word: str) -> QuantumUnit:
    """The unit that a word means. Raises UsageError for none, and for several."""
    first, *more = sorted(plan.numbers[unit_id] for unit_id in named_units(plan, [word]))
    if more:
        raise UsageError(f'"{word}" means {counted(len(more) + 1, "unit")}; name one, such as {plan.table[first].id}')
    return plan.table[first]


def _results(
    state_dir: Path, definition: WorkflowDefinition, plan: ExecutionPlan, number: int, workflow: str
) -> tuple[str, dict[str, Known]]:
    """The latest run that has the results of what a unit needs, and these. Raises UsageError if there is none."""
    needs = needs_of(plan, number)
    if not needs:
        return "", {}
    lacking: Sequence[str] = needs
    latest = ""
    for found in known_runs(state_dir, definition.source or definition.name, MOST_RUNS):
        if found.fault:
            continue
        try:
            known = Recorded(state_dir, RunDirectory.open(state_dir, found.summary.run)).known(needs)
        except QtuiError:  # it may be just going, or another version's: an earlier one may do
            continue
        without = [need for need in needs if not _will_do(plan, number, need, known.get(need))]
        if not without:
            return found.summary.run, known
        if not latest:
            latest, lacking = found.summary.run, without
    where = f"run {latest} has no result of" if latest else "no run of the workflow has a result of"
    names = " ".join(quote(need) for need in lacking[:5])
    more = f" and {len(lacking) - 5} more" if len(lacking) > 5 else ""
    raise UsageError(
        f"{plan.table[number].id} needs what is not there: {where} {', '.join(lacking[:5])}{more}; "
        f"this makes it: qtui run {quote(workflow)} {names}"
    )


def _will_do(plan: ExecutionPlan, number: int, need: str, end: Known | None) -> bool:
    """Whether a unit could run after such an end of what it needs."""
    if end is None:
        return False
    if end.state is UnitState.COMPLETED:
        return not end.cause
    allowed = end.state in FAILURES and plan.table[plan.numbers[need]].allow_failure
    return allowed or plan.table[number].is_handler


def _confirm(unit: QuantumUnit, yes: Sequence[str]) -> None:
    """Ask what the unit asks before it runs. Raises UsageError without a yes."""
    if not unit.confirm or EVERY in yes or unit.id in yes or unit.name in yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{unit.id} asks first, and nobody can be asked here: --yes={quote(unit.id)} says yes")
    print(f"{clean(unit.id)}: {clean(unit.confirm)} (y or n) ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UsageError(f"{unit.id} was not run: you said no")


# -- commands ----------------------------------------------------------------------------------------------


def _run_command(around: Alone, number: int, directory: str) -> int:
    """Run the commands of a unit, one after another up to the first that fails."""
    unit, files = around.plan.table[number], around.files(number, 1)
    environment = {**around.environment_of(number), **files.variables}
    for message in around.told:
        tell(message)
    code = EXIT_OK
    for line in command_lines(unit, files):
        code = in_foreground(line, directory, environment)
        if code not in unit.success_exit_codes:
            tell(f"{unit.id} has failed: exit {code}")
            return code
    try:
        result = files.result(None)
    except BadResult as bad:
        tell(f"{unit.id} has failed: {bad}")
        return EXIT_FAILED
    if result is not None:
        tell(f"{unit.id} has left the result {_shown(result)}")
    return code


# -- functions ---------------------------------------------------------------------------------------------


class _Terminal:
    """Where `context.log` writes."""

    path = ""

    def write(self, data: bytes) -> None:
        """Print it."""
        print(data.decode(errors="replace"), end="", flush=True)

    def close(self) -> None:
        """Nothing to do."""


class _Called:
    """A function that is called on this thread, so that debuggers work in it."""

    def __init__(self, around: Alone, number: int, action: Call) -> None:
        self._around, self._number, self._action = around, number, action
        self._unit = around.plan.table[number]
        self._context = ExecutionContext(around, number, 1, _Terminal(), None)

    def run(self, directory: str) -> int:
        """Call it in its directory, with its variables; its exit code."""
        os.environ.update({**self._around.environment_of(self._number), "QTUI_ATTEMPT": "1"})
        try:
            os.chdir(directory)
        except OSError as error:
            raise UsageError(f"{self._unit.id} cannot run in {directory}: {error.strerror}") from None
        token = current_context.set(self._context)
        try:
            with kept_terminal(), _signals_raised():
                value = self._value()
            sys.stdout.flush()
        except _Ended as end:
            return 128 + end.number
        except KeyboardInterrupt:
            tell(f"{self._unit.id} was interrupted")
            return EXIT_CANCELED
        except BaseException as error:  # noqa: BLE001  - whatever it raises, it is the end of the unit
            return self._failed(error)
        finally:
            current_context.reset(token)
        if self._context.additions:
            added = counted(len(self._context.additions), "unit")
            tell(f"{self._unit.id} would add {added}: nothing of that is run here")
        if value is not None:
            tell(f"{self._unit.id} returns {_shown(value)}")
        return EXIT_OK

    def _value(self) -> Any:
        if not self._action.is_async:
            return settled(self._call())
        value, error = asyncio.run(self._awaited())
        if error is not None:
            raise error
        return value

    async def _awaited(self) -> tuple[Any, Exception | None]:
        """What comes of a coroutine; an error by itself, so that no frame of the loop stands in its traceback."""
        try:
            return await self._call(), None
        except Exception as error:  # noqa: BLE001  - it is raised again
            return None, error

    def _call(self) -> Any:
        given = (self._context,) if self._action.wants_context else ()
        return self._action.function(*given, **self._context.filled(self._unit.args))

    def _failed(self, error: BaseException) -> int:
        if isinstance(error, BrokenPipeError) and _reader_has_gone():
            return EXIT_PIPE
        print(user_traceback(error), file=sys.stderr)
        tell(f"{self._unit.id} has failed: {type(error).__name__}")
        return EXIT_FAILED


class _Ended(BaseException):
    """A signal has come that ends programs."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def _signals_raised() -> Iterator[None]:
    """While this holds, the first signal that would end this process raises `_Ended`, so that the terminal and the disk
    are left as they were found; the next one ends it."""

    def end(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise _Ended(number)

    ending = [each for each in _ENDING if signal.getsignal(each) is signal.SIG_DFL]  # others belong to somebody
    for number in ending:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in ending:
            if signal.getsignal(number) is end:
                signal.signal(number, signal.SIG_DFL)


def _reader_has_gone() -> bool:
    """Whether nobody reads standard output any more; what waits there goes nowhere then."""
    poll = select.poll()
    poll.register(1, 0)  # for errors alone
    if not any(events & select.POLLERR for _, events in poll.poll(0)):
        return False
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)
    return True


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001  - a class of the user's
        return f"a {type(value).__name__}, which cannot be shown: {type(error).__name__}"
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."
