"""Building a plan: names become numbers, faults are found all at once, and the graph's measures are right."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from random import Random

import pytest
from core_driver import COMMAND, COROUTINE, milestone, plan_of, unit
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qtui.core.errors import CircularDependencyError, InvalidWorkflow
from qtui.core.model import ExecutionMode, QuantumUnit, Source, UnitState
from qtui.core.plan import ExecutionPlan

LONG = 10_000


def shard(name: str, index: int, *needs: str) -> QuantumUnit:
    return unit(f"{name}[i={index}]", *needs, family=name, matrix={"i": index})


def needs_of(plan: ExecutionPlan, name: str) -> set[str]:
    return set(plan.dependencies[name])


def problems_of(*units: QuantumUnit) -> list[str]:
    with pytest.raises(InvalidWorkflow) as caught:
        plan_of(*units)
    return [str(problem) for problem in caught.value.problems]


# -- names -----------------------------------------------------------------------------------------------


def test_units_are_numbered_in_the_order_they_were_declared() -> None:
    plan = plan_of(unit("c", "a"), unit("a"), unit("b"))
    assert plan.numbers == {"c": 0, "a": 1, "b": 2}
    assert list(plan.units) == ["c", "a", "b"]
    assert plan.needs == ((1,), (), ())
    assert plan.feeds == ((), (0,), ())
    assert len(plan) == plan.unit_count == 3


def test_a_family_name_means_all_its_items() -> None:
    plan = plan_of(shard("embed", 1), shard("embed", 2), unit("embedding"), unit("join", "embed"))
    assert needs_of(plan, "join") == {"embed[i=1]", "embed[i=2]"}
    assert plan.declared[3][0].many


def test_one_item_of_a_family_can_be_named() -> None:
    plan = plan_of(shard("embed", 1), shard("embed", 2), unit("check", "embed[i=2]"))
    assert needs_of(plan, "check") == {"embed[i=2]"}
    assert not plan.declared[2][0].many


def test_an_exact_name_wins_over_a_family_of_that_name() -> None:
    plan = plan_of(unit("x"), unit("x[i=1]", family="x"), unit("after", "x"))
    assert needs_of(plan, "after") == {"x"}


def test_an_exact_name_wins_over_a_glob() -> None:
    plan = plan_of(unit("a?"), unit("ab"), unit("after", "a?"))
    assert needs_of(plan, "after") == {"a?"}


@pytest.mark.parametrize(
    ("glob", "meant"),
    [
        ("load-*", {"load-a", "load-b", "load-bc"}),
        ("load-?", {"load-a", "load-b"}),
        ("s[i=*]", {"s[i=1]", "s[i=20]"}),
        ("s[i=?]", {"s[i=1]"}),
    ],
)
def test_a_glob_means_every_unit_it_matches(glob: str, meant: set[str]) -> None:
    units = [unit("load-a"), unit("load-b"), unit("load-bc"), shard("s", 1), shard("s", 20), unit("Load-a")]
    assert needs_of(plan_of(*units, unit("after", glob)), "after") == meant


@pytest.mark.parametrize("glob", ["load-*", "load-?"])
def test_a_glob_that_matches_its_own_unit_means_the_others(glob: str) -> None:
    plan = plan_of(unit("load-a"), unit("load-b"), unit("load-c", glob))
    assert needs_of(plan, "load-c") == {"load-a", "load-b"}


def test_a_need_that_is_named_twice_is_one_edge() -> None:
    plan = plan_of(unit("load-a"), unit("after", "load-a", "load-*", "load-a"))
    assert plan.needs[1] == (0,)
    assert plan.feeds[0] == (1,)


def test_star_means_every_unit_that_does_not_need_this_one() -> None:
    plan = plan_of(unit("a"), unit("b", "a"), unit("gate", "*"), unit("c", "gate"), unit("d", "c"), unit("later"))
    assert needs_of(plan, "gate") == {"a", "b", "later"}


def test_two_stars_do_not_wait_for_each_other() -> None:
    plan = plan_of(unit("a"), unit("mail", "*"), unit("report", "*"))
    assert needs_of(plan, "mail") == needs_of(plan, "report") == {"a"}


def test_a_star_alone_waits_for_nothing() -> None:
    assert plan_of(unit("only", "*")).needs == ((),)


# -- faults ----------------------------------------------------------------------------------------------


def test_a_workflow_without_units_is_refused() -> None:
    assert problems_of() == ["there is no unit to run (add a [units.NAME] table)"]


def test_a_name_used_twice_is_refused_and_both_places_are_told() -> None:
    first = unit("a", source=Source(file="flow.toml", line=3))
    second = unit("a", source=Source(file="flow.toml", line=9))
    assert problems_of(first, second) == [
        "flow.toml:9: units.a: this name is already taken (first used at flow.toml:3)"
    ]


def test_an_unknown_need_is_refused_with_the_closest_name() -> None:
    problems = problems_of(unit("extract"), unit("load", "extrct", source=Source(file="flow.toml", line=7)))
    assert problems == ['flow.toml:7: units.load: needs "extrct", which is not a unit (did you mean "extract"?)']


def test_a_closest_name_may_be_a_familys() -> None:
    assert problems_of(shard("embed", 1), unit("load", "embd")) == [
        'units.load: needs "embd", which is not a unit (did you mean "embed"?)'
    ]


def test_a_glob_that_matches_nothing_is_refused() -> None:
    assert problems_of(unit("a"), unit("b", "zzz*")) == ['units.b: needs "zzz*", which is not a unit']


def test_all_faults_are_told_at_once() -> None:
    problems = problems_of(unit("a"), unit("a"), unit("b", "nothing"), unit("c", "nothing", "nowhere"))
    assert len(problems) == 4


# -- cycles ----------------------------------------------------------------------------------------------


def cycle_of(*units: QuantumUnit) -> CircularDependencyError:
    with pytest.raises(CircularDependencyError) as caught:
        plan_of(*units)
    return caught.value


def test_a_unit_that_needs_itself_is_refused() -> None:
    error = cycle_of(unit("a"), unit("b", "b"))
    assert error.path == ("b", "b")
    assert str(error) == "units.b: needs itself (remove one of these needs)"


def test_a_cycle_is_told_as_its_path_without_the_units_around_it() -> None:
    error = cycle_of(unit("in"), unit("x", "z", "in"), unit("y", "x"), unit("z", "y"), unit("out", "z"))
    assert error.path == ("x", "z", "y", "x")
    assert "these units need each other: x needs z needs y needs x" in str(error)


def test_a_long_cycle_is_told_without_recursion() -> None:
    error = cycle_of(*(unit(f"u{n}", f"u{(n + 1) % LONG}") for n in range(LONG)))
    assert len(error.path) == LONG + 1
    assert error.path[0] == error.path[-1] == "u0"


# -- measures --------------------------------------------------------------------------------------------


def diamond() -> ExecutionPlan:
    return plan_of(unit("a"), unit("b", "a"), unit("c", "a"), unit("c2", "c"), unit("d", "b", "c2"), unit("alone"))


def test_levels_hold_units_that_do_not_wait_for_each_other() -> None:
    assert diamond().levels == [["a", "alone"], ["b", "c"], ["c2"], ["d"]]
    assert diamond().max_parallel_units == 2


def test_the_critical_path_is_the_longest_chain() -> None:
    assert diamond().critical_path == ["a", "c", "c2", "d"]


def test_dependents_are_dependencies_turned_around() -> None:
    plan = diamond()
    assert plan.dependencies["d"] == {"b", "c2"}
    assert plan.dependents["a"] == {"b", "c"}
    assert plan.dependents["d"] == frozenset()


def test_below_lists_all_that_waits_for_a_unit_in_topological_order() -> None:
    plan = diamond()
    assert [plan.table[n].id for n in plan.below(plan.numbers["a"])] == ["b", "c", "c2", "d"]
    assert plan.below(plan.numbers["d"]) == []


def test_each_unit_has_its_lane() -> None:
    auto = unit("f", mode=ExecutionMode.AUTO)
    units = auto, unit("sh", action=COMMAND), unit("p", mode=ExecutionMode.SEQUENTIAL), milestone("m")
    thread, sequential, command = ExecutionMode.THREAD, ExecutionMode.SEQUENTIAL, ExecutionMode.COMMAND
    assert plan_of(*units).lanes == (thread, command, sequential, thread)
    assert plan_of(*units, mode=ExecutionMode.SEQUENTIAL).lanes == (sequential, command, sequential, sequential)


@pytest.mark.parametrize(
    ("keys", "lane"),
    [
        ({}, ExecutionMode.THREAD),
        ({"kind": "io"}, ExecutionMode.THREAD),
        ({"kind": "cpu"}, ExecutionMode.PROCESS),
        ({"timeout": 9.0}, ExecutionMode.PROCESS),
        ({"timeout": 9.0, "mode": ExecutionMode.THREAD}, ExecutionMode.THREAD),
        ({"kind": "cpu", "action": COROUTINE}, ExecutionMode.ASYNC),
        ({"timeout": 9.0, "action": COMMAND}, ExecutionMode.COMMAND),
    ],
)
def test_auto_chooses_what_can_be_killed_or_can_compute_beside_others(keys: dict, lane: ExecutionMode) -> None:
    assert plan_of(unit("u", **{"mode": ExecutionMode.AUTO, **keys})).lanes == (lane,)


def test_a_chain_of_ten_thousand_is_no_problem() -> None:
    plan = plan_of(unit("u0"), *(unit(f"u{n}", f"u{n - 1}") for n in range(1, LONG)))
    assert plan.ranks[0] == LONG
    assert plan.depths[-1] == LONG - 1
    assert len(plan.critical_path) == len(plan.levels) == LONG
    assert len(plan.below(0)) == LONG - 1


def test_a_fan_of_ten_thousand_is_no_problem() -> None:
    plan = plan_of(unit("in"), *(unit(f"u{n}", "in") for n in range(LONG)), unit("out", "u*"))
    assert plan.max_parallel_units == LONG
    assert len(plan.critical_path) == 3
    assert len(plan.needs[-1]) == LONG


# -- DOT -------------------------------------------------------------------------------------------------


def test_dot_names_every_unit_and_edge() -> None:
    dot = plan_of(unit("a"), unit("b", "a")).visualize()
    assert dot.startswith("digraph plan {")
    assert dot.endswith("}\n")
    assert '  "a" -> "b";' in dot.splitlines()


def test_dot_shows_states_by_colour() -> None:
    dot = plan_of(unit("a"), unit("b")).visualize({"a": UnitState.FAILED})
    assert '  "a" [fillcolor=salmon];' in dot
    assert '  "b" [fillcolor=white];' in dot


def test_dot_has_a_colour_for_every_state() -> None:
    plan = plan_of(unit("a"))
    assert all("fillcolor" in plan.visualize({"a": state}) for state in UnitState)


@pytest.mark.parametrize("name", ['say "hi"', "back\\slash", "two\nlines", 'a"]; evil [label="', "ends with \\"])
def test_dot_quotes_names(name: str) -> None:
    nodes = [line for line in plan_of(unit(name)).visualize().splitlines() if "fillcolor=white];" in line][1:]
    assert len(nodes) == 1
    quoted = re.fullmatch(r'  "((?:[^"\\]|\\.)*)" \[fillcolor=white\];', nodes[0])
    assert quoted is not None
    read = re.sub(r"\\(.)", lambda match: "\n" if match[1] == "n" else match[1], quoted[1])
    assert read == name


# -- properties ------------------------------------------------------------------------------------------


def random_needs(rng: Random) -> list[list[int]]:
    """A random DAG by number, in an order that is not topological."""
    count = rng.randint(1, 12)
    rank = list(range(count))
    rng.shuffle(rank)
    return [[m for m in range(count) if rank[m] < rank[n] and rng.randrange(3) == 0] for n in range(count)]


def plan_from(needs: Sequence[Sequence[int]]) -> ExecutionPlan:
    return plan_of(*(unit(f"u{n}", *(f"u{m}" for m in needed)) for n, needed in enumerate(needs)))


# a busy machine must not fail a test
patiently = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
chance = st.randoms(use_true_random=False, note_method_calls=False)


@patiently
@given(chance)
def test_measures_are_what_their_definitions_say(rng: Random) -> None:
    needs = random_needs(rng)
    plan = plan_from(needs)

    def depth(number: int) -> int:
        return max((1 + depth(need) for need in needs[number]), default=0)

    def rank(number: int) -> int:
        return 1 + max((rank(other) for other, needed in enumerate(needs) if number in needed), default=0)

    def above(number: int) -> set[int]:
        return set(needs[number]).union(*(above(need) for need in needs[number]))

    everyone = range(len(needs))
    place = {number: index for index, number in enumerate(plan.order)}
    assert sorted(plan.order) == list(everyone)
    assert all(place[need] < place[number] for number in everyone for need in needs[number])
    assert list(plan.depths) == [depth(number) for number in everyone]
    assert list(plan.ranks) == [rank(number) for number in everyone]
    assert all(set(plan.below(number)) == {n for n in everyone if number in above(n)} for number in everyone)

    path = [plan.numbers[name] for name in plan.critical_path]
    assert len(path) == max(plan.ranks)
    assert all(before in needs[after] for before, after in pairwise(path))


@patiently
@given(chance)
def test_an_edge_that_closes_a_cycle_is_reported_with_a_real_cycle(rng: Random) -> None:
    needs = random_needs(rng)
    plan = plan_from(needs)
    start = rng.randrange(len(needs))
    end = rng.choice([start, *plan.below(start)])
    needs[start].append(end)
    with pytest.raises(CircularDependencyError) as caught:
        plan_from(needs)
    path = [plan.numbers[name] for name in caught.value.path]
    assert path[0] == path[-1]
    assert len(set(path)) == len(path) - 1
    assert all(need in needs[number] for number, need in pairwise(path))


def test_every_knot_of_cycles_is_reported_beside_the_other_faults() -> None:
    def unit(id: str, *needs: str) -> QuantumUnit:
        return QuantumUnit(id=id, dependencies=needs)

    with pytest.raises(InvalidWorkflow) as caught:
        ExecutionPlan.build(
            [unit("a", "b"), unit("b", "a"), unit("below", "a", "x"), unit("x", "y"), unit("y", "x"), unit("z", "nope")]
        )

    assert [problem.message for problem in caught.value.problems] == [
        'needs "nope", which is not a unit',
        "these units need each other: a needs b needs a",
        "these units need each other: x needs y needs x",
    ]


def test_of_two_stars_the_first_declared_waits_for_what_needs_the_other() -> None:
    plan = plan_of(unit("one", "*"), unit("two", "*"), unit("after_one", "one"), unit("after_two", "two"))
    assert plan.dependencies["one"] == {"after_two"}
    assert plan.dependencies["two"] == set()
