"""Files of rows: what is read from TSV, CSV and JSON, and how their faults are told."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from qtui.core.errors import InvalidWorkflow
from qtui.definition.matrix import Item
from qtui.definition.rows import MOST_TOLD, read_rows
from qtui.definition.values import TOO_LARGE, Fault, Rejected

Read = Callable[[str, str], tuple[Item, ...]]


@pytest.fixture
def read(in_directory: Path) -> Read:
    """Reads a file with this text."""

    def read(file: str, text: str) -> tuple[Item, ...]:
        (in_directory / file).write_text(text, encoding="utf-8", newline="")
        return read_rows(file, str(in_directory))

    return read


def told(read: Read, file: str, text: str) -> list[str]:
    """The problems of a file with this text."""
    with pytest.raises(InvalidWorkflow) as raised:
        read(file, text)
    return [str(problem) for problem in raised.value.problems]


def refused(directory: Path, name: str) -> Fault:
    """The fault of a file that cannot be read at all."""
    with pytest.raises(Rejected) as raised:
        read_rows(name, str(directory))
    (fault,) = raised.value.faults
    return fault


# -- what is read ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("s.tsv", "id\treads\ns1\ta b.fq\ns2\t\n"),
        ("s.csv", "id,reads\ns1,a b.fq\ns2,\n"),
        ("s.CSV", 'id,"reads"\r\n"s1","a b.fq"\r\n\r\ns2,""'),
        ("s.tsv", "\ufeffid\treads\n\ns1\ta b.fq\ns2\t"),
        ("s.json", '[{"id": "s1", "reads": "a b.fq"}, {"reads": "", "id": "s2"}]'),
    ],
)
def test_rows_are_read_by_the_name_of_the_file(read: Read, file: str, text: str) -> None:
    rows = read(file, text)
    assert rows == ({"id": "s1", "reads": "a b.fq"}, {"id": "s2", "reads": ""})
    assert [list(row) for row in rows] == [["id", "reads"]] * 2


def test_values_of_text_files_are_strings(read: Read) -> None:
    assert read("s.csv", "n,flag\n1,true\n") == ({"n": "1", "flag": "true"},)


def test_values_of_json_keep_their_types(read: Read) -> None:
    assert read("s.json", '[{"n": 1, "x": 1.5, "flag": true}]') == ({"n": 1, "x": 1.5, "flag": True},)


def test_quoted_cells_may_have_the_delimiter_and_quotes_in_them(read: Read) -> None:
    assert read("s.csv", 'id,note\na,"x, ""y"""\n') == ({"id": "a", "note": 'x, "y"'},)
    assert read("s.tsv", 'id\tnote\na\t"x\t""y"""\n') == ({"id": "a", "note": 'x\t"y"'},)
    assert read("s.csv", "id,note\na,x\ty\n") == ({"id": "a", "note": "x\ty"},)


def test_columns_beside_the_first_may_hold_what_no_name_could(read: Read) -> None:
    (row,) = read("s.tsv", "id\tnote\na\t 10\u00a0% \u202e[x]=* \n")
    assert row["note"] == " 10\u00a0% \u202e[x]=* "


def test_a_path_starts_at_the_directory(in_directory: Path) -> None:
    (in_directory / "sub").mkdir()
    (in_directory / "s.csv").write_text("id\na")
    assert read_rows("../s.csv", str(in_directory / "sub")) == ({"id": "a"},)


# -- faults in a file ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "s.tsv:1: is empty"),
        ("\n\n", "s.tsv:1: is empty"),
        ("id\tx\n", "s.tsv:1: has no rows"),
        ("id\tx\na\t1\nb\n", "s.tsv:3: has 1 cell, but there are 2 columns"),
        ("id\tx\n\na\t1\t2\n", "s.tsv:3: has 3 cells, but there are 2 columns"),
        ("id\t\na\t1", "s.tsv:1: column 2 has no name (the first row names the columns)"),
        ("id\tx\tid\na\t1\t2", 's.tsv:1: two columns are called "id"'),
        ("sample id\na", 's.tsv:1: the column "sample id" is not a name: use letters, digits and _'),
        ("id\na\nb\na", 's.tsv:4: id = "a" is already in line 2 (the first column tells the rows apart)'),
        ("id\tx\n\t1", 's.tsv:2: id: "" cannot be part of a unit\'s name'),
        ('id\n"a\tb"', 's.tsv:2: id: "a\\tb" cannot be part of a unit\'s name'),
        ("id\na\u202eb", 's.tsv:2: id: "a\\u202eb" cannot be part of a unit\'s name'),
        ("id\tx\na\t\x1b[2J", 's.tsv:2: x: "\\x1b[2J" has the control character U+001B'),
        ("id\tx\na\t\x00", 's.tsv:2: x: "\\x00" has the control character U+0000'),
        ('id\tx\na\t"b\nc"\n', 's.tsv:2: x: "b\\nc" has the control character U+000A'),
        ('id\tx\na\t"b\n', "s.tsv:2: not correct TSV: unexpected end of data"),
        ('id\tx\na\t"b"c\n', "s.tsv:2: not correct TSV: '\t' expected after '\"'"),
    ],
)
def test_a_fault_of_a_text_file_is_told_with_its_line(read: Read, text: str, problem: str) -> None:
    assert told(read, "s.tsv", text) == [problem]


def test_a_file_with_other_separators_is_explained(read: Read) -> None:
    assert told(read, "s.csv", "id;x\na;1") == [
        's.csv:1: the column "id;x" is not a name: use letters, digits and _ (separate columns with commas)'
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "s.json:1: not correct JSON: Expecting value"),
        ('[\n{"id": 1},\n]', "s.json:3: not correct JSON: Expecting value"),
        ("{}", "s.json:1: expected a list of tables, not a table"),
        ("[]", "s.json:1: is empty"),
        ("[\n1]", "s.json:2: expected a table with values, not the number 1"),
        ("[{}]", "s.json:1: expected a table with values, not a table"),
        ('[{"id": 1},\n {"id": 2, "x": 3}]', 's.json:2: has "x", but the first row has not'),
        ('[{"id": 1, "x": 1},\n\n {"id": 2}]', 's.json:3: has no "x", but the first row has'),
        ('[{"id": 1},\n {"id": 1}]', 's.json:2: id = "1" is already in line 1 (the first column tells the rows apart)'),
        ('[{"id": 1}, {"id": "1"}]', 's.json:1: id = "1" is already in line 1 (the first column tells the rows apart)'),
        ('[{"id": 1},\n{"id": 2, "id": 3}]', 's.json:2: "id" is there twice'),
        ('[{"id": 1, "x": [1]}]', "s.json:1: x: expected a string, number or boolean, not a list"),
        ('[{"id": 1, "x": NaN}]', "s.json:1: x: expected a finite number, not the number nan"),
        ('[{"id": 1, "x": 1e999}]', "s.json:1: x: expected a finite number, not the number inf"),
        ('[{"id": 1, "x": "\\ud800"}]', 's.json:1: x: "\\ud800" has the control character U+D800'),
        ('[{"id": "a\\nb"}]', 's.json:1: id: "a\\nb" cannot be part of a unit\'s name'),
        ('[{"": 1}]', "s.json:1: column 1 has no name (the first row names the columns)"),
    ],
)
def test_a_fault_of_a_json_file_is_told_with_its_line(read: Read, text: str, problem: str) -> None:
    assert told(read, "s.json", text) == [problem]


def test_json_that_python_cannot_hold_is_refused(read: Read) -> None:
    (problem,) = told(read, "s.json", "[" * 100_000)
    assert problem.startswith("s.json:1: not usable as JSON: ")


@pytest.mark.parametrize("digits", [20, 5000])
def test_a_number_of_more_than_64_bits_is_refused(read: Read, digits: int) -> None:
    (problem,) = told(read, "s.json", f'[{{"id": "{"1" * 5000}",\n"x": {"1" * digits}}}]')
    assert problem.removeprefix("s.json:2: a number ").removeprefix("s.json:1: x: ") == TOO_LARGE


@pytest.mark.parametrize(("name", "text"), [("s.json", '[{"id": 1,\n"x": "%s"}]'), ("s.tsv", "id\tx\n1\t%s\n")])
def test_a_cell_longer_than_programs_take_is_refused(read: Read, name: str, text: str) -> None:
    (problem,) = told(read, name, text % ("x" * 131_073))
    assert "131,072" in problem or "131072" in problem
    assert read(name, text % ("x" * 131_072))


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [("s.tsv", "id\tREADS\treads\n", 1), ("s.json", '[\n{"id": 1, "REA-DS": 2, "rea_ds": 3}]', 2)],
)
def test_columns_that_would_be_one_variable_are_refused(read: Read, name: str, text: str, line: int) -> None:
    (problem,) = told(read, name, text)
    assert problem.startswith(f"s.{name[2:]}:{line}: the column ")
    assert "would both be the variable QTUI_MATRIX_REA" in problem


def test_several_faults_are_told_together_but_not_thousands(read: Read) -> None:
    assert told(read, "s.tsv", "id\tx\na\na\t1\na\t2\n") == [
        "s.tsv:2: has 1 cell, but there are 2 columns",
        's.tsv:4: id = "a" is already in line 3 (the first column tells the rows apart)',
    ]
    assert len(told(read, "s.tsv", "id\tx\n" + "a\n" * 5000)) == MOST_TOLD


def test_more_rows_than_units_are_possible_are_refused(read: Read) -> None:
    rows = "".join(f"{number}\n" for number in range(100_001))
    assert told(read, "s.csv", f"id\n{rows}") == ["s.csv:100002: there are more than 100,000 rows"]


def test_bytes_that_are_no_text_are_told_with_their_line(in_directory: Path) -> None:
    (in_directory / "s.csv").write_bytes(b"id\nM\xfcller\n")
    with pytest.raises(InvalidWorkflow, match=r"s\.csv:2: the byte 0xfc is not UTF-8 text \(save the file as UTF-8\)"):
        read_rows("s.csv", str(in_directory))


# -- files that cannot be read ---------------------------------------------------------------------------


def test_a_missing_file_is_told_with_what_was_probably_meant(in_directory: Path) -> None:
    (in_directory / "data").mkdir()
    assert refused(in_directory, "data/sample.tsv").hint == "the path starts at the workflow file"
    (in_directory / "data" / "samples.tsv").touch()
    fault = refused(in_directory, "data/sample.tsv")
    assert (fault.message, fault.hint) == ('there is no file "data/sample.tsv"', 'did you mean "data/samples.tsv"?')


def test_only_regular_files_of_known_kinds_are_read(in_directory: Path) -> None:
    os.mkfifo(in_directory / "pipe.tsv")
    (in_directory / "dir.csv").mkdir()
    assert refused(in_directory, "pipe.tsv").message == '"pipe.tsv" is not a regular file'
    assert refused(in_directory, "dir.csv").message == '"dir.csv" is not a regular file'
    assert refused(in_directory, "s.xlsx").message == '"s.xlsx" is not a .tsv, .csv or .json file'
    assert "cannot be read" in refused(in_directory, "s\0.csv").message
