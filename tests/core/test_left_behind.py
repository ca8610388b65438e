"""What is left behind when it cannot be stopped, and a run that takes too long."""

from __future__ import annotations

from core_driver import COROUTINE, Run, unit

from qtui.core.events import LateResult, RunFinished, Warned
from qtui.core.model import LOST_LOOP, Outcome, UnitError
from qtui.core.stimuli import CancelRunRequested, LateReturned

# -- attempts that cannot be stopped ---------------------------------------------------------------------


def test_an_abandoned_attempt_counts_until_it_ends_by_itself() -> None:
    run = Run(unit("a", timeout=1, grace=0), workers=2)
    run.wait(1)
    run.returns("a", Outcome(abandoned=True))
    assert run.end == ("failed", 1)
    assert run.view.abandoned == 1
    assert [type(event) for event in run.send(LateReturned(0, 1))] == [LateResult]
    assert run.view.abandoned == 0
    assert run.send(LateReturned(0, 1)) == []


def test_an_abandoned_attempt_is_replaced_until_too_many_are_left_behind() -> None:
    names = [f"u{number}" for number in range(5)]
    run = Run(*(unit(name, grace=0) for name in names), workers=2, max_abandoned=1)
    run.cancel("u0", "u1")
    run.returns("u0", Outcome(canceled=True, abandoned=True))
    assert run.running == {"u1", "u2"}
    run.returns("u1", Outcome(canceled=True, abandoned=True))
    assert run.running == {"u2"}, "the worker of the second one is not free"
    run.cancel("u2")
    run.returns("u2", Outcome(canceled=True, abandoned=True))
    assert run.running == set()
    assert (run.view.stalled, run.view.abandoned, run.view.stuck) == (True, 3, 2)
    assert [warning.message for warning in run.said(Warned)] == [
        "stalled by 2 abandoned attempts, which cannot be stopped and keep all workers"
    ]
    run.send(LateReturned(0, 1))
    assert run.running == {"u3"}
    assert not run.view.stalled


def test_a_stalled_run_can_still_be_ended() -> None:
    run = Run(unit("a", grace=0), unit("b"), workers=1, max_abandoned=0)
    run.cancel("a")
    run.returns("a", Outcome(canceled=True, abandoned=True))
    assert run.view.stalled
    run.send(CancelRunRequested("stop"))
    assert run.end == ("canceled", 130)


def test_a_unit_runs_again_only_when_its_abandoned_attempt_has_ended() -> None:
    run = Run(unit("a", grace=0), unit("b"))
    run.cancel("a")
    run.returns("a", Outcome(canceled=True, abandoned=True))
    run.retry("a")
    assert run.state("a") == "pending"
    assert "waits until its abandoned attempt has ended" in run.said(Warned)[-1].message
    run.send(LateReturned(0, 1))
    assert run.state("a") == "running"
    run.succeed("a", "b")
    assert run.end == ("completed", 0)


def test_a_unit_whose_loop_was_lost_is_tried_again_for_free() -> None:
    run = Run(unit("a", action=COROUTINE))
    for _ in range(3):
        run.fail("a", LOST_LOOP)
        run.wait(0)
        assert run.state("a") == "running"
    run.fail("a")
    assert run.state("a") == "failed"


def test_a_lost_loop_is_no_reason_to_start_beside_an_attempt_that_goes_on() -> None:
    run = Run(unit("a", action=COROUTINE))
    run.returns("a", Outcome(error=UnitError(LOST_LOOP, "its loop was given up"), abandoned=True))
    assert run.state("a") == "failed"


# -- the whole run ---------------------------------------------------------------------------------------


def test_a_run_that_takes_too_long_is_stopped_and_has_failed() -> None:
    run = Run(unit("a"), unit("b", "a"), timeout=60)
    run.wait(59)
    assert run.running == {"a"}
    run.wait(1)
    assert run.states() == {"a": "canceling", "b": "canceled"}
    run.stopped("a")
    assert run.unit("a").cause == "the run timed out after 60 s"
    assert run.end == ("failed", 124)


def test_what_the_runs_timeout_has_asked_to_stop_is_killed_by_the_first_stop_of_a_person() -> None:
    run = Run(unit("a"), timeout=60)
    run.wait(60)
    assert (run.interrupted, run.killed) == ({"a"}, set())
    run.send(CancelRunRequested("stop"))
    assert (run.interrupted, run.killed) == (set(), {"a"})


def test_the_time_between_a_runs_end_and_its_reopening_does_not_count() -> None:
    run = Run(unit("a", grace=0))
    run.wait(5)
    run.cancel("a")
    run.wait(1)
    run.returns("a", Outcome(canceled=True, abandoned=True))
    run.wait(100)
    run.send(LateReturned(0, 1))  # is said after the end, which stays where it was
    run.retry("a")
    assert run.view.elapsed(run.now) == 6
    run.wait(2)
    run.succeed("a")
    run.wait(50)
    assert run.view.elapsed(run.now) == 8
    assert [end.duration for end in run.said(RunFinished)] == [6, 8]


def test_a_reopened_run_gets_its_time_anew() -> None:
    run = Run(unit("a"), timeout=60)
    run.succeed("a")
    run.wait(100)
    run.retry("a")
    run.wait(59)
    assert run.running == {"a"}
    run.wait(1)
    assert run.state("a") == "canceling"
