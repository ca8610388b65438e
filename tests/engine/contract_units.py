"""What the units of the contract of lanes do. A process that runs them imports no more than this."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from typing import Any

MB = 1 << 20
SOAK = bool(os.environ.get("QTUI_SOAK"))
LARGE = (300 if SOAK else 128) * MB
"""More than what qtui may need for a result that does not pass through it, by far."""


def nothing() -> None:
    pass


def is_locked(lock: Any) -> bool:
    return bool(lock.locked())


class RaisesOnLoad:
    """Pickles, and does not come back."""

    def __init__(self, size: int = 0) -> None:
        self.ballast = bytes(size)

    def __reduce__(self) -> Any:
        return _refuse, (self.ballast,)


def _refuse(ballast: bytes) -> None:
    raise ValueError(f"not again with {len(ballast)} bytes")


def make_much() -> bytes:
    return b"q" * LARGE


def length(context: Any) -> int:
    return len(context["victim"])


class TwoArguments(Exception):
    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} and {second}")


def raise_with_two_arguments() -> None:
    raise TwoArguments("this", "that")


def raise_with_a_lock() -> None:
    error = OSError("holds a lock")
    error.lock = threading.Lock()  # type: ignore[attr-defined]
    raise error


def exit_with_three() -> None:
    sys.exit(3)


def interrupt() -> None:
    raise KeyboardInterrupt


def recurse() -> None:
    def down(depth: int) -> int:
        return down(depth + 1)

    down(0)


def nest() -> list[Any]:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    return nested


def leave_with_three() -> None:
    os._exit(3)


def segfault() -> None:
    signal.signal(signal.SIGSEGV, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGSEGV)


def kill_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fail_the_first_time(context: Any) -> int:
    if context.attempt == 1:
        os._exit(1)
    return int(context.attempt)


def listen(context: Any) -> None:
    context.progress(1, 2)
    while True:
        context.sleep(0.01)


async def listen_async(context: Any) -> None:
    context.progress(1, 2)
    await asyncio.sleep(300)


def sleep_long() -> None:
    time.sleep(300)


def refuse_to_stop() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(0.1)


def hold_the_gil() -> None:
    import re

    print("holding", flush=True)
    re.match(r"(a|aa)+$", "a" * 60 + "b")


def swallow_once(context: Any) -> str:
    try:
        context.progress(1, 2)
        while True:
            time.sleep(0.01)
    except BaseException:
        return "went on"


def tell(context: Any) -> None:
    print("printed")
    print("to stderr", file=sys.stderr)
    context.log("logged")
    context.record_metric("rows", 3)
    context.progress(1, 4, "a quarter")


def facts(context: Any) -> dict[str, Any]:
    return {
        "id": context.unit.id,
        "tags": context.unit.tags,
        "matrix": dict(context.matrix),
        "params": dict(context.params),
        "attempt": context.attempt,
        "need": context["need"],
        "states": {name: str(state) for name, state in context.states.items()},
        "keys": sorted(context),
        "unit": context.environment["QTUI_UNIT"],
        "own": context.environment["OWN"],
        "metadata": context.unit.metadata,
    }
