"""``check`` and ``run -n`` tell of directories and programs that are not there; they are no faults."""

from __future__ import annotations

import pytest


def advice(result) -> list[str]:
    assert result.returncode == 0, result.stderr
    return result.stderr.splitlines()


@pytest.mark.parametrize("command", [["check"], ["run", "-n"]])
def test_what_a_command_lacks_is_told_with_its_place(called, workflow, tmp_path, command) -> None:
    (tmp_path / "plain.sh").write_text("echo")
    toml = """
[units.a]
argv = ["no-such-program", "x"]
[units.b]
run = "true"
shell = "no-such-shell -e"
[units.c]
run = "true"
cwd = "nowhere/at all"
[units.d]
argv = ["./not-there"]
[units.e]
argv = ["./plain.sh"]
[units.f]
argv = ["/not/there"]
"""
    assert advice(called(*command, workflow(toml).name)) == [
        "flow.toml:2: units.a.argv: there is no program no-such-program on the PATH",
        "flow.toml:4: units.b.shell: there is no program no-such-shell on the PATH",
        "flow.toml:7: units.c.cwd: there is no directory nowhere/at all (a unit that runs before may make it)",
        "flow.toml:10: units.d.argv: there is no program ./not-there in . (a unit that runs before may make it)",
        "flow.toml:12: units.e.argv: plain.sh is not executable (a unit that runs before may make it)",
        "flow.toml:14: units.f.argv: there is no program /not/there (a unit that runs before may make it)",
    ]


def test_what_is_there_is_not_told(called, workflow, tmp_path) -> None:
    bin_directory = tmp_path / "bin"
    bin_directory.mkdir()
    (bin_directory / "tool").write_text("#!/bin/sh\n")
    (bin_directory / "tool").chmod(0o755)
    toml = """
[units.a]
argv = ["tool"]
env = { PATH = "bin:${{ env.PATH }}" }
[units.b]
argv = ["./tool"]
cwd = "bin"
[units.c]
run = "true"
shell = "bash -e"
[units.d]
call = "json:loads"
args = { s = "1" }
cwd = "nowhere"
[units.e]
"""
    assert advice(called("check", workflow(toml).name)) == []


def test_what_other_units_make_is_not_told(called, workflow) -> None:
    toml = """
[units.venv]
run = "python -m venv venv"
outputs = ["venv", "work/made/file"]
[units.b]
needs = ["venv"]
argv = ["venv/bin/python"]
[units.c]
needs = ["venv"]
run = "true"
cwd = "work/made"
[units.own]
run = "true"
cwd = "mine"
outputs = ["file"]
"""
    (told,) = advice(called("check", workflow(toml).name))
    assert "units.own.cwd: there is no directory mine" in told


def test_units_that_lack_the_same_get_one_line(called, workflow) -> None:
    toml = """
[defaults]
shell = "no-such-shell"
[units.a]
matrix = { i = [1, 2, 3] }
run = "true"
[units.b]
run = "true"
[units.c]
run = "true"
[units.d]
matrix = { i = [1, 2, 3] }
argv = ["true"]
cwd = "item-${{ matrix.i }}"
"""
    assert advice(called("check", workflow(toml).name)) == [
        "flow.toml:4: units.a.shell: there is no program no-such-shell on the PATH, for this and 2 other units",
        "flow.toml:11: units.d.cwd: there is no directory item-1 (a unit that runs before may make it)",
    ]


def test_secrets_are_masked_in_advice(called, workflow) -> None:
    toml = '[secrets]\nnames = ["TOKEN"]\n[units.a]\nargv = ["tool-${{ env.TOKEN }}"]\n'
    (told,) = advice(called("check", workflow(toml), TOKEN="s3cr3t"))
    assert told.endswith("there is no program tool-*** on the PATH")
