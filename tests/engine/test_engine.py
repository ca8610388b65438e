"""The engine around the lanes: contexts, output, progress, feeds, the bus, and closing."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time

import pytest
from engine_waiting import GENEROUS, Start, until

from qtui.core.errors import NoResult, UsageError
from qtui.core.events import RunFinished, UnitProgress, Warned
from qtui.core.folding import fold
from qtui.core.model import Call, ExecutionMode, Fallback, QuantumUnit, RunState, Shell, UnitState
from qtui.core.state import RunView
from qtui.core.stimuli import PauseRequested, UnpauseRequested, WorkersRequested
from qtui.engine.bus import EventBus
from qtui.engine.output import routed_output


def call(id: str, function, dependencies=(), **keys) -> QuantumUnit:
    return QuantumUnit(id=id, action=Call.of(function), dependencies=dependencies, **keys)


def finish(engine) -> RunFinished:
    end = engine.wait(GENEROUS)
    assert end is not None
    return end


def test_a_unit_sees_its_needs_then_the_params_and_nothing_else(start: Start) -> None:
    def look(context):
        with pytest.raises(NoResult, match='does not need "other"'):
            context["other"]
        assert context.get_dependency_result("other") is None
        assert dict(context.unit_results) == {"need": 1}
        assert context.states == {"need": UnitState.COMPLETED}
        assert set(context) == {"need", "day"}
        return context["need"], context["day"], context["params"], context.params["day"]

    engine = start(call("need", lambda: 1), call("other", lambda: 2), call("look", look, ["need"]), params={"day": "x"})

    assert finish(engine).state is RunState.COMPLETED, engine.view().unit(2).error
    assert engine.results[2] == (1, "x", {"day": "x"}, "x")


def test_dependents_of_a_failed_unit_get_its_fallback(start: Start) -> None:
    engine = start(
        call("bad", lambda: 1 / 0, fallback=Fallback({"top": []})),
        call("below", lambda context: context["bad"], ["bad"]),
    )

    assert finish(engine).state is RunState.COMPLETED
    assert engine.results[1] == {"top": []}
    end = engine.view().unit(0).finished
    assert end.fallback
    assert end.error.type == "ZeroDivisionError"


def test_what_units_print_goes_to_their_logs_from_threads_and_tasks_side_by_side(start: Start, capsys) -> None:
    def printing(context):
        print(f"I am {context.unit.id}")
        print("to stderr", file=sys.stderr)
        logging.getLogger("units").warning("logged by %s", context.unit.id)

    async def printing_too(context):
        print("before")
        await asyncio.sleep(0.01)
        print(f"after, still {context.unit.id}")

    with routed_output():
        handler = logging.StreamHandler()
        logging.getLogger("units").addHandler(handler)
        try:
            engine = start(
                *(call(f"t{i}", printing) for i in range(8)), *(call(f"a{i}", printing_too) for i in range(8))
            )
            assert finish(engine).state is RunState.COMPLETED
            print("outside")
        finally:
            logging.getLogger("units").removeHandler(handler)

    for number in range(8):
        assert engine.logs.read(number, 1, 0, 999)[0].decode() == f"I am t{number}\nto stderr\nlogged by t{number}\n"
        assert engine.logs.read(number + 8, 1, 0, 999)[0].decode() == f"before\nafter, still a{number}\n"
    assert capsys.readouterr() == ("outside\n", "")


def test_progress_and_metrics_reach_the_view(start: Start) -> None:
    def work(context):
        context.record_metric("rows", 12)
        for done in range(1000):
            context.progress(done + 1, 1000, "rows")

    engine = start(call("work", work))

    assert finish(engine).state is RunState.COMPLETED
    progress = [record.event for record in engine.feed().take(0) if isinstance(record.event, UnitProgress)]
    assert len(progress) == 1, "recorded at most once a second"
    assert (progress[0].total, progress[0].message) == (1000, "rows")
    assert engine.view().unit(0).finished.metrics == {"rows": 12}


def test_every_feed_has_the_whole_record_and_its_fold_is_the_view(start: Start) -> None:
    engine = start(*(call(f"u{i}", lambda: 1) for i in range(50)))
    early = engine.feed()
    finish(engine)
    late = engine.feed()

    records = []
    while len(records) < engine.view().seq:
        records += early.take(GENEROUS)
    assert records == late.take(0)
    assert [record.seq for record in records] == list(range(1, len(records) + 1))
    assert fold(RunView.initial(engine.opening.plan), [record.event for record in records]) == engine.view()
    assert not early.closed
    engine.close()
    assert early.closed


def test_subscribers_are_told_in_order_and_before_wait_returns(start: Start) -> None:
    bus = EventBus()
    heard: list[tuple[int, str, str | None]] = []
    bus.subscribe("*", lambda notice: heard.append((notice.seq, notice.name, notice.unit)))
    engine = start(call("a", lambda: 1), call("b", lambda: 1, ["a"]), bus=bus)

    finish(engine)

    assert [seq for seq, _, _ in heard] == list(range(1, len(heard) + 1))
    assert [unit for _, name, unit in heard if name == "unit_finished"] == ["a", "b"]
    assert heard[-1][1] == "run_finished"


def test_a_subscriber_that_raises_yields_a_warning_and_harms_nobody(start: Start) -> None:
    bus = EventBus()
    heard: list[str] = []

    def raising(_notice) -> None:
        raise RuntimeError("my own bug")

    bus.subscribe("unit_started", raising)
    undo = bus.subscribe("unit_started", lambda notice: heard.append(notice.unit))
    engine = start(call("a", lambda: 1), call("b", lambda context: context.sleep(0.1), ["a"]), bus=bus)

    assert finish(engine).state is RunState.COMPLETED
    assert heard == ["a", "b"]
    warnings = [record.event.message for record in engine.feed().take(0) if isinstance(record.event, Warned)]
    subscriber = "test_a_subscriber_that_raises_yields_a_warning_and_harms_nobody.<locals>.raising"
    assert f"the subscriber {subscriber} raised RuntimeError at unit_started: my own bug" in warnings
    undo()
    with pytest.raises(ValueError, match='did you mean "unit_started"'):
        bus.subscribe("unit_startd", raising)


def test_pause_holds_new_starts_and_workers_can_be_changed(start: Start) -> None:
    gate = threading.Event()
    engine = start(call("first", lambda: gate.wait(GENEROUS)), call("second", lambda: 1, ["first"]), workers=1)
    engine.post(PauseRequested())
    engine.post(WorkersRequested(3))
    until(lambda: engine.view().paused and engine.view().workers == 3, "paused, three workers")
    gate.set()
    until(lambda: engine.view().states[1] is UnitState.READY, "second is ready")
    assert engine.wait(0.05) is None

    engine.post(UnpauseRequested())
    assert finish(engine).state is RunState.COMPLETED


def test_closing_kills_what_runs(start: Start) -> None:
    engine = start(
        QuantumUnit(id="command", action=Shell(("sleep 200",))), call("thread", lambda context: context.sleep(200))
    )
    until(lambda: engine.view().counts[UnitState.RUNNING] == 2, "both run")

    engine.close()
    engine.close()  # twice is fine; the fixture sees that nothing is left


def test_a_bug_in_the_scheduler_ends_the_run_with_the_story(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    engine = start(call("u", lambda: gate.wait(GENEROUS)))
    until(lambda: engine.view().counts[UnitState.RUNNING] == 1, "it runs")
    monkeypatch.setitem(engine._scheduler._handlers, PauseRequested, lambda *_: 1 / 0)

    engine.post(PauseRequested())
    end = finish(engine)
    gate.set()

    assert (end.state, end.exit_code) == (RunState.INTERRUPTED, 3)
    warnings = [record.event.message for record in engine.feed().take(0) if isinstance(record.event, Warned)]
    assert "ZeroDivisionError" in warnings[0]


def test_a_mode_without_a_lane_is_refused_before_anything_runs(start: Start) -> None:
    with pytest.raises(UsageError, match="custom"):
        start(call("u", lambda: 1, mode=ExecutionMode.CUSTOM))


@pytest.mark.parametrize("commands_first", [True, False])
def test_what_closing_cuts_has_no_end_and_the_record_says_that_the_run_was_interrupted(
    start: Start, commands_first: bool
) -> None:
    command = QuantumUnit(id="command", action=Shell(("sleep 1000",)))
    process = call("process", lambda: time.sleep(1000), mode=ExecutionMode.PROCESS)
    units = (command, process) if commands_first else (process, command)
    engine = start(*units, call("waits", lambda: 1, ["command"]), workers=4)
    until(lambda: engine.view().counts[UnitState.RUNNING] == 2, "both run")

    engine.close()

    view = engine.view()
    assert view.state is RunState.INTERRUPTED
    assert set(view.states) == {UnitState.PENDING}
    assert isinstance(engine.feed().take(0)[-1].event, RunFinished)
