"""``qtui run``: start a workflow and follow it on a screen, as lines, or as JSON."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Protocol, TextIO

from qtui.cli.adjust import adjusted, environment_of, overrides_of, still_meant
from qtui.cli.answers import answering, can_answer
from qtui.cli.ask import asker
from qtui.cli.detach import Starter, answered, recorded, start_detached, starter
from qtui.cli.dump import dumped_on_quit
from qtui.cli.earlier import past_in
from qtui.cli.hangup import Outside, dropping
from qtui.cli.manner import manner_of
from qtui.cli.options import choose_ui, params_of, wants_color
from qtui.cli.reaching import state_dir_of
from qtui.cli.standard import emptied_input, keyboard
from qtui.cli.telling import tell
from qtui.core.definition import WorkflowDefinition
from qtui.core.errors import EXIT_INTERNAL, EXIT_OK, UsageError
from qtui.core.model import EMPTY
from qtui.core.session import RunSession
from qtui.core.stimuli import InterruptRequested
from qtui.manager import LiveSession, routed_output
from qtui.services import Services, open_services
from qtui.store.turns import Turn
from qtui.tui.text import clean


class Follower(Protocol):
    """Writes a run's record somewhere."""

    def follow(self) -> None:
        """Write until the run's record is closed."""


class TakeTurn(Protocol):
    """Waits until the workflow may run, see WorkflowManager.take_turn, and says what it waits for."""

    def __call__(self, run: str = "") -> Turn | None:
        """The turn; `run` is one that goes on."""


class Begin(Protocol):
    """Begins a run of a workflow, or goes on with one; None if there is nothing more to do."""

    def __call__(
        self, services: Services, definition: WorkflowDefinition, answers: Mapping[str, str], take_turn: TakeTurn
    ) -> Callable[[], LiveSession] | None:
        """What begins it, once `take_turn` was called; `answers` are the params that a person has been asked for."""


Adjust = Callable[[WorkflowDefinition, argparse.Namespace], WorkflowDefinition]


def run(options: argparse.Namespace) -> int:
    """Run a workflow; returns the exit code of the run, the same in every ``--ui``."""
    if options.debug:
        from qtui.cli.debug import debug

        return debug(options)
    if options.dry_run:
        from qtui.cli.planning import plan

        return plan(argparse.Namespace(**vars(options), compare=False, check=False, json=options.ui == "json"))
    origin = {"words": options.words, "cwd": options.cwd}

    def begin(
        services: Services, definition: WorkflowDefinition, answers: Mapping[str, str], take_turn: TakeTurn
    ) -> Callable[[], LiveSession]:
        turn = take_turn()
        return lambda: services.manager.start(definition, {**origin, "answers": dict(answers)}, turn)

    return drive(options, begin)


def drive(
    options: argparse.Namespace, begin: Begin, known: Mapping[str, str] = EMPTY, adjust: Adjust = adjusted
) -> int:
    """Load the workflow that `options` of ``qtui run`` name, and follow the run that `begin` makes of it.

    `known` are values of params that a person has been asked for earlier; `adjust` makes of the workflow what `options`
    say of it.
    """
    ui = choose_ui(options.ui, os.environ)
    if options.detach and options.ui == "tui":
        raise UsageError("--detach runs without a screen; qtui attach shows the run")
    waiting = starter()
    detaching = options.detach and waiting is None
    env = environment_of(options)
    os.environ.update(env)  # as if they had been set outside; over the workflow's own, they are an override
    overrides = overrides_of(options, env)
    state_dir = state_dir_of(options)
    out = _reserved_stdout() if ui == "json" or detaching else sys.stdout
    # user modules are imported by load: their log handlers must find the routed streams already there
    with routed_output(), open_services(state_dir) as services:
        params = params_of(options.param)
        answers = dict(known)
        ask = waiting.ask if waiting is not None else answered(known, asker(os.environ))
        loaded = services.manager.load(options.workflow, params, overrides, recorded(ask, answers))
        definition = adjust(loaded, options)
        for problem in definition.advice[len(loaded.advice) :]:
            print(clean(str(problem)), file=sys.stderr)
        services.manager.check_executor(definition)
        if detaching:
            services.manager.plan(definition)  # what cannot run is told here, and nothing is started
            return start_detached(answers, out, options.cwd)
        start = begin(services, definition, answers, partial(_take_turn, services, definition, waiting))
        if start is None:
            return EXIT_OK

        def reload() -> WorkflowDefinition:
            ask = answered(answers, None)
            loaded = services.manager.load(options.workflow, params, overrides, ask)
            try:
                return adjust(loaded, options)
            except UsageError as error:
                raise _renamed(loaded, options) or error from None

        start = following(start, reload)
        with emptied_input():
            if ui == "tui":
                session: RunSession = _on_screen(start, definition, options, state_dir / "runs")
            else:
                session = _in_lines(ui, start, definition, options, waiting, state_dir / "runs", out)
        return _exit_code(session)


def _renamed(loaded: WorkflowDefinition, options: argparse.Namespace) -> UsageError | None:
    """What is told of names on the command line of a run that its workflow does not have any more, and what helps."""
    there, lost = still_meant(loaded, options)
    if not lost:
        return None
    left = there.units or there.tag or not (options.units or options.tag)
    other = "let qtui resume go on without it" if left else "begin a new run"
    names = ", ".join(lost)
    return UsageError(
        f"the run was begun with {names}, which the workflow does not have any more: give it that name again, "
        f"or {other}"
    )


def _take_turn(
    services: Services, definition: WorkflowDefinition, waiting: Starter | None, run: str = ""
) -> Turn | None:
    with waiting.queueing() if waiting is not None else nullcontext(tell) as say:
        return services.manager.take_turn(definition, say, run)


def following(start: Callable[[], LiveSession], reload: Callable[[], WorkflowDefinition]) -> Callable[[], LiveSession]:
    """`start`, with retries that can run what is on the disk."""

    def started() -> LiveSession:
        session = start()
        session.follow_disk(reload)
        return session

    return started


def _on_screen(
    start: Callable[[], LiveSession], definition: WorkflowDefinition, options: argparse.Namespace, runs: Path
) -> RunSession:
    # before the run begins: beside busy threads this import takes seconds instead of 0.2
    from qtui.cli.look import look_of
    from qtui.cli.sketch import sketched

    look = look_of(options)
    with sketched(definition.name, (unit.id for unit in definition.units), ascii=look.ascii) as sketch:
        from qtui.cli.screen import show

        return show(
            start,
            title=definition.name,
            look=look,
            sketch=sketch,
            bell=definition.notify,
            on_hangup=definition.on_hangup,
            runs=runs,
            ask_past=past_in(runs.parent),
        )


def _in_lines(
    ui: str,
    start: Callable[[], LiveSession],
    definition: WorkflowDefinition,
    options: argparse.Namespace,
    waiting: Starter | None,
    runs: Path,
    out: TextIO,
) -> RunSession:
    """Follow the run that `start` begins without a screen. INT and TERM stop it (and kill it when they come again), HUP
    takes the terminal away from it."""
    make_follower = _follower(ui, out, definition, options, runs.parent)
    drop = dropping(keyboard(), 1, 2, out.fileno())
    outside = Outside()
    with outside.heard():
        session = start()
        directory = runs / session.run
        if waiting is not None:
            waiting.begun(session.run, directory, out)

        def hang_up() -> None:
            drop()
            if definition.on_hangup == "cancel":
                session.request(InterruptRequested(signal.SIGHUP))

        outside.tell(lambda number: session.request(InterruptRequested(number)), hang_up)
        asking = answering(session) if ui == "plain" else nullcontext()
        with dumped_on_quit(session, directory, tell), asking:
            _follow(session, make_follower(session), out)
    return session


def _reserved_stdout() -> TextIO:
    """Standard output for the events (or the run's id) alone: whatever modules, units or their children print by
    themselves goes to standard error from now on."""
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return events


def _follower(
    ui: str, out: TextIO, definition: WorkflowDefinition, options: argparse.Namespace, state_dir: Path
) -> Callable[[RunSession], Follower]:
    """What writes the output. Its modules are imported now, before the run may use up the descriptors."""
    if ui == "json":
        from qtui.cli.json_lines import JsonLines

        return lambda session: JsonLines(session, out)
    from qtui.cli.plain import PlainLines

    manner = manner_of(options, os.environ, color=wants_color(options.color, os.environ, out.isatty()))
    bell, past = definition.notify if out.isatty() else None, past_in(state_dir)
    return lambda session: PlainLines(session, out, manner, bell=bell, answerable=can_answer(session), ask_past=past)


def _follow(session: RunSession, follower: Follower, out: TextIO) -> None:
    """Wait for the end while a thread writes the output; a closed pipe ends the output, not the run."""
    writer = threading.Thread(target=write, args=(follower, out), name="qtui-output", daemon=True)
    writer.start()
    while session.wait(timeout=0.5) is None:
        pass  # a timeout, so that signal handlers get their turn on every platform
    session.close()
    writer.join()


def write(follower: Follower, out: TextIO) -> None:
    """Have `follower` write to `out`; where that is closed or full the output ends, and nothing else."""
    try:
        follower.follow()
    except OSError as error:
        # a closed pipe or a full disk ends the output, not the run; what is still buffered goes nowhere
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, out.fileno())
        os.close(null)
        if not isinstance(error, BrokenPipeError):
            tell(f"the output ends here, it cannot be written: {error.strerror}")


def _exit_code(session: RunSession) -> int:
    end = session.view().finished
    if end is None:
        return EXIT_INTERNAL
    if session.trouble:
        tell(session.trouble)
    return end.exit_code or (EXIT_INTERNAL if session.trouble else EXIT_OK)
