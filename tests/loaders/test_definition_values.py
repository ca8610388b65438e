"""Durations, expressions, params and matrices, each on its own."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtui.definition.expressions import fill
from qtui.definition.matrix import Matrix, item_label
from qtui.definition.params import ParamSpec, declare, resolve
from qtui.definition.values import Fault, Rejected, duration


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("90s", 90), ("1h30m", 5400), ("500ms", 0.5), ("1.5m", 90), ("1d", 86400), ("0s", 0), (7, 7), (0.25, 0.25)],
)
def test_a_duration_is_a_number_of_seconds_or_has_units(written: Any, seconds: float) -> None:
    assert duration(written) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "written",
    [
        *("", "90", "s", "1 h", "-1s", "1h-3m", "1e3s", "1H", "٣s"),
        *(True, None, [], float("nan"), float("-inf"), -0.1),
        *(10**400, "9" * 400 + "d", 1e300),
    ],
)
def test_anything_else_is_no_duration(written: Any) -> None:
    with pytest.raises(Rejected):
        duration(written)


def test_a_number_without_a_unit_in_a_string_is_explained() -> None:
    with pytest.raises(Rejected) as raised:
        duration("90")
    assert raised.value.faults[0].hint == 'did you mean "90s"?'


# -- expressions -----------------------------------------------------------------------------------------

SCOPE: dict[str, dict[str, Any]] = {
    "params": {"day": "monday", "full": True, "hosts": ["a1", "a2"], "rows": 3},
    "matrix": {"shard": 0},
    "env": {"HOME": "/home"},
}


@pytest.mark.parametrize(
    ("written", "filled"),
    [
        ("no expression", "no expression"),
        ("on ${{ params.day }}!", "on monday!"),
        ("${{params.day}}${{ matrix.shard }}", "monday0"),
        ("${{ params.full }} ${{ params.hosts }}", "true a1 a2"),
        ("${{ env.HOME }}/x", "/home/x"),
        ("${HOME} $((1+1)) }}", "${HOME} $((1+1)) }}"),
        (["${{ params.rows }}"], ["3"]),
        ({"${{ params.day }}": {"x": "${{ params.rows }}"}}, {"${{ params.day }}": {"x": "3"}}),
        (5, 5),
    ],
)
def test_expressions_become_text(written: Any, filled: Any) -> None:
    assert fill(written, SCOPE, keep_type=False) == filled


def test_a_string_that_is_only_an_expression_keeps_the_type_where_that_makes_sense() -> None:
    written = {"rows": "${{ params.rows }}", "hosts": "${{ params.hosts }}", "text": "${{ params.rows }} rows"}
    assert fill(written, SCOPE, keep_type=True) == {"rows": 3, "hosts": ["a1", "a2"], "text": "3 rows"}


def test_what_is_filled_in_is_not_filled_again() -> None:
    scope = {"params": {"a": "${{ params.b }}", "b": "secret"}}
    assert fill("x ${{ params.a }}", scope, keep_type=False) == "x ${{ params.b }}"


def test_every_expression_that_cannot_be_filled_is_told() -> None:
    with pytest.raises(Rejected) as raised:
        fill(["${{ params.dya }}", "${{ nope.x }} ${{ params.__class__ }} ${{ x"], SCOPE, keep_type=False)
    assert [(fault.path, fault.needle) for fault in raised.value.faults] == [
        (("[0]",), "${{ params.dya }}"),
        (("[1]",), "${{"),
        (("[1]",), "${{ nope.x }}"),
        (("[1]",), "${{ params.__class__ }}"),
    ]


@given(st.text(alphabet="${} .paramsdy\n", max_size=40))
def test_filling_any_text_gives_text_or_is_rejected(text: str) -> None:
    try:
        assert isinstance(fill(text, SCOPE, keep_type=False), str)
    except Rejected as rejected:
        assert rejected.faults


# -- params ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("declared", "given_text", "value"),
    [
        (str, "x", "x"),
        ({"type": "int"}, "-3", -3),
        (1, "2", 2),
        (1.5, "2", 2.0),
        (1.5, "-1.5e-3", -0.0015),
        (1.5, " .5 ", 0.5),
        (False, "yes", True),
        (True, "0", False),
        (["a"], "b,c", ["b", "c"]),
        (["a"], "", []),
        ([1, 2], "3, 4", [3, 4]),
        ({"choices": [1, 2], "default": 1}, "2", 2),
        ({"type": "list", "choices": ["a", "b"]}, "b,a", ["b", "a"]),
        ({"pattern": "[a-c]+"}, "abc", "abc"),
    ],
)
def test_text_from_the_command_line_gets_the_declared_type(declared: Any, given_text: str, value: Any) -> None:
    converted = declare("x", declared).convert(given_text)
    assert converted == value
    assert type(converted) is type(value)


@pytest.mark.parametrize(
    ("declared", "unfit"),
    [
        (int, "1.0"),
        (int, "9" * 5000),
        (int, True),
        (int, 2**63),
        (["a"], [2**63]),
        (["a"], "b,,c"),
        (["a"], "b,"),
        (["a"], ","),
        (float, "nan"),
        (float, "1_0"),
        (float, "١"),
        (float, "1e999"),
        (float, 10**400),
        (bool, "maybe"),
        (str, "\udcff"),
        (str, "a\0"),
        ({"choices": ["a"]}, "b"),
        ({"choices": [1]}, True),
        ({"type": "list", "choices": ["a"]}, "a,b"),
        ({"pattern": r"\d+$"}, "1\n"),
        ({"pattern": r"\d+"}, "1x"),
    ],
)
def test_an_unfit_value_is_rejected(declared: Any, unfit: Any) -> None:
    with pytest.raises(Rejected):
        declare("x", declared).convert(unfit)


def test_params_that_are_unknown_or_missing_are_told_together() -> None:
    specs = {"day": declare("day", str), "rows": declare("rows", 3)}
    values, faults = resolve(specs, {"dya": "monday"})
    assert values == {"rows": 3}
    assert [(fault.path, fault.hint) for fault in faults] == [
        (("dya",), 'did you mean "day"?'),
        (("day",), "give one with -p day=VALUE"),
    ]


@pytest.mark.parametrize(("first", "second"), [("Day", "day"), ("a_b", "A_B")])
def test_params_that_would_be_one_variable_are_told(first: str, second: str) -> None:
    specs = {name: declare(name, "x") for name in (first, "other", second)}
    _, faults = resolve(specs, {})
    assert [(fault.path, fault.message) for fault in faults] == [
        ((second,), f'and "{first}" would both be the variable QTUI_PARAM_{first.upper()}')
    ]


def test_an_empty_table_says_nothing_of_a_param() -> None:
    with pytest.raises(Rejected) as raised:
        declare("x", {})
    assert raised.value.faults == (Fault("is an empty table", "write { required = true } for one that must be given"),)


def test_a_default_is_converted_like_a_given_value() -> None:
    assert declare("x", {"type": "float", "default": 1}) == ParamSpec(name="x", type="float", default=1.0)


# -- matrices --------------------------------------------------------------------------------------------


def _labels(**matrix: Any) -> list[str]:
    return [item_label(item) for item in Matrix.parse(matrix).expand()]


def test_a_matrix_is_a_product_in_the_order_written() -> None:
    assert _labels(b=[1, 2], a=["x", "y"]) == ["[b=1,a=x]", "[b=1,a=y]", "[b=2,a=x]", "[b=2,a=y]"]


def test_items_are_taken_out_and_put_in() -> None:
    labels = _labels(a=[1, 2], b=[1, 2], exclude=[{"a": 1, "b": 2}, {"a": 2}], include=[{"b": 9, "a": 7}])
    assert labels == ["[a=1,b=1]", "[a=7,b=9]"]


def test_lists_that_would_be_one_variable_are_told() -> None:
    with pytest.raises(Rejected) as raised:
        Matrix.parse({"READS": [1], "other": [2], "reads": [3], "rea-ds": [4], "rea_DS": [5]})
    assert [(fault.path, fault.message) for fault in raised.value.faults] == [
        (("reads",), 'and "READS" would both be the variable QTUI_MATRIX_READS'),
        (("rea_DS",), 'and "rea-ds" would both be the variable QTUI_MATRIX_REA_DS'),
    ]


def test_true_and_one_are_different_values() -> None:
    assert _labels(a=[True, 1], exclude=[{"a": 1}]) == ["[a=true]"]
