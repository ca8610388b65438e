"""The lane of a Dask cluster, with a real scheduler and real workers: what one machine's lanes cannot show."""

from __future__ import annotations

import gc
import os
import re
import signal
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import psutil
import pytest
from distributed import Client
from engine_cluster import DaskProcesses
from engine_waiting import GENEROUS, Start, until

from qtui.core.events import RunFinished, UnitFinished, UnitReset, UnitRetrying, Warned, WorkersChanged
from qtui.core.model import LOST_WORKER, Argv, Call, ExecutionMode, QuantumUnit, RunState, Shell, UnitState
from qtui.core.stimuli import ApproveRequested, CancelRequested, RetryRequested
from qtui.engine.elsewhere import Elsewhere
from qtui.engine.engine import Engine
from qtui.engine.remote import cluster
from qtui.engine.workers import dask
from qtui.engine.workers.clustersource import ClusterSource

MB = 1 << 20
CUSTOM = ExecutionMode.CUSTOM


@pytest.fixture
def shared(shared_cluster: DaskProcesses) -> DaskProcesses:
    """Two workers that no test harms."""
    return shared_cluster


@pytest.fixture
def own(tmp_path: Path) -> Iterator[DaskProcesses]:
    """A scheduler of the test's own; workers are added as it goes."""
    processes = DaskProcesses(tmp_path / "cluster")
    try:
        yield processes
    finally:
        processes.close()


def on(processes: DaskProcesses, **options: object) -> dict[str, object]:
    """The options of a run on a cluster."""
    return {"executor": ClusterSource(address=processes.address), "mode": CUSTOM, **options}


def unit(id: str, function: Callable[..., object], *needs: str, **keys: object) -> QuantumUnit:
    return QuantumUnit(id=id, action=Call.of(function, keys.get("args", {})), dependencies=needs, mode=CUSTOM, **keys)


def finished(engine: Engine) -> RunFinished:
    end = engine.wait(GENEROUS * 2)
    assert end is not None, engine.view().counts
    for number, last in enumerate(engine.view().last):
        if isinstance(last, UnitFinished) and last.error is not None:
            print(engine.plan.table[number].id, last.error)  # for when the test fails
    return end


def view_of(engine: Engine, id: str):
    return engine.view().unit(engine.plan.numbers[id])


def warnings_of(engine: Engine) -> list[str]:
    return [record.event.message for record in engine.feed().take(0) if isinstance(record.event, Warned)]


def events_of(engine: Engine, kind: type, id: str) -> list:
    """The events of a kind, of one unit, that are recorded so far."""
    number = engine.plan.numbers[id]
    events = [record.event for record in engine.feed().take(0)]
    return [event for event in events if type(event) is kind and event.unit == number]


# -- where units run ---------------------------------------------------------------------------------------


def test_units_run_below_the_workers_and_their_names_are_recorded(start: Start, shared: DaskProcesses) -> None:
    engine = start(*(unit(f"u{n}", os.getppid) for n in range(6)), **on(shared))

    assert finished(engine).exit_code == 0
    assert {view_of(engine, f"u{n}").place for n in range(6)} == {"north", "south"}
    assert os.getpid() not in {engine.value_of(n) for n in range(6)}


def test_a_thousand_units(start: Start, shared: DaskProcesses) -> None:
    layers = [[unit(f"{layer}-{n}", lambda: None, *([f"{layer - 1}-{n}"] if layer else [])) for n in range(250)]
              for layer in range(4)]  # fmt: skip
    engine = start(*chain.from_iterable(layers), **on(shared, workers=16))

    end = engine.wait(GENEROUS * 10)

    assert end is not None
    assert end.counts == {"completed": 1000}


def test_a_unit_that_wants_a_resource_runs_where_that_is(start: Start, shared: DaskProcesses) -> None:
    engine = start(*(unit(f"u{n}", lambda: None, cluster_resources={"GPU": 1}) for n in range(4)), **on(shared))

    assert finished(engine).exit_code == 0
    assert {view_of(engine, f"u{n}").place for n in range(4)} == {"south"}


def test_a_resource_that_no_worker_has_is_told(start: Start, shared: DaskProcesses) -> None:
    engine = start(unit("u", lambda: None, cluster_resources={"TPU": 2}), **on(shared))

    until(
        lambda: [each for each in warnings_of(engine) if "no worker of the cluster has TPU = 2" in each], "it is told"
    )
    engine.post(CancelRequested((0,)))
    assert finished(engine).counts == {"canceled": 1}


# -- values ------------------------------------------------------------------------------------------------


def make_large() -> bytes:
    return os.urandom(MB) * 100


def test_100_mb_go_from_unit_to_unit_without_passing_through_qtui(start: Start, shared: DaskProcesses) -> None:
    before = psutil.Process().memory_info().rss
    units = (
        unit("large", make_large),
        *(unit(f"use{n}", lambda context: len(context["large"]), "large") for n in range(4)),
    )
    engine = start(*units, **on(shared))

    assert finished(engine).exit_code == 0
    assert {engine.value_of(engine.plan.numbers[f"use{n}"]) for n in range(4)} == {100 * MB}
    held = engine.results[engine.plan.numbers["large"]]
    assert isinstance(held, Elsewhere)
    assert held.size >= 100 * MB
    assert psutil.Process().memory_info().rss - before < 50 * MB

    assert len(engine.value_of(engine.plan.numbers["large"])) == 100 * MB, "it comes when somebody wants it"


def make(size: int) -> bytes:
    return os.urandom(size)


@pytest.mark.parametrize("size", [0, 8100, 8192, 20_000, MB - 100, MB + 100])
def test_values_of_all_sizes_come_here_when_they_are_wanted(start: Start, shared: DaskProcesses, size: int) -> None:
    here = QuantumUnit(
        id="here",
        action=Call.of(lambda context: len(context["there"])),
        dependencies=("there",),
        mode=ExecutionMode.THREAD,
    )
    engine = start(unit("there", make, args={"size": size}), here, **on(shared))

    assert finished(engine).exit_code == 0
    assert engine.value_of(engine.plan.numbers["here"]) == size


def test_a_large_value_of_this_machine_is_sent_to_those_that_need_it(start: Start, shared: DaskProcesses) -> None:
    here = QuantumUnit(id="here", action=Call.of(lambda: bytes(5 * MB)), mode=ExecutionMode.THREAD)
    there = [unit(f"there{n}", lambda context: len(context["here"]), "here") for n in range(3)]
    back = QuantumUnit(
        id="back",
        action=Call.of(lambda context: context["there0"]),
        dependencies=("there0",),
        mode=ExecutionMode.THREAD,
    )
    engine = start(here, *there, back, **on(shared))

    assert finished(engine).exit_code == 0
    assert engine.value_of(engine.plan.numbers["back"]) == 5 * MB
    assert [engine.value_of(engine.plan.numbers[f"there{n}"]) for n in range(3)] == [5 * MB] * 3


# -- output ------------------------------------------------------------------------------------------------


def print_and_wait(context) -> None:
    print("first words", flush=True)
    while not context.cancelled:
        time.sleep(0.01)


def test_what_a_unit_prints_is_read_here_while_it_runs(start: Start, shared: DaskProcesses) -> None:
    engine = start(unit("talker", print_and_wait), **on(shared))

    until(lambda: b"first words" in engine.logs.read(0, 1, 0, 1000).data, "its words are here")
    assert view_of(engine, "talker").state is UnitState.RUNNING
    engine.post(CancelRequested((0,)))
    assert finished(engine).counts == {"canceled": 1}


def print_much() -> None:
    for number in range(200_000):
        print(f"line {number}")


def test_all_of_a_long_output_arrives(start: Start, shared: DaskProcesses) -> None:
    engine = start(unit("talker", print_much, log_max=8 * MB), **on(shared))

    assert finished(engine).exit_code == 0
    text = b""
    while chunk := engine.logs.read(0, 1, len(text), MB).data:
        text += chunk
    assert text.splitlines() == [b"line %d" % number for number in range(200_000)]


# -- stops -------------------------------------------------------------------------------------------------


def with_grandchildren(path: str) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen(["sh", "-c", f"trap '' TERM; sleep 1000 & echo $! >{path}; wait"])
    child.wait()
    time.sleep(1000)


def test_a_canceled_unit_dies_with_its_grandchildren_and_the_worker_and_its_data_stay(
    own: DaskProcesses, start: Start, tmp_path: Path
) -> None:
    own.add_worker("only")
    file = tmp_path / "grandchild"
    engine = start(
        unit("data", make_large),
        unit("victim", with_grandchildren, args={"path": str(file)}, grace=0.2),
        unit("after", lambda context: len(context["data"]), "data", "gate"),
        QuantumUnit(id="gate", action=Shell(("true",)), confirm="go on?"),
        **on(own),
    )
    until(lambda: file.exists() and file.read_text().strip(), "the grandchild runs")
    until(lambda: view_of(engine, "data").state is UnitState.COMPLETED, "the data is made")
    grandchild = int(file.read_text())
    worker = own.pid("only")

    engine.post(CancelRequested((engine.plan.numbers["victim"],)))

    until(lambda: not psutil.pid_exists(grandchild), "the grandchild is dead")
    until(lambda: view_of(engine, "victim").state is UnitState.CANCELED, "its end is known")
    assert psutil.pid_exists(worker)
    engine.post(ApproveRequested((engine.plan.numbers["gate"],)))
    finished(engine)
    assert engine.value_of(engine.plan.numbers["after"]) == 100 * MB
    assert view_of(engine, "data").attempt == 1


def test_units_that_wait_on_the_cluster_are_canceled_before_they_begin(
    own: DaskProcesses, start: Start, tmp_path: Path
) -> None:
    own.add_worker("only", threads=1)
    made = tmp_path / "made"
    made.mkdir()
    units = [unit(f"u{n}", leave_file, args={"path": str(made / str(n))}) for n in range(6)]
    engine = start(*units, **on(own, workers=6))
    until(lambda: len(list(made.iterdir())) == 1, "one of them runs")

    engine.post(CancelRequested(tuple(range(6))))

    assert finished(engine).counts == {"canceled": 6}
    assert len(list(made.iterdir())) == 1


def leave_file(path: str) -> None:
    Path(path).touch()
    time.sleep(1000)


def test_a_canceled_unit_of_a_shared_task_does_not_run_on_a_worker_that_comes_later(
    own: DaskProcesses, start: Start, tmp_path: Path
) -> None:
    own.add_worker("first", threads=1)
    first = unit("first", lambda: None)
    holds = unit("holds", note_and_wait, "first", args={"directory": str(tmp_path)}, priority=1)
    short = [unit(f"short{n}", note, "first", args={"path": str(tmp_path / f"short{n}")}) for n in range(12)]
    engine = start(first, holds, *short, **on(own, workers=16))
    until(lambda: view_of(engine, "holds").state is UnitState.RUNNING, "the only thread is taken")
    canceled = range(0, 12, 2)

    engine.post(CancelRequested(tuple(engine.plan.numbers[f"short{n}"] for n in canceled)))
    until(lambda: view_of(engine, "short10").finished, "they are canceled")
    own.add_worker("second", threads=1)

    until(lambda: all(view_of(engine, f"short{n}").finished for n in range(12)), "the others run there")
    (tmp_path / "go").touch()
    finished(engine)
    assert [(tmp_path / f"short{n}").exists() for n in range(12)] == [n not in canceled for n in range(12)]


# -- losses ------------------------------------------------------------------------------------------------


def note_and_wait(directory: str) -> str:
    """Leaves a file for each time it was begun, and waits for one called ``go``."""
    place = Path(directory)
    (place / f"began-{os.getpid()}").touch()
    while not (place / "go").exists():
        time.sleep(0.01)
    return "done"


def worker_of(engine: Engine, id: str) -> str:
    until(lambda: view_of(engine, id).place, f"{id} runs somewhere")
    return view_of(engine, id).place


def test_a_unit_whose_worker_is_killed_runs_again_as_a_new_attempt(
    own: DaskProcesses, start: Start, tmp_path: Path
) -> None:
    own.add_worker("first", threads=1)
    engine = start(unit("victim", note_and_wait, args={"directory": str(tmp_path)}), **on(own))
    until(lambda: len(list(tmp_path.glob("began-*"))) == 1, "it runs")
    below = own.below("first")

    own.kill("first")
    own.add_worker("second", threads=1)

    until(lambda: view_of(engine, "victim").attempt == 2, "a second attempt")
    until(lambda: not any(process.is_running() for process in below), "nothing is left of the first")
    (tmp_path / "go").touch()
    assert finished(engine).exit_code == 0
    assert view_of(engine, "victim").place == "second"
    (lost,) = events_of(engine, UnitRetrying, "victim")
    assert lost.error.type == LOST_WORKER
    assert lost.error.message == "the worker first was lost"


def test_a_worker_that_is_lost_before_it_tells_of_a_begin_costs_that_attempt_and_none_that_waited(
    own: DaskProcesses, start: Start, tmp_path: Path
) -> None:
    slow = tmp_path / "slow.py"
    slow.write_text("from qtui.engine.remote import task\ntask.TOGETHER_SECONDS = 60.0\n")
    own.add_worker("first", "--preload", str(slow), threads=1)
    (tmp_path / "waits").mkdir()
    engine = start(
        unit("waits", note_and_wait, args={"directory": str(tmp_path / "waits")}),
        unit("victim", note_and_wait, args={"directory": str(tmp_path)}, priority=1),
        **on(own),
    )
    until(lambda: list(tmp_path.glob("began-*")), "it runs")
    assert not view_of(engine, "victim").place, "which nobody knows"

    own.kill("first")
    own.add_worker("second", threads=2)

    until(lambda: view_of(engine, "victim").place == "second", "it runs there")
    (tmp_path / "go").touch()
    (tmp_path / "waits" / "go").touch()
    assert finished(engine).exit_code == 0
    assert (view_of(engine, "victim").attempt, view_of(engine, "waits").attempt) == (2, 1)
    (lost,) = events_of(engine, UnitRetrying, "victim")
    assert lost.error.message == "the worker first was lost"


def test_units_that_have_completed_do_not_run_again_when_their_worker_is_killed(
    own: DaskProcesses, start: Start, tmp_path: Path
) -> None:
    own.add_worker("first", threads=1)
    own.add_worker("second", threads=1)
    done = [unit(f"done{n}", note, args={"path": str(tmp_path / f"done{n}")}) for n in range(6)]
    waits = [unit(f"waits{n}", note_and_wait, *(f"done{n}" for n in range(6)), args={"directory": str(tmp_path)})
             for n in range(2)]  # fmt: skip
    engine = start(*done, *waits, **on(own, workers=4))
    until(
        lambda: {view_of(engine, f"waits{n}").state for n in range(2)} == {UnitState.RUNNING}, "both workers are at it"
    )

    own.kill("first")

    until(lambda: {view_of(engine, f"waits{n}").attempt for n in range(2)} == {1, 2}, "one of them runs again")
    (tmp_path / "go").touch()
    assert finished(engine).exit_code == 0
    assert [(tmp_path / f"done{n}").read_text() for n in range(6)] == ["x"] * 6


def note(path: str) -> None:
    with Path(path).open("a") as file:
        file.write("x")


def test_a_unit_that_is_not_idempotent_is_not_run_again_when_its_worker_is_killed(
    own: DaskProcesses, start: Start, tmp_path: Path
) -> None:
    own.add_worker("first", threads=1)
    own.add_worker("second", threads=1)
    victim = unit("victim", note_and_wait, args={"directory": str(tmp_path)}, idempotent=False)
    engine = start(victim, **on(own))
    until(lambda: len(list(tmp_path.glob("began-*"))) == 1, "it runs")

    own.kill(worker_of(engine, "victim"))

    assert finished(engine).exit_code == 1
    assert view_of(engine, "victim").attempt == 1
    assert view_of(engine, "victim").finished.error.type == LOST_WORKER
    (tmp_path / "go").touch()
    assert len(list(tmp_path.glob("began-*"))) == 1


def test_a_result_that_is_lost_with_its_worker_is_made_again_as_a_new_attempt(
    own: DaskProcesses, start: Start, tmp_path: Path
) -> None:
    own.add_worker("first", threads=1)
    engine = start(
        unit("data", make_large),
        QuantumUnit(id="gate", action=Argv(("sh", "-c", f"until [ -e {tmp_path}/go ]; do sleep 0.01; done"))),
        unit("use", lambda context: len(context["data"]), "data", "gate"),
        **on(own),
    )
    until(lambda: view_of(engine, "data").state is UnitState.COMPLETED, "the data is made")

    own.kill("first")
    own.add_worker("second", threads=1)
    (tmp_path / "go").touch()

    assert finished(engine).exit_code == 0
    assert engine.value_of(engine.plan.numbers["use"]) == 100 * MB
    assert view_of(engine, "data").attempt == 2
    assert view_of(engine, "data").place == "second"
    assert [event.cause for event in events_of(engine, UnitReset, "data")]


def test_a_scheduler_that_does_not_answer_is_told_of_and_the_run_goes_on_when_it_does(
    own: DaskProcesses, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask, "SILENT_SECONDS", 0.5)
    own.add_worker("only")
    engine = start(unit("u", note_and_wait, args={"directory": str(tmp_path)}), **on(own))
    until(lambda: view_of(engine, "u").place, "it runs")

    os.kill(own.pid("scheduler"), signal.SIGSTOP)

    silent = f"the Dask scheduler at {own.address} has not answered for"
    until(lambda: any(each.startswith(silent) for each in warnings_of(engine)), "that is told")
    until(lambda: [worker.name for worker in engine.cluster() if worker.age > 1] == ["only"], "its figures grow old")
    os.kill(own.pid("scheduler"), signal.SIGCONT)
    again = f"the Dask scheduler at {own.address} answers again, after"
    until(lambda: any(each.startswith(again) for each in warnings_of(engine)), "that is told, too")
    (tmp_path / "go").touch()
    assert finished(engine).exit_code == 0
    assert view_of(engine, "u").attempt == 1


def test_a_cluster_that_has_lost_all_workers_is_told_of_and_so_is_the_one_that_comes(
    own: DaskProcesses, start: Start, tmp_path: Path
) -> None:
    own.add_worker("first", threads=1)
    engine = start(unit("u", note_and_wait, args={"directory": str(tmp_path)}), **on(own, adaptive=True))
    until(lambda: view_of(engine, "u").place == "first", "it runs")

    own.kill("first")

    until(lambda: engine.view().awaits_cluster, "it is told that there are none")
    assert engine.cluster() == ()
    own.add_worker("second", threads=1)
    until(lambda: engine.view().unmanned_at is None, "it is told that there is one again")
    (tmp_path / "go").touch()
    assert finished(engine).exit_code == 0
    causes = [record.event.cause for record in engine.feed().take(0) if isinstance(record.event, WorkersChanged)]
    gone = causes.index("wait: the cluster has no workers")
    again = r"go on, as the cluster has workers again after \d+ s: 1 thread of 1 worker"
    assert re.fullmatch(again, causes[gone + 1])


def test_the_run_is_interrupted_when_the_scheduler_is_killed(own: DaskProcesses, start: Start, tmp_path: Path) -> None:
    own.add_worker("only")
    engine = start(
        unit("victim", note_and_wait, args={"directory": str(tmp_path)}),
        unit("after", lambda: None, "victim"),
        **on(own),
    )
    until(lambda: len(list(tmp_path.glob("began-*"))) == 1, "it runs")
    below = own.below("only")

    own.kill("scheduler")

    end = finished(engine)
    assert end.state is RunState.INTERRUPTED
    assert "the connection to the Dask scheduler" in engine.view().stopping.cause
    assert view_of(engine, "victim").state is UnitState.PENDING, "it is cut, and runs again when the run is resumed"
    assert not events_of(engine, UnitFinished, "victim")
    until(lambda: not any(process.is_running() for process in below), "nothing goes on there")


def test_a_run_without_a_cluster_to_connect_to_is_interrupted_with_the_reason(
    own: DaskProcesses, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.5)
    own.kill("scheduler")

    engine = start(unit("u", lambda: None), **on(own))
    end = finished(engine)

    assert end.state is RunState.INTERRUPTED
    assert end.exit_code == 1
    assert "cannot connect to the scheduler at tcp://127.0.0.1" in engine.view().stopping.cause


def test_a_unit_that_is_retried_after_the_scheduler_was_lost_connects_anew(
    own: DaskProcesses, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.5)
    own.add_worker("only")
    engine = start(unit("u", lambda: None), **on(own))
    assert finished(engine).exit_code == 0
    own.kill("scheduler")

    engine.post(RetryRequested((0,)))

    until(lambda: engine.view().state is RunState.INTERRUPTED, "it says that there is nothing to run it")
    assert "cannot connect" in engine.view().stopping.cause


def test_a_cluster_that_cannot_be_spoken_to_interrupts_the_run(start: Start) -> None:
    gc.collect()
    with warnings.catch_warnings(record=True) as left:
        warnings.simplefilter("always")
        engine = start(unit("u", lambda: None), executor=ClusterSource(address="tls://127.0.0.1:1"), mode=CUSTOM)

        assert finished(engine).state is RunState.INTERRUPTED
        assert "cannot connect to the scheduler at tls://127.0.0.1:1" in engine.view().stopping.cause
        engine.close()
        gc.collect()
    assert not [str(each.message) for each in left], "nothing was left for the collector to close"


def test_nothing_of_a_run_stays_on_the_cluster(own: DaskProcesses, start: Start, tmp_path: Path) -> None:
    def known_to(dask_scheduler: Any) -> tuple[int, list[str]]:  # goes there by value, as it has no name
        return len(dask_scheduler.tasks), [each for each in dask_scheduler._broker._topics if each.startswith("qtui-")]

    own.add_worker("only")
    engine = start(*(unit(f"u{n}", make, args={"size": n * MB}) for n in range(4)), **on(own))
    assert finished(engine).exit_code == 0

    engine.close()

    with Client(own.address, set_as_default=False) as client:
        until(lambda: client.run_on_scheduler(known_to) == (0, []), "the scheduler has forgotten it")
    until(lambda: not own.below("only"), "no process is left")
    until(lambda: not [each for each, *_ in os.walk(tmp_path / "cluster") if "/qtui-" in each], "no file is left")


# -- a cluster of one's own --------------------------------------------------------------------------------


def test_without_an_address_the_run_has_a_cluster_of_its_own(start: Start) -> None:
    engine = start(
        unit("u", os.getpid), QuantumUnit(id="c", action=Shell(("echo hi",))), executor=ClusterSource(), mode=CUSTOM
    )

    assert finished(engine).exit_code == 0
    assert re.fullmatch(r"local-\d+", view_of(engine, "u").place)
    assert not [record for record in engine.feed().take(0) if type(record.event) is Warned]
