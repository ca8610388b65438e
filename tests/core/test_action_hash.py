"""The hash of an action says what a unit does, and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtui.core.actionhash import action_hash
from qtui.core.masking import TextMasker, masks_of
from qtui.core.model import Argv, Call, FromUnit, QuantumUnit, RetryPolicy, Shell
from qtui.core.portable import plain_unit, plain_value, unit_from_plain


def work(shard: int = 0) -> int:
    return shard


COMMAND = QuantumUnit(id="train[shard=1]", family="train", action=Shell(("train --shard 1",)), matrix={"shard": 1})
CALL = QuantumUnit(id="fit", action=Call.of(work, {"shard": 1}, "jobs:work"), args={"shard": 1}, cwd="/data")

COMMANDS = "train $LEVEL $QTUI_PARAM_DAY"

SAME: list[dict[str, Any]] = [
    {"id": "other", "family": ""},
    {"env": {"A": "1"}},
    {"timeout": 5.0, "retry": RetryPolicy(max=3)},
    {"dependencies": ("a",), "tags": frozenset({"x"}), "priority": 5, "description": "new words"},
]
OTHER: list[dict[str, Any]] = [
    {"action": Shell(("train --shard 2",))},
    {"action": Shell(("train --shard 1",), ("bash",))},
    {"action": Shell(("train", "--shard 1"))},
    {"action": Argv(("train", "--shard", "1"))},
    {"action": Call.of(work, {"shard": 1}, "jobs:other")},
    {"action": None},
    {"matrix": {"shard": 2}},
    {"args": {"shard": 2}},
    {"args": {"shard": "1"}},
    {"cwd": "/elsewhere"},
]


@pytest.mark.parametrize("unit", [COMMAND, CALL], ids=lambda unit: unit.id)
@pytest.mark.parametrize("change", SAME, ids=lambda change: ",".join(change))
def test_how_a_unit_is_called_and_run_does_not_count(unit: QuantumUnit, change: dict[str, Any]) -> None:
    assert action_hash(replace(unit, **change)) == action_hash(unit)


@pytest.mark.parametrize("unit", [COMMAND, CALL], ids=lambda unit: unit.id)
@pytest.mark.parametrize("change", OTHER)
def test_what_a_unit_does_counts(unit: QuantumUnit, change: dict[str, Any]) -> None:
    assert action_hash(replace(unit, **change)) != action_hash(unit)


def test_the_order_of_arguments_does_not_count() -> None:
    one, two = replace(CALL, args={"a": 1, "b": 2}), replace(CALL, args={"b": 2, "a": 1})
    assert action_hash(one) == action_hash(two)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.builds(FromUnit, st.text()),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
ACTIONS = (
    st.builds(Shell, st.tuples(st.text()), st.tuples(st.text()))
    | st.builds(Argv, st.lists(st.text(), min_size=1, max_size=3).map(tuple))
    | st.builds(lambda name: Call.of(work, reference=name), st.text(max_size=300))
)


@given(
    action=ACTIONS | st.just(Shell(("echo $A0 $B $QTUI_PARAM_P0 $QTUI_PARAM_Q s3cret",))),
    args=st.dictionaries(st.text(), VALUES, max_size=3),
    cwd=st.none() | st.text(),
    env=st.dictionaries(st.sampled_from(["A0", "B", "C"]), st.text(), max_size=3),
    params=st.dictionaries(st.sampled_from(["p0", "q", "r"]), VALUES, max_size=3),
)
def test_a_unit_from_the_record_has_the_hash_that_it_had_when_it_ran(
    action: Any, args: Any, cwd: Any, env: Any, params: Any
) -> None:
    mask = TextMasker(masks_of(["s3cret", "0"])).text
    unit = QuantumUnit(id="a", action=action, args=args, cwd=cwd, env=env)
    read = unit_from_plain(json.loads(json.dumps(plain_unit(unit, mask=mask))))
    assert action_hash(read, str, json.loads(json.dumps(plain_value(params, mask)))) == action_hash(unit, mask, params)


@pytest.mark.parametrize("action", [Shell(("train $LEVEL ${QTUI_PARAM_DAY}",)), Argv(("sh", "-c", COMMANDS))])
def test_variables_and_params_count_that_the_command_names(action: Any) -> None:
    unit = replace(COMMAND, action=action, env={"LEVEL": "1", "BUILD": "17"})
    usual = action_hash(unit, params={"day": "mon", "who": "me"})
    assert action_hash(unit, params={"day": "mon", "who": "you"}) == usual
    assert action_hash(replace(unit, env={"LEVEL": "1", "BUILD": "18"}), params={"day": "mon"}) == usual
    assert action_hash(unit, params={"day": "tue", "who": "me"}) != usual
    assert action_hash(replace(unit, env={"LEVEL": "2", "BUILD": "17"}), params={"day": "mon"}) != usual


def test_a_secret_is_not_in_it() -> None:
    mask = TextMasker(masks_of(["s3cret", "an0ther"])).text
    one, two = (replace(COMMAND, action=Shell((f"login {word}",))) for word in ("s3cret", "an0ther"))
    assert action_hash(one, mask) == action_hash(two, mask)
