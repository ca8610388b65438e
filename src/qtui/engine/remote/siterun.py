"""A run on a machine that is not qtui's: what the lanes there ask of it, as they ask the engine at home."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, cast

from qtui.core.model import Call, ExecutionMode, Outcome, QuantumUnit, UnitState
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan, Need
from qtui.core.stimuli import InterruptUnit, KillUnit, StartUnit
from qtui.engine import variables
from qtui.engine.context import ExecutionContext
from qtui.engine.files import RunFiles
from qtui.engine.logs import LogStore
from qtui.engine.logstamps import stamps_path
from qtui.engine.packing import Packed, dumps, load_value
from qtui.engine.remote.parcel import Parcel, RemoteValue
from qtui.engine.remote.work import Function, Needs, Work
from qtui.engine.workers.base import Attempt, Host, Lane
from qtui.engine.workers.command import CommandLane
from qtui.engine.workers.keepers import Keeper, Keepers
from qtui.engine.workers.process import ProcessLane
from qtui.engine.workers.sending import Sending

IDLE_SECONDS: Final = 60.0
"""How long processes wait for the next unit."""

CLOSE_SECONDS: Final = 5.0

_NO_VALUE: Final = object()  # of a completed need whose value could not be sent; it is no JSON, so commands go without

Tell = Callable[[str, dict[str, Any]], None]


class SiteRun:
    """The run, as far as the lanes of a site ask for it (see Host).

    Large values, logs and whatever else it has on disk are in `directory`, which is removed if this process is killed.
    `first` is the parcel with which it begins. `tell` gets what is new of an attempt, by token.
    """

    def __init__(self, directory: str, first: Parcel, tell: Tell) -> None:
        self.run, self.record, self.path = first.run, first.record, first.path
        self.params = Packed(dumps({})) if first.params is None else Packed(*first.params)
        self.options = RunOptions()
        self.results: dict[int, Any] = {}
        self._directory, self._tell = directory, tell
        self._files = RunFiles(Path(directory))
        self._values = self._files.folder("values")
        self._table: dict[int, QuantumUnit] = {}
        self._declared: dict[int, tuple[Need, ...]] = {}
        self._needed: dict[int, tuple[int, ...]] = {}
        self.plan = SimpleNamespace(table=self._table, declared=self._declared, needs=self._needed)
        self._states: dict[int, UnitState] = {}
        self._logged: dict[int, QuantumUnit] = {}
        self.logs = LogStore(self._files, cast(ExecutionPlan, SimpleNamespace(table=self._logged)))
        self._works: dict[int, Work] = {}
        self._numbers = count(1)
        self._files_made = count(1)
        self._lock = threading.Lock()
        environment = variables.of_run(os.environ, first.run, {}, first.record)
        self._keepers = Keepers(environment, first.nice, directory)
        self._lanes: dict[ExecutionMode, SiteProcessLane | CommandLane] = {}

    # -- attempts ----------------------------------------------------------------------------------------

    def add(self, parcel: Parcel, values: Sequence[RemoteValue]) -> Work:
        """Note an attempt. Raises OSError if what it needs cannot be written."""
        unit = self._here(parcel)
        known: dict[int, int] = {}
        needs = self._known(parcel.needs, values, known)
        work = Work(next(self._numbers), parcel, unit, needs, self._known(parcel.added, values, known))
        declared = tuple(
            Need(name, tuple(known[number] for number in units), many) for name, units, many in parcel.declared
        )
        self._declared[work.number] = declared
        self._needed[work.number] = tuple(number for number, *_ in work.needs)
        self._table[work.number] = unit
        self._logged[work.number] = QuantumUnit(id=str(work.number), log_max=unit.log_max)
        for number, name, state, _, fields in work.needs:
            self._table[number] = QuantumUnit(id=name)
            self._states[number] = UnitState(state)
            self.results[number] = _NO_VALUE if fields is None else Packed(*fields)
        self._works[work.number] = work
        return work

    def _here(self, parcel: Parcel) -> QuantumUnit:
        """The unit as it runs here."""
        unit, action = parcel.unit, parcel.unit.action
        if parcel.function is not None and isinstance(action, Call):
            action = Call(Function(Packed(*parcel.function)), action.reference, parcel.wants_context)
        cwd = os.path.join(parcel.cwd, unit.cwd or "")  # noqa: PTH118
        if unit.cwd is None and not os.path.isdir(cwd):  # noqa: PTH112
            cwd = self._directory  # it did not ask for a place, so it may do without that
        return replace(unit, action=action, cwd=cwd, grace=parcel.grace)

    def _known(self, sent: Sequence[tuple[Any, ...]], values: Sequence[RemoteValue], known: dict[int, int]) -> Needs:
        needs: Needs = []
        for number, name, state, cause, place in sent:
            local = known.setdefault(number, next(self._numbers))
            fields = tuple(values[place].packed(self.new_file)) if isinstance(place, int) else place
            needs.append((local, name, state, cause, fields))
        return needs

    def remove(self, work: Work) -> None:
        """It is over; only its log stays."""
        self._works.pop(work.number, None)
        for number in (work.number, *(number for number, *_ in work.needs)):
            for of_units in (self._table, self._declared, self._needed, self._states, self.results):
                cast(dict[int, Any], of_units).pop(number, None)

    def drop_log(self, work: Work) -> None:
        """Remove its log."""
        path = self.logs.existing(work.number, work.parcel.attempt)
        for file in () if path is None else (path, Path(stamps_path(str(path)))):
            with suppress(OSError):
                file.unlink()
        del self._logged[work.number]

    def begin(self, work: Work) -> None:
        """Have its lane run it."""
        lane = self._lane(work.mode)
        if isinstance(lane, SiteProcessLane):
            lane.expect(work.parcel.edition)
        lane.post(work.start)

    def stop(self, work: Work, *, kill: bool) -> None:
        """Ask it to stop, or kill it."""
        effect = KillUnit if kill else InterruptUnit
        self._lane(work.mode).post(effect(work.number, work.parcel.attempt, work.mode))

    def _lane(self, mode: ExecutionMode) -> SiteProcessLane | CommandLane:
        with self._lock:
            lane = self._lanes.get(mode)
            if lane is None:
                lane = SiteProcessLane(self) if mode is ExecutionMode.PROCESS else CommandLane(IDLE_SECONDS, 0)
                lane.cwd = self._directory
                lane.open(cast(Host, self))
                self._lanes[mode] = lane
            return lane

    def new_file(self) -> str:
        """The path of a new file."""
        return f"{self._values}/value-{next(self._files_made)}"

    def close(self) -> None:
        """Kill what runs, and wait until it is gone, for some seconds at most."""
        with self._lock:
            lanes = list(self._lanes.values())
        for lane in lanes:
            lane.close()
        self._keepers.close(CLOSE_SECONDS)

    # -- what lanes ask (Host) ---------------------------------------------------------------------------

    def keeper(self, given: Sequence[int] = ()) -> Keeper:
        """A new keeper process. Raises OSError."""
        return self._keepers.keeper(given)

    def variables_of(self, number: int) -> dict[str, str]:
        """The unit's own variables."""
        return self._works[number].parcel.variables

    def report_progress(self, number: int, _attempt: int, done: float, total: float, message: str) -> None:
        """Tell how far an attempt is."""
        self._tell_of(number, {"kind": "progress", "done": done, "total": total, "text": message})

    def value_of(self, number: int) -> Any:
        """The value of a need. Raises BrokenResult."""
        return load_value(self.results[number], self._table[number].id)

    def value_path(self, name: str) -> str:
        """The file `name` for a value."""
        return f"{self._values}/{name}"

    def state_of(self, number: int) -> UnitState:
        """The state of a need."""
        return self._states[number]

    def attempt(self, start: StartUnit) -> Attempt:
        """The attempt of a start."""
        return Attempt(start, self._table[start.unit])

    def open_context(self, attempt: Attempt) -> ExecutionContext:
        """A context of which lanes use the log and the metrics; the unit has one of its own, where it runs."""
        number, tried = attempt.start.unit, attempt.start.attempt
        return ExecutionContext(cast(Any, self), number, tried, self.logs.writer(number, tried), None)

    def began(self, start: StartUnit, pid: int) -> None:
        """It runs now."""
        work = self._works.get(start.unit)
        if work is not None:
            work.begin()
        self._tell_of(start.unit, {"kind": "began", "pid": pid})

    def returned(self, attempt: Attempt, outcome: Outcome, value: Any, _lane: Lane | None) -> None:
        """It is over; who waits for it does the rest."""
        work = self._works.get(attempt.start.unit)
        if work is not None:
            work.end(outcome, value)

    def warn(self, unit: int, message: str) -> None:
        """Tell something about an attempt, or about all that are here (-1)."""
        for number in (unit,) if unit >= 0 else tuple(self._works):
            self._tell_of(number, {"kind": "warning", "text": message})

    def work(self, number: int) -> Work:
        """The attempt of that number."""
        return self._works[number]

    def _tell_of(self, number: int, message: dict[str, Any]) -> None:
        work = self._works.get(number)
        if work is not None:
            self._tell(work.parcel.token, message)


class SiteProcessLane(ProcessLane):
    """The process lane, for units that were packed elsewhere."""

    def __init__(self, run: SiteRun) -> None:
        super().__init__(IDLE_SECONDS)
        self._run = run
        self._edition, self._edition_began = 0, 0.0

    def expect(self, edition: int) -> None:
        """A unit comes that wants code of this edition: what has imported earlier code runs no more units."""
        if edition > self._edition:
            self._edition, self._edition_began = edition, time.time()
            self.doubt()

    def make_sender(self, host: Host) -> Sending:  # noqa: ARG002
        """What hands on the units as they have come."""
        return _Forwarder(self._run)

    def with_added(self, attempt: Attempt, outcome: Outcome, added: tuple[Any, ...] | None) -> Outcome:
        """What a unit adds goes on unopened."""
        self._run.work(attempt.start.unit).additions = added
        return outcome

    def code_changed_at(self) -> float:
        """When the present edition began."""
        return self._edition_began


class _Forwarder:
    """Hands on what was packed where qtui runs, in the place of a Sender."""

    def __init__(self, run: SiteRun) -> None:
        self._run = run
        self._keys: dict[bytes, int] = {}
        self._numbers = count(1)

    def path(self) -> list[str]:
        """The run's own places, then those of this Python."""
        return list(dict.fromkeys([*self._run.path, *sys.path]))

    def params(self) -> Packed:
        """The params of the run."""
        return self._run.params

    def function(self, unit: QuantumUnit) -> tuple[int, Packed]:
        """A number for the unit's function, the same for all units that have it, and the function."""
        action = unit.action
        assert isinstance(action, Call) and isinstance(action.function, Function)
        function = action.function
        key = self._keys.get(function.digest)
        if key is None:
            key = self._keys[function.digest] = next(self._numbers)
        return key, function.packed

    def forget_functions(self) -> None:
        """Let workers load functions anew: their names may lead to others now."""
        self._keys.clear()

    def job(
        self,
        attempt: Attempt,
        key: int,
        function: Packed | None,
        *,
        made: Packed | None = None,  # noqa: ARG002  - values come as they are
        log: str = "",
    ) -> tuple[Any, ...]:
        """The fields of the `Job`."""
        work = self._run.work(attempt.start.unit)
        parcel, unit = work.parcel, work.unit
        return (
            work.number,
            parcel.attempt,
            key,
            None if function is None else tuple(function),
            parcel.wants_context,
            parcel.head,
            [tuple(need) for need in self._run.plan.declared[work.number]],
            work.needs,
            work.added,
            parcel.variables,
            unit.cwd,
            log,
            unit.log_max,
            unit.timeout,
        )
