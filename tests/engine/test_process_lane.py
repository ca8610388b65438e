"""Process units: how values travel, what a worker keeps from one unit to the next, and when it is replaced."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from engine_waiting import GENEROUS, Start, until
from process_units import MB, process, run, value, workers

from qtui.core.model import ExecutionMode, QuantumUnit, UnitState
from qtui.core.stimuli import CancelRequested
from qtui.engine import worker as worker_program
from qtui.engine.packing import Packed
from qtui.loaders.imports import load_file

# -- values ------------------------------------------------------------------------------------------------


class Counted:
    """Counts in which processes it was loaded."""

    def __setstate__(self, state: Any) -> None:
        self.__dict__.update(state)
        self.loads.append(os.getpid())

    def __init__(self, loads: list[int]) -> None:
        self.loads = loads


def test_a_value_between_process_units_is_never_loaded_in_qtui(start: Start) -> None:
    make = process("make", lambda: Counted([]))
    use = process("use", lambda context: list(context["make"].loads), ("make",))

    engine = run(start, make, use)

    assert isinstance(engine.results[0], Packed)
    assert os.getpid() not in value(engine, "use")


def test_a_value_that_a_thread_asks_for_is_loaded_once(start: Start) -> None:
    make = process("make", lambda: [1, 2])
    one = process("one", lambda context: context["make"], ("make",), mode=ExecutionMode.THREAD)
    two = process("two", lambda context: context["make"], ("make",), mode=ExecutionMode.THREAD)

    engine = run(start, make, one, two)

    assert value(engine, "one") is value(engine, "two") is value(engine, "make")


def test_a_value_goes_on_from_a_thread_and_a_command_to_processes(start: Start) -> None:
    from qtui.core.model import Shell

    units = (
        process("thread", lambda: {"rows": 3}, mode=ExecutionMode.THREAD),
        QuantumUnit(id="command", action=Shell(("echo hello",))),
        process("use", lambda context: (context["thread"], context["command"]["stdout"]), ("thread", "command")),
    )

    assert value(run(start, *units), "use") == ({"rows": 3}, "hello\n")


def change_and_sum(context: Any) -> int:
    data = context["make"]
    total = sum(data)
    data[0] = 100
    return total


def test_what_a_unit_does_to_a_value_stays_with_it(start: Start) -> None:
    make = process("make", lambda: bytearray(b"\1" * 2 * MB))
    users = [process(f"use{number}", change_and_sum, ("make",)) for number in range(4)]

    engine = run(start, make, *users, workers=1)

    assert [value(engine, f"use{number}") for number in range(4)] == [2 * MB] * 4


def test_arrays_arrive_writable_and_without_a_copy_in_qtui(start: Start) -> None:
    numpy = pytest.importorskip("numpy")

    def make() -> Any:
        return {"array": numpy.arange(MB), "name": "a"}

    def use(context: Any) -> Any:
        array = context["make"]["array"]
        array[0] = 5
        return int(array.sum()), array.flags.writeable

    engine = run(start, process("make", make), process("use", use, ("make",)), process("again", use, ("make",)))

    expected = (sum(range(MB)) + 5, True)
    assert value(engine, "use") == value(engine, "again") == expected
    assert engine.results[0].path and len(engine.results[0].sizes) == 2


def test_large_values_are_files_of_the_run_and_gone_with_it(start: Start) -> None:
    engine = run(start, process("make", lambda: b"x" * 2 * MB))
    path = Path(engine.results[0].path)
    assert path.stat().st_size == 2 * MB
    assert path.stat().st_mode & 0o777 == 0o600

    engine.close()

    assert not path.exists()


def test_a_family_is_a_list_in_a_process_too(start: Start) -> None:
    items = [process(f"m[i={i}]", lambda context: context.matrix["i"], family="m", matrix={"i": i}) for i in (3, 1, 2)]
    total = process("total", lambda context: context["m"], ("m",))

    assert value(run(start, *items, total), "total") == [3, 1, 2]


WORKFLOW = """
class Row:
    def __init__(self, n):
        self.n = n

def make():
    return Row(3)

def use(context):
    assert isinstance(context["make"], Row)
    return Row(context["make"].n + helper())

def helper():
    return 1
"""


def test_a_workflow_file_loaded_by_path_needs_no_name_that_others_could_import(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "not-a-name.py"
    path.write_text(WORKFLOW)
    before = list(sys.path)
    try:
        module = load_file(path)
    finally:
        sys.path[:] = before
    here = process("here", lambda context: type(context["use"]).__name__, ("use",), mode=ExecutionMode.THREAD)

    engine = run(start, process("make", module.make), process("use", module.use, ("make",)), here)

    assert value(engine, "use").n == 4
    assert isinstance(value(engine, "use"), module.Row), "its class is that of the workflow file"
    assert value(engine, "here") == "Row"


# -- workers -----------------------------------------------------------------------------------------------


def test_a_worker_runs_unit_after_unit(start: Start) -> None:
    units = [process(f"u{number}", os.getpid) for number in range(20)]

    engine = run(start, *units, workers=2)

    pids = {value(engine, unit.id) for unit in units}
    assert 1 <= len(pids) <= 2
    assert os.getpid() not in pids


def spoil(context: Any) -> None:
    import signal

    os.environ["LEAK"] = "yes"
    os.environ["QTUI_UNIT"] = "somebody else"
    os.chdir("/")
    sys.stdout = None  # type: ignore[assignment]
    os.close(1)
    os.close(2)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def look(context: Any) -> dict[str, Any]:
    print("still heard")
    return {
        "unit": os.environ["QTUI_UNIT"],
        "own": os.environ.get("OWN"),
        "cwd": str(Path.cwd()),
        "pid": os.getpid(),
    }


def test_what_a_unit_does_to_its_process_is_put_right_for_the_next(start: Start) -> None:
    before = process("before", os.getpid, env={"OWN": "before"})
    spoiler = process("spoil", spoil, ("before",))
    after = process("after", look, ("spoil",))

    engine = run(start, before, spoiler, after, workers=1)

    seen = value(engine, "after")
    assert seen == {"unit": "after", "own": None, "cwd": str(Path.cwd()), "pid": value(engine, "before")}
    assert engine.logs.read(2, 1, 0, 100).data == b"still heard\n"


def start_thread() -> int:
    threading.Thread(target=time.sleep, args=(60,)).start()
    return os.getpid()


def start_monitor() -> int:
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    return os.getpid()


def start_child() -> int:
    os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "300")
    return os.getpid()


@pytest.mark.parametrize(
    ("leave", "replaced"),
    [(start_thread, True), (start_child, True), (start_monitor, False)],
    ids=["thread", "child", "monitor"],
)
def test_a_worker_with_leftovers_is_replaced(start: Start, leave: Any, *, replaced: bool) -> None:
    engine = run(start, process("leave", leave), process("after", os.getpid, ("leave",)), workers=1)

    assert (value(engine, "leave") != value(engine, "after")) == replaced


def test_a_worker_is_replaced_after_many_units(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    count = worker_program.RECYCLE_AFTER // 1000 * 1000
    monkeypatch.setenv("QTUI_TEST", "1")
    units = [process(f"u{number}", os.getpid if number in (0, count) else int) for number in range(count + 1)]

    engine = run(start, *units, workers=1)

    assert value(engine, "u0") != value(engine, f"u{count}")


def test_output_of_c_code_and_children_is_in_the_log(start: Start) -> None:
    def talk() -> None:
        print("python")
        sys.stdout.flush()
        os.write(1, b"descriptor\n")
        os.system("echo child; echo error >&2")

    engine = run(start, process("talk", talk), process("quiet", int), workers=1)

    assert sorted(engine.logs.read(0, 1, 0, 1000).data.decode().split()) == ["child", "descriptor", "error", "python"]
    assert engine.logs.existing(1, 1) is None


def test_much_output_is_capped_and_belongs_to_its_unit(start: Start) -> None:
    def flood() -> None:
        for _ in range(400):
            os.write(1, b"f" * (1 << 18))

    engine = run(start, process("flood", flood, log_max=MB), process("after", lambda: print("after")), workers=1)

    assert engine.logs.read(0, 1, 0, 0).size == 400 << 18
    assert engine.logs.read(1, 1, 0, 100).data == b"after\n"


def test_an_idle_worker_that_dies_is_not_missed(start: Start) -> None:
    hold = process("hold", lambda context: context.sleep(0.5), mode=ExecutionMode.THREAD)
    first, second = process("first", os.getpid), process("second", os.getpid, ("hold",))
    engine = start(hold, first, second)
    until(lambda: engine.view().unit(1).finished, "the first has ended")

    for pid in workers():
        psutil.Process(pid).kill()

    assert engine.wait(GENEROUS) is not None
    assert engine.state_of(2) is UnitState.COMPLETED


def test_a_cancel_while_the_worker_still_starts_costs_no_worker(start: Start) -> None:
    engine = start(process("victim", int))
    engine.post(CancelRequested((0,)))

    assert engine.wait(GENEROUS) is not None
    assert engine.state_of(0) in (UnitState.CANCELED, UnitState.COMPLETED)


def test_what_a_worker_says_before_it_can_start_is_in_the_log(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHOME", "/nowhere")

    engine = start(process("victim", int))

    assert engine.wait(GENEROUS) is not None
    end = engine.view().unit(0).finished
    assert end is not None and end.error is not None
    assert end.error.type == "lost"
    assert "encodings" in engine.logs.read(0, 1, 0, MB).data.decode()


def test_nothing_of_qtui_is_forked(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden() -> int:
        raise AssertionError("fork in a process with threads")

    monkeypatch.setattr(os, "fork", forbidden)
    run(start, process("one", int), QuantumUnit(id="two", action=None))
