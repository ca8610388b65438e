"""A cluster on this machine's cores, for one run: a scheduler and workers under keepers, so none outlives qtui."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from qtui.engine.probe import usable_cores
from qtui.engine.workers.keepers import Keeper

START_SECONDS: Final = 30.0
"""How long the scheduler may take to be there; on a busy machine starting Python with Dask takes some seconds."""

_LOG_BYTES: Final = 1 << 20


class Keeping(Protocol):
    """Who has keepers."""

    def keeper(self) -> Keeper:
        """A new keeper process. Raises OSError."""

    def value_path(self, name: str) -> str:
        """A place for files of the run."""


class LocalCluster:
    """A scheduler and one worker for each core. They listen on loopback only, and have no dashboards."""

    def __init__(self, host: Keeping) -> None:
        self._host = host
        self._keepers: list[Keeper] = []
        self._directory = Path(host.value_path("cluster"))  # which goes with the run, if qtui is killed

    async def start(self) -> str:
        """Start it; returns the scheduler's address as soon as that listens. Raises OSError."""
        self._directory.mkdir(exist_ok=True)
        contact = self._directory / "scheduler.json"
        contact.unlink(missing_ok=True)
        scheduler = ["scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
        self._run("scheduler", *scheduler, "--scheduler-file", str(contact))
        address = await self._address_in(contact)
        for number in range(usable_cores()):
            worker = ["worker", address, "--host", "127.0.0.1", "--nthreads", "1", "--no-nanny", "--no-dashboard"]
            self._run(f"worker-{number}", *worker, "--name", f"local-{number}")
        return address

    def close(self) -> None:
        """Kill it."""
        for keeper in self._keepers:
            keeper.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _run(self, name: str, *arguments: str) -> None:
        keeper = self._host.keeper()
        self._keepers.append(keeper)
        directory = str(self._directory)
        command, own = [sys.executable, "-m", "dask", *arguments], {"DASK_TEMPORARY_DIRECTORY": directory}
        keeper.run(command, own, directory, log=f"{directory}/{name}.log", limit=_LOG_BYTES)

    async def _address_in(self, contact: Path) -> str:
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            with suppress(FileNotFoundError, ValueError, KeyError):  # it is not there yet, or half written
                return str(json.loads(contact.read_text())["address"])
            await asyncio.sleep(0.02)
        log = self._directory / "scheduler.log"
        last = log.read_text(errors="replace").strip().splitlines()[-1:] if log.exists() else []
        raise OSError(f"its scheduler does not start{': ' + last[0] if last else ''}")
