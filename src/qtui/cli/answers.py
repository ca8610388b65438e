"""Questions of a run, asked and answered in lines: where a terminal has no screen that could ask."""

from __future__ import annotations

import os
import select
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from shlex import quote
from typing import Final, NamedTuple, TextIO

from qtui.cli.standard import keyboard
from qtui.core.events import BrakeChanged, ConfirmRequested, Event
from qtui.core.options import Brake
from qtui.core.session import RunSession
from qtui.core.stimuli import ApproveRequested, CancelRequested, CancelRunRequested, ReleaseRequested, Request
from qtui.tui.text import clean

LOOK_SECONDS: Final = 0.2
"""How often the run is looked at for new questions: soon enough for a person, and no work worth mentioning."""


NOBODY: Final = "nobody can be asked here: ctrl+c ends the run"
"""What is to be known of a question where it cannot be answered."""


class Question(NamedTuple):
    """Something that waits for a person: what is asked, what yes and no ask of the run, and how a later run can do
    without asking."""

    text: str
    yes: Request
    no: Request
    spare: str


class Answers:
    """Asks on `out` and reads lines of ``y`` or ``n`` from the terminal `source`, on a thread of its own."""

    def __init__(self, session: RunSession, out: TextIO, source: int) -> None:
        self._session, self._out, self._source = session, out, source
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="qtui-answers", daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def stop(self) -> None:
        """Ask no more."""
        self._over.set()
        self._thread.join()

    def _follow(self) -> None:
        asked: Question | None = None
        answered: Question | None = None
        while not self._over.is_set():
            waiting = list(questions(self._session))
            if answered not in waiting:
                answered = None  # the run has heard it; the same question may come again
            unanswered = [question for question in waiting if question != answered]
            if asked not in unanswered:
                asked = next(iter(unanswered), None)
                self._ask(asked)
            answer = self._line()
            if answer is None:
                return
            if asked is not None and answer in ("y", "yes", "n", "no"):
                self._session.request(asked.yes if answer.startswith("y") else asked.no)
                asked, answered = None, asked
            elif answer:
                self._ask(asked)

    def _ask(self, question: Question | None) -> None:
        if question is None:
            return
        with suppress(termios.error):  # what was typed before was no answer to this
            termios.tcflush(self._source, termios.TCIFLUSH)
        with suppress(OSError):  # the terminal may be gone
            print(f"{question.text} Answer y or n, then enter.", file=self._out, flush=True)

    def _line(self) -> str | None:
        """What was typed meanwhile; empty for nothing, None if nothing more can come."""
        if not select.select([self._source], [], [], LOOK_SECONDS)[0]:
            return ""
        try:
            if os.tcgetpgrp(self._source) != os.getpgrp():
                # in the background, reading would stop the whole run
                self._over.wait(LOOK_SECONDS)
                return ""
            data = os.read(self._source, 4096)
        except OSError:  # the terminal is gone
            return None
        lines = data.decode("utf-8", "replace").split("\n")
        return lines[0].strip().lower() if data else None


@contextmanager
def answering(session: RunSession) -> Iterator[None]:
    """While this holds, questions are asked on standard error, if somebody is there and the run has not ended."""
    if session.view().finished is not None or not can_answer(session):
        yield
        return
    answers = Answers(session, sys.stderr, keyboard())
    answers.start()
    try:
        yield
    finally:
        answers.stop()


def can_answer(session: RunSession) -> bool:
    """Whether the run may ever ask, and somebody is there to answer in lines."""
    asks = any(unit.confirm for unit in session.plan.table) or any(map(_waits, session.options.brakes.values()))
    return asks and os.isatty(keyboard()) and sys.stderr.isatty()


def questions(session: RunSession) -> Iterator[Question]:
    """What waits for a person now: the confirmations of units, then the brakes that nothing else lets go."""
    view = session.view()
    if view.asked:
        for number, last in enumerate(view.last):
            if isinstance(last, ConfirmRequested):
                text = f"{clean(view.plan.table[number].id)}: {clean(last.question)}"
                approve, refuse = ApproveRequested((number,)), CancelRequested((number,), "declined by you")
                yield Question(text, approve, refuse, spared(session, last))
    if view.finished is not None or view.stopping is not None:
        return
    for scope, change in view.brakes.items():
        if change.state == "held" and _waits(session.options.brakes[scope]):
            text = f"{scope_name(scope)} is held after {clean(change.cause)}. Go on?"
            release, drain = ReleaseRequested((scope,)), CancelRunRequested("drain", "declined by you")
            yield Question(text, release, drain, spared(session, change))


def spared(session: RunSession, event: Event) -> str:
    """How else the question that begins with `event` can be answered, and how a later run does without it; empty if
    neither is possible."""
    match event:
        case ConfirmRequested(unit=unit):
            name = quote(clean(session.view().plan.table[unit].id))
            return f"qtui approve {session.run} {name} says yes, --yes={name} beforehand"
        case BrakeChanged(scope=scope, state="held") if _waits(session.options.brakes[scope]):
            return 'then = "stop" in max_failures ends the run instead, probe = "1m" lets one unit try again'
    return ""


def scope_name(scope: str) -> str:
    """What a brake stands on, in words."""
    return clean(scope.replace(":", " ", 1)) or "the run"


def _waits(brake: Brake) -> bool:
    return brake.then == "pause" and brake.probe is None
