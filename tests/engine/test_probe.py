"""Samples of real runs: what the workers of units use, however they run."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from engine_waiting import Start, until

from qtui.core.model import Argv, Call, ExecutionMode, QuantumUnit, Shell
from qtui.core.samples import LoadSample, UnitSample
from qtui.engine import processes
from qtui.engine.probe import Place, Probe
from qtui.engine.processes import Processes, ProcessReader, Stat
from qtui.manager import LiveSession

MB = 1 << 20
BUSY = "while :; do :; done"
HOARDS = "import time; kept = b'x' * (60 << 20); time.sleep(600)"


def command(id: str, text: str) -> QuantumUnit:
    return QuantumUnit(id=id, action=Shell((text,)))


def function(id: str, do: Callable[..., Any], mode: ExecutionMode = ExecutionMode.THREAD) -> QuantumUnit:
    return QuantumUnit(id=id, action=Call.of(do), mode=mode)


class Sampled:
    """A run that is looked at; CPU figures are means over a tenth of a second, as their clock has steps of ten ms."""

    def __init__(self, session: LiveSession) -> None:
        self._session = session
        self.last = session.sample()

    def sample(self) -> LoadSample:
        time.sleep(0.1)
        self.last = self._session.sample()
        return self.last

    def unit(self, id: str) -> UnitSample | None:
        return self.sample().units.get(self._session.plan.numbers[id])

    def until(self, id: str, condition: Callable[[UnitSample], bool], what: str) -> None:
        until(lambda: (found := self.unit(id)) is not None and condition(found), what)


@pytest.fixture
def look(start: Start) -> Callable[..., Sampled]:
    return lambda *units, **options: Sampled(LiveSession(start(*units, **options)))


@contextmanager
def child(*argv: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program of the test's own; it and what it has started are gone afterwards."""
    process = subprocess.Popen(argv, start_new_session=True)
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def busy(context: Any) -> None:
    while not context.cancelled:
        sum(range(1000))


def idle(context: Any) -> None:
    context.sleep(600)


def busy_for_ever() -> None:
    while True:
        sum(range(1000))


# -- what units use --------------------------------------------------------------------------------------


def test_a_busy_command_shows_and_one_that_sleeps_does_not(look: Callable[..., Sampled]) -> None:
    run = look(command("busy", BUSY), command("idle", "exec sleep 600"))

    run.until("busy", lambda used: used.cpu > 20, "the busy loop shows")
    # an interpreter of a shell starts in a few ms; from then on it does nothing
    run.until("idle", lambda used: used.cpu == 0, "the sleeping command uses nothing")


def test_what_a_command_starts_belongs_to_it(look: Callable[..., Sampled]) -> None:
    run = look(command("parent", f'({BUSY}) & {sys.executable} -c "{HOARDS}" & wait'))

    run.until("parent", lambda used: used.cpu > 20, "the busy loop in the background shows")
    run.until("parent", lambda used: (used.memory or 0) > 60 * MB, "the memory of its child shows")


def test_commands_too_short_to_be_met_are_counted_where_they_were_waited_for(look: Callable[..., Sampled]) -> None:
    run = look(command("churn", f"while :; do {sys.executable} -S -c 'sum(range(10**6))'; done"))

    run.until("churn", lambda used: used.cpu > 20, "its short processes show")


def test_a_process_unit_shows_its_worker(look: Callable[..., Sampled]) -> None:
    run = look(function("busy", busy_for_ever, ExecutionMode.PROCESS))

    run.until("busy", lambda used: used.cpu > 20, "the worker's CPU shows")
    used = run.unit("busy")
    assert used is not None and not used.shared
    assert used.memory is not None and MB < used.memory < 1000 * MB


def test_each_thread_shows_what_it_alone_computes(look: Callable[..., Sampled]) -> None:
    run = look(function("busy", busy), function("idle", idle))

    run.until("busy", lambda used: used.cpu > 20, "the busy thread shows")
    run.until("idle", lambda used: used.cpu == 0, "the other thread does nothing")
    assert run.last.units.keys() == {0, 1}
    assert {(used.memory, used.shared) for used in run.last.units.values()} == {(None, False)}
    until(lambda: run.sample().own.cpu > 20, "it shows in qtui's own process, too")


def test_programs_that_a_thread_unit_runs_belong_to_it(look: Callable[..., Sampled]) -> None:
    over = threading.Event()

    def calls() -> None:
        with child("sh", "-c", BUSY), child(sys.executable, "-c", HOARDS):
            over.wait()

    run = look(function("calls", calls), function("idle", idle))
    run.until("calls", lambda used: used.cpu > 20, "the CPU of the program shows")
    run.until("calls", lambda used: (used.memory or 0) > 60 * MB, "the memory of the program shows")
    assert run.last.units[1].memory is None
    over.set()


def test_coroutines_share_what_their_loop_uses(look: Callable[..., Sampled]) -> None:
    async def spin() -> None:
        while True:
            await asyncio.sleep(0)

    async def wait() -> None:
        await asyncio.sleep(600)

    run = look(function("spin", spin, ExecutionMode.ASYNC), function("wait", wait, ExecutionMode.ASYNC))
    run.until("wait", lambda used: used.cpu > 20, "the loop's CPU shows with both")
    assert run.last.units[0] == run.last.units[1]
    assert run.last.units[0].shared


def test_processes_that_end_between_two_calls_break_no_sample(look: Callable[..., Sampled]) -> None:
    run = look(
        command("churn", "while :; do (true) & (true) & wait; done"),
        *(command(f"short{number}", "true") for number in range(100)),
    )
    session = run._session
    looks = 0
    while session.view().ended < 100 or looks < 50:
        session.sample()
        looks += 1
    run.until("churn", lambda used: used.cpu > 5, "the survivor is still measured")


def test_a_unit_that_has_ended_is_left_out(look: Callable[..., Sampled]) -> None:
    run = look(command("short", "sleep 0.2"), command("long", "sleep 600"))

    until(lambda: run.sample().units.keys() == {1}, "the ended command is gone, the other is there")


# -- the machine -----------------------------------------------------------------------------------------


def test_the_machine_is_measured_without_any_unit() -> None:
    probe = Probe()
    first = probe.sample({})
    assert first.own.cpu == 0
    assert first.read == first.written == 0

    until(lambda: probe.sample({}).own.cpu > 0, "the test's own CPU shows")
    sample = probe.sample({})
    assert 0 < sample.memory_used < sample.memory_total
    assert 0 < sample.own.memory < sample.memory_total
    assert 0 <= sample.cpu <= 100
    assert sample.cores >= 1
    assert sample.load is not None and sample.load >= 0
    assert sample.units == {}


def test_places_where_nothing_is_are_left_out() -> None:
    nobody = 2**22 + 1
    places = {0: Place(), 1: Place(keeper=nobody), 2: Place(process=nobody), 3: Place(thread=nobody)}
    assert Probe().sample(places).units == {}


def test_a_process_met_for_the_first_time_is_not_charged_with_its_whole_life() -> None:
    probe = Probe()
    probe.sample({})
    # whoever started the tests has computed, but was none of those that were looked at
    parent = Place(process=os.getppid())
    assert probe.sample({0: parent}).units[0].cpu == 0
    until(lambda: probe.sample({0: parent}).units[0].cpu > 0, "from then on it is measured, with this test below it")


def test_a_process_that_has_begun_since_the_last_sample_counts_from_its_beginning() -> None:
    probe = Probe()
    probe.sample({})
    with child("sh", "-c", BUSY) as process:
        until(lambda: ProcessReader().read().cpu_seconds(process.pid) > 0.1, "it has computed")
        assert probe.sample({0: Place(process=process.pid)}).units[0].cpu > 0


# -- processes -------------------------------------------------------------------------------------------


def test_all_below_this_process_and_nothing_else_is_read() -> None:
    reader = ProcessReader()
    with child("sh", "-c", "sleep 600 & wait") as shell:
        until(lambda: reader.read().children(shell.pid), "the child of the child is there")
        found = reader.read()
        (grandchild,) = found.children(shell.pid)
        assert found.stats[grandchild].parent == shell.pid
        assert found.stats[shell.pid].parent == os.getpid()
        assert {os.getpid(), shell.pid, grandchild} <= found.stats.keys()
        assert not {1, os.getppid()} & found.stats.keys()
        assert found.memory(shell.pid) == found.stats[shell.pid].memory + found.stats[grandchild].memory


def test_what_ended_children_have_used_is_counted_with_who_waited_for_them(tmp_path: Path) -> None:
    computed = tmp_path / "computed"
    text = f"({sys.executable} -S -c 'sum(range(10**7))'); touch {computed}; exec sleep 600"
    with child("sh", "-c", text) as shell:
        until(computed.exists, "the child has ended")
        found = ProcessReader().read()
        own = found.own_ticks(shell.pid, found.stats[shell.pid].began) / processes.TICKS
        assert found.cpu_seconds(shell.pid) > own + 0.05


@pytest.mark.parametrize(("top", "middle", "own", "below"), [(1, 2, 3, 4), (4, 3, 2, 1)])
def test_trees_inside_of_trees_add_up(top: int, middle: int, own: int, below: int) -> None:
    above = {top: 0, middle: top, own: middle, below: own, 9: 8}
    stats = {pid: Stat(parent, pid, pid, 10 * pid, 100 * pid, runnable=False) for pid, parent in above.items()}

    found = Processes(stats, {top, own})
    assert found.stats.keys() == {1, 2, 3, 4}
    assert found.memory(top) == 1000
    assert found.ticks(top, top) == 110
    assert found.memory(own) == 100 * (own + below)

    assert Processes(stats, {own}).stats.keys() == {own, below}


def test_numbers_given_anew_while_they_were_read_may_form_a_ring() -> None:
    stats = {pid: Stat(parent, 1, 1, 0, 1, runnable=False) for pid, parent in ((5, 6), (6, 5))}
    assert Processes(stats, {5}).stats.keys() == {5, 6}


def test_a_number_that_belonged_to_a_stranger_is_ours_again_before_long() -> None:
    reader = ProcessReader()
    with child("sleep", "600") as process:
        reader._foreign.add(process.pid)
        assert process.pid not in reader.read().stats
        assert any(process.pid in reader.read().stats for _ in range(processes._FORGET_AFTER))


def test_the_name_of_a_program_cannot_lie_about_it(tmp_path: Path) -> None:
    liar = tmp_path / "a) S 1 1 1 ("
    shutil.copy(shutil.which("sleep") or "", liar)
    with child(str(liar), "600") as process:
        until(lambda: Path(f"/proc/{process.pid}/comm").read_text() == f"{liar.name}\n", "the program runs")
        assert ProcessReader().read().stats[process.pid].parent == os.getpid()


def test_a_process_that_is_not_the_one_it_was_has_used_nothing() -> None:
    found = ProcessReader().read()
    own = found.stats[os.getpid()]
    assert found.ticks(os.getpid(), own.began) >= found.own_ticks(os.getpid(), own.began) > 0
    assert found.ticks(os.getpid(), own.began + 1) == found.own_ticks(os.getpid(), own.began + 1) == 0


def test_argv_commands_are_measured_as_shell_texts_are(look: Callable[..., Sampled]) -> None:
    run = look(QuantumUnit(id="busy", action=Argv(("sh", "-c", BUSY))))

    run.until("busy", lambda used: used.cpu > 20, "the busy program shows")
