"""WorkflowManager: the one façade that front ends may call."""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from qtui.core.errors import UsageError
from qtui.core.events import RunFinished
from qtui.core.model import RunOptions, UnitState, WorkflowDefinition
from qtui.core.plan import ExecutionPlan
from qtui.core.samples import LoadSample
from qtui.core.session import Feed, LogChunk, RunSession
from qtui.core.state import RunView
from qtui.core.stimuli import Request
from qtui.engine.bus import EventBus
from qtui.engine.cache import ResultCache
from qtui.engine.engine import Engine
from qtui.engine.files import RunFiles
from qtui.engine.notify import Notifier
from qtui.engine.output import routed_output
from qtui.engine.probe import Probe
from qtui.loaders.load import Ask, load_definition
from qtui.workflow import Overrides

__all__ = ["LiveSession", "WorkflowManager", "routed_output"]


class LiveSession:
    """A run whose engine is in this process; see RunSession for what its methods promise."""

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
        return self._engine.plan

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
        view = self.view()
        running = (number for number, state in enumerate(view.states) if state is UnitState.RUNNING)
        pids = [pid for number in running if (pid := view.unit(number).pid)]
        with self._probe_lock:
            self._probe = self._probe or Probe()
            return self._probe.sample(pids)

    def result(self, unit: str) -> object:
        """The value of a completed unit.

        Raises KeyError for an unknown unit and UsageError for one that has not completed.
        """
        number = self.plan.numbers[unit]
        state = self._engine.state_of(number)
        if state is not UnitState.COMPLETED:
            raise UsageError(f"{unit} has no result: it is {state}")
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
    """

    def __init__(self, *, bus: EventBus, state_dir: Path | None) -> None:
        self._bus, self._state_dir = bus, state_dir
        self._sessions: dict[str, LiveSession] = {}

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
        plan = self.plan(definition)
        run = _new_run_id()
        engine = Engine(
            plan,
            definition.options,
            run=run,
            name=definition.name,
            files=self._files(run),
            params=definition.params,
            bus=self._bus,
            cache=self._cache(definition),
            secrets=_secrets(definition),
        )
        session = self._sessions[run] = LiveSession(engine, self._notifier(definition, engine))
        engine.begin()
        return session

    def session(self, run: str) -> RunSession:
        """The session of a run started here. Raises UsageError for an unknown id."""
        try:
            return self._sessions[run]
        except KeyError:
            raise UsageError(f"there is no run {run} here") from None

    def close(self) -> None:
        """Close every session."""
        for session in self._sessions.values():
            session.close()

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
