"""How the terminal is read, where others read it, too."""

from __future__ import annotations

import os
import pty
import signal
import sys
import threading
import tty
from collections.abc import Iterator
from typing import Any

import pytest
from scenes import diamond
from stage import GENEROUS

from qtui.tui.app import Dashboard
from qtui.tui.driver import TerminalDriver


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    """Both ends of a terminal that gives each key as it is typed; the second one is standard input."""
    numbers = (signal.SIGTSTP, signal.SIGCONT, signal.SIGWINCH)
    handlers = [signal.getsignal(number) for number in numbers]
    person, program = pty.openpty()
    tty.setraw(program)
    with open(program) as typed:  # noqa: PTH123
        monkeypatch.setattr(sys, "__stdin__", typed)
        yield person, program
    os.close(person)
    for number, handler in zip(numbers, handlers, strict=True):
        signal.signal(number, handler)


async def test_a_reader_that_waits_for_a_key_somebody_else_has_taken_is_left_behind(terminal: tuple[int, int]) -> None:
    person, program = terminal
    driver: Any = TerminalDriver(Dashboard(diamond(), "nightly.toml"))
    driver.write = lambda data: None
    driver._key_thread = reader = threading.Thread(target=os.read, args=(program, 1))
    reader.start()
    late = threading.Timer(GENEROUS, os.write, (person, b"x"))
    late.start()

    driver.disable_input()

    assert reader.is_alive(), "it did not wait for a key"
    assert not driver.exit_event.is_set(), "the next reader will read"
    late.cancel()
    os.write(person, b"x")
    reader.join(GENEROUS)
