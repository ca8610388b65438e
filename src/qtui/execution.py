"""One run as the library makes it: begun, followed and closed by the thread that asks for its results."""

from __future__ import annotations

import codecs
import logging
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from qtui.core.errors import BrokenResult, WorkflowFailed
from qtui.core.events import CacheMissed, Event, RunFinished, UnitFinished, UnitRetrying, UnitStarted, Warned
from qtui.core.model import FAILURES, RunState, UnitError, UnitState
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan
from qtui.core.state import RunView
from qtui.core.stimuli import InterruptRequested
from qtui.engine.bus import EventBus, Notice
from qtui.engine.cache import Cache
from qtui.engine.engine import Engine
from qtui.engine.files import RunFiles, new_run_id
from qtui.engine.workers.clustersource import ClusterSource
from qtui.engine.workers.executor import ExecutorSource

_logger = logging.getLogger("qtui")
_CHUNK = 1 << 20
_Utf8 = codecs.getincrementaldecoder("utf-8")

OnStart = Callable[[str], Any]
OnComplete = Callable[[str, Any], Any]
OnError = Callable[[str, UnitError], Any]


class Callbacks(NamedTuple):
    """What a library user wants to be told, on the dispatcher's thread, in the order of the record.

    Each unit that completes or fails is told once, and its start once before that, also if it had several attempts or
    an earlier result was used. Skipped and canceled units are not. One that raises is logged, and stops nobody.
    """

    on_start: OnStart | None = None
    on_complete: OnComplete | None = None
    on_error: OnError | None = None


class Execution:
    """Runs a plan once. `run` may be called once; everything else at any time, by any thread."""

    def __init__(
        self,
        plan: ExecutionPlan,
        options: RunOptions,
        *,
        name: str,
        inputs: Mapping[str, Any],
        bus: EventBus,
        callbacks: Callbacks,
        cache: Cache | None = None,
        state_dir: Path | None = None,
        executor: ExecutorSource | ClusterSource | None = None,
    ) -> None:
        self.metrics: dict[str, Any] = {}
        """What came of the run, complete once it has ended; see `QuantumPartitioner.last_execution_metrics`."""
        self._callbacks, self._bus = callbacks, bus
        self._told: set[int] = set()
        self._view = RunView.initial(plan)
        self._results: dict[str, Any] = {}
        self._broken: dict[str, str] = {}
        run = new_run_id()
        files = RunFiles.of_run(state_dir, run)
        if executor is not None:  # units that are added may run there, also if no other does
            name = executor.name if isinstance(executor, ClusterSource) else type(executor).__name__
            options = replace(options, executor=name)
        self._engine: Engine | None = Engine(
            plan,
            options,
            run=run,
            name=name,
            files=files,
            params=inputs,
            bus=bus,
            cache=cache,
            executor=executor,
            library=True,
        )

    # -- what is known -------------------------------------------------------------------------------------

    @property
    def states(self) -> dict[str, UnitState]:
        """The states of all units right now, by id."""
        engine = self._engine
        view = self._view if engine is None else engine.view()
        return {unit.id: state for unit, state in zip(view.plan.table, view.states, strict=True)}

    @property
    def plan(self) -> ExecutionPlan:
        """The plan as it is now; units may add others while they run."""
        engine = self._engine
        return self._view.plan if engine is None else engine.view().plan

    @property
    def results(self) -> dict[str, Any]:
        """The results of the units that have completed, by id, in the order of the plan."""
        engine = self._engine
        return dict(self._results) if engine is None else dict(_results_of(engine, {}))

    # -- the run -------------------------------------------------------------------------------------------

    def run(self) -> dict[str, Any]:
        """Run to the end; returns the results. Raises WorkflowFailed unless all is done.

        When this is interrupted (KeyboardInterrupt, or whatever else a signal handler raises), units are stopped before
        that goes on; interrupted once more, they are killed.
        """
        engine = self._engine
        assert engine is not None
        unsubscribe = self._subscribe(engine)
        try:
            engine.begin()
            end = self._follow(engine)
        except BaseException:
            _interrupt(engine)
            raise
        finally:
            try:
                self._results = dict(_results_of(engine, self._broken))
            finally:
                self._close(engine)
                for undo in unsubscribe:
                    undo()
        if end.state is not RunState.COMPLETED or self._broken:
            raise self._failure(end)
        return dict(self._results)

    def _follow(self, engine: Engine) -> RunFinished:
        """Take up the record as it grows, until the run has finished and every subscriber was told."""
        feed, account, printer = engine.feed(), Account(engine), _Printer(engine)
        self.metrics = account.metrics
        end: RunFinished | None = None
        while end is None:
            for _, event in feed.take():
                account.add(event)
                if isinstance(event, UnitFinished | UnitRetrying) and event.attempt:
                    printer.show(event.unit, event.attempt)
                elif isinstance(event, Warned):
                    _logger.warning("%s", event.message)
                elif isinstance(event, RunFinished):
                    end = event
        engine.wait()
        return end

    def _close(self, engine: Engine) -> None:
        # on a thread of its own: an interrupt of this one must not leave it half done
        closer = threading.Thread(target=engine.close, name="qtui-close", daemon=True)
        closer.start()
        closer.join()
        self._view, self._engine = engine.view(), None

    def _failure(self, end: RunFinished) -> WorkflowFailed:
        errors = dict(self._broken)
        first: UnitError | None = None
        for unit in self._view.units:
            if unit.state is UnitState.COMPLETED:
                continue
            errors[unit.id] = unit.cause or str(unit.state)
            if unit.state in FAILURES and first is None:
                first = unit.error
        reason = self._view.ended_by or _first_failure(self._view) or next(iter(self._broken.values()), "")
        counts = [(end.counts.get(state, 0), state) for state in UnitState]
        told = ", ".join(f"{count} {state}" for count, state in counts if count)
        count = f"{len(self.plan)} unit{'' if len(self.plan) == 1 else 's'}"
        failed = WorkflowFailed(
            f"the run of {count} ended {end.state} ({told}): {reason}".rstrip(": "),
            self._results,
            errors,
        )
        if first is not None and first.traceback:
            failed.add_note(first.traceback)
        return failed

    # -- callbacks -----------------------------------------------------------------------------------------

    def _subscribe(self, engine: Engine) -> list[Callable[[], None]]:
        if not any(self._callbacks):
            return []
        return [
            self._bus.subscribe("unit_started", lambda notice: self._tell_start(notice), engine.run),
            self._bus.subscribe("unit_finished", lambda notice: self._tell_end(engine, notice), engine.run),
        ]

    def _tell_start(self, notice: Notice) -> None:
        number = getattr(notice.event, "unit", -1)
        if number not in self._told:
            self._told.add(number)
            self._call("on_unit_start", self._callbacks.on_start, notice.unit)

    def _tell_end(self, engine: Engine, notice: Notice) -> None:
        event = notice.event
        assert isinstance(event, UnitFinished)
        if event.state is UnitState.COMPLETED:
            self._tell_start(notice)
            if self._callbacks.on_complete is None and self._callbacks.on_error is None:
                return  # so that nothing is loaded for nobody
            try:
                value = engine.value_of(event.unit)
            except BrokenResult as broken:
                self._call(
                    "on_unit_error", self._callbacks.on_error, notice.unit, UnitError("BrokenResult", str(broken))
                )
            else:
                self._call("on_unit_complete", self._callbacks.on_complete, notice.unit, value)
        elif event.state in FAILURES:
            self._tell_start(notice)
            error = event.error or UnitError(str(event.state), event.cause)
            self._call("on_unit_error", self._callbacks.on_error, notice.unit, error)

    def _call(self, name: str, callback: Callable[..., Any] | None, unit: str | None, *rest: Any) -> None:
        if callback is None:
            return
        try:
            callback(unit, *rest)
        except BaseException:
            _logger.exception("%s raised for unit %s", name, unit)


class Account:
    """Adds up the metrics of a run from its events."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.metrics: dict[str, Any] = {
            "start_time": None,
            "end_time": None,
            "total_duration": None,
            "total_units": len(engine.plan),
            "completed_units": 0,
            "failed_units": 0,
            "cache_hits": 0,
            "cache_misses": 0,
            "unit_times": {},
            "execution_trace": [],
        }

    def add(self, event: Event) -> None:
        """Take up the next event."""
        metrics = self.metrics
        if metrics["start_time"] is None:
            metrics["start_time"] = event.at
        if isinstance(event, UnitStarted):
            self._trace("start", event)
            self._times(event)
        elif isinstance(event, UnitRetrying):
            self._trace("retry", event, error=str(event.error))
        elif isinstance(event, CacheMissed):
            metrics["cache_misses"] += 1
        elif isinstance(event, UnitFinished):
            self._end(event)
        elif isinstance(event, RunFinished):
            metrics["end_time"] = event.at
            metrics["total_duration"] = event.at - metrics["start_time"]
            metrics["total_units"] = len(self._engine.plan)

    def _end(self, event: UnitFinished) -> None:
        metrics = self.metrics
        metrics["cache_hits"] += event.cached
        if event.state is UnitState.COMPLETED:
            metrics["completed_units"] += 1
            self._trace("complete", event)
        elif event.state in FAILURES:
            metrics["failed_units"] += 1
            self._trace("error", event, error=str(event.error or event.cause))
        else:
            self._trace("skip" if event.state is UnitState.SKIPPED else "cancel", event)
            if event.attempt == 0:
                return
        times = self._times(event)
        times.update(end=event.at, duration=event.at - times["start"])
        if event.error is not None:
            times["error"] = str(event.error)

    def _times(self, event: UnitStarted | UnitFinished) -> dict[str, Any]:
        """The times of a unit, from its first attempt on."""
        empty = {"start": event.at, "end": None, "duration": None, "error": None}
        times: dict[str, Any] = self.metrics["unit_times"].setdefault(self._engine.plan.table[event.unit].id, empty)
        return times

    def _trace(self, what: str, event: UnitStarted | UnitRetrying | UnitFinished, **more: str) -> None:
        entry = {"event": what, "unit": self._engine.plan.table[event.unit].id, "time": event.at, **more}
        self.metrics["execution_trace"].append(entry)


class _Printer:
    """Writes what attempts have left in their logs to sys.stdout: what other processes printed, and `context.log`.

    Threads and coroutines of this process have printed there by themselves.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine, self._broken = engine, False

    def show(self, unit: int, attempt: int) -> None:
        """Write what an attempt left; output that cannot be written is told of once, and fails nothing."""
        if self._broken or sys.stdout is None or self._engine.logs.existing(unit, attempt) is None:
            return
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        try:
            for text in self._texts(unit, attempt):
                sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
        except (OSError, ValueError) as error:  # ValueError: it is closed
            self._broken = True
            _logger.warning("what units print in other processes cannot be printed: %s", error)

    def _texts(self, unit: int, attempt: int) -> Iterator[str]:
        decoder, offset = _Utf8("replace"), 0
        while data := (chunk := self._engine.logs.read(unit, attempt, offset, _CHUNK)).data:
            offset = chunk.next
            yield decoder.decode(data)
        yield decoder.decode(b"", final=True)


def _interrupt(engine: Engine) -> None:
    """Stop what runs; what still runs when this is interrupted in its turn is killed by closing."""
    try:
        engine.post(InterruptRequested())
        engine.wait()
    except KeyboardInterrupt:
        return


def _results_of(engine: Engine, broken: dict[str, str]) -> Iterator[tuple[str, Any]]:
    """The results there are; why there is none of a completed unit goes to `broken`."""
    view = engine.view()
    for number, (unit, state) in enumerate(zip(view.plan.table, view.states, strict=True)):
        if state is UnitState.COMPLETED:
            try:
                yield unit.id, engine.value_of(number)
            except BrokenResult as error:
                broken[unit.id] = str(error)


def _first_failure(view: RunView) -> str:
    for unit in view.units:
        if unit.state in FAILURES:
            return f"{unit.id}: {unit.cause}"
    return ""
