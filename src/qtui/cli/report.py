"""``qtui report``: a run as JUnit XML, JSON or Markdown."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from qtui.cli.earlier import past_in
from qtui.cli.junit import junit
from qtui.cli.markdown import markdown
from qtui.cli.reaching import opened, state_dir_of
from qtui.cli.regressed import regressed_data
from qtui.cli.rundata import Starts, cut_starts, failures, run_data
from qtui.cli.summary import tail_of
from qtui.core.errors import EXIT_OK, UsageError
from qtui.core.regress import Regressions, regressions
from qtui.core.session import RunSession
from qtui.core.state import RunView, UnitView

STDOUT: Final = "-"


def report(options: argparse.Namespace) -> int:
    """Write the reports that are asked for; without any, Markdown on standard output. Results are never loaded."""
    wanted = {kind: getattr(options, kind) for kind in _FORMATS if getattr(options, kind) is not None}
    if sum(file == STDOUT for file in wanted.values()) > 1:
        raise UsageError("only one report can go to standard output")
    with opened(options) as session:
        lost, view = session.lost, session.view()
        starts = cut_starts(session, view)
        worse = regressions(view, session.options, past_in(state_dir_of(options))(session)).here
        for kind, file in (wanted or {"md": STDOUT}).items():
            _write(file, _FORMATS[kind](session, view, lost, starts, worse))
    return EXIT_OK


def _junit(session: RunSession, view: RunView, lost: bool, starts: Starts, _worse: Regressions) -> str:
    return junit(session.run, view, session.now(), lambda unit: tail_of(session, unit), lost=lost, starts=starts)


def _markdown(session: RunSession, view: RunView, lost: bool, starts: Starts, worse: Regressions) -> str:
    def tail(unit: UnitView) -> list[str]:
        return tail_of(session, unit)

    return markdown(session.run, view, session.now(), tail, lost=lost, starts=starts, worse=worse)


def _json(session: RunSession, view: RunView, lost: bool, starts: Starts, worse: Regressions) -> str:
    """What ``status --json`` tells, under ``failures`` the last lines, traceback and log file of each failure, and
    under ``regressions`` what is worse than in earlier runs."""
    data: dict[str, Any] = run_data(session.run, view, session.now(), lost=lost, starts=starts)
    data["failures"] = [
        {
            "unit": unit.id,
            "cause": unit.cause,
            "traceback": unit.error.traceback if unit.error is not None else "",
            "tail": tail_of(session, unit),
            "log": session.log_path(unit.number, unit.attempt),
        }
        for unit, _ in failures(view)
    ]
    data["regressions"] = regressed_data(worse)
    return json.dumps(data, indent=2, default=str) + "\n"


_FORMATS: Final[dict[str, Callable[[RunSession, RunView, bool, Starts, Regressions], str]]] = {
    "junit": _junit,
    "json": _json,
    "md": _markdown,
}


def _write(file: str, text: str) -> None:
    """Write a report. Raises UsageError for a file that cannot be written."""
    data = text.encode("utf-8", "replace")
    if file == STDOUT:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    try:
        _write_file(Path(file), data)
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}") from None


def _write_file(target: Path, data: bytes) -> None:
    """Write a file that is there as a whole or not at all: somebody may wait for it."""
    if target.is_relative_to("/dev") or (target.exists() and not target.is_file()):
        target.write_bytes(data)  # /dev/stdout, which may be any file, or a pipe
        return
    target = Path(os.path.realpath(target))  # a link goes on leading there
    half = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        half.write_bytes(data)
        half.replace(target)
    finally:
        half.unlink(missing_ok=True)
