"""Waiting for what the library does, without ever waiting for time itself."""

from __future__ import annotations

import time
from collections.abc import Callable

GENEROUS = 20.0
"""Seconds to wait for something that takes milliseconds when all is well."""


def eventually(condition: Callable[[], object], what: str) -> None:
    """Wait for a condition; fail, naming it, when it does not come."""
    deadline = time.monotonic() + GENEROUS
    while not condition():
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.005)
