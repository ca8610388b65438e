"""200 commands that do nothing, four at once."""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from benchmarks.model import MICROSECONDS, Case, Group, Metrics, Row, find_program
from benchmarks.noops import scratch
from benchmarks.runs import command_workflow, complete

AT_ONCE = 4
TRUE = ("true",)
SHELL_TRUE = ("sh", "-c", "true")


def groups() -> Iterator[Group]:
    """All groups of this file."""
    yield _group("command-true", TRUE)
    yield _group("command-sh", SHELL_TRUE)


def _group(key: str, argv: Sequence[str]) -> Group:
    text = " ".join(argv)
    raw = {
        "popen": (_popen_loop, f"Popen({text}) loop with os.wait, not captured"),
        "popen-captured": (_captured_loop, f"Popen({text}) loop with a selector, captured"),
        "threads": (_threads, f"4 threads of subprocess.run({text}), captured"),
    }
    cases = {"base": Case(run=partial(_popen_loop, TRUE))}
    cases |= {name: Case(run=partial(function, argv)) for name, (function, _) in raw.items() if _differs(name, argv)}
    cases["make"] = Case(run=partial(_make, argv, ()), needs_programs=("make",))
    cases["make-captured"] = Case(run=partial(_make, argv, ("--output-sync",)), needs_programs=("make",))
    cases["ninja"] = Case(run=_ninja, needs_programs=("ninja",))
    cases["qtui"] = Case(run=partial(_qtui, argv))
    return Group(
        key=key,
        title=f"200 x `{text}`, 4 at once; from the definition (make and ninja: the file) in hand until closed",
        size=200,
        quick=8,
        unit=MICROSECONDS,
        base=("base", "run"),
        cases=cases,
        rows=(
            Row(label="Popen(true) loop with os.wait, not captured", case="base"),
            *(Row(label=label, case=name) for name, (_, label) in raw.items() if name in cases),
            Row(label="make -j4, not captured", case="make"),
            Row(label="make -j4 --output-sync, captured", case="make-captured"),
            Row(label="ninja -j4 (always by sh -c), captured", case="ninja"),
            Row(label="qtui, captured, descendants contained", case="qtui", goal=1.25),
        ),
    )


def _differs(name: str, argv: Sequence[str]) -> bool:
    return name != "popen" or argv != TRUE


def _popen_loop(argv: Sequence[str], size: int) -> Metrics:
    begun = time.perf_counter()
    left = size
    live: dict[int, subprocess.Popen[bytes]] = {}
    while left or live:
        while left and len(live) < AT_ONCE:
            process = subprocess.Popen(argv)
            live[process.pid] = process
            left -= 1
        pid, _ = os.wait()
        live.pop(pid).returncode = 0
    return {"run": time.perf_counter() - begun}


def _captured_loop(argv: Sequence[str], size: int) -> Metrics:
    begun = time.perf_counter()
    left = size
    with selectors.DefaultSelector() as selector:
        while left or selector.get_map():
            while left and len(selector.get_map()) < AT_ONCE:
                process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                assert process.stdout is not None
                selector.register(process.stdout, selectors.EVENT_READ, process)
                left -= 1
            for key, _ in selector.select():
                if not os.read(key.fd, 65536):
                    selector.unregister(key.fileobj)
                    key.data.stdout.close()
                    key.data.wait()
    return {"run": time.perf_counter() - begun}


def _threads(argv: Sequence[str], size: int) -> Metrics:
    begun = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as threads:
        for done in threads.map(lambda _: subprocess.run(argv, capture_output=True), range(size)):
            done.check_returncode()
    return {"run": time.perf_counter() - begun}


def _make(argv: Sequence[str], options: Sequence[str], size: int) -> Metrics:
    with scratch() as directory:
        names = " ".join(f"t{number}" for number in range(size))
        rules = "".join(f"t{number}:\n\t@{' '.join(argv)}\n" for number in range(size))
        (directory / "Makefile").write_text(f".PHONY: all {names}\nall: {names}\n{rules}")
        return _tool(["make", "-s", f"-j{AT_ONCE}", *options], directory)


def _ninja(size: int) -> Metrics:
    with scratch() as directory:
        edges = "".join(f"build t{number}: r\n" for number in range(size))
        (directory / "build.ninja").write_text(f"rule r\n  command = true\n{edges}")
        return _tool(["ninja", f"-j{AT_ONCE}"], directory)


def _tool(command: Sequence[str], directory: Path) -> Metrics:
    program = find_program(command[0])
    if program is None:
        raise RuntimeError(f"{command[0]} is not installed")
    # a make above would hand down its own job server and options
    environment = {
        name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")
    }
    begun = time.perf_counter()
    subprocess.run([program, *command[1:]], cwd=directory, env=environment, stdout=subprocess.DEVNULL, check=True)
    return {"run": time.perf_counter() - begun}


def _qtui(argv: Sequence[str], size: int) -> Metrics:
    workflow = command_workflow("commands", AT_ONCE)
    for number in range(size):
        if argv == TRUE:
            workflow.command(f"c{number}", argv=argv)
        else:
            workflow.command(f"c{number}", run=argv[-1])  # by sh -c
    return {"run": complete(workflow.definition()).whole}
