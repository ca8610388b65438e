"""What a cluster loses: workers with attempts on them, results of completed units, and itself."""

from __future__ import annotations

import pytest
from core_driver import COMMAND, Run, unit
from core_resumed import Resumed

from qtui.core.cutting import counts_of
from qtui.core.events import RunStopping, UnitReset, UnitStarted, Warned
from qtui.core.model import LOST_NEED, LOST_WORKER, ExecutionMode, Fallback, RetryPolicy
from qtui.core.resuming import INTERRUPTED
from qtui.core.scheduler import Scheduler
from qtui.core.settling import CUT, UNBEGUN
from qtui.core.stimuli import CancelRunRequested, InterruptRequested, PauseRequested, ResultLost, UnitBegan

GONE = "its result was lost with its worker"
FAR = ExecutionMode.CUSTOM
CUT_OFF = "the connection to the scheduler was lost"


def lost(run: Run, name: str, error: str = LOST_WORKER) -> None:
    """The attempt ended with its worker, and what is due at once has happened."""
    run.fail(name, error)
    run.wait(0)


# -- workers -----------------------------------------------------------------------------------------------


def test_an_attempt_whose_worker_was_lost_is_made_again_at_once_and_is_no_retry() -> None:
    run = Run(unit("a", retry=RetryPolicy(max=1, delay=60)))
    lost(run, "a")
    assert run.state("a") == "running"
    assert (run.unit("a").attempt, run.unit("a").attempt_in_generation) == (2, 1)
    run.fail("a")
    assert run.state("a") == "retrying"  # which is its first
    run.wait(60)
    run.succeed("a")
    assert run.end == ("completed", 0)


@pytest.mark.parametrize("error", [LOST_WORKER, LOST_NEED])
def test_the_fourth_loss_in_a_generation_ends_the_unit(error: str) -> None:
    run = Run(unit("a"))
    for _ in range(3):
        lost(run, "a", error)
        assert run.state("a") == "running"
    lost(run, "a", error)
    assert run.state("a") == "failed"
    assert run.unit("a").cause == "went wrong"  # what the lane said, without a type before it


def test_a_person_who_has_it_run_again_gives_it_three_more() -> None:
    run = Run(unit("a"))
    for _ in range(4):
        lost(run, "a")
    run.retry("a")
    for _ in range(3):
        lost(run, "a")
        assert run.state("a") == "running"
    lost(run, "a")
    assert run.state("a") == "failed"


def test_after_that_its_own_retries_are_left() -> None:
    run = Run(unit("a", retry=RetryPolicy(max=1, delay=0)))
    for _ in range(4):
        lost(run, "a")
    assert run.state("a") == "running"
    lost(run, "a")
    assert run.state("a") == "failed"


def test_what_is_not_idempotent_is_not_run_again_and_says_so() -> None:
    run = Run(unit("pay", idempotent=False, retry=RetryPolicy(max=5)), unit("after", "pay"))
    lost(run, "pay")
    assert run.states() == {"pay": "failed", "after": "skipped"}
    assert "it is not idempotent and may have done its work, so it is not run again" in run.unit("pay").cause


def test_what_is_not_idempotent_may_have_a_fallback_all_the_same() -> None:
    run = Run(unit("pay", idempotent=False, fallback=Fallback(0)), unit("after", "pay"))
    lost(run, "pay")
    assert run.states() == {"pay": "completed", "after": "running"}


def test_an_attempt_that_could_not_begin_for_want_of_a_result_has_done_nothing() -> None:
    run = Run(unit("pay", idempotent=False))
    lost(run, "pay", LOST_NEED)
    assert run.state("pay") == "running"


def test_in_a_run_that_is_ending_nothing_is_made_again() -> None:
    run = Run(unit("a"))
    run.send(CancelRunRequested("drain"))
    lost(run, "a")
    assert run.state("a") == "failed"


def test_where_an_attempt_runs_is_known_until_the_next_one_begins() -> None:
    run = Run(unit("a", action=COMMAND))
    run.send(UnitBegan(0, 1, 77, "node-3"))
    assert run.said(UnitStarted)[-1].place == run.unit("a").place == "node-3"
    run.succeed("a")
    assert run.unit("a").place == "node-3"
    run.retry("a")
    assert run.unit("a").place == ""


# -- results -----------------------------------------------------------------------------------------------


def test_a_lost_result_is_made_anew_and_what_could_not_begin_without_it_waits() -> None:
    run = Run(unit("a"), unit("b", "a"), unit("c", "a"), workers=2)
    run.succeed("a")
    run.cancel("c")
    run.stopped("c")
    said = run.ask(ResultLost(0, GONE))
    assert [event for event in said if isinstance(event, UnitReset)] == [UnitReset(0, 2, GONE, 0.0, losses=1)]
    assert run.states() == {"a": "running", "b": "running", "c": "canceled"}
    lost(run, "b", LOST_NEED)
    assert run.state("b") == "pending"
    run.succeed("a")
    assert run.state("b") == "running"


def test_what_waits_for_a_worker_waits_for_the_lost_result_first() -> None:
    run = Run(unit("a"), unit("b", "a"))
    run.send(PauseRequested())
    run.succeed("a")
    assert run.states() == {"a": "completed", "b": "ready"}
    run.ask(ResultLost(0, GONE))
    assert run.states() == {"a": "ready", "b": "pending"}


def test_a_result_that_is_lost_again_and_again_stays_lost() -> None:
    run = Run(unit("a"), unit("b"))
    for _ in range(3):
        run.succeed("a")
        run.ask(ResultLost(0, GONE))
        assert run.state("a") == "running"
    run.succeed("a")
    said = run.ask(ResultLost(0, GONE))
    assert said == [Warned(0, f"{GONE}; it is not run again: something was lost 3 times before", 0.0)]
    run.retry("a")
    run.succeed("a")
    run.send(ResultLost(0, GONE))
    assert run.state("a") == "running"


def test_the_lost_result_of_a_unit_that_is_not_idempotent_is_told() -> None:
    run = Run(unit("pay", idempotent=False), unit("b"))
    run.succeed("pay")
    assert run.ask(ResultLost(0, GONE)) == [Warned(0, f"{GONE}; it is not run again: it is not idempotent", 0.0)]
    assert run.state("pay") == "completed"


def test_in_a_run_that_is_ending_a_lost_result_is_told() -> None:
    run = Run(unit("a"), unit("b"))
    run.succeed("a")
    run.send(CancelRunRequested("drain"))
    assert run.ask(ResultLost(0, GONE)) == [Warned(0, f"{GONE}; it is not run again: nothing new starts", 0.0)]


def test_a_result_that_is_lost_once_the_run_has_ended_opens_nothing_again() -> None:
    run = Run(unit("a"))
    run.succeed("a")
    assert run.ask(ResultLost(0, GONE)) == []
    assert run.end == ("completed", 0)


# -- the cluster -------------------------------------------------------------------------------------------


def test_a_run_that_cannot_go_on_is_interrupted_and_says_why() -> None:
    run = Run(unit("a"), unit("b", "a"))
    run.ask(InterruptRequested(0, CUT_OFF))
    assert run.said(RunStopping) == [RunStopping(0.0, "interrupt", CUT_OFF, 0)]
    assert run.view.ended_by == CUT_OFF
    assert run.unit("a").cause == CUT_OFF
    run.stopped("a")
    assert run.end == ("interrupted", 1)
    assert run.unit("a").cause == f"cut: {CUT_OFF}"
    assert counts_of(run.view) == {"pending": 1, "interrupted": 1}


def test_what_a_lane_had_and_had_not_begun_was_not_cut_unless_it_must_not_run_twice() -> None:
    run = Run(
        *(unit(name, action=COMMAND, mode=FAR) for name in ("a", "b")),
        unit("pay", action=COMMAND, mode=FAR, idempotent=False),
    )
    run.begins("a")
    run.scheduler = Scheduler.restore(run.options, run.view)
    run.ask(InterruptRequested(0, CUT_OFF))
    run.stopped("a")
    run.stopped("b")
    run.stopped("pay")

    causes = {name: run.unit(name).cause for name in ("a", "b", "pay")}
    assert causes == {"a": f"cut: {CUT_OFF}", "b": UNBEGUN, "pay": f"cut: {CUT_OFF}"}
    assert counts_of(run.view) == {"pending": 1, "interrupted": 2}
    assert Resumed(run).why == {"a": INTERRUPTED, "b": "has not run yet", "pay": INTERRUPTED}


def test_it_goes_on_with_a_resume_where_it_was_cut() -> None:
    gone = Run(unit("a"), unit("b", "a"), unit("pay", idempotent=False))
    gone.send(InterruptRequested(0, CUT_OFF))
    gone.stopped("a")
    gone.stopped("pay")
    run = Resumed(gone)
    assert run.why == {"a": INTERRUPTED, "b": "has not run yet", "pay": INTERRUPTED}
    assert run.running == {"a"}  # the other one asks first
    assert run.view.ended_by == ""


def test_a_second_interrupt_kills() -> None:
    run = Run(unit("a"))
    run.send(InterruptRequested(0, CUT_OFF))
    run.send(InterruptRequested(0, CUT_OFF))
    assert run.killed == {"a"}


def test_a_signal_is_told_as_before() -> None:
    run = Run(unit("a"))
    run.send(InterruptRequested(15))
    run.stopped("a")
    assert (run.unit("a").cause, run.view.ended_by, run.end) == (CUT, "", ("interrupted", 143))
