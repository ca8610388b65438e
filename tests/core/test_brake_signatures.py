"""What failures of one cause have in common."""

from __future__ import annotations

import pytest

from qtui.core.failures import signature
from qtui.core.model import UnitError


def command(code: int, last_line: str = "", message: str = "") -> UnitError:
    return UnitError("exit", message or f"exit {code}", exit_code=code, last_line=last_line)


@pytest.mark.parametrize(
    ("error", "looks"),
    [
        (command(6), "exit 6"),
        (command(6, "disk full"), "exit 6: disk full"),
        (command(7, "disk full"), "exit 7: disk full"),
        (command(6, "cannot read /data/s17.fq after 3.5 s"), "exit 6: cannot read PATH after # s"),
        (command(6, "", "exit 6 in command 2 of 3"), "exit 6: in command # of #"),
        (command(127, "", "cannot start mkae: not found"), "exit 127: cannot start mkae: not found"),
        (UnitError("ValueError", "row 17 is bad"), "ValueError: row # is bad"),
        (UnitError("ValueError", "many\nlines of /a/b"), "ValueError: lines of PATH"),
        (UnitError("KeyError", ""), "KeyError"),
    ],
)  # fmt: skip
def test_a_signature_has_the_code_or_exception_and_the_last_line(error: UnitError, looks: str) -> None:
    assert signature(error) == looks


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        (command(6, "cannot reach host 1"), command(6, "cannot reach host 22"), True),
        (command(6, "no /tmp/a"), command(6, "no /var/b/c"), True),
        (command(6, "disk full"), command(6, "network unreachable"), False),
        (command(6, "disk full"), command(7, "disk full"), False),
        (command(6, "disk full"), UnitError("OSError", "disk full"), False),
    ],
)
def test_failures_look_alike_but_for_numbers_and_paths(one: UnitError, other: UnitError, alike: bool) -> None:
    assert (signature(one) == signature(other)) is alike
