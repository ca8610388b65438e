"""Where keys are in a TOML text."""

from __future__ import annotations

from typing import Any

import pytest
import tomli
from hypothesis import given, settings
from hypothesis import strategies as st

from qtui.loaders.lines import Lines

TEXT = '''\
# a comment = 1
title = "x"   # [not.a.table]

[units.fetch]
run = """
[units.inside]
timeout = 3 \\""" still inside
""""
needs = [
  "a", # timeout = 1 ]
  "]",
]
retries.max = 3
"quoted key" = 1
'literal.key' = '#'
"esc\\u0061ped" = 1
[ units . "spaced out" . env ]
A = { B = { C = 1 } } # }
[[table.list]]
x = 1
[[table.list]]
x = 2
[units]
late = {}
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("title", 2),
        ("units.fetch", 4),
        ("units.fetch.run", 5),
        ("units.fetch.needs", 9),
        ("units.fetch.needs.[1]", 9),
        ("units.fetch.retries", 13),
        ("units.fetch.retries.max", 13),
        ("units.fetch.quoted key", 14),
        ("units.fetch.escaped", 16),
        ("units.spaced out", 17),
        ("units.spaced out.env", 17),
        ("units.spaced out.env.A", 18),
        ("units.spaced out.env.A.B.C", 18),
        ("table.list", 19),
        ("units.late", 24),
        ("units.nowhere", 23),
        ("nowhere", 0),
    ],
)
def test_a_key_is_found_or_else_what_holds_it(path: str, line: int) -> None:
    tomli.loads(TEXT)
    assert Lines(TEXT).line(tuple(path.split("."))) == line


def test_a_dot_inside_quotes_is_part_of_the_key() -> None:
    assert Lines(TEXT).line(("units", "fetch", "literal.key")) == 15


def test_what_only_looks_like_a_key_has_no_place() -> None:
    spots = Lines(TEXT).spots
    assert ("units", "inside") not in spots
    assert ("units", "fetch", "timeout") not in spots
    assert ("not", "a", "table") not in spots


def test_the_header_counts_even_if_a_table_inside_comes_first() -> None:
    lines = Lines("[a.b.c]\nx = 1\n[a.b]\ny = 1\n")
    assert lines.line(("a", "b")) == 3
    assert lines.line(("a",)) == 1


def test_a_text_inside_a_value_is_found_with_its_column() -> None:
    lines = Lines('a = "NEEDLE"\nb = """\n  x NEEDLE"""\n')
    assert lines.place(("b",), "NEEDLE") == (3, 5)
    assert lines.place(("a",), "NEEDLE") == (1, 6)
    assert lines.place(("a",), "GONE") == (1, 0)
    assert lines.place(("c",), "NEEDLE") == (0, 0)


KEYS = st.one_of(
    st.from_regex(r"[A-Za-z0-9_-]{1,4}", fullmatch=True),
    st.sampled_from(['"a b"', "'c.d'", '"e\\"f"', '"#"', "'['", '"\\t"']),
)
VALUES = st.sampled_from(
    [
        "1",
        '"x # y"',
        "'z'",
        '"""\n[a]\nb = 1\n"""',
        "'''\nc = 2'''''",
        '"""q\\""""""',
        "[1, 2]",
        '[\n "]", # ]\n [{ a = "}" }],\n]',
        "{ a = { b = '}' }, c = [1] }",
        '""',
        "''",
        "1979-05-27 07:32:00",
        "inf",
    ]
)
DOTTED = st.lists(KEYS, min_size=1, max_size=3).map(" . ".join)
ENTRY = st.tuples(DOTTED, VALUES, st.sampled_from(["", " # [x] = 'y", "\n", "\n\n# z"])).map(
    lambda entry: f"{entry[0]} = {entry[1]}{entry[2]}\n"
)
HEADER = st.tuples(DOTTED, st.booleans()).map(lambda head: f"[[{head[0]}]]\n" if head[1] else f"[ {head[0]} ]\n")


def _paths(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return [path, *(found for item in value for found in _paths(item, path))]
    if isinstance(value, dict):
        return [path, *(found for key, item in value.items() for found in _paths(item, (*path, key)))]
    return [path]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(ENTRY, HEADER), max_size=12).map("".join))
def test_every_place_is_a_key_that_the_parser_sees_too(text: str) -> None:
    try:
        document = tomli.loads(text)
    except tomli.TOMLDecodeError:
        return
    lines = Lines(text)
    known = {path for path in _paths(document) if path}
    assert set(lines.spots) <= known
    assert {path[:1] for path in known} == {path[:1] for path in lines.spots}
    for path in known:
        line = lines.line(path)
        assert 1 <= line <= text.count("\n") + 1
