"""How many units go to a cluster at a time, and which of them share a task."""

from __future__ import annotations

import pytest

from qtui.core.model import Call, ExecutionMode, QuantumUnit
from qtui.core.stimuli import StartUnit
from qtui.engine.workers.base import Attempt
from qtui.engine.workers.daskjobs import MOST_AHEAD, MOST_SHARING, ClusterJob, Pace


def paced(seconds: float) -> Pace:
    pace = Pace()
    for _ in range(100):
        pace.note(seconds)
    return pace


def jobs(count: int, **keys: object) -> list[ClusterJob]:
    unit = QuantumUnit(id="u", action=Call.of(print), mode=ExecutionMode.CUSTOM, **keys)
    return [ClusterJob(Attempt(StartUnit(n, 1, ExecutionMode.CUSTOM, n), unit), str(n)) for n in range(count)]


@pytest.mark.parametrize(
    ("seconds", "ahead"), [(0.0, 0), (60.0, 0), (1.0, 0), (0.9, 1), (0.1, 1), (0.01, 8), (0.001, MOST_AHEAD)]
)
def test_the_shorter_units_are_the_more_of_them_wait_at_a_thread(seconds: float, ahead: int) -> None:
    assert paced(seconds).ahead() == ahead


@pytest.mark.parametrize(("seconds", "most"), [(0.0, 1), (1.0, 1), (0.025, 2), (0.0001, MOST_SHARING)])
def test_short_units_share_a_task(seconds: float, most: int) -> None:
    parts = list(paced(seconds).parts(jobs(64), threads=2))

    assert {len(part) for part in parts} == {most}
    assert sum(map(len, parts)) == 64


def test_no_thread_goes_without_for_another_to_have_a_full_task() -> None:
    assert [len(part) for part in paced(0.0001).parts(jobs(8), threads=4)] == [2, 2, 2, 2]


def test_what_must_not_run_twice_or_came_back_has_a_task_of_its_own() -> None:
    back = jobs(3)
    back[1].came_back = True

    assert {len(part) for part in paced(0.0001).parts(jobs(8, idempotent=False), threads=1)} == {1}
    assert sorted(len(part) for part in paced(0.0001).parts(back, threads=1)) == [1, 2]


def test_only_short_units_wait_for_others_and_only_while_every_thread_has_work() -> None:
    short = paced(0.01)

    assert not short.may_wait(unsent=4, sent=0, threads=2)
    assert short.may_wait(unsent=4, sent=64, threads=2)
    assert not short.may_wait(unsent=2 * MOST_SHARING, sent=64, threads=2)
    assert not paced(1.0).may_wait(unsent=4, sent=64, threads=2)
