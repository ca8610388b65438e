"""Ways to run the program itself: as a process with pipes, and in a terminal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from terminal import GENEROUS, Terminal

from qtui.cli.main import main


@pytest.fixture(autouse=True)
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test has a state directory of its own, nobody's settings, screens that wait to be looked at, and output that
    is buffered as it is for people."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("QTUI_ON_FINISH", "stay")
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    return tmp_path / "state"


@pytest.fixture(autouse=True)
def signals_are_heeded_again() -> Iterator[None]:
    """A run that has ended leaves its process deaf, which is to end with its exit code; this process goes on."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, handlers, strict=True):
        signal.signal(number, handler)


@pytest.fixture
def workflow(tmp_path: Path) -> Callable[..., Path]:
    """Write a workflow file, and modules beside it."""

    def write(toml: str, name: str = "flow.toml", **modules: str) -> Path:
        for module, source in modules.items():
            (tmp_path / f"{module}.py").write_text(source)
        path = tmp_path / name
        path.write_text(toml)
        return path

    return write


@pytest.fixture
def qtui(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``qtui`` to its end with pipes."""

    def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "qtui", *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, "LC_ALL": "C.UTF-8", **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=GENEROUS * 2,
        )

    return run


@pytest.fixture
def called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Call what ``qtui`` calls, in this process: a tenth of the time, where it is not the process that is looked at."""

    def call(*arguments: object, cwd: Path = tmp_path, **environment: str) -> subprocess.CompletedProcess[str]:
        capfd.readouterr()
        output = os.dup(1)  # which is no longer standard output once events have it for themselves
        with monkeypatch.context() as here:
            here.chdir(cwd)
            here.setattr(sys, "path", [*sys.path])
            for name, value in environment.items():
                here.setenv(name, value)
            try:
                code = main([*map(str, arguments)])
            finally:
                sys.stdout.flush()
                os.dup2(output, 1)
                os.close(output)
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
                del sys.modules[name]
        out, err = capfd.readouterr()
        return subprocess.CompletedProcess(arguments, code, out, err)

    return call


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    """Run ``qtui`` in a terminal; closed at the end of the test."""
    opened: list[Terminal] = []

    def open_terminal(*arguments: object, **keys: Any) -> Terminal:
        opened.append(Terminal(*map(str, arguments), cwd=tmp_path, **keys))
        return opened[-1]

    yield open_terminal
    for each in opened:
        each.close()
