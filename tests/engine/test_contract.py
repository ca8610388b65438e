"""The contract of lanes: every lane answers the same odd payload in the same way, but for what its table says.

In-process lanes share memory with qtui; contained ones survive what ends a process; those that can kill need no help
from the unit. A command is a Python program here that does the same.
"""

from __future__ import annotations

import asyncio
import inspect
import multiprocessing
import os
import socket
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, zip_longest
from typing import Any

import psutil
import pytest
from contract_units import (
    LARGE,
    MB,
    SOAK,
    RaisesOnLoad,
    exit_with_three,
    facts,
    fail_the_first_time,
    hold_the_gil,
    interrupt,
    is_locked,
    kill_itself,
    leave_with_three,
    length,
    listen,
    listen_async,
    make_much,
    nest,
    nothing,
    raise_with_a_lock,
    raise_with_two_arguments,
    recurse,
    refuse_to_stop,
    segfault,
    sleep_long,
    swallow_once,
    tell,
)
from engine_waiting import GENEROUS, Start, until

from qtui.core.errors import BrokenResult
from qtui.core.events import UnitFinished, UnitProgress
from qtui.core.model import Argv, Call, ExecutionMode, QuantumUnit, RetryPolicy, UnitState
from qtui.core.stimuli import CancelRequested
from qtui.engine.engine import Engine
from qtui.engine.workers.clustersource import ClusterSource

CANCELS = 400 if SOAK else 100
"""Out of three times as many units."""


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What a lane can do; the only reason for its answers to differ."""

    calls: bool = True  # runs Python functions and hands over their values
    isolated: bool = False  # a unit shares no memory with qtui
    contained: bool = False  # a unit may end its process, and only its own
    can_ask: bool = True  # a running unit hears that it is to stop
    can_kill: bool = False  # stops a unit that does not listen
    remote: bool = False  # may be another machine, which is named where the fault may be its own


class Lane(StrEnum):
    """The rows: a mode, and for `custom` an executor."""

    THREAD = "thread"
    SEQUENTIAL = "sequential"
    ASYNC = "async"
    PROCESS = "process"
    COMMAND = "command"
    CUSTOM_THREADS = "custom threads"
    CUSTOM_PROCESSES = "custom processes"
    CLUSTER = "custom cluster"
    CLUSTER_COMMAND = "custom cluster, commands"

    @property
    def mode(self) -> ExecutionMode:
        return ExecutionMode(self.split()[0])


LANES = {
    Lane.THREAD: Capabilities(),
    Lane.SEQUENTIAL: Capabilities(),
    Lane.ASYNC: Capabilities(),
    Lane.PROCESS: Capabilities(isolated=True, contained=True, can_kill=True),
    Lane.COMMAND: Capabilities(calls=False, isolated=True, contained=True, can_kill=True),
    Lane.CUSTOM_THREADS: Capabilities(),
    Lane.CUSTOM_PROCESSES: Capabilities(isolated=True, can_ask=False),
    Lane.CLUSTER: Capabilities(isolated=True, contained=True, can_kill=True, remote=True),
    Lane.CLUSTER_COMMAND: Capabilities(calls=False, isolated=True, contained=True, can_kill=True, remote=True),
}
EXECUTORS = {
    Lane.CUSTOM_THREADS: lambda: ThreadPoolExecutor(4),
    Lane.CUSTOM_PROCESSES: lambda: ProcessPoolExecutor(2, multiprocessing.get_context("spawn")),
}
CALLING = [mode for mode, can in LANES.items() if can.calls]
CONTAINED_CALLING = [mode for mode, can in LANES.items() if can.calls and can.contained]
CONTAINED = [mode for mode, can in LANES.items() if can.contained]
ASKING = [mode for mode, can in LANES.items() if can.can_ask]
KILLING = [mode for mode, can in LANES.items() if can.can_kill]


def unit(mode: Lane, id: str, function: Callable[..., Any], needs: tuple[str, ...] = (), **keys: Any) -> QuantumUnit:
    """A unit that calls `function` in a lane, as a coroutine or as a program if that is what the lane runs."""
    if not LANES[mode].calls:
        body = textwrap.dedent(inspect.getsource(function))
        program = f"import os, signal, sys, threading, time\n{body}\n{function.__name__}()"
        action = Argv((sys.executable, "-c", program))
        return QuantumUnit(id=id, action=action, dependencies=needs, mode=mode.mode, **keys)
    if mode is Lane.ASYNC:
        called = function

        async def function(*args: Any, **kwargs: Any) -> Any:
            await asyncio.sleep(0)
            return called(*args, **kwargs)

        if inspect.signature(called).parameters:
            function.__signature__ = inspect.signature(called)  # type: ignore[attr-defined]
        else:
            function.__signature__ = inspect.Signature()  # type: ignore[attr-defined]
    return QuantumUnit(
        id=id, action=Call.of(function, keys.get("args", {})), dependencies=needs, mode=mode.mode, **keys
    )


@pytest.fixture
def start(start: Start, request: pytest.FixtureRequest) -> Start:
    """As in all tests of this directory, and with the executor that the lane of the test has."""
    lane = request.node.callspec.params.get("mode") if hasattr(request.node, "callspec") else None
    executor: Any = EXECUTORS.get(lane)
    if lane in (Lane.CLUSTER, Lane.CLUSTER_COMMAND):
        # only now, as no other row needs a cluster
        executor = ClusterSource(address=request.getfixturevalue("shared_cluster").address)
    return lambda *units, **options: start(*units, executor=executor, **options)


def machine(mode: Lane) -> str:
    """How messages name the machine of a lane."""
    return f" (on {socket.gethostname()})" if LANES[mode].remote else ""


def end_of(engine: Engine, id: str) -> UnitFinished:
    number = engine.plan.numbers[id]
    until(lambda: engine.view().unit(number).finished, f"the end of {id}")
    end = engine.view().unit(number).finished
    assert end is not None
    return end


def run_beside_innocents(start: Start, mode: Lane, *victims: QuantumUnit) -> Engine:
    """Run units, each among others of its lane: those complete, whatever the units do."""
    others = [unit(mode, f"innocent{number}", nothing) for number in range(6)]
    engine = start(*filter(None, chain.from_iterable(zip_longest(others, victims))), workers=2)
    assert engine.wait(GENEROUS * 2) is not None, engine.view().counts
    assert {end_of(engine, other.id).state for other in others} == {UnitState.COMPLETED}
    return engine


# -- values ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", CALLING)
def test_lambdas_and_closures_run_and_their_values_arrive(start: Start, mode: Lane) -> None:
    factor = 3
    closure = unit(mode, "closure", lambda: 7 * factor)
    dependent = unit(mode, "dependent", lambda context: context["closure"] * 2, ("closure",))

    engine = run_beside_innocents(start, mode, closure, dependent)

    assert engine.value_of(engine.plan.numbers["dependent"]) == 42


@pytest.mark.parametrize("mode", CALLING)
def test_an_argument_that_cannot_be_sent_is_an_error_of_its_unit_where_it_must_be_sent(
    start: Start, mode: Lane
) -> None:
    victim = unit(mode, "victim", is_locked, args={"lock": threading.Lock()})

    end = end_of(run_beside_innocents(start, mode, victim), "victim")

    if LANES[mode].isolated:
        assert end.error is not None
        assert end.error.type == "NotSendable"
        assert "the argument lock cannot be sent to a process: TypeError" in end.error.message
        assert 'mode = "thread"' in end.error.message
    else:
        assert end.state is UnitState.COMPLETED


@pytest.mark.parametrize("mode", CALLING)
def test_a_result_that_cannot_be_sent_is_an_error_of_its_unit_where_it_must_be_sent(start: Start, mode: Lane) -> None:
    engine = run_beside_innocents(start, mode, unit(mode, "victim", lambda: threading.Lock()))

    end = end_of(engine, "victim")
    if LANES[mode].isolated:
        assert end.error is not None
        assert "its result cannot be sent to other units: TypeError: cannot pickle" in end.error.message
    else:
        assert end.state is UnitState.COMPLETED


@pytest.mark.parametrize("mode", CALLING)
def test_a_result_that_raises_on_load_is_found_out_at_once(start: Start, mode: Lane) -> None:
    engine = run_beside_innocents(start, mode, unit(mode, "victim", RaisesOnLoad))

    end = end_of(engine, "victim")
    if LANES[mode].isolated:
        assert end.error is not None
        assert end.error.message.endswith("ValueError: not again with 0 bytes")
    else:
        assert end.state is UnitState.COMPLETED


@pytest.mark.parametrize("mode", CONTAINED_CALLING)
def test_a_large_result_that_raises_on_load_fails_the_dependent_and_names_its_maker(start: Start, mode: Lane) -> None:
    maker = unit(mode, "maker", lambda: RaisesOnLoad(2 * MB))
    there = unit(mode, "there", lambda context: context["maker"], ("maker",))
    here = unit(Lane.THREAD, "here", lambda context: context["maker"], ("maker",))

    engine = run_beside_innocents(start, mode, maker, there, here)

    assert end_of(engine, "maker").state is UnitState.COMPLETED
    for dependent, where in (("there", machine(mode)), ("here", "")):
        error = end_of(engine, dependent).error
        assert error is not None
        assert (error.type, error.message) == (
            "BrokenResult",
            f"the result of maker cannot be loaded: ValueError: not again with {2 * MB} bytes{where}",
        )
    with pytest.raises(BrokenResult, match="maker"):
        engine.value_of(engine.plan.numbers["maker"])


@pytest.mark.parametrize("mode", CALLING)
def test_a_result_of_hundreds_of_megabytes_reaches_its_dependent(start: Start, mode: Lane) -> None:
    before = psutil.Process().memory_info().rss
    dependent = unit(mode, "dependent", length, ("victim",))

    engine = run_beside_innocents(start, mode, unit(mode, "victim", make_much), dependent)

    assert engine.value_of(engine.plan.numbers["dependent"]) == LARGE
    if LANES[mode].isolated:
        assert psutil.Process().memory_info().rss - before < 64 * MB, "it did not pass through qtui"


# -- exceptions --------------------------------------------------------------------------------------------

RAISED = {
    "two-arguments": (raise_with_two_arguments, "TwoArguments", "this and that"),
    "a-lock": (raise_with_a_lock, "OSError", "holds a lock"),
    "sys.exit": (exit_with_three, "SystemExit", "3"),
    "ctrl-c": (interrupt, "KeyboardInterrupt", ""),
    "recursion": (recurse, "RecursionError", "maximum recursion depth exceeded"),
}


@pytest.mark.parametrize("mode", CALLING)
def test_whatever_is_raised_is_the_end_of_that_attempt_alone(start: Start, mode: Lane) -> None:
    engine = run_beside_innocents(start, mode, *(unit(mode, what, raising) for what, (raising, _, _) in RAISED.items()))

    for what, (function, kind, message) in RAISED.items():
        end = end_of(engine, what)
        assert end.state is UnitState.FAILED
        assert end.error is not None
        assert (end.error.type, end.error.message) == (kind, message)
        assert f"in {function.__name__}" in end.error.traceback
        assert "qtui/engine" not in end.error.traceback


@pytest.mark.parametrize("mode", CONTAINED_CALLING)
def test_a_result_nested_too_deep_to_pickle_is_an_error_of_its_unit(start: Start, mode: Lane) -> None:
    error = end_of(run_beside_innocents(start, mode, unit(mode, "victim", nest)), "victim").error

    assert error is not None
    assert "its result cannot be sent to other units: " in error.message
    assert "recursion" in error.message


# -- sudden ends -------------------------------------------------------------------------------------------

SUDDEN = {
    "exit": (leave_with_three, 3, "exit 3"),
    "segfault": (segfault, -11, "killed by signal 11 (SIGSEGV)"),
    "out-of-memory": (kill_itself, -9, "killed by signal 9 (SIGKILL, probably out of memory)"),
}


@pytest.mark.parametrize("mode", CONTAINED)
def test_a_process_that_is_gone_says_how_and_harms_nobody(start: Start, mode: Lane) -> None:
    victims = [unit(mode, what, leaving) for what, (leaving, _, _) in SUDDEN.items()]
    dependents = [unit(mode, f"after-{what}", nothing, (what,)) for what in SUDDEN]

    engine = run_beside_innocents(start, mode, *victims, *dependents)

    where = machine(mode) if LANES[mode].calls else ""  # how a command ends is its own doing
    for what, (_, code, text) in SUDDEN.items():
        end = end_of(engine, what)
        assert end.error is not None
        assert end.error.exit_code == code
        assert end.error.message.endswith(text + where)
        assert end_of(engine, f"after-{what}").state is UnitState.SKIPPED


@pytest.mark.parametrize("mode", CONTAINED_CALLING)
def test_a_unit_that_lost_its_worker_is_tried_again_in_another(start: Start, mode: Lane) -> None:
    again = unit(mode, "again", fail_the_first_time, retry=RetryPolicy(max=1, delay=0.0))

    engine = run_beside_innocents(start, mode, again)

    assert engine.value_of(engine.plan.numbers["again"]) == 2


# -- stopping ----------------------------------------------------------------------------------------------


def listening(mode: Lane, **keys: Any) -> QuantumUnit:
    if mode is Lane.ASYNC:
        return QuantumUnit(id="victim", action=Call.of(listen_async), **keys)
    if not LANES[mode].calls:
        return unit(mode, "victim", sleep_long, **keys)
    return unit(mode, "victim", listen, **keys)


@pytest.mark.parametrize("mode", ASKING)
def test_a_unit_that_listens_stops_when_it_is_canceled(start: Start, mode: Lane) -> None:
    engine = start(listening(mode, grace=GENEROUS))
    until(lambda: engine.view().unit(0).state is UnitState.RUNNING, "it runs")

    engine.post(CancelRequested((0,)))

    end = end_of(engine, "victim")
    assert end.state is UnitState.CANCELED
    assert not end.abandoned


@pytest.mark.parametrize("mode", ASKING)
def test_a_unit_that_listens_stops_at_its_timeout(start: Start, mode: Lane) -> None:
    engine = start(listening(mode, timeout=0.3, grace=GENEROUS))

    end = end_of(engine, "victim")

    assert end.state is UnitState.TIMEOUT
    assert end.error is not None and end.error.message == "timed out after 0.3 s"


@pytest.mark.parametrize("how", [refuse_to_stop, hold_the_gil])
@pytest.mark.parametrize("mode", KILLING)
def test_a_unit_that_does_not_listen_is_killed_after_its_grace(start: Start, mode: Lane, how: Any) -> None:
    engine = start(unit(mode, "victim", how, grace=0.2))
    until(lambda: engine.view().unit(0).state is UnitState.RUNNING, "it runs")

    engine.post(CancelRequested((0,)))

    end = end_of(engine, "victim")
    assert (end.state, end.abandoned) == (UnitState.CANCELED, False)


@pytest.mark.parametrize("mode", CONTAINED_CALLING)
def test_a_process_that_swallows_its_cancellation_is_not_used_again(start: Start, mode: Lane) -> None:
    pid = unit(mode, "pid", lambda: os.getpid(), ("victim",), timeout=GENEROUS)
    engine = start(unit(mode, "victim", swallow_once, timeout=0.3), pid, workers=1)

    assert engine.wait(GENEROUS) is not None
    assert end_of(engine, "victim").state is UnitState.TIMEOUT
    assert end_of(engine, "pid").state is UnitState.SKIPPED


@pytest.mark.parametrize("mode", CONTAINED_CALLING)
def test_cancels_against_units_of_3_milliseconds_hit_no_innocent(start: Start, mode: Lane) -> None:
    """The race that a pool loses that looks up its worker, and kills it when it already runs the next unit."""
    cancels = CANCELS // 4 if LANES[mode].remote else CANCELS  # a stop is several messages there
    count = 3 * cancels
    units = [unit(mode, f"u{number}", lambda: time.sleep(0.003)) for number in range(count)]
    engine = start(*units, workers=2, grace=0.0)
    canceled: set[int] = set()
    for number in range(0, count, 3):
        # aim at a unit that is just about to end
        until(lambda number=number: engine.state_of(number) not in (UnitState.PENDING, UnitState.READY), "its turn")
        engine.post(CancelRequested((number,)))
        canceled.add(number)

    assert engine.wait(GENEROUS * 5) is not None
    assert len(canceled) == cancels
    innocents = {engine.state_of(number) for number in range(count) if number not in canceled}
    assert innocents == {UnitState.COMPLETED}
    assert {engine.state_of(number) for number in canceled} <= {UnitState.COMPLETED, UnitState.CANCELED}


# -- telling -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", CALLING)
def test_what_a_unit_tells_arrives(start: Start, mode: Lane) -> None:
    from qtui.engine.output import routed_output

    with routed_output():
        engine = start(unit(mode, "talks", tell))
        assert engine.wait(GENEROUS) is not None

    lines = engine.logs.read(0, 1, 0, MB).data.decode().split("\n")
    assert sorted(lines) == ["", "logged", "printed", "to stderr"]
    assert end_of(engine, "talks").metrics == {"rows": 3}
    progress = [record.event for record in engine.feed().take(0) if isinstance(record.event, UnitProgress)]
    assert [(event.done, event.total, event.message) for event in progress] == [(1, 4, "a quarter")]


@pytest.mark.parametrize("mode", CALLING)
def test_the_context_is_the_same_in_every_lane(start: Start, mode: Lane) -> None:
    need = unit(Lane.THREAD, "need", lambda: {"rows": [1, 2]})
    keys = {"tags": frozenset({"t"}), "matrix": {"i": 3}, "env": {"OWN": "yes"}, "metadata": {"m": 1}}
    engine = start(need, unit(mode, "facts[i=3]", facts, ("need",), **keys), params={"day": "monday"})

    assert engine.wait(GENEROUS) is not None
    assert end_of(engine, "facts[i=3]").error is None
    assert engine.value_of(1) == {
        "id": "facts[i=3]",
        "tags": frozenset({"t"}),
        "matrix": {"i": 3},
        "params": {"day": "monday"},
        "attempt": 1,
        "need": {"rows": [1, 2]},
        "states": {"need": "completed"},
        "keys": ["day", "need"],
        "unit": "facts[i=3]",
        "own": "yes",
        "metadata": {"m": 1},
    }
