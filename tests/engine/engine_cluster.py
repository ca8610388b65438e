"""A real Dask cluster on loopback for tests: a scheduler and workers, processes that are no test's children."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
from engine_waiting import GENEROUS, until


class DaskProcesses:
    """A scheduler and its workers by name. They are nobody's children here, as on another machine, and
    end by themselves some minutes after a test run that was killed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._pids: dict[str, int] = {}
        directory.mkdir(parents=True, exist_ok=True)
        contact = directory / "scheduler.json"
        self._start("scheduler", "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
                    "--scheduler-file", str(contact), "--idle-timeout", "10 minutes")  # fmt: skip
        self.address = ""

        def listens() -> bool:
            with suppress(FileNotFoundError, ValueError):
                self.address = json.loads(contact.read_text())["address"]
            return bool(self.address)

        until(listens, f"the scheduler listens: {self.log('scheduler')}")

    def add_worker(self, name: str, *options: str, threads: int = 2) -> None:
        """Start a worker, and wait until the scheduler knows it."""
        where = self._directory / name
        where.mkdir(exist_ok=True)
        self._start(name, "worker", self.address, "--host", "127.0.0.1", "--nthreads", str(threads), "--no-nanny",
                    "--no-dashboard", "--name", name, "--local-directory", str(where), *options)  # fmt: skip
        until(lambda: "Registered to" in self.log(name), f"{name} has registered: {self.log(name)}")

    def pid(self, name: str) -> int:
        """The process of a worker, or of the ``scheduler``."""
        return self._pids[name]

    def kill(self, name: str) -> None:
        """SIGKILL, and wait for the end."""
        pid = self._pids.pop(name)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        until(lambda: not psutil.pid_exists(pid), f"{name} is dead")

    def below(self, name: str) -> list[psutil.Process]:
        """What runs below a worker."""
        return psutil.Process(self._pids[name]).children(recursive=True)

    def log(self, name: str) -> str:
        """What a process has printed."""
        path = self._directory / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def close(self) -> None:
        """Kill all of it, workers first: one that loses its scheduler takes its time."""
        for name in list(self._pids)[::-1]:
            self.kill(name)

    def _start(self, name: str, *arguments: str) -> None:
        log = shlex.quote(str(self._directory / f"{name}.log"))
        command = shlex.join([sys.executable, "-m", "dask", *arguments])
        # a shell that ends at once leaves it to init
        started = subprocess.run(
            ["setsid", "sh", "-c", f"{command} >{log} 2>&1 </dev/null & echo $!"],
            capture_output=True, text=True, check=True, timeout=GENEROUS, cwd=self._directory,
            env={**os.environ, "TMPDIR": str(self._directory)},
        )  # fmt: skip
        self._pids[name] = int(started.stdout)
