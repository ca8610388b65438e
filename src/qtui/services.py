"""The composition root: what a program needs of qtui, built in order and closed in reverse."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from qtui.core.projector import StateProjector
from qtui.engine.bus import EventBus
from qtui.manager import WorkflowManager


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """One instance of each part that front ends and libraries share."""

    bus: EventBus
    state_projector: StateProjector
    manager: WorkflowManager


@contextmanager
def open_services(state_dir: Path | None = None) -> Iterator[Services]:
    """Build the services; leaving the block closes every run that is still open.

    Without `state_dir` no file is written.
    """
    bus = EventBus()
    state_projector = StateProjector({"tasks": {}, "workflows": {}})
    manager = WorkflowManager(bus=bus, state_dir=state_dir, state_projector=state_projector)
    try:
        yield Services(bus=bus, state_projector=state_projector, manager=manager)
    finally:
        manager.close()
