"""WorkflowManager: the one façade that front ends may call."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from qtui.core.actionhash import ActionHashes
from qtui.core.definition import WorkflowDefinition
from qtui.core.errors import UsageError
from qtui.core.growth import replaced
from qtui.core.model import EMPTY, ExecutionMode, QuantumUnit, RunState, UnitState
from qtui.core.options import CLUSTERS
from qtui.core.plan import ExecutionPlan
from qtui.core.projector import StateProjector
from qtui.core.resuming import Resumption, Wishes, resume
from qtui.core.session import RunSession
from qtui.core.state import RunView
from qtui.definition.selection import named_units
from qtui.engine.bus import EventBus
from qtui.engine.cache import ResultCache
from qtui.engine.engine import Engine
from qtui.engine.files import RunFiles, new_run_id
from qtui.engine.notify import Notifier
from qtui.engine.outliving import OUTLIVING
from qtui.engine.output import routed_output
from qtui.engine.variables import RECORD, record_tag
from qtui.engine.workers.clustersource import ClusterSource
from qtui.engine.workers.executor import ExecutorSource
from qtui.engine.workers.registry import cluster_lane
from qtui.live import LiveSession
from qtui.loaders.executors import executor_of
from qtui.loaders.load import Ask, load_definition
from qtui.ondisk import OnDisk
from qtui.recordkeeping import RunRecord, RunResults, mask_of
from qtui.resumption import changes, end_leftovers, former_units, last_known, loaded, results_of, same_plan
from qtui.store.aside import copied
from qtui.store.history import History
from qtui.store.journal import Head, JournalReader, StoredResult
from qtui.store.pasts import UnitPast
from qtui.store.rundir import RunDirectory, RunIsLive, find_run
from qtui.store.turns import Turn, take_turn
from qtui.taskworkflows import TaskWorkflows
from qtui.tidying import Tidying
from qtui.workflow import Overrides

if TYPE_CHECKING:
    from qtui.attached import AttachedSession
    from qtui.engine.foreseen import Foreseen
    from qtui.listing import KnownRun
    from qtui.replayed import ReplaySession

__all__ = ["LiveSession", "PreparedResume", "WorkflowManager", "routed_output"]


TO_BE_RECOVERED: Final = "the journal is damaged: a resume keeps what can be read of it, and the damaged file beside it"
"""What is told of a damaged journal where nothing may be written."""


class _GoingOn(NamedTuple):
    """What was known of a run when its process had gone, how it goes on, and the results it has."""

    view: RunView
    resumption: Resumption
    values: Mapping[str, Any]

    @property
    def over(self) -> bool:
        """True if there is nothing to go on with."""
        return self.view.state is RunState.COMPLETED and not self.resumption.reasons


class _Wanted(NamedTuple):
    """What a person wants of a resume, in names."""

    only_failed: bool
    redo_stale: bool
    again: Sequence[str]
    units: Sequence[str]


class PreparedResume(NamedTuple):
    """What a resume would do. Then either `begin` it, which raises UsageError, or `abandon` it; if the run is `over`
    there is nothing to begin.

    Only the first call counts: to `begin` what was begun or abandoned raises UsageError, to `abandon` it does nothing.
    """

    resumption: Resumption
    over: bool
    begin: Callable[[], LiveSession]
    abandon: Callable[[], None]


class _Once:
    """Goes on with a run, or lets go of it: whichever is asked for first."""

    def __init__(self, go_on: Callable[[], LiveSession], let_go: Callable[[], None]) -> None:
        self._choice = iter((True,))
        self._go_on, self._let_go = go_on, let_go

    def begin(self) -> LiveSession:
        """Go on with it. Raises UsageError."""
        if not next(self._choice, False):
            raise UsageError("this resume was begun or abandoned already: prepare another one")
        return self._go_on()

    def abandon(self) -> None:
        """Let go of it, unless it goes on."""
        if next(self._choice, False):
            self._let_go()


class WorkflowManager(TaskWorkflows):
    """Loads workflows and runs them, several at a time if need be.

    With a `state_dir` each run has a record there, in ``state_dir/runs/RUN`` (0700): journal, logs and results. Other
    processes can follow, steer and resume it. Results of units with a cache are kept in ``state_dir/cache.db`` (0600)
    and ``state_dir/cache``. Without one, Python units print to where qtui itself prints, and the output of other
    processes lives in a temporary directory until the run closes.

    A program that makes its workflows task by task uses `create_workflow`, `add_task` and `execute_workflow`; what
    becomes of them is told on the bus, and kept in `state_projector`. Any thread may call these.
    """

    def __init__(
        self, *, bus: EventBus, state_dir: Path | None = None, state_projector: StateProjector | None = None
    ) -> None:
        super().__init__(bus, state_projector or StateProjector({"tasks": {}, "workflows": {}}))
        self._state_dir = state_dir
        self._tidying = Tidying(state_dir) if state_dir is not None else None
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
        """The definition's plan; units without an estimate count for what they took before. Raises InvalidWorkflow."""
        durations = EMPTY
        if definition.source is not None and self._state_dir is not None:
            units = _hashes(definition, definition.units)
            durations = History(self._state_dir).durations(definition.source, units)
        return ExecutionPlan.build(definition.units, default_mode=definition.options.mode, durations=durations)

    def past(self, definition: WorkflowDefinition, plan: ExecutionPlan) -> Mapping[str, UnitPast]:
        """What units of the workflow, whose plan that is, took in earlier runs, by id, those of which that is known.
        Empty where the workflow came from no file, and without a state directory."""
        if not definition.source or self._state_dir is None:
            return EMPTY
        return History(self._state_dir).past(definition.source, _hashes(definition, plan.table))

    def check_executor(self, definition: WorkflowDefinition) -> None:
        """See whether a run could use the workflow's executor, if it has one; it is neither made nor connected to.

        Raises InvalidWorkflow, or UsageError for a cluster whose package is not installed or whose address is refused.
        """
        executor_for(definition)

    def foresee(
        self, definition: WorkflowDefinition, plan: ExecutionPlan, skipped: Mapping[int, str]
    ) -> Mapping[int, Foreseen]:
        """What a run of `plan` would find in the cache, by the number of each unit that has one; nothing is run and
        nothing is changed. `skipped` are the units that will not run, and the states in which they end."""
        from qtui.engine.foreseen import foresee  # here, because a start of a run does not need it

        return foresee(self._state_dir, definition.source or definition.name, plan, definition.params, skipped)

    def take_turn(
        self, definition: WorkflowDefinition, tell: Callable[[str], None] | None = None, run: str = ""
    ) -> Turn | None:
        """Wait until the workflow may run, as its `concurrency` wants it; for a `start`, or the resume of `run`.

        `tell` hears who is waited for. None without a state directory: runs do not know of each other then. Raises
        UsageError if another run goes on and this one is refused, and RunIsLive if that is `run` itself.
        """
        if self._state_dir is None:
            return None
        if run and (holder := self._directory_of(run).holder()) is not None:
            raise RunIsLive(run, holder)
        return self._turn(definition, run or new_run_id, tell)

    def start(
        self, definition: WorkflowDefinition, origin: Mapping[str, Any] = EMPTY, turn: Turn | None = None
    ) -> LiveSession:
        """Begin a run in the background; `origin` (plain data) is kept for whoever resumes it.

        Without a `turn` it takes one first, so this waits if the workflow's `concurrency` is ``queue``. The turn ends
        when the session is closed. Raises InvalidWorkflow, or UsageError if its record cannot be begun or its turn is
        refused.
        """
        try:
            executor_for(definition)  # what could never run waits for no turn, and leaves no record
            turn = turn or self.take_turn(definition)
            session = self._open(definition, turn.run if turn is not None else new_run_id(), origin=origin, turn=turn)
            session.begin()
        except BaseException:
            if turn is not None:
                turn.release()
            raise
        return session

    def resume(
        self,
        run: str | None,
        definition: WorkflowDefinition,
        *,
        only_failed: bool = False,
        redo_stale: bool = False,
        again: Sequence[str] = (),
        units: Sequence[str] = (),
        turn: Turn | None = None,
        tell: Callable[[str], None] | None = None,
        dry_run: bool = False,
    ) -> PreparedResume:
        """Get ready to go on with a run that no process runs any more, with `definition` for its workflow as it is now.

        What has completed is kept, see `qtui.core.resuming`. `again` names units that may run again although they are
        not idempotent, `units` those that are to run, and no others; both may be ids, families and globs, ``NAME+`` is
        the unit with its dependents. Nothing has happened before the result's `begin`, which takes a turn as `start`
        does if there is none; but a damaged journal is recovered at once, and `tell` (by default the log) hears what is
        left of it. An attempt on a thread of this process that could not be stopped when the run was closed here may
        still go on: its unit waits for it. With `dry_run` nothing can begin, and nothing at all is written to the run's
        directory. Raises RunIsLive if a process does run it, InvalidWorkflow, and UsageError for names that no unit
        has, and if the record cannot be read or written.
        """
        decide = partial(_decided, definition, _Wanted(only_failed, redo_stale, again, units))
        secrets = sorted(_secrets(definition))
        with ExitStack() as undo:
            if turn is not None:
                undo.callback(turn.release)
            directory = self._directory_of(run, idle=True)
            assert self._state_dir is not None
            if dry_run:
                copy = undo.enter_context(copied(directory))
                known = last_known(copy, lambda _: (tell or _warn)(TO_BE_RECOVERED))
                going_on = decide(known, copy.journal, RunResults.of(self._state_dir, directory, definition, secrets))
                return PreparedResume(going_on.resumption, going_on.over, _begin_nothing, _let_go_of_nothing)
            lock = undo.enter_context(directory.lock())
            known = last_known(directory, tell or _warn)
            record = RunRecord.reopen(self._state_dir, directory, lock, definition, secrets)
            undo.callback(record.abandon)
            going_on = decide(known, directory.journal, record.results)
            if turn is not None:
                record.afterwards(turn.release)
            undo.pop_all()
        once = _Once(partial(self._go_on, definition, record, going_on, turn is not None), record.abandon)
        return PreparedResume(going_on.resumption, going_on.over, once.begin, once.abandon)

    def _go_on(self, definition: WorkflowDefinition, record: RunRecord, going_on: _GoingOn, taken: bool) -> LiveSession:
        run = record.directory.run
        if not taken:
            try:
                record.afterwards(self._turn(definition, run).release)
            except BaseException:
                record.abandon()
                raise
        end_leftovers(record.directory)
        left = OUTLIVING.of(record_tag(record.directory.path))
        now = max(time.time(), going_on.resumption.view.updated_at)
        going_on = going_on._replace(resumption=going_on.resumption.beside(left, now))
        session = self._open(definition, run, record=record, going_on=going_on)
        try:
            session.begin()
        except BaseException:
            self._forget(run)
            record.abandon()
            raise
        return session

    def head(self, run: str | None = None, *, aside: bool = False) -> Head:
        """What a run began with, None for the latest that nobody runs. Errors are those of `attach`; with `aside` it is
        read in a copy, so that nothing is written to the run's directory, and RunIsLive is raised if a process runs
        the run."""
        directory = self._directory_of(run, idle=True)
        with (
            copied(directory) if aside else nullcontext(directory) as place,
            closing(JournalReader(place.journal)) as reader,
        ):
            return reader.head

    def session(self, run: str) -> RunSession:
        """The session of a run started here. Raises UsageError for an unknown id."""
        try:
            return self._sessions[run]
        except KeyError:
            raise UsageError(f"there is no run {run} here") from None

    def runs(self, workflow: str | None = None, limit: int = 50) -> list[KnownRun]:
        """The latest runs of this user, of all workflows or of the one with that name or file: those that go on, and
        then the others, what changed last before the rest.

        Raises UsageError if the place where they are is not safe.
        """
        from qtui.listing import known_runs  # here, because a start of a run does not need it

        return known_runs(self._state_dir, workflow, limit) if self._state_dir is not None else []

    def attach(self, run: str | None = None, read_only: bool = False) -> AttachedSession:
        """Follow and steer a run of whatever process; `run` may be part of its id, and the first of `runs` is meant
        without one.

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
        try:
            self._cancel_executions()
        finally:
            for session in list(self._sessions.values()):
                session.close()
            self._let_go_of_executions()
            if self._tidying is not None:
                self._tidying.close()

    # -- runs ----------------------------------------------------------------------------------------------

    def _open(
        self,
        definition: WorkflowDefinition,
        run: str,
        workflow: str = "",
        *,
        origin: Mapping[str, Any] = EMPTY,
        record: RunRecord | None = None,
        going_on: _GoingOn | None = None,
        turn: Turn | None = None,
    ) -> LiveSession:
        """The session of a run that is still to begin, or to go on."""
        plan = self.plan(definition) if going_on is None else going_on.resumption.view.plan
        secrets, executor = _secrets(definition), executor_for(definition)
        if isinstance(executor, ClusterSource) and ExecutionMode.CUSTOM in plan.lanes:
            cluster_lane(executor)  # one that cannot be used leaves no run behind
        if record is None and self._state_dir is not None:
            record = RunRecord.begin(self._state_dir, run, definition, plan, origin, sorted(secrets))
            if turn is not None:
                record.afterwards(turn.release)
        try:
            engine = Engine(
                plan,
                definition.options if going_on is None else going_on.resumption.options,
                run=run,
                name=definition.name,
                files=RunFiles(record.directory.path if record is not None else None),
                params=definition.params,
                bus=self._bus,
                workflow=workflow,
                library=bool(workflow),
                cache=self._cache(definition),
                secrets=secrets,
                executor=executor,
                journal=record.parts if record is not None else None,
                resumed=going_on.resumption if going_on is not None else None,
                opening=going_on.view if going_on is not None else None,
            )
        except BaseException:
            if record is not None:
                record.abandon()
            raise
        for unit_id, value in (going_on.values if going_on is not None else EMPTY).items():
            number = plan.numbers.get(unit_id)
            if number is not None and engine.state_of(number) is UnitState.COMPLETED:
                engine.results[number] = value
        if record is not None and self._tidying is not None:
            record.afterwards(partial(self._tidying.begin, run))
        disk = OnDisk(engine, definition, _secrets)
        behind = going_on.resumption.view.left_behind if going_on is not None else ()
        left = [(plan.table[number].id, attempt) for number, attempt in behind]
        session = LiveSession(engine, self._notifier(definition, engine), record, disk, left)
        self._sessions[run] = session
        return session

    def _forget(self, run: str) -> None:
        self._sessions.pop(run, None)

    def _turn(
        self,
        definition: WorkflowDefinition,
        run: str | Callable[[], str],
        tell: Callable[[str], None] | None = None,
    ) -> Turn:
        assert self._state_dir is not None
        return take_turn(
            self._state_dir,
            definition.source or definition.name,
            definition.directory or "",
            definition.concurrency,
            run,
            tell=tell,
            inside=os.environ.get("QTUI_RUN", ""),
        )

    def _directory_of(self, run: str | None, *, idle: bool = False) -> RunDirectory:
        if self._state_dir is None:
            raise UsageError("runs leave no record without a state directory")
        return find_run(self._state_dir, run, idle=idle)

    def _notifier(self, definition: WorkflowDefinition, engine: Engine) -> Notifier | None:
        if definition.notify is None or not definition.notify.run:
            return None
        tag = {RECORD: record_tag(self._directory_of(engine.run).path)} if self._state_dir is not None else {}
        return Notifier(
            definition.notify,
            self._bus,
            run=engine.run,
            directory=definition.directory,
            log=self._state_dir / "runs" / engine.run / "notify.log" if self._state_dir is not None else None,
            environment={**os.environ, **tag},
            warn=lambda message: engine.warn(-1, message),
            secrets=_secrets(definition),
        )

    def _cache(self, definition: WorkflowDefinition) -> ResultCache | None:
        if self._state_dir is None:
            return None
        return ResultCache(self._state_dir, definition.source or definition.name)


def _decided(
    definition: WorkflowDefinition,
    wanted: _Wanted,
    known: tuple[RunView, dict[str, StoredResult]],
    journal: Path,
    results: RunResults,
) -> _GoingOn:
    """How the run of which this is `known` goes on. Raises QtuiError."""
    view, kept = known
    former, more = former_units(journal, view, definition, results.mask)
    values, missing = results_of(view, kept, results.load)
    former, of_former = loaded(former, more, results.load)
    names = wanted.units or wanted.again
    plan = replaced(view.plan, definition.units, definition.options.mode) if names else view.plan
    wishes = Wishes(
        changed=changes(view, definition, results.mask),
        missing=missing,
        redo_stale=wanted.redo_stale,
        only_failed=wanted.only_failed,
        again=named_units(plan, wanted.again),
        former=former,
        named=named_units(plan, wanted.units) if wanted.units else None,
    )
    now = max(time.time(), view.updated_at)  # a clock may have been set back since
    replan = not same_plan(view.plan, definition, results.mask)
    resumption = resume(view, definition.units, definition.options, wishes, now, replan=replan)
    return _GoingOn(view, resumption, {**values, **of_former})


def _begin_nothing() -> LiveSession:
    raise UsageError("this was only to tell what a resume would do: ask for one that is no dry run")


def _let_go_of_nothing() -> None:
    """Nothing was taken."""


def executor_for(definition: WorkflowDefinition) -> ExecutorSource | ClusterSource | None:
    """Where the workflow's units of mode custom run; raises InvalidWorkflow or UsageError if that cannot be used."""
    options = definition.options
    if options.executor is None or options.executor not in CLUSTERS:
        return executor_of(definition)
    source = ClusterSource(options.executor, options.address or "", options.insecure)
    source.check()
    return source


def _warn(message: str) -> None:
    import logging  # here, because hardly any start of qtui needs it

    logging.getLogger("qtui").warning("%s", message)


def _hashes(definition: WorkflowDefinition, units: Sequence[QuantumUnit]) -> ActionHashes:
    return ActionHashes(units, mask_of(sorted(_secrets(definition))) or str, definition.params)


def _secrets(definition: WorkflowDefinition) -> set[str]:
    """The values of the workflow's secrets: in the environment, and where a unit has been given others."""
    given = [os.environ, *(unit.env for unit in definition.units)] if definition.secrets else []
    return {env[name] for name in definition.secrets for env in given if name in env}
