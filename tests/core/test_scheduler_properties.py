"""Random worlds: whatever units, people and clocks do, the invariants hold, and planted bugs are found.

QTUI_SOAK=1 plays 20,000 worlds for each property instead of 150.
"""

from __future__ import annotations

from random import Random

import pytest
from core_examples import examples
from core_mutants import STEPPING_WRONG
from core_mutants_restored import RESTORING_WRONG
from core_mutants_rules import RULING_WRONG
from core_resting import Violation
from core_world import World
from hypothesis import given
from hypothesis import strategies as st

from qtui.core.scheduler import Scheduler

SEEDS = 2000
"""How many worlds are searched for one that shows a planted bug."""
SHOWN_BY = {
    "ForgetsTheCacheOfAReopenedRun": 277,
    "ForgetsTheUndecided": 114,
    "HoldsNothingBack": 337,
    "KeepsLanesAsTheyAre": 84,
    "KeepsTheSlotsOfAbandonedAttempts": 208,
    "LeavesWhatASetAsideUnitHadSkipped": 647,
    "LeavesWhatNeedsEverythingReady": 445,
    "LetsATimeoutOutrankAPerson": 134,
    "LetsThemTryAtTheTimeOfAnEarlierHold": 1568,
    "RestoresNoCauses": 253,
    "RestoresNoLosses": 106,
    "RestoresNoPeaks": 145,
    "RestoresNoTargetsOfLanes": 106,
    "RestoresNoWait": 253,
    "RestoresNobodyUndecided": 141,
    "RestoresOtherSlots": 80,
    "RetriesBesideARunningNeed": 96,
    "RunsNoHandlerAgain": 95,
    "StopsHandlersWithTheRun": 101,
    "StrandsWhatNeedsEverything": 445,
}
"""Where the search begins for bugs that few worlds show; when worlds change it takes longer, and finds them still."""

in_many_worlds = examples(150, soak=20_000)
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


def world_that_shows(kind: type[Scheduler], *, twins: bool) -> int | None:
    """The seed of a world that shows that `kind` is wrong, and in which nothing is wrong with the scheduler itself."""
    begin = SHOWN_BY.get(kind.__name__, 0)
    for seed in (*range(begin, begin + SEEDS), *range(begin)):
        try:
            World(Random(seed), kind, twins=twins).play()
        except Violation:
            World(Random(seed), Scheduler, twins=twins).play()
            return seed
    return None


@pytest.mark.parametrize("kind", STEPPING_WRONG + RULING_WRONG, ids=lambda kind: kind.__name__)
def test_a_scheduler_that_decides_wrong_is_found(kind: type[Scheduler]) -> None:
    assert world_that_shows(kind, twins=False) is not None


@pytest.mark.parametrize("kind", RESTORING_WRONG, ids=lambda kind: kind.__name__)
def test_a_scheduler_that_restores_wrong_is_found(kind: type[Scheduler]) -> None:
    assert world_that_shows(kind, twins=True) is not None
