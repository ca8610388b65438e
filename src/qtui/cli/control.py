"""``qtui cancel``, ``pause``, ``unpause`` and ``approve``: ask whoever runs a run for something, and say the answer."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Final

from qtui.attached import AttachedSession
from qtui.cli.naming import units_named
from qtui.cli.reaching import gone, opened, state_dir_of
from qtui.core.errors import EXIT_FAILED, EXIT_OK, UsageError
from qtui.core.events import ConfirmRequested
from qtui.core.futile import NOTHING
from qtui.core.session import Answer
from qtui.core.state import RunView
from qtui.core.stimuli import (
    ApproveRequested,
    CancelRequested,
    CancelRunRequested,
    PauseRequested,
    Request,
    UnpauseRequested,
)
from qtui.store.rundir import find_live_run
from qtui.tui.text import clean

ANSWER_SECONDS: Final = 5.0
"""How long an answer is waited for; one that runs answers within hundredths of a second."""

LOOK_SECONDS: Final = 0.02
DONE: Final = "done"

_Wish = tuple[str, Request]
"""Whom it concerns (a unit, or nothing for the run), and what is asked."""


def cancel(options: argparse.Namespace) -> int:
    """Stop these units, or the whole run; a unit that is already stopping is killed. The run has to be named."""
    if options.run is None:
        run = find_live_run(state_dir_of(options)).run
        raise UsageError(f"name the run, as a cancel cannot be taken back; one goes on: qtui cancel {run}")
    with opened(options, read_only=False, sole=True) as session:
        view = session.view()
        wishes = _of_units(view, units_named(view.plan, options.units), CancelRequested)
        return _ask(session, wishes or [("", CancelRunRequested())])


def approve(options: argparse.Namespace) -> int:
    """Say yes for these units, or for all that ask."""
    with opened(options, read_only=False, sole=True) as session:
        view = session.view()
        units = units_named(view.plan, options.units)
        if not options.units:
            units = [number for number, last in enumerate(view.last) if isinstance(last, ConfirmRequested)]
            if not units and view.finished is None and not session.lost:
                print("refused: no unit asks")
                return EXIT_FAILED
        return _ask(session, _of_units(view, units, ApproveRequested))


def pause(options: argparse.Namespace) -> int:
    """Start nothing new in the run."""
    with opened(options, read_only=False, sole=True) as session:
        return _ask(session, [("", PauseRequested())])


def unpause(options: argparse.Namespace) -> int:
    """Let the run start units again."""
    with opened(options, read_only=False, sole=True) as session:
        return _ask(session, [("", UnpauseRequested())])


def _of_units(
    view: RunView, units: Sequence[int], request: type[CancelRequested] | type[ApproveRequested]
) -> list[_Wish]:
    """One request for each, since each has an answer of its own."""
    return [(clean(view.plan.table[unit].id), request((unit,))) for unit in units]


def _ask(session: AttachedSession, wishes: Sequence[_Wish]) -> int:
    """Send what is asked for and print each answer; 0 if all is as was asked for now, else 1."""
    if session.view().finished is not None:
        print("too late: the run has ended")
        return EXIT_FAILED
    if session.lost:
        print(f"nobody answers: {gone(session.run)}")
        return EXIT_FAILED
    for _, request in wishes:
        session.request(request)
    answers = _answers(session)
    for (unit, _), answer in zip(wishes, answers, strict=True):
        print(f"{unit}: {_said(session, answer)}" if unit else _said(session, answer))
    return EXIT_OK if all(answer.text.startswith((DONE, NOTHING)) for answer in answers) else EXIT_FAILED


def _answers(session: AttachedSession) -> list[Answer]:
    """The answers that come in time."""
    until = time.monotonic() + ANSWER_SECONDS
    while True:
        answers = session.answers()
        if all(answer.text for answer in answers) or session.lost or time.monotonic() > until:
            return answers
        time.sleep(LOOK_SECONDS)


def _said(session: AttachedSession, answer: Answer) -> str:
    if answer.text:
        return clean(answer.text)
    if session.lost:
        return f"nobody answers: {gone(session.run)}"
    return f"no answer in {ANSWER_SECONDS:.0f} seconds; it may still be heard: `qtui status {session.run}` shows it"
