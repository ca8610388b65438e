"""``qtui report``: a run as JUnit XML, JSON or Markdown."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from qtui.cli.junit import junit
from qtui.cli.markdown import markdown
from qtui.cli.reaching import opened, standard_output
from qtui.cli.rundata import Starts, cut_starts, failures, run_data
from qtui.cli.summary import tail_of
from qtui.core.errors import EXIT_OK, UsageError
from qtui.core.session import RunSession
from qtui.core.state import RunView

STDOUT: Final = "-"


def report(options: argparse.Namespace) -> int:
    """Write the reports that are asked for; without any, Markdown on standard output. Results are never loaded."""
    wanted = {kind: getattr(options, kind) for kind in _FORMATS if getattr(options, kind) is not None}
    if sum(file == STDOUT for file in wanted.values()) > 1:
        raise UsageError("only one report can go to standard output")
    with opened(options) as session:
        lost, view = session.lost, session.view()
        starts = cut_starts(session, view)
        for kind, file in (wanted or {"md": STDOUT}).items():
            _write(file, _FORMATS[kind](session, view, lost, starts))
    return EXIT_OK


def _junit(session: RunSession, view: RunView, lost: bool, starts: Starts) -> str:
    return junit(session.run, view, session.now(), lambda unit: tail_of(session, unit), lost=lost, starts=starts)


def _markdown(session: RunSession, view: RunView, lost: bool, starts: Starts) -> str:
    return markdown(session.run, view, session.now(), lambda unit: tail_of(session, unit), lost=lost, starts=starts)


def _json(session: RunSession, view: RunView, lost: bool, starts: Starts) -> str:
    """What ``status --json`` tells, and under ``failures`` the last lines, traceback and log file of each failure."""
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
    return json.dumps(data, indent=2, default=str) + "\n"


_FORMATS: Final[dict[str, Callable[[RunSession, RunView, bool, Starts], str]]] = {
    "junit": _junit,
    "json": _json,
    "md": _markdown,
}


def _write(file: str, text: str) -> None:
    data = text.encode("utf-8", "replace")
    if file == STDOUT:
        out = standard_output()
        out.flush()
        out.buffer.write(data)
        out.buffer.flush()
        return
    # whoever waits for the file must not see half of it
    target = Path(file)
    if target.exists() and not target.is_file():
        target.write_bytes(data)  # /dev/stderr, a pipe
        return
    half = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        half.write_bytes(data)
        half.replace(target)
    finally:
        half.unlink(missing_ok=True)
