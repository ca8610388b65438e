"""This machine, this boot of it, and its processes: told apart from others that see the same files."""

from __future__ import annotations

import functools
import os
from pathlib import Path


def host_name() -> str:
    """What this machine calls itself."""
    return os.uname().nodename


@functools.cache
def boot_id() -> str:
    """The kernel's name for this boot, the same in all containers on it; empty where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def process_started(pid: int) -> float | None:
    """When a process began, in seconds since boot; None if there is no such process, or no way to tell.

    With the pid and the boot it names a process for good: pids are used again.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # the name of the program is in parentheses and may hold any byte; the 20th field after it is the start
    return int(stat.rpartition(b")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
