"""What bash offers while a command line of qtui is typed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from qtui.cli.completion import bash_script
from qtui.cli.options import COMMANDS, parsers


def offered(*words: str, state: str = "/nowhere") -> list[str]:
    """What completes the last of the words."""
    line = " ".join(f"'{word}'" for word in ("qtui", *words))
    asked = f'COMP_WORDS=({line}); COMP_CWORD={len(words)}; _qtui; printf "%s\\n" "${{COMPREPLY[@]}}"'
    script = f"{bash_script(parsers())}\n{asked}"
    found = subprocess.run(["bash", "-u", "-c", script], env={"XDG_STATE_HOME": state}, capture_output=True, text=True)
    assert found.stderr == ""
    return found.stdout.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("at",), ["attach"]),
        (("run", "flow.toml", "--output", ""), ["group", "stream", "errors", "none"]),
        (("flow.toml", "--output", "g"), ["group"]),
        (("resume", "--col"), ["--color"]),
        (("flow.toml", "--timeo"), ["--timeout"]),
        (("run", "--timeout", ""), []),
        (("graph", "flow.toml", "--format", "d"), ["dot"]),
        (("check", "fl"), []),
    ],
)
def test_bash_offers_what_fits(words: tuple[str, ...], expected: list[str]) -> None:
    assert offered(*words) == expected


def test_bash_offers_every_command_and_the_runs_there_are(tmp_path: Path) -> None:
    assert sorted(offered("")) == sorted(COMMANDS)
    for run in ("20260101-000000-aaaa", "20260102-000000-bbbb"):
        (tmp_path / "qtui" / "runs" / run).mkdir(parents=True)
    assert offered("logs", "20260102", state=str(tmp_path)) == ["20260102-000000-bbbb"]
