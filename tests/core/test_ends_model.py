"""Random graphs with fallbacks, conditions, groups, handlers and failures end as an independent, naive model says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from core_driver import WORK, Run
from core_examples import examples
from hypothesis import given
from hypothesis import strategies as st

from qtui.core.condition import Condition
from qtui.core.model import Fallback, Outcome, QuantumUnit, RetryPolicy, UnitError

SUCCESS = Outcome()
WRONG = Outcome(error=UnitError("ValueError", "wrong"))

in_many_graphs = examples(150, soak=5_000)
chance = st.randoms(use_true_random=False, note_method_calls=False)


@dataclass
class End:
    """What the model says of a unit: its state, whether a fallback was used, and whether a failure is behind it."""

    state: str
    fallback: bool = False
    by_failure: bool = False


def predict(
    units: Sequence[QuantumUnit], needs: Mapping[str, Sequence[str]], bad_tries: Mapping[str, int]
) -> dict[str, End]:
    """The ends by the rules alone: unit after unit in the order drawn, without time, queues or workers.

    `bad_tries` tells how often a unit fails before it succeeds.
    """
    ends: dict[str, End] = {}
    for unit in units:
        above = [(need, ends[need]) for need in needs[unit.id]]
        ends[unit.id] = one_end(unit, above, {u.id: u for u in units}, ends, bad_tries[unit.id])
    return ends


def one_end(
    unit: QuantumUnit,
    above: Sequence[tuple[str, End]],
    table: Mapping[str, QuantumUnit],
    ends: Mapping[str, End],
    bad_tries: int,
) -> End:
    bad = [
        end
        for need, end in above
        if end.state != "completed" and not (end.state == "failed" and table[need].allow_failure)
    ]
    if unit.when == "success" and bad:
        return End("skipped", by_failure=any(end.state == "failed" or end.by_failure for end in bad))
    if unit.when == "failure" and not any(end.state == "failed" or end.by_failure for _, end in above):
        return End("skipped")
    if unit.condition is not None:
        name, wanted, negated = parts(unit.condition.text)
        family = [end for other, end in ends.items() if name in (other, table[other].family)]
        if unit.group and not (
            same := [ends[o] for o in ends if table[o].family == name and table[o].item == unit.item]
        ):
            family = family or same
        elif unit.group:
            family = same
        holds = any(end.fallback for end in family) if wanted == "fallback" else {e.state for e in family} == {wanted}
        if holds == negated:
            return End("skipped")
    if bad_tries <= unit.retry.max:
        return End("completed")
    if unit.fallback is not None:
        return End("completed", fallback=True)
    return End("failed")


def parts(text: str) -> tuple[str, str, bool]:
    """Name, wanted fact and negation of the conditions that `random_condition` makes."""
    negated = text.startswith("not ")
    body = text.removeprefix("not ")
    if body.endswith(".fallback"):
        return body.removeprefix('units."').removesuffix('".fallback'), "fallback", negated
    name, _, state = body.removeprefix('units."').partition('".state == ')
    return name, state.strip("'"), negated


def random_condition(rng: Random, names: Sequence[str]) -> Condition:
    name = rng.choice(names)
    asked = rng.choice(
        [f'units."{name}".fallback', f"units.\"{name}\".state == 'completed'", f"units.\"{name}\".state == 'failed'"]
    )
    return Condition.parse(f"{rng.choice(['', 'not '])}{asked}", {})


def random_graph(rng: Random) -> tuple[list[QuantumUnit], dict[str, list[str]]]:
    """Units in topological order, some of them steps of a group with two items; and the needs of each by id."""
    units: list[QuantumUnit] = []
    needs: dict[str, list[str]] = {}
    steps: list[str] = []
    for number in range(rng.randint(2, 6)):
        grouped = rng.randrange(3) == 0
        name = f"u{number}"
        written = [other for other in steps if rng.randrange(5) < 2]
        when = rng.choice(("success", "success", "success", "failure", "always"))
        condition = random_condition(rng, written) if written and rng.randrange(3) == 0 else None
        common = QuantumUnit(
            id=name,
            action=WORK,
            dependencies=tuple(written),
            retry=RetryPolicy(max=rng.choice((0, 0, 1)), delay=0.0),
            fallback=rng.choice((None, None, None, Fallback(0))),
            allow_failure=rng.randrange(4) == 0,
            when=when,
            condition=condition,
        )
        made = (
            [replace(common, id=f"{name}[{item}]", family=name, group="g", item=f"[{item}]") for item in "xy"]
            if grouped
            else [common]
        )
        for unit in made:
            needs[unit.id] = [
                other.id
                for other in units
                if other.name in written and not (unit.group and other.group and unit.item != other.item)
            ]
        units += made
        steps.append(name)
    return units, needs


@in_many_graphs
@given(chance)
def test_every_unit_ends_as_the_rules_say_whatever_order_things_happen_in(rng: Random) -> None:
    units, needs = random_graph(rng)
    bad_tries = {unit.id: rng.choice((0, 0, 0, 1, 2)) for unit in units}
    expected = predict(units, needs, bad_tries)

    run = Run(*rng.sample(units, len(units)), workers=rng.randint(1, 4))
    tries = dict.fromkeys(bad_tries, 0)
    while run.view.finished is None:
        if not run.running:
            run.wait(1)
            continue
        name = rng.choice(sorted(run.running))
        tries[name] += 1
        run.returns(name, WRONG if tries[name] <= bad_tries[name] else SUCCESS)

    seen = {view.id: (str(view.state), view.finished is not None and view.finished.fallback) for view in run.view.units}
    assert seen == {name: (end.state, end.fallback) for name, end in expected.items()}
    failed = any(
        end.state == "failed" and not unit.allow_failure for unit, end in zip(units, expected.values(), strict=True)
    )
    assert run.end == (("failed", 1) if failed else ("completed", 0))
