"""What a run does when people and signals interfere, told as scenarios: cancel, stop, pause, run again."""

from __future__ import annotations

import pytest
from core_driver import COMMAND, Run, milestone, unit

from qtui.core.events import RunFinished, RunReopened, UnitReset, Warned
from qtui.core.model import Fallback, RetryPolicy
from qtui.core.stimuli import (
    CancelRunRequested,
    InterruptRequested,
    PauseRequested,
    RunRequested,
    UnpauseRequested,
    WorkersRequested,
)

THRICE = RetryPolicy(max=2, delay=1.0, backoff=3.0)
DRAIN, STOP = CancelRunRequested("drain"), CancelRunRequested("stop")


# -- canceling units -------------------------------------------------------------------------------------


def test_a_running_unit_that_is_canceled_is_asked_to_stop_and_then_canceled() -> None:
    run = Run(unit("a", retry=THRICE), unit("b", "a"), workers=1)
    run.cancel("a")
    assert (run.state("a"), run.interrupted, run.killed) == ("canceling", {"a"}, set())
    run.stopped("a")
    assert run.states() == {"a": "canceled", "b": "skipped"}
    assert run.unit("a").cause == "canceled by you"
    assert run.end == ("canceled", 130)


def test_a_second_cancel_kills_and_a_third_does_nothing() -> None:
    run = Run(unit("a"))
    run.cancel("a")
    run.cancel("a")
    assert run.killed == {"a"}
    assert run.cancel("a") == []
    assert run.wait(60) == []


def test_a_canceled_unit_that_does_not_stop_is_killed_after_its_grace() -> None:
    run = Run(unit("a", grace=2))
    run.cancel("a")
    run.wait(2)
    assert run.killed == {"a"}


def test_a_canceled_unit_that_succeeds_all_the_same_is_canceled() -> None:
    run = Run(unit("a"))
    run.cancel("a")
    run.succeed("a")
    assert run.state("a") == "canceled"


def test_canceling_a_unit_that_is_timing_out_kills_it_for_good() -> None:
    run = Run(unit("a", timeout=1, retry=THRICE, fallback=Fallback(0)))
    run.wait(1)
    run.cancel("a")
    assert run.killed == {"a"}
    run.stopped("a")
    assert run.state("a") == "canceled"


def test_canceling_a_unit_that_is_being_killed_for_a_timeout_still_counts() -> None:
    run = Run(unit("a", timeout=1, grace=0, retry=THRICE))
    run.wait(1)
    assert run.killed == {"a"}
    run.cancel("a")
    assert run.killed == set()
    run.stopped("a")
    assert run.state("a") == "canceled"


def test_units_that_hold_no_worker_are_canceled_at_once() -> None:
    run = Run(unit("busy"), unit("ready"), unit("pending", "busy"), unit("below", "pending"), workers=1)
    run.cancel("ready", "pending")
    assert run.states() == {"busy": "running", "ready": "canceled", "pending": "canceled", "below": "skipped"}
    run.succeed("busy")
    assert run.end == ("canceled", 130)


def test_a_unit_that_waits_for_its_next_try_is_canceled_at_once() -> None:
    run = Run(unit("a", retry=THRICE), unit("b"))
    run.fail("a")
    run.cancel("a")
    assert run.state("a") == "canceled"
    assert run.wait(10) == []


def test_a_submitted_unit_is_stopped_by_its_lane() -> None:
    run = Run(unit("a", action=COMMAND))
    run.cancel("a")
    assert (run.state("a"), run.interrupted) == ("canceling", {"a"})
    assert run.begins("a") == []
    run.stopped("a")
    assert run.state("a") == "canceled"


def test_canceling_what_has_ended_does_nothing() -> None:
    run = Run(unit("a"), unit("b"))
    run.succeed("a")
    assert run.cancel("a") == []


# -- ending the run --------------------------------------------------------------------------------------


def test_a_drained_run_lets_running_units_finish() -> None:
    run = Run(unit("a"), unit("b", "a"), unit("c"), workers=1)
    run.send(DRAIN)
    assert run.states() == {"a": "running", "b": "canceled", "c": "canceled"}
    assert run.interrupted == set()
    run.succeed("a")
    assert run.end == ("canceled", 130)


def test_a_drained_run_tries_nothing_again() -> None:
    run = Run(unit("a", retry=THRICE))
    run.send(DRAIN)
    run.fail("a")
    assert run.end == ("failed", 1)


def test_a_stopped_run_stops_running_units() -> None:
    run = Run(unit("a"), unit("b", "a"), unit("c", retry=THRICE), workers=2)
    run.fail("c")
    run.send(STOP)
    assert run.states() == {"a": "canceling", "b": "canceled", "c": "canceled"}
    run.stopped("a")
    assert run.end == ("canceled", 130)


def test_stopping_twice_kills() -> None:
    run = Run(unit("a"), unit("b"))
    run.send(STOP)
    assert run.interrupted == {"a", "b"}
    run.send(STOP)
    assert run.killed == {"a", "b"}


def test_a_drain_may_become_a_stop_but_not_the_other_way_round() -> None:
    run = Run(unit("a"))
    run.send(DRAIN)
    run.send(STOP)
    assert run.interrupted == {"a"}
    assert run.send(DRAIN) == []
    run.send(STOP)
    assert run.killed == {"a"}


def test_a_stopped_run_with_nothing_running_ends_at_once() -> None:
    run = Run(unit("a", retry=THRICE))
    run.fail("a")
    run.send(STOP)
    assert run.end == ("canceled", 130)


def test_an_interrupt_cuts_what_runs_and_leaves_the_rest_for_resume() -> None:
    run = Run(unit("done"), unit("a"), unit("b", "a"), workers=2)
    run.succeed("done")
    run.send(InterruptRequested(15))
    assert run.interrupted == {"a"}
    run.stopped("a")
    assert run.states() == {"done": "completed", "a": "pending", "b": "pending"}
    assert run.end == ("interrupted", 128 + 15)


def test_a_second_interrupt_kills() -> None:
    run = Run(unit("a"))
    run.send(InterruptRequested(2))
    run.send(InterruptRequested(2))
    assert run.killed == {"a"}
    run.stopped("a")
    assert run.end == ("interrupted", 130)


def test_stopping_an_interrupted_run_kills_and_it_stays_interrupted() -> None:
    run = Run(unit("a"), unit("b", "a"))
    run.send(InterruptRequested(15))
    run.send(STOP)
    assert run.killed == {"a"}
    run.stopped("a")
    assert run.states() == {"a": "pending", "b": "pending"}
    assert run.end == ("interrupted", 143)


def test_interrupting_a_stopped_run_leaves_it_canceled_when_all_units_end() -> None:
    run = Run(unit("a"))
    run.send(STOP)
    run.send(InterruptRequested(15))
    run.stopped("a")
    assert run.end == ("canceled", 130)


def test_an_interrupted_run_is_over_for_timers_and_cancels() -> None:
    run = Run(unit("a", retry=THRICE), unit("b", "a"))
    run.fail("a")
    run.send(InterruptRequested(2))
    assert run.end == ("interrupted", 130)
    assert run.wait(10) == []
    assert run.cancel("b") == []


# -- pause and workers -----------------------------------------------------------------------------------


def test_a_paused_run_starts_nothing_until_it_goes_on() -> None:
    run = Run(unit("a"), unit("b", "a"), unit("c"), workers=1)
    run.send(PauseRequested())
    assert run.view.paused
    run.succeed("a")
    assert run.running == set()
    assert run.state("b") == "ready"
    run.send(UnpauseRequested())
    assert run.running == {"b"}


def test_a_back_off_that_ends_during_a_pause_makes_the_unit_ready_only() -> None:
    run = Run(unit("a", retry=THRICE))
    run.fail("a")
    run.send(PauseRequested())
    run.wait(1)
    assert run.state("a") == "ready"


def test_more_workers_start_more_units() -> None:
    run = Run(*(unit(f"u{n}") for n in range(4)), workers=1)
    run.send(WorkersRequested(3))
    assert run.running == {"u0", "u1", "u2"}
    assert run.view.workers == 3


def test_fewer_workers_let_running_units_finish() -> None:
    run = Run(*(unit(f"u{n}") for n in range(4)), workers=3)
    run.send(WorkersRequested(1))
    run.succeed("u0", "u1")
    assert run.running == {"u2"}
    run.succeed("u2")
    assert run.running == {"u3"}


@pytest.mark.parametrize(("asked", "got"), [(0, 1), (-3, 1), (99, 8)])
def test_workers_stay_within_their_bounds(asked: int, got: int) -> None:
    run = Run(unit("a"), workers=2, max_workers=8)
    run.send(WorkersRequested(asked))
    assert run.view.workers == got


def test_workers_may_be_set_before_the_run_begins() -> None:
    run = Run(unit("a"), unit("b"), begin=False, workers=2)
    run.send(WorkersRequested(1))
    run.send(RunRequested())
    assert run.running == {"a"}


# -- run it again ----------------------------------------------------------------------------------------


def test_a_failed_unit_that_is_run_again_revives_what_was_skipped() -> None:
    run = Run(unit("a"), unit("b", "a"), unit("c", "b"), unit("other"))
    run.fail("a")
    run.retry("a")
    assert run.states() == {"a": "running", "b": "pending", "c": "pending", "other": "running"}
    assert (run.unit("a").attempt, run.unit("a").generation, run.unit("b").generation) == (2, 2, 2)
    run.succeed("a", "b", "c", "other")
    assert run.end == ("completed", 0)


def test_a_unit_run_again_has_its_tries_anew() -> None:
    run = Run(unit("a", retry=RetryPolicy(max=1, delay=0.0)), unit("other"))
    run.fail("a")
    run.wait(0)
    run.fail("a")
    run.retry("a")
    run.fail("a")
    assert run.state("a") == "retrying"
    assert (run.unit("a").attempt, run.unit("a").attempt_in_generation) == (3, 1)


def test_a_dependent_with_another_bad_need_stays_skipped() -> None:
    run = Run(unit("a"), unit("b"), unit("both", "a", "b"), unit("other"), workers=3)
    run.fail("a")
    run.fail("b")
    run.retry("a")
    assert run.state("both") == "skipped"
    run.retry("b")
    assert run.state("both") == "pending"
    run.succeed("a", "b")
    assert run.state("both") == "running"


def test_a_unit_revived_by_a_long_way_and_a_short_one_is_revived_once() -> None:
    run = Run(unit("a"), unit("b", "a"), unit("c", "b"), unit("d", "a", "c"), unit("other"))
    run.fail("a")
    run.retry("a")
    assert sorted(event.unit for event in run.said(UnitReset)) == [0, 1, 2, 3]


def test_completed_dependents_keep_their_results() -> None:
    run = Run(unit("a"), unit("b", "a"), unit("other"))
    run.succeed("a", "b")
    run.retry("a")
    assert run.states() == {"a": "running", "b": "completed", "other": "running"}
    run.succeed("a")
    assert run.unit("b").attempt == 1


def test_completed_dependents_run_again_when_asked_to() -> None:
    run = Run(unit("a"), unit("b", "a"), unit("c", "b"), unit("other"))
    run.succeed("a", "b", "c")
    run.retry("a", scope="dependents")
    assert run.states() == {"a": "running", "b": "pending", "c": "pending", "other": "running"}
    run.succeed("a", "b", "c", "other")
    assert run.unit("c").attempt == 2
    assert run.end == ("completed", 0)


def test_ready_dependents_are_pulled_back_when_a_completed_need_runs_again() -> None:
    run = Run(unit("a", priority=1), unit("b", "a"), unit("busy", priority=1), workers=1)
    run.succeed("a")
    assert (run.running, run.state("b")) == ({"busy"}, "ready")
    run.retry("a")
    assert run.state("b") == "pending"
    run.succeed("busy")
    assert run.running == {"a"}
    run.succeed("a")
    assert run.running == {"b"}


def test_retrying_dependents_are_pulled_back_too() -> None:
    run = Run(unit("a"), unit("b", "a", retry=THRICE))
    run.succeed("a")
    run.fail("b")
    run.retry("a")
    assert run.state("b") == "pending"
    assert run.wait(10) == []
    run.succeed("a")
    assert run.running == {"b"}


def test_a_running_dependent_goes_on_when_its_need_runs_again() -> None:
    run = Run(unit("a"), unit("b", "a"))
    run.succeed("a")
    run.retry("a")
    assert run.running == {"a", "b"}
    run.succeed("b", "a")
    assert run.end == ("completed", 0)


def test_a_dependent_that_fails_while_its_need_runs_again_waits_for_it() -> None:
    run = Run(unit("a"), unit("b", "a", retry=THRICE))
    run.succeed("a")
    run.retry("a")
    run.fail("b")
    assert run.state("b") == "pending"
    assert run.wait(10) == []
    run.succeed("a")
    assert run.running == {"b"}


def test_a_dependent_whose_need_has_failed_anew_is_not_tried_again() -> None:
    run = Run(unit("a"), unit("b", "a", retry=THRICE))
    run.succeed("a")
    run.retry("a")
    run.fail("a")
    run.fail("b")
    assert run.states() == {"a": "failed", "b": "failed"}
    assert run.end == ("failed", 1)


def test_a_unit_with_a_bad_need_is_not_run_again_and_it_is_said_why() -> None:
    run = Run(unit("a"), unit("b", "a"), unit("other"))
    run.fail("a")
    assert run.retry("b") == [Warned(1, "not run again: it needs a, which is failed", 0.0)]
    assert run.state("b") == "skipped"


def test_a_unit_and_its_bad_need_can_be_run_again_together() -> None:
    run = Run(unit("b", "a"), unit("a"), unit("other"))
    run.cancel("b")
    run.fail("a")
    run.retry("b", "a")
    assert run.states() == {"a": "running", "b": "pending", "other": "running"}


def test_a_retrying_unit_goes_at_once() -> None:
    run = Run(unit("a", retry=RetryPolicy(max=1, delay=60.0)))
    run.fail("a")
    run.retry("a")
    assert (run.state("a"), run.unit("a").attempt, run.unit("a").generation) == ("running", 2, 1)
    run.fail("a")
    assert run.state("a") == "failed"


def test_a_unit_that_has_not_ended_is_not_run_again() -> None:
    run = Run(unit("a"), unit("b", "a"))
    assert run.retry("a", "b") == []


def test_a_canceled_unit_can_be_run_again() -> None:
    run = Run(unit("a"), unit("b", "a"), unit("busy"), workers=1)
    run.cancel("a")
    run.stopped("a")
    run.succeed("busy")
    assert run.end == ("canceled", 130)
    run.retry("a")
    run.succeed("a", "b")
    assert run.end == ("completed", 0)


def test_a_milestone_can_be_run_again() -> None:
    run = Run(milestone("m"), unit("a", "m"))
    run.cancel("a")
    run.stopped("a")
    run.retry("m", scope="dependents")
    assert run.states() == {"m": "completed", "a": "running"}


def test_a_finished_run_is_reopened_before_anything_else_is_said() -> None:
    run = Run(unit("a"), unit("b", "a"))
    run.fail("a")
    assert run.end == ("failed", 1)
    events = run.retry("a")
    assert isinstance(events[0], RunReopened)
    assert str(run.view.state) == "running"
    assert run.view.finished is None
    run.succeed("a", "b")
    assert run.end == ("completed", 0)
    assert len(run.said(RunFinished)) == 2


def test_a_finished_run_stays_so_when_nothing_can_be_run_again() -> None:
    run = Run(unit("a"), unit("b", "a"))
    run.fail("a")
    events = run.retry("b")
    assert [type(event) for event in events] == [Warned]
    assert run.end == ("failed", 1)


def test_a_stopped_run_that_is_reopened_runs_on() -> None:
    run = Run(unit("a"), unit("b", "a"))
    run.send(STOP)
    run.stopped("a")
    run.retry("a", scope="dependents")
    run.succeed("a", "b")
    assert run.end == ("completed", 0)


def test_nothing_is_run_again_while_the_run_is_ending() -> None:
    run = Run(unit("a"), unit("b"))
    run.fail("a")
    run.send(DRAIN)
    assert [type(event) for event in run.retry("a")] == [Warned]
    assert run.state("a") == "failed"


def test_an_interrupted_run_that_is_reopened_runs_all_that_was_cut() -> None:
    run = Run(unit("done"), unit("cut"), unit("b", "cut"), unit("again", retry=THRICE), workers=3)
    run.succeed("done")
    run.fail("again")
    run.send(InterruptRequested(15))
    run.stopped("cut")
    run.wait(60)
    assert run.end == ("interrupted", 143)
    run.retry("done")
    assert run.running == {"done", "cut"}
    run.wait(0)
    assert run.running == {"done", "cut", "again"}
    run.succeed("done", "cut", "b", "again")
    assert run.end == ("completed", 0)


def test_asking_for_a_cut_unit_reopens_the_interrupted_run() -> None:
    run = Run(unit("a"))
    run.send(InterruptRequested(2))
    run.stopped("a")
    run.retry("a")
    assert run.running == {"a"}


def test_a_cut_unit_whose_need_has_failed_anew_is_skipped_with_what_is_below() -> None:
    run = Run(unit("a"), unit("b", "a"), unit("c", "b"))
    run.succeed("a")
    run.retry("a")
    run.fail("a")
    run.send(InterruptRequested(15))
    run.stopped("b")
    assert run.states() == {"a": "failed", "b": "skipped", "c": "skipped"}
    assert run.end == ("failed", 1)
