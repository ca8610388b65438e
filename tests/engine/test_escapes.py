"""Nothing that a unit started outlives it: not a cancel, not a timeout, not its own end, not the death of qtui."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest
from engine_waiting import GENEROUS, Start, until

from qtui.core.events import Warned
from qtui.core.model import Call, ExecutionMode, QuantumUnit, Shell, UnitState
from qtui.core.stimuli import CancelRequested
from qtui.engine.engine import Engine

STAY = "echo $$ > pid.new; mv pid.new pid; exec sleep 300"
"""The script `stay` of each test: it notes its pid and stays."""

LEAVES = {
    "background": "sh stay &",
    "setsid": "setsid sh stay &",
    "double-fork": "(setsid sh -c '(sh stay &)' &)",
    "ignores-TERM": "trap '' TERM; sh stay &",
}
ESCAPES = {
    "foreground": "sh stay; true",
    "background": f"{LEAVES['background']} wait",
    "setsid": f"{LEAVES['setsid']} wait",
    "double-fork": f"{LEAVES['double-fork']}; sleep 300",
    "ignores-TERM": "trap '' TERM; sh stay; true",
}


def run_text(text: str) -> None:
    """What a Python unit does: the same escape, from a worker process."""
    subprocess.run(["sh", "-c", text], check=False)


def escaping(mode: ExecutionMode, escape: str, within: Path, **keys) -> QuantumUnit:
    """A unit named after the way it takes, and after its lane, as is the directory where it notes its pid."""
    directory = within / f"{escape}-{mode}"
    directory.mkdir()
    (directory / "stay").write_text(STAY)
    text = f"cd '{directory}'; {ESCAPES[escape]}"
    if mode is ExecutionMode.COMMAND:
        return QuantumUnit(id=directory.name, action=Shell((text,)), **keys)
    return QuantumUnit(
        id=directory.name, action=Call.of(run_text, {"text": text}), args={"text": text}, mode=mode, **keys
    )


def pid_in(directory: Path) -> int:
    until((directory / "pid").exists, "the escaping process runs")
    return int((directory / "pid").read_text())


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def state_of(engine: Engine) -> UnitState:
    return engine.view().unit(0).state


LANES = [ExecutionMode.COMMAND, ExecutionMode.PROCESS]


def all_escapes(within: Path, mode: ExecutionMode, **keys) -> list[QuantumUnit]:
    return [escaping(mode, escape, within, grace=0.3, **keys) for escape in ESCAPES]


def ends_that_leave_nothing(engine: Engine, within: Path, ways: list[QuantumUnit]) -> set[UnitState]:
    """Wait for each unit's end and look at once whether its process lives; how they ended.

    A unit that stays keeps the run going, so that it is not the end of the run that ends what a unit has left.
    """
    for way in ways:
        number = engine.plan.numbers[way.id]
        until(lambda number=number: engine.state_of(number).ended, f"the end of {way.id}")
        assert not lives(pid_in(within / way.id)), way.id
    assert not engine.state_of(0).ended
    return {engine.state_of(engine.plan.numbers[way.id]) for way in ways}


STAYS = QuantumUnit(id="stays", action=Shell(("sleep 300",)))


@pytest.mark.parametrize("mode", LANES)
def test_nothing_outlives_a_cancel(start: Start, tmp_path: Path, mode: ExecutionMode) -> None:
    ways = all_escapes(tmp_path, mode)
    engine = start(STAYS, *ways, workers=1 + len(ways))
    for way in ways:
        pid_in(tmp_path / way.id)

    for way in ways:
        engine.post(CancelRequested((engine.plan.numbers[way.id],)))

    assert ends_that_leave_nothing(engine, tmp_path, ways) == {UnitState.CANCELED}


def test_nothing_outlives_a_timeout(start: Start, tmp_path: Path) -> None:
    # on a slow machine it may take seconds until the last of them has escaped
    ways = [way for mode in LANES for way in all_escapes(tmp_path, mode, timeout=4.0)]
    engine = start(STAYS, *ways, workers=1 + len(ways))

    assert ends_that_leave_nothing(engine, tmp_path, ways) == {UnitState.TIMEOUT}


PROGRAM = """
    import sys, time
    from pathlib import Path
    sys.path[:0] = {paths!r}
    from qtui.core.options import RunOptions
    from test_escapes import ExecutionMode, all_escapes
    from qtui.core.plan import ExecutionPlan
    from qtui.engine.engine import Engine
    from qtui.engine.files import RunFiles

    units = all_escapes(Path({within!r}), ExecutionMode({mode!r}))
    options = RunOptions(workers=len(units))
    engine = Engine(ExecutionPlan.build(units), options, run="escapes", name="escapes", files=RunFiles())
    engine.begin()
    engine.wait()
"""


@pytest.mark.parametrize("mode", LANES)
def test_nothing_outlives_the_sudden_death_of_qtui(tmp_path: Path, mode: ExecutionMode) -> None:
    program = textwrap.dedent(PROGRAM).format(paths=[str(Path(__file__).parent)], mode=str(mode), within=str(tmp_path))
    qtui = subprocess.Popen([sys.executable, "-c", program])
    try:
        pids = {escape: pid_in(tmp_path / f"{escape}-{mode}") for escape in ESCAPES}
        family = psutil.Process(qtui.pid).children(recursive=True)
    finally:
        os.kill(qtui.pid, signal.SIGKILL)
        qtui.wait()

    for escape, pid in pids.items():
        until(lambda pid=pid: not lives(pid), f"the process that took the way {escape} died with qtui")
    until(lambda: not [process for process in family if lives(process.pid)], "keepers and workers died with qtui")


@pytest.mark.parametrize("escape", LEAVES)
def test_what_a_command_leaves_behind_ends_with_it(start: Start, tmp_path: Path, escape: str) -> None:
    (tmp_path / "stay").write_text(STAY)
    text = f"cd '{tmp_path}'; {LEAVES[escape]}\nwhile ! test -e pid; do sleep 0.01; done"
    engine = start(QuantumUnit(id="leaves", action=Shell((text,)), grace=0.3))

    assert engine.wait(GENEROUS) is not None
    assert state_of(engine) is UnitState.COMPLETED
    assert not lives(pid_in(tmp_path))
    warnings = [record.event for record in engine.feed().take(0) if isinstance(record.event, Warned)]
    assert ["left 1 background process behind" in warning.message for warning in warnings] == [True]


def test_what_may_live_on_does(start: Start, tmp_path: Path) -> None:
    text = f"cd '{tmp_path}'; sleep 300 >/dev/null 2>&1 & echo $! > '{tmp_path}/pid'"
    engine = start(QuantumUnit(id="daemon", action=Shell((text, "echo next")), leftovers="keep"))

    assert engine.wait(GENEROUS) is not None
    pid = pid_in(tmp_path)
    try:
        assert state_of(engine) is UnitState.COMPLETED
        assert engine.results[0]["stdout"] == "next\n"
        engine.close()
        assert lives(pid)
    finally:
        os.kill(pid, signal.SIGKILL)


def test_what_a_killed_keeper_leaves_behind_is_ended(start: Start, tmp_path: Path) -> None:
    engine = start(escaping(ExecutionMode.COMMAND, "setsid", tmp_path))
    pid = pid_in(tmp_path / f"setsid-{ExecutionMode.COMMAND}")
    (keeper,) = (process for process in psutil.Process().children(recursive=True) if process.name() == "qtui-keeper")

    keeper.kill()

    assert engine.wait(GENEROUS) is not None
    end = engine.view().unit(0).finished
    assert end is not None and end.error is not None and end.error.type == "lost"
    until(lambda: not lives(pid), "its orphans were ended")
