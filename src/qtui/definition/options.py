"""How a run is driven: the [workflow] settings, and the command line over them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from qtui.core.model import ExecutionMode
from qtui.core.options import CLUSTERS, RunOptions
from qtui.definition import machine
from qtui.definition.values import MOST_WORKERS, Fault, Rejected
from qtui.definition.workflow_keys import Percent

MEMORY_SHARE: Final = 0.75
"""The part of the memory that an adaptive run leaves to nobody else, unless the workflow has a `memory_limit`."""

GIVEN: Final = "--executor"
"""Where an executor is written that the workflow does not name itself."""

_OWN_NAMES: Final = frozenset({"workers", "min_workers", "max_workers", "memory"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """What the command line says over the workflow; None leaves the workflow's own value.

    `workers` is a fixed number, or ``"auto"`` for one that adapts, whatever the workflow's strategy. A number lies
    within `min_workers` and `max_workers`; what the workflow says of the three gives way to what is said here.
    `env` are variables that go over every one that the workflow sets. An `executor` is for all units without a mode of
    their own; the workflow's address of a cluster is not meant for another one. `address` and `insecure` are as in
    RunOptions.
    """

    workers: int | Literal["auto"] | None = None
    min_workers: int | None = None
    max_workers: int | None = None
    keep_going: bool | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    executor: str | None = None
    address: str | None = None
    insecure: bool = False


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
    given = overrides or Overrides()
    settings = _with_executor(settings, given)
    faults = [*_contradictions(settings), *_without_cluster(settings, given)]
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
    fields |= _workers(settings, given)
    fields["memory_target"] = fields.get("memory") or _share_of_memory(memory)
    if given.keep_going is not None:
        fields["keep_going"] = given.keep_going
    return RunOptions(**fields, insecure=given.insecure)


def _with_executor(settings: Mapping[str, Any], given: Overrides) -> dict[str, Any]:
    """The settings, with the executor that is `given` in place of their own, and the address."""
    said: dict[str, Any] = dict(settings)
    if given.executor is not None:
        if given.executor != said.get("executor"):
            said.pop("address", None)
        said |= {"executor": given.executor, "mode": ExecutionMode.CUSTOM}
    if given.address is not None:
        said["address"] = given.address
    return said


def _without_cluster(settings: Mapping[str, Any], given: Overrides) -> Iterator[Fault]:
    """What is said of a cluster where there is none."""
    if settings.get("executor") in CLUSTERS:
        return
    if given.address is not None or given.insecure:
        flag = "--address" if given.address is not None else "--insecure"
        yield Fault(f"{flag} is about a cluster, and there is none", "add --executor dask")
    elif "address" in settings:
        yield Fault("is that of a cluster, and there is none", 'add executor = "dask"', ("address",))


def _workers(settings: Mapping[str, Any], given: Overrides) -> dict[str, Any]:
    """The number of workers and its bounds: what is `given` counts, and moves what the workflow says otherwise."""
    workers = settings.get("workers") if given.workers is None else given.workers
    least: int | None = settings.get("min_workers")
    most: int | None = settings.get("max_workers")
    fixed = [given.workers] if isinstance(given.workers, int) else []
    if most:
        most = max(most, given.min_workers or 1, *fixed)
    if least:
        least = min(least, given.max_workers or MOST_WORKERS, *fixed)
    least, most = given.min_workers or least, given.max_workers or most
    if isinstance(workers, int):
        workers = min(max(workers, given.min_workers or 1), given.max_workers or MOST_WORKERS)
    adapts = workers == "auto" or (not workers and settings.get("strategy", "adaptive") == "adaptive")
    first = workers if isinstance(workers, int) else default_workers(most, least)
    bounds = {"min_workers": least, "max_workers": most}
    return {"workers": first, "adaptive": adapts} | {name: bound for name, bound in bounds.items() if bound}


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
