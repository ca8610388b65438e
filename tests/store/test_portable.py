"""Definitions go to plain data and come back; what cannot travel says so."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtui.core.condition import Condition
from qtui.core.errors import UsageError
from qtui.core.growth import grow
from qtui.core.model import (
    Action,
    Argv,
    CachePolicy,
    Call,
    ExecutionMode,
    Fallback,
    FromUnit,
    QuantumUnit,
    RetryPolicy,
    Shell,
    Source,
)
from qtui.core.options import Brake, RunOptions
from qtui.core.plan import ExecutionPlan
from qtui.core.portable import (
    options_from_plain,
    plain_options,
    plain_plan,
    plain_unit,
    plain_value,
    plan_from_plain,
    unit_from_plain,
)


def work(context: Any, size: int = 1) -> int:
    return size


async def fetch(context: Any) -> int:
    return 1


texts = st.text(max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
calls = st.sampled_from(
    [Call(work, "m:work"), Call(fetch, "m:fetch"), Call.of(partial(work, size=2)), Call(len, "", False)]
)
actions: st.SearchStrategy[Action | None] = st.one_of(
    st.none(),
    calls,
    st.builds(Shell, st.tuples(texts), st.just(("bash", "-e"))),
    st.builds(Argv, st.tuples(texts, texts)),
)
conditions = st.sampled_from(
    [
        Condition.parse(text, {"params": {"full": True, "n": 3}, "matrix": {"shard": 1}, "env": {"STAGE": "test"}})
        for text in (
            "params.full or units.scores.fallback",
            'matrix.shard in [0, 1] and not (env.STAGE == "test") and params.n > 2',
            'units."embed[a=1]".state in ["failed", "timeout"]',
        )
    ]
)
units = st.builds(
    QuantumUnit,
    id=st.text(min_size=1, max_size=8),
    action=actions,
    args=st.dictionaries(texts, values, max_size=3),
    dependencies=st.lists(texts, max_size=2).map(tuple),
    mode=st.sampled_from(ExecutionMode),
    kind=st.sampled_from([None, "cpu", "io"]),
    timeout=st.none() | st.floats(0, 1e9),
    retry=st.builds(RetryPolicy, max=st.integers(0, 3), jitter=st.booleans(), on=st.sampled_from([(), (1, "timeout")])),
    tags=st.frozensets(texts, max_size=2),
    env=st.dictionaries(texts, texts, max_size=2),
    cwd=st.none() | texts,
    fallback=st.none() | values.map(Fallback),
    success_exit_codes=st.sampled_from([(0,), (0, 3)]),
    when=st.sampled_from(["success", "failure", "always"]),
    condition=st.none() | conditions,
    pools=st.dictionaries(texts, st.integers(1, 3), max_size=2),
    outputs=st.lists(texts, max_size=2).map(tuple),
    cache=st.sampled_from(
        [None, CachePolicy(), CachePolicy(inputs=("a",), env=("B",), keys=("c",), ttl=1.5), CachePolicy(keys=())]
    ),
    batch=st.sampled_from([None, 4, "auto"]),
    idempotent=st.booleans(),
    matrix=st.dictionaries(texts, values, max_size=2),
    metadata=st.dictionaries(texts, values, max_size=2),
    source=st.none() | st.builds(Source, file=texts, line=st.integers(0, 9)),
)


@given(units, st.sampled_from([None, *ExecutionMode]))
def test_a_unit_comes_back_from_json_and_is_written_the_same_again(
    unit: QuantumUnit, lane: ExecutionMode | None
) -> None:
    plain = plain_unit(unit, lane)
    travelled = json.loads(json.dumps(plain))
    assert travelled == plain
    back = unit_from_plain(travelled)
    assert plain_unit(back, lane) == plain
    if not isinstance(unit.action, Call):
        assert back == unit


@given(units, st.sampled_from(ExecutionMode))
def test_a_unit_from_the_record_goes_to_the_same_lane(unit: QuantumUnit, mode: ExecutionMode) -> None:
    assert unit_from_plain(plain_unit(unit)).lane(mode) is unit.lane(mode)


def test_only_what_a_unit_says_is_written() -> None:
    assert plain_unit(QuantumUnit(id="a")) == {"id": "a"}
    unit = QuantumUnit(id="a", action=Shell(("make",)), priority=2)
    assert plain_unit(unit, ExecutionMode.COMMAND) == {
        "id": "a",
        "action": {"shell": ["make"], "with": ["sh"]},
        "priority": 2,
        "lane": "command",
    }


def test_a_condition_from_the_record_decides_as_it_did() -> None:
    condition = Condition.parse('params.full or units.a.state == "failed"', {"params": {"full": False}})
    unit = unit_from_plain(json.loads(json.dumps(plain_unit(QuantumUnit(id="b", condition=condition)))))
    assert unit.condition is not None
    assert unit.condition.holds(lambda _unit, _fact: "failed")
    assert not unit.condition.holds(lambda _unit, _fact: "completed")


def test_a_function_from_the_record_refuses_to_be_called() -> None:
    unit = unit_from_plain(plain_unit(QuantumUnit(id="a", action=Call(work, "jobs:work"))))
    assert isinstance(unit.action, Call)
    with pytest.raises(UsageError, match=r"jobs:work.*no functions"):
        unit.action.function()
    unit = unit_from_plain(plain_unit(QuantumUnit(id="a", action=Call(fetch, "jobs:fetch"))))
    assert isinstance(unit.action, Call)
    with pytest.raises(UsageError, match="jobs:fetch"):
        asyncio.run(unit.action.function())


def test_the_digest_of_a_functions_code_is_kept() -> None:
    plain = plain_unit(QuantumUnit(id="a", action=Call(work, "m:work")), digest=lambda call: f"of {call}")
    assert plain["action"]["source"] == "of m:work"
    assert plain_unit(unit_from_plain(plain)) == plain


def test_what_json_has_no_word_for_is_told_in_few_words() -> None:
    class Thing:
        pass

    found = plain_value({"thing": Thing(), "bytes": b"x" * 999, "need": FromUnit("a"), "pair": (1, 2), "big": 10**5000})
    assert found["thing"]["repr"].startswith("<") and "0x" not in found["thing"]["repr"]
    assert len(found["bytes"]["repr"]) <= 200
    assert found["need"] == {"result": "a"} and found["pair"] == [1, 2]
    assert "bits" in found["big"]["repr"]
    assert plain_value({1: 2}) == {"repr": "{1: 2}"}


def test_a_value_that_holds_itself_ends() -> None:
    ring: list[Any] = []
    ring += [ring, ring]
    assert [list(item) for item in plain_value(ring)] == [["repr"], ["repr"]]


def test_secrets_are_hidden_in_texts_and_names_stay() -> None:
    condition = Condition.parse('env.KEY == "s3cret"', {"env": {"KEY": "s3cret"}})
    unit = QuantumUnit(
        id="s3cret",
        action=Shell(("curl -u s3cret x",)),
        args={"s3cret": ["s3cret"]},
        env={"KEY": "s3cret"},
        dependencies=("s3cret",),
        condition=condition,
        fallback=Fallback("s3cret"),
        metadata={"note": "s3cret"},
    )
    plain = plain_unit(unit, mask=lambda text: text.replace("s3cret", "***"))
    assert plain.pop("id") == "s3cret" and plain.pop("dependencies") == ["s3cret"]
    assert "s3cret" not in json.dumps(plain)
    assert json.dumps(plain).count("***") == 9


def group_plan() -> ExecutionPlan:
    rows = [
        QuantumUnit(id=f"{name}[{item}]", family=name, group="g", item=f"[{item}]", dependencies=needs, estimate=2.0)
        for item in "xy"
        for name, needs in (("a", ()), ("b", ("a",)))
    ]
    rest = [
        QuantumUnit(id="call", action=Call(fetch, "m:fetch"), dependencies=("a", "b[x]")),
        QuantumUnit(id="end", dependencies=("*",), when="always"),
    ]
    return ExecutionPlan.build([*rows, *rest], default_mode=ExecutionMode.SEQUENTIAL)


def same(one: ExecutionPlan, other: ExecutionPlan) -> None:
    for name in ("needs", "declared", "lanes", "ranks", "items", "item_of"):
        assert tuple(getattr(one, name)) == tuple(getattr(other, name)), name
    assert [sorted(feeds) for feeds in one.feeds] == [sorted(feeds) for feeds in other.feeds]
    assert dict(one.numbers) == dict(other.numbers)
    assert [unit.id for unit in one.table] == [unit.id for unit in other.table]
    assert (dict(one.added), set(one.dropped)) == (dict(other.added), set(other.dropped))
    assert (one.typical, one.mode) == (other.typical, other.mode)


def test_a_plan_comes_back_with_the_same_numbers_needs_lanes_and_items() -> None:
    plan = group_plan()
    plain = json.loads(json.dumps(plain_plan(plan)))
    back = plan_from_plain(plain)
    same(plan, back)
    assert back.feeds == plan.feeds
    assert plain_plan(back) == plain


def test_a_plan_that_has_grown_comes_back_and_can_grow_on() -> None:
    plan = group_plan().thawed()
    grow(plan, 0, [QuantumUnit(id="n1"), QuantumUnit(id="n2", dependencies=("n1",))])
    grow(plan, 0, [QuantumUnit(id="n1"), QuantumUnit(id="n3")])
    back = plan_from_plain(json.loads(json.dumps(plain_plan(plan))))
    same(plan, back)
    thawed = back.thawed()
    for each in (plan, thawed):
        grow(each, 1, [QuantumUnit(id="m", dependencies=("n3",))])
    same(plan, thawed)


def test_options_come_back() -> None:
    options = RunOptions(
        workers=3,
        mode=ExecutionMode.PROCESS,
        pools={"gpu": 1},
        group_pools={"g": {"gpu": 1}},
        brakes={"": Brake(count=3, same=True), "tag:x": Brake(count=1, then="stop", probe=2.5)},
        approved=("a*",),
    )
    plain = json.loads(json.dumps(plain_options(options)))
    assert options_from_plain(plain) == options
    assert plain_options(RunOptions()) == {}
