"""Units that a running unit adds: they join when it completes, and what it adds again takes their place."""

from __future__ import annotations

from typing import Any

import pytest
from core_driver import COMMAND, SUCCESS, Run, milestone, unit

from qtui.core.condition import Condition
from qtui.core.events import UnitFinished, UnitReset, UnitsAdded, Warned
from qtui.core.model import ExecutionMode, Outcome, QuantumUnit, RetryPolicy, UnitState
from qtui.core.plan import ExecutionPlan
from qtui.core.scheduler import Scheduler
from qtui.core.stimuli import CancelRunRequested, RetryRequested, StartUnit, UnitReturned, WorkersRequested
from qtui.core.why import Reasons


def adding(*units: QuantumUnit) -> Outcome:
    return SUCCESS._replace(added=units)


def state(run: Run, name: str) -> UnitState:
    return run.view.unit(run.view.plan.numbers[name]).state


def add(run: Run, adder: str, *units: QuantumUnit) -> None:
    """Let a unit complete with additions, as the lane that runs it would report them."""
    run.returns(adder, adding(*units))
    run.plan = run.view.plan


def test_what_is_added_joins_in_the_decision_that_completes_the_adding_unit() -> None:
    run = Run(unit("split"), unit("after", "split"))
    said = run.returns("split", adding(unit("part1"), unit("part2", "part1")))
    kinds = [type(event) for event in said]
    assert kinds.index(UnitsAdded) < kinds.index(UnitFinished)
    assert [u.id for u in run.view.plan.table] == ["split", "after", "part1", "part2"]
    assert state(run, "part1") is UnitState.RUNNING
    assert state(run, "part2") is UnitState.PENDING


def test_the_plan_that_a_run_began_with_is_left_as_it_was() -> None:
    run = Run(unit("split"))
    before = run.plan
    run.returns("split", adding(unit("part")))
    assert len(before) == 1
    assert len(run.view.plan) == 2


def test_a_run_ends_only_after_what_was_added() -> None:
    run = Run(unit("split"))
    add(run, "split", unit("part"))
    assert not run.view.state.ended
    run.succeed("part")
    assert run.view.state.ended
    assert run.view.finished is not None
    assert run.view.finished.counts == {"completed": 2}


def test_an_attempt_that_fails_adds_nothing() -> None:
    run = Run(unit("split", retry=RetryPolicy(max=1)))
    run.fail("split")
    assert len(run.view.plan) == 1


def test_what_is_added_sees_the_unit_that_added_it_and_what_it_names() -> None:
    run = Run(unit("split"), unit("other"))
    add(run, "split", unit("part", "other"))
    needs = [need.name for need in run.plan.declared[run.number("part")]]
    assert needs == ["split", "other"]
    assert state(run, "part") is UnitState.PENDING
    run.succeed("other")
    assert state(run, "part") is UnitState.RUNNING


def test_a_unit_that_needs_everything_waits_for_what_was_added() -> None:
    run = Run(unit("split"), unit("cleanup", "*", when="always"))
    add(run, "split", unit("part"))
    assert state(run, "cleanup") is UnitState.PENDING
    run.fail("part")
    assert state(run, "cleanup") is UnitState.RUNNING


def test_a_unit_that_needs_everything_does_not_wait_for_what_needs_it() -> None:
    run = Run(unit("split"), unit("all", "*"))
    add(run, "split", unit("part"), unit("last", "all"))
    assert set(run.plan.needs[run.number("all")]) == {run.number("split"), run.number("part")}
    run.succeed("part", "all", "last")
    assert run.view.state.ended


def test_no_other_unit_comes_to_need_what_was_added() -> None:
    run = Run(unit("split"), unit("part[0]", family="part"), unit("merge", "part"))
    add(run, "split", unit("part[1]", family="part"))
    assert run.plan.needs[run.number("merge")] == (run.number("part[0]"),)


def test_an_added_unit_may_need_a_family_that_is_added_with_it() -> None:
    run = Run(unit("split"))
    add(run, "split", *(unit(f"part[{n}]", family="part") for n in range(3)), unit("merge", "part"))
    run.succeed("part[0]", "part[1]")
    assert state(run, "merge") is UnitState.PENDING
    run.succeed("part[2]")
    assert state(run, "merge") is UnitState.RUNNING


def test_names_beside_an_included_unit_are_found() -> None:
    run = Run(unit("docs.split"), unit("docs.style"), unit("style"))
    add(run, "docs.split", unit("docs.page", "style"), unit("docs.print", "page"))
    assert [need.name for need in run.plan.declared[run.number("docs.page")]] == ["docs.split", "style"]
    assert run.plan.needs[run.number("docs.print")] == (run.number("docs.split"), run.number("docs.page"))


def test_added_units_may_add_units() -> None:
    run = Run(unit("a"))
    add(run, "a", unit("b"))
    add(run, "b", unit("c"))
    run.succeed("c")
    assert run.view.state.ended
    assert run.view.plan.added == {0: (1,), 1: (2,)}


@pytest.mark.parametrize(
    ("added", "fault"),
    [
        ((unit("other"),), "this name is already taken"),
        ((unit("x"), unit("x")), "this name is already taken"),
        ((unit("x", "nobody"),), 'needs "nobody", which is not a unit'),
        ((unit("x", "y"), unit("y", "x")), "these units need each other: x, y"),
        ((unit("x", "x"),), "these units need each other: x"),
        ((unit("x", "*"),), "cannot need everything"),
        ((unit("x", pools={"gpu": 1}),), 'there is no pool "gpu"'),
        ((unit("x", pools={"disk": 3}),), 'asks for 3 slots of "disk", which has 2'),
        ((unit("x", cpus=9.0),), "asks for 9 of the 4 cpus"),
        ((unit("x", mode=ExecutionMode.CUSTOM),), "needs a workflow with an executor"),
    ],
)
def test_what_cannot_be_added_is_an_error_of_the_adding_unit_alone(added: tuple[QuantumUnit, ...], fault: str) -> None:
    run = Run(unit("split"), unit("other"), pools={"disk": 2}, cpus=4.0)
    run.returns("split", adding(*added))
    assert state(run, "split") is UnitState.FAILED
    error = run.view.unit(0).error
    assert error is not None
    assert error.type == "InvalidWorkflow"
    assert fault in error.message
    assert state(run, "other") is UnitState.RUNNING
    assert len(run.view.plan) == 2


def test_what_needs_a_unit_that_has_failed_is_skipped_at_once() -> None:
    run = Run(unit("split"), unit("bad"))
    run.fail("bad")
    add(run, "split", unit("part", "bad"))
    assert state(run, "part") is UnitState.SKIPPED
    assert run.view.state.ended


def test_a_run_that_is_being_stopped_starts_nothing_that_is_added() -> None:
    run = Run(unit("split"), unit("slow"))
    run.send(CancelRunRequested("drain"))
    add(run, "split", unit("part"), unit("cleanup", "part", when="always"))
    assert state(run, "part") is UnitState.CANCELED
    assert state(run, "cleanup") is UnitState.RUNNING


def test_a_run_that_fails_fast_starts_nothing_that_is_added() -> None:
    run = Run(unit("split"), unit("bad"), keep_going=False)
    run.fail("bad")
    add(run, "split", unit("part"))
    assert state(run, "part") is UnitState.CANCELED
    assert run.view.unit(run.number("part")).cause == "fail-fast: bad failed"


def test_a_unit_that_runs_again_replaces_what_it_added() -> None:
    run = Run(unit("split"))
    add(run, "split", unit("a"), unit("b"))
    run.succeed("a", "b")
    run.send(RetryRequested((0,)))
    add(run, "split", unit("b", priority=5), unit("c"))
    assert state(run, "a") is UnitState.SKIPPED
    assert run.view.unit(run.number("a")).cause == "split no longer adds it"
    assert state(run, "b") is UnitState.RUNNING
    assert run.view.unit(run.number("b")).unit.priority == 5
    assert state(run, "c") is UnitState.RUNNING


def test_what_is_no_longer_added_keeps_nobody_waiting() -> None:
    run = Run(unit("split"), unit("cleanup", "*"))
    add(run, "split", unit("a"))
    run.fail("a")
    run.send(RetryRequested((0,)))
    add(run, "split")
    assert state(run, "a") is UnitState.SKIPPED
    assert state(run, "cleanup") is UnitState.RUNNING


def test_what_dropped_units_had_added_is_dropped_with_them() -> None:
    run = Run(unit("a"))
    add(run, "a", unit("b"))
    add(run, "b", unit("c"))
    run.succeed("c")
    run.send(RetryRequested((0,)))
    add(run, "a")
    assert [state(run, name) for name in "abc"] == [UnitState.COMPLETED, UnitState.SKIPPED, UnitState.SKIPPED]
    assert run.view.plan.dropped == {1, 2}


def test_what_was_dropped_may_be_added_once_more() -> None:
    run = Run(unit("a"))
    add(run, "a", unit("b"))
    run.succeed("b")
    run.send(RetryRequested((0,)))
    add(run, "a")
    run.send(RetryRequested((0,)))
    add(run, "a", unit("b"))
    assert state(run, "b") is UnitState.RUNNING
    assert not run.view.plan.dropped


def test_a_unit_is_not_run_again_while_what_it_added_runs() -> None:
    run = Run(unit("split"))
    add(run, "split", unit("part"))
    said = run.send(RetryRequested((0,)))
    assert said == [Warned(0, "not run again: it has added part, which still runs", 0.0)]


def test_what_was_dropped_is_not_run_again_by_hand() -> None:
    run = Run(unit("split"), unit("slow"))
    add(run, "split", unit("part"))
    run.succeed("part")
    run.send(RetryRequested((0,)))
    add(run, "split")
    said = run.send(RetryRequested((run.number("part"),)))
    assert said == [Warned(run.number("part"), "not run again: nothing adds it any more", 0.0)]


def test_waiting_additions_wait_for_a_unit_that_runs_again() -> None:
    run = Run(unit("split"), workers=1)
    add(run, "split", unit("a"), unit("b"))
    run.succeed("a")
    run.send(WorkersRequested(1))
    run.succeed("b")
    said = run.send(RetryRequested((0,), "dependents"))
    assert {event.unit for event in said if isinstance(event, UnitReset)} == {0, 1, 2}
    assert state(run, "a") is UnitState.PENDING


def test_added_units_keep_pools_and_priorities() -> None:
    run = Run(unit("split"), pools={"gpu": 1}, workers=4)
    add(run, "split", *(unit(f"p{n}", pools={"gpu": 1}, priority=n) for n in range(3)))
    assert [run.plan.table[number].id for number in run.held] == ["p2"]


def test_an_added_milestone_is_reached() -> None:
    run = Run(unit("split"))
    add(run, "split", unit("a"), milestone("done", "a"))
    run.succeed("a")
    assert run.view.state.ended


def test_a_lane_that_comes_with_added_units_gets_workers() -> None:
    run = Run(unit("split"), adaptive=True, workers=2)
    add(run, "split", *(unit(f"c{n}", action=COMMAND) for n in range(5)))
    assert run.view.lane_workers == {"thread": 2, "command": 2}
    assert len(run.held) == 2


def test_a_thousand_units_may_be_added_at_once() -> None:
    run = Run(unit("split"), unit("all", "*"), workers=1000)
    add(run, "split", *(unit(f"p{n}") for n in range(1000)))
    run.succeed(*(f"p{n}" for n in range(1000)), "all")
    assert run.view.state.ended


def test_a_grown_plan_is_as_if_it_had_been_built_whole() -> None:
    run = Run(unit("a"), unit("all", "*"))
    add(run, "a", unit("b"), unit("c", "b"))
    whole: dict[str, Any] = {"b": ("a",), "c": ("a", "b"), "all": ("a", "b", "c")}
    built = ExecutionPlan.build([unit("a"), *(unit(name, *needs) for name, needs in whole.items())])
    assert run.plan.dependencies == built.dependencies
    assert run.plan.dependents == built.dependents
    assert sorted(map(sorted, run.plan.levels)) == sorted(map(sorted, built.levels))


# -- mutexes -----------------------------------------------------------------------------------------------------


def test_a_mutex_that_nobody_has_declared_comes_with_the_unit_that_is_added() -> None:
    run = Run(unit("split"), workers=4)
    add(run, "split", unit("a", pools={"mutex one": 1}), unit("b", pools={"mutex one": 1}), unit("c"))
    assert run.running == {"a", "c"}
    run.succeed("a")
    assert run.running == {"b", "c"}


def test_a_restored_run_holds_a_mutex_that_came_with_a_unit() -> None:
    run = Run(unit("split"), workers=4)
    add(run, "split", unit("a", pools={"mutex one": 1}), unit("b", pools={"mutex one": 1}))
    restored = Scheduler.restore(run.options, run.view)
    number = run.number("a")
    _, effects = restored.handle(UnitReturned(number, run.view.unit(number).attempt, SUCCESS), run.now)
    assert [effect.unit for effect in effects if isinstance(effect, StartUnit)] == [run.number("b")]


def test_a_unit_that_waits_for_a_mutex_that_came_with_it_says_who_has_it() -> None:
    run = Run(unit("split"), workers=4)
    add(run, "split", unit("a", pools={"mutex one": 1}), unit("b", pools={"mutex one": 1}))
    reasons = Reasons(run.view.plan, run.options)
    reasons.update(run.view)
    assert reasons.words(run.number("b"), run.now) == "held by a (mutex one 1/1)"


# -- conditions --------------------------------------------------------------------------------------------------


def about(name: str) -> Condition:
    return Condition.parse(f'units.{name}.state == "completed"', {})


@pytest.mark.parametrize("name", ["split", "other", "last", "far"])
def test_a_condition_may_ask_about_what_is_above_the_unit_that_is_added(name: str) -> None:
    run = Run(unit("far"), unit("other", "far"), unit("split"))
    add(run, "split", unit("last"), unit("middle", "last", "other"), unit("asks", "middle", condition=about(name)))
    assert state(run, "asks") is UnitState.PENDING


@pytest.mark.parametrize(
    ("name", "told"), [("beside", "which it does not need"), ("nope", "which is not a unit"), ("asks", "not need")]
)
def test_a_condition_about_what_is_not_above_is_a_failure_of_who_adds_it(name: str, told: str) -> None:
    run = Run(unit("split"))
    add(run, "split", unit("beside"), unit("asks", condition=about(name)))
    assert state(run, "split") is UnitState.FAILED
    assert f'units.asks: asks about "{name}"' in run.unit("split").cause + str(run.unit("split").error)
    assert told in str(run.unit("split").error)
