"""What every lane promises, on real threads, loops and processes."""

from __future__ import annotations

import asyncio
import sys
import threading
import time

import pytest
from engine_waiting import GENEROUS, Start, until

from qtui.core.events import LateResult, UnitCanceling, UnitFinished
from qtui.core.model import Argv, Call, ExecutionMode, QuantumUnit, RetryPolicy, RunState, Shell, UnitState
from qtui.core.stimuli import CancelRequested, CancelRunRequested, InterruptRequested, RetryRequested
from qtui.engine.engine import Engine

THREAD, SEQUENTIAL, ASYNC = ExecutionMode.THREAD, ExecutionMode.SEQUENTIAL, ExecutionMode.ASYNC


def call(id: str, function, dependencies=(), **keys) -> QuantumUnit:
    return QuantumUnit(id=id, action=Call.of(function, keys.get("args", {})), dependencies=dependencies, **keys)


def shell(id: str, *texts: str, dependencies=(), **keys) -> QuantumUnit:
    return QuantumUnit(id=id, action=Shell(texts), dependencies=dependencies, **keys)


def log_of(engine: Engine, id: str, attempt: int = 1) -> str:
    return engine.logs.read(engine.plan.numbers[id], attempt, 0, 1 << 20)[0].decode()


def end_of(engine: Engine, id: str) -> UnitFinished:
    end = engine.view().unit(engine.plan.numbers[id]).finished
    assert end is not None
    return end


def state_of(engine: Engine, id: str) -> UnitState:
    return engine.view().unit(engine.plan.numbers[id]).state


def is_running(engine: Engine, id: str) -> bool:
    return state_of(engine, id) is UnitState.RUNNING


def finish(engine: Engine) -> RunState:
    end = engine.wait(GENEROUS)
    assert end is not None, f"the run never finished: {engine.view().counts}"
    return end.state


async def double_async(context):
    await asyncio.sleep(0)
    return context["one"] * 2


def double(context):
    return context["one"] * 2


@pytest.mark.parametrize(("mode", "function"), [(THREAD, double), (SEQUENTIAL, double), (ASYNC, double_async)])
def test_a_result_goes_to_the_dependents(start: Start, mode: ExecutionMode, function) -> None:
    engine = start(call("one", lambda: 21), call("two", function, ["one"], mode=mode))

    assert finish(engine) is RunState.COMPLETED
    assert engine.results == [21, 42]
    assert engine.plan.lanes[1] is mode


def test_a_commands_result_is_its_exit_code_and_standard_output_alone(start: Start) -> None:
    engine = start(shell("hello", "echo out; echo err >&2"), call("read", lambda context: context["hello"], ["hello"]))

    assert finish(engine) is RunState.COMPLETED
    assert engine.results[1] == {"exit_code": 0, "stdout": "out\n"}
    assert sorted(log_of(engine, "hello").split()) == ["err", "out"]


def test_a_family_is_a_list_in_matrix_order(start: Start) -> None:
    items = [
        QuantumUnit(id=f"n[i={i}]", family="n", matrix={"i": i}, action=Call.of(lambda context: context.matrix["i"]))
        for i in (3, 1, 2)
    ]
    engine = start(*items, call("all", lambda context: (context["n"], context["n[i=1]"]), ["n"]))

    assert finish(engine) is RunState.COMPLETED
    assert engine.results[3] == ([3, 1, 2], 1)


def raise_value_error():
    raise ValueError("boom")


async def raise_value_error_async():
    raise ValueError("boom")


@pytest.mark.parametrize(
    ("mode", "function"),
    [(THREAD, raise_value_error), (SEQUENTIAL, raise_value_error), (ASYNC, raise_value_error_async)],
)
def test_an_exception_fails_the_unit_with_the_users_part_of_the_traceback(start: Start, mode, function) -> None:
    engine = start(call("bad", function, mode=mode), call("below", lambda: 1, ["bad"]), call("beside", lambda: 1))

    assert finish(engine) is RunState.FAILED
    error = end_of(engine, "bad").error
    assert error is not None
    assert (error.type, error.message) == ("ValueError", "boom")
    assert "test_lanes.py" in error.traceback
    assert "qtui/engine" not in error.traceback
    assert end_of(engine, "below").cause == "because bad"
    assert state_of(engine, "beside") is UnitState.COMPLETED


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text for you")


@pytest.mark.parametrize(
    ("function", "type_name"),
    [
        (lambda: sys.exit(3), "SystemExit"),
        (lambda: (_ for _ in ()).throw(KeyboardInterrupt), "KeyboardInterrupt"),
        (lambda: (_ for _ in ()).throw(Unprintable), "Unprintable"),
        (lambda: (lambda f: f(f))(lambda f: f(f)), "RecursionError"),
    ],
)
def test_odd_exceptions_fail_only_their_unit(start: Start, function, type_name: str) -> None:
    engine = start(call("odd", function), call("fine", lambda: 1))

    assert finish(engine) is RunState.FAILED
    assert end_of(engine, "odd").error.type == type_name
    assert state_of(engine, "fine") is UnitState.COMPLETED


def test_a_failed_attempt_is_tried_again_with_a_log_of_its_own(start: Start) -> None:
    tries = []

    def flaky(context) -> int:
        tries.append(context.attempt)
        context.log(f"try {context.attempt}")
        if len(tries) < 3:
            raise OSError("not yet")
        return len(tries)

    engine = start(call("flaky", flaky, retry=RetryPolicy(max=3, delay=0.01)))

    assert finish(engine) is RunState.COMPLETED
    assert tries == [1, 2, 3]
    assert [log_of(engine, "flaky", attempt) for attempt in tries] == ["try 1\n", "try 2\n", "try 3\n"]


def wait_in_thread(context):
    context.sleep(GENEROUS * 10)


async def wait_in_loop():
    await asyncio.sleep(GENEROUS * 10)


SLEEPERS = [
    pytest.param(lambda **keys: call("slow", wait_in_thread, **keys), id="thread"),
    pytest.param(lambda **keys: call("slow", wait_in_thread, mode=SEQUENTIAL, **keys), id="sequential"),
    pytest.param(lambda **keys: call("slow", wait_in_loop, **keys), id="async"),
    pytest.param(lambda **keys: shell("slow", "sleep 200", **keys), id="command"),
    pytest.param(lambda **keys: shell("slow", "trap '' TERM; sleep 200 & wait; sleep 200", **keys), id="stubborn"),
]


@pytest.mark.parametrize("sleeper", SLEEPERS)
def test_cancel_ends_that_unit_only_and_skips_its_dependents(start: Start, sleeper) -> None:
    engine = start(sleeper(grace=0.2), call("below", lambda: 1, ["slow"]), shell("beside", "sleep 0.3; echo done"))
    until(lambda: is_running(engine, "slow"), "slow runs")

    engine.post(CancelRequested((0,)))

    assert finish(engine) is RunState.CANCELED
    assert state_of(engine, "slow") is UnitState.CANCELED
    assert not end_of(engine, "slow").abandoned
    assert state_of(engine, "below") is UnitState.SKIPPED
    assert state_of(engine, "beside") is UnitState.COMPLETED


@pytest.mark.parametrize("sleeper", SLEEPERS)
def test_a_unit_that_takes_too_long_times_out(start: Start, sleeper) -> None:
    engine = start(sleeper(timeout=0.1, grace=0.2))

    assert finish(engine) is RunState.FAILED
    assert state_of(engine, "slow") is UnitState.TIMEOUT
    assert end_of(engine, "slow").error.message == "timed out after 0.1 s"


@pytest.mark.parametrize("sleeper", SLEEPERS)
def test_a_signal_leaves_what_it_cuts_without_an_end(start: Start, sleeper) -> None:
    engine = start(sleeper(grace=0.2))
    until(lambda: is_running(engine, "slow"), "slow runs")

    engine.post(InterruptRequested(15))

    assert finish(engine) is RunState.INTERRUPTED
    assert engine.wait().exit_code == 143
    assert state_of(engine, "slow") is UnitState.PENDING


def test_a_canceled_unit_runs_again_when_it_is_retried(start: Start) -> None:
    slow = [True]
    engine = start(
        call("slow", lambda context: context.sleep(GENEROUS * 10) if slow[0] else 7),
        call("below", lambda context: context["slow"], ["slow"]),
    )
    until(lambda: is_running(engine, "slow"), "slow runs")
    engine.post(CancelRequested((0,)))
    assert finish(engine) is RunState.CANCELED

    slow[0] = False
    engine.post(RetryRequested((0,)))
    until(lambda: engine.view().state is RunState.COMPLETED, "the reopened run completed")

    assert engine.results == [7, 7]
    assert engine.view().unit(1).generation == 2


def test_a_thread_that_cannot_be_stopped_is_abandoned_and_replaced(start: Start) -> None:
    begun, release = threading.Event(), threading.Event()

    def wait():
        begun.set()
        release.wait(GENEROUS * 10)

    try:
        engine = start(call("stuck", wait, grace=0.05), call("next", lambda: 1), workers=1)
        assert begun.wait(GENEROUS)

        engine.post(CancelRequested((0,)))

        assert finish(engine) is RunState.CANCELED
        assert end_of(engine, "stuck").abandoned
        assert engine.view().abandoned == 1
        assert state_of(engine, "next") is UnitState.COMPLETED
        assert not release.is_set()
    finally:
        release.set()


def test_a_coroutine_that_blocks_its_loop_is_abandoned(start: Start) -> None:
    begun, release = threading.Event(), threading.Event()

    async def block():
        begun.set()
        release.wait(GENEROUS * 10)

    try:
        engine = start(call("stuck", block, grace=0.05))
        assert begun.wait(GENEROUS)  # one that is canceled before its first step is not stuck
        engine.post(CancelRequested((0,)))

        assert finish(engine) is RunState.CANCELED
        assert end_of(engine, "stuck").abandoned
    finally:
        release.set()


def test_the_result_of_an_abandoned_attempt_is_dropped(start: Start) -> None:
    begun, release, returned = threading.Event(), threading.Event(), threading.Event()

    def late():
        begun.set()
        release.wait(GENEROUS * 10)
        returned.set()
        return "late"

    engine = start(call("late", late, grace=0.05))
    assert begun.wait(GENEROUS)
    engine.post(CancelRequested((0,)))
    assert finish(engine) is RunState.CANCELED
    events = engine.view().seq
    release.set()
    assert returned.wait(GENEROUS)

    until(lambda: not any(t.name == "qtui-thread-1" for t in threading.enumerate()), "the thread ended")
    assert engine.results == [None]
    until(lambda: engine.view().seq > events, "it is told that the attempt has ended")
    assert [type(record.event) for record in engine.feed().take(0)[events:]] == [LateResult]


def test_a_second_cancel_does_not_wait_for_the_grace(start: Start) -> None:
    engine = start(shell("deaf", "trap '' TERM; echo ready; sleep 200", grace=GENEROUS * 10))
    until(lambda: "ready" in log_of(engine, "deaf"), "the command ignores TERM by now")

    engine.post(CancelRequested((0,)))
    until(lambda: state_of(engine, "deaf") is UnitState.CANCELING, "stopping")
    engine.post(CancelRequested((0,)))

    assert finish(engine) is RunState.CANCELED
    kills = [r.event.killing for r in engine.feed().take(0) if isinstance(r.event, UnitCanceling)]
    assert kills == [False, True]


def test_cancelling_the_run_stops_what_runs_and_starts_nothing_new(start: Start) -> None:
    engine = start(shell("a", "sleep 200"), call("b", wait_in_thread), call("c", lambda: 1, ["a"]))
    until(lambda: is_running(engine, "a") and is_running(engine, "b"), "both run")

    engine.post(CancelRunRequested("stop"))

    assert finish(engine) is RunState.CANCELED
    assert [str(state) for state in engine.view().states] == ["canceled"] * 3


@pytest.mark.parametrize(
    ("unit", "message", "code"),
    [
        (shell("bad", "exit 3"), "exit 3", 3),
        (shell("bad", "true", "exit 4", "touch never"), "exit 4 in command 2 of 3", 4),
        (shell("bad", "kill -SEGV $$"), "killed by signal 11 (SIGSEGV)", -11),
        (QuantumUnit(id="bad", action=Argv(("/no/such/program",))), "cannot start /no/such/program", 127),
        (QuantumUnit(id="bad", action=Argv(("true",)), cwd="/no/such/directory"), "/no/such/directory", 127),
        (QuantumUnit(id="bad", action=Argv(("/",))), "cannot start /: ", 126),
    ],
)
def test_a_failed_command_says_how(start: Start, unit: QuantumUnit, message: str, code: int) -> None:
    engine = start(unit)

    assert finish(engine) is RunState.FAILED
    error = end_of(engine, "bad").error
    assert message in error.message
    assert error.exit_code == code


def test_a_command_has_its_environment_and_an_empty_standard_input(start: Start, tmp_path) -> None:
    unit = shell(
        "env",
        'cat; echo "$OWN $QTUI_UNIT $QTUI_PARAM_DAY $QTUI_MATRIX_SHARD"; pwd',
        env={"OWN": "yes"},
        matrix={"shard": 3},
        cwd=str(tmp_path),
    )
    engine = start(unit, params={"day": "monday"})

    assert finish(engine) is RunState.COMPLETED
    assert engine.results[0]["stdout"].split("\n")[:2] == ["yes env monday 3", str(tmp_path)]


def test_a_command_that_leaves_a_child_with_its_pipe_does_not_hang(start: Start) -> None:
    engine = start(shell("parent", "sleep 200 & echo started"))

    assert finish(engine) is RunState.COMPLETED
    assert engine.results[0]["stdout"] == "started\n"


def test_a_lot_of_output_is_logged_whole_and_only_its_tail_becomes_the_result(start: Start) -> None:
    engine = start(shell("loud", "head -c 3000000 /dev/zero | tr '\\0' x; echo; echo last"))

    assert finish(engine) is RunState.COMPLETED
    assert engine.logs.read(0, 1, 0, 1)[1] == 3_000_006
    assert len(engine.results[0]["stdout"]) == 64 * 1024
    assert engine.results[0]["stdout"].endswith("\nlast\n")


def test_sequential_mode_runs_one_unit_at_a_time(start: Start) -> None:
    inside, most = [0], [0]

    def work():
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0.002)
        inside[0] -= 1

    engine = start(*(call(f"u{i}", work, mode=SEQUENTIAL) for i in range(20)), workers=8)

    assert finish(engine) is RunState.COMPLETED
    assert most == [1]


@pytest.mark.parametrize("mode", [THREAD, ASYNC])
def test_a_thousand_units_in_layers_all_complete(start: Start, mode: ExecutionMode) -> None:
    def plain(context):
        return sum(context.unit_results.values()) + 1

    async def coroutine(context):
        return sum(context.unit_results.values()) + 1

    function = plain if mode is THREAD else coroutine
    units = [
        call(f"u{i}", function, [f"u{j}" for j in ({i - 100, i - 99 - (i % 100 == 99)} if i >= 100 else ())])
        for i in range(1000)
    ]
    engine = start(*units, workers=8)

    assert finish(engine) is RunState.COMPLETED
    assert all(engine.results)


def test_exceptions_that_cannot_even_be_described_fail_only_their_unit(start: Start) -> None:
    class Nameless(type):
        @property
        def __name__(cls):
            raise KeyboardInterrupt

    class Exits(Exception, metaclass=Nameless):
        def __str__(self) -> str:
            sys.exit(3)

    def fail():
        raise Exits

    engine = start(call("odd", fail), call("fine", lambda: 1))

    assert finish(engine) is RunState.FAILED
    assert "cannot be shown" in end_of(engine, "odd").error.message
    assert state_of(engine, "fine") is UnitState.COMPLETED


async def exit_in_a_subtask():
    async def leave():
        sys.exit(3)

    await asyncio.create_task(leave())


async def stop_the_loop():
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0.01)


@pytest.mark.parametrize("function", [exit_in_a_subtask, stop_the_loop])
def test_a_unit_cannot_end_the_loop_of_the_others(start: Start, function) -> None:
    async def beside():
        await asyncio.sleep(0.1)
        return 1

    engine = start(call("odd", function), call("beside", beside), call("later", beside, ["beside"]))

    finish(engine)
    assert engine.results[1:] == [1, 1]


def test_a_log_directory_that_vanishes_costs_the_output_not_the_run(start: Start, tmp_path) -> None:
    engine = start(shell("talk", "while ! test -e gone; do sleep 0.01; done; echo hello", cwd=str(tmp_path)))
    until(lambda: is_running(engine, "talk"), "it runs")
    (tmp_path / "run0" / "logs").rmdir()
    (tmp_path / "gone").touch()

    assert finish(engine) is RunState.COMPLETED
    assert engine.results[0]["stdout"] == "hello\n"
