"""What units have used: CPU seconds and the peak of their memory, for commands and processes."""

from __future__ import annotations

import sys
import time

from engine_waiting import Start
from process_units import MB, process, run

from qtui.core.events import UnitFinished
from qtui.core.model import Argv, QuantumUnit, Shell
from qtui.engine.engine import Engine


def end_of(engine: Engine, id: str) -> UnitFinished:
    end = engine.view().unit(engine.plan.numbers[id]).finished
    assert end is not None
    return end


def fill(megabytes: int) -> int:
    filled = bytearray(b"x" * (megabytes * MB))
    time.sleep(0.02)  # units that are over at once are not measured
    return len(filled)


def rest() -> None:
    time.sleep(0.1)


def compute(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


FILL = "x = b'x' * ({} << 20); import time; time.sleep(0.02)"
COMPUTE = "import time\nwhile time.process_time() < 0.2: pass"


def python(id: str, code: str) -> QuantumUnit:
    return QuantumUnit(id=id, action=Argv((sys.executable, "-c", code)))


def test_the_peak_memory_of_a_process_unit_is_its_own_and_not_that_of_the_one_before(start: Start) -> None:
    engine = run(
        start,
        process("large", fill, args={"megabytes": 120}),
        process("small", fill, ("large",), args={"megabytes": 1}),
        workers=1,
    )
    large, small = end_of(engine, "large").peak_memory, end_of(engine, "small").peak_memory
    assert 120 * MB <= large < 400 * MB
    assert 0 < small <= large - 60 * MB


def test_the_cpu_seconds_of_a_process_unit_count(start: Start) -> None:
    # the first unit also pays for what it imports
    engine = run(start, process("busy", compute, args={"seconds": 0.2}), process("idle", rest, ("busy",)), workers=1)
    assert 0.2 <= end_of(engine, "busy").cpu_seconds < 2.0
    assert end_of(engine, "idle").cpu_seconds < 0.1


def test_what_children_of_a_process_unit_compute_counts(start: Start) -> None:
    def call() -> None:
        import subprocess

        subprocess.run([sys.executable, "-c", COMPUTE], check=True)

    assert end_of(run(start, process("parent", call)), "parent").cpu_seconds >= 0.2


def test_the_usage_of_a_command_counts_with_all_that_it_has_started(start: Start) -> None:
    engine = run(
        start,
        python("large", FILL.format(100)),
        python("busy", COMPUTE),
        QuantumUnit(id="nested", action=Shell((f'{sys.executable} -c "{FILL.format(100)}"; true', "true"))),
    )
    assert end_of(engine, "large").peak_memory >= 100 * MB
    assert end_of(engine, "busy").cpu_seconds >= 0.2
    assert end_of(engine, "nested").peak_memory >= 100 * MB
