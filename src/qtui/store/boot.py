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
