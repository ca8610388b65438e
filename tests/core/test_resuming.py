"""A run goes on after its process has gone: what runs again and why, and that it ends as if nothing had happened."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from core_driver import SUCCESS, WORK, Run, unit
from core_resumed import Resumed
from core_steps import check_steps
from hypothesis import given
from test_ends_model import WRONG, chance, in_many_graphs, predict, random_graph

from qtui.core.errors import InvalidWorkflow
from qtui.core.events import ConfirmRequested, JournalChanged, RunResumed, RunStarted, UnitReset
from qtui.core.folding import fold
from qtui.core.model import Fallback, Outcome
from qtui.core.plan import ExecutionPlan
from qtui.core.resuming import Wishes, resume
from qtui.core.state import RunView
from qtui.core.stimuli import ApproveRequested, InterruptRequested, JournalReported, PauseRequested


def test_what_was_done_stays_done_and_what_ran_runs_once_more() -> None:
    gone = Run(unit("a"), unit("b", "a"), unit("c", "b"), unit("d"), workers=2)
    gone.succeed("a")

    run = Resumed(gone)

    assert run.why == {"b": "was interrupted", "c": "has not run yet", "d": "was interrupted"}
    assert run.running == {"b", "d"}
    run.succeed("b", "d", "c")
    assert run.end == ("completed", 0)
    assert run.started.count("a") == 0
    assert run.unit("b").attempt == 2


def test_a_run_of_which_nothing_is_known_but_its_name_begins() -> None:
    gone = Run(unit("a"), begin=False)
    gone.view = RunView.initial(gone.plan, "nightly")

    run = Resumed(gone)

    assert isinstance(run.events[0], RunStarted) and run.view.name == "nightly"
    run.succeed("a")
    assert run.end == ("completed", 0) and run.view.elapsed(run.now) == run.now - run.events[0].at


def test_units_that_failed_or_were_skipped_or_canceled_run_again() -> None:
    gone = Run(unit("a"), unit("b", "a"), unit("c"), unit("d", "c"), workers=2)
    gone.fail("a")
    gone.cancel("c")
    gone.stopped("c")
    assert gone.end == ("failed", 1)

    run = Resumed(gone)

    assert run.why == {"a": "failed last time", "b": "was skipped", "c": "was canceled", "d": "was skipped"}
    run.succeed("a", "c", "b", "d")
    assert run.end == ("completed", 0)


def test_only_failed_leaves_alone_what_was_canceled() -> None:
    gone = Run(unit("a"), unit("b", "a"), unit("c"), unit("d", "c"), workers=2)
    gone.fail("a")
    gone.cancel("c")
    gone.stopped("c")

    run = Resumed(gone, only_failed=True)

    assert run.why == {"a": "failed last time", "b": "what it needs failed last time"}
    run.succeed("a", "b")
    assert run.states() == {"a": "completed", "b": "completed", "c": "canceled", "d": "skipped"}


def test_a_pending_unit_below_one_that_stays_canceled_is_skipped() -> None:
    gone = Run(unit("a"), unit("b"), unit("c", "a", "b"), workers=2)
    gone.cancel("a")
    gone.stopped("a")

    run = Resumed(gone, only_failed=True)
    run.succeed("b")

    assert run.states() == {"a": "canceled", "b": "completed", "c": "skipped"}
    assert run.end == ("canceled", 130)


def test_what_needs_one_that_stays_canceled_keeps_its_end() -> None:
    gone = Run(unit("a"), unit("b", "a"), unit("c", "a"), unit("d", "c"), workers=4)
    gone.succeed("a", "b")
    gone.fail("c")
    gone.retry("a")
    gone.cancel("a")
    gone.stopped("a")

    run = Resumed(gone, only_failed=True, redo_stale=True, changed={"b": "command changed"})

    assert run.why == {}, "they would only be skipped"
    assert run.states() == {"a": "canceled", "b": "completed", "c": "failed", "d": "skipped"}
    assert run.view.stale == {1: "command changed"}


def test_what_needs_a_result_that_only_one_could_make_that_stays_canceled_keeps_its_end() -> None:
    gone = Run(unit("a"), unit("b", "a"), unit("c", "b"), workers=4)
    gone.succeed("a", "b", "c")
    gone.retry("a")
    gone.cancel("a")
    gone.stopped("a")
    wishes = {"redo_stale": True, "changed": {"c": "command changed"}, "missing": {"b": "which was not kept"}}

    assert Resumed(gone, only_failed=True, **wishes).states() == {"a": "canceled", "b": "completed", "c": "completed"}


def test_a_run_that_had_completed_ends_at_once() -> None:
    gone = Run(unit("a"))
    gone.succeed("a")

    run = Resumed(gone)

    assert run.why == {}
    assert run.end == ("completed", 0)


def test_a_fallback_is_no_result_to_keep() -> None:
    gone = Run(unit("a", fallback=Fallback(0)), unit("b", "a"), unit("c", "b"), workers=1)
    gone.fail("a")
    gone.succeed("b")

    run = Resumed(gone)

    assert run.why == {"a": "used its fallback last time", "c": "was interrupted"}
    assert run.view.stale == {1: "a runs again"}
    assert run.running == {"a"}
    assert run.state("b") == "completed", "it is kept until somebody asks"


def test_changed_units_are_kept_and_marked_with_all_that_is_built_on_them() -> None:
    gone = Run(unit("a"), unit("b", "a"), unit("c", "b"), workers=1)
    gone.succeed("a", "b")

    run = Resumed(gone, changed={"a": "command changed"})

    assert run.why == {"c": "was interrupted"}
    assert run.view.stale == {0: "command changed", 1: "a is stale"}


def test_changed_units_run_again_when_asked_to_with_all_that_is_built_on_them() -> None:
    gone = Run(unit("a"), unit("b", "a"), unit("c"), unit("d", "b", "c"), workers=1)
    gone.succeed("a", "b", "c", "d")

    run = Resumed(gone, changed={"a": "command changed"}, redo_stale=True)

    assert run.why == {"a": "command changed", "b": "a runs again", "d": "b runs again"}
    assert run.view.stale == {}
    run.succeed("a", "b", "d")
    assert run.end == ("completed", 0)


def test_a_result_that_is_gone_is_made_again_only_for_those_that_need_it() -> None:
    gone = Run(unit("a"), unit("b", "a"), unit("c"), unit("d", "c"), unit("e", "b"), workers=1)
    gone.succeed("a", "b", "c", "d")
    missing = dict.fromkeys("abcd", "which was not stored: a lock cannot be pickled")

    run = Resumed(gone, missing=missing)

    needed = "needs its result, which was not stored: a lock cannot be pickled"
    assert run.why == {"b": f"e {needed}", "a": f"b {needed}", "e": "was interrupted"}
    assert run.running == {"a"}


def test_what_is_not_idempotent_asks_before_it_runs_again() -> None:
    gone = Run(unit("deploy", idempotent=False), unit("after", "deploy"))

    run = Resumed(gone)

    assert run.running == set()
    asked = run.said(ConfirmRequested)
    assert asked[-1].question == "deploy may have done its work: run it again?"
    assert [run.plan.table[number].id for number in run.how.questions] == ["deploy"]
    run.send(ApproveRequested((0,)))
    run.succeed("deploy", "after")
    assert run.end == ("completed", 0)


def test_what_is_not_idempotent_and_was_cut_by_a_signal_asks_too() -> None:
    gone = Run(unit("deploy", idempotent=False))
    gone.send(InterruptRequested(15))
    gone.stopped("deploy")
    assert gone.end == ("interrupted", 143)

    assert Resumed(gone).running == set()
    assert Resumed(gone, again=("deploy",)).running == {"deploy"}


def test_what_is_not_idempotent_but_has_not_begun_runs() -> None:
    gone = Run(unit("a"), unit("deploy", "a", idempotent=False))

    run = Resumed(gone)
    run.succeed("a")

    assert run.running == {"deploy"}


def test_the_time_in_which_nobody_ran_it_does_not_count() -> None:
    gone = Run(unit("a"), unit("b", "a"))
    gone.now = 10.0
    gone.succeed("a")

    run = Resumed(gone, later=5000.0)
    run.now += 5.0
    run.succeed("b")

    assert run.finished.duration == 15.0


def test_a_pause_does_not_outlive_the_process() -> None:
    gone = Run(unit("a"))
    gone.send(PauseRequested())

    assert Resumed(gone).running == {"a"}


def test_a_workflow_that_has_changed_goes_on_under_the_ids_of_its_units() -> None:
    gone = Run(unit("a"), unit("b", "a"), unit("gone", "a"), unit("c", "b"), workers=1)
    gone.succeed("a", "b")

    run = Resumed(gone, unit("new"), unit("c", "b", "new"), unit("b", "a"), unit("a"))

    assert run.states() == {"new": "running", "c": "pending", "b": "completed", "a": "completed"}
    assert run.why == {"new": "is new in the workflow", "c": "has not run yet"}
    assert run.how.gone == {"gone": "interrupted"}
    run.succeed("new", "c")
    assert run.end == ("completed", 0)
    assert run.unit("a").attempt == 1


def test_of_units_that_are_gone_it_is_told_whether_they_had_begun() -> None:
    gone = Run(unit("a"), unit("b"), unit("c", "b"), workers=2)
    assert gone.running == {"a", "b"}
    assert Resumed(gone, unit("a")).how.gone == {"b": "interrupted", "c": "not run"}

    gone.send(InterruptRequested(15))
    gone.stopped("a")
    gone.stopped("b")
    assert Resumed(gone, unit("a")).how.gone == {"b": "interrupted", "c": "not run"}


def test_an_end_of_a_unit_that_was_skipped_names_its_cause_under_the_new_numbers() -> None:
    gone = Run(unit("x"), unit("a"), unit("b", "a"), workers=2)
    gone.fail("a")

    run = Resumed(gone, unit("b", "a"), unit("a"), unit("x"), only_failed=True)

    assert run.why == {"a": "failed last time", "b": "what it needs failed last time", "x": "was interrupted"}


def test_units_that_were_added_stay_if_all_of_them_have_completed() -> None:
    gone = Run(unit("a", priority=1), unit("z"), workers=1)
    gone.plan = gone.scheduler.plan
    gone.returns("a", Outcome(added=(unit("x", priority=1), unit("y", "x", priority=1))))
    gone.succeed("x", "y")

    run = Resumed(gone, unit("z"), unit("a"))

    assert run.states() == {"z": "running", "a": "completed", "x": "completed", "y": "completed"}
    assert run.why == {"z": "was interrupted"}


def test_a_unit_whose_additions_have_not_all_completed_adds_them_again() -> None:
    gone = Run(unit("a"), workers=1)
    gone.plan = gone.scheduler.plan
    gone.returns("a", Outcome(added=(unit("x"), unit("y", "x"))))
    gone.succeed("x")

    run = Resumed(gone, unit("a"))

    assert run.why["a"] == "what it adds has not all completed"
    assert run.running == {"a"}
    run.returns("a", Outcome(added=(unit("x"), unit("y", "x"))))
    run.succeed("x", "y")
    assert run.end == ("completed", 0)


def test_nothing_new_starts_while_the_record_cannot_be_written() -> None:
    run = Run(unit("a"), unit("b", "a"), unit("c", "a"), workers=2)

    run.send(JournalReported("disk full"))
    run.send(JournalReported("disk full"))
    run.succeed("a")

    assert run.view.unsaved == "disk full"
    assert run.running == set()
    assert len(run.said(JournalChanged)) == 1
    run.send(JournalReported(""))
    assert run.view.unsaved == ""
    assert run.running == {"b", "c"}


@in_many_graphs
@given(chance)
def test_a_run_with_crashes_ends_as_one_without(rng: Random) -> None:
    units, needs = random_graph(rng)
    units = [replace(unit, idempotent=rng.randrange(4) > 0) for unit in units]
    bad_tries = {unit.id: rng.choice((0, 0, 0, 99)) for unit in units}
    expected = predict(units, needs, bad_tries)

    order = rng.sample(units, len(units))
    run: Run = Run(*order, workers=rng.randint(1, 4))
    crashes = rng.randint(1, 4)
    seqs = [run.view.seq]
    while run.view.finished is None:
        if crashes and rng.randrange(3) == 0:
            crashes -= 1
            order = rng.sample(units, len(units))
            run = Resumed(run, *order)
            seqs.append(run.view.seq)
        elif run.view.asked:
            run.send(ApproveRequested(tuple(range(len(run.plan)))))
        elif not run.running:
            run.wait(1)
        else:
            name = rng.choice(sorted(run.running))
            run.returns(name, WRONG if bad_tries[name] else SUCCESS)

    seen = {view.id: (str(view.state), view.finished is not None and view.finished.fallback) for view in run.view.units}
    assert seen == {name: (end.state, end.fallback) for name, end in expected.items()}
    assert seqs == sorted(set(seqs))


@in_many_graphs
@given(chance)
def test_every_step_of_a_resume_is_a_legal_one(rng: Random) -> None:
    units, _ = random_graph(rng)
    run = Run(*units, workers=2)
    for _ in range(rng.randint(0, 8)):
        if run.running:
            run.returns(rng.choice(sorted(run.running)), rng.choice((SUCCESS, WRONG)))

    view: RunView = run.view
    for event in Resumed(run).events:
        after = fold(view, [event])
        if not isinstance(event, RunResumed):
            assert not check_steps(view, after)
        if isinstance(event, UnitReset):
            assert after.generations[event.unit] == view.generations[event.unit] + 1
        view = after


def test_a_plan_that_cannot_be_is_refused_before_anything_is_recorded() -> None:
    gone = Run(unit("a"))

    with pytest.raises(InvalidWorkflow, match="a"):
        Resumed(gone, unit("a", "a"))


def test_the_plan_of_the_record_knows_no_functions_and_the_resumed_one_does() -> None:
    gone = Run(unit("a"))
    blank = ExecutionPlan.build([replace(each, action=None) for each in gone.plan.table])
    gone.view = replace(gone.view, plan=blank)

    how = resume(gone.view, gone.plan.table, gone.options, Wishes(), 5.0, replan=False)

    assert how.view.plan.table[0].action == WORK


# -- what may have done its work ---------------------------------------------------------------------------


def test_a_question_that_was_interrupted_is_asked_again() -> None:
    gone = Run(unit("pay", idempotent=False))
    asked = Resumed(gone, unit("pay", idempotent=False))
    assert asked.said(ConfirmRequested)

    again = Resumed(asked, unit("pay", idempotent=False))

    assert again.running == set()
    assert again.said(ConfirmRequested)[-1].question == "pay may have done its work: run it again?"


def test_what_was_approved_when_the_run_began_does_not_answer_it() -> None:
    gone = Run(unit("pay", idempotent=False), unit("other", confirm="Sure?"), approved=("*",))

    run = Resumed(gone, unit("pay", idempotent=False), unit("other", confirm="Sure?"))

    assert run.said(ConfirmRequested)[-1].question == "pay may have done its work: run it again?"
    assert run.running == {"other"}


def test_what_was_canceled_while_it_ran_asks_too_and_what_never_began_does_not() -> None:
    gone = Run(unit("pay", idempotent=False), unit("b"), unit("never", "b", idempotent=False), workers=2)
    gone.cancel("pay", "never")
    gone.stopped("pay")

    run = Resumed(gone)

    assert [run.plan.table[number].id for number in run.how.questions] == ["pay"]


def test_a_completed_unit_whose_result_has_to_be_made_again_asks_if_it_is_not_idempotent() -> None:
    gone = Run(unit("pay", idempotent=False), unit("use", "pay"))
    gone.succeed("pay")

    run = Resumed(gone, missing={"pay": "which was not stored: a lock"})

    assert [run.plan.table[number].id for number in run.how.questions] == ["pay"]


def test_what_is_added_again_and_may_have_done_its_work_asks_once_it_is_added() -> None:
    gone = Run(unit("root"))
    gone.plan = gone.scheduler.plan
    gone.returns("root", Outcome(added=(unit("pay", idempotent=False), unit("after", "pay"))))
    gone.succeed("pay")
    gone.fail("after")

    run = Resumed(gone, unit("root"))

    assert run.why["pay"] == "root runs again, and adds it anew"
    assert run.how.kept == 0
    assert [run.plan.table[number].id for number in run.how.questions] == ["pay"]
    run.returns("root", Outcome(added=(unit("pay", idempotent=False), unit("after", "pay"))))
    (asked,) = run.said(ConfirmRequested)
    assert (asked.unit, asked.question) == (run.number("pay"), "pay may have done its work: run it again?")
    assert run.running == set()


@pytest.mark.parametrize("named", ["pay", "root"])
def test_who_says_that_what_is_added_may_run_again_is_not_asked_and_only_for_this_time(named: str) -> None:
    gone = Run(unit("root"), unit("other"), workers=2)
    gone.plan = gone.scheduler.plan
    gone.returns("root", Outcome(added=(unit("pay", idempotent=False),)))

    run = Resumed(gone, unit("root"), unit("other"), again=(named,))
    run.returns("root", Outcome(added=(unit("pay", idempotent=False),)))

    assert run.running == {"pay", "other"}
    run.succeed("pay")
    run.retry("root")
    run.returns("root", Outcome(added=(unit("pay", idempotent=False),)))
    assert run.running == {"other"}, "nobody has said that it may run a third time"
    assert run.said(ConfirmRequested)


def test_a_unit_that_needs_more_than_before_is_stale_and_a_handler_runs_again() -> None:
    gone = Run(unit("m1"), unit("total", "m*"), unit("clean", "m*", when="always"), workers=1)
    gone.succeed("m1", "total", "clean")

    run = Resumed(gone, unit("m1"), unit("m2"), unit("total", "m*"), unit("clean", "m*", when="always"))

    assert run.view.stale == {run.plan.numbers["total"]: "what it needs changed"}
    assert run.why == {"m2": "is new in the workflow", "clean": "m2 runs again"}


def test_a_unit_whose_additions_clash_with_the_workflow_by_now_runs_again() -> None:
    gone = Run(unit("root"))
    gone.plan = gone.scheduler.plan
    gone.returns("root", Outcome(added=(unit("p1"), unit("sub", "p1"))))
    gone.succeed("p1")
    gone.fail("sub")

    run = Resumed(gone, unit("root"), unit("p1", "root"))

    assert run.why["root"] == "what it had added is not in the plan any more"
    assert run.running == {"root"}
