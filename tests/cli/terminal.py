"""A real terminal for tests: a program in a pty, its screen read back through a terminal emulator."""

from __future__ import annotations

import os
import re
import signal
import sys
import termios
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pexpect
import psutil
import pyte

GENEROUS = 30.0
"""Seconds to wait for something that takes a fraction of one when all is well."""


SKETCH = re.compile(r" [^\n]*  STARTING *\n *\n")
"""What the screen looks like until there is a dashboard."""


class Terminal:
    """Runs ``python -m qtui ARGUMENTS``, or another program, in a pty of the given size."""

    def __init__(
        self,
        *arguments: str,
        program: Sequence[str] = (sys.executable, "-m", "qtui"),
        columns: int = 80,
        rows: int = 24,
        cwd: Path | None = None,
        **environment: str,
    ) -> None:
        inherited = {
            key: value for key, value in os.environ.items() if key not in ("CI", "NO_COLOR", "COLUMNS", "LINES")
        }
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self.raw = bytearray()
        self._process = pexpect.spawn(
            program[0],
            [*program[1:], *arguments],
            cwd=str(cwd) if cwd else None,
            env={**inherited, "LC_ALL": "C.UTF-8", "TERM": "xterm-256color", "PYTHONUNBUFFERED": "1", **environment},
            dimensions=(rows, columns),
            timeout=GENEROUS,
        )
        self.modes_before = termios.tcgetattr(self._process.child_fd)

    def text(self) -> str:
        """What the screen shows now."""
        self._read(0.01)
        return "\n".join(self.screen.display)

    def wait_for(self, wanted: str | Callable[[str], object], what: str = "") -> str:
        """Read until the screen holds a text or fulfils a condition; returns the screen. The sketch that stands there
        before the dashboard does not count."""
        deadline = time.monotonic() + GENEROUS
        while True:
            shown = self.text()
            if not SKETCH.match(shown) and ((wanted in shown) if isinstance(wanted, str) else wanted(shown)):
                return shown
            assert time.monotonic() < deadline, f"never on the screen: {what or wanted!r}\n{shown}"
            assert self._process.isalive() or self._read(0.1), f"ended before {what or wanted!r} was shown:\n{shown}"

    def row(self, text: str) -> str:
        """The first row that holds `text`."""
        return next(line for line in self.text().splitlines() if text in line)

    def press(self, *keys: str) -> None:
        """Type keys; names as in ``{"enter": "\\r"}`` are not needed: give the bytes a terminal sends."""
        for key in keys:
            self._process.send(key)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program itself."""
        self._process.kill(number)

    @property
    def pid(self) -> int:
        """The process that was started."""
        return self._process.pid

    def hang_up(self) -> None:
        """Close the terminal under the program, as a lost connection does."""
        os.close(self._process.child_fd)

    def resize(self, columns: int, rows: int) -> None:
        """Change the size, as a terminal window does."""
        self.screen.resize(rows, columns)
        self._process.setwinsize(rows, columns)

    def exit_code(self) -> int:
        """Read until the program ends; its exit code (128 + n for a signal)."""
        deadline = time.monotonic() + GENEROUS
        while self._process.isalive():
            self._read(0.05)
            assert time.monotonic() < deadline, f"it never ended:\n{self.text()}"
        while self._read(0.05):
            pass
        self._process.wait()
        status, number = self._process.exitstatus, self._process.signalstatus
        return status if status is not None else 128 + number

    def vanish(self) -> bool:
        """Close the terminal under the program, as a lost connection does; True if the program then ends."""
        process = psutil.Process(self._process.pid)
        self.hang_up()
        try:
            process.wait(GENEROUS)
        except psutil.TimeoutExpired:
            process.kill()
            return False
        return True

    @property
    def modes(self) -> list[object]:
        """The terminal's modes (echo, line editing, ...) as the next program would find them."""
        return termios.tcgetattr(self._process.child_fd)

    def close(self) -> None:
        """End the program, by force if need be, and what would go on without it."""
        with suppress(psutil.NoSuchProcess):
            for process in psutil.Process(self.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        with suppress(OSError):  # the terminal may have vanished
            self._process.close(force=True)

    def _read(self, timeout: float) -> bool:
        try:
            data = self._process.read_nonblocking(1 << 16, timeout)
        except (pexpect.TIMEOUT, pexpect.EOF):
            return False
        self.raw += data
        self._stream.feed(_strip(data))
        return True


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for a condition; `what` is the complaint if it never holds."""
    deadline = time.monotonic() + GENEROUS
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.01)


def engine_of(terminal: Terminal) -> psutil.Process:
    """The process that has engine and screen: the only child of the one that was started."""
    (child,) = psutil.Process(terminal.pid).children()
    return child


def holds_a_terminal(process: psutil.Process) -> bool:
    """Whether any descriptor of a process leads to a pseudo terminal."""
    with suppress(FileNotFoundError):  # it has ended, or closed one a moment ago
        return any("/pts/" in str(entry.readlink()) for entry in Path(f"/proc/{process.pid}/fd").iterdir())
    return False


def _strip(data: bytes) -> bytes:
    """Without the sequences that pyte would show as text."""
    return re.sub(rb"\x1b\[(?:\?[0-9;]*\$p|[>=<][0-9;]*[a-zA-Z]|\?[0-9;]*u)", b"", data)
