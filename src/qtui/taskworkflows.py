"""Workflows that a program makes task by task and executes in the background: one half of WorkflowManager."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from qtui.core.definition import WorkflowDefinition
from qtui.core.errors import UsageError
from qtui.core.model import QuantumUnit
from qtui.core.projector import StateProjector
from qtui.engine.bus import EventBus, EventType, pending_data
from qtui.engine.engine import CLOSE_SECONDS
from qtui.engine.files import new_run_id
from qtui.live import LiveSession
from qtui.managed import CLOSED, CREATED, ManagedExecution, ManagedWorkflow
from qtui.projections import Follower, add_projections


class TaskWorkflows(ABC):
    """Keeps the workflows and tells the bus what becomes of them; whoever inherits it opens the runs.

    `state_projector` has what is known of them as plain data. Any thread may call its methods.
    """

    def __init__(self, bus: EventBus, state_projector: StateProjector) -> None:
        self._bus = bus
        self.state_projector = state_projector
        add_projections(state_projector)
        self._follower: Follower | None = None
        self._workflows: dict[str, ManagedWorkflow] = {}
        self._closed = False
        self._lock = threading.Lock()

    @abstractmethod
    def _open(self, definition: WorkflowDefinition, run: str, workflow: str = "") -> LiveSession:
        """The session of a run that is still to begin; `workflow` is the id of the workflow that it executes."""

    @abstractmethod
    def _forget(self, run: str) -> None:
        """The session of a run was closed."""

    def create_workflow(
        self,
        name: str,
        description: str = "",
        tasks: Iterable[QuantumUnit | Callable[..., Any]] = (),
        **settings: Any,
    ) -> str:
        """Make a workflow of these tasks, to which more may be added; returns its id.

        `settings` are those of a `QuantumPartitioner`: ``max_workers``, ``default_execution_mode`` and so on. Raises
        InvalidWorkflow or UsageError for tasks and settings that cannot be right; then there is no workflow.
        """
        workflow = ManagedWorkflow(name, description, self._bus, settings)
        units = [workflow.add(task, {}) for task in tasks]
        with self._lock:
            self._follower = self._follower or Follower(self._bus, self.state_projector)
            self._follower.add(workflow.id)
            self._workflows[workflow.id] = workflow
        self._tell(EventType.WORKFLOW_CREATED, workflow, name=name, description=description, status=CREATED)
        for unit in units:
            self._tell_pending(workflow, unit)
        return workflow.id

    def add_task(self, workflow_id: str, task: QuantumUnit | Callable[..., Any], **keys: Any) -> str:
        """Add a unit to a workflow, or a function and the `keys` of one: see `QuantumPartitioner.add_unit`.

        Returns the unit's id. Raises UsageError for an unknown workflow, and while the workflow is being executed, and
        InvalidWorkflow for a unit that cannot be right.
        """
        with self._lock:
            workflow = self._workflow(workflow_id)
            unit = workflow.add(task, keys)
        self._tell_pending(workflow, unit)
        return unit.id

    def execute_workflow(self, workflow_id: str, context: Mapping[str, Any] | None = None) -> str:
        """Begin to execute a workflow in the background; returns the id of this execution.

        Tasks find what is in `context` in theirs, and ``workflow_id`` and ``execution_id``. Several workflows may be
        executed at a time, one of them again when its last execution has ended. Raises UsageError if it has not or the
        manager was closed, and InvalidWorkflow if the tasks make no plan or one is called like a key of `context`; then
        nothing was begun.
        """
        run = new_run_id()
        with self._lock:
            workflow = self._workflow(workflow_id)
            if self._closed:
                raise UsageError(f'workflow "{workflow.name}" cannot be executed: {CLOSED}')
            again = workflow.last is not None
            definition = workflow.definition({**(context or {}), "workflow_id": workflow_id, "execution_id": run})
            session = self._open(definition, run, workflow_id)
            workflow.last = ManagedExecution(session, definition.options.grace, lambda: self._forget(run))
        try:
            for unit in definition.units if again else ():
                self._tell_pending(workflow, unit)
            session.begin()
        except BaseException:
            session.close()
            raise
        return run

    def get_workflow_status(self, workflow_id: str) -> dict[str, Any]:
        """What is known of a workflow and its last execution; keys that have no value yet are not there.

        ``id``, ``name``, ``description``, ``status`` (CREATED, or the name of a RunState), ``created_at``,
        ``task_count``, ``execution_id``, ``started_at``, ``completed_at`` (Unix seconds), ``duration`` (seconds),
        ``error`` (a text), and at the end ``task_results``: by task ``status`` (the name of a UnitState), ``result``,
        and ``error`` if there was one. Raises UsageError for an unknown workflow.
        """
        with self._lock:
            workflow = self._workflow(workflow_id)
        return workflow.status()

    def get_task_status(self, task_id: str, workflow_id: str | None = None) -> dict[str, Any] | None:
        """What is known of a task: ``id``, ``workflow_id``, ``status``, and, once there, ``attempt``, ``started_at``,
        ``completed_at``, ``duration``, ``result``, ``error``, ``cause``.

        Without `workflow_id` it is the task of the newest workflow that has one of that id, and None if there is none.
        Raises UsageError for an unknown workflow, and for a task that it does not have.
        """
        with self._lock:
            if workflow_id is not None:
                workflow = self._workflow(workflow_id)
            else:
                having = (each for each in reversed(self._workflows.values()) if each.has(task_id))
                found = next(having, None)
                if found is None:
                    return None
                workflow = found
        return workflow.task_status(task_id)

    def wait(self, workflow_id: str, timeout: float | None = None) -> dict[str, Any] | None:
        """Wait until the workflow's last execution has ended and every subscriber was told; returns its status.

        None if `timeout` seconds pass first. Raises UsageError if it was never executed. Not for handlers of events,
        which the end waits for.
        """
        if not self._last(workflow_id).over.wait(timeout):
            return None
        return self.get_workflow_status(workflow_id)

    def cancel(self, workflow_id: str) -> None:
        """Stop the workflow's last execution; asked twice, what runs is killed. Nothing happens if it has ended.

        Raises UsageError if it was never executed.
        """
        self._last(workflow_id).cancel("canceled by the program")

    def _workflow(self, workflow_id: str) -> ManagedWorkflow:
        try:
            return self._workflows[workflow_id]
        except KeyError:
            raise UsageError(f"there is no workflow {workflow_id} here") from None

    def _last(self, workflow_id: str) -> ManagedExecution:
        with self._lock:
            workflow = self._workflow(workflow_id)
        if workflow.last is None:
            raise UsageError(f'workflow "{workflow.name}" was never executed')
        return workflow.last

    def _tell_pending(self, workflow: ManagedWorkflow, unit: QuantumUnit) -> None:
        self._tell(EventType.TASK_PENDING, workflow, **pending_data(unit))

    def _tell(self, event_type: EventType, workflow: ManagedWorkflow, **data: Any) -> None:
        for who, error in self._bus.tell(event_type, {"workflow_id": workflow.id, **data}, workflow.id):
            import logging  # here, because hardly any start of qtui needs it

            logging.getLogger("qtui").warning("%s raised at %s", who, event_type.name, exc_info=error)

    # -- the end -------------------------------------------------------------------------------------------

    def _cancel_executions(self) -> None:
        """Execute nothing more, cancel what goes on, and wait as long as that may take."""
        with self._lock:
            self._closed = True
        executions = self._executions()
        for execution in executions:
            execution.cancel(CLOSED)
        for execution in executions:
            execution.over.wait(execution.grace + CLOSE_SECONDS)

    def _let_go_of_executions(self) -> None:
        """Wait until every execution, its session being closed, is over; then nobody is told anything any more."""
        for execution in self._executions():
            execution.over.wait()
        if self._follower is not None:
            self._follower.close()

    def _executions(self) -> list[ManagedExecution]:
        with self._lock:
            return [workflow.last for workflow in self._workflows.values() if workflow.last is not None]
