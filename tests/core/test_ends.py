"""The semantics of ends, rule by rule: what the ends of needs mean for dependents, handlers, conditions and the run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from core_driver import Run, milestone, unit

from qtui.core.condition import Condition
from qtui.core.events import CacheMissed, ConfirmRequested, PlanReplaced, RunFinished
from qtui.core.folding import fold
from qtui.core.model import CachePolicy, ExecutionMode, Fallback, QuantumUnit, RetryPolicy
from qtui.core.stimuli import (
    ApproveRequested,
    CacheChecked,
    CancelRunRequested,
    CheckCache,
    InterruptRequested,
    PauseRequested,
)


def on(text: str, *needs: str, name: str = "b", **keys: Any) -> QuantumUnit:
    """A unit with a condition."""
    return unit(name, *needs, condition=Condition.parse(text, {}), **keys)


def handler(name: str, *needs: str, when: str = "always", **keys: Any) -> QuantumUnit:
    return unit(name, *needs, when=when, **keys)


# -- allowed failures and fallbacks ----------------------------------------------------------------------


def test_a_failure_that_is_allowed_lets_dependents_run_and_the_run_complete() -> None:
    run = Run(unit("a", allow_failure=True), unit("b", "a"))
    run.fail("a")
    assert run.running == {"b"}
    run.succeed("b")
    assert run.states() == {"a": "failed", "b": "completed"}
    assert run.end == ("completed", 0)


def test_a_timeout_is_allowed_like_a_failure() -> None:
    run = Run(unit("a", allow_failure=True, timeout=5), unit("b", "a"))
    run.wait(5)
    run.stopped("a")
    assert (run.state("a"), run.running) == ("timeout", {"b"})


def test_an_allowed_failure_is_retried_first() -> None:
    run = Run(unit("a", allow_failure=True, retry=RetryPolicy(max=1, delay=1.0)), unit("b", "a"))
    run.fail("a")
    assert run.state("a") == "retrying"
    run.wait(1)
    run.fail("a")
    assert run.running == {"b"}


def test_an_allowed_failure_does_not_stop_a_run_that_fails_fast() -> None:
    run = Run(unit("a", allow_failure=True), unit("b", "a"), unit("c", "b"), keep_going=False)
    run.fail("a")
    run.succeed("b", "c")
    assert run.end == ("completed", 0)


def test_a_cancel_is_not_what_allow_failure_allows() -> None:
    run = Run(unit("a", allow_failure=True), unit("b", "a"))
    run.cancel("a")
    run.stopped("a")
    assert run.states() == {"a": "canceled", "b": "skipped"}


def test_a_fallback_is_used_after_the_last_attempt_only_and_never_after_a_cancel() -> None:
    run = Run(unit("a", fallback=Fallback(1), retry=RetryPolicy(max=1, delay=0)), unit("b", fallback=Fallback(1)))
    run.fail("a")
    run.wait(0)
    run.fail("a")
    run.cancel("b")
    run.stopped("b")
    assert run.states() == {"a": "completed", "b": "canceled"}
    assert run.unit("a").finished is not None and run.unit("a").finished.fallback


# -- when ------------------------------------------------------------------------------------------------


def test_an_alternative_path_runs_where_a_need_has_failed() -> None:
    run = Run(unit("a"), unit("plan_a", "a"), handler("plan_b", "a", when="failure"))
    run.fail("a")
    assert run.running == {"plan_b"}
    assert run.state("plan_a") == "skipped"


def test_an_alternative_path_is_skipped_where_all_went_well() -> None:
    run = Run(unit("a"), handler("plan_b", "a", when="failure"), unit("after", "plan_b"))
    run.succeed("a")
    assert run.states() == {"a": "completed", "plan_b": "skipped", "after": "skipped"}
    assert run.unit("plan_b").cause == "no need has failed"
    assert run.unit("after").cause == "because plan_b"
    assert run.end == ("completed", 0)


def test_a_handler_of_failures_waits_until_all_its_needs_have_ended() -> None:
    run = Run(unit("a"), unit("b"), handler("h", "a", "b", when="failure"))
    run.fail("a")
    assert run.state("h") == "pending"
    run.succeed("b")
    assert run.running == {"h"}


def test_a_handler_of_failures_sees_them_through_units_that_were_skipped_for_them() -> None:
    run = Run(unit("a"), unit("b", "a"), unit("c", "b"), handler("h", "c", when="failure"))
    run.fail("a")
    assert run.running == {"h"}


def test_a_handler_of_failures_does_not_run_for_what_a_person_canceled() -> None:
    run = Run(unit("a"), unit("b", "a"), handler("h", "b", when="failure"), handler("always", "b"))
    run.cancel("a")
    run.stopped("a")
    assert run.state("h") == "skipped"
    assert run.running == {"always"}


def test_a_handler_of_failures_runs_for_what_fail_fast_canceled() -> None:
    run = Run(unit("a"), unit("b"), unit("c", "b"), handler("h", "c", when="failure"), keep_going=False, workers=2)
    run.fail("a")
    assert run.state("c") == "canceled"
    assert run.running == {"b", "h"}


def test_a_failure_that_is_allowed_is_still_one_for_the_alternative_path() -> None:
    run = Run(unit("a", allow_failure=True), unit("b", "a"), handler("h", "a", when="failure"))
    run.fail("a")
    assert run.running == {"b", "h"}


def test_a_fallback_is_no_failure_for_the_alternative_path() -> None:
    run = Run(unit("a", fallback=Fallback(0)), handler("h", "a", when="failure"))
    run.fail("a")
    assert run.state("h") == "skipped"


@pytest.mark.parametrize("first", ["skip", "fail"])
def test_whether_a_failure_is_seen_does_not_depend_on_which_need_ended_first(first: str) -> None:
    """`u` is skipped for `a`, whose condition is false, or for `b`, which fails: whichever comes first."""
    run = Run(
        unit("gate"),
        on("units.gate.state == 'failed'", "gate", name="a"),
        unit("b"),
        unit("u", "a", "b"),
        handler("h", "u", when="failure"),
    )
    for step in ("skip", "fail") if first == "skip" else ("fail", "skip"):
        if step == "skip":
            run.succeed("gate")
        else:
            run.fail("b")
    assert run.states() == {"gate": "completed", "a": "skipped", "b": "failed", "u": "skipped", "h": "running"}


@pytest.mark.parametrize("end", ["succeed", "fail", "stopped"])
def test_a_handler_for_always_runs_however_its_needs_ended(end: str) -> None:
    run = Run(unit("a"), handler("h", "a"))
    if end == "stopped":
        run.cancel("a")
    getattr(run, end)("a")
    assert run.running == {"h"}


def test_a_star_means_every_unit_that_does_not_need_this_one() -> None:
    run = Run(unit("a"), unit("b", "a"), handler("cleanup", "*"), unit("after", "cleanup"), handler("other", "*"))
    run.fail("a")
    assert run.running == {"cleanup"}
    run.succeed("cleanup")
    run.succeed("after")
    assert run.running == {"other"}


# -- if --------------------------------------------------------------------------------------------------


def test_a_unit_whose_condition_is_false_is_skipped_and_so_are_its_dependents() -> None:
    run = Run(unit("a"), on("units.a.fallback", "a"), unit("c", "b"))
    run.succeed("a")
    assert run.states() == {"a": "completed", "b": "skipped", "c": "skipped"}
    assert run.unit("b").cause == "its condition does not hold: units.a.fallback"
    assert run.end == ("completed", 0)


def test_a_condition_sees_that_a_fallback_was_used() -> None:
    run = Run(unit("a", fallback=Fallback(0)), on("units.a.fallback", "a"))
    run.fail("a")
    assert run.running == {"b"}


def test_a_condition_is_asked_only_once_the_needs_have_ended_well() -> None:
    run = Run(unit("a"), on("units.a.state == 'failed'", "a"))
    run.fail("a")
    assert run.unit("b").cause == "because a"


def test_a_condition_may_ask_for_a_family_as_a_whole() -> None:
    items = [unit(f"a[{n}]", family="a", fallback=Fallback(0)) for n in range(2)]
    run = Run(*items, on("units.a.state == 'completed' and units.a.fallback", "a"))
    run.succeed("a[0]")
    run.fail("a[1]")
    assert run.running == {"b"}


def test_a_milestone_may_have_a_condition() -> None:
    run = Run(unit("a"), on("units.a.cached", "a", action=None), unit("c", "b"))
    run.succeed("a")
    assert run.state("c") == "skipped"


# -- the end of the run ----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["drain", "stop"])
def test_handlers_still_run_once_the_run_is_being_stopped(how: Any) -> None:
    run = Run(unit("a"), unit("b", "a"), handler("cleanup", "*"), unit("after", "cleanup"))
    run.send(CancelRunRequested(how))
    assert run.state("cleanup") == "pending"
    run.stopped("a") if how == "stop" else run.succeed("a")
    assert run.running == {"cleanup"}
    run.succeed("cleanup")
    assert run.states()["after"] == "canceled"
    assert run.end == ("canceled", 130)


def test_a_pause_does_not_hold_handlers_of_a_run_that_is_being_stopped() -> None:
    run = Run(unit("a"), handler("cleanup", "a"))
    run.send(PauseRequested())
    run.send(CancelRunRequested("stop"))
    run.stopped("a")
    assert run.running == {"cleanup"}


def test_a_second_cancel_stops_the_handlers_too() -> None:
    run = Run(unit("a"), handler("cleanup", "*"), handler("later", "cleanup"))
    run.send(CancelRunRequested("stop"))
    run.stopped("a")
    run.send(CancelRunRequested("stop"))
    assert run.interrupted == {"cleanup"}
    assert run.state("later") == "canceled"
    run.send(CancelRunRequested("stop"))
    assert run.killed == {"cleanup"}
    run.stopped("cleanup")
    assert run.end == ("canceled", 130)


def test_handlers_of_a_run_that_timed_out_still_run() -> None:
    run = Run(unit("a"), handler("cleanup", "*"), timeout=60)
    run.wait(60)
    run.stopped("a")
    assert run.running == {"cleanup"}
    run.succeed("cleanup")
    assert run.end == ("failed", 124)


def test_after_a_signal_handlers_do_not_run() -> None:
    run = Run(unit("a"), handler("cleanup", "*"), handler("busy"), workers=2)
    run.send(InterruptRequested(2))
    assert run.interrupted == {"a", "busy"}
    run.stopped("a")
    run.stopped("busy")
    assert run.state("cleanup") == "pending"
    assert run.end == ("interrupted", 130)


def test_handlers_have_a_limited_time_once_nothing_else_is_left() -> None:
    run = Run(unit("a"), handler("cleanup", "*"), handler("later", "cleanup"), handler_timeout=30)
    run.send(CancelRunRequested("drain"))
    run.wait(100)  # what runs may take its time
    run.succeed("a")
    run.wait(29)
    assert run.interrupted == set()
    run.wait(1)
    assert run.interrupted == {"cleanup"}
    assert run.state("later") == "canceled"
    run.stopped("cleanup")
    assert run.unit("cleanup").cause == "not done 30 s after the run was stopped"


def test_a_handler_may_be_tried_again_while_the_run_is_being_stopped() -> None:
    run = Run(unit("a"), handler("cleanup", "a", retry=RetryPolicy(max=1, delay=1.0)))
    run.send(CancelRunRequested("stop"))
    run.stopped("a")
    run.fail("cleanup")
    assert run.state("cleanup") == "retrying"
    run.wait(1)
    run.succeed("cleanup")
    assert run.state("cleanup") == "completed"


def test_handlers_run_when_a_run_fails_fast() -> None:
    run = Run(unit("a"), unit("b", "a"), handler("cleanup", "*"), keep_going=False)
    run.fail("a")
    assert run.running == {"cleanup"}
    run.succeed("cleanup")
    assert run.end == ("failed", 1)


def test_the_failure_of_a_handler_fails_the_run() -> None:
    run = Run(unit("a"), handler("cleanup", "a"))
    run.succeed("a")
    run.fail("cleanup")
    assert run.end == ("failed", 1)


# -- a person's retry ------------------------------------------------------------------------------------


def test_a_retry_also_resets_what_was_skipped_for_it_and_the_handlers_below() -> None:
    run = Run(unit("a"), unit("b", "a"), handler("onfail", "a", when="failure"), handler("cleanup", "*"))
    run.fail("a")
    run.succeed("onfail", "cleanup")
    assert run.end == ("failed", 1)
    run.retry("a")
    assert run.states() == {"a": "running", "b": "pending", "onfail": "pending", "cleanup": "pending"}
    run.succeed("a", "b")
    assert run.state("onfail") == "skipped"
    run.succeed("cleanup")
    assert run.end == ("completed", 0)


def test_a_condition_is_asked_again_after_a_retry() -> None:
    run = Run(unit("a", fallback=Fallback(0)), on("not units.a.fallback", "a"))
    run.fail("a")
    assert run.state("b") == "skipped"
    run.retry("a")
    run.succeed("a")
    assert run.running == {"b"}


def test_dependents_of_an_allowed_failure_keep_their_results_when_it_runs_again() -> None:
    run = Run(unit("a", allow_failure=True), unit("b", "a"))
    run.fail("a")
    run.succeed("b")
    run.retry("a")
    run.succeed("a")
    assert run.states() == {"a": "completed", "b": "completed"}
    assert len(run.said(RunFinished)) == 2


# -- questions -------------------------------------------------------------------------------------------


def test_a_unit_with_a_question_starts_once_a_person_says_yes() -> None:
    run = Run(unit("a"), unit("b", "a", confirm="Publish?"))
    run.succeed("a")
    assert [(e.unit, e.question) for e in run.said(ConfirmRequested)] == [(1, "Publish?")]
    assert run.running == set()
    run.send(ApproveRequested((1,)))
    assert run.running == {"b"}


def test_a_question_that_is_answered_with_a_cancel_skips_what_comes_after() -> None:
    run = Run(unit("a", confirm="Publish?"), unit("b", "a"))
    run.cancel("a")
    assert run.states() == {"a": "canceled", "b": "skipped"}


def test_units_that_were_approved_beforehand_are_not_asked_about() -> None:
    run = Run(unit("publish.site", confirm="Publish?"), unit("drop", confirm="Drop?"), approved=("publish*",))
    assert run.running == {"publish.site"}


def test_a_question_is_asked_once_however_often_the_unit_is_tried() -> None:
    run = Run(unit("a", confirm="Really?", retry=RetryPolicy(max=1, delay=1.0)))
    run.send(ApproveRequested((0,)))
    run.fail("a")
    run.wait(1)
    assert run.running == {"a"}
    run.fail("a")
    run.retry("a")
    assert run.running == set()
    assert len(run.said(ConfirmRequested)) == 2


def test_waiting_for_an_answer_counts_against_no_timeout() -> None:
    run = Run(unit("a"), unit("b", "a", confirm="Publish?", timeout=10), timeout=60)
    run.wait(50)
    run.succeed("a")
    run.wait(100_000)
    run.send(ApproveRequested((1,)))
    run.wait(9)
    assert run.interrupted == set()
    run.wait(1)
    assert run.view.stopping is not None and run.view.stopping.how == "timeout"


def test_the_runs_timeout_counts_on_while_something_runs_beside_a_question() -> None:
    run = Run(unit("a"), unit("b", confirm="Publish?"), timeout=60)
    run.wait(60)
    assert run.interrupted == {"a"}


# -- earlier results -------------------------------------------------------------------------------------


def test_a_unit_with_a_cache_is_looked_up_before_it_takes_a_worker() -> None:
    run = Run(unit("a", cache=CachePolicy()), unit("b", "a"), workers=1)
    assert run.effects[0] == CheckCache(0, 1)
    assert run.running == set()
    run.send(CacheChecked(0, 1, True, "same inputs as before"))
    assert run.running == {"b"}
    end = run.unit("a").finished
    assert end is not None and end.cached and end.attempt == 0 and end.cause == "same inputs as before"


def test_a_miss_lets_the_unit_run_and_is_told() -> None:
    run = Run(unit("a", cache=CachePolicy()))
    run.send(CacheChecked(0, 1, False, "input a.csv changed"))
    assert run.view.missed == {}
    assert run.running == {"a"}
    assert [event.reason for event in run.said(CacheMissed)] == ["input a.csv changed"]


def test_a_miss_without_a_change_is_known_until_the_unit_is_run_again() -> None:
    run = Run(unit("a", cache=CachePolicy()))
    run.send(CacheChecked(0, 1, False, "output x is missing", unchanged=True))
    run.succeed("a")
    assert run.view.missed == {0: "output x is missing"}
    plan = PlanReplaced((unit("new"), unit("a", cache=CachePolicy())), ExecutionMode.AUTO, 1.0)
    assert fold(run.view, [plan]).missed == {1: "output x is missing"}, "numbers are those of a plan"
    run.retry("a")
    assert run.view.missed == {}


def test_a_question_is_asked_only_after_a_miss() -> None:
    run = Run(unit("a", cache=CachePolicy(), confirm="Publish?"))
    assert run.said(ConfirmRequested) == []
    run.send(CacheChecked(0, 1, False, "never completed before"))
    assert len(run.said(ConfirmRequested)) == 1


def test_an_answer_of_the_cache_that_comes_too_late_is_dropped() -> None:
    run = Run(unit("a", cache=CachePolicy()), unit("b"))
    run.cancel("a")
    assert run.send(CacheChecked(0, 1, True, "same")) == []
    run.retry("a")
    assert run.send(CacheChecked(0, 1, True, "same")) == []
    run.send(CacheChecked(0, 2, True, "same"))
    assert run.state("a") == "completed"


def test_a_person_who_runs_a_unit_again_gets_no_earlier_result_of_it() -> None:
    run = Run(unit("a", cache=CachePolicy()), unit("b", "a", cache=CachePolicy()))
    run.send(CacheChecked(0, 1, True, "same"))
    run.send(CacheChecked(1, 1, True, "same"))
    run.retry("a", scope="dependents")
    assert run.effects[0] == CheckCache(0, 2, forced=True)
    run.send(CacheChecked(0, 2, False, "run again by you"))
    run.succeed("a")
    assert run.effects[0] == CheckCache(1, 2)  # nobody has asked for this one by name


def test_a_condition_sees_that_an_earlier_result_was_used() -> None:
    run = Run(unit("a", cache=CachePolicy()), on("not units.a.cached", "a"))
    run.send(CacheChecked(0, 1, True, "same"))
    assert run.state("b") == "skipped"


def test_a_milestone_may_ask_before_it_is_reached() -> None:
    run = Run(replace(milestone("gate"), confirm="Go on?"), unit("b", "gate"))
    run.send(ApproveRequested((0,)))
    assert run.running == {"b"}
