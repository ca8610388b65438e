"""How a run is driven: the [workflow] settings, and the command line over them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qtui.core.model import RunOptions
from qtui.definition.keys import MOST_WORKERS
from qtui.definition.values import Fault, Rejected


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """What the command line says over the workflow; None leaves the workflow's own value."""

    workers: int | None = None
    keep_going: bool | None = None


def default_workers(max_workers: int | None = None) -> int:
    """What ``workers = "auto"`` begins with: four for each core this process may use, at most `max_workers`."""
    # not every system lets a process ask for its own share
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(4 * cores, max_workers or MOST_WORKERS, MOST_WORKERS)


def build_options(settings: Mapping[str, Any], overrides: Overrides | None) -> RunOptions:
    """The options from parsed `settings`; raises `Rejected` if they contradict each other."""
    fields = {name: value for name, value in settings.items() if name in RunOptions.__dataclass_fields__}
    workers, max_workers = settings.get("workers"), settings.get("max_workers")
    if workers and max_workers and workers > max_workers:
        raise Rejected(Fault(f"{workers} workers are more than max_workers = {max_workers}", None, ("workers",)))
    fields["workers"] = workers or default_workers(max_workers)
    if overrides is not None and overrides.workers is not None:
        fields["workers"] = overrides.workers
        if max_workers:
            fields["max_workers"] = max(max_workers, overrides.workers)
    if overrides is not None and overrides.keep_going is not None:
        fields["keep_going"] = overrides.keep_going
    return RunOptions(**fields)
