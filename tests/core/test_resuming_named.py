"""Named units run again, units come back, and what units had added is done again: after the process has gone."""

from __future__ import annotations

from random import Random

from core_driver import SUCCESS, Run, unit
from core_resumed import Resumed
from hypothesis import given
from test_ends_model import WRONG, chance, in_many_graphs, predict, random_graph

from qtui.core.events import ConfirmRequested, UnitReset
from qtui.core.model import Outcome
from qtui.core.resuming import Former
from qtui.core.stimuli import ApproveRequested

# -- what a person has named -------------------------------------------------------------------------------


def test_a_named_unit_runs_again_although_it_has_completed_and_nothing_else_that_has_does() -> None:
    gone = Run(unit("a"), unit("b", "a"), unit("c", "b"), workers=1)
    gone.succeed("a", "b", "c")

    run = Resumed(gone, named=("b",))

    assert run.why == {"b": "you have named it"}
    assert run.view.stale == {2: "b runs again"}
    assert [event.forced for event in run.said(UnitReset)] == [True], "no earlier result will do"
    run.succeed("b")
    assert run.end == ("completed", 0)


def test_with_its_dependents_all_that_is_built_on_it_runs_again() -> None:
    gone = Run(unit("a"), unit("b", "a"), unit("c", "b"), unit("d"), workers=1)
    gone.succeed("a", "b", "c", "d")

    run = Resumed(gone, named=("b", "c"))

    assert run.why == {"b": "you have named it", "c": "b runs again"}


def test_a_named_unit_runs_with_what_it_needs_and_what_was_skipped_for_it_follows() -> None:
    gone = Run(unit("a"), unit("b", "a"), unit("c", "b"), unit("other"), unit("below", "other"), workers=2)
    gone.fail("a")
    gone.fail("other")

    run = Resumed(gone, named=("b",))

    assert run.why == {"a": "failed last time", "b": "was skipped", "c": "was skipped"}
    run.succeed("a", "b", "c")
    assert run.end == ("failed", 1), "what failed elsewhere has still failed"
    assert run.how.left == {"failed": 1, "skipped": 1}


def test_what_has_not_run_and_has_nothing_to_do_with_it_is_left_for_a_later_resume() -> None:
    gone = Run(unit("a"), unit("b", "a"), unit("c"), unit("d", "c"), unit("both", "b", "d"), workers=2)

    run = Resumed(gone, named=("a",))

    assert run.why == {"a": "was interrupted", "b": "has not run yet"}
    run.succeed("a", "b")
    assert run.states() == {**dict.fromkeys("ab", "completed"), **dict.fromkeys(("c", "d", "both"), "canceled")}
    assert run.how.left == {"interrupted": 1, "not run": 2}
    assert run.end == ("canceled", 130), "a run of which work was left out has not completed"

    assert Resumed(run, named=("a",)).how.left == {"interrupted": 1, "not run": 2}, "as it was before"
    later = Resumed(run, only_failed=True)

    assert later.why == dict.fromkeys(("c", "d", "both"), "was left out of a resume")
    later.succeed("c", "d", "both")
    assert later.end == ("completed", 0)


def test_what_was_cut_and_is_left_out_still_asks_later_if_it_is_not_idempotent() -> None:
    gone = Run(unit("pay", idempotent=False), unit("a"), workers=2)

    run = Resumed(gone, named=("a",))
    run.succeed("a")

    assert run.state("pay") == "canceled"
    later = Resumed(run)
    assert later.said(ConfirmRequested)[-1].question == "pay may have done its work: run it again?"


def test_naming_a_unit_is_no_answer_to_its_question() -> None:
    gone = Run(unit("pay", idempotent=False))
    gone.succeed("pay")

    assert Resumed(gone, named=("pay",)).running == set()
    assert Resumed(gone, named=("pay",), again=("pay",)).running == {"pay"}


def test_of_the_named_ones_only_those_that_failed_run_if_that_is_wanted() -> None:
    gone = Run(unit("a"), unit("b"), unit("c"), unit("d"), workers=4)
    gone.succeed("a")
    gone.fail("b")
    gone.fail("d")
    gone.cancel("c")
    gone.stopped("c")

    run = Resumed(gone, named=("a", "b", "c"), only_failed=True)

    assert run.why == {"b": "failed last time"}


def test_handlers_below_a_named_unit_run_and_a_named_handler_of_everything_runs_alone() -> None:
    gone = Run(unit("a"), unit("b"), unit("clean", "*", when="always"), workers=2)
    gone.succeed("a")

    assert Resumed(gone, named=("a",)).why == {"a": "you have named it", "clean": "has not run yet"}
    alone = Resumed(gone, named=("clean",))
    assert alone.why == {"clean": "has not run yet"}
    alone.succeed("clean")
    assert alone.states() == {"a": "completed", "b": "canceled", "clean": "completed"}


def test_what_a_unit_had_added_runs_again_by_running_that() -> None:
    gone = Run(unit("root"), unit("other"))
    gone.plan = gone.scheduler.plan
    gone.returns("root", Outcome(added=(unit("x"), unit("y", "x"))))
    gone.succeed("x", "y", "other")

    run = Resumed(gone, named=("x",))

    assert run.why["root"] == "you have named it"
    assert run.running == {"root"}


def test_what_a_named_unit_needs_is_done_although_what_it_has_added_had_added_the_rest() -> None:
    gone = Run(unit("root"), unit("below", "root"), workers=1)
    gone.returns("root", Outcome(added=(unit("x", priority=1),)))
    gone.plan = gone.view.plan
    gone.returns("x", Outcome(added=(unit("y", priority=1),)))
    gone.plan = gone.view.plan
    assert gone.running == {"y"}

    run = Resumed(gone, named=("below",))

    assert run.why["root"] == "what it adds has not all completed"
    assert run.running == {"root"}


def test_what_a_named_unit_that_was_added_needs_runs_first() -> None:
    gone = Run(unit("root"), unit("a"), workers=2)
    gone.returns("root", Outcome(added=(unit("x", "a"),)))
    gone.plan = gone.view.plan
    gone.fail("a")
    assert gone.state("x") == "skipped"

    assert Resumed(gone, named=("x",)).running == {"root", "a"}


def test_of_a_named_unit_that_stays_nothing_runs_that_only_others_had_wanted_of_it() -> None:
    gone = Run(unit("a", allow_failure=True), unit("b", "a"), unit("c", "b"), workers=1)
    gone.fail("a")
    gone.succeed("b")
    gone.fail("c")
    missing = {"b": "which was not kept"}

    assert Resumed(gone, named=("b",), only_failed=True, missing=missing).why == {}
    assert set(Resumed(gone, named=("c",), only_failed=True, missing=missing).why) == {"a", "b", "c"}


def test_what_is_stale_of_what_a_named_unit_needs_runs_again_if_that_is_wanted() -> None:
    gone = Run(unit("a"), unit("b", "a"), unit("c"), unit("d", "b", "c"), workers=1)
    gone.succeed("a", "b", "c", "d")

    run = Resumed(gone, named=("d",), changed={"a": "command changed"}, redo_stale=True)

    assert run.why == {"a": "command changed", "b": "a runs again", "d": "b runs again"}


@in_many_graphs
@given(chance)
def test_a_resume_of_named_units_loses_nothing(rng: Random) -> None:
    units, needs = random_graph(rng)
    bad_tries = {unit.id: rng.choice((0, 0, 0, 99)) for unit in units}
    expected = predict(units, needs, bad_tries)

    def go(run: Run, most: int = 1000) -> None:
        while run.view.finished is None and most:
            most -= 1
            if run.running:
                name = rng.choice(sorted(run.running))
                run.returns(name, WRONG if bad_tries[name] else SUCCESS)
            else:
                run.wait(1)

    run: Run = Run(*units, workers=rng.randint(1, 4))
    go(run, rng.randint(0, 8))
    for _ in range(rng.randint(1, 3)):
        completed = {view.id for view in run.view.units if view.state == "completed"}
        named = rng.sample([unit.id for unit in units], rng.randint(1, 2))
        handlers = {unit.id for unit in units if unit.is_handler}
        fallbacks = {unit.id for unit in units if unit.fallback is not None}
        run = chosen = Resumed(run, named=named, only_failed=bool(rng.randrange(2)))
        assert set(chosen.why) & completed <= set(named) | handlers | fallbacks, "nothing else that has completed runs"
        go(run, rng.choice((3, 1000)))
        assert set(chosen.started) <= set(chosen.why), "nothing runs that was not told of"
    run = Resumed(run)
    go(run)

    seen = {view.id: (str(view.state), view.finished is not None and view.finished.fallback) for view in run.view.units}
    assert seen == {name: (end.state, end.fallback) for name, end in expected.items()}


# -- what was out of the workflow for a while --------------------------------------------------------------


def test_a_unit_that_is_back_as_it_was_keeps_its_result_and_is_stale() -> None:
    gone = Run(unit("a"), unit("b", "a"), workers=1)
    gone.succeed("a", "b")
    end = gone.unit("a").finished
    without = Resumed(gone, unit("b"))
    assert without.how.gone == {"a": "completed"}

    run = Resumed(without, unit("a"), unit("b"), former={"a": Former(1, 1, end)})

    assert run.why == {}
    assert run.view.stale[run.plan.numbers["a"]] == "was out of the workflow for a while"
    assert (run.unit("a").attempt, run.unit("a").generation) == (1, 2)
    assert run.end == ("completed", 0)


def test_a_unit_that_is_back_and_has_changed_runs_again_and_its_attempts_count_on() -> None:
    gone = Run(unit("a"), unit("b"), workers=1)
    gone.succeed("a", "b")
    without = Resumed(gone, unit("b"))

    run = Resumed(
        without, unit("a", idempotent=False), unit("b"), former={"a": Former(1, 1, None, "it is another one by now")}
    )

    assert run.why == {"a": "it is another one by now"}
    assert run.said(ConfirmRequested)[-1].question == "a may have done its work: run it again?"
    run.send(ApproveRequested((0,)))
    run.succeed("a")
    assert (run.unit("a").attempt, run.unit("a").generation) == (2, 2)


# -- what units have added ---------------------------------------------------------------------------------


def added_and_completed() -> Run:
    run = Run(unit("root"), unit("use", "root"), workers=1)
    run.plan = run.scheduler.plan
    run.returns("root", Outcome(added=(unit("x"), unit("y", "x"))))
    return run


def test_a_result_of_what_a_unit_has_added_is_made_again_by_running_that() -> None:
    gone = Run(unit("root"), unit("all", "*"), workers=1)
    gone.plan = gone.scheduler.plan
    gone.returns("root", Outcome(added=(unit("x"),)))
    gone.succeed("x")
    assert gone.running == {"all"}

    run = Resumed(gone, missing={"x": "which was not stored: a lock"})

    assert run.why["root"] == "all needs the result of x, which it adds, which was not stored: a lock"
    assert run.running == {"root"}


def test_changed_work_that_a_unit_has_added_is_done_again_by_running_that() -> None:
    gone = added_and_completed()
    while gone.running:
        gone.succeed(*gone.running)

    kept = Resumed(gone, changed={"x": "its code changed"})
    assert kept.view.stale[kept.plan.numbers["x"]] == "its code changed"
    assert kept.why == {}

    run = Resumed(gone, changed={"x": "its code changed"}, redo_stale=True)
    assert run.why["root"] == "x, which it adds: its code changed"
    assert run.running == {"root"}
