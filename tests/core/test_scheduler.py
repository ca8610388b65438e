"""What a run does by itself, told as scenarios: starts, ends, tries again, times out."""

from __future__ import annotations

from core_driver import COMMAND, COROUTINE, SUCCESS, Run, milestone, plan_of, unit

from qtui.core.events import RunFinished, RunStarted, UnitProgress, UnitStarted, UnitSubmitted, Warned
from qtui.core.model import ExecutionMode, Fallback, Outcome, RetryPolicy, RunState, UnitError
from qtui.core.options import RunOptions
from qtui.core.scheduler import Scheduler
from qtui.core.stimuli import (
    PauseRequested,
    ProgressReported,
    RetryRequested,
    RunRequested,
    TimerFired,
    UnitBegan,
    UnitReturned,
    UnpauseRequested,
    WarningRaised,
    WorkersRequested,
)

THRICE = RetryPolicy(max=2, delay=1.0, backoff=3.0)
LONG = 20_000


# -- beginning and completing ----------------------------------------------------------------------------


def test_nothing_happens_before_the_run_is_requested() -> None:
    run = Run(unit("a"), begin=False)
    assert run.send(TimerFired()) == []
    assert run.view.state is RunState.PENDING


def test_a_chain_runs_unit_by_unit_and_completes() -> None:
    run = Run(unit("a"), unit("b", "a"), workers=3)
    assert run.running == {"a"}
    run.succeed("a")
    assert run.running == {"b"}
    run.succeed("b")
    assert run.states() == {"a": "completed", "b": "completed"}
    assert run.end == ("completed", 0)
    assert run.finished.counts == {"completed": 2}


def test_a_second_request_does_not_begin_the_run_again() -> None:
    run = Run(unit("a"))
    assert run.send(RunRequested("again")) == []
    assert [event.name for event in run.said(RunStarted)] == ["test"]


def test_a_unit_waits_for_all_its_needs() -> None:
    run = Run(unit("a"), unit("b"), unit("both", "a", "b"))
    run.succeed("a")
    assert run.state("both") == "pending"
    run.succeed("b")
    assert run.running == {"both"}


def test_no_more_units_run_than_there_are_workers() -> None:
    run = Run(*(unit(f"u{n}") for n in range(5)), workers=2)
    assert run.running == {"u0", "u1"}
    run.succeed("u1")
    assert run.running == {"u0", "u2"}


def test_a_worker_slot_is_used_again_lowest_first() -> None:
    run = Run(unit("a"), unit("b"), unit("c"), unit("d"), workers=3)
    run.succeed("b", "a")
    assert (run.unit("c").worker, run.unit("d").worker) == (3, 2)


def test_the_higher_priority_goes_first() -> None:
    run = Run(unit("low", priority=-1), unit("plain"), unit("high", priority=5), workers=1)
    run.succeed("high", "plain", "low")
    assert run.started == ["high", "plain", "low"]


def test_among_equals_the_longest_remaining_path_goes_first() -> None:
    run = Run(unit("short"), unit("long"), unit("long2", "long"), unit("long3", "long2"), workers=1)
    run.succeed("long", "long2")
    assert run.started == ["long", "long2", "short"]


def test_priority_wins_over_the_longest_path() -> None:
    run = Run(unit("long"), unit("next", "long"), unit("urgent", priority=1), workers=1)
    assert run.running == {"urgent"}


# -- failing ---------------------------------------------------------------------------------------------


def test_a_failure_skips_what_needs_it_and_the_rest_goes_on() -> None:
    run = Run(unit("a"), unit("b", "a"), unit("c", "b"), unit("other"), workers=2)
    run.fail("a")
    assert run.states() == {"a": "failed", "b": "skipped", "c": "skipped", "other": "running"}
    assert run.unit("c").cause == "because a"
    assert str(run.unit("a").error) == "ValueError: went wrong"
    run.succeed("other")
    assert run.end == ("failed", 1)


def test_what_needs_a_failed_and_a_running_unit_is_skipped_at_once_and_only_once() -> None:
    run = Run(unit("a"), unit("b"), unit("both", "a", "b"))
    run.fail("a")
    assert run.state("both") == "skipped"
    run.succeed("b")
    assert run.finished.counts == {"failed": 1, "completed": 1, "skipped": 1}


def test_without_keep_going_nothing_new_starts_after_a_failure() -> None:
    run = Run(unit("a"), unit("b"), unit("waits"), unit("after", "b"), workers=2, keep_going=False)
    run.fail("a")
    assert run.states() == {"a": "failed", "b": "running", "waits": "canceled", "after": "canceled"}
    assert run.unit("waits").cause == "fail-fast: a failed"
    run.succeed("b")
    assert run.end == ("failed", 1)


def test_without_keep_going_a_later_failure_is_not_tried_again() -> None:
    run = Run(unit("a"), unit("b", retry=THRICE), workers=2, keep_going=False)
    run.fail("a")
    run.fail("b")
    assert run.state("b") == "failed"


def test_without_keep_going_a_fallback_is_no_failure() -> None:
    run = Run(unit("a", fallback=Fallback(0)), unit("b", "a"), keep_going=False)
    run.fail("a")
    assert run.running == {"b"}


def test_an_attempt_that_stops_without_being_asked_is_a_failure() -> None:
    run = Run(unit("a"))
    run.stopped("a")
    assert run.state("a") == "failed"
    assert run.unit("a").error is not None


# -- trying again ----------------------------------------------------------------------------------------


def test_a_failed_attempt_is_tried_again_after_a_growing_wait() -> None:
    run = Run(unit("a", retry=THRICE), unit("b", "a"))
    run.fail("a")
    assert run.state("a") == "retrying"
    assert run.unit("a").retry_in(run.now) == 1.0
    run.wait(0.9)
    assert run.state("a") == "retrying"
    run.wait(0.1)
    assert (run.state("a"), run.unit("a").attempt) == ("running", 2)
    run.fail("a")
    run.wait(2.9)
    assert run.state("a") == "retrying"
    run.wait(0.1)
    run.succeed("a")
    assert run.unit("a").attempt == 3
    assert run.running == {"b"}


def test_after_the_last_try_the_unit_has_failed() -> None:
    run = Run(unit("a", retry=RetryPolicy(max=1, delay=0.0)))
    run.fail("a")
    run.wait(0)
    run.fail("a")
    assert run.end == ("failed", 1)
    assert run.unit("a").attempt == 2


def test_while_a_unit_waits_for_its_next_try_others_use_the_worker() -> None:
    run = Run(unit("a", retry=THRICE), unit("b"), workers=1)
    run.fail("a")
    assert run.running == {"b"}
    run.wait(1)
    assert run.state("a") == "ready"
    run.succeed("b")
    assert run.running == {"a"}


def test_only_the_errors_that_on_names_are_tried_again() -> None:
    run = Run(unit("a", retry=RetryPolicy(max=3, on=(75,))), unit("b", retry=RetryPolicy(max=3, on=("OSError",))))
    run.fail("a", "exit", exit_code=75)
    assert run.state("a") == "retrying"
    run.fail("b", "ValueError")
    assert run.state("b") == "failed"


def test_a_timer_that_fires_too_early_changes_nothing_and_is_set_again() -> None:
    run = Run(unit("a", retry=THRICE))
    run.fail("a")
    assert run.send(TimerFired()) == []
    assert run.wake == 1.0


def test_two_back_offs_wake_at_the_earlier_time_first() -> None:
    run = Run(unit("a", retry=RetryPolicy(max=1, delay=9.0)), unit("b", retry=RetryPolicy(max=1, delay=2.0)))
    run.fail("a")
    assert run.wake == 9.0
    run.fail("b")
    assert run.wake == 2.0
    run.wait(2)
    assert (run.states(), run.wake) == ({"a": "retrying", "b": "running"}, 9.0)


# -- fallbacks -------------------------------------------------------------------------------------------


def test_a_fallback_completes_a_unit_whose_last_try_failed() -> None:
    run = Run(unit("a", fallback=Fallback(None), retry=RetryPolicy(max=1, delay=0.0)), unit("b", "a"))
    run.fail("a")
    assert run.state("a") == "retrying"
    run.wait(0)
    run.fail("a")
    assert run.state("a") == "completed"
    finished = run.unit("a").finished
    assert finished is not None
    assert finished.fallback
    assert str(run.unit("a").error) == "ValueError: went wrong"
    assert run.running == {"b"}


def test_a_canceled_unit_gets_no_fallback() -> None:
    run = Run(unit("a", fallback=Fallback(0)), unit("b", "a"))
    run.cancel("a")
    run.stopped("a")
    assert run.states() == {"a": "canceled", "b": "skipped"}


# -- timeouts --------------------------------------------------------------------------------------------


def test_a_unit_that_takes_too_long_is_stopped_then_killed_then_timed_out() -> None:
    run = Run(unit("a", timeout=10, grace=2), unit("b", "a"))
    run.wait(10)
    assert run.state("a") == "canceling"
    assert run.interrupted == {"a"}
    run.wait(1.9)
    assert run.killed == set()
    run.wait(0.1)
    assert run.killed == {"a"}
    run.stopped("a")
    assert run.states() == {"a": "timeout", "b": "skipped"}
    assert run.unit("a").cause == "timed out after 10 s"
    assert run.end == ("failed", 1)


def test_the_runs_grace_holds_for_units_without_their_own() -> None:
    run = Run(unit("a", timeout=1), grace=3.0)
    run.wait(3.9)
    assert run.killed == set()
    run.wait(0.1)
    assert run.killed == {"a"}


def test_a_unit_that_returns_in_time_is_not_stopped() -> None:
    run = Run(unit("a", timeout=10), unit("b"))
    run.succeed("a")
    assert run.wait(20) == []


def test_a_success_that_comes_after_the_timeout_is_still_a_timeout() -> None:
    run = Run(unit("a", timeout=1))
    run.wait(1)
    run.succeed("a")
    assert run.state("a") == "timeout"


def test_a_timeout_may_be_tried_again_and_the_clock_starts_anew() -> None:
    run = Run(unit("a", timeout=5, retry=RetryPolicy(max=1, delay=1.0, on=("timeout",))))
    run.wait(5)
    run.stopped("a")
    assert run.state("a") == "retrying"
    run.wait(1)
    run.wait(4.9)
    assert run.state("a") == "running"
    run.wait(0.1)
    assert run.state("a") == "canceling"


def test_a_timeout_may_use_the_fallback() -> None:
    run = Run(unit("a", timeout=1, fallback=Fallback(0)))
    run.wait(1)
    run.stopped("a")
    assert run.end == ("completed", 0)


# -- what cannot be stopped ------------------------------------------------------------------------------


def test_an_abandoned_attempt_is_not_tried_again_and_is_counted() -> None:
    run = Run(unit("a", timeout=1, grace=0, retry=THRICE), unit("b", "a"))
    run.wait(1)
    run.returns("a", Outcome(abandoned=True))
    assert run.states() == {"a": "timeout", "b": "skipped"}
    assert run.view.abandoned == 1


def test_late_messages_are_ignored() -> None:
    run = Run(unit("a", retry=RetryPolicy(max=1, delay=0.0)), unit("b"))
    run.fail("a")
    run.wait(0)
    assert run.unit("a").attempt == 2
    assert run.send(UnitReturned(0, 1, SUCCESS)) == []
    assert run.send(UnitBegan(0, 1, 5)) == []
    run.succeed("a")
    assert run.send(UnitReturned(0, 2, SUCCESS)) == []
    assert run.state("a") == "completed"


# -- lanes -----------------------------------------------------------------------------------------------


def test_the_sequential_lane_runs_one_unit_at_a_time_beside_others() -> None:
    one = ExecutionMode.SEQUENTIAL
    run = Run(unit("s1", mode=one), unit("s2", mode=one), unit("t1"), unit("t2"), workers=4)
    assert run.running == {"s1", "t1", "t2"}
    run.succeed("s1")
    assert run.running == {"s2", "t1", "t2"}


def test_a_sequential_run_runs_one_unit_at_a_time_whatever_its_lane() -> None:
    units = unit("a"), unit("b", action=COMMAND), unit("c", action=COROUTINE)
    run = Run(*units, workers=4, mode=ExecutionMode.SEQUENTIAL)
    assert run.running == {"a"}
    run.send(WorkersRequested(4))
    assert run.running == {"a"}
    run.succeed("a")
    assert run.running == {"b"}


def test_no_more_coroutines_run_than_are_allowed() -> None:
    units = [unit(f"co{n}", action=COROUTINE, priority=1) for n in range(3)]
    run = Run(*units, unit("t"), workers=4, max_async=2)
    assert run.running == {"co0", "co1", "t"}
    run.fail("co0")
    assert run.running == {"co1", "co2", "t"}


def test_a_coroutine_that_is_to_be_tried_again_gives_its_place_away() -> None:
    units = [unit(f"co{n}", action=COROUTINE, retry=THRICE) for n in range(2)]
    run = Run(*units, workers=2, max_async=1)
    run.fail("co0")
    assert run.running == {"co1"}
    run.wait(1)
    assert run.state("co0") == "ready"


def test_a_command_is_submitted_first_and_runs_once_it_began() -> None:
    run = Run(unit("a", action=COMMAND), workers=1)
    assert run.unit("a").submitted
    assert (run.state("a"), run.view.active) == ("ready", 1)
    run.wait(3)
    run.begins("a", pid=4711)
    assert (run.state("a"), run.unit("a").pid, run.unit("a").started_at) == ("running", 4711, 3.0)
    assert run.begins("a", pid=4712) == []


def test_a_commands_timeout_counts_from_its_beginning() -> None:
    run = Run(unit("a", action=COMMAND, timeout=5))
    run.wait(100)
    run.begins("a")
    run.wait(4.9)
    assert run.state("a") == "running"
    run.wait(0.1)
    assert run.state("a") == "canceling"


def test_a_command_that_returns_without_having_begun_ran_in_the_slot_it_held() -> None:
    run = Run(unit("other"), unit("a", action=COMMAND), unit("b", "a"))
    run.succeed("a")
    assert run.state("a") == "completed"
    assert run.running == {"other", "b"}
    submitted, started = run.said(UnitSubmitted)[0], run.said(UnitStarted)[1]
    assert (started.unit, started.attempt, started.worker) == (1, 1, submitted.worker)


def test_a_command_that_could_not_be_started_has_failed_or_is_tried_again() -> None:
    run = Run(unit("a", action=COMMAND), unit("b", action=COMMAND, retry=THRICE))
    run.fail("a", "OSError")
    run.fail("b", "OSError")
    assert run.states() == {"a": "failed", "b": "retrying"}
    assert run.said(UnitStarted) == []


def test_a_command_that_could_not_be_started_uses_its_fallback() -> None:
    run = Run(unit("a", action=COMMAND, fallback=Fallback(0)))
    run.fail("a", "OSError")
    assert run.end == ("completed", 0)


# -- milestones ------------------------------------------------------------------------------------------


def test_a_milestone_completes_by_itself_when_its_needs_have() -> None:
    run = Run(unit("a"), milestone("m", "a"), unit("b", "m"))
    run.succeed("a")
    assert run.state("m") == "completed"
    assert run.running == {"b"}
    assert run.unit("m").attempt == 0


def test_a_milestone_is_skipped_like_any_unit() -> None:
    run = Run(unit("a"), milestone("m", "a"))
    run.fail("a")
    assert run.state("m") == "skipped"


def test_a_workflow_of_milestones_completes_at_once() -> None:
    run = Run(milestone("m"), milestone("n", "m"))
    assert run.end == ("completed", 0)


def test_a_milestone_completes_during_a_pause() -> None:
    run = Run(unit("a"), milestone("m", "a"))
    run.send(PauseRequested())
    run.succeed("a")
    assert run.end == ("completed", 0)


def long_chain() -> Scheduler:
    """A run of one unit, in front of a very long chain of milestones."""
    links = (milestone(f"m{n}", f"m{n - 1}" if n else "first") for n in range(LONG))
    scheduler = Scheduler(plan_of(unit("first"), *links), RunOptions())
    scheduler.handle(RunRequested(), 0.0)
    return scheduler


def test_a_chain_of_twenty_thousand_milestones_completes_without_recursion() -> None:
    events = long_chain().handle(UnitReturned(0, 1, SUCCESS), 1.0).events
    assert len(events) == 1 + 2 * LONG + 1
    assert isinstance(events[-1], RunFinished)
    assert events[-1].state is RunState.COMPLETED


def test_a_chain_of_twenty_thousand_is_skipped_and_revived_without_recursion() -> None:
    scheduler = long_chain()
    failed = scheduler.handle(UnitReturned(0, 1, Outcome(error=UnitError("ValueError", "wrong"))), 1.0)
    assert len(failed.events) == 1 + LONG + 1
    scheduler.handle(RetryRequested((0,)), 2.0)
    events = scheduler.handle(UnitReturned(0, 2, SUCCESS), 3.0).events
    assert isinstance(events[-1], RunFinished)
    assert events[-1].counts == {"completed": LONG + 1}


# -- what units tell -------------------------------------------------------------------------------------


def test_progress_of_a_running_unit_is_seen_until_the_next_attempt() -> None:
    run = Run(unit("a", retry=RetryPolicy(max=1, delay=0.0)))
    run.progress("a", 3, 10)
    assert run.unit("a").progress == UnitProgress(0, 1, 3, 10, "", 0.0)
    run.fail("a")
    run.wait(0)
    assert run.unit("a").progress is None


def test_progress_of_what_does_not_run_is_ignored() -> None:
    run = Run(unit("a"), unit("b", action=COMMAND))
    assert run.progress("b", 1, 2) == []
    run.cancel("a")
    assert run.progress("a", 1, 2) == []
    run.stopped("a")
    assert run.send(ProgressReported(0, 1, 1, 2)) == []


def test_a_warning_is_passed_on() -> None:
    run = Run(unit("a"))
    assert run.send(WarningRaised("disk is almost full")) == [Warned(-1, "disk is almost full", 0.0)]


def test_pausing_twice_is_said_once() -> None:
    run = Run(unit("a"))
    assert run.send(UnpauseRequested()) == []
    assert len(run.send(PauseRequested())) == 1
    assert run.send(PauseRequested()) == []
