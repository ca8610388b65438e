"""Coroutine units: who blocks the loop is named and does not take the others along, and tasks end with their unit."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from typing import Any

import pytest
from engine_waiting import GENEROUS, Start, until

from qtui.core.events import LateResult, UnitFinished, UnitRetrying, Warned
from qtui.core.model import LOST_LOOP, Call, QuantumUnit, RunState, UnitState
from qtui.core.stimuli import CancelRequested
from qtui.engine.engine import Engine


def unit(id: str, function: Any, needs: tuple[str, ...] = (), **keys: Any) -> QuantumUnit:
    return QuantumUnit(id=id, action=Call.of(function), dependencies=needs, **keys)


def events(engine: Engine, kind: type) -> list[Any]:
    return [record.event for record in engine.feed().take(0) if isinstance(record.event, kind)]


def end_of(engine: Engine, id: str) -> UnitFinished:
    number = engine.plan.numbers[id]
    until(lambda: engine.view().unit(number).finished, f"the end of {id}")
    end = engine.view().unit(number).finished
    assert end is not None
    return end


def running(engine: Engine, *ids: str) -> bool:
    return all(engine.view().unit(engine.plan.numbers[name]).state is UnitState.RUNNING for name in ids)


@pytest.fixture
def gate() -> Any:
    """Blocks whoever waits for it, until the test is over."""
    event = threading.Event()
    yield event
    event.set()


def test_the_unit_that_blocks_the_loop_is_named_with_its_place(start: Start, gate: threading.Event) -> None:
    async def blocks() -> None:
        await asyncio.sleep(0)
        gate.wait(GENEROUS)

    engine = start(unit("blocks", blocks), unit("waits", lambda: None))
    until(lambda: events(engine, Warned), "the warning came")
    gate.set()

    assert engine.wait(GENEROUS) is not None
    (warning,) = events(engine, Warned)
    assert warning.unit == 0
    assert warning.message.startswith("blocks the event loop for 1.")
    assert "test_coroutine_lane.py" in warning.message
    assert "in blocks()" in warning.message


def test_a_task_of_a_unit_that_blocks_the_loop_counts_as_the_unit(start: Start, gate: threading.Event) -> None:
    async def child() -> None:
        gate.wait(GENEROUS)

    async def parent() -> None:
        await asyncio.gather(child(), asyncio.sleep(0))

    engine = start(unit("parent", parent))
    until(lambda: events(engine, Warned), "the warning came")
    gate.set()

    assert engine.wait(GENEROUS) is not None
    assert [warning.unit for warning in events(engine, Warned)] == [0]


def test_the_others_on_a_loop_that_is_given_up_are_tried_again(start: Start, gate: threading.Event) -> None:
    calls = []

    async def innocent() -> int:
        calls.append(1)
        if len(calls) == 1:
            await asyncio.sleep(GENEROUS * 2)
        return len(calls)

    async def blocks() -> None:
        while not calls:
            await asyncio.sleep(0.01)
        gate.wait(GENEROUS)

    engine = start(unit("innocent", innocent), unit("blocks", blocks, timeout=0.2, grace=0.1))

    assert end_of(engine, "blocks").abandoned
    assert end_of(engine, "innocent").state is UnitState.COMPLETED
    assert engine.results[0] == 2
    (retry,) = events(engine, UnitRetrying)
    assert (retry.unit, retry.error.type) == (0, LOST_LOOP)
    assert retry.error.message == "its event loop was blocked by blocks and given up"
    assert engine.view().abandoned == 1

    gate.set()
    until(lambda: events(engine, LateResult), "the blocker has ended at last")
    assert engine.view().abandoned == 0


def test_a_coroutine_that_swallows_its_cancellation_is_abandoned_alone(start: Start) -> None:
    begun, over = threading.Event(), False

    async def stubborn() -> None:
        begun.set()
        while not over:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)

    async def other() -> None:
        while engine.view().unit(0).finished is None:
            await asyncio.sleep(0.01)

    engine = start(unit("stubborn", stubborn, grace=0.1), unit("other", other))
    until(lambda: begun.is_set() and running(engine, "stubborn", "other"), "both run")
    engine.post(CancelRequested((0,)))

    assert end_of(engine, "stubborn").abandoned
    assert end_of(engine, "other").state is UnitState.COMPLETED
    assert events(engine, UnitRetrying) == []
    over = True
    until(lambda: engine.view().abandoned == 0, "it has ended at last")


def test_a_kill_right_after_the_cancellation_lets_a_coroutine_end_by_itself(start: Start) -> None:
    async def sleeps() -> None:
        await asyncio.sleep(GENEROUS)

    engine = start(unit("sleeps", sleeps, grace=0.0))
    until(lambda: running(engine, "sleeps"), "it runs")
    engine.post(CancelRequested((0,)))

    end = end_of(engine, "sleeps")
    assert (end.state, end.abandoned) == (UnitState.CANCELED, False)


def test_tasks_that_a_unit_did_not_await_end_with_it(start: Start) -> None:
    ended = []

    async def child() -> None:
        try:
            await asyncio.sleep(GENEROUS)
        finally:
            ended.append(time.monotonic())

    async def parent() -> float:
        asyncio.get_running_loop().create_task(child())
        await asyncio.sleep(0.01)
        return time.monotonic()

    engine = start(unit("parent", parent))

    assert engine.wait(GENEROUS) is not None
    assert end_of(engine, "parent").state is UnitState.COMPLETED
    assert len(ended) == 1


def test_a_loop_that_a_unit_stops_or_exits_from_serves_the_next(start: Start) -> None:
    async def stops() -> None:
        asyncio.get_running_loop().stop()

    async def exits() -> None:
        raise SystemExit(3)

    async def works(context: Any) -> int:
        await asyncio.sleep(0.01)
        return 1

    engine = start(unit("stops", stops), unit("exits", exits), unit("works", works, ("stops",)))

    end = engine.wait(GENEROUS)
    assert end is not None and end.state is RunState.FAILED
    assert engine.results[2] == 1


def test_a_unit_that_is_canceled_before_its_first_step_ends(start: Start) -> None:
    async def block() -> None:
        blocks.set()
        go_on.wait(GENEROUS)

    async def listen() -> None:
        await asyncio.sleep(300)

    blocks, go_on = threading.Event(), threading.Event()
    engine = start(
        unit("block", block),
        unit("then", lambda: blocks.wait(GENEROUS)),
        unit("listen", listen, ("then",), grace=GENEROUS),
    )
    until(lambda: engine.view().unit(2).state is UnitState.RUNNING, "it has been started behind the one that blocks")
    engine.post(CancelRequested((2,)))
    until(lambda: engine.view().unit(2).state is UnitState.CANCELING, "it has been asked to stop")

    go_on.set()

    until(lambda: engine.view().unit(2).state is UnitState.CANCELED, "its end")
    assert not engine.view().left_behind
