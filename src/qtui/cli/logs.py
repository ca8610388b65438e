"""``qtui logs``: what a unit has written, once or as it comes."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from typing import Final, TextIO

from qtui.attached import AttachedSession
from qtui.cli.naming import unit_named
from qtui.cli.options import wants_color
from qtui.cli.reaching import opened
from qtui.cli.streams import LONGEST_LINE, painted
from qtui.cli.telling import tell
from qtui.core.errors import EXIT_OK, UsageError
from qtui.core.model import UnitState
from qtui.tui.text import clean

LOOK_SECONDS: Final = 0.1
LATEST_BYTES: Final = 256
"""More than the line has that stands for lost output."""

_WITHOUT_END: Final = frozenset({UnitState.RUNNING, UnitState.CANCELING})


def logs(options: argparse.Namespace) -> int:
    """Print an attempt's output: made safe on a terminal, byte for byte elsewhere."""
    with opened(options) as session:
        number = unit_named(session.view().plan, options.unit)
        if options.follow:
            _await_first(session, number, options.attempt)
        unit = session.view().unit(number)
        attempt = options.attempt or unit.attempt
        if attempt > unit.attempt:
            tries = "1 try" if unit.attempt == 1 else f"{unit.attempt} tries"
            raise UsageError(f"{clean(unit.id)} has had {tries}")
        if not attempt:
            tell(f"{unit.id} has written nothing: it {unit.state.told}")
            return EXIT_OK
        out = sys.stdout
        shown = _Shown(out, wants_color(options.color, os.environ, is_terminal=True)) if out.isatty() else None
        _copy(session, number, attempt, shown.write if shown is not None else _raw(out), options.follow)
        if shown is not None:
            shown.end()
    return EXIT_OK


def _raw(out: TextIO) -> Callable[[bytes], None]:
    def write(data: bytes) -> None:
        out.buffer.write(data)
        out.buffer.flush()

    return write


class _Shown:
    """Writes bytes of output as lines that cannot steer the terminal; colours may stay."""

    def __init__(self, out: TextIO, color: bool) -> None:
        self._out, self._color, self._rest = out, color, b""

    def write(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._line(line)
        if len(self._rest) > LONGEST_LINE:
            self.end()
        self._out.flush()

    def end(self) -> None:
        """Write what is left of a line without an end."""
        if self._rest:
            self._line(self._rest)
            self._rest = b""
        self._out.flush()

    def _line(self, line: bytes) -> None:
        self._out.write(painted(line.decode("utf-8", "replace"), color=self._color) + "\n")


def _copy(session: AttachedSession, unit: int, attempt: int, write: Callable[[bytes], None], follow: bool) -> None:
    offset, latest = 0, b""
    while True:
        # asked before the rest is read: what is written before the end is in the file by then
        over = not follow or not _goes_on(session, unit, attempt)
        offset, changed = _changed(session, unit, attempt, offset, latest)
        if changed:
            write(changed)
        while (chunk := session.read_log(unit, attempt, offset)).next > offset:
            offset = chunk.next
            if chunk.data:
                write(chunk.data)
        if chunk.trouble:
            raise UsageError(clean(chunk.trouble))
        latest = session.read_log(unit, attempt, max(0, offset - LATEST_BYTES), min(offset, LATEST_BYTES)).data
        if over:
            return
        time.sleep(LOOK_SECONDS)


def _changed(session: AttachedSession, unit: int, attempt: int, offset: int, latest: bytes) -> tuple[int, bytes]:
    """Where to read on, and what stands now in the place of the `latest` bytes before `offset`: where output is lost,
    the line that says so takes the place of what was there."""
    found = session.read_log(unit, attempt, offset - len(latest), len(latest))
    if found.data == latest or found.next > offset:  # the latter: they were dropped meanwhile
        return offset, b""
    pairs = zip(found.data, latest, strict=False)
    same = next((at for at, (now, before) in enumerate(pairs) if now != before), len(found.data))
    return min(offset, found.size), found.data[same:]


def _goes_on(session: AttachedSession, number: int, attempt: int) -> bool:
    view = session.view()
    unit = view.unit(number)
    if _is_over(session):
        return False
    return (number, attempt) in view.left_behind or (unit.attempt == attempt and unit.state in _WITHOUT_END)


def _is_over(session: AttachedSession) -> bool:
    return session.view().finished is not None or session.lost


def _await_first(session: AttachedSession, number: int, attempt: int | None) -> None:
    """Wait until the attempt (None: any) has begun, or cannot any more."""
    while not _is_over(session):
        unit = session.view().unit(number)
        begun = unit.attempt - unit.submitted  # a lane that holds it has not begun it
        if begun >= (attempt or 1) or unit.state.ended:
            return
        time.sleep(LOOK_SECONDS)
