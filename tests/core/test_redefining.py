"""Units that run again with another definition: what a person retries with what is on the disk."""

from __future__ import annotations

from dataclasses import replace

from core_driver import COMMAND, Run, milestone, unit, warnings

from qtui.core.events import Event, UnitRedefined, UnitReset, from_plain, to_plain
from qtui.core.model import ExecutionMode, Fallback, QuantumUnit, RetryPolicy, UnitState
from qtui.core.options import Brake
from qtui.core.stimuli import RedefineRequested, RetryRequested
from qtui.store.codec import decode_events, encode_events


def redefine(run: Run, *units: QuantumUnit, retry: str = "", scope: str = "unit") -> list[Event]:
    """Run a unit again, by default the first one, while these units are others; a restored twin decides the same."""
    number = run.number(retry or units[0].id)
    wish = RedefineRequested(units, RetryRequested((number,), "dependents" if scope == "dependents" else "unit"))
    return run.ask(wish)


def state(run: Run, name: str) -> UnitState:
    return run.view.unit(run.number(name)).state


def test_the_next_attempt_has_the_new_definition() -> None:
    run = Run(unit("a"), unit("b", "a"))
    run.fail("a")
    said = redefine(run, unit("a", action=COMMAND, mode=ExecutionMode.AUTO))
    kinds = [type(event) for event in said]
    assert kinds.index(UnitReset) < kinds.index(UnitRedefined)
    assert run.view.plan.table[0].action == COMMAND
    assert run.view.plan.lanes[0] is ExecutionMode.COMMAND
    assert run.held[0].lane is ExecutionMode.COMMAND
    assert state(run, "b") is UnitState.PENDING


def test_the_plan_of_earlier_views_is_left_as_it_was() -> None:
    run = Run(unit("a"))
    run.fail("a")
    before = run.view
    redefine(run, unit("a", timeout=5.0))
    assert before.plan.table[0].timeout is None
    assert run.view.plan.table[0].timeout == 5.0


def test_what_was_skipped_below_comes_along_with_its_new_definition() -> None:
    run = Run(unit("a"), unit("b", "a"))
    run.fail("a")
    redefine(run, unit("a"), unit("b", "a", priority=3))
    assert run.view.plan.table[1].priority == 3


def test_dependents_that_ran_have_theirs_when_they_run_again() -> None:
    run = Run(unit("a"), unit("b", "a"))
    run.succeed("a")
    run.succeed("b")
    redefine(run, unit("b", "a", timeout=7.0), retry="a")
    assert run.view.plan.table[1].timeout is None, "it did not run again"
    run.succeed("a")
    redefine(run, unit("b", "a", timeout=7.0), retry="a", scope="dependents")
    assert run.view.plan.table[1].timeout == 7.0


def test_a_unit_between_two_tries_begins_anew() -> None:
    run = Run(unit("a", retry=RetryPolicy(max=3, delay=60)))
    run.fail("a")
    redefine(run, unit("a"))
    assert state(run, "a") is UnitState.RUNNING
    assert run.view.unit(0).generation == 2
    run.fail("a")
    assert state(run, "a") is UnitState.FAILED, "the new definition has no retries"


def test_a_running_unit_keeps_its_definition() -> None:
    run = Run(unit("a"))
    said = redefine(run, unit("a", timeout=5.0))
    assert not any(isinstance(event, UnitRedefined) for event in said)
    assert run.view.plan.table[0].timeout is None


def test_what_would_change_the_graph_does_not_run() -> None:
    run = Run(unit("a"), unit("b"))
    run.succeed("a")
    run.fail("b")
    for other, why in (
        (unit("b", "a"), "what it needs has changed"),
        (unit("b", when="always"), "when it runs has changed"),
        (unit("b", family="c"), "its matrix has changed"),
        (unit("b", pools={"gpu": 1}), "there is no pool"),
    ):
        (message,) = warnings(redefine(run, other))
        assert message.startswith("not run again") and why in message and "qtui resume" in message
        assert state(run, "b") is UnitState.FAILED


def test_what_comes_along_and_cannot_change_runs_as_it_was() -> None:
    run = Run(unit("a"), unit("b", "a"))
    run.fail("a")
    (message,) = warnings(redefine(run, unit("a"), unit("b")))
    assert message.startswith("runs as it was")
    assert state(run, "b") is UnitState.PENDING


def test_a_run_that_has_ended_is_reopened_first() -> None:
    run = Run(unit("a"))
    run.fail("a")
    assert run.view.state.ended
    redefine(run, unit("a", allow_failure=True))
    assert not run.view.state.ended
    run.fail("a")
    assert run.view.finished is not None and run.view.finished.exit_code == 0


def test_a_brake_that_has_stopped_what_the_unit_is_now_lets_go() -> None:
    run = Run(unit("a", tags=frozenset("t")), unit("b"), workers=1, brakes={"tag:t": Brake(count=1, then="stop")})
    run.fail("a")
    run.fail("b")
    redefine(run, unit("b", tags=frozenset("t")))
    assert state(run, "b") is UnitState.RUNNING


def test_a_lane_that_was_not_there_has_a_target_in_an_adaptive_run() -> None:
    run = Run(unit("a"), unit("b"), adaptive=True)
    run.fail("a")
    redefine(run, unit("a", action=COMMAND, mode=ExecutionMode.AUTO))
    assert set(run.view.lane_workers) == {"thread", "command"}


def test_a_function_may_become_a_milestone() -> None:
    run = Run(unit("a"), unit("b", "a"))
    run.fail("a")
    redefine(run, milestone("a"))
    assert state(run, "a") is UnitState.COMPLETED
    assert state(run, "b") is UnitState.RUNNING


def test_items_of_a_group_keep_their_place_in_the_order() -> None:
    items = [unit(f"s{label}", group="g", item=label, family="s") for label in ("[1]", "[2]")]
    ends = [unit(f"e{label}", f"s{label}", group="g", item=label, family="e") for label in ("[1]", "[2]")]
    run = Run(*items, *ends, workers=1)
    run.fail("s[1]")
    run.fail("s[2]")
    redefine(run, replace(items[1], timeout=9.0))
    redefine(run, replace(items[0], priority=1))
    run.succeed("s[2]")
    assert run.running == {"s[1]"}, "its priority is more than that of an item that has begun"


def test_the_event_survives_the_record() -> None:
    definition = unit("a", action=COMMAND, mode=ExecutionMode.AUTO, timeout=3.0, fallback=Fallback(1))
    event = UnitRedefined(0, definition, "retried by you", 12.5)
    assert decode_events(encode_events([event])) == [event]


def test_others_see_what_they_need_of_it() -> None:
    run = Run(unit("a"))
    run.fail("a")
    (event,) = (each for each in redefine(run, unit("a", timeout=5.0)) if isinstance(each, UnitRedefined))
    plain = to_plain(event, run.view.plan)
    assert plain["event"] == "unit_redefined"
    assert plain["definition"] == {"id": "a", "family": "a", "needs": [], "mode": "thread"}
    again = from_plain(plain, {"a": 0}.__getitem__)
    assert isinstance(again, UnitRedefined) and again.definition.id == "a"
