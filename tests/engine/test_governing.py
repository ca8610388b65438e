"""The governor at work: what it sees of a real machine, and what it does to real runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from engine_waiting import Start, until
from process_units import process

from qtui.core.events import GovernorChanged, WorkersChanged
from qtui.core.model import Argv, Call, ExecutionMode, QuantumUnit, RunState
from qtui.core.stimuli import GovernorRequested, PauseRequested, WorkersRequested
from qtui.definition import machine
from qtui.engine import governing, machine_load
from qtui.engine.engine import Engine
from qtui.engine.governing import governed_targets, pause_after, waiting_units
from qtui.engine.machine_load import MachineReader

THREAD, PROCESS, COMMAND = ExecutionMode.THREAD, ExecutionMode.PROCESS, ExecutionMode.COMMAND
GB = 1 << 30


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The governor looks ten times a second, however dear that is."""
    monkeypatch.setattr(governing, "SECONDS", 0.1)
    monkeypatch.setattr(governing, "MOST_SHARE", 1.0)


def nap() -> None:
    time.sleep(0.02)


def waiting_until(gate: threading.Event) -> Call:
    return Call.of(lambda: gate.wait(60))


def napping(count: int) -> list[QuantumUnit]:
    return [QuantumUnit(id=f"u{number}", action=Call.of(nap), mode=THREAD) for number in range(count)]


def changes(engine: Engine) -> list[WorkersChanged]:
    return [record.event for record in engine.feed().take(0) if isinstance(record.event, WorkersChanged)]


def governors() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "qtui-governor"]


# -- runs ----------------------------------------------------------------------------------------------------


def test_waiting_units_of_an_adaptive_run_get_more_workers_and_the_record_says_why(start: Start, quick: None) -> None:
    engine = start(*napping(4_000), workers=4, adaptive=True, max_workers=64)
    until(lambda: engine.view().lane_workers.get("thread", 0) > 4, "a lane with more workers")
    first = changes(engine)[0]
    assert first.lane == "thread"
    assert first.cause.startswith(f"4 → {first.target}: ")


def test_short_memory_parks_workers_and_the_run_goes_on(start: Start, quick: None) -> None:
    engine = start(*napping(4_000), workers=8, adaptive=True, memory_target=1)
    until(lambda: engine.view().lane_workers.get("thread") == 1, "one worker")
    assert all("memory" in change.cause and "above" in change.cause for change in changes(engine))
    ended = engine.view().ended
    until(lambda: engine.view().ended > ended, "units that end")


def test_a_fixed_number_of_workers_needs_no_governor(start: Start) -> None:
    engine = start(*napping(5), workers=4)
    until(engine.wait, "the end")
    assert governors() == []


def test_a_person_takes_over_and_gives_back(start: Start, quick: None) -> None:
    engine = start(*napping(4_000), workers=8, adaptive=True, memory_target=1)
    until(lambda: engine.view().lane_workers.get("thread") == 1, "one worker")
    engine.post(WorkersRequested(5))
    until(lambda: engine.view().workers == 5, "what the person wants")
    assert not engine.view().governed
    ended = engine.view().ended
    until(lambda: engine.view().ended > ended + 100, "units that end")
    assert engine.view().workers == 5
    engine.post(GovernorRequested(True))
    until(lambda: engine.view().lane_workers.get("thread") == 1, "one worker again")


def test_a_governor_may_take_over_a_run_that_began_without_one(start: Start, quick: None) -> None:
    engine = start(*napping(4_000), workers=8, memory_target=1)
    until(lambda: engine.view().state is RunState.RUNNING, "the run to begin")
    engine.post(GovernorRequested(True, "given away"))
    until(lambda: engine.view().lane_workers.get("thread") == 1, "one worker")
    events = [record.event for record in engine.feed().take(0)]
    assert [event.cause for event in events if isinstance(event, GovernorChanged)] == ["given away"]


def test_a_paused_run_is_left_alone(start: Start, quick: None) -> None:
    gate = threading.Event()
    units = [QuantumUnit(id=f"u{number}", action=waiting_until(gate), mode=THREAD) for number in range(20)]
    engine = start(*units, workers=4, adaptive=True)
    engine.post(PauseRequested())
    until(lambda: engine.view().paused, "the pause")
    looks = Looks(engine)
    looks.governing.look(engine.view(), engine.now())
    assert looks.taken == 0
    gate.set()


def test_nobody_looks_at_this_machine_for_units_of_a_cluster(start: Start, quick: None) -> None:
    gate = threading.Event()
    engine = start(QuantumUnit(id="u", action=waiting_until(gate), mode=THREAD), workers=4, adaptive=True)
    until(lambda: engine.view().lane_workers == {"thread": 4}, "the beginning")
    looks = Looks(engine)
    looks.governing.look(replace(engine.view(), lane_workers={"custom": 6}), engine.now())
    assert looks.taken == 0
    both = replace(engine.view(), lane_workers={"custom": 6, "thread": 4})
    looks.governing.look(both, engine.now())
    assert looks.taken == 1
    assert governed_targets(both) == {THREAD: 4}
    gate.set()


def test_a_governor_that_breaks_is_told_of_and_the_run_ends_as_it_should(start: Start, quick: None) -> None:
    gate = threading.Event()
    engine = start(QuantumUnit(id="u", action=waiting_until(gate), mode=THREAD), workers=4, adaptive=True)
    broken = governing.Governing(engine, BrokenReader())
    broken.start()

    def warned() -> bool:
        return any("internal error" in getattr(record.event, "message", "") for record in engine.feed().take(0))

    until(warned, "a warning")
    broken.close()
    gate.set()
    until(lambda: engine.view().state is RunState.COMPLETED, "the end")


class BrokenReader(MachineReader):
    """Has a bug."""

    def look(self, keepers: Mapping[int, ExecutionMode], threads: object) -> None:
        raise ZeroDivisionError


class Looks(MachineReader):
    """Counts looks at the machine."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.taken = 0
        self.governing = governing.Governing(engine, self)

    def look(self, keepers: Mapping[int, ExecutionMode], threads: object) -> None:
        self.taken += 1


# -- what is seen --------------------------------------------------------------------------------------------


def test_units_that_wait_for_a_worker_are_counted_lane_by_lane(start: Start) -> None:
    gate = threading.Event()
    units = [QuantumUnit(id=f"t{number}", action=waiting_until(gate), mode=THREAD) for number in range(7)]
    units += [QuantumUnit(id=f"c{number}", action=Argv(("sleep", "60"))) for number in range(5)]
    units.append(QuantumUnit(id="asked", action=Call.of(nap), mode=THREAD, confirm="Sure?"))
    engine = start(*units, workers=2, adaptive=True)
    until(lambda: engine.view().active == 4, "two units of each lane")
    assert waiting_units(engine.view()) == {THREAD: 5, COMMAND: 3}
    gate.set()


def test_units_that_wait_for_an_answer_do_not_wait_for_a_worker(start: Start) -> None:
    units = [QuantumUnit(id=f"c{number}", action=Argv(("sleep", "60"))) for number in range(5)]
    units.append(QuantumUnit(id="asked", action=Argv(("true",)), confirm="Sure?"))
    engine = start(*units, workers=2, adaptive=True)
    until(lambda: engine.view().active == 2 and engine.view().asked == 1, "two units that run, and a question")
    assert waiting_units(engine.view()) == {COMMAND: 3}


def test_the_cores_that_a_lane_uses_are_seen(start: Start, tmp_path: Path) -> None:
    stop = tmp_path / "stop"

    def burn() -> None:
        while not stop.exists():
            sum(range(1000))

    engine = start(process("u", burn), workers=1)
    reader = MachineReader()
    until(lambda: keepers_of(engine), "a keeper")

    def seen() -> bool:
        load = reader.look(keepers_of(engine), set())
        return load is not None and load.cpu[PROCESS] > 0.05 and load.runnable[PROCESS] == 1 and load.ours > 0.05

    until(seen, "a process that computes")
    stop.touch()
    until(engine.wait, "the end")


def test_threads_that_compute_are_told_from_those_that_wait(start: Start) -> None:
    gate = threading.Event()
    spin = Call.of(lambda: spin_until(gate))
    units = [QuantumUnit(id="spins", action=spin, mode=THREAD)]
    units += [QuantumUnit(id=f"waits{number}", action=waiting_until(gate), mode=THREAD) for number in range(3)]
    engine = start(*units, workers=4)
    until(lambda: len(engine.attempts()) == 4 and all(each.thread for each in engine.attempts()), "four units")
    reader = MachineReader()
    threads = {each.thread for each in engine.attempts()}

    def seen() -> bool:
        load = reader.look({}, threads)
        return load is not None and load.cpu[THREAD] > 0.05 and load.runnable[THREAD] <= 1

    until(seen, "a thread that computes")
    gate.set()


def keepers_of(engine: Engine) -> dict[int, ExecutionMode]:
    return {each.keeper.pid: each.start.lane for each in engine.attempts() if each.keeper is not None}


def spin_until(gate: threading.Event) -> None:
    while not gate.is_set():
        sum(range(1000))


def test_the_first_look_says_nothing_for_there_is_nothing_to_compare_it_with() -> None:
    reader = MachineReader()
    assert reader.look({}, set()) is None
    load = reader.look({}, set())
    assert load is not None
    assert 0 < load.our_memory < load.memory_total
    assert load.cores > 0


def test_a_system_without_proc_is_not_governed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine_load, "_STAT", tmp_path / "none")
    reader = MachineReader()
    assert reader.look({}, set()) is None
    assert reader.look({}, set()) is None


def test_only_the_time_of_our_cores_counts_and_not_what_they_waited(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stat = tmp_path / "stat"
    stat.write_text("cpu 9 9 9 9 9 9 9 9 0 0\ncpu0 100 20 30 7000 800 4 5 6 50 0\ncpu1 1 1 1 1 1 1 1 1 0 0\nintr 5\n")
    monkeypatch.setattr(machine_load, "_STAT", stat)
    assert machine_load._busy_seconds({0}) == 165 / machine_load.TICKS
    assert machine_load._busy_seconds({7}) is None


def test_the_memory_of_a_control_group_counts_where_that_has_less(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "memory.max").write_text(f"{GB // 4}\n")
    (tmp_path / "memory.current").write_text(f"{GB // 8}\n")
    (tmp_path / "memory.stat").write_text(f"anon 1\ninactive_file {GB // 16}\n")
    monkeypatch.setattr(machine, "groups", lambda: [tmp_path])
    assert machine_load._memory() == (GB // 16, GB // 4)
    (tmp_path / "memory.max").write_text("max\n")
    assert machine_load._memory()[1] > GB // 4


def test_stalls_are_read_by_their_kind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "memory").write_text(
        "some avg10=1.00 avg60=0.00 avg300=0.00 total=2500000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=1000000\n"
    )
    monkeypatch.setattr(machine_load, "_PRESSURE", tmp_path)
    assert machine_load._stalls("memory", b"some") == 2.5
    assert machine_load._stalls("memory", b"full") == 1.0
    assert machine_load._stalls("io", b"full") == 0.0


def test_looking_is_done_less_often_where_it_is_dear() -> None:
    assert pause_after(0.001) == governing.SECONDS
    assert pause_after(0.02) == 0.02 / governing.MOST_SHARE
