"""A whole workflow as a value: WorkflowDefinition, which every loader makes and every run begins with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from qtui.core.errors import Problem
from qtui.core.model import QuantumUnit
from qtui.core.options import RunOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class Notify:
    """How people are told of what happens: `bell` rings the terminal's, `run` is a command for the events in `on`.

    Only once the run has taken `after` seconds, but for questions.
    """

    bell: Literal["never", "failure", "always"] = "never"
    after: float = 0.0
    run: tuple[str, ...] = ()
    on: frozenset[str] = frozenset({"failure", "end", "confirm", "pause", "stall"})


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowDefinition:
    """A whole workflow, loaded and with its params filled in: everything a run needs to begin.

    `params` are the resolved values; `directory` is where relative paths start and what user modules are imported
    from; `source` the file it came from, if any. Each unit's `env` and `cwd` are already complete. `secrets` are names
    of environment variables whose values nobody is to see. `on_hangup` is what a run does when its terminal goes:
    ``continue`` or ``cancel``; `concurrency` what it does while another of the same workflow goes on: ``allow``,
    ``refuse`` or ``queue``. With `durability` ``full`` its record survives a loss of power; results of more than
    `persist_max` bytes are not kept in it. `advice` is what its author should know, but need not heed.
    """

    name: str
    units: tuple[QuantumUnit, ...]
    description: str = ""
    options: RunOptions = field(default_factory=RunOptions)
    params: Mapping[str, Any] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    notify: Notify | None = None
    on_hangup: str = "continue"
    concurrency: str = "allow"
    durability: str = "normal"
    persist_max: int = 256 << 20
    directory: str | None = None
    source: str | None = None
    advice: tuple[Problem, ...] = ()
