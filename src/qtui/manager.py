"""WorkflowManager: the one façade that front ends may call."""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from qtui.core.errors import UsageError
from qtui.core.events import RunFinished
from qtui.core.model import QuantumUnit, RunOptions, UnitState, WorkflowDefinition
from qtui.core.plan import ExecutionPlan
from qtui.core.projector import StateProjector
from qtui.core.samples import LoadSample
from qtui.core.session import Answer, Feed, LogChunk, RunSession
from qtui.core.state import RunView
from qtui.core.stimuli import Request
from qtui.engine.bus import EventBus, EventType, pending_data
from qtui.engine.cache import ResultCache
from qtui.engine.engine import CLOSE_SECONDS, Engine
from qtui.engine.files import RunFiles
from qtui.engine.notify import Notifier
from qtui.engine.output import routed_output
from qtui.engine.probe import Probe, place_of
from qtui.loaders.executors import executor_of
from qtui.loaders.load import Ask, load_definition
from qtui.managed import CLOSED, CREATED, ManagedExecution, ManagedWorkflow
from qtui.projections import Follower, add_projections
from qtui.store.rundir import RunDirectory, find_run
from qtui.workflow import Overrides

if TYPE_CHECKING:
    from qtui.attached import AttachedSession
    from qtui.replayed import ReplaySession

__all__ = ["LiveSession", "WorkflowManager", "routed_output"]


class LiveSession:
    """A run whose engine is in this process; see RunSession for what its methods promise."""

    kind: Final = "live"
    read_only: Final = False
    trouble: Final = ""

    def __init__(self, engine: Engine, notifier: Notifier | None = None) -> None:
        self._engine, self._notifier = engine, notifier
        self._probe: Probe | None = None
        self._probe_lock = threading.Lock()

    @property
    def run(self) -> str:
        """The run's id."""
        return self._engine.run

    @property
    def plan(self) -> ExecutionPlan:
        """The run's units and how they depend on each other."""
        return self._engine.first_plan

    @property
    def opening(self) -> RunView:
        """Every unit pending."""
        return RunView.initial(self._engine.first_plan)

    @property
    def options(self) -> RunOptions:
        """How the run is driven."""
        return self._engine.options

    def view(self) -> RunView:
        """What is known now."""
        return self._engine.view()

    def now(self) -> float:
        """The run's clock."""
        return self._engine.now()

    def request(self, request: Request) -> None:
        """Post the request; the timer thread takes the turn, so the caller never waits."""
        self._engine.post(request)

    def answers(self) -> list[Answer]:
        """None: the engine here takes every request, and what comes of it is in the record."""
        return []

    def feed(self) -> Feed:
        """A new reader of the record."""
        return self._engine.feed()

    def read_log(self, unit: int, attempt: int, offset: int = 0, limit: int = 1 << 20) -> LogChunk:
        """A piece of an attempt's output."""
        return self._engine.logs.read(unit, attempt, offset, limit)

    def log_path(self, unit: int, attempt: int) -> str | None:
        """The file that holds an attempt's output, or None."""
        path = self._engine.logs.existing(unit, attempt)
        return str(path) if path is not None else None

    def sample(self) -> LoadSample:
        """What machine and running units use right now."""
        attempts = {each.start.unit: each for each in self._engine.attempts()}
        view = self.view()
        # units that were added a moment ago may run before the record has them
        pids = {number: view.unit(number).pid for number in attempts if number < len(view.plan)}
        places = {number: place_of(each, pids.get(number, 0)) for number, each in attempts.items()}
        with self._probe_lock:
            self._probe = self._probe or Probe()
            return self._probe.sample(places)

    def result(self, unit: str) -> object:
        """The value of a completed unit.

        Raises KeyError for an unknown unit and UsageError for one that has not completed.
        """
        number = self._engine.plan.numbers[unit]
        state = self._engine.state_of(number)
        if state is not UnitState.COMPLETED:
            raise UsageError(f"{unit} has no result: it {state.told}")
        return self._engine.value_of(number)

    def wait(self, timeout: float | None = None) -> RunFinished | None:
        """Wait for the end of the run."""
        return self._engine.wait(timeout)

    def close(self) -> None:
        """Let go of the run; what people are still to be told may take up to 30 seconds a message."""
        if self._notifier is not None:
            self._notifier.close()
        self._engine.close()


class WorkflowManager:
    """Loads workflows and runs them, several at a time if need be.

    With a `state_dir` each run keeps its logs in ``state_dir/runs/RUN/logs`` (0700), and results of units with a cache
    are kept in ``state_dir/cache.db`` (0600) and ``state_dir/cache``. Without one, Python units print
    to where qtui itself prints, and the output of other processes lives in a temporary directory until the run closes.

    A program that makes its workflows task by task uses `create_workflow`, `add_task` and `execute_workflow`; what
    becomes of them is told on the bus, and kept in `state_projector`. Any thread may call these.
    """

    def __init__(
        self, *, bus: EventBus, state_dir: Path | None = None, state_projector: StateProjector | None = None
    ) -> None:
        self._bus, self._state_dir = bus, state_dir
        self._sessions: dict[str, LiveSession] = {}
        self.state_projector = state_projector or StateProjector({"tasks": {}, "workflows": {}})
        add_projections(self.state_projector)
        self._follower: Follower | None = None
        self._workflows: dict[str, ManagedWorkflow] = {}
        self._lock = threading.Lock()

    def load(
        self,
        target: str,
        params: Mapping[str, str] | None = None,
        overrides: Overrides | None = None,
        ask: Ask | None = None,
    ) -> WorkflowDefinition:
        """Load and check a workflow: a ``.toml`` or ``.py`` file, ``file.py:name`` or ``package.module:name``.

        `ask` is called for each param that must be given and is not. Raises InvalidWorkflow with every fault found.
        """
        return load_definition(target, params or {}, overrides, ask)

    def plan(self, definition: WorkflowDefinition) -> ExecutionPlan:
        """The definition's plan. Raises InvalidWorkflow."""
        return ExecutionPlan.build(definition.units, default_mode=definition.options.mode)

    def start(self, definition: WorkflowDefinition) -> LiveSession:
        """Begin a run in the background. Raises InvalidWorkflow, or OSError if its directory cannot be made."""
        session, engine = self._open(definition, _new_run_id())
        engine.begin()
        return session

    def session(self, run: str) -> RunSession:
        """The session of a run started here. Raises UsageError for an unknown id."""
        try:
            return self._sessions[run]
        except KeyError:
            raise UsageError(f"there is no run {run} here") from None

    def attach(self, run: str | None = None, read_only: bool = False) -> AttachedSession:
        """Follow and steer a run of whatever process; `run` may be part of its id, and the newest is meant without one.

        Closing the session lets go of the run, which goes on; that is for the caller to do. Raises UsageError for a run
        that is not there or cannot be read.
        """
        from qtui.attached import AttachedSession  # here, because a start of a run does not need it

        return AttachedSession(self._directory_of(run), read_only)

    def replay(self, run: str | None = None) -> ReplaySession:
        """Play the record of a run again. Arguments and errors are those of `attach`; the caller closes the session."""
        from qtui.replayed import ReplaySession  # here, because a start of a run does not need it

        return ReplaySession(self._directory_of(run))

    def close(self) -> None:
        """Close every session; what still runs is killed, but executions of workflows are canceled first."""
        with self._lock:
            executions = [workflow.last for workflow in self._workflows.values() if workflow.last is not None]
        try:
            for execution in executions:
                execution.cancel(CLOSED)
            for execution in executions:
                execution.over.wait(execution.grace + CLOSE_SECONDS)
        finally:
            for session in list(self._sessions.values()):
                session.close()
            for execution in executions:
                execution.over.wait()
            if self._follower is not None:
                self._follower.close()

    # -- workflows made task by task -----------------------------------------------------------------------

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
        executed at a time, one of them again when its last execution has ended. Raises UsageError if it has not, and
        InvalidWorkflow if the tasks make no plan or one is called like a key of `context`; then nothing was begun.
        """
        run = _new_run_id()
        with self._lock:
            workflow = self._workflow(workflow_id)
            again = workflow.last is not None
            definition = workflow.definition({**(context or {}), "workflow_id": workflow_id, "execution_id": run})
            session, engine = self._open(definition, run, workflow_id)
            workflow.last = ManagedExecution(session, definition.options.grace, lambda: self._sessions.pop(run, None))
        try:
            for unit in definition.units if again else ():
                self._tell_pending(workflow, unit)
            engine.begin()
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

    # -- runs ----------------------------------------------------------------------------------------------

    def _open(self, definition: WorkflowDefinition, run: str, workflow: str = "") -> tuple[LiveSession, Engine]:
        """The session of a run that is still to begin."""
        engine = Engine(
            self.plan(definition),
            definition.options,
            run=run,
            name=definition.name,
            files=self._files(run),
            params=definition.params,
            bus=self._bus,
            workflow=workflow,
            cache=self._cache(definition),
            secrets=_secrets(definition),
            executor=executor_of(definition),
        )
        session = self._sessions[run] = LiveSession(engine, self._notifier(definition, engine))
        return session, engine

    def _directory_of(self, run: str | None) -> RunDirectory:
        if self._state_dir is None:
            raise UsageError("runs leave no record without a state directory")
        return find_run(self._state_dir, run)

    def _files(self, run: str) -> RunFiles:
        if self._state_dir is None:
            return RunFiles()
        directory = self._state_dir / "runs" / run
        for made in (self._state_dir, directory.parent, directory):
            made.mkdir(mode=0o700, parents=True, exist_ok=True)
        return RunFiles(directory)

    def _notifier(self, definition: WorkflowDefinition, engine: Engine) -> Notifier | None:
        if definition.notify is None or not definition.notify.run:
            return None
        return Notifier(
            definition.notify,
            self._bus,
            run=engine.run,
            directory=definition.directory,
            log=self._state_dir / "runs" / engine.run / "notify.log" if self._state_dir is not None else None,
            environment=dict(os.environ),
            warn=lambda message: engine.warn(-1, message),
            secrets=_secrets(definition),
        )

    def _cache(self, definition: WorkflowDefinition) -> ResultCache | None:
        if self._state_dir is None:
            return None
        return ResultCache(self._state_dir, definition.source or definition.name)


def _secrets(definition: WorkflowDefinition) -> set[str]:
    """The values of the workflow's secrets: in the environment, and where a unit has been given others."""
    given = [os.environ, *(unit.env for unit in definition.units)] if definition.secrets else []
    return {env[name] for name in definition.secrets for env in given if name in env}


def _new_run_id() -> str:
    """Sorts by time, is easy to type in part, and does not collide when two runs start in one second."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
