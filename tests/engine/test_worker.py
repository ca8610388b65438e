"""The worker program: what a unit does to it harms no other, what it is told is right, and it never stays behind."""

from __future__ import annotations

import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from engine_waiting import GENEROUS, Start, until
from process_units import MB, error_of, log_of, process, run, value, workers

from qtui.core.events import Warned
from qtui.core.model import ExecutionMode, RetryPolicy, Source, UnitState
from qtui.core.stimuli import CancelRequested
from qtui.engine.job import Job

# -- what units do to their worker -------------------------------------------------------------------------


@pytest.mark.parametrize("spoil_output", [lambda: sys.stdout.close(), lambda: sys.stdout.detach()])
def test_a_unit_may_close_its_output_but_not_that_of_the_next(start: Start, spoil_output: Any) -> None:
    def closes(context: Any) -> None:
        spoil_output()
        context.log("still logged")

    talks = process("talks", lambda: print("hello"), ("closes",))

    engine = run(start, process("closes", closes), talks, workers=1)

    assert log_of(engine, "closes") == "still logged\n"
    assert log_of(engine, "talks") == "hello\n"


def test_what_c_code_prints_is_in_the_log_of_its_unit(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)  # it would take the buffer from C code, too

    def print_in_c() -> None:
        import ctypes

        ctypes.CDLL(None).printf(b"from C\n")

    engine = run(start, process("c", print_in_c), process("after", int, ("c",)), workers=1)

    assert log_of(engine, "c") == "from C\n"
    assert log_of(engine, "after") == ""


def test_relative_directories_and_changed_variables_are_those_of_the_definition(start: Start, tmp_path: Path) -> None:
    def go_away(context: Any) -> str:
        before = os.environ["OWN"]
        os.environ["OWN"] = "changed"
        os.chdir("/")
        if context.attempt == 1:
            raise ValueError(before)
        return before

    inside = os.path.relpath(tmp_path)
    again = RetryPolicy(max=1, delay=0.0)
    goes = process("goes", go_away, env={"OWN": "given"}, retry=again)

    engine = run(start, goes, process("where", os.getcwd, ("goes",), cwd=inside), workers=1)

    assert value(engine, "goes") == "given"
    assert value(engine, "where") == str(tmp_path)


def test_a_pool_that_a_unit_forks_and_ends_says_nothing(start: Start) -> None:
    def compute() -> list[int]:
        import multiprocessing

        with multiprocessing.get_context("fork").Pool(2) as pool:  # its end sends TERM to its processes
            return pool.map(abs, [-1, -2])

    engine = run(start, process("pool", compute))

    assert value(engine, "pool") == [1, 2]
    assert log_of(engine, "pool") == ""


def test_a_child_that_comes_back_from_its_unit_is_no_second_worker(start: Start) -> None:
    def fork() -> str:
        pid = os.fork()
        if pid == 0:
            return "child"
        os.waitpid(pid, 0)
        return "parent"

    engine = run(start, process("fork", fork), process("after", int, ("fork",)), workers=1)

    assert value(engine, "fork") == "parent"


def test_a_unit_that_writes_to_the_socket_of_its_worker_is_lost_alone(start: Start) -> None:
    def scribble() -> None:
        for path in Path("/proc/self/fd").iterdir():
            with suppress(OSError):
                if "socket" in str(path.readlink()):
                    os.write(int(path.name), b"\x05\0\0\0hello")
        time.sleep(60)

    engine = start(process("scribble", scribble), process("other", int), workers=1)

    assert engine.wait(GENEROUS) is not None
    assert error_of(engine, "scribble").message == "its process sent something that is no message"
    assert engine.state_of(1) is UnitState.COMPLETED


def test_people_are_told_of_what_a_unit_left_behind(start: Start) -> None:
    engine = run(start, process("leave", lambda: os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "300")))

    warnings = [record.event for record in engine.feed().take(0) if isinstance(record.event, Warned)]
    assert [(warning.unit, warning.message) for warning in warnings] == [
        (0, "left processes or threads behind, ended now with its worker")
    ]


def test_a_worker_that_needs_much_memory_is_replaced(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qtui.engine.workers.process.total_memory", lambda: MB)

    def work() -> int:
        time.sleep(0.03)  # memory is looked at after 20 ms of work
        return os.getpid()

    engine = run(start, process("one", work), process("two", work, ("one",)), workers=1)

    assert value(engine, "one") != value(engine, "two")


# -- what workers are told ---------------------------------------------------------------------------------


def definition(context: Any) -> tuple[Any, ...]:
    unit = context.unit
    return unit.id, unit.retry, unit.dependencies, unit.log_max, unit.source, unit.stop_signal, unit.priority


def test_a_unit_sees_the_same_definition_in_a_process_as_in_a_thread(start: Start) -> None:
    keys = {"retry": RetryPolicy(max=3), "log_max": 2 * MB, "source": Source(file="flow.toml", line=3), "priority": 4}
    here = process("unit", definition, ("need",), mode=ExecutionMode.THREAD, **keys)
    there = process("unit", definition, ("need",), **keys)

    seen = [value(run(start, process("need", int), unit), "unit") for unit in (here, there)]

    assert seen[0] == seen[1]


def test_a_function_without_a_context_can_still_ask_who_it_is(start: Start) -> None:
    def who() -> str:
        from qtui.engine.context import current_context

        context = current_context.get()
        assert context is not None
        return context.unit.id

    assert value(run(start, process("me", who)), "me") == "me"


def test_many_values_inside_one_message_arrive(start: Start) -> None:
    makers = [process(f"m[i={i}]", lambda: bytes(MB - 100), family="m", matrix={"i": i}) for i in range(40)]
    total = process("total", lambda context: sum(map(len, context["m"])), ("m",))

    assert value(run(start, *makers, total, workers=2), "total") == 40 * (MB - 100)


def test_a_function_that_does_not_load_there_says_so_each_time(start: Start, tmp_path: Path) -> None:
    (tmp_path / "only_here.py").write_text("import os\nassert 'QTUI_UNIT' not in os.environ\ndef f(): return 1\n")
    sys.path.insert(0, str(tmp_path))
    try:
        import only_here  # type: ignore[import-not-found]

        engine = start(process("one", only_here.f), process("two", only_here.f), workers=1)
        assert engine.wait(GENEROUS) is not None
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("only_here", None)

    for name in ("one", "two"):
        assert error_of(engine, name).message == "its function cannot be loaded in a worker process: AssertionError: "


def test_params_that_cannot_be_sent_start_no_worker(start: Start) -> None:
    engine = start(*(process(f"u{number}", int) for number in range(5)), params={"lock": threading.Lock()})

    assert engine.wait(GENEROUS) is not None
    assert error_of(engine, "u0").message.startswith("the params of the run cannot be sent to a process: TypeError")
    assert not psutil.Process().children()


def test_files_beside_the_workflow_do_not_hide_modules_of_python(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "socket.py").write_text("raise RuntimeError('not this one')")
    monkeypatch.chdir(tmp_path)

    assert value(run(start, process("unit", int)), "unit") == 0


def test_progress_is_passed_on_once_a_second_however_often_it_is_told() -> None:
    sent: list[tuple[Any, ...]] = []

    class Recorder:
        send = staticmethod(sent.append)

    fields = (0, 1, 7, None, False, None, (), (), (), {"QTUI_UNIT": "u"}, None, "", 0, None)
    job = Job(Recorder(), fields, None)  # type: ignore[arg-type]

    for done in range(1000):
        job.report_progress(0, 1, done, 1000, "")

    assert sent == [("progress", 0, 1, 0.0, 1000.0, "")]


# -- workers that start and end ----------------------------------------------------------------------------


def test_a_worker_whose_first_unit_was_canceled_knows_no_function_yet(start: Start) -> None:
    hold = process("hold", lambda context: context.sleep(0.3), mode=ExecutionMode.THREAD)
    engine = start(process("victim", os.getpid), hold, process("after", os.getpid, ("hold",)))

    engine.post(CancelRequested((0,)))

    assert engine.wait(GENEROUS) is not None
    assert engine.state_of(2) is UnitState.COMPLETED, engine.view().unit(2).error


def test_a_run_that_ends_while_a_worker_starts_leaves_no_worker(start: Start) -> None:
    engine = start(process("victim", int))
    engine.post(CancelRequested((0,)))
    assert engine.wait(GENEROUS) is not None

    engine.close()

    assert not workers()


def test_a_unit_is_not_sent_to_a_worker_that_has_died_unnoticed(start: Start) -> None:
    hold = process("hold", lambda context: context.sleep(1.0), mode=ExecutionMode.THREAD)
    engine = start(process("first", os.getpid), hold, process("second", os.getpid, ("hold",)))
    until(lambda: engine.view().unit(0).finished, "the first has ended")
    worker = psutil.Process(value(engine, "first"))
    keeper = worker.parent()
    assert keeper is not None

    keeper.suspend()  # it cannot tell
    try:
        worker.kill()
        assert engine.wait(GENEROUS) is not None
    finally:
        with suppress(psutil.NoSuchProcess):  # woken up by the lane, which has let it go
            keeper.resume()

    assert engine.state_of(2) is UnitState.COMPLETED
    assert value(engine, "second") != value(engine, "first")


def test_a_unit_that_holds_the_gil_dies_with_its_keeper(start: Start) -> None:
    engine = start(process("holds", hold_the_gil))
    until(lambda: log_of(engine, "holds") == "holding\n", "it holds the GIL")
    worker = psutil.Process(workers().pop())
    keeper = worker.parent()
    assert keeper is not None

    keeper.kill()

    assert engine.wait(GENEROUS) is not None
    assert error_of(engine, "holds").type == "lost"
    until(lambda: not worker.is_running(), "the kernel has ended it")


def hold_the_gil() -> None:
    import re

    print("holding", flush=True)
    re.match(r"(a|aa)+$", "a" * 60 + "b")


def test_a_stop_reaches_the_threads_of_a_unit(start: Start) -> None:
    def sleep_in_a_thread(context: Any) -> None:
        print("sleeping", flush=True)
        with ThreadPoolExecutor(1) as pool:  # its end waits for the thread
            pool.submit(context.sleep, 300).result()

    engine = start(process("sleeps", sleep_in_a_thread, grace=GENEROUS * 10))
    until(lambda: log_of(engine, "sleeps") == "sleeping\n", "it sleeps")

    engine.post(CancelRequested((0,)))

    assert engine.wait(GENEROUS) is not None
    assert engine.state_of(0) is UnitState.CANCELED
