"""Workflows that a WorkflowManager was given task by task: what they are, and what became of their last execution."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol, cast

from qtui.core.definition import WorkflowDefinition
from qtui.core.errors import BrokenResult, InvalidWorkflow, Problem, UsageError, did_you_mean
from qtui.core.events import RunFinished
from qtui.core.model import QuantumUnit, UnitState
from qtui.core.state import RunView, UnitView
from qtui.core.stimuli import CancelRunRequested, Request
from qtui.engine.bus import EventBus
from qtui.partitioner import QuantumPartitioner
from qtui.taskunits import caller

CREATED = "CREATED"
"""The status of a workflow before its first execution; later ones are the names of `RunState`."""


CLOSED = "the manager was closed"


class Session(Protocol):
    """What an execution uses of the session of a run."""

    @property
    def run(self) -> str: ...

    def view(self) -> RunView: ...

    def request(self, request: Request) -> None: ...

    def result(self, unit: str) -> object: ...

    def wait(self, timeout: float | None = None) -> RunFinished | None: ...

    def close(self) -> None: ...


class ManagedWorkflow:
    """One workflow: the partitioner that has its tasks, and its last execution once there is one."""

    def __init__(self, name: str, description: str, bus: EventBus, settings: Mapping[str, Any]) -> None:
        self.id = os.urandom(16).hex()
        self.name, self.description = name, description
        self.created_at = time.time()
        if "bus" in settings:
            raise InvalidWorkflow([Problem(message="a workflow has the bus of its manager", where=str(caller()))])
        self.partitioner = QuantumPartitioner(name=name, bus=bus, **settings)
        self.last: ManagedExecution | None = None

    def add(self, task: QuantumUnit | Callable[..., Any], keys: Mapping[str, Any]) -> QuantumUnit:
        """Add a task, see `QuantumPartitioner.add_unit`. Raises UsageError while the workflow is being executed."""
        self._check_idle()
        return self.partitioner.add_unit(task, **keys)

    def definition(self, inputs: Mapping[str, Any]) -> WorkflowDefinition:
        """What a run of it begins with; `inputs` are what tasks find in their context beside the results they need.

        Raises InvalidWorkflow for what cannot run, and UsageError while the workflow is being executed.
        """
        self._check_idle()
        definition = self.partitioner.definition(inputs)
        # tasks run where the program runs, and not beside the file that made them
        units = tuple(self.partitioner.units.values())
        return replace(definition, description=self.description, units=units, directory=None, source=None)

    def status(self) -> dict[str, Any]:
        """All that is known, see `WorkflowManager.get_workflow_status`."""
        known: dict[str, Any] = {
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "status": CREATED,
            "created_at": self.created_at,
            "task_count": len(self.partitioner.units),
        }
        return known if self.last is None else {**known, **self.last.status()}

    def task_status(self, task_id: str) -> dict[str, Any]:
        """What is known of one task. Raises UsageError for a task that there is not."""
        known: dict[str, Any] = {"id": task_id, "workflow_id": self.id}
        if self.last is not None and (found := self.last.task_status(task_id)) is not None:
            return known | found
        if task_id not in self.partitioner.units:
            hint = did_you_mean(task_id, self.partitioner.units)
            raise UsageError(f'workflow "{self.name}" has no task "{task_id}"' + (f" ({hint})" if hint else ""))
        return known | {"status": UnitState.PENDING.name}

    def has(self, task_id: str) -> bool:
        """True if there is a task of that id, be it one that a task has added to the last execution."""
        return task_id in self.partitioner.units or (self.last is not None and task_id in self.last.view().plan.numbers)

    def _check_idle(self) -> None:
        if self.last is not None and not self.last.over.is_set():
            raise UsageError(f'workflow "{self.name}" is being executed')


class ManagedExecution:
    """A run of a workflow while it goes on, and what stays of it.

    A thread of its own waits for the end, takes the results, closes the session and calls `released`.
    """

    def __init__(self, session: Session, grace: float, released: Callable[[], object]) -> None:
        self._session: Session | None = session
        self._view: RunView | None = None
        self._results: dict[str, dict[str, Any]] | None = None
        self._collecting = threading.Lock()
        self.run, self.grace = session.run, grace
        self.over = threading.Event()
        """Set when everybody was told of the end and all that the run had is given back."""
        thread = threading.Thread(
            target=self._finish, args=(session, released), name=f"qtui-execution-{self.run}", daemon=True
        )
        thread.start()

    def view(self) -> RunView:
        """What is known of the run."""
        session = self._session
        return session.view() if session is not None else cast("RunView", self._view)

    def cancel(self, cause: str) -> None:
        """Ask all that runs to stop; asked twice, it is killed."""
        session = self._session
        if session is not None:
            session.request(CancelRunRequested("stop", cause))

    def status(self) -> dict[str, Any]:
        """Status and times, and at the end the results."""
        view = self.view()
        known: dict[str, Any] = {"execution_id": self.run, "status": "RUNNING", "task_count": len(view.plan)}
        if view.started_at is not None:
            known["started_at"] = view.started_at
        if (end := view.finished) is None:
            return known | ({"status": "INTERRUPTED", "error": CLOSED} if self.over.is_set() else {})
        known |= {"status": end.state.name, "completed_at": end.at, "duration": end.duration}
        known["task_results"] = results = self._collect(view)
        errors = [f"{task}: {result['error']}" for task, result in results.items() if "error" in result]
        return known | ({"error": "\n".join(errors)} if errors else {})

    def task_status(self, task_id: str) -> dict[str, Any] | None:
        """What is known of a task, or None if the run has none of that id."""
        view = self.view()
        number = view.plan.numbers.get(task_id)
        if number is None:
            return None
        unit = view.unit(number)
        known: dict[str, Any] = {"status": unit.state.name, "attempt": unit.attempt}
        if unit.started_at is not None:
            known["started_at"] = unit.started_at
        if (end := unit.finished) is None:
            return known | ({"cause": unit.cause} if unit.cause else {})
        result = self._collect(view)[task_id] if view.finished is not None else self._result(unit)
        return known | {"completed_at": end.at, "duration": end.duration} | result

    def _finish(self, session: Session, released: Callable[[], object]) -> None:
        session.wait()
        view = session.view()
        if view.finished is not None:
            self._collect(view)
        session.close()
        with self._collecting:
            self._view, self._session = session.view(), None
        self.over.set()
        released()

    def _collect(self, view: RunView) -> dict[str, dict[str, Any]]:
        """The results by task. They are taken before the run is let go, for with it go the files of large ones."""
        with self._collecting:
            if self._results is None:
                self._results = {unit.id: self._result(unit) for unit in view.units}
            return self._results

    def _result(self, unit: UnitView) -> dict[str, Any]:
        result: dict[str, Any] = {"status": unit.state.name, "result": None}
        session = self._session
        if unit.state is not UnitState.COMPLETED:
            return result | ({"error": unit.cause} if unit.cause else {})
        try:
            return result | {"result": session.result(unit.id) if session is not None else None}
        except BrokenResult as error:
            return result | {"error": str(error)}
