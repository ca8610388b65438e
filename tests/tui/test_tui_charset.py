"""When ASCII is all that is drawn."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from qtui.tui.charset import prefers_ascii

UTF8 = {"TERM": "xterm", "LANG": "C.UTF-8"}


@pytest.mark.parametrize("term", ["linux", "vt220", "dumb"])
def test_some_terminals_show_no_more(term: str) -> None:
    assert not prefers_ascii(UTF8, "utf-8")
    assert prefers_ascii({**UTF8, "TERM": term}, "utf-8")


@pytest.mark.parametrize("term", ["vte-256color", "xterm-256color", "screen", "tmux-256color"])
def test_others_show_all_signs(term: str) -> None:
    assert not prefers_ascii({**UTF8, "TERM": term}, "utf-8")


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", None])
def test_what_is_not_written_in_utf8_is_of_ascii(encoding: str | None) -> None:
    assert prefers_ascii(UTF8, encoding)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"LANG": "en_US.UTF-8"}, False),
        ({"LANG": "ca_ES.utf8@valencia"}, False),
        ({"LC_CTYPE": "UTF-8"}, False),  # what a Mac sends along
        ({"LANG": "de_DE"}, False),  # names no charset: the encoding tells
        ({}, True),
        ({"LANG": ""}, True),
        ({"LANG": "POSIX"}, True),
        ({"LANG": "de_DE.ISO-8859-1"}, True),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "C"}, True),
        ({"LANG": "en_US.UTF-8", "LC_CTYPE": "C"}, True),
        ({"LANG": "en_US.UTF-8", "LC_ALL": ""}, False),
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, False),
        ({"LC_CTYPE": "C", "LC_ALL": "C.UTF-8"}, False),
    ],
)
def test_the_locale_counts_as_c_libraries_read_it(variables: dict[str, str], expected: bool) -> None:
    assert prefers_ascii({"TERM": "xterm", **variables}, "utf-8") is expected


@pytest.mark.parametrize(
    ("variables", "expected"),
    [({}, "True"), ({"LANG": "C"}, "True"), ({"LC_CTYPE": "UTF-8"}, "False"), ({"LC_CTYPE": "C.UTF-8"}, "False")],
)
def test_the_locale_that_python_puts_in_place_of_c_does_not_count(variables: dict[str, str], expected: str) -> None:
    others = {name: value for name, value in os.environ.items() if name not in ("LANG", "LC_ALL", "LC_CTYPE")}
    code = "import sys; from qtui.tui.charset import ascii_only; print(ascii_only(sys.stdout), sys.stdout.encoding)"
    told = subprocess.run(
        [sys.executable, "-c", code], env={**others, "TERM": "xterm", **variables}, capture_output=True, text=True
    )
    assert told.stdout.split() == [expected, "utf-8"], told.stderr
