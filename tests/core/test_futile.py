"""Whoever asks for something that changes nothing hears why, whatever the run is doing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from core_driver import Run, unit

from qtui.core.events import Warned
from qtui.core.futile import futile
from qtui.core.stimuli import (
    ApproveRequested,
    CancelRequested,
    CancelRunRequested,
    GovernorRequested,
    PauseRequested,
    ReleaseRequested,
    Request,
    RetryRequested,
    UnpauseRequested,
    WorkersRequested,
    WorkersStepRequested,
)


def going() -> Run:
    """`a` runs, `ask` waits for a yes, `b` for `a`."""
    return Run(unit("a"), unit("ask", confirm="Sure?"), unit("b", "a", confirm="And b?"), workers=4)


def paused(run: Run) -> None:
    run.send(PauseRequested())


def canceled(run: Run) -> None:
    run.cancel("a")


def killed(run: Run) -> None:
    run.cancel("a")
    run.cancel("a")


def succeeded(run: Run) -> None:
    run.succeed("a")


def failed(run: Run) -> None:
    run.fail("a")


def approved(run: Run) -> None:
    run.send(PauseRequested())
    run.send(ApproveRequested((run.number("ask"),)))


def stopping(run: Run) -> None:
    run.send(CancelRunRequested("drain"))


def over(run: Run) -> None:
    run.send(CancelRunRequested("stop"))
    run.stopped("a")
    assert run.view.finished is not None


def untouched(run: Run) -> None:
    assert run.view.asked


STAGES = [untouched, paused, canceled, killed, succeeded, failed, approved, stopping, over]
REQUESTS: list[Request] = [
    *(kind((number,)) for kind in (CancelRequested, ApproveRequested, RetryRequested) for number in range(3)),
    CancelRunRequested("drain"),
    CancelRunRequested("stop"),
    PauseRequested(),
    UnpauseRequested(),
    ReleaseRequested(),
    WorkersRequested(4),
    WorkersStepRequested(0),
    GovernorRequested(False),
]


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("request_made", REQUESTS, ids=str)
def test_a_request_that_changes_nothing_has_a_reason(stage: Callable[[Run], None], request_made: Request) -> None:
    run = going()
    stage(run)
    if all(isinstance(event, Warned) for event in run.send(request_made)) and not run.effects:
        assert futile(run.view, request_made).partition(": ")[0] in ("nothing to do", "too late", "refused")


@pytest.mark.parametrize(
    ("stage", "request_made", "why"),
    [
        (paused, PauseRequested(), "nothing to do: the run is paused already"),
        (untouched, UnpauseRequested(), "nothing to do: the run is not paused"),
        (succeeded, CancelRequested((0,)), "too late: a has completed"),
        (failed, CancelRequested((0,)), "too late: a failed"),
        (killed, CancelRequested((0,)), "nothing to do: a is being killed"),
        (untouched, ApproveRequested((0,)), "refused: a does not ask, it is running"),
        (untouched, ApproveRequested((2,)), "refused: b does not ask yet"),
        (approved, ApproveRequested((1,)), "nothing to do: ask was approved already"),
        (succeeded, ApproveRequested((0,)), "too late: a does not ask, it has completed"),
        (untouched, RetryRequested((0,)), "nothing to do: a has not ended, it is running"),
        (stopping, RetryRequested((0,)), "refused: the run is ending; units can be retried when it has"),
        (stopping, CancelRunRequested("drain"), "nothing to do: the run is stopping already"),
        (over, PauseRequested(), "too late: the run has ended"),
        (over, CancelRequested((0,)), "too late: the run has ended"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_the_reason_is_told_in_words(stage: Callable[[Run], None], request_made: Request, why: str) -> None:
    run = going()
    stage(run)
    assert futile(run.view, request_made) == why


def test_what_would_change_something_has_none() -> None:
    run = going()
    for request_made in (PauseRequested(), CancelRequested((0,)), ApproveRequested((1,)), CancelRunRequested()):
        assert futile(run.view, request_made) == ""
