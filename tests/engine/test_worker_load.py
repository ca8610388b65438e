"""What a worker of a cluster uses is measured with the processes below it, in which its units run."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qtui.engine.remote.load import WorkerLoad

GENEROUS = 20.0
BURN = "data = bytearray(50 << 20)\nwhile True: pass"

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc")


def test_the_units_below_a_worker_count_with_cpu_and_memory() -> None:
    load = WorkerLoad()
    first = load.take()
    assert first is not None
    assert first[0] == 0.0
    with subprocess.Popen([sys.executable, "-c", BURN]) as burning:
        try:
            deadline = time.monotonic() + GENEROUS
            while (taken := load.take()) is not None and (taken[0] < 10 or taken[1] < first[1] + (50 << 20)):
                assert time.monotonic() < deadline, f"the child is never seen: {taken}"
                time.sleep(0.05)
        finally:
            burning.kill()
    last = load.take()
    assert last is not None
    assert last[1] < first[1] + (50 << 20), "what has ended has no memory"


def test_two_looks_at_one_moment_tell_the_same() -> None:
    load = WorkerLoad()
    load.take()
    end = time.thread_time() + 0.15
    while time.thread_time() < end:
        os.getpid()
    taken = load.take()
    assert taken is not None
    assert taken[0] > 0
    again = load.take()
    assert again is not None
    assert again[0] == taken[0]
