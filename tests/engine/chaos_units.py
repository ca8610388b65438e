"""What the units of the chaos test do; a module of its own, so that workers import little."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import Any


def behave(number: int) -> int:
    return number * number


def raise_error(number: int) -> int:
    raise ValueError(number)


def kill_itself(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def leave(number: int) -> int:
    os._exit(3)


def exit_early(number: int) -> int:
    sys.exit(number)


def return_a_lock(number: int) -> Any:
    return threading.Lock()


def hang(number: int) -> int:
    time.sleep(300)
    return number


def leave_a_child(number: int) -> int:
    os.spawnlp(os.P_NOWAIT, "setsid", "setsid", "sleep", "300")
    return number * number
