"""What units of the site's tests call; workers import this and not the tests, which would take them longer."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

MB = 1 << 20


def add(left: int, right: int) -> int:
    return left + right


def tell_all(context: Any) -> dict[str, Any]:
    print("printed")
    context.log("logged")
    context.progress(1, 4, "a quarter")
    context.record_metric("rows", 2**70)
    context.record_metric("name", "a\udcff")
    context.add_unit(add, name="more", args={"left": 1, "right": 2})
    variables = ("QTUI_UNIT", "QTUI_RUN", "QTUI_ATTEMPT", "QTUI_PARAM_SIZE", "OWN")
    return {
        "need": context["make"],
        "params": dict(context.params),
        "unit": [context.unit.id, context.matrix["i"], context.attempt],
        "environment": [os.environ[name] for name in variables],
    }


async def wait_and_tell(context: Any) -> str:
    await asyncio.sleep(0)
    return f"{context.unit.id} awaited"


async def clean_up_when_cancelled(place: str) -> None:
    print("ready", flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        Path(place).write_text("cleaned up")


def make_large() -> bytes:
    return b"x" * 20 * MB


def measure(data: bytes, small: str) -> tuple[int, str]:
    return len(data), small


class Grid:
    """Data that travels out of band, as arrays do."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Grid, (pickle.PickleBuffer(self.data),)


def change_and_sum(context: Any) -> int:
    data = memoryview(context["make"]["grid"].data)
    total = sum(data[::1024])
    data[0] = 255  # it may be written
    return total


def use_skipped(context: Any) -> Any:
    return context["skipped"]


def fail() -> None:
    raise ValueError("with \udcff in it")


def die() -> None:
    os._exit(3)


class OnlyHere:
    """Loads nowhere but in the process that made it."""

    def __init__(self, home: int) -> None:
        self.home = home

    def __reduce__(self) -> Any:
        return _only_there, (self.home,)


def _only_there(home: int) -> OnlyHere:
    if os.getpid() != home:
        raise ModuleNotFoundError("No module named 'steps'")
    return OnlyHere(home)


def meet(place: str, others: int) -> int:
    """Wait until so many have come there."""
    Path(place, str(os.getpid())).touch()
    while len(list(Path(place).iterdir())) < others:
        time.sleep(0.01)
    return os.getpid()


def ignore_stops(place: str) -> None:
    """With a child that does the same, and tells its pid and its child's."""
    child = subprocess.Popen(["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"])
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(place, "pids.new").write_text(f"{os.getpid()} {child.pid}")
    Path(place, "pids.new").rename(Path(place, "pids"))
    while True:
        time.sleep(0.1)


def wait_for_stop(context: Any) -> None:
    print("ready", flush=True)
    context.sleep(3600)
