"""Copies: to the clipboard of the terminal, through a multiplexer between, and to a private file; and saved logs."""

from __future__ import annotations

import base64
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Final

MOST_BYTES: Final = 74_994
"""What a clipboard takes: many terminals drop a sequence whose text is longer than 100,000 bytes in base64."""

TMUX_SECONDS: Final = 2.0
"""How long tmux may take to take a copy."""

SCREEN_BYTES: Final = 768
"""The longest string that GNU screen passes on."""

_UNSAFE: Final = re.compile(r"[^\w.=-]+")
_MOST_NAME: Final = 80


def clipboard_sequence(data: bytes, environ: Mapping[str, str]) -> str:
    """What to write to the terminal so that `data` gets into its clipboard (OSC 52).

    tmux, where `give_to_tmux` did not work, gets it twice: it takes what is for itself with `set-clipboard on` alone,
    and hands on what is for the terminal with `allow-passthrough on` alone, which it does not have by default since
    3.3. Only of the former it makes a buffer.
    """
    sequence = f"\x1b]52;c;{base64.b64encode(data).decode()}\a"
    if environ.get("TMUX"):
        return sequence + "\x1bPtmux;" + sequence.replace("\x1b", "\x1b\x1b") + "\x1b\\"
    if environ.get("STY") and environ.get("TERM", "").startswith("screen"):
        room = SCREEN_BYTES - len("\x1bP\x1b\\")
        return "".join(f"\x1bP{sequence[at : at + room]}\x1b\\" for at in range(0, len(sequence), room))
    return sequence


def give_to_tmux(data: bytes, environ: Mapping[str, str]) -> str:
    """Have the tmux around take `data` into its buffer and its terminal's clipboard; what went wrong, or nothing.

    This is what works with each setting of `set-clipboard`: with `external`, its default, what programs in it write is
    ignored. It waits for tmux, `TMUX_SECONDS` at most: not for the thread that draws.
    """
    command = ["tmux", "load-buffer", "-w", "-"]  # -w: since 3.2
    try:
        done = subprocess.run(command, env=environ, input=data, capture_output=True, timeout=TMUX_SECONDS, check=False)
    except OSError as error:
        return error.strerror or str(error)
    except subprocess.TimeoutExpired:
        return f"no answer in {TMUX_SECONDS:.0f} s"
    said = done.stderr.decode("utf-8", "replace").strip() or f"exit {done.returncode}"
    return said.splitlines()[-1] if done.returncode else ""


def last_part(data: bytes, most: int = MOST_BYTES) -> bytes:
    """The last `most` bytes of `data` at most, from the begin of a line on if there is one among them."""
    if len(data) <= most:
        return data
    part = data[-most:]
    if data[-most - 1 : -most] != b"\n":
        part = part[part.find(b"\n") + 1 :] or part
    return part.decode("utf-8", "ignore").encode()


def keep_copy(data: bytes, environ: Mapping[str, str]) -> Path:
    """Write `data` to a file that only its owner can read, in the place of the last copy. Raises OSError."""
    state = environ.get("XDG_STATE_HOME", "")
    folder = (Path(state) if state.startswith("/") else Path.home() / ".local" / "state") / "qtui"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        made, name = tempfile.mkstemp(prefix=".copied-", dir=folder)  # only its owner can read it
    except OSError:
        made, name = tempfile.mkstemp(prefix="qtui-copied-")
        folder = Path(name)
    with os.fdopen(made, "wb") as file:
        file.write(data)
    return Path(name) if folder == Path(name) else Path(name).replace(folder / "copied")


def new_file(folder: Path, unit: str, attempt: int) -> tuple[int, Path]:
    """A descriptor and the path of a new file for the log of an attempt; none is ever overwritten. Raises OSError."""
    for name in _names(unit, attempt):
        path = folder / name
        try:
            return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), path
        except FileExistsError:
            continue
    raise AssertionError("there is always another name")


def _names(unit: str, attempt: int) -> Iterator[str]:
    stem = f"{_UNSAFE.sub('_', unit).strip('_.-')[:_MOST_NAME] or 'unit'}.{attempt}"
    yield f"{stem}.log"
    for number in count(2):
        yield f"{stem}-{number}.log"


def short_path(path: Path) -> str:
    """`path` as people write it."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)
