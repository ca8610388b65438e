"""Units that add units, in every lane: what they add runs, and what they cannot add is their own failure."""

from __future__ import annotations

import inspect
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cache_runs import CachedRuns, call
from engine_waiting import GENEROUS, Start
from process_units import error_of, process, run, value

from qtui.core.errors import InvalidWorkflow, UsageError
from qtui.core.events import UnitsAdded, Warned
from qtui.core.model import ExecutionMode, QuantumUnit, RetryPolicy, UnitState
from qtui.core.stimuli import RetryRequested
from qtui.engine.context import ExecutionContext
from qtui.engine.engine import Engine

LANES = ["thread", "sequential", "process", "async", "custom"]


def square(item: int) -> int:
    return item * item


def total(context: ExecutionContext) -> int:
    return sum(context["part"])


def split(context: ExecutionContext) -> str:
    mode = context.unit.mode
    context.map(square, range(context.params["parts"]), name="part", mode=mode)
    context.add_unit(total, ["part"], mode=mode)
    return "split"


async def split_in_a_coroutine(context: ExecutionContext) -> str:
    return split(context)


@pytest.fixture(params=LANES)
def adder(request: pytest.FixtureRequest) -> Callable[..., QuantumUnit]:
    """Makes a unit of each lane in turn."""
    lane = request.param

    def adder(function: Callable[..., Any], **keys: Any) -> QuantumUnit:
        if lane == "async":

            async def coroutine(context: ExecutionContext) -> Any:
                return function(context)

            return process("split", coroutine, mode=ExecutionMode.AUTO, **keys)
        return process("split", function, mode=ExecutionMode(lane), **keys)

    return adder


def grown(start: Start, *units: QuantumUnit, **options: Any) -> Engine:
    with ThreadPoolExecutor(4) as pool:
        return run(start, *units, executor=pool, **options)


def state(engine: Engine, id: str) -> UnitState:
    view = engine.view()
    return view.unit(view.plan.numbers[id]).state


def test_what_a_unit_adds_runs_in_every_lane(start: Start, adder: Callable[..., QuantumUnit]) -> None:
    engine = grown(start, adder(split), params={"parts": 4})
    assert value(engine, "total") == 0 + 1 + 4 + 9
    assert [unit.id for unit in engine.view().units] == ["split", "part[0]", "part[1]", "part[2]", "part[3]", "total"]


def test_what_an_attempt_adds_that_fails_is_forgotten_in_every_lane(
    start: Start, adder: Callable[..., QuantumUnit]
) -> None:
    def fail_once(context: ExecutionContext) -> None:
        context.add_unit(square, name=f"try{context.attempt}", args={"item": 3})
        if context.attempt == 1:
            raise ValueError("once")

    engine = grown(start, adder(fail_once, retry=RetryPolicy(max=1, delay=0.0)))
    assert [unit.id for unit in engine.view().units] == ["split", "try2"]


def test_a_name_that_is_taken_is_an_error_of_the_adding_unit_alone(
    start: Start, adder: Callable[..., QuantumUnit]
) -> None:
    def clash(context: ExecutionContext) -> None:
        context.add_unit(square, name="other", args={"item": 3})

    with ThreadPoolExecutor(1) as pool:
        engine = start(adder(clash), process("other", lambda: 1, mode=ExecutionMode.THREAD), executor=pool)
        assert engine.wait(GENEROUS) is not None
    error = error_of(engine, "split")
    assert error.type == "InvalidWorkflow"
    assert "units.other: this name is already taken" in error.message
    assert state(engine, "other") is UnitState.COMPLETED


def test_units_that_need_each_other_are_an_error_of_the_adding_unit_alone(
    start: Start, adder: Callable[..., QuantumUnit]
) -> None:
    def knot(context: ExecutionContext) -> None:
        context.add_unit(square, ["b"], "a", args={"item": 1})
        context.add_unit(square, ["a"], "b", args={"item": 1})

    with ThreadPoolExecutor(1) as pool:
        engine = start(adder(knot), executor=pool)
        assert engine.wait(GENEROUS) is not None
    assert "these units need each other: a, b" in error_of(engine, "split").message
    assert len(engine.view().plan) == 1


def test_what_cannot_be_right_by_itself_is_told_at_the_line_that_adds_it(
    start: Start, adder: Callable[..., QuantumUnit]
) -> None:
    def wrong(context: ExecutionContext) -> str:
        try:
            context.add_unit(square, name="a", args={"item": 1}, timeout="soon", colour="red")
        except InvalidWorkflow as invalid:
            return str(invalid)
        return ""

    line = inspect.getsourcelines(wrong)[1] + 2
    told = value(grown(start, adder(wrong)), "split")
    assert f"test_growing_plans.py:{line}: units.a.timeout: " in told
    assert "units.a.colour: " in told


def test_a_lambda_may_be_added_in_every_lane(start: Start, adder: Callable[..., QuantumUnit]) -> None:
    def add(context: ExecutionContext) -> None:
        factor = 7
        context.add_unit(lambda context: context["split"] or factor, name="lambda", mode=context.unit.mode)

    assert value(grown(start, adder(add)), "lambda") == 7


def test_a_command_may_be_added_and_has_the_environment_of_the_unit_that_adds_it(
    start: Start, adder: Callable[..., QuantumUnit]
) -> None:
    def add(context: ExecutionContext) -> None:
        context.add_command("say", run='echo "{\\"word\\": \\"$WORD\\"}" > $QTUI_RESULT')

    engine = grown(start, adder(add, env={"WORD": "hello"}))
    assert value(engine, "say") == {"word": "hello"}


def test_a_later_unit_may_read_what_its_need_has_added(start: Start, adder: Callable[..., QuantumUnit]) -> None:
    def read(context: ExecutionContext) -> dict[str, Any]:
        return context.added

    split_unit = adder(split)
    reader = process("read", read, ("split", "late"), mode=split_unit.mode)
    late = process("late", lambda context: None, ("*",), mode=ExecutionMode.THREAD)
    engine = grown(start, split_unit, late, reader, params={"parts": 3})
    assert value(engine, "read") == {"part[0]": 0, "part[1]": 1, "part[2]": 4, "total": 5}


def test_what_was_added_before_is_replaced_when_the_unit_runs_again(start: Start) -> None:
    def add(context: ExecutionContext) -> None:
        context.map(square, range(3 - context.attempt), name="part")

    engine = run(start, process("split", add, mode=ExecutionMode.THREAD))
    engine.post(RetryRequested((0,)))
    feed = engine.feed()
    added: list[UnitsAdded] = []
    while len(added) < 2:
        added += [record.event for record in feed.take(GENEROUS) if isinstance(record.event, UnitsAdded)]
    assert [[unit.id for unit in event.units] for event in added] == [["part[0]", "part[1]"], ["part[0]"]]
    assert engine.wait(GENEROUS) is not None
    assert state(engine, "part[1]") is UnitState.SKIPPED


def test_what_cannot_be_sent_is_told_of_the_unit_that_adds_it(start: Start) -> None:
    def add(context: ExecutionContext) -> None:
        import threading

        lock = threading.Lock()
        context.add_unit(lambda: lock, name="locked")

    engine = start(process("split", add))
    assert engine.wait(GENEROUS) is not None
    assert "what it adds cannot be sent to the run" in error_of(engine, "split").message


def test_ten_thousand_units_added_by_one_unit_run(start: Start) -> None:
    engine = run(start, process("split", split, mode=ExecutionMode.THREAD), params={"parts": 10_000})
    assert len(engine.view().plan) == 10_002
    assert value(engine, "total") == sum(n * n for n in range(10_000))


def test_a_thousand_units_added_by_a_process_run_in_processes(start: Start) -> None:
    engine = run(start, process("split", split), params={"parts": 1000}, workers=2)
    assert value(engine, "total") == sum(n * n for n in range(1000))


def test_of_a_unit_with_a_cache_that_adds_units_it_is_said_that_its_result_is_not_kept(tmp_path: Path) -> None:
    runs = CachedRuns(tmp_path)
    engine = runs.begin(call(lambda context: context.add_command("added", "true") and None))
    assert engine.wait(GENEROUS) is not None
    warned = [record.event.message for record in engine.feed().take(0) if isinstance(record.event, Warned)]
    runs.close()
    assert warned == ["the result of unit is not kept for the next run: it has added units"]


@pytest.mark.parametrize("lane", ["process", "custom"])
def test_a_result_of_an_added_unit_that_cannot_be_sent_fails_only_who_reads_it(start: Start, lane: str) -> None:
    def add(context: ExecutionContext) -> int:
        context.add_unit(threading.Lock, name="lock", mode="thread")
        context.add_unit(lambda: 5, name="five", mode="thread")
        return 1

    mode = ExecutionMode(lane)
    adder = process("adder", add, mode=ExecutionMode.THREAD)
    late = process("late", lambda context: None, ("*",), mode=ExecutionMode.THREAD)
    blind = process("blind", lambda context: context["adder"], ("adder", "late"), mode=mode)
    reader = process("reader", lambda context: context.added["five"], ("adder", "late"), mode=mode)
    with ProcessPoolExecutor(1) as pool:
        engine = start(adder, late, blind, reader, executor=pool)
        assert engine.wait(GENEROUS) is not None
    assert value(engine, "blind") == 1
    assert "the result of lock cannot be sent to a process: TypeError" in error_of(engine, "reader").message


SECRET = "hunter2-hunter2"


@pytest.mark.parametrize(
    "add",
    [
        lambda context: context.add_unit(int, name=f"tok-{SECRET}"),
        lambda context: context.map(str, ["item"], name=SECRET),
        lambda context: context.add_unit(int, name="tagged", tags=[f"x{SECRET}"]),
        lambda context: context.add_unit(int, name="locked", mutex=SECRET),
    ],
)
def test_a_name_that_tells_a_secret_is_a_failure_of_who_adds_it(start: Start, add: Callable[..., Any]) -> None:
    adder = process("adder", lambda context: add(context) and None, mode=ExecutionMode.THREAD)
    engine = start(adder, secrets=(SECRET,))
    assert engine.wait(GENEROUS) is not None
    message = error_of(engine, "adder").message
    assert "a name cannot have the value of a secret in it" in message
    assert SECRET not in message
    assert len(engine.view().plan) == 1


def test_texts_of_added_units_are_masked(start: Start, adder: Callable[..., QuantumUnit]) -> None:
    def add(context: ExecutionContext) -> None:
        context.add_unit(square, name="a", args={"item": 1}, description=f"says {SECRET}")

    engine = grown(start, adder(add), secrets=(SECRET,))
    assert engine.plan.table[1].description == "says ***"
    events = [record.event for record in engine.feed().take()]
    assert SECRET not in repr([event for event in events if isinstance(event, UnitsAdded)])


def test_a_context_that_is_kept_adds_no_more_units_when_its_attempt_has_ended(
    start: Start, adder: Callable[..., QuantumUnit]
) -> None:
    def keep(context: ExecutionContext) -> None:
        sys.kept = context  # type: ignore[attr-defined]  # where a unit of the same process finds it

    def use(context: ExecutionContext) -> str:
        with pytest.raises(UsageError) as raised:
            sys.kept.add_unit(square)  # type: ignore[attr-defined]
        return str(raised.value)

    lane = adder(keep).mode
    engine = grown(start, adder(keep), process("use", use, ("split",), mode=lane), workers=1)
    assert value(engine, "use") == "attempt 1 of split has ended, so it can add no more units"
