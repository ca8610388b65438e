"""What the engine does with a journal that cannot be written, is slow, or must have a start before it is one."""

from __future__ import annotations

import json
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from engine_waiting import GENEROUS, until

from qtui import Workflow, WorkflowManager
from qtui.core.events import (
    Event,
    JournalChanged,
    RunFinished,
    UnitFinished,
    UnitReady,
    UnitStarted,
    UnitSubmitted,
    Warned,
)
from qtui.core.model import Argv, Call, ExecutionMode, QuantumUnit, RunState, UnitState
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan
from qtui.core.state import RunView
from qtui.core.stimuli import CancelRequested, CancelRunRequested, InterruptRequested, RetryRequested
from qtui.engine import journaling
from qtui.engine.bus import EventBus
from qtui.engine.engine import Engine
from qtui.engine.files import RunFiles
from qtui.store import journal as journal_module
from qtui.store import rundir
from qtui.store.errors import JournalError
from qtui.store.journal import Head, Journal, JournalReader, StoredResult

FULL = "the disk is full"
NEVER = 3600.0


class Disk:
    """A real journal on a disk that can be full, or stuck."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.error: Exception | None = None
        self.refused = 0
        self.synced: list[Event] = []
        self.seen: set[Event] = set()
        self.flows = threading.Event()
        self.flows.set()

    @property
    def last(self) -> int:
        return self.journal.last

    def append(
        self, first: int, events: Sequence[Event], results: Iterable[StoredResult] = (), *, sync: bool = False
    ) -> None:
        self.seen.update(event for event in events if isinstance(event, UnitSubmitted | UnitStarted))
        assert self.flows.wait(GENEROUS)
        if self.error is not None:
            self.refused += 1
            raise self.error
        self.journal.append(first, events, results, sync=sync)
        self.synced += events if sync else ()

    def checkpoint_due(self, units: int) -> bool:
        return self.journal.checkpoint_due(units)

    def checkpoint(self, view: RunView) -> None:
        self.journal.checkpoint(view)

    def has_start(self, unit: int) -> bool:
        """Whether the start of a unit has got here; nobody can have heard of it yet if the disk is stuck."""
        return any(event.unit == unit for event in list(self.seen))


class Json:
    def encode(self, number: int, unit_id: str, attempt: int, value: Any) -> StoredResult:
        return StoredResult(number, unit_id, attempt, "json", json.dumps(value).encode())


class Recorded:
    """A run, its disk, and the file of its journal."""

    def __init__(self, path: Path, units: Sequence[QuantumUnit], options: RunOptions, files: Path) -> None:
        plan = ExecutionPlan.build(units)
        head = Head(
            run="test",
            name="test",
            origin={},
            params={},
            plan=plan,
            options=options,
            directory=None,
            created=0.0,
            version="",
        )
        self.path, self.disk = path, Disk(Journal.create(path, head))
        journal = (self.disk, Json())
        self.engine = Engine(plan, options, run="test", name="test", files=RunFiles(files), journal=journal)

    def end(self) -> RunFinished:
        end = self.engine.wait(GENEROUS)
        assert end is not None
        return end

    def close(self) -> None:
        self.disk.flows.set()
        self.engine.close()
        self.disk.journal.close()

    def written(self) -> list[Event]:
        with closing(JournalReader(self.path)) as reader:
            assert reader.problems() == []
            return reader.after(0)

    def told(self) -> list[Event]:
        return [record.event for record in self.engine.feed().take(0)]

    def warnings(self) -> list[str]:
        return [event.message for event in self.told() if isinstance(event, Warned)]


Begin = Callable[..., Recorded]


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Begin]:
    monkeypatch.setattr(journaling, "RETRY_SECONDS", 0.02)
    runs: list[Recorded] = []

    def begin(*units: QuantumUnit, stuck: bool = False, **options: Any) -> Recorded:
        made = RunOptions(**{"workers": 4, "grace": 1.0, **options})
        run = Recorded(tmp_path / f"journal{len(runs)}.db", units, made, tmp_path / f"run{len(runs)}")
        runs.append(run)
        if stuck:
            run.disk.flows.clear()
        run.engine.begin()
        return run

    yield begin
    for run in runs:
        run.close()


def call(id: str, function: Callable[..., Any], needs: Sequence[str] = (), **keys: Any) -> QuantumUnit:
    return QuantumUnit(id=id, action=Call.of(function, keys.get("args", {})), dependencies=needs, **keys)


class Gate:
    """The work of a unit that ends when it is told to."""

    def __init__(self) -> None:
        self.entered, self.opened = threading.Event(), threading.Event()

    def __call__(self) -> str:
        self.entered.set()
        assert self.opened.wait(GENEROUS)
        return "through"


def fills_up(run: Recorded, error: Exception | None = None) -> None:
    """The disk fills up, and the run has noticed."""
    run.disk.error = error or JournalError(FULL)
    run.engine.warn(-1, "something to write")
    until(lambda: run.engine.view().unsaved, "the run knows that it cannot be recorded")


# -- a journal that cannot be written ----------------------------------------------------------------------


def test_while_the_journal_cannot_be_written_nothing_new_starts_and_what_runs_ends(begin: Begin) -> None:
    gate, started = Gate(), threading.Event()
    run = begin(call("running", gate), call("next", started.set, ["running"]))
    assert gate.entered.wait(GENEROUS)
    fills_up(run)
    gate.opened.set()
    until(lambda: run.engine.view().states[0] is UnitState.COMPLETED, "what runs ends, and people see that")
    before = run.disk.refused
    until(lambda: run.disk.refused > before + 3, "it is tried again and again")
    assert run.engine.view().states[1] is UnitState.READY and not started.is_set()
    assert run.engine.unsaved == run.engine.view().unsaved == FULL

    run.disk.error = None

    assert run.end().state is RunState.COMPLETED
    assert run.engine.unsaved == run.engine.view().unsaved == ""
    run.engine.close()
    assert run.written() == run.told()
    assert [event.cause for event in run.written() if isinstance(event, JournalChanged)] == [FULL, ""]
    with closing(JournalReader(run.path)) as reader:
        result = reader.result("running")
    assert result is not None and result.data == b'"through"', "with the end of a unit comes its result"


def test_a_run_whose_last_events_never_get_out_ends_and_says_so(begin: Begin) -> None:
    gate = Gate()
    run = begin(call("only", gate))
    assert gate.entered.wait(GENEROUS)
    fills_up(run)
    gate.opened.set()

    assert run.end().state is RunState.COMPLETED, "of the work itself"
    run.engine.close()

    assert run.engine.unsaved == FULL
    assert not any(isinstance(event, UnitFinished) for event in run.written())


def test_closing_tries_once_more(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate()
    run = begin(call("only", gate))
    assert gate.entered.wait(GENEROUS)
    monkeypatch.setattr(journaling, "RETRY_SECONDS", NEVER)
    fills_up(run)
    gate.opened.set()
    run.end()
    run.disk.error = None
    run.engine.close()

    assert run.engine.unsaved == ""
    written = run.written()
    assert written == run.told()
    assert [event.cause for event in written if isinstance(event, JournalChanged)] == [FULL, ""]


def test_a_full_disk_is_not_asked_for_each_event(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate()
    run = begin(call("only", gate))
    assert gate.entered.wait(GENEROUS)
    monkeypatch.setattr(journaling, "RETRY_SECONDS", NEVER)
    fills_up(run)
    for number in range(20):
        run.engine.warn(-1, f"warning {number}")
        until(lambda text=f"warning {number}": text in run.warnings(), "it is told")

    assert run.disk.refused == 1
    gate.opened.set()


def test_a_bug_in_the_journal_is_told_as_one_and_ends_nothing(begin: Begin) -> None:
    gate = Gate()
    run = begin(call("only", gate))
    assert gate.entered.wait(GENEROUS)
    fills_up(run, LookupError("no such thing"))
    assert run.engine.view().unsaved == "internal error, please report it: LookupError: no such thing"
    gate.opened.set()
    run.disk.error = None

    assert run.end().state is RunState.COMPLETED
    until(lambda: run.written() == run.told(), "all is written")


def test_a_commit_that_fails_and_was_done_all_the_same_is_not_done_twice(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    run = begin(call("only", gate))
    assert gate.entered.wait(GENEROUS)
    until(lambda: run.written() == run.told() and len(run.told()) == 3, "the journal has all so far")
    whole = journal_module.transaction
    failures = []

    @contextmanager
    def failing(database: sqlite3.Connection) -> Iterator[None]:
        with whole(database):
            yield
        if len(failures) < 3:
            failures.append(1)
            raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(journal_module, "transaction", failing)
    run.engine.warn(-1, "one more")
    until(lambda: len(failures) == 3, "it has failed three times")
    gate.opened.set()

    assert run.end().state is RunState.COMPLETED
    run.engine.close()
    assert run.engine.unsaved == ""
    assert run.written() == run.told()


# -- starts that must be written first ---------------------------------------------------------------------


def test_a_unit_that_is_not_idempotent_finds_its_own_start_in_the_journal(begin: Begin, tmp_path: Path) -> None:
    found = []

    def look(number: int) -> None:
        with closing(JournalReader(tmp_path / "journal0.db")) as reader:
            found.append((number, reader.view().states[number]))

    units = [call(f"u{n}", look, args={"number": n}, idempotent=False) for n in range(150)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # threads meet at the oddest moments
    try:
        run = begin(*units)
        assert run.end().state is RunState.COMPLETED, run.engine.view().unit(0).error
    finally:
        sys.setswitchinterval(interval)

    assert sorted(found) == [(n, UnitState.RUNNING) for n in range(150)]
    starts = {event.unit for event in run.disk.synced if isinstance(event, UnitStarted)}
    assert starts >= set(range(150)), "also a loss of power leaves them there"


def test_a_command_that_is_not_idempotent_finds_its_own_start_in_the_journal(begin: Begin, tmp_path: Path) -> None:
    look = (
        "import sqlite3, sys; rows = sqlite3.connect(sys.argv[1]).execute('SELECT data FROM batch').fetchall();"
        "print('unit_submitted' in str(rows))"
    )
    path = tmp_path / "journal0.db"
    unit = QuantumUnit(id="look", action=Argv((sys.executable, "-c", look, str(path))), idempotent=False)
    run = begin(unit)

    assert run.end().state is RunState.COMPLETED
    assert run.engine.logs.read(0, 1, 0, 99).data == b"True\n"


STOPS: dict[str, tuple[Any, UnitState, RunState, int]] = {
    "interrupt": (InterruptRequested(15), UnitState.PENDING, RunState.INTERRUPTED, 143),
    "cancel": (CancelRequested((0,)), UnitState.CANCELED, RunState.CANCELED, 130),
    "cancel the run": (CancelRunRequested(), UnitState.CANCELED, RunState.CANCELED, 130),
    "timeout": (None, UnitState.CANCELED, RunState.FAILED, 124),
}
LANES = {"thread": ExecutionMode.THREAD, "command": ExecutionMode.COMMAND}


def once(lane: str, trace: Path) -> QuantumUnit:
    """A unit that must not run twice, and leaves a trace if it runs."""
    if lane == "command":
        return QuantumUnit(id="once", action=Argv(("touch", str(trace))), idempotent=False)
    return call("once", trace.touch, idempotent=False)


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("how", STOPS)
def test_a_start_that_waits_for_a_slow_disk_can_be_stopped_and_never_is_one(
    begin: Begin, tmp_path: Path, how: str, lane: str
) -> None:
    request, unit_state, state, code = STOPS[how]
    trace = tmp_path / "trace"
    run = begin(once(lane, trace), stuck=True, **({"timeout": 0.05} if request is None else {}))
    until(lambda: run.disk.has_start(0), "its start is about to be written")
    if request is not None:
        run.engine.post(request)
    until(lambda: run.engine.state_of(0) is unit_state, "it has been stopped, while nothing can be written")
    run.disk.flows.set()

    end = run.end()

    assert (end.state, end.exit_code) == (state, code)
    assert run.engine.view().states[0] is unit_state
    run.engine.close()
    assert not trace.exists()
    assert run.written() == run.told()


@pytest.mark.parametrize("lane", LANES)
def test_a_start_that_waits_for_a_full_disk_begins_when_there_is_room(begin: Begin, tmp_path: Path, lane: str) -> None:
    trace = tmp_path / "trace"
    run = begin(once(lane, trace), stuck=True)
    run.disk.error = JournalError(FULL)
    run.disk.flows.set()
    until(lambda: run.engine.view().unsaved and run.disk.refused > 5, "it is tried several times")
    assert not trace.exists()
    run.disk.error = None

    assert run.end().state is RunState.COMPLETED
    assert trace.exists()


@pytest.mark.parametrize("lane", LANES)
def test_closing_starts_nothing_that_was_waiting(begin: Begin, tmp_path: Path, lane: str) -> None:
    trace = tmp_path / "trace"
    run = begin(once(lane, trace), stuck=True)
    until(lambda: run.disk.has_start(0), "its start is about to be written")
    closing_thread = threading.Thread(target=run.engine.close)
    closing_thread.start()
    until(lambda: run.engine._closed, "it is being closed")
    run.disk.flows.set()
    closing_thread.join(GENEROUS)

    assert not closing_thread.is_alive() and not trace.exists()
    assert any(isinstance(event, UnitSubmitted | UnitStarted) for event in run.written())


# -- results -----------------------------------------------------------------------------------------------


def test_the_none_of_a_later_attempt_takes_the_place_of_an_earlier_value(begin: Begin) -> None:
    values = iter([5, None])
    run = begin(call("a", lambda: next(values)), call("nothing", lambda: None))
    run.end()
    run.engine.post(RetryRequested((0,)))
    until(lambda: run.engine.view().generations[0] == 2 and run.engine.view().finished, "it has run again")

    with closing(JournalReader(run.path)) as reader:
        again, nothing = reader.result("a"), reader.result("nothing")
    assert again is not None and (again.attempt, again.data) == (2, b"null")
    assert nothing is None, "a first None needs no row"


# -- clocks ------------------------------------------------------------------------------------------------


class Interrupted:
    """A run that was left in the middle: `a` has completed, `b` had not."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.gate = Gate()
        flow = Workflow("clocks", workers=2)
        flow.add_unit(lambda: 1, name="a")
        flow.add_unit(self.gate, ["a"], name="b")
        self.definition = flow.definition()
        manager = WorkflowManager(bus=EventBus(), state_dir=state)
        session = manager.start(self.definition)
        assert self.gate.entered.wait(GENEROUS)
        until(lambda: session.view().states[1] is UnitState.RUNNING, "b runs")
        self.run = session.run
        session.request(InterruptRequested(15))
        self.gate.opened.set()
        session.wait(GENEROUS)
        manager.close()

    def resumed(self) -> list[Event]:
        manager = WorkflowManager(bus=EventBus(), state_dir=self.state)
        session = manager.resume(self.run, self.definition).begin()
        assert session.wait(GENEROUS) is not None
        view = session.view()
        manager.close()
        assert view.state is RunState.COMPLETED
        return self.events()

    def events(self) -> list[Event]:
        with closing(JournalReader(self.state / "runs" / self.run / "journal.db")) as reader:
            return reader.after(0)


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
def test_a_wall_clock_that_jumped_between_two_processes_makes_no_time_run_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    run = Interrupted(tmp_path / "state")
    wall = time.time
    monkeypatch.setattr(time, "time", lambda: wall() + jump)

    events = run.resumed()

    times = [event.at for event in events]
    assert times == sorted(times)
    durations = [event.duration for event in events if isinstance(event, UnitFinished | RunFinished)]
    assert len(durations) == 4 and min(durations) >= 0.0


# -- network file systems ----------------------------------------------------------------------------------


def test_on_a_network_file_system_the_journal_does_without_shared_memory_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rundir, "network_of", lambda _path: "nfs4")
    run = Interrupted(tmp_path / "state")
    path = tmp_path / "state" / "runs" / run.run / "journal.db"
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    warnings = [event.message for event in run.events() if isinstance(event, Warned)]
    assert len(warnings) == 1 and "network file system (nfs4)" in warnings[0]

    events = run.resumed()

    assert sum(isinstance(event, UnitReady) for event in events) == 3
    assert sorted(file.name for file in path.parent.glob("journal.db*")) == ["journal.db"]
