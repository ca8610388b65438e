"""A program in a real terminal, without an emulator: what it writes is counted and searched for what a key has done."""

from __future__ import annotations

import json
import os
import pty
import random
import re
import select
import signal
import struct
import sys
import termios
import time
from fcntl import ioctl
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

SIZE: Final = (120, 40)
PATIENCE: Final = 60.0
_LEFT_OUT: Final = ("NO_COLOR", "SSH_CONNECTION", "PYTHONDONTWRITEBYTECODE")
"""Variables that would change what is measured; the last one would have each start compile all of qtui."""
_CONTROL: Final = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07]*\x07|\x1b[()][A-Z0-9]|\x1b[=>78]")


class Terminal:
    """Runs ``python -m benchmarks.onscreen`` in a terminal of its own, and ends it."""

    def __init__(self, kind: str, report: Path, **options: Any) -> None:
        self.report = report
        self.count = 0
        self.tail = b""
        report.unlink(missing_ok=True)
        self._pid, self._fd = pty.fork()
        if not self._pid:
            environment = {key: value for key, value in os.environ.items() if key not in _LEFT_OUT}
            environment |= {"TERM": "xterm-256color", "LANG": "C.UTF-8", "COLORTERM": ""}
            argv = [sys.executable, "-m", "benchmarks.onscreen", kind, str(report), json.dumps(options)]
            os.execve(sys.executable, argv, environment)
        columns, rows = SIZE
        ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._fd)

    def read(self, timeout: float) -> bytes:
        """What comes within `timeout` seconds, at once when something does."""
        if not select.select([self._fd], [], [], max(0.0, timeout))[0]:
            return b""
        try:
            data = os.read(self._fd, 1 << 16)
        except OSError:
            raise RuntimeError(f"the program ended:\n{self.tail[-2000:].decode(errors='replace')}") from None
        self.count += len(data)
        self.tail = (self.tail + data)[-(1 << 16) :]
        return data

    def wait_for(self, wanted: bytes) -> float:
        """The moment at which `wanted` has been written."""
        deadline, at = time.monotonic() + PATIENCE, self.tail
        while wanted not in at:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{wanted!r} was never written")
            at = (at[-len(wanted) :] if len(at) > len(wanted) else at) + self.read(0.1)
        return time.monotonic()

    def pass_time(self, seconds: float) -> None:
        """Read, as a terminal does, for so many seconds."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.read(left)

    def figures(self) -> dict[str, float]:
        """What the program says of itself."""
        deadline = time.monotonic() + PATIENCE
        while not self.report.exists():
            if time.monotonic() > deadline:
                raise RuntimeError("the program never told its figures")
            self.read(0.05)
        found: dict[str, float] = json.loads(self.report.read_text())
        return found

    def key(self, key: bytes, row: bytes) -> float:
        """Seconds from pressing `key` until the cursor stands in the row of `row`."""
        # the cursor's sign, then within the gutter of the same row the name: any other repaint looks otherwise
        moved = re.compile("›".encode() + rb"[^\n\r]{0,40}?" + row)
        os.write(self._fd, key)
        begun, written = time.monotonic(), b""
        while not moved.search(_CONTROL.sub(b"", written)):
            if time.monotonic() - begun > PATIENCE:
                raise RuntimeError(f"the cursor never came to {row!r}")
            written += self.read(0.1)
        return time.monotonic() - begun

    def pause(self, chance: random.Random) -> None:
        """What a person needs between two keys."""
        self.pass_time(chance.uniform(0.06, 0.14))
