"""How a run is driven: RunOptions, and the brakes that hold starts when units fail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from qtui.core.model import Argv, ExecutionMode, QuantumUnit, Shell

CLUSTERS: Final[Mapping[str, str]] = {"dask": "distributed"}
"""The executors that are clusters, each with the package that it needs: they run commands, too, and say themselves how
many units they have room for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Brake:
    """Holds new starts after `count` failures in a row: until a person lets go, or for good with `then` ``"stop"``.

    With `same` only failures that look alike count: of one exit code or exception, and with one last line but for
    numbers and paths. With `probe` one unit is let through after that many seconds, and its success lets go.
    """

    count: int
    same: bool = False
    then: Literal["pause", "stop"] = "pause"
    probe: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How a run is driven.

    `workers` is the number of units of all lanes together that may run at a time, `max_workers` the bound for
    changing it, `max_async` the most coroutines at a time. In an `adaptive` run `workers` is what each lane begins with
    (see `WorkerTargets`), and the governor goes on from there, down to `min_workers`, and keeps what the machine uses
    below `memory_target` bytes. Of the rest: `grace` the seconds between asking a unit to stop and
    killing it. `keep_going` False starts nothing new after the first failure. `timeout` is the longest the whole run
    may take, in seconds; `nice` is added to the niceness of every process that units run in. Up to `max_abandoned`
    attempts that cannot be stopped (by default as many as `workers`) are replaced while they go on.

    `pools` are the sizes of the named pools, `cpus` and `memory` (bytes) the budgets for what units declare, None
    meaning no limit. `brakes` hold starts after failures in a row, by scope: ``""`` for the whole run, ``group:NAME``,
    ``tag:NAME`` or ``pool:NAME``; `group_pools` are the pools that an item of a group holds from its first start to its
    last end. Once the run is being stopped, handlers have `handler_timeout` seconds. Units whose ids match one of
    `approved` (globs) need no confirmation. `again` says up to which attempt units that are not idempotent may be done
    again, by id: when one is added anew, and has begun more often than that, it asks first. Of a cluster `address` is
    that of its scheduler, None for one that is made for the run; `insecure` allows one on another machine without
    encryption.
    """

    workers: int = 4
    adaptive: bool = False
    min_workers: int = 1
    max_workers: int = 1024
    max_async: int = 256
    keep_going: bool = True
    grace: float = 5.0
    timeout: float | None = None
    nice: int = 0
    max_abandoned: int | None = None
    pools: Mapping[str, int] = field(default_factory=dict)
    group_pools: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    cpus: float | None = None
    memory: int | None = None
    memory_target: int | None = None
    brakes: Mapping[str, Brake] = field(default_factory=dict)
    handler_timeout: float = 300.0
    approved: tuple[str, ...] = ()
    again: Mapping[str, int] = field(default_factory=dict)
    mode: ExecutionMode = ExecutionMode.AUTO
    executor: str | None = None
    address: str | None = None
    insecure: bool = False

    @property
    def elsewhere(self) -> frozenset[ExecutionMode]:
        """The modes of units that run in a cluster, so that the budgets of this machine are not theirs; `auto` among
        them means units that have no mode of their own."""
        if self.executor not in CLUSTERS:
            return frozenset()
        modes = {ExecutionMode.CUSTOM}
        return frozenset(modes | {ExecutionMode.AUTO} if self.mode is ExecutionMode.CUSTOM else modes)


def in_its_place(unit: QuantumUnit, options: RunOptions) -> QuantumUnit:
    """The unit with a mode that says, if it is a command, where it runs: ``custom`` is the run's cluster, and any other
    executor takes functions only. What is no command is left alone."""
    if not isinstance(unit.action, Shell | Argv):
        return unit
    if unit.mode in options.elsewhere:
        return replace(unit, mode=ExecutionMode.CUSTOM)
    return replace(unit, mode=ExecutionMode.AUTO) if unit.mode is ExecutionMode.CUSTOM else unit
