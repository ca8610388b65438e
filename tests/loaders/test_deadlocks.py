"""Items that hold pools while they wait: what is refused could stand still, and what is let through never does."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from qtui.core.definition import WorkflowDefinition
from qtui.core.events import RunFinished, Warned
from qtui.core.model import Argv, Outcome, QuantumUnit, RetryPolicy, UnitError
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan
from qtui.core.scheduler import Scheduler
from qtui.core.stimuli import Decision, RunRequested, StartUnit, TimerFired, UnitBegan, UnitReturned, WakeAt
from qtui.definition.deadlocks import deadlocks

Load = Callable[..., WorkflowDefinition]
Problems = Callable[..., tuple]

TWO_GROUPS = """
[pools]
a = 1
b = 1
[groups.A]
matrix = { i = [1] }
pools = ["a"]
[groups.B]
matrix = { j = [1] }
pools = ["b"]
[units.a1]
group = "A"
run = "true"
[units.b1]
group = "B"
run = "true"
"""

CROSSED = """
[units.a2]
group = "A"
needs = ["a1"]
run = "true"
pools = ["b"]
[units.b2]
group = "B"
needs = ["b1"]
run = "true"
pools = ["a"]
"""


def test_items_that_want_what_items_of_another_group_hold_and_the_other_way_round_are_refused(
    problems: Problems,
) -> None:
    (problem,) = problems(TWO_GROUPS + CROSSED)
    assert problem.message == "a2[i=1] wants b while its item holds a, and b2[j=1] wants a while its item holds b"
    assert (problem.where, problem.key) == ("flow.toml:22", "units.a2.pools")
    assert problem.hint == 'let [groups.A] hold "b" as well, or take the pools in the units instead'


def test_that_is_no_harm_if_one_group_holds_both_or_there_are_slots_for_all(load: Load) -> None:
    assert load((TWO_GROUPS + CROSSED).replace('pools = ["a"]\n[groups.B]', 'pools = ["a", "b"]\n[groups.B]'))
    assert load((TWO_GROUPS + CROSSED).replace("\na = 1", "\na = 2"))


def test_that_is_no_harm_if_one_group_begins_when_the_other_is_over(load: Load) -> None:
    text = TWO_GROUPS.replace('[units.b1]\ngroup = "B"', '[units.b1]\ngroup = "B"\nneeds = ["a2"]')
    assert load(text + CROSSED)


def test_a_group_that_waits_for_one_that_waits_for_nothing_is_no_harm(load: Load) -> None:
    assert load(TWO_GROUPS + '[units.a2]\ngroup = "A"\nneeds = ["a1", "b1"]\nrun = "true"')


def test_items_that_wait_for_another_group_which_holds_the_same_pool_are_refused(problems: Problems) -> None:
    text = TWO_GROUPS.replace('pools = ["b"]', 'pools = ["a"]')
    (problem,) = problems(text + '[units.a2]\ngroup = "A"\nneeds = ["a1", "b1"]\nrun = "true"')
    assert problem.message == ("a2[i=1] waits for b1[j=1] while its item holds a, and the item of b1[j=1] wants a too")
    assert (problem.where, problem.key) == ("flow.toml:19", "units.a2.needs")


def test_circles_of_three_groups_are_told_once(problems: Problems) -> None:
    pools, groups = "abc", []
    for place, pool in enumerate(pools):
        groups.append(
            f'[groups.{pool.upper()}]\nmatrix = {{ i = [1, 2] }}\npools = ["{pool}"]\n'
            f'[units.{pool}1]\ngroup = "{pool.upper()}"\nrun = "true"\n'
            f'[units.{pool}2]\ngroup = "{pool.upper()}"\nneeds = ["{pool}1"]\nrun = "true"\n'
            f'pools = ["{pools[place - 1]}"]\n'
        )
    (problem,) = problems("[pools]\na = 1\nb = 1\nc = 1\n" + "".join(groups))
    assert problem.message == (
        "a2[i=1] wants c while its item holds a, and c2[i=1] wants b while its item holds c, "
        "and b2[i=1] wants a while its item holds b"
    )


def test_a_unit_that_waits_for_a_handler_of_its_item_may_wait_for_what_that_one_did_not(problems: Problems) -> None:
    """`early` is skipped as soon as `fails` has failed, so `handler` may start while `slow` still wants the pool."""
    text = """
[pools]
p = 1
[groups.g]
matrix = { i = [1] }
pools = ["p"]
[units.fails]
run = "false"
[units.slow]
run = "true"
pools = ["p"]
[units.early]
group = "g"
needs = ["fails", "slow"]
run = "true"
[units.handler]
group = "g"
needs = ["early"]
when = "always"
run = "true"
[units.last]
group = "g"
needs = ["slow"]
when = "always"
run = "true"
"""
    (problem,) = problems(text)
    assert problem.message.startswith("early[i=1] waits for slow while its item holds p")


def test_a_unit_does_not_need_everything_while_its_item_holds_a_pool(problems: Problems) -> None:
    text = """
[pools]
p = 1
[groups.g]
matrix = { i = [1, 2] }
pools = ["p"]
[units.first]
group = "g"
run = "true"
[units.last]
group = "g"
needs = ["*"]
run = "true"
"""
    (problem,) = problems(text)
    expected = "last[i=1] needs everything while its item holds p, and so also units that may be added and want it"
    assert problem.message == expected


# -- random workflows --------------------------------------------------------------------------------------


def random_units(rng: Random) -> tuple[ExecutionPlan, RunOptions]:
    """Up to eight steps in up to two groups of up to three items; needs go back to earlier ones only."""
    pools = {name: rng.randint(1, 4) for name in "pq"}
    group_pools = {name: dict.fromkeys(rng.sample("pq", rng.choice((0, 1, 1, 2))), 1) for name in "gh"}
    items = {name: rng.randint(1, 3) for name in "gh"}
    units: list[QuantumUnit] = []
    names: list[str] = []
    for step in range(rng.randint(3, 8)):
        name = f"u{step}"
        needs = tuple(rng.sample(names, min(len(names), rng.choice((0, 1, 1, 2)))))
        own = {rng.choice("pq"): 1} if rng.randrange(3) == 0 else {}
        unit = QuantumUnit(
            id=name,
            action=Argv(("true",)) if rng.randrange(8) else None,
            dependencies=needs,
            pools=own,
            priority=rng.choice((0, 0, 1)),
            when=rng.choice(("success", "success", "always", "failure")) if needs else "success",
            allow_failure=rng.randrange(4) == 0,
            retry=RetryPolicy(max=rng.choice((0, 1)), delay=0.0),
        )
        group = rng.choice(("", "g", "h"))
        if not group:
            units.append(unit)
        for item in range(items[group] if group else 0):
            place = {"id": f"{name}[{item}]", "item": f"[{item}]", "family": name, "group": group}
            units.append(QuantumUnit(**{**{key: getattr(unit, key) for key in FIELDS}, **place}))
        names.append(name)
    options = RunOptions(workers=rng.choice((1, 2, 20)), pools=pools, group_pools=group_pools)
    return ExecutionPlan.build(units), options


FIELDS = ("action", "dependencies", "pools", "priority", "when", "allow_failure", "retry")


def stands_still(plan: ExecutionPlan, options: RunOptions, rng: Random) -> bool:
    """Play a run in which attempts end in any order, some of them badly; True if a unit of it can never start."""
    scheduler = Scheduler(plan, options)
    held: list[StartUnit] = []
    ended, gave_up, waking, now = 0, False, False, 0.0

    def take(decision: Decision) -> None:
        nonlocal ended, gave_up, waking
        held.extend(effect for effect in decision.effects if isinstance(effect, StartUnit))
        waking = waking or any(isinstance(effect, WakeAt) for effect in decision.effects)
        ended += sum(isinstance(event, RunFinished) for event in decision.events)
        gave_up = gave_up or any(isinstance(event, Warned) for event in decision.events)

    take(scheduler.handle(RunRequested("test"), now))
    while not ended and (held or waking):
        now += 1.0
        if waking and (not held or rng.randrange(2)):
            waking = False
            take(scheduler.handle(TimerFired(), now))
            continue
        start = held.pop(rng.randrange(len(held)))
        error = UnitError("exit", "exit code 1", exit_code=1) if rng.randrange(4) == 0 else None
        take(scheduler.handle(UnitBegan(start.unit, start.attempt, 1), now))
        take(scheduler.handle(UnitReturned(start.unit, start.attempt, Outcome(error=error)), now))
    assert ended
    return gave_up


@pytest.mark.parametrize("seed", range(8))
def test_a_run_of_what_is_let_through_never_stands_still(seed: int) -> None:
    rng = Random(seed)
    let_through = refused = 0
    for _ in range(60):
        plan, options = random_units(rng)
        if any(deadlocks(plan, options.group_pools, options.pools)):
            refused += 1
            continue
        let_through += 1
        for _ in range(5):
            assert not stands_still(plan, options, rng), (plan.table, options)
    assert let_through > 5 and refused > 5, "these workflows say little"


def test_much_of_what_is_refused_would_stand_still_in_one_of_many_runs() -> None:
    rng = Random(0)
    refused = stood_still = 0
    while refused < 40:
        plan, options = random_units(rng)
        if any(deadlocks(plan, options.group_pools, options.pools)):
            refused += 1
            options_with_room = RunOptions(workers=20, pools=options.pools, group_pools=options.group_pools)
            stood_still += any(stands_still(plan, options_with_room, rng) for _ in range(60))
    assert stood_still > refused / 3
