"""Units that run again and add units once more, what needs everything meanwhile, and runs that would stand still."""

from __future__ import annotations

import pytest
from core_driver import SUCCESS, Run, unit

from qtui.core.events import RunResumed, UnitReset, UnitsAdded, Warned
from qtui.core.folding import fold
from qtui.core.growth import grow, replaced, robbed
from qtui.core.model import ExecutionMode, QuantumUnit, RetryPolicy
from qtui.core.scheduler import Scheduler
from qtui.core.stimuli import PauseRequested, ResumeRequested, StartUnit, UnpauseRequested, WorkersRequested


def add(run: Run, adder: str, *units: QuantumUnit) -> None:
    """Let a unit complete with additions, as the lane that runs it would report them."""
    run.returns(adder, SUCCESS._replace(added=units))
    run.plan = run.view.plan


def error_of(run: Run, name: str) -> str:
    error = run.unit(name).error
    assert error is not None
    return error.message


def adder_of_an_adder(*more: QuantumUnit, **keys: object) -> Run:
    """A run in which `a` has added `v`, and `v` has added `u`, which is as `keys` say."""
    run = Run(unit("a"), *more)
    add(run, "a", unit("v"))
    add(run, "v", unit("u", **keys))
    return run


# -- what an adder has added waits for it, however far below ---------------------------------------------


def test_a_unit_that_is_to_be_tried_again_waits_for_all_that_may_drop_it() -> None:
    run = adder_of_an_adder(retry=RetryPolicy(max=3, delay=10.0))
    run.fail("u")
    run.retry("a")
    run.wait(20)
    assert run.states() == {"a": "running", "v": "completed", "u": "pending"}
    add(run, "a")
    assert run.states() == {"a": "completed", "v": "skipped", "u": "skipped"}
    assert run.end == ("completed", 0)


def test_a_unit_that_waits_for_a_worker_waits_for_all_that_may_drop_it() -> None:
    run = Run(unit("a"))
    add(run, "a", unit("v"))
    run.send(PauseRequested())
    add(run, "v", unit("u"))
    assert run.state("u") == "ready"
    run.retry("a")
    assert run.state("u") == "pending"
    run.send(UnpauseRequested())
    assert run.running == {"a"}


def test_what_was_held_back_goes_on_when_it_is_added_again() -> None:
    run = adder_of_an_adder(retry=RetryPolicy(max=3, delay=10.0))
    run.fail("u")
    run.retry("a")
    add(run, "a", unit("v"))
    assert run.running == {"v"}
    add(run, "v", unit("u"))
    assert run.running == {"u"}


def test_what_was_held_back_goes_on_when_the_adder_has_failed() -> None:
    run = adder_of_an_adder(retry=RetryPolicy(max=3, delay=10.0))
    run.fail("u")
    run.retry("a")
    run.fail("a")
    assert run.running == {"u"}


def test_a_handler_far_below_waits_for_all_that_may_drop_it() -> None:
    run = Run(unit("a"))
    add(run, "a", unit("v"))
    add(run, "v", unit("cleanup", when="always"))
    run.succeed("cleanup")
    run.retry("a")
    run.cancel("v")
    run.retry("cleanup")
    assert run.running == {"a"}
    add(run, "a")
    assert run.state("cleanup") == "skipped"


def test_a_handler_of_what_its_own_addition_drops_counts_that_once() -> None:
    run = adder_of_an_adder()
    run.succeed("u")
    run.retry("a")
    add(run, "a", unit("handler", "u", when="always"))
    run.succeed("handler")
    run.retry("a")
    run.fail("a")
    assert run.states() == {"a": "failed", "v": "skipped", "u": "skipped", "handler": "running"}


def test_a_person_runs_nothing_again_beside_a_unit_that_may_drop_it() -> None:
    run = adder_of_an_adder()
    run.succeed("u")
    run.retry("a")
    run.retry("u")
    assert run.running == {"a"}


def test_a_restored_run_goes_on_holding_back() -> None:
    run = adder_of_an_adder(retry=RetryPolicy(max=3, delay=10.0))
    run.fail("u")
    run.retry("a")
    run.scheduler = Scheduler.restore(run.options, run.view)
    run.send(WorkersRequested(5))
    assert run.running == {"a"}
    run.fail("a")
    assert run.running == {"u"}


# -- needs of units of several adders --------------------------------------------------------------------


def test_units_of_two_adders_cannot_come_to_need_each_other() -> None:
    run = Run(unit("a"), unit("b"))
    add(run, "a", unit("u"))
    add(run, "b", unit("w", "u"))
    run.succeed("u", "w")
    run.retry("a", scope="dependents")
    add(run, "a", unit("u", "w"))
    assert run.end == ("failed", 1)
    assert "these units need each other: u, w" in error_of(run, "a")


def test_what_needs_everything_gives_way_to_what_comes_to_need_it() -> None:
    run = Run(unit("a"), unit("b"), unit("all", "*"))
    add(run, "a", unit("u"))
    add(run, "b", unit("w", "u"))
    run.succeed("u", "w", "all")
    run.retry("a")
    add(run, "a", unit("u", "all"))
    assert set(run.plan.needs[run.number("all")]) == {run.number("a"), run.number("b")}
    run.succeed("u")
    assert run.end == ("completed", 0)


def test_a_glob_that_matches_the_unit_itself_means_the_others() -> None:
    run = Run(unit("split"), unit("part-1"))
    add(run, "split", unit("part-2"), unit("part-sum", "part-*"))
    assert run.plan.declared[run.number("part-sum")][1].units == (run.number("part-1"), run.number("part-2"))


def test_a_glob_and_a_family_find_nothing_that_was_dropped() -> None:
    run = Run(unit("a"), unit("b"))
    add(run, "a", *(unit(f"p[{n}]", family="p") for n in range(2)))
    run.succeed("p[0]", "p[1]")
    run.retry("a")
    add(run, "a", unit("p[0]", family="p"))
    add(run, "b", unit("x", "p*"), unit("y", "p"))
    for name in ("x", "y"):
        assert run.plan.declared[run.number(name)][1].units == (run.number("p[0]"),)


def test_what_is_dropped_in_the_same_decision_is_in_no_family() -> None:
    run = Run(unit("a"))
    add(run, "a", *(unit(f"p[{n}]", family="p") for n in range(2)))
    run.succeed("p[0]", "p[1]")
    run.retry("a")
    add(run, "a", unit("merge", "p"))
    assert run.plan.declared[run.number("merge")][1].units == ()
    assert run.running == {"merge"}


# -- what needs everything -------------------------------------------------------------------------------


def test_a_unit_that_needs_everything_and_is_ready_waits_for_what_another_adds() -> None:
    run = Run(unit("x"), unit("all", "*"), unit("every", "*"), workers=1)
    run.succeed("x")
    assert run.running == {"all"}
    assert run.state("every") == "ready"
    add(run, "all", unit("u"))
    assert run.running == {"u"}
    run.succeed("u")
    assert run.running == {"every"}


def test_a_unit_that_needs_everything_and_runs_does_not_come_to_need_more() -> None:
    run = Run(unit("x"), unit("all", "*"), unit("every", "*"), workers=2)
    run.succeed("x")
    assert run.running == {"all", "every"}
    add(run, "all", unit("u"))
    assert run.plan.needs[run.number("every")] == (run.number("x"),)
    (event,) = run.said(UnitsAdded)
    assert event.begun == (run.number("every"),)


def test_a_unit_that_needs_everything_runs_once_what_it_waited_for_is_dropped() -> None:
    run = Run(unit("x"), unit("all", "*"), unit("every", "*", when="always"))
    run.succeed("x", "every")
    add(run, "all", unit("u"))
    run.succeed("u")
    run.retry("u", "all")
    assert run.state("every") == "pending"
    add(run, "all")
    assert run.running == {"every"}


# -- many ------------------------------------------------------------------------------------------------


def test_who_had_added_what_is_a_unit_of_the_workflow_now_is_told() -> None:
    run = Run(unit("a"), unit("b"), unit("c"))
    old = run.scheduler.plan.thawed()
    for adder, name in (("a", "x"), ("b", "y")):
        grow(old, old.numbers[adder], [unit(name)])

    new = replaced(old, [unit("c"), unit("b"), unit("a"), unit("x")], old.mode)

    assert [new.table[number].id for number in robbed(old, new)] == ["a"]
    assert robbed(old, replaced(old, [unit("b"), unit("a")], old.mode)) == []


def test_a_long_chain_of_adders_is_dropped_at_once() -> None:
    run = Run(unit("s0"))
    for number in range(1500):
        add(run, f"s{number}", unit(f"s{number + 1}"))
    run.succeed("s1500")
    run.retry("s0")
    add(run, "s0")
    assert run.finished.counts == {"completed": 1, "skipped": 1500}
    assert run.unit("s7").cause == "s6 no longer adds it"


def test_of_many_faults_the_first_are_told_and_the_others_counted() -> None:
    run = Run(unit("split"))
    run.returns("split", SUCCESS._replace(added=tuple(unit(f"x{n}", f"nobody{n}") for n in range(2000))))
    message = error_of(run, "split")
    assert message.count("which is not a unit") == 20
    assert message.endswith("and 1980 more of its units have faults")


# -- workers that are shared -----------------------------------------------------------------------------


def batch(name: str, size: int, **keys: object) -> QuantumUnit:
    return unit(name, mode=ExecutionMode.PROCESS, batch=size, **keys)


@pytest.mark.parametrize("size", [2, 3, 5, 7, 48, 63, 64])
def test_a_worker_is_shared_by_as_many_as_a_batch_has_and_no_more(size: int) -> None:
    run = Run(*(batch(f"b{n}", size) for n in range(size)), unit("other"), workers=1)
    assert run.running == {f"b{n}" for n in range(size)}
    run.succeed(*(f"b{n}" for n in range(size - 1)))
    assert run.running == {f"b{size - 1}"}
    run.succeed(f"b{size - 1}")
    assert run.running == {"other"}


def test_what_is_left_of_a_shared_worker_is_for_those_that_share_it() -> None:
    run = Run(batch("b0", 3), unit("other"), workers=1)
    assert run.running == {"b0"}


# -- runs that would stand still -------------------------------------------------------------------------

HOLDING = {"pools": {"p": 1}, "group_pools": {"g": {"p": 1}}}


def item(name: str, *needs: str) -> QuantumUnit:
    return unit(f"{name}[x]", *needs, family=name, group="g", item="[x]")


def test_what_items_hold_while_they_wait_for_all_units_is_not_wanted_by_what_is_added() -> None:
    run = Run(item("first"), item("last", "all"), unit("all", "*"), unit("split"), **HOLDING)
    run.returns("split", SUCCESS._replace(added=(unit("u", pools={"p": 1}),)))
    expected = 'wants "p", which items of [groups.g] hold while they wait for all, which needs all units'
    assert expected in error_of(run, "split")


def test_what_items_hold_may_be_wanted_by_what_is_added_if_they_begin_after_it() -> None:
    run = Run(item("first", "all"), unit("all", "*"), unit("split"), **HOLDING)
    add(run, "split", unit("u", pools={"p": 1}))
    run.succeed("u", "all", "first[x]")
    assert run.end == ("completed", 0)


def test_a_run_that_would_stand_still_gives_up_what_can_never_start() -> None:
    # no workflow may say this: an item waits, while it holds a pool, for what wants the pool
    wanting = unit("x", "first", pools={"p": 1})
    run = Run(item("first"), item("last", "first", "x"), wanting, unit("cleanup", "x", when="always"), **HOLDING)
    run.succeed("first[x]")
    why = "can never start: what it wants of pool p is never given back"
    assert [event.message for event in run.said(Warned)] == [why]
    assert run.unit("x").cause == why
    assert run.unit("last[x]").cause == "because x"
    assert run.running == {"cleanup"}
    run.succeed("cleanup")
    assert run.end == ("failed", 1)


def test_a_run_that_waits_for_a_person_is_left_alone() -> None:
    run = Run(unit("a", confirm="Really?"), unit("b", "a"))
    run.send(PauseRequested())
    run.send(UnpauseRequested())
    assert not run.said(Warned)
    assert run.states() == {"a": "ready", "b": "pending"}


def test_a_run_that_has_not_been_resumed_yet_is_left_alone() -> None:
    run = Run(unit("a"), unit("b", "a"))
    events = [RunResumed(1.0, "resumed", 2), UnitReset(0, 2, "was interrupted", 1.0)]
    run.scheduler = Scheduler.restore(run.options, fold(run.view, events))
    assert not run.scheduler.handle(WorkersRequested(3), 2.0).effects
    started = run.scheduler.handle(ResumeRequested(), 2.0).effects
    assert [effect.unit for effect in started if isinstance(effect, StartUnit)] == [0]
