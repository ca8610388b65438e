"""A run goes on, and what units have added there: nothing of it runs without a reason or, if it must, a question."""

from __future__ import annotations

from core_driver import SUCCESS, Run, unit
from core_resumed import Resumed

from qtui.core.condition import Condition
from qtui.core.events import ConfirmRequested, UnitReset
from qtui.core.model import Fallback, QuantumUnit
from qtui.core.resuming import Former
from qtui.core.stimuli import ApproveRequested

PAY = unit("pay", idempotent=False)
AGAIN = "pay may have done its work: run it again?"


def add(run: Run, adder: str, *units: QuantumUnit) -> None:
    """Let a unit complete with additions."""
    run.returns(adder, SUCCESS._replace(added=units))
    run.plan = run.view.plan


def asked(run: Run) -> list[str]:
    """The questions that wait for an answer."""
    return [last.question for last in run.view.last if isinstance(last, ConfirmRequested)]


def asking(run: Resumed) -> list[str]:
    """The units of which a person is told that they ask."""
    return [run.plan.table[number].id for number in run.how.questions]


# -- what is skipped below a unit that is added anew -------------------------------------------------------


def test_what_is_skipped_below_a_unit_that_is_added_anew_runs_and_asks() -> None:
    gone = Run(unit("root"), unit("pay", "*", idempotent=False))
    add(gone, "root", unit("x"))
    gone.succeed("x", "pay")
    gone.retry("x", scope="dependents")
    gone.fail("x")
    assert gone.state("pay") == "skipped"

    run = Resumed(gone, named=("root",))
    assert run.why["pay"] == "was skipped"
    assert asking(run) == ["pay"]
    add(run, "root", unit("x"))
    run.succeed("x")

    assert run.running == set()
    assert asked(run) == [AGAIN]


def test_of_the_failed_ones_alone_what_is_skipped_below_a_unit_that_is_added_anew_runs_too() -> None:
    below = unit("below", "u", condition=Condition.parse("units.u.state == 'failed'", {}))
    gone = Run(unit("a"), unit("b"), workers=1)
    add(gone, "a", unit("u", priority=1), unit("v", priority=1))
    gone.succeed("u")
    gone.fail("v")
    add(gone, "b", below)
    assert gone.state("below") == "skipped"

    run = Resumed(gone, only_failed=True)

    assert run.why["below"] == "b runs again, and adds it anew"
    assert run.running == {"a"}


def test_a_unit_that_waits_to_run_again_adds_anew_what_it_had_added() -> None:
    gone = Run(unit("root"), unit("other"), workers=1)
    add(gone, "root", PAY)
    gone.succeed("other", "pay")
    gone.retry("root")
    view = gone.view
    assert gone.state("root") == "running"

    run = Resumed(gone)

    assert run.view.seq > view.seq
    assert run.why == {"root": "was interrupted", "pay": "root runs again, and adds it anew"}
    assert asking(run) == ["pay"]


def test_what_was_added_never_runs_without_being_added_anew() -> None:
    gone = Run(unit("root"))
    add(gone, "root", unit("x", fallback=Fallback(0)), unit("y"))
    gone.fail("x")
    gone.succeed("y")

    run = Resumed(gone)

    assert run.running == {"root"}
    assert run.why["x"] == "root runs again, and adds it anew"


# -- what is added again asks --------------------------------------------------------------------------------


def test_what_was_dropped_and_is_added_again_asks() -> None:
    run = Run(unit("root"))
    add(run, "root", PAY)
    run.succeed("pay")
    run.retry("root")
    add(run, "root")
    assert run.state("pay") == "skipped"
    run.retry("root")
    add(run, "root", PAY)

    assert run.running == set()
    assert asked(run) == [AGAIN]
    run.send(ApproveRequested((run.number("pay"),)))
    assert run.running == {"pay"}


def test_what_was_dropped_before_a_resume_and_is_added_again_asks() -> None:
    gone = Run(unit("root"), unit("last", "root"))
    add(gone, "root", PAY)
    gone.succeed("pay", "last")
    gone.retry("root")
    add(gone, "root")

    for again in (Resumed(gone, named=("root",)), Resumed(gone, unit("root"), unit("last", "root"), named=("root",))):
        add(again, "root", PAY)

        assert asked(again) == [AGAIN]
        assert again.unit("pay").attempt == 1


def test_what_is_approved_beforehand_is_no_answer_to_a_doubt() -> None:
    run = Run(unit("root"), approved=("*",))
    add(run, "root", PAY)
    run.succeed("pay")
    run.retry("root")
    add(run, "root", PAY)

    assert asked(run) == [AGAIN]


def test_what_is_added_for_the_first_time_or_has_never_begun_does_not_ask() -> None:
    run = Run(unit("root"), unit("other"), workers=1)
    add(run, "root", PAY)
    assert run.running == {"other"}
    run.retry("root")
    run.succeed("other")
    add(run, "root", PAY)

    assert run.running == {"pay"}


# -- what was out of the workflow for a while --------------------------------------------------------------


def away_and_back(*added: QuantumUnit) -> Resumed:
    """A run whose `root`, with what it had added, was gone for one resume."""
    gone = Run(unit("root"), unit("other"), workers=2)
    add(gone, "root", *added)
    gone.succeed(*(each.id for each in added), "other")
    without = Resumed(gone, unit("other"))
    return Resumed(without, unit("root"), unit("other"), former={"root": Former(1, 1, None)})


def test_the_attempts_of_what_comes_back_by_being_added_count_on() -> None:
    run = away_and_back(unit("x"))
    add(run, "root", unit("x"), unit("new"))

    assert (run.unit("x").attempt, run.unit("x").generation, run.unit("x").attempt_in_generation) == (2, 2, 1)
    assert run.unit("new").attempt == 1
    assert [run.view.attempts[n] for n in range(len(run.plan))] == run.scheduler._attempt
    assert list(run.view.generations) == run.scheduler._generation


def test_what_comes_back_by_being_added_asks_if_it_may_have_done_its_work() -> None:
    run = away_and_back(PAY)
    add(run, "root", PAY)

    assert asked(run) == [AGAIN]


def test_attempts_count_on_however_long_a_unit_was_away() -> None:
    gone = Run(unit("root"), unit("other"), workers=2)
    add(gone, "root", unit("x"))
    gone.succeed("x", "other")
    without = Resumed(Resumed(gone, unit("other")), unit("other"), unit("more"))

    assert without.view.former == {"root": (1, 1), "x": (1, 1)}
    run = Resumed(without, unit("x"), former={"x": Former(1, 1, None)})
    assert "x" not in run.view.former
    assert run.unit("x").attempt == 2


def test_a_unit_without_what_it_had_added_runs_in_the_next_resume_if_it_is_left_out_of_this_one() -> None:
    gone = Run(unit("root"), unit("other"), workers=2)
    add(gone, "root", unit("x"))
    gone.succeed("x", "other")

    run = Resumed(gone, unit("root"), unit("other"), unit("x"), named=("other",))
    assert run.state("root") == "canceled"
    run.succeed("other")

    later = Resumed(run, unit("root"), unit("other"), unit("x"))
    assert later.why["root"] == "was left out of a resume"


# -- what is needed ------------------------------------------------------------------------------------------


def with_fallback() -> Run:
    gone = Run(unit("a", fallback=Fallback(0)), unit("b", "a"), unit("c", "b"), workers=1)
    gone.fail("a")
    gone.succeed("b")
    return gone


def test_what_only_a_unit_needs_that_stays_does_not_run() -> None:
    gone = with_fallback()
    gone.succeed("c")

    run = Resumed(gone, named=("c",))

    assert run.why == {"c": "you have named it"}
    assert run.view.stale == {}


def test_what_a_unit_needs_that_is_named_and_stays_does_not_run() -> None:
    gone = with_fallback()
    gone.fail("c")

    run = Resumed(gone, named=("b", "c"), only_failed=True)

    assert run.why == {"c": "failed last time"}
    assert run.view.stale == {}


def test_what_a_unit_needs_whose_result_is_made_again_runs() -> None:
    gone = with_fallback()
    gone.fail("c")

    run = Resumed(gone, named=("c",), missing={"b": "which was not kept"})

    assert run.why == {
        "a": "used its fallback last time",
        "b": "c needs its result, which was not kept",
        "c": "failed last time",
    }


# -- failed ones alone ---------------------------------------------------------------------------------------


def test_only_failed_leaves_alone_what_was_added_and_canceled() -> None:
    gone = Run(unit("root"), unit("other"), workers=3)
    add(gone, "root", unit("x"), unit("y"), unit("z", "x"))
    gone.cancel("x")
    gone.stopped("x")
    gone.succeed("y")
    gone.fail("other")

    run = Resumed(gone, only_failed=True)

    assert run.why == {"other": "failed last time"}
    assert [event.unit for event in run.said(UnitReset)] == [run.number("other")]
    assert run.states() == {"root": "completed", "other": "running", "x": "canceled", "y": "completed", "z": "skipped"}
    assert "root" in Resumed(gone).why


def run_again_and_cancel(run: Run, name: str) -> None:
    run.retry(name)
    run.cancel(name)
    run.stopped(name)


def test_only_failed_leaves_alone_a_canceled_unit_although_what_it_had_added_has_changed() -> None:
    gone = Run(unit("root"))
    add(gone, "root", unit("x"))
    gone.succeed("x")
    run_again_and_cancel(gone, "root")
    wishes = {"redo_stale": True, "changed": {"x": "its code changed"}}

    run = Resumed(gone, only_failed=True, **wishes)

    assert run.why == {}
    assert run.states() == {"root": "canceled", "x": "completed"}
    assert run.view.stale == {run.number("x"): "its code changed"}
    assert "root" in Resumed(gone, **wishes).why


def test_only_failed_leaves_alone_a_canceled_unit_although_what_it_had_added_has_failed() -> None:
    gone = Run(unit("root"))
    add(gone, "root", unit("x"), unit("y", "x"))
    gone.fail("x")
    run_again_and_cancel(gone, "root")

    run = Resumed(gone, only_failed=True)

    assert run.why == {}
    assert run.states() == {"root": "canceled", "x": "failed", "y": "skipped"}
    assert run.end == ("failed", 1)
    assert "root" in Resumed(gone).why


def test_only_failed_leaves_alone_a_canceled_unit_that_another_one_has_added() -> None:
    gone = Run(unit("root"), workers=1)
    add(gone, "root", unit("x"))
    add(gone, "x", unit("y"), unit("z"))
    gone.fail("y")
    gone.succeed("z")
    run_again_and_cancel(gone, "x")

    run = Resumed(gone, only_failed=True, redo_stale=True, changed={"z": "its code changed"})

    assert run.why == {}
    assert run.states() == {"root": "completed", "x": "canceled", "y": "failed", "z": "completed"}


def test_a_handler_that_was_added_runs_again_although_what_had_added_it_stays_canceled() -> None:
    gone = Run(unit("root"), unit("other"), workers=2)
    add(gone, "root", unit("clean", "other", when="always"))
    gone.fail("other")
    gone.succeed("clean")
    run_again_and_cancel(gone, "root")
    gone.succeed("clean")

    run = Resumed(gone, only_failed=True)

    assert run.why == {"other": "failed last time", "clean": "other runs again"}
    run.succeed("other", "clean")
    assert run.states() == {"root": "canceled", "other": "completed", "clean": "completed"}


def test_a_result_that_only_a_canceled_unit_could_make_again_is_used_by_nobody() -> None:
    gone = Run(unit("root"), unit("other"), workers=2)
    add(gone, "root", unit("x"))
    add(gone, "other", unit("use", "x"))
    gone.succeed("x")
    run_again_and_cancel(gone, "root")

    run = Resumed(gone, only_failed=True, missing={"x": "which was not kept"})
    assert run.running == {"other"}
    add(run, "other", unit("use", "x"))

    assert run.states() == {"root": "canceled", "other": "completed", "x": "skipped", "use": "skipped"}
    assert run.unit("x").cause == "because root"


def test_only_failed_runs_again_what_adds_a_unit_that_failed() -> None:
    gone = Run(unit("root"), workers=3)
    add(gone, "root", unit("x"), unit("y"), unit("z", "x"))
    gone.cancel("y")
    gone.stopped("y")
    gone.fail("x")

    assert Resumed(gone, only_failed=True).running == {"root"}
