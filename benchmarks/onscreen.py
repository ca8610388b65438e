"""What runs in the terminals of ``python -m benchmarks.screen``: one program a case, its figures as JSON in a file.

This module imports nothing of a screen before its clock runs.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

MARK: Final = b"\x1b]777;begin\x07"
"""Written to the terminal when a program begins to import what draws."""
EMPTY: Final = "nothing but this"
SETTLE: Final = 3.0
"""Seconds before anything is measured: the screen is up, what is done once was done."""


def empty() -> None:
    """The least that Textual can show."""
    _mark()
    from textual.app import App, ComposeResult
    from textual.widgets import Static

    class Empty(App[None]):
        def compose(self) -> ComposeResult:
            yield Static(EMPTY)

    Empty().run()


def dashboard(report: Path, options: dict[str, Any]) -> None:
    """The dashboard on a paced run; it writes what it used once `seconds` are over, and goes on. With a `past` five
    earlier runs are known of each unit, and it looks ahead."""
    from benchmarks.paced import PacedSession

    seconds, hogs, past = options.pop("seconds"), options.pop("hogs", 0), options.pop("past", False)
    session = PacedSession(**options)
    gc.disable()  # as the command line does until all is imported
    _mark()
    from qtui.tui.app import Dashboard

    gc.freeze()
    gc.enable()
    session.start()
    threading.Thread(target=_watch, args=(report, session, seconds), daemon=True).start()
    for _ in range(hogs):
        threading.Thread(target=_compute, daemon=True).start()
    Dashboard(session, "paced", ask_past=_past if past else None).draw()


def engine(report: Path, options: dict[str, Any]) -> None:
    """A real engine with units that do nothing, and the dashboard, or somebody who only takes the events.

    The first unit takes as long as a screen needs to be there; only what follows it is measured.
    """
    from benchmarks.paced import nothing
    from qtui import Workflow
    from qtui.services import open_services

    workflow = Workflow("noop", workers=2)
    first = workflow.add_unit(settle, name="settle")
    for number in range(options["units"]):
        workflow.add_unit(nothing, name=f"n{number}", dependencies=[first])
    with open_services(report.parent / "state") as services:
        session = services.manager.start(workflow.definition())
        _mark()
        threading.Thread(target=_time_engine, args=(report, session), daemon=True).start()
        if options["screen"]:
            from qtui.tui.app import Dashboard

            Dashboard(session, "noop").draw()
        else:
            feed = session.feed()
            gc.freeze()  # as the screen does when it is there: the two differ by nothing but what is shown
            while not feed.closed:
                feed.take(timeout=0)
                time.sleep(0.1)


def _past(session: Any) -> dict[str, list[float]]:
    return {unit.id: [30.0, 40.0, 50.0, 60.0, 70.0] for unit in session.plan.table}


def settle() -> None:
    """The first unit: all else begins when the screen is up."""
    time.sleep(SETTLE)


def _mark() -> None:
    os.write(2, MARK)


def _compute() -> None:
    """What a unit of pure Python in a thread does to all others."""
    while True:
        sum(range(1_000))


def _watch(report: Path, session: Any, seconds: float) -> None:
    time.sleep(SETTLE)
    begun, used, ahead = time.monotonic(), _screen_seconds(session.publisher), _seconds_of("qtui-forecaster")
    session.longest = 0.0
    time.sleep(seconds)
    gone = time.monotonic() - begun
    share, forecasts = _screen_seconds(session.publisher) - used, _seconds_of("qtui-forecaster") - ahead
    _report(report, {"cpu": 100 * share / gone, "forecast": 100 * forecasts / gone, "publish": session.longest})


def _screen_seconds(publisher: threading.Thread) -> float:
    """CPU time of all threads but the one that makes the events."""
    return time.process_time() - _cpu_of(publisher)


def _seconds_of(name: str) -> float:
    """CPU time of the thread with this name, if there is one."""
    return sum(_cpu_of(thread) for thread in threading.enumerate() if thread.name == name)


def _cpu_of(thread: threading.Thread) -> float:
    if thread.ident is None:
        return 0.0
    clock: Callable[[int], int] = time.pthread_getcpuclockid
    return time.clock_gettime(clock(thread.ident))


def _time_engine(report: Path, session: Any) -> None:
    while session.view().ended < 1:
        time.sleep(0.001)
    begun = time.monotonic()
    session.wait()
    _report(report, {"seconds": time.monotonic() - begun})


def _report(path: Path, figures: dict[str, float]) -> None:
    new = path.with_suffix(".new")
    new.write_text(json.dumps(figures))
    new.rename(path)


def main() -> None:
    """``python -m benchmarks.onscreen KIND REPORT OPTIONS``: for `benchmarks.screen` alone."""
    kind, report, options = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
    if kind == "empty":
        empty()
    elif kind == "engine":
        engine(report, options)
    else:
        dashboard(report, options)


if __name__ == "__main__":
    main()
