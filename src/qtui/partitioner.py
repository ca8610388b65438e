"""QuantumPartitioner: the front door for those who run units from Python code of their own."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from qtui.core.definition import WorkflowDefinition
from qtui.core.errors import InvalidWorkflow, Problem, UsageError
from qtui.core.growth import limit_problems
from qtui.core.model import FAILURES, ExecutionMode, QuantumUnit, Source, UnitState
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan, problem_of
from qtui.core.questions import wrong_questions
from qtui.definition import machine
from qtui.definition.keys import Table, read_table
from qtui.definition.options import Overrides, build_options, default_workers
from qtui.definition.report import Report
from qtui.definition.unit_keys import FUNCTION_KEYS
from qtui.definition.values import MOST_WORKERS, Rejected, label, quoted
from qtui.definition.workflow_keys import STRATEGIES, WORKFLOW_KEYS, pool
from qtui.engine.bus import EventBus
from qtui.engine.cache import ResultCache
from qtui.engine.memorycache import KeptResult, MemoryCache
from qtui.engine.workers.clustersource import ClusterSource
from qtui.engine.workers.executor import ExecutorSource
from qtui.execution import Callbacks, Execution, OnComplete, OnError, OnStart
from qtui.taskunits import at, balanced, caller, make_unit, problem, tidied, with_metadata

# ``matrix`` and ``group`` need a workflow around them, and in the library there is nobody to answer ``confirm``
_KEYS: Final[Table] = {name: key for name, key in FUNCTION_KEYS.items() if name not in ("matrix", "group", "confirm")}
_SETTINGS: Final[Table] = {
    name: WORKFLOW_KEYS[name]
    for name in ("grace", "timeout", "handler_timeout", "keep_going", "nice", "cpus", "memory_limit", "max_async")
}
_RESERVED: Final = "params"
_NOT_MODES: Final = (ExecutionMode.COMMAND,)


class QuantumPartitioner:
    """Runs functions that depend on each other's results side by side, in threads, processes, coroutines or elsewhere.

    Units get a context: a mapping of the results of their dependencies, and of what `execute` was given. The same
    partitioner may execute any number of times, also from several threads at once; then `completed_units`,
    `failed_units`, `get_partial_results`, `last_execution_metrics` and `visualize_plan` tell of the run that began
    last, and what each `execute` returns or raises of its own. They may be asked while the run goes on.

    `settings` are keys of ``[workflow]`` in a workflow file: grace, timeout, handler_timeout, keep_going, nice, cpus,
    memory_limit and max_async; `pools` maps names to slots. Without `state_dir` no file outlives a run. With one, each
    run keeps its logs in ``state_dir/runs/RUN/logs``, and results of cacheable units are kept in
    ``state_dir/cache.db`` instead of `cache`. `bus` tells of all that happens; without one, the partitioner has its
    own. Raises InvalidWorkflow, naming the caller's line, for settings that cannot be right.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        default_execution_mode: ExecutionMode | str = ExecutionMode.THREAD,
        *,
        name: str | None = None,
        state_dir: str | os.PathLike[str] | None = None,
        bus: EventBus | None = None,
        pools: Mapping[str, int] | None = None,
        **settings: Any,
    ) -> None:
        if bus is not None and not isinstance(bus, EventBus):
            raise TypeError(f"bus is an EventBus, not {type(bus).__name__}")
        self._source = caller()
        self.name = name or Path(self._source.file).stem
        try:
            self.max_workers, self.default_execution_mode = _workers(max_workers), _mode(default_execution_mode)
        except UsageError as error:
            raise InvalidWorkflow([Problem(message=str(error), where=str(self._source))]) from None
        self.bus = EventBus() if bus is None else bus
        self.units: dict[str, QuantumUnit] = {}
        """The units by id; remove one with ``del``."""
        self.on_unit_start: OnStart | None = None
        self.on_unit_complete: OnComplete | None = None
        self.on_unit_error: OnError | None = None
        self.cache: dict[str, KeptResult] = {}
        """Results of cacheable units, by unit and what it depends on; ``cache.clear()`` forgets them."""
        self.cache_hits = self.cache_misses = 0
        self._state_dir = Path(state_dir).absolute() if state_dir is not None else None
        self._settings, self._pools = self._read(settings, pools or {})
        self._budgets = self._read_budgets()
        self._last: Execution | None = None
        self._counting, self._adding = threading.Lock(), threading.RLock()

    def _read(self, settings: Mapping[str, Any], pools: Mapping[str, int]) -> tuple[dict[str, Any], dict[str, int]]:
        report, locate = Report(), at(self._source)
        parsed, faults = read_table({key: value for key, value in settings.items() if value is not None}, _SETTINGS)
        report.add(locate, (), *faults)
        slots = {}
        for name, given in pools.items():
            try:
                slots[label(name)] = pool(given).slots
            except Rejected as rejected:
                report.add(locate, ("pools", str(name)), *rejected.faults)
        report.raise_if_any()
        return parsed, slots

    def _read_budgets(self) -> tuple[float | None, int | None]:
        """The cores and the bytes that units may declare; None where there is no limit."""
        try:
            options = build_options(self._settings, None)
        except Rejected as rejected:
            report = Report()
            report.add(at(self._source), (), *rejected.faults)
            raise InvalidWorkflow(report.problems) from None
        return options.cpus, options.memory

    # -- units ---------------------------------------------------------------------------------------------

    def add_unit(
        self,
        fn: Callable[..., Any] | QuantumUnit,
        dependencies: Iterable[str | QuantumUnit] | None = (),
        name: str | None = None,
        timeout: float | str | None = None,
        retries: int | Mapping[str, Any] = 0,
        priority: int = 0,
        tags: Iterable[str] = (),
        metadata: Mapping[str, Any] | None = None,
        **keys: Any,
    ) -> QuantumUnit:
        """Add a unit that calls `fn`, with the context if it has a parameter for it; or a unit that is ready.

        Its dependencies may be added later. `name` is its id, any printable text, by default ``unit_N``. `keys` are the
        other keys of a unit in a workflow file. `metadata` may have anything; of these entries it is known what they
        mean: ``resource_type`` (cpu, io, async), ``fallback_value`` (unless None), ``cacheable`` and ``cache_keys``.
        Raises InvalidWorkflow, naming the caller's line.
        """
        source = caller()
        if not isinstance(fn, QuantumUnit):
            given = {"timeout": timeout, "retries": retries, "priority": priority, "tags": tags, **keys}
            given["dependencies"] = [dependencies] if isinstance(dependencies, QuantumUnit) else dependencies
            with self._adding:
                name = self._free_name() if name is None else name
                unit = make_unit(fn, name, given, metadata or {}, source, self._pools, *self._budgets)
                return self._add(unit, source)
        if dependencies or name or timeout or retries or priority or tags or metadata or keys:
            raise problem(fn.id, "is a unit already, so it takes no other keys", source, "use dataclasses.replace")
        unit = tidied(fn)
        if unit.confirm:
            raise problem(unit.id, "asks a question, and in the library there is nobody to answer it", source)
        with self._adding:
            return self._add(unit, source)

    def _add(self, unit: QuantumUnit, source: Source) -> QuantumUnit:
        if unit.id in self.units:
            first = self.units[unit.id].source
            raise problem(unit.id, "this name is already taken", source, f"first used at {first}" if first else None)
        unit = self.units[unit.id] = with_metadata(unit)
        return unit

    def _free_name(self) -> str:
        number = len(self.units)
        while f"unit_{number}" in self.units:
            number += 1
        return f"unit_{number}"

    # -- plan ----------------------------------------------------------------------------------------------

    def build_execution_plan(self) -> ExecutionPlan:
        """What would run after what. Raises InvalidWorkflow with every fault, CircularDependencyError for cycles."""
        return self._plan(self.default_execution_mode)

    def _plan(self, mode: ExecutionMode, strategy: str = "priority") -> ExecutionPlan:
        units = list(self.units.values())
        if not units:
            raise InvalidWorkflow([Problem(message="there is no unit to run", hint="add one with add_unit")])
        if strategy == "resource_balanced":
            units = [balanced(unit) for unit in units]
        plan = ExecutionPlan.build(units, default_mode=mode)
        asked = [
            problem_of(plan.table[number], f"its condition asks about {quoted(name)}, {wrong}", hint)
            for number, name, wrong, hint in wrong_questions(plan)
        ]
        if asked:
            raise InvalidWorkflow(asked)
        return plan

    def visualize_plan(self) -> str:
        """The plan in DOT, coloured by the states of the last run, with what units have added in it.

        What was added is left out once the partitioner has other units than that run.
        """
        plan = self.build_execution_plan()
        if self._last is None:
            return plan.visualize()
        grown = self._last.plan
        added = {number for numbers in grown.added.values() for number in numbers}
        ran = {unit.id: unit.dependencies for number, unit in enumerate(grown.table) if number not in added}
        same = ran == {unit.id: unit.dependencies for unit in plan.table}
        return (grown if same else plan).visualize(self._last.states)

    def definition(
        self, params: Mapping[str, Any] | None = None, overrides: Overrides | None = None
    ) -> WorkflowDefinition:
        """The units as a workflow, with `params` for what `execute` would be given; so ``qtui FILE.py`` runs them."""
        if self.default_execution_mode is ExecutionMode.CUSTOM and not (overrides and overrides.executor):
            raise UsageError('mode "custom" needs the executor that execute() is given')
        plan, inputs = self.build_execution_plan(), dict(params or {})
        self._check_names(plan, inputs)
        file = Path(self._source.file).resolve()
        directory = str(file.parent) if file.is_file() else os.getcwd()  # noqa: PTH109
        return WorkflowDefinition(
            name=self.name,
            units=tuple(replace(unit, cwd=unit.cwd or directory) for unit in plan.table),
            options=self._options(plan, self.default_execution_mode, self.max_workers, "priority", overrides),
            params=inputs,
            directory=directory,
            source=str(file) if file.is_file() else None,
        )

    # -- runs ----------------------------------------------------------------------------------------------

    def execute(
        self,
        context: Mapping[str, Any] | None = None,
        execution_mode: ExecutionMode | str | None = None,
        max_workers: int | None = None,
        custom_executor: ExecutorSource | ClusterSource | None = None,
    ) -> dict[str, Any]:
        """Run all units, and return their results by id; waits for the end.

        `context` is what all units see, beside the results of what they depend on. `execution_mode` is for units that
        have no mode of their own; coroutine functions always run on an event loop, and with ``async`` all others in
        threads, or in processes if they have a timeout or are of kind cpu. ``custom`` runs units in `custom_executor`,
        which stays open, in what it makes if it is a function, or in a cluster, ``ClusterSource("dask", address)``.
        What units print in other processes is printed here when they end.

        Raises WorkflowFailed if not everything is done; it has the results of what is, and says why of the rest.
        Raises InvalidWorkflow for a plan that cannot run, UsageError for arguments that make no sense, and goes on
        with a KeyboardInterrupt once all units have been stopped.
        """
        if execution_mode is None:
            mode = ExecutionMode.CUSTOM if custom_executor is not None else self.default_execution_mode
        else:
            mode = _mode(execution_mode)
        if mode is ExecutionMode.CUSTOM and custom_executor is None:
            raise UsageError('mode "custom" needs an executor: give custom_executor')
        if mode is not ExecutionMode.CUSTOM and custom_executor is not None:
            raise UsageError(f'mode "{mode}" uses no custom_executor: leave one of them out')
        return self._execute(context, self._plan(mode), mode, max_workers, "priority", custom_executor)

    def execute_with_strategy(
        self, context: Mapping[str, Any] | None = None, strategy: str = "adaptive"
    ) -> dict[str, Any]:
        """As `execute`, with a preset: ``priority`` is what `execute` does, a fixed number of workers;
        ``resource_balanced`` runs units of kind cpu in processes and others in threads; ``adaptive`` changes the
        number of workers with what the machine has to give, up to `max_workers`.

        The order is always by priority, then by the longest path that remains.
        """
        if strategy not in STRATEGIES:
            raise UsageError(f"there is no strategy {quoted(str(strategy))}; there are {', '.join(STRATEGIES)}")
        mode = ExecutionMode.THREAD if strategy == "resource_balanced" else self.default_execution_mode
        return self._execute(context, self._plan(mode, strategy), mode, None, strategy, None)

    def execute_with_monitoring(self, context: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """`execute`; every run is monitored, see `last_execution_metrics`."""
        return self.execute(context)

    def execute_with_recovery(self, context: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """`execute`; every run retries units and uses their fallbacks, and `get_partial_results` has what there is."""
        return self.execute(context)

    def _execute(
        self,
        context: Mapping[str, Any] | None,
        plan: ExecutionPlan,
        mode: ExecutionMode,
        max_workers: int | None,
        strategy: str,
        executor: ExecutorSource | ClusterSource | None,
    ) -> dict[str, Any]:
        inputs = _inputs(context)
        self._check_names(plan, inputs)
        workers = _workers(max_workers) or self.max_workers
        execution = Execution(
            plan,
            self._options(plan, mode, workers, strategy),
            name=self.name,
            inputs=inputs,
            bus=self.bus,
            callbacks=Callbacks(self.on_unit_start, self.on_unit_complete, self.on_unit_error),
            cache=ResultCache(self._state_dir, self._key) if self._state_dir is not None else MemoryCache(self.cache),
            state_dir=self._state_dir,
            executor=executor,
        )
        self._last = execution
        try:
            return execution.run()
        finally:
            with self._counting:
                self.cache_hits += execution.metrics.get("cache_hits", 0)
                self.cache_misses += execution.metrics.get("cache_misses", 0)

    @property
    def _key(self) -> str:
        """What earlier results are kept under."""
        return f"{Path(self._source.file).absolute()}:{self.name}"

    def _options(
        self,
        plan: ExecutionPlan,
        mode: ExecutionMode,
        workers: int | None,
        strategy: str,
        overrides: Overrides | None = None,
    ) -> RunOptions:
        settings = {**self._settings, "strategy": strategy}
        if mode is ExecutionMode.SEQUENTIAL:
            settings |= {"workers": 1, "max_async": 1}
        elif strategy == "adaptive":
            settings |= {"max_workers": workers} if workers else {}
        else:
            settings["workers"] = workers or _first_workers(mode)
        if workers and mode is ExecutionMode.ASYNC:
            settings["max_async"] = workers
        try:
            options = build_options(settings, overrides)
        except Rejected as rejected:
            raise UsageError("; ".join(fault.message for fault in rejected.faults)) from None
        mutexes = {name: 1 for unit in plan.table for name in unit.pools if name not in self._pools}
        options = replace(options, mode=options.mode if options.executor else mode, pools={**self._pools, **mutexes})
        # of units that were made by hand nobody has looked at it yet
        over = [each for unit in plan.table for each in limit_problems(plan, unit, options)]
        if over:
            raise InvalidWorkflow(over)
        return options

    def _check_names(self, plan: ExecutionPlan, inputs: Mapping[str, Any]) -> None:
        problems = [_taken(name, plan.table[plan.numbers[name]].source) for name in inputs if name in plan.numbers]
        if _RESERVED in inputs:
            hint = 'context["params"] is a mapping of all inputs'
            problems.append(Problem(message=f"{quoted(_RESERVED)} cannot be the name of an input", hint=hint))
        if problems:
            raise InvalidWorkflow(problems)

    # -- what came of it -----------------------------------------------------------------------------------

    @property
    def completed_units(self) -> set[str]:
        """The ids of units that have completed in the last run."""
        return self._in_state(frozenset({UnitState.COMPLETED}))

    @property
    def failed_units(self) -> set[str]:
        """The ids of units that have failed or timed out in the last run."""
        return self._in_state(FAILURES)

    def get_failed_units(self) -> list[QuantumUnit]:
        """The units that have failed or timed out in the last run."""
        if self._last is None:
            return []
        failed = self._in_state(FAILURES)
        return [unit for unit in self._last.plan.table if unit.id in failed]

    def get_partial_results(self) -> dict[str, Any]:
        """The results there are of the last run, by id, whatever became of the rest."""
        return self._last.results if self._last is not None else {}

    @property
    def last_execution_metrics(self) -> dict[str, Any]:
        """What the last run was like; empty before the first. Times are Unix seconds, durations seconds.

        ``start_time``, ``end_time``, ``total_duration``, ``total_units``, ``completed_units``, ``failed_units``,
        ``cache_hits``, ``cache_misses``; ``unit_times`` has ``start`` (of the first attempt), ``end``, ``duration`` and
        ``error`` by unit; ``execution_trace`` is a list of ``event``, ``unit``, ``time`` and ``error``, the events
        being start, retry, complete, error, skip and cancel.
        """
        return self._last.metrics if self._last is not None else {}

    def _in_state(self, states: frozenset[UnitState]) -> set[str]:
        found = self._last.states if self._last is not None else {}
        return {unit for unit, state in found.items() if state in states}


def _mode(given: ExecutionMode | str) -> ExecutionMode:
    modes = [mode for mode in ExecutionMode if mode not in _NOT_MODES]
    if given not in modes:
        raise UsageError(f"there is no mode {quoted(str(given))}; there are {', '.join(modes)}")
    return ExecutionMode(given)


def _workers(given: int | None) -> int | None:
    if given is not None and (isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= MOST_WORKERS):
        raise UsageError(f"max_workers is a whole number from 1 to {MOST_WORKERS}, not {given!r}")
    return given


def _first_workers(mode: ExecutionMode) -> int:
    return math.ceil(machine.cores()) if mode is ExecutionMode.PROCESS else default_workers()


def _inputs(context: Mapping[str, Any] | None) -> dict[str, Any]:
    if context is None:
        return {}
    if not isinstance(context, Mapping):
        raise TypeError(f"the context is a mapping from names to values, not {type(context).__name__}")
    for name in context:
        if not isinstance(name, str):
            raise TypeError(f"the names in the context are texts, not {type(name).__name__}")
    return dict(context)


def _taken(name: str, source: Source | None) -> Problem:
    return Problem(
        message="this is also the name of an input",
        where=str(source) if source else None,
        key=f"units.{name}",
        hint="rename one of them: both would be context[...]",
    )
