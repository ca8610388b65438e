"""Files of environment variables."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtui.core.definition import WorkflowDefinition
from qtui.core.errors import Problem
from qtui.definition.dotenv import parse_env

Load = Callable[..., WorkflowDefinition]
Problems = Callable[..., tuple[Problem, ...]]


@pytest.mark.parametrize(
    ("text", "variables"),
    [
        ("A=1\nB = two words \n", {"A": "1", "B": "two words"}),
        ("# note\n\n  # another\nexport A=1\n\texport  B=2", {"A": "1", "B": "2"}),
        ("A=\nB=2", {"A": "", "B": "2"}),
        ("A=x # note\nB=x#y\nC=# note\nD='#'", {"A": "x", "B": "x#y", "C": "", "D": "#"}),
        ("A='$B \\n \"'  # note", {"A": '$B \\n "'}),
        (r'A="a\nb\t\"c\" \\ \$d \q"', {"A": 'a\nb\t"c" \\ $d \\q'}),
        ("A=\"two\nlines\"\nB='x\ny'", {"A": "two\nlines", "B": "x\ny"}),
        ("A=a=b", {"A": "a=b"}),
        ("A=1\nA=2", {"A": "2"}),
        ("", {}),
    ],
)
def test_variables_are_read(text: str, variables: dict[str, str]) -> None:
    assert parse_env(text) == (variables, [])


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("A=1\nhello", 2, "is not a variable"),
        ("A=1\n2A=1", 2, "is not a variable"),
        ("=1", 1, "is not a variable"),
        ('A="x\nB=1', 1, "A: the quote is never closed"),
        ("\n\nA='x' y", 3, "A: there is something behind the closing quote"),
        ("A=a\0b", 1, "A: the value contains a NUL character"),
    ],
)
def test_a_line_that_is_no_variable_is_told(text: str, line: int, message: str) -> None:
    (fault,) = parse_env(text)[1]
    assert fault[:2] == (line, message)


def test_what_follows_a_faulty_line_is_read() -> None:
    assert parse_env("A='x\nB=2")[0] == {"A": "", "B": "2"}


@given(st.text(alphabet="A=1 '\"\\\n#\t\0x", max_size=30))
def test_any_text_is_read_or_faulted(text: str) -> None:
    variables, faults = parse_env(text)
    assert all(isinstance(value, str) for value in variables.values())
    assert all(0 < line <= text.count("\n") + 1 for line, _, _ in faults)


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


@given(
    st.dictionaries(
        st.from_regex(r"[A-Z_]\w{0,3}", fullmatch=True).filter(str.isascii),
        st.text().filter(lambda value: "\0" not in value),
    )
)
def test_what_is_quoted_comes_back(variables: dict[str, str]) -> None:
    text = "\n".join(f"{name}={_quoted(value)}" for name, value in variables.items())
    assert parse_env(text) == (variables, [])


# -- in a workflow ---------------------------------------------------------------------------------------


def test_its_variables_are_below_env_and_above_those_around(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("B", "outside")
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "a.env").write_bytes(b"\xef\xbb\xbfA=file\r\nB=file\r\nC=file\r\n")
    (tmp_path / ".env").write_text("C=second")
    text = """
        [params]
        stage = "a"
        [workflow]
        env_file = ["conf/${{ params.stage }}.env", ".env", "nowhere.env", "required:.env"]
        [env]
        A = "own"
        D = "${{ env.C }}"
        [units.a]
        """
    assert load(text).units[0].env == {"A": "own", "B": "file", "C": "second", "D": "second"}


def test_one_that_is_required_must_be_there(problems: Problems, tmp_path: Path) -> None:
    (problem,) = problems("[workflow]\nenv_file = 'required:conf/.env'\n[units.a]")
    assert str(problem) == "flow.toml:2: workflow.env_file: there is no file conf/.env"


def test_its_faults_are_told_with_its_own_lines_and_without_its_text(problems: Problems, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=1\nhunter2\nB='x")
    found = problems("[workflow]\nenv_file = '.env'\n[units.a]")
    assert [problem.where for problem in found] == [".env:2", ".env:3"]
    assert not any("hunter2" in str(problem) for problem in found)


def test_one_that_cannot_be_read_is_told(problems: Problems, tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "bytes").write_bytes(b"A=\xff")
    found = problems("[workflow]\nenv_file = ['dir', 'bytes']\n[units.a]")
    assert [str(problem) for problem in found] == [
        f"flow.toml:2: workflow.env_file: dir cannot be read: {os.strerror(21)}",
        "flow.toml:2: workflow.env_file: bytes cannot be read: it is not UTF-8 text",
    ]
