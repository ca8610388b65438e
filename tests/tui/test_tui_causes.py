"""Failures that look alike are one cause."""

from __future__ import annotations

from scenes import COMMAND, unit
from scripted import ScriptedSession

from qtui.core.failures import FailureCause, causes_of, rounds
from qtui.core.model import QuantumUnit, UnitError
from qtui.core.options import RunOptions


def run_of(*names: str) -> ScriptedSession:
    units: list[QuantumUnit] = [unit(name, action=COMMAND) for name in names]
    return ScriptedSession(units, RunOptions(workers=8))


def told(causes: tuple[FailureCause, ...]) -> list[tuple[str, tuple[int, ...]]]:
    return [(cause.words, cause.units) for cause in causes]


def test_what_hit_most_units_comes_first_then_what_came_first() -> None:
    session = run_of("a", "b", "c", "d", "e")
    session.fails("e", UnitError("OSError", "disk /dev/sda1 is full"))
    session.after(1)
    session.fails("d", UnitError("ValueError", "bad row 17"))
    session.after(1)
    session.fails("a", UnitError("KeyError", "'x'"))
    session.fails("b", UnitError("ValueError", "bad row 4"))
    session.completes("c")
    assert told(causes_of(session.view())) == [
        ("ValueError: bad row #", (3, 1)),
        ("OSError: disk /dev/sda1 is full", (4,)),
        ("KeyError: 'x'", (0,)),
    ]


def test_only_those_that_were_asked_for_are_grouped() -> None:
    session = run_of("a", "b")
    session.fails("a", exit_code=3)
    session.fails("b", exit_code=3)
    assert [cause.units for cause in causes_of(session.view(), [1])] == [(1,)]
    assert causes_of(session.view(), []) == ()


def test_signals_and_timeouts_are_told_as_people_say_them() -> None:
    session = run_of("a", "b")
    session.fails("a", UnitError("exit", "killed by signal 9 (SIGKILL, probably out of memory)", exit_code=-9))
    session.fails("b", UnitError("timeout", "timed out after 60 s"))
    assert told(causes_of(session.view())) == [
        ("killed by signal 9 (SIGKILL, probably out of memory)", (0,)),
        ("timed out after 60 s", (1,)),
    ]


def test_one_of_each_cause_is_looked_at_before_the_next_of_any() -> None:
    causes = (FailureCause("a", (4, 0, 7), "a"), FailureCause("b", (1, 2), "b"), FailureCause("c", (3,), "c"))
    assert rounds(causes) == [(4, 0), (1, 1), (3, 2), (0, 0), (2, 1), (7, 0)]
    assert rounds(()) == []


def test_a_run_without_failures_has_no_causes() -> None:
    session = run_of("a")
    session.completes("a")
    assert causes_of(session.view()) == ()


def test_a_last_line_of_megabytes_is_no_trouble() -> None:
    session = run_of("a", "b")
    for name in ("a", "b"):
        session.fails(name, UnitError("exit", "exit 1", exit_code=1, last_line=f"{'x ' * 3000}{name}"))
    assert [len(cause.units) for cause in causes_of(session.view())] == [2]
