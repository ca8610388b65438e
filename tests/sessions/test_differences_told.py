"""What people are told of a unit that is another one on the disk."""

from __future__ import annotations

from qtui.ondisk import MOST_SHOWN, told


def shell(text: str) -> dict[str, object]:
    return {"action": {"shell": [text]}}


def test_short_commands_are_told_whole() -> None:
    assert list(told(shell("make a"), shell("make b"))) == ["does: make a -> make b"]


def test_of_long_commands_the_part_that_differs_is_told() -> None:
    same = "for part in one two three four five six seven; do convert $part; done; "
    (line,) = told(shell(f"{same}exit 2"), shell(f"{same}exit 22"))

    before, after = line.removeprefix("does: ").split(" -> ")
    assert before == "…t; done; exit 2"
    assert after == "…t; done; exit 22"


def test_what_is_told_of_long_commands_fits_into_a_question() -> None:
    (line,) = told(shell("x" * 500), shell("y" * 500))

    assert all(len(part) == MOST_SHOWN for part in line.removeprefix("does: ").split(" -> "))
