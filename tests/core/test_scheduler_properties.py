"""Random worlds: whatever units, people and clocks do, the invariants hold, and planted bugs are found.

QTUI_HYPOTHESIS=soak plays 20,000 worlds for each property instead of 300.
"""

from __future__ import annotations

import os
from random import Random

import pytest
from core_mutants import STEPPING_WRONG
from core_mutants_restored import RESTORING_WRONG
from core_mutants_rules import RULING_WRONG, LetsThemTryAtTheTimeOfAnEarlierHold
from core_resting import Violation
from core_world import World
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qtui.core.scheduler import Scheduler

EXAMPLES = 20_000 if os.environ.get("QTUI_HYPOTHESIS") == "soak" else 300
SEEDS = 2000
RARE = 6_000
"""How many worlds show even a probe that begins at the time of an earlier hold: one in two thousand."""

in_many_worlds = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
# hypothesis draws what this generator is asked for, so it can also shrink a world that fails
chance = st.randoms(use_true_random=False, note_method_calls=False)


@in_many_worlds
@given(chance)
def test_the_invariants_hold_in_every_world(rng: Random) -> None:
    World(rng).play()


@in_many_worlds
@given(chance)
def test_a_restored_scheduler_decides_as_the_one_it_replaces(rng: Random) -> None:
    World(rng, twins=True).play()


def worlds_until_found(kind: type[Scheduler], *, twins: bool) -> int | None:
    """How many worlds were played until one showed that `kind` is wrong; None if none did."""
    for seed in range(SEEDS if kind is not LetsThemTryAtTheTimeOfAnEarlierHold else RARE):
        try:
            World(Random(seed), kind, twins=twins).play()
        except Violation:
            return seed + 1
    return None


@pytest.mark.parametrize("kind", STEPPING_WRONG + RULING_WRONG, ids=lambda kind: kind.__name__)
def test_a_scheduler_that_decides_wrong_is_found(kind: type[Scheduler]) -> None:
    assert worlds_until_found(kind, twins=False) is not None


@pytest.mark.parametrize("kind", RESTORING_WRONG, ids=lambda kind: kind.__name__)
def test_a_scheduler_that_restores_wrong_is_found(kind: type[Scheduler]) -> None:
    assert worlds_until_found(kind, twins=True) is not None


def test_nothing_is_found_in_the_scheduler_itself() -> None:
    assert worlds_until_found(Scheduler, twins=True) is None
