"""``python -m benchmarks.cluster``: what a unit on a Dask cluster costs, beside plain ``client.submit``.

One scheduler and two workers of one thread each on loopback serve both, in turns. A plain task is a function that runs
in the worker's own thread; a unit runs in a process that can be killed, below the worker, and its output, its use of
CPU and memory, its begin and its end come back. Needs ``pip install "qtui[dask]"``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Final

from distributed import Client

from benchmarks.report import machine
from qtui.core.model import Call, ExecutionMode, QuantumUnit
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan
from qtui.engine.engine import Engine
from qtui.engine.files import RunFiles
from qtui.engine.workers.clustersource import ClusterSource

LIMIT: Final = 120.0
LARGE: Final = 100 << 20


def nothing() -> None:
    """A unit."""


def follow(context: dict[str, object]) -> None:
    """A unit that needs another."""


def make_large() -> bytes:
    """A unit with a large result."""
    return bytes(LARGE)


def use_large(large: bytes) -> int:
    """A unit that needs that."""
    return len(large)


def use_large_of(context: dict[str, bytes]) -> int:
    """The same as a unit."""
    return len(context["large"])


@contextmanager
def cluster(workers: int = 2) -> Iterator[str]:
    """The address of a scheduler with workers of one thread each."""
    with tempfile.TemporaryDirectory() as directory:
        contact = Path(directory, "scheduler.json")
        common = {"cwd": directory, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        dask = [sys.executable, "-m", "dask"]
        place = ["--host", "127.0.0.1", "--no-dashboard"]
        processes = [
            subprocess.Popen([*dask, "scheduler", *place, "--port", "0", "--scheduler-file", str(contact)], **common)
        ]
        try:
            address = ""
            while not address:
                with suppress(FileNotFoundError, ValueError):
                    address = json.loads(contact.read_text())["address"]
                time.sleep(0.02)
            for _ in range(workers):
                command = [*dask, "worker", address, *place, "--nthreads", "1", "--no-nanny"]
                processes.append(subprocess.Popen([*command, "--local-directory", directory], **common))
            with Client(address, set_as_default=False) as client:
                client.wait_for_workers(workers)
            yield address
        finally:
            for process in reversed(processes):
                process.kill()
                process.wait()


def plain(address: str, count: int) -> float:
    """Seconds for so many tasks, submitted one by one, until the last result is here."""
    with Client(address, set_as_default=False) as client:
        began = time.perf_counter()
        client.gather([client.submit(nothing, pure=False) for _ in range(count)])
        return time.perf_counter() - began


def plain_chain(address: str, count: int) -> float:
    """Seconds for a chain of tasks, each submitted when the one before it has ended."""
    with Client(address, set_as_default=False) as client:
        began = time.perf_counter()
        for _ in range(count):
            client.submit(nothing, pure=False).result()
        return time.perf_counter() - began


def plain_large(address: str) -> float:
    """Seconds for a large value that one task makes and another one uses."""
    with Client(address, set_as_default=False) as client:
        began = time.perf_counter()
        client.submit(use_large, client.submit(make_large, pure=False), pure=False).result()
        return time.perf_counter() - began


def run(address: str, *units: QuantumUnit) -> float:
    """Seconds from the first start of a unit to the end of the run; connecting is not counted, as for the tasks."""
    with tempfile.TemporaryDirectory() as directory:
        engine = Engine(
            ExecutionPlan.build(
                [QuantumUnit(id="first", action=Call(nothing, "", False), mode=ExecutionMode.CUSTOM), *units]
            ),
            RunOptions(adaptive=True, max_workers=64, mode=ExecutionMode.CUSTOM, executor="dask"),
            run="benchmark",
            name="benchmark",
            files=RunFiles(Path(directory)),
            executor=ClusterSource(address=address),
        )
        try:
            engine.begin()
            end = engine.wait(LIMIT)
            assert end is not None
            assert end.exit_code == 0, end
            view = engine.view()
            warm = view.unit(0).finished
            assert warm is not None
            return end.at - warm.at
        finally:
            engine.close()


def unit(name: str, function: Callable[..., object], *needs: str) -> QuantumUnit:
    """A unit on the cluster, which begins after `first`."""
    return QuantumUnit(id=name, action=Call.of(function), mode=ExecutionMode.CUSTOM, dependencies=("first", *needs))


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster", description=__doc__)
    parser.add_argument("--units", type=int, default=1000, help="units in a burst")
    parser.add_argument("--chain", type=int, default=100, help="units in a chain")
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args(arguments)
    burst = [unit(f"u{number}", nothing) for number in range(given.units)]
    chain = [unit(f"c{number}", follow, *([f"c{number - 1}"] if number else [])) for number in range(given.chain)]
    large = [unit("large", make_large), unit("use", use_large_of, "large")]
    print(machine())
    print("| what | client.submit | qtui | ratio |\n|---|---:|---:|---:|")
    with cluster() as address:
        for what, theirs, ours, count in (
            ("burst, ms a unit", lambda: plain(address, given.units), lambda: run(address, *burst), given.units),
            ("chain, ms a unit", lambda: plain_chain(address, given.chain), lambda: run(address, *chain), given.chain),
            ("100 MB from one to another, ms", lambda: plain_large(address), lambda: run(address, *large), 1),
        ):
            pairs = [(theirs(), ours()) for _ in range(given.repeats)]
            their, our = (median(each) * 1e3 / count for each in zip(*pairs, strict=True))
            print(f"| {what} | {their:.2f} | {our:.2f} | {median(b / a for a, b in pairs):.2f} |")


if __name__ == "__main__":
    main()
