"""How a run is driven: the [workflow] settings, and the command line over them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from qtui.core.model import ExecutionMode, RunOptions
from qtui.definition import machine
from qtui.definition.values import Fault, Rejected
from qtui.definition.workflow_keys import MOST_WORKERS, Percent

MEMORY_SHARE: Final = 0.75
"""The part of the memory that an adaptive run leaves to nobody else, unless the workflow has a `memory_limit`."""

_OWN_NAMES: Final = frozenset({"workers", "memory"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """What the command line says over the workflow; None leaves the workflow's own value.

    `env` are variables that go over every one that the workflow sets.
    """

    workers: int | None = None
    keep_going: bool | None = None
    env: Mapping[str, str] = field(default_factory=dict)


def default_workers(max_workers: int | None = None, min_workers: int | None = None) -> int:
    """What ``workers = "auto"`` begins with: four for each core this process may use, within the bounds."""
    workers = max(4 * math.ceil(machine.cores()), min_workers or 1)
    return min(workers, max_workers or MOST_WORKERS, MOST_WORKERS)


def build_options(
    settings: Mapping[str, Any],
    overrides: Overrides | None,
    memory: Callable[[], int | None] = machine.memory,
) -> RunOptions:
    """The options from parsed `settings`; raises `Rejected` if they contradict each other.

    `memory` tells how many bytes percentages are of.
    """
    faults = list(_contradictions(settings))
    fields = {
        name: value
        for name, value in settings.items()
        if name in RunOptions.__dataclass_fields__ and name not in _OWN_NAMES
    }
    fields.setdefault("cpus", machine.cores())
    try:
        fields["memory"] = _bytes(settings.get("memory_limit"), memory)
    except Rejected as rejected:
        faults += rejected.faults
    if faults:
        raise Rejected(*faults)
    if "brake" in settings:
        fields["brakes"] = {"": settings["brake"]}
    workers, max_workers = settings.get("workers"), settings.get("max_workers")
    fields["workers"] = workers or default_workers(max_workers, settings.get("min_workers"))
    fields["adaptive"] = not workers and settings.get("strategy", "adaptive") == "adaptive"
    fields["memory_target"] = fields.get("memory") or _share_of_memory(memory)
    if overrides is not None and overrides.workers is not None:
        fields["workers"], fields["adaptive"] = overrides.workers, False
        if max_workers:
            fields["max_workers"] = max(max_workers, overrides.workers)
    if overrides is not None and overrides.keep_going is not None:
        fields["keep_going"] = overrides.keep_going
    return RunOptions(**fields)


def _contradictions(settings: Mapping[str, Any]) -> list[Fault]:
    workers, least, most = (settings.get(name) for name in ("workers", "min_workers", "max_workers"))
    faults = []
    if workers and most and workers > most:
        faults.append(Fault(f"{workers} workers are more than max_workers = {most}", None, ("workers",)))
    if workers and least and workers < least:
        faults.append(Fault(f"{workers} workers are less than min_workers = {least}", None, ("workers",)))
    if least and most and least > most:
        faults.append(Fault(f"{least} is more than max_workers = {most}", None, ("min_workers",)))
    if settings.get("mode") is ExecutionMode.CUSTOM and "executor" not in settings:
        faults.append(Fault('mode = "custom" needs an executor', 'add executor = "module:factory"', ("mode",)))
    return faults


def _share_of_memory(memory: Callable[[], int | None]) -> int | None:
    whole = memory()
    return None if whole is None else int(whole * MEMORY_SHARE)


def _bytes(limit: int | Percent | None, memory: Callable[[], int | None]) -> int | None:
    if not isinstance(limit, Percent):
        return limit
    whole = memory()
    if whole is None:
        hint = 'give a size, such as "4G"'
        raise Rejected(Fault("cannot tell how much memory this machine has", hint, ("memory_limit",)))
    return int(whole * limit.percent / 100)
