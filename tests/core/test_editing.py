"""What people change about units while a run goes on, and units that it is to do without."""

from __future__ import annotations

import pytest
from core_driver import Run, milestone, unit, warnings

from qtui.core.editing import NO_CALL
from qtui.core.events import UnitFinished, UnitRedefined, WorkersChanged
from qtui.core.model import Argv, Call, ExecutionMode, Fallback, FromUnit, RunState, Shell, UnitState
from qtui.core.stimuli import EditRequested, RunRequested, SetAsideRequested


def states(run: Run) -> dict[str, str]:
    return {each.id: str(state) for each, state in zip(run.view.plan.table, run.view.states, strict=True)}


def test_what_waits_is_another_unit_at_once() -> None:
    run = Run(unit("a"), unit("b", "a"))
    run.ask(EditRequested((1,), timeout=5.0, env=("K=v=w",)))
    assert run.view.plan.table[1].timeout == 5.0
    assert run.view.plan.table[1].env == {"K": "v=w"}
    assert states(run)["b"] == "pending"


def test_a_timeout_that_no_clock_can_count_is_refused() -> None:
    run = Run(unit("a"), unit("b", "a"))
    said = run.ask(EditRequested((1,), timeout=1e300))
    assert warnings(said) == ["not edited: its timeout is longer than qtui can count"]
    assert run.view.plan.table[1].timeout is None


def test_a_higher_priority_goes_first_from_now_on() -> None:
    run = Run(unit("first"), unit("a"), unit("b"), workers=1)
    run.ask(EditRequested((2,), priority=1))
    run.succeed("first")
    assert states(run) == {"first": "completed", "a": "ready", "b": "running"}


def test_what_has_ended_runs_again_as_what_it_is_now() -> None:
    command = unit("a", action=Shell(("false",)), mode=ExecutionMode.AUTO)
    run = Run(command)
    run.fail("a")
    assert run.view.state is RunState.FAILED
    run.ask(EditRequested((0,), command="true"))
    assert run.view.plan.table[0].action == Shell(("true",))
    assert run.view.state is RunState.RUNNING
    assert run.view.attempts[0] == 2


def test_an_argument_list_becomes_shell_text() -> None:
    run = Run(unit("wait"), unit("a", "wait", action=Argv(("make", "it")), mode=ExecutionMode.AUTO))
    run.ask(EditRequested((1,), command="make it better"))
    assert run.view.plan.table[1].action == Shell(("make it better",))


def test_what_runs_is_left_as_it_is_and_that_is_told() -> None:
    run = Run(unit("a"))
    said = run.ask(EditRequested((0,), timeout=5.0))
    assert warnings(said) == ["not edited: it runs; cancel it first, or wait for its end"]
    assert run.view.plan.table[0].timeout is None


@pytest.mark.parametrize(
    ("wish", "why"),
    [
        (EditRequested((1,), command="true"), "it is no command"),
        (EditRequested((1,), env=("=x",)), "a name in its environment"),
        (EditRequested((1,), env=("1A=x",)), "begins with a digit"),
        (EditRequested((1,), env=("A B=x",)), "has a space"),
        (EditRequested((1,), env=("A\x1b=x",)), "a name in its environment"),
        (EditRequested((1,), env=("A=\0",)), "has a NUL"),
        (EditRequested((1,), args=("a-b=x",)), "no name of an argument"),
        (EditRequested((1,), args=("nowhere=3",)), "its function cannot be called so"),
        (EditRequested((1,), cpus=64.0), "cpus"),
    ],
)
def test_what_cannot_be_is_told_and_nothing_changes(wish: EditRequested, why: str) -> None:
    run = Run(unit("a"), unit("b", "a"), cpus=2.0)
    before = run.view.plan.table[1]
    said = run.ask(wish)
    assert len(warnings(said)) == 1 and why in warnings(said)[0]
    assert run.view.plan.table[1] is before


def test_an_edit_that_changes_nothing_does_nothing() -> None:
    run = Run(unit("a", env={"K": "v"}, timeout=5.0), unit("b", "a"))
    assert run.ask(EditRequested((1,))) == []
    run.succeed("a")
    assert run.ask(EditRequested((0,), env=("K=v",), timeout=5.0)) == [], "it does not run again for that"


def add(left: int, right: object = None) -> None:
    """What is called with arguments."""


def test_arguments_are_json_or_else_text_and_must_fit_the_function() -> None:
    call = unit("b", "a", action=Call.of(add, {"left": 1}), args={"left": 1})
    run = Run(unit("a"), call)
    run.ask(EditRequested((1,), args=("left=2", 'right=[1, {"deep": null}]')))
    assert run.view.plan.table[1].args == {"left": 2, "right": [1, {"deep": None}]}
    run.ask(EditRequested((1,), args=("right=as it is=x",)))
    assert run.view.plan.table[1].args["right"] == "as it is=x"
    run.ask(EditRequested((1,), args=("right=" + "[" * 3_000,)))
    assert run.view.plan.table[1].args["right"] == "[" * 3_000


def test_an_argument_that_is_a_result_stays_one_and_commands_have_none() -> None:
    given = unit("b", "a", action=Call.of(add, {"left": 1}), args={"left": FromUnit("a")})
    run = Run(unit("a"), given, unit("c", "a", action=Shell(("true",)), mode=ExecutionMode.AUTO))
    assert warnings(run.ask(EditRequested((1,), args=("left=2",)))) == [
        "not edited: its argument left is the result of another unit"
    ]
    assert warnings(run.ask(EditRequested((2,), args=("left=2",)))) == [f"not edited: {NO_CALL}"]


def test_a_unit_that_is_skipped_by_a_person_takes_what_needs_it_along() -> None:
    run = Run(unit("other"), unit("a", "other"), unit("b", "a"))
    run.ask(SetAsideRequested((1,), "skip", "skipped by me"))
    assert states(run) == {"other": "running", "a": "skipped", "b": "skipped"}
    assert run.view.unit(1).cause == "skipped by me"
    run.succeed("other")
    assert run.view.state is RunState.COMPLETED


def test_a_unit_that_is_taken_for_done_has_its_fallback_for_a_value() -> None:
    run = Run(unit("other"), unit("a", "other", fallback=Fallback(7)), unit("b", "a"))
    said = run.ask(SetAsideRequested((1,), "done"))
    (end,) = [event for event in said if isinstance(event, UnitFinished)]
    assert (end.state, end.fallback, end.attempt) == (UnitState.COMPLETED, True, 0)
    assert states(run)["b"] == "running"


def test_a_failure_that_is_taken_for_done_lets_what_was_skipped_run() -> None:
    run = Run(unit("a"), unit("b", "a"), milestone("end", "b"))
    run.fail("a")
    assert states(run) == {"a": "failed", "b": "skipped", "end": "skipped"}
    run.ask(SetAsideRequested((0,), "done"))
    assert run.view.state is RunState.RUNNING
    run.succeed("b")
    assert run.view.state is RunState.COMPLETED


def test_nothing_that_runs_or_has_completed_is_set_aside() -> None:
    run = Run(unit("a"), unit("b"))
    run.succeed("a")
    for how in ("skip", "done"):
        said = run.ask(SetAsideRequested((0, 1), "skip" if how == "skip" else "done"))
        assert warnings(said) == ["not set aside: it runs; cancel it first"]
    assert states(run) == {"a": "completed", "b": "running"}


def test_the_definition_stands_in_the_record() -> None:
    run = Run(unit("a"), unit("b", "a"))
    said = run.ask(EditRequested((1,), memory=1 << 20, cause="edited by me"))
    (event,) = [event for event in said if isinstance(event, UnitRedefined)]
    assert (event.definition.memory, event.cause) == (1 << 20, "edited by me")


def test_with_how_many_workers_a_run_begins_is_told_when_it_does() -> None:
    run = Run(*(unit(name, mode=ExecutionMode.AUTO) for name in "ab"), begin=False, adaptive=True, workers=1)
    said = run.ask(EditRequested((0,), timeout=5.0))  # which a process can keep, and a thread cannot
    assert not [event for event in said if isinstance(event, WorkersChanged)]
    run.send(RunRequested())
    assert run.view.lane_workers == {"thread": 1, "process": 1}
