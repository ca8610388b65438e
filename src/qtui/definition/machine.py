"""What of the machine this process may use: its cores and its memory, limits of its control group included."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_CGROUPS: Final = Path("/sys/fs/cgroup")
_MEMINFO: Final = Path("/proc/meminfo")
_OWN_GROUP: Final = Path("/proc/self/cgroup")


def cores() -> float:
    """The cores this process may use: those it is bound to, or less if its control group gets less time."""
    # not every system lets a process ask for its own share
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    shares = [float(bound)]
    for group in groups():
        quota, _, period = _read(group / "cpu.max").partition(" ")
        if quota.isdigit() and period.strip().isdigit() and int(period):
            shares.append(int(quota) / int(period))
    return max(min(shares), 0.01)


def memory() -> int | None:
    """The bytes of memory this process may use; None if the system does not tell."""
    known = [int(text) for group in groups() if (text := _read(group / "memory.max").strip()).isdigit()]
    for line in _read(_MEMINFO).splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if name == "MemTotal" and words and words[0].isdigit():
            known.append(int(words[0]) * 1024)
    return min(known, default=None)


def groups() -> list[Path]:
    """The directories of the control group of this process and of those around it."""
    own = next((line[3:] for line in _read(_OWN_GROUP).splitlines() if line.startswith("0::")), "/")
    inside = _CGROUPS / own.strip("/")
    return [path for path in (inside, *inside.parents) if path.is_relative_to(_CGROUPS)]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
