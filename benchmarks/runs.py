"""qtui driven as a library, with a state directory, so that logs and all else that real runs write is written.

qtui is imported when it is used: the other contenders' processes are not to pay for it.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.work import fifo_pair, stamp, warm

if TYPE_CHECKING:
    from qtui import Workflow
    from qtui.core.definition import WorkflowDefinition
    from qtui.core.session import RunSession

RUN_SECONDS = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Times on the monotonic clock, the process of every unit by name, and the value that was asked for."""

    begun: float
    finished: float
    asked: float
    closed: float
    pids: dict[str, int]
    value: Any

    @property
    def whole(self) -> float:
        """Seconds from the definition in hand until everything is closed."""
        return self.closed - self.begun


def process_workflow(name: str) -> Workflow:
    """An empty workflow whose units run in two worker processes."""
    from qtui import Workflow

    return Workflow(name, mode="process", workers=2)


def command_workflow(name: str, at_once: int) -> Workflow:
    """An empty workflow that runs so many commands at once."""
    from qtui import Workflow

    return Workflow(name, workers=at_once)


def add_warm_workers(workflow: Workflow, directory: Path, kind: str = "bytes") -> list[str]:
    """Add two units that end when both workers are there, and return their names."""
    fifos = fifo_pair(directory / "warm")
    for me in (0, 1):
        workflow.add_unit(warm, name=f"warm{me}", args={"fifos": fifos, "me": me, "kind": kind})
    return ["warm0", "warm1"]


def add_gate(workflow: Workflow, directory: Path) -> tuple[str, Path]:
    """Add units that take the time once both workers are there: the last one's name, and the file of the time."""
    path = directory / "gate"
    workflow.add_unit(stamp, add_warm_workers(workflow, directory), name="gate", args={"path": str(path)})
    return "gate", path


def complete(definition: WorkflowDefinition, ask: str | None = None) -> Run:
    """Run it to its end and ask for the value of one unit. Raises RuntimeError unless all units completed."""
    from qtui import open_services

    with tempfile.TemporaryDirectory(prefix="qtui-bench-") as state:
        begun = time.perf_counter()
        with open_services(Path(state)) as services:
            session = services.manager.start(definition)
            ended = session.wait(RUN_SECONDS)
            finished = time.perf_counter()
            if ended is None or ended.exit_code != 0:
                raise RuntimeError(f"the run did not complete: {_first_error(session)}")
            value = session.result(ask) if ask is not None else None
            asked = time.perf_counter()
            pids = _pids(session) if len(session.plan.table) < 100 else {}
            looked = time.perf_counter()
        closed = time.perf_counter() - (looked - asked)
    return Run(begun=begun, finished=finished, asked=asked, closed=closed, pids=pids, value=value)


def _pids(session: RunSession) -> dict[str, int]:
    view = session.view()
    return {unit.id: view.unit(number).pid for number, unit in enumerate(session.plan.table)}


def _first_error(session: RunSession) -> str:
    view = session.view()
    for number, unit in enumerate(session.plan.table):
        error = view.unit(number).error
        if error is not None:
            return f"{unit.id}: {error}"
    return "it took too long" if view.state.value == "running" else f"it is {view.state}"
