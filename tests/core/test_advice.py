"""Advice: what a valid workflow cannot do as written."""

from __future__ import annotations

import pytest
from core_driver import COMMAND, COROUTINE, WORK

from qtui.core.advice import advise
from qtui.core.model import ExecutionMode, QuantumUnit, Source
from qtui.core.plan import ExecutionPlan


def advice(*units: QuantumUnit, mode: ExecutionMode = ExecutionMode.AUTO) -> list[str]:
    return [str(problem) for problem in advise(ExecutionPlan.build(units, default_mode=mode))]


def in_thread(name: str, **keys: object) -> QuantumUnit:
    return QuantumUnit(**{"id": name, "action": WORK, "mode": ExecutionMode.THREAD, "timeout": 90.0, **keys})  # type: ignore[arg-type]


def test_a_timeout_of_a_thread_is_told_with_its_place_and_the_way_out() -> None:
    unit = in_thread("fetch", source=Source(file="flow.toml", line=7))
    assert advice(unit) == [
        "flow.toml:7: units.fetch: its timeout of 90 s cannot be enforced: a thread cannot be stopped, "
        'only left behind (mode = "process" can be, or call context.check() now and then)'
    ]


@pytest.mark.parametrize("mode", [ExecutionMode.THREAD, ExecutionMode.SEQUENTIAL])
def test_the_mode_may_come_from_the_workflow(mode: ExecutionMode) -> None:
    unit = QuantumUnit(id="a", action=WORK, timeout=1.5)
    (told,) = advice(unit, mode=mode)
    assert told.startswith("units.a: its timeout of 1.5 s cannot be enforced")


def test_what_can_be_stopped_needs_no_advice() -> None:
    assert not advice(
        in_thread("unlimited", timeout=None),
        QuantumUnit(id="command", action=COMMAND, timeout=90.0),
        QuantumUnit(id="coroutine", action=COROUTINE, timeout=90.0),
        QuantumUnit(id="process", action=WORK, mode=ExecutionMode.PROCESS, timeout=90.0),
        QuantumUnit(id="auto", action=WORK, timeout=90.0),
    )


def test_the_items_of_a_matrix_get_one_line_together() -> None:
    source = Source(file="flow.toml", line=3)
    items = [in_thread(f"embed[shard={n}]", family="embed", source=source) for n in range(100)]
    other = in_thread("other", source=source)
    assert [told.split(": ")[1] for told in advice(*items, other)] == ["units.embed", "units.other"]
