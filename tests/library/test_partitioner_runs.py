"""Runs of a QuantumPartitioner: what units get, what the caller gets, and what is left behind."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from library_plans import MODES, failing, raises, sums
from library_waiting import GENEROUS, eventually

from qtui import (
    InvalidWorkflow,
    QuantumPartitioner,
    WorkflowFailed,
)

# -- the context -------------------------------------------------------------------------------------------------


def test_inputs_and_results_are_one_mapping():
    partitioner = QuantumPartitioner()
    partitioner.add_unit(lambda: 1, name="a")
    partitioner.add_unit(lambda context: (dict(context), context["params"]), ["a"], "b")
    inputs = {"x": [1, 2], "y": object}
    assert partitioner.execute(inputs)["b"] == ({"a": 1, **inputs}, inputs)


def test_a_unit_of_the_name_of_an_input_is_refused():
    partitioner = sums(QuantumPartitioner())
    with pytest.raises(InvalidWorkflow, match=r"units\.more: this is also the name of an input"):
        partitioner.execute({"number": 1, "more": 2})
    with pytest.raises(InvalidWorkflow, match='"params"'):
        partitioner.execute({"number": 1, "params": {}})


@pytest.mark.parametrize("context", [[1], "text", 5, {1: 2}])
def test_a_context_is_a_mapping_of_names(context: Any):
    with pytest.raises(TypeError, match="context"):
        sums(QuantumPartitioner()).execute(context)


def test_objects_of_any_kind_are_handed_to_threads_as_they_are():
    lock, big = threading.Lock(), "x" * 3_000_000
    partitioner = QuantumPartitioner()
    partitioner.add_unit(lambda context: (context["lock"], context["big"]), name="a")
    found = partitioner.execute({"lock": lock, "big": big})["a"]
    assert found[0] is lock and found[1] is big


def test_large_inputs_reach_processes():
    partitioner = QuantumPartitioner(default_execution_mode="process")
    partitioner.add_unit(lambda context: len(context["big"]), name="a")
    partitioner.add_unit(lambda context: "QTUI_PARAM_BIG" in os.environ, name="variable")
    assert partitioner.execute({"big": "x" * 3_000_000}) == {"a": 3_000_000, "variable": False}


# -- failures ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_a_failed_run_raises_with_what_there_is_and_why_there_is_no_more(mode: str):
    partitioner = failing(QuantumPartitioner())
    with pytest.raises(
        WorkflowFailed, match=r"1 completed, 1 failed, 1 skipped.*bad: ValueError: it went wrong"
    ) as raised:
        partitioner.execute(execution_mode=mode)
    assert raised.value.results == partitioner.get_partial_results() == {"good": "kept"}
    assert raised.value.errors == {"bad": "ValueError: it went wrong", "below": "because bad"}
    assert "raise ValueError(text)" in raised.value.__notes__[0]
    assert partitioner.completed_units == {"good"} and partitioner.failed_units == {"bad"}
    assert partitioner.get_failed_units() == [partitioner.units["bad"]]


def test_a_fallback_takes_the_place_of_a_result():
    partitioner = QuantumPartitioner()
    partitioner.add_unit(raises("no"), name="bad", metadata={"fallback_value": {"status": "error"}})
    partitioner.add_unit(raises("no"), name="none", fallback=None)
    partitioner.add_unit(lambda context: (context["bad"], context["none"]), ["bad", "none"], "below")
    results = partitioner.execute_with_recovery()
    assert results == {"bad": {"status": "error"}, "none": None, "below": ({"status": "error"}, None)}
    assert partitioner.get_failed_units() == []
    assert partitioner.last_execution_metrics["unit_times"]["bad"]["error"] == "ValueError: no"


def test_a_unit_is_tried_again_as_often_as_it_may():
    tries: list[int] = []

    def flaky() -> str:
        tries.append(len(tries))
        if len(tries) < 3:
            raise OSError("not yet")
        return "at last"

    partitioner = QuantumPartitioner()
    partitioner.add_unit(flaky, name="flaky", retries={"max": 2, "delay": 0})
    assert partitioner.execute() == {"flaky": "at last"} and len(tries) == 3
    trace = [entry["event"] for entry in partitioner.last_execution_metrics["execution_trace"]]
    assert trace == ["start", "retry", "start", "retry", "start", "complete"]


def test_a_thread_that_takes_too_long_is_asked_and_then_left_behind():
    done = threading.Event()
    partitioner = QuantumPartitioner(grace=0)
    partitioner.add_unit(lambda: done.wait(GENEROUS), name="slow", timeout=0.05)
    partitioner.add_unit(int, name="other")
    with pytest.raises(WorkflowFailed, match=r"slow: .*0\.05") as raised:
        partitioner.execute()
    done.set()
    assert raised.value.results == {"other": 0}
    assert [unit.id for unit in partitioner.get_failed_units()] == ["slow"]


def test_a_process_that_takes_too_long_is_killed():
    partitioner = QuantumPartitioner(default_execution_mode="process", grace=0)
    partitioner.add_unit(lambda: time.sleep(600), name="slow", timeout=0.2)
    with pytest.raises(WorkflowFailed, match="slow"):
        partitioner.execute()
    assert not psutil.Process().children(recursive=True)


def test_a_result_that_does_not_travel_is_a_failure():
    partitioner = QuantumPartitioner(default_execution_mode="process")
    partitioner.add_unit(threading.Lock, name="lock")
    partitioner.add_unit(lambda: 1, name="good")
    with pytest.raises(WorkflowFailed, match="lock") as raised:
        partitioner.execute()
    assert raised.value.results == {"good": 1}


def only_in(pid: int) -> Any:
    if os.getpid() != pid:
        raise OSError("its connection is gone")
    return Homebound()


class Homebound:
    """Can be loaded in the process that made it only."""

    def __reduce__(self) -> Any:
        return only_in, (os.getpid(),)


def test_a_result_that_cannot_be_loaded_is_a_failure():
    told: list[Any] = []
    partitioner = QuantumPartitioner(default_execution_mode="process")
    partitioner.add_unit(Homebound, name="broken")
    partitioner.add_unit(lambda: 1, name="good")
    partitioner.on_unit_error = lambda unit, error: told.append((unit, error.type))
    with pytest.raises(WorkflowFailed, match="result of broken cannot be loaded") as raised:
        partitioner.execute()
    assert raised.value.results == {"good": 1} and list(raised.value.errors) == ["broken"]
    assert told == [("broken", "BrokenResult")]


def test_the_whole_run_may_take_only_so_long():
    partitioner = QuantumPartitioner(timeout=0.1, grace=0)
    partitioner.add_unit(lambda context: context.sleep(600), name="slow")
    with pytest.raises(WorkflowFailed, match=r"timed out|longer|timeout"):
        partitioner.execute()


def test_nothing_new_starts_after_a_failure_without_keep_going():
    ran: list[str] = []
    partitioner = QuantumPartitioner(max_workers=1, keep_going=False)
    partitioner.add_unit(raises("no"), name="bad", priority=1)
    partitioner.add_unit(lambda: ran.append("late"), name="late")
    with pytest.raises(WorkflowFailed):
        partitioner.execute()
    assert ran == []


# -- again, at once, elsewhere -----------------------------------------------------------------------------------


def test_a_partitioner_executes_again_and_again():
    partitioner = sums(QuantumPartitioner())
    assert [partitioner.execute({"number": number})["sum"] for number in range(20)] == [
        11 * number + 1 for number in range(20)
    ]


def test_a_partitioner_executes_from_several_threads_at_once():
    partitioner = QuantumPartitioner()
    both = threading.Barrier(2)
    partitioner.add_unit(lambda context: both.wait(GENEROUS), name="meet")
    partitioner.add_unit(lambda context: context["number"] * 2, ["meet"], "double")
    told: list[tuple[str, int]] = []
    partitioner.on_unit_complete = lambda unit, result: told.append((unit, result))
    with ThreadPoolExecutor(2) as callers:
        runs = [callers.submit(partitioner.execute, {"number": number}) for number in (1, 2)]
        assert [run.result(GENEROUS)["double"] for run in runs] == [2, 4]
    assert sorted(result for unit, result in told if unit == "double") == [2, 4]


def test_it_works_in_the_thread_of_a_running_event_loop():
    async def main() -> list[Any]:
        partitioner = sums(QuantumPartitioner())
        here = partitioner.execute({"number": 1})
        aside = await asyncio.to_thread(partitioner.execute, {"number": 2}, "async")
        return [here["sum"], aside["sum"]]

    assert asyncio.run(main()) == [12, 23]


def test_a_unit_may_execute_a_partitioner_of_its_own():
    outer = QuantumPartitioner()
    outer.add_unit(lambda context: sums(QuantumPartitioner()).execute({"number": context["n"]})["sum"], name="inner")
    assert outer.execute({"n": 3}) == {"inner": 34}
    assert outer.execute({"n": 3}, "process") == {"inner": 34}


@pytest.mark.parametrize("mode", MODES)
def test_nothing_is_left_when_the_results_are_there(mode: str, nothing_left_behind: Path):
    before = set(threading.enumerate())
    sums(QuantumPartitioner()).execute({"number": 1}, mode)
    assert not psutil.Process().children(recursive=True)
    assert not list(nothing_left_behind.iterdir())
    eventually(lambda: set(threading.enumerate()) <= before, "all threads ended")


@pytest.mark.parametrize("mode", MODES)
def test_what_units_print_goes_where_the_caller_prints(mode: str, capfd: pytest.CaptureFixture[str]):
    def speak(context: Any) -> None:
        print("printed")
        context.log("noted")

    partitioner = QuantumPartitioner()
    partitioner.add_unit(speak)
    partitioner.execute(execution_mode=mode)
    assert capfd.readouterr().out.splitlines() == ["printed", "noted"]


def test_output_that_nobody_can_take_fails_nothing(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    closed = io.StringIO()
    closed.close()
    partitioner = QuantumPartitioner(default_execution_mode="process")
    partitioner.add_unit(lambda: print("hello"), name="a")
    monkeypatch.setattr(sys, "stdout", closed)
    assert partitioner.execute() == {"a": None}
    assert "cannot be printed" in caplog.text


def test_output_has_every_character_that_the_caller_can_show(monkeypatch: pytest.MonkeyPatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="latin-1", write_through=True))
    partitioner = QuantumPartitioner(default_execution_mode="process")
    partitioner.add_unit(lambda: print("é" * (1 << 20) + "🚀"))
    partitioner.execute()
    assert raw.getvalue().decode("latin-1") == "é" * (1 << 20) + "\\U0001f680\n"


def test_units_run_where_the_program_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    partitioner = QuantumPartitioner()
    partitioner.add_unit(os.getcwd, name="here")
    partitioner.add_unit(os.getcwd, name="there", cwd="..", mode="process")
    assert partitioner.execute(execution_mode="process") == {"here": str(tmp_path), "there": str(tmp_path.parent)}


_INTERRUPTED = """
import os, sys, threading, time
from qtui import QuantumPartitioner

def wait(context):
    open(context["place"] + context.unit.id, "w").write(str(os.getpid()))
    context.sleep(600)

partitioner = QuantumPartitioner()
partitioner.add_unit(lambda: 1, name="done")
partitioner.add_unit(wait, ["done"], "a")
partitioner.add_unit(wait, ["done"], "b")
try:
    partitioner.execute({"place": sys.argv[2]}, sys.argv[1])
except KeyboardInterrupt:
    deadline = time.monotonic() + 10
    while threading.active_count() > 1 and time.monotonic() < deadline:
        time.sleep(0.005)  # threads that have just been told to end
    print(threading.active_count(), partitioner.get_partial_results(), flush=True)
    raise
"""


@pytest.mark.parametrize("mode", ["thread", "process"])
def test_ctrl_c_stops_the_units_and_goes_on(mode: str, tmp_path: Path):
    program = [sys.executable, "-c", _INTERRUPTED, mode, f"{tmp_path}/"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        eventually(lambda: all((tmp_path / name).exists() for name in "ab"), "both units run")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=GENEROUS)
    assert out == "1 {'done': 1}\n", err
    assert process.returncode == -signal.SIGINT and "KeyboardInterrupt" in err
    for name in "ab":
        pid = int((tmp_path / name).read_text())
        eventually(lambda pid=pid: not psutil.pid_exists(pid), "the unit's process is gone")


_STUBBORN = """
import sys, time
from qtui import QuantumPartitioner

partitioner = QuantumPartitioner(grace=600)
partitioner.add_unit(lambda: (print("runs", flush=True), time.sleep(600)))
try:
    partitioner.execute()
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def test_a_second_ctrl_c_does_not_wait_for_units_that_do_not_listen():
    program = [sys.executable, "-c", _STUBBORN]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "runs\n"
        process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + GENEROUS
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
            process.send_signal(signal.SIGINT)
        assert "interrupted\n" in process.stdout.read()
        assert process.returncode is not None


# -- units that units add ----------------------------------------------------------------------------------------


def grown(partitioner: QuantumPartitioner) -> QuantumPartitioner:
    def divide(context: Any) -> int:
        for number in range(context["parts"]):
            context.add_unit(lambda number=number: number * 10, name=f"part_{number}", cache=True)
        return context["parts"]

    partitioner.add_unit(divide, name="divide")
    return partitioner


@pytest.mark.parametrize("kept", [False, True])
def test_units_that_a_unit_adds_have_results_too(kept: bool, tmp_path: Path):
    told: list[str] = []
    partitioner = grown(QuantumPartitioner(state_dir=tmp_path if kept else None))
    partitioner.on_unit_complete = lambda unit, result: told.append(unit)
    assert partitioner.execute({"parts": 2}) == {"divide": 2, "part_0": 0, "part_1": 10}
    assert sorted(told) == ["divide", "part_0", "part_1"]
    metrics = partitioner.last_execution_metrics
    assert (metrics["total_units"], metrics["completed_units"]) == (3, 3)
    assert partitioner.completed_units == {"divide", "part_0", "part_1"}
    assert list(partitioner.units) == ["divide"]
    assert partitioner.execute({"parts": 1}) == {"divide": 1, "part_0": 0}


# -- from the command line ---------------------------------------------------------------------------------------


def test_a_file_with_a_partitioner_is_a_workflow(tmp_path: Path):
    (tmp_path / "work.py").write_text(
        "from qtui import QuantumPartitioner\n"
        "partitioner = QuantumPartitioner(max_workers=2)\n"
        "partitioner.add_unit(lambda: 1, name='one')\n"
        "partitioner.add_unit(lambda context: print('got', context['one'], context['word']), ['one'], 'two')\n"
    )
    command = [sys.executable, "-m", "qtui", "run", "work.py", "-p", "word=hello", "--ui", "plain", "--verbose"]
    done = subprocess.run(
        [*command, "--state-dir", str(tmp_path / "state")], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "got 1 hello" in done.stdout


def test_its_definition_is_that_of_a_workflow():
    definition = sums(QuantumPartitioner(max_workers=3, name="sums")).definition({"number": "1"})
    assert definition.name == "sums" and definition.params == {"number": "1"} and definition.options.workers == 3
    assert [unit.id for unit in definition.units] == ["given", "more", "times", "sum"]
