"""The language of `if`: what it says, and where it points when it says nothing."""

from __future__ import annotations

from typing import Any

import pytest

from qtui.core.condition import MOST_NESTED, STATES, Condition, ConditionError
from qtui.core.model import ENDS as ENDS_OF_UNITS

SCOPE = {
    "params": {"full": False, "n": 3, "model": "small", "hosts": ["a1", "a2"]},
    "matrix": {"shard": 1},
    "env": {"CI": "1"},
}
ENDS = {
    "scores": ("completed", True, False),
    "embed[shard=3]": ("failed", False, False),
    "a.b": ("completed", False, True),
}


def facts(unit: str, fact: str) -> Any:
    return dict(zip(("state", "fallback", "cached"), ENDS[unit], strict=True))[fact]


def holds(text: str) -> bool:
    return Condition.parse(text, SCOPE).holds(facts)


@pytest.mark.parametrize(
    "text",
    [
        "true",
        "not params.full",
        "params.full or units.scores.fallback",
        "params.n >= 3 and params.n < 4.5",
        "params.n == 3.0",
        "params.model == 'small'",
        'params.model in ["small", "large"]',
        "'mal' in params.model",
        "'a3' not in params.hosts",
        "matrix.shard in [0, 1]",
        "env.CI == '1' and env.UNSET == ''",
        "units.a.b.cached",
        "units.\"embed[shard=3]\".state == 'failed'",
        "not (params.full or params.full) and not not true",
        "-1 < 0",
        "false or true and true",
        "params.n == 3e0 and params.n < 1.5E3 and 1e-3 > 0",
        "params.n < 12345678901234567890",
        "params.n not in []",
        "units.scores.state in ['completed', 'skipped'] and 'failed' != units.scores.state",
    ],
)
def test_conditions_that_hold(text: str) -> None:
    assert holds(text)
    assert not holds(f"not ({text})")


def test_and_binds_closer_than_or() -> None:
    assert holds("true or false and false")


@pytest.mark.parametrize(
    ("text", "at", "said"),
    [
        ("", 0, "is empty"),
        ("  ", 0, "is empty"),
        ("params.model", 0, "is a string, neither true nor false"),
        ("params.full and params.n", 16, "is a number, neither"),
        ("not 'x'", 4, "is a string"),
        ("params.n = 3", 9, "has no meaning here"),
        ("params.full && true", 12, "has no meaning here"),
        ("params.full and", 15, "expected a value, not the end"),
        ("(params.full", 12, 'expected ")", not the end'),
        ("params.full)", 11, 'expected nothing more, not ")"'),
        ("params.n < 'a'", 9, 'a number and a string cannot be compared by "<"'),
        ("params.full < true", 12, "cannot be compared"),
        ("params.n in 'abc'", 9, "cannot be compared"),
        ("params.fulll", 0, "params.fulll is not known"),
        ("true or param.full", 8, 'there is no "param" to ask'),
        ("units.scores.status == 'x'", 0, '"status" is nothing that is known of a unit'),
        ("units.scores", 0, "is nothing that is known"),
        ("params", 6, 'expected "." and a name'),
        ("'open", 0, "the string is not closed"),
        ("params.n in [1, ]", 16, "expected a string, number or boolean"),
        ("params.n == 1e5x", 12, "has no meaning"),
        ("params.n == 1e999", 12, "the number 1e999 is too large or too exact"),
        ("params.n == " + "9" * 5000, 12, "9… is too large or too exact"),
        ("params.n == 0." + "9" * 5000, 12, "9… is too large or too exact"),
        ("true in [1]", 5, 'a boolean and a number cannot be compared by "in"'),
        ("params.n not in [1, 'a']", 9, 'a number and a string cannot be compared by "not in"'),
        ("params.n in params.hosts", 9, 'a number and a string cannot be compared by "in"'),
        ("units.scores.state == 'complted'", 22, 'no unit ends "complted"'),
        ("'running' != units.scores.state", 0, 'no unit ends "running"'),
        ("units.scores.state in ['failed', 'done']", 22, 'no unit ends "done"'),
        ("not " * (MOST_NESTED + 1) + "true", 4 * (MOST_NESTED + 1), "nested too deeply"),
        ("(" * 1000 + "true" + ")" * 1000, MOST_NESTED + 1, "nested too deeply"),
    ],
)
def test_a_condition_without_a_meaning_says_what_and_where(text: str, at: int, said: str) -> None:
    with pytest.raises(ConditionError) as raised:
        Condition.parse(text, SCOPE)
    assert said in raised.value.message
    assert raised.value.at == at


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("params.fulll", 'did you mean "full"?'),
        ("parms.full", 'did you mean "params"?'),
        ("params.n = 3", 'write "==" to compare'),
        ("params.full | true", 'write "or"'),
        ("units.scores.state == 'complted'", 'did you mean "completed"?'),
        ("units.scores.state == 'x'", "a unit ends completed, failed, timeout, skipped, canceled, mixed"),
    ],
)
def test_hints(text: str, hint: str) -> None:
    with pytest.raises(ConditionError) as raised:
        Condition.parse(text, SCOPE)
    assert raised.value.hint == hint


def test_states_are_the_ends_of_units_and_what_a_family_is_that_has_several() -> None:
    assert {*STATES} == {*map(str, ENDS_OF_UNITS), "mixed"}


def test_it_knows_which_units_it_asks_about() -> None:
    condition = Condition.parse("units.a.b.cached or units.scores.fallback and units.a.b.fallback", SCOPE)
    assert condition.units == ("a.b", "scores")


def test_under_other_names_it_asks_the_same() -> None:
    condition = Condition.parse("not (units.scores.fallback and params.n in [3])", SCOPE)
    renamed = condition.renamed(lambda name: f"docs.{name}")
    asked: list[str] = []

    def note(unit: str, fact: str) -> Any:
        asked.append(unit)
        return facts(unit.removeprefix("docs."), fact)

    assert renamed.holds(note) == condition.holds(facts)
    assert asked == ["docs.scores"]
    assert renamed.units == ("docs.scores",)


def test_nothing_of_python_is_evaluated() -> None:
    for text in (
        "__import__('os')",
        "params.__class__",
        "lambda: 1",
        "[x for x in y]",
        "params.n + 1",
        "params.model.upper()",
    ):
        with pytest.raises(ConditionError):
            Condition.parse(text, SCOPE)
