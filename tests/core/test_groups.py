"""Items of groups, pools, budgets and brakes: what may start now, and in which order."""

from __future__ import annotations

from typing import Any

from core_driver import Run, unit

from qtui.core.events import BrakeChanged
from qtui.core.model import QuantumUnit, RetryPolicy
from qtui.core.options import Brake
from qtui.core.stimuli import ReleaseRequested


def item(step: str, label: str, *needs: str, **keys: Any) -> QuantumUnit:
    """The unit of a step for one item of the group g."""
    return unit(f"{step}[{label}]", *needs, family=step, group="g", item=f"[{label}]", **keys)


def sheet(items: int, steps: int) -> list[QuantumUnit]:
    """The chain s0, s1, ... for each item."""
    return [
        item(f"s{step}", str(number), *([f"s{step - 1}"] if step else []))
        for step in range(steps)
        for number in range(items)
    ]


# -- groups ----------------------------------------------------------------------------------------------


def test_inside_a_group_needs_are_item_by_item_and_outside_they_mean_all_items() -> None:
    run = Run(*sheet(2, 2), unit("all", "s1"))
    run.succeed("s0[1]")
    assert run.running == {"s0[0]", "s1[1]"}
    run.succeed("s1[1]", "s0[0]")
    assert run.state("all") == "pending"
    run.succeed("s1[0]")
    assert run.running == {"all"}


def test_an_item_of_another_item_can_be_named() -> None:
    run = Run(item("a", "x"), item("a", "y", "a[x]"))
    assert run.running == {"a[x]"}


def test_a_unit_with_a_matrix_inside_a_group_is_all_of_its_own_item() -> None:
    lanes = [
        QuantumUnit(id=f"a[{label},lane={n}]", family="a", group="g", item=f"[{label}]", action=unit("w").action)
        for label in ("x", "y")
        for n in range(2)
    ]
    run = Run(*lanes, item("b", "x", "a"))
    assert [need.units for need in run.plan.declared[4]] == [(0, 1)]
    assert run.plan.declared[4][0].many


def test_items_that_have_begun_come_before_items_that_have_not() -> None:
    run = Run(*sheet(500, 4), workers=4)
    begun_and_unfinished = most = 0
    while run.running:
        run.succeed(next(iter(sorted(run.running, key=run.started.index))))
        begun = {name.partition("[")[2] for name in run.started}
        ended = {view.unit.item[1:] for view in run.view.units if view.id.startswith("s3") and view.state.ended}
        begun_and_unfinished = len(begun - ended)
        most = max(most, begun_and_unfinished)
        if len(ended) > 40:
            break
    assert most <= 8


def test_a_retry_of_one_item_touches_only_that_item() -> None:
    run = Run(*sheet(3, 2), unit("all", "s1"), workers=10)
    for number in range(3):
        run.succeed(f"s0[{number}]")
    run.fail("s1[1]")
    run.succeed("s1[0]", "s1[2]")
    assert run.state("all") == "skipped"
    before = run.states()
    run.retry("s0[1]")
    changed = {name for name, state in run.states().items() if state != before[name]}
    assert changed == {"s0[1]"}
    run.succeed("s0[1]")
    run.retry("s1[1]")
    run.succeed("s1[1]")
    assert run.running == {"all"}


def test_an_item_holds_its_groups_pool_from_its_first_start_to_its_last_end() -> None:
    run = Run(*sheet(3, 2), pools={"rolling": 1}, group_pools={"g": {"rolling": 1}})
    assert run.running == {"s0[0]"}
    run.succeed("s0[0]")
    assert run.running == {"s1[0]"}
    run.succeed("s1[0]")
    assert run.running == {"s0[1]"}
    run.fail("s0[1]")
    assert run.running == {"s0[2]"}  # the rest of the item was skipped


def test_units_of_an_item_do_not_take_again_what_the_item_holds() -> None:
    run = Run(item("a", "x", pools={"rolling": 1}), pools={"rolling": 1}, group_pools={"g": {"rolling": 1}})
    assert run.running == {"a[x]"}


# -- pools and budgets -----------------------------------------------------------------------------------


def test_no_more_units_run_than_their_pool_has_slots() -> None:
    run = Run(*(unit(f"u{n}", pools={"gpu": 1}) for n in range(4)), unit("free"), pools={"gpu": 2}, workers=8)
    assert run.running == {"u0", "u1", "free"}
    run.succeed("u0")
    assert run.running == {"u1", "free", "u2"}


def test_a_unit_gives_its_slots_back_however_it_ends() -> None:
    run = Run(
        *(unit(f"u{n}", pools={"m": 1}, retry=RetryPolicy(max=1, delay=9), timeout=5) for n in range(4)),
        pools={"m": 1},
    )
    run.fail("u0")
    assert run.running == {"u1"}
    run.cancel("u1")
    run.stopped("u1")
    assert run.running == {"u2"}
    run.wait(5)
    run.stopped("u2")
    assert run.running == {"u3"}


def test_cores_and_memory_are_budgets_for_what_units_declare() -> None:
    run = Run(
        unit("a", cpus=2.5, memory=10),
        unit("b", cpus=1.5, memory=10),
        unit("c", cpus=0.1),
        unit("d", memory=15),
        unit("e"),
        cpus=4.0,
        memory=30,
        workers=9,
    )
    assert run.running == {"a", "b", "e"}
    run.succeed("b")
    assert run.running == {"a", "c", "d", "e"}


def test_small_units_do_not_starve_a_large_one_that_comes_first() -> None:
    run = Run(
        unit("first", cpus=1, priority=9),
        unit("large", cpus=2, priority=5),
        unit("small", cpus=1),
        unit("other"),
        cpus=2.0,
        workers=9,
    )
    assert run.running == {"first", "other"}
    run.succeed("first")
    assert run.running == {"large", "other"}


# -- brakes ----------------------------------------------------------------------------------------------


def failing(run: Run, *names: str, **keys: Any) -> None:
    for name in names:
        run.fail(name, **keys)


def brake_states(run: Run) -> list[tuple[str, int]]:
    return [(event.state, event.failures) for event in run.said(BrakeChanged)]


def test_failures_in_a_row_hold_new_starts_until_a_person_lets_go() -> None:
    run = Run(*(unit(f"u{n}") for n in range(6)), workers=1, brakes={"": Brake(count=3)})
    failing(run, "u0", "u1", "u2")
    assert run.running == set()
    assert run.view.brakes[""].state == "held"
    assert run.view.brakes[""].cause == "3 failures in a row"
    run.send(ReleaseRequested())
    assert run.running == {"u3"}
    assert brake_states(run) == [("open", 1), ("open", 2), ("held", 3), ("open", 0)]


def test_a_success_in_between_starts_the_count_anew() -> None:
    run = Run(*(unit(f"u{n}") for n in range(6)), workers=1, brakes={"": Brake(count=2)})
    run.fail("u0")
    run.succeed("u1")
    run.fail("u2")
    assert run.running == {"u3"}
    run.fail("u3")
    assert run.running == set()


def test_only_failures_that_look_alike_count_if_that_is_asked_for() -> None:
    run = Run(*(unit(f"u{n}") for n in range(6)), workers=1, brakes={"": Brake(count=2, same=True)})
    failing(run, "u0", error="ValueError")
    failing(run, "u1", error="KeyError")
    assert run.running == {"u2"}
    failing(run, "u2", error="KeyError")
    assert run.running == set()


def test_a_brake_holds_only_what_it_stands_on() -> None:
    run = Run(
        *(unit(f"net{n}", tags=frozenset({"net"})) for n in range(3)),
        unit("calm"),
        workers=1,
        brakes={"tag:net": Brake(count=1)},
    )
    run.fail("net0")
    assert run.running == {"calm"}


def test_brakes_of_groups_and_pools_count_their_units_alone() -> None:
    run = Run(
        unit("p0", pools={"api": 1}),
        unit("p1", pools={"api": 1}),
        *sheet(2, 1),
        workers=1,
        pools={"api": 1},
        brakes={"pool:api": Brake(count=1), "group:g": Brake(count=2)},
    )
    failing(run, "p0", "s0[0]", "s0[1]")
    assert {scope: brake.state for scope, brake in run.view.brakes.items()} == {"pool:api": "held", "group:g": "held"}


def test_a_probe_lets_one_unit_try_and_its_success_lets_go() -> None:
    run = Run(*(unit(f"u{n}") for n in range(8)), workers=2, brakes={"": Brake(count=2, probe=60)})
    failing(run, "u0", "u1")
    run.succeed("u2")  # begun before the hold: says nothing about now
    assert run.running == set()
    run.wait(60)
    assert run.running == {"u3"}
    run.succeed("u3")
    assert run.running == {"u4", "u5"}


def test_a_probe_that_fails_waits_for_the_next_one() -> None:
    run = Run(*(unit(f"u{n}") for n in range(4)), workers=1, brakes={"": Brake(count=1, probe=60)})
    run.fail("u0")
    run.wait(60)
    run.fail("u1")
    assert run.running == set()
    run.wait(60)
    assert run.running == {"u2"}


def test_a_probe_that_is_tried_again_has_failed() -> None:
    run = Run(
        unit("u0"), unit("u1", retry=RetryPolicy(max=1, delay=1)), workers=1, brakes={"": Brake(count=1, probe=60)}
    )
    run.fail("u0")
    run.wait(60)
    run.fail("u1")
    assert run.view.brakes[""].state == "held"
    run.wait(60)
    assert run.running == {"u1"}


def test_a_brake_may_stop_what_it_stands_on_for_good() -> None:
    run = Run(
        *(unit(f"u{n}") for n in range(3)),
        unit("cleanup", "*", when="always"),
        workers=1,
        brakes={"": Brake(count=1, then="stop")},
    )
    run.fail("u0")
    assert run.states() == {"u0": "failed", "u1": "canceled", "u2": "canceled", "cleanup": "running"}
    assert run.unit("u1").cause == "stopped: 1 failure in a row"


def test_a_retry_by_a_person_releases_a_brake_that_had_stopped() -> None:
    run = Run(*(unit(f"u{n}") for n in range(3)), workers=1, brakes={"": Brake(count=1, then="stop")})
    run.fail("u0")
    run.retry("u1", "u2")
    assert run.running == {"u1"}
    run.fail("u1")
    assert run.state("u2") == "canceled"


def test_handlers_are_not_held() -> None:
    run = Run(unit("a"), unit("b"), unit("h", "a", when="failure"), workers=1, brakes={"": Brake(count=1)})
    run.fail("a")
    assert run.running == {"h"}
