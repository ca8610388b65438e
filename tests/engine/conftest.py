"""Real engines for the tests of this directory, and a check that each test leaves nothing behind."""

from __future__ import annotations

import gc
import os
import tempfile
import threading
from collections.abc import Iterator
from multiprocessing import resource_tracker
from pathlib import Path

import psutil
import pytest
from engine_cluster import DaskProcesses
from engine_waiting import Start, until

from qtui.core.model import QuantumUnit
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan
from qtui.engine.bus import EventBus
from qtui.engine.engine import Engine
from qtui.engine.files import RunFiles
from qtui.engine.workers.executor import ExecutorSource

RUN = f"test-{os.getpid()}"
"""The run's id in all tests: what carries it in its environment was started by one of them."""


@pytest.fixture(autouse=True)
def own_temporary_directory(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What else the machine does must not look like something left behind."""
    directory = tmp_path_factory.mktemp("temporary")
    monkeypatch.setenv("TMPDIR", str(directory))
    monkeypatch.setattr(tempfile, "tempdir", str(directory))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a run of some units; closed at the end of the test."""
    engines: list[Engine] = []

    def start(
        *units: QuantumUnit,
        bus: EventBus | None = None,
        params: dict[str, object] | None = None,
        secrets: tuple[str, ...] = (),
        executor: ExecutorSource | None = None,
        **options,
    ):
        plan = ExecutionPlan.build(units)
        run = Engine(
            plan,
            RunOptions(**{"workers": 4, **options}),
            run=RUN,
            name="test",
            files=RunFiles(tmp_path / f"run{len(engines)}"),
            params=params,
            bus=bus,
            secrets=secrets,
            executor=executor,
        )
        engines.append(run)
        run.begin()
        return run

    yield start
    for engine in engines:
        engine.close()


@pytest.fixture(scope="session")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskProcesses]:
    """Two workers that no test harms; started when the first test needs them: that takes some seconds."""
    processes = DaskProcesses(tmp_path_factory.mktemp("cluster"))
    try:
        processes.add_worker("north")
        processes.add_worker("south", "--resources", "GPU=1")
        yield processes
    finally:
        processes.close()


@pytest.fixture(autouse=True)
def nothing_left_behind(own_temporary_directory: None) -> Iterator[None]:
    """What a test made is gone soon after it: threads, processes (also those that hid), descriptors, directories.

    Abandoned threads end by themselves.
    """
    threads, descriptors, directories = set(threading.enumerate()), open_descriptors(), temporary_directories()
    yield
    if resource_tracker._resource_tracker._fd is not None:
        gc.collect()  # it would remove what still knows its name
        resource_tracker._resource_tracker._stop()  # of multiprocessing, which leaves it to the end of the program
    until(lambda: not [t for t in set(threading.enumerate()) - threads if is_ours(t)], "all threads ended")
    until(lambda: not psutil.Process().children(recursive=True), "all child processes ended")
    until(lambda: not processes_of_runs(), "all processes that carry a run's variables ended")
    until(lambda: open_descriptors() <= descriptors, "all descriptors closed")
    until(lambda: temporary_directories() <= directories, "all temporary directories removed")


def is_ours(thread: threading.Thread) -> bool:
    return thread.is_alive() and not thread.name.startswith("Dask-Offload")  # a pool of its own that Dask never ends


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def temporary_directories() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("qtui-*"))


def processes_of_runs() -> list[int]:
    """Processes that units started, wherever they have gone."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"QTUI_RUN={RUN}".encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append(int(process.name))
        except OSError:
            continue  # ended, or somebody else's
    return found


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Opened at the end of the test at the latest, so that no thread waits for ever."""
    event = threading.Event()
    yield event
    event.set()
