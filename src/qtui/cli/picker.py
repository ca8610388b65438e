"""``qtui`` alone on a terminal: pick a workflow of this directory, or a run, and go on with that."""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from qtui.cli import shepherd
from qtui.cli.options import wants_color
from qtui.core.errors import EXIT_OK, UsageError
from qtui.core.model import RunState
from qtui.services import open_services
from qtui.store.rundir import default_state_dir
from qtui.tui.picker import pick
from qtui.tui.picking import ATTACH, REPLAY, RESUME, RUN, Choice, Entry, Offer, ago
from qtui.tui.roles import AUTO, Role

if TYPE_CHECKING:
    from qtui.listing import KnownRun

MOST_RUNS: Final = 100

_ALWAYS: Final = ("qtui.toml", "workflow.toml", "*.qtui.toml")
"""Files that are workflows by their names."""

_WITH_UNITS: Final = ("*.toml", "workflows/*.toml")
"""Files that are workflows if they have units or groups."""

_BUILDERS: Final = ("workflow.py", "*.qtui.py")
"""Files that are workflows if they make one."""

_MODULES: Final = ("*.py",)
"""Files that are workflows if they make one at their top: what a test or a function makes is nothing to run."""

_MOST_FILES: Final = 200
"""So many files are looked into for each pattern, as a directory may hold any number of them."""

_UNITS: Final = re.compile(rb"^\s*\[+\s*(units|groups)\b", re.MULTILINE)
_WORKFLOW: Final = re.compile(rb"\bWorkflow\s*\(")
_WORKFLOW_AT_TOP: Final = re.compile(rb"^\w+[^\n=]*=\s*(\w+\.)*Workflow\s*\(", re.MULTILINE)
_LOOKED_AT: Final = 1 << 20

_WHEN_CELLS: Final = len("began 10 days ago")

_STATES: Final = {
    RunState.COMPLETED: ("OK", Role.SUCCESS),
    RunState.FAILED: ("FAILED", Role.ERROR),
    RunState.CANCELED: ("CANCELED", Role.SECONDARY),
    RunState.INTERRUPTED: ("INTERRUPTED", Role.SECONDARY),
}


def picker(options: argparse.Namespace) -> int:
    """Let the person pick, and do what was picked; returns its exit code, and 0 if nothing was."""
    here = Path.cwd()
    settings = options.settings.values
    color = wants_color(settings.get("color", "auto"), os.environ, is_terminal=True)
    drawn = partial(pick, ascii=settings.get("ascii", False), color=color, theme=settings.get("theme", AUTO))
    state_dir = Path(settings["state_dir"]).absolute() if "state_dir" in settings else default_state_dir()
    with open_services(state_dir) as services:

        def look() -> Offer:
            notes = []
            runs: Sequence[KnownRun] = ()
            try:
                runs = services.manager.runs(limit=MOST_RUNS)
            except UsageError as error:
                notes.append(str(error))
            return offer(here, runs, time.time(), notes)

        choice = _picked(partial(drawn, _title(here), look))
    if choice is None:
        return EXIT_OK
    from qtui.cli.main import main

    return main([choice.action, choice.target])


def _picked(pick_one: Callable[[], Choice | None]) -> Choice | None:
    front = shepherd.front()
    if front is None:
        return pick_one()
    front.drawn(True)
    with front.watched(partial(_abandoned, front)):
        choice = pick_one()
    front.drawn(False)
    return choice


def _abandoned(front: shepherd.Front) -> NoReturn:
    """The process in front of this one was killed, and nothing goes on here: give the terminal back, and end."""
    shepherd.restore_alone(sys.stdin.fileno(), front.modes)
    os._exit(128 + signal.SIGHUP)


def offer(here: Path, runs: Sequence[KnownRun], now: float, notes: Sequence[str] = ()) -> Offer:
    """The workflows in the directory `here`, and these runs, the latest first."""
    latest: dict[str, KnownRun] = {}
    live: dict[str, KnownRun] = {}
    for known in runs:
        latest.setdefault(known.summary.source, known)
        if known.holder is not None:
            live.setdefault(known.summary.source, known)
    own = [(path, live.get(source) or latest.get(source)) for path, source in _sourced(workflows_in(here), latest)]
    workflows = [_workflow_entry(here, path, known, now) for path, known in own]
    return Offer(workflows, [run_entry(known, now) for known in runs], notes, _first([*live.values()], own))


def _sourced(paths: Iterator[Path], latest: Mapping[str, KnownRun]) -> Iterator[tuple[Path, str]]:
    """The files, each with what runs of it call it."""
    for path in paths:
        yield path, str(path) if str(path) in latest else str(path.resolve())


def _first(live: Sequence[KnownRun], own: Sequence[tuple[Path, KnownRun | None]]) -> str:
    """The run that a person has most likely come back for: one that goes on, of a workflow here if there is such a one,
    else one of a workflow here that was lost and not begun anew."""
    here = [known for _, known in own if known is not None]
    found = [known for known in here if known.holder is not None] or live or [known for known in here if known.lost]
    return found[0].summary.run if found else ""


def workflows_in(directory: Path) -> Iterator[Path]:
    """The files there that say that they are workflows; those that cannot be read are left out."""
    found: dict[Path, None] = {}
    kinds = ((_ALWAYS, None), (_WITH_UNITS, _UNITS), (_BUILDERS, _WORKFLOW), (_MODULES, _WORKFLOW_AT_TOP))
    for patterns, wanted in kinds:
        for pattern in patterns:
            with suppress(OSError):
                paths = sorted(islice(directory.glob(pattern), _MOST_FILES))
                found.update(dict.fromkeys(path for path in paths if path not in found and _is_file(path, wanted)))
    return iter(found)


def _is_file(path: Path, wanted: re.Pattern[bytes] | None) -> bool:
    """True for a file with what is wanted near its beginning."""
    try:
        if not path.is_file():
            return False
        if wanted is None:
            return True
        with path.open("rb") as file:
            return wanted.search(file.read(_LOOKED_AT)) is not None
    except OSError:
        return False


def _workflow_entry(here: Path, path: Path, known: KnownRun | None, now: float) -> Entry:
    """A workflow as a row; `known` is a run of it that goes on, else the latest."""
    name = str(path.relative_to(here))
    about, live = "", None
    if known is not None:
        word, _ = _state_of(known)
        about = f"last run {word}, {_when(known, now)}"
        live = Choice(ATTACH, known.summary.run) if known.holder is not None else None
    return Entry(Choice(RUN, f"./{name}" if name.startswith("-") else name), name, about=about, live=live)


def run_entry(known: KnownRun, now: float) -> Entry:
    """A run as a row: one that goes on is attached to, one that was cut is resumed, one that has ended is replayed."""
    summary = known.summary
    if known.fault:
        return Entry(Choice("doctor", summary.run), summary.name or summary.run, "UNREADABLE", Role.ERROR, known.fault)
    word, role = _state_of(known)
    counts = ", ".join(f"{count} {state}" for state, count in summary.counts.items())
    # the end of its name tells a run from others and is enough to name it by
    about = f"{_when(known, now):<{_WHEN_CELLS}}  {summary.run.rpartition('-')[2]}  {counts}".rstrip()
    resume = Choice(RESUME, summary.run)
    if known.holder is not None:
        return Entry(Choice(ATTACH, summary.run), summary.name, word, role, about)
    if known.lost or summary.state == RunState.INTERRUPTED:
        return Entry(resume, summary.name, word, role, about)
    other = None if summary.state == RunState.COMPLETED else resume
    return Entry(Choice(REPLAY, summary.run), summary.name, word, role, about, other)


def _state_of(known: KnownRun) -> tuple[str, Role]:
    if known.fault:
        return "UNREADABLE", Role.ERROR
    if known.lost:
        return "LOST", Role.WARNING
    if known.summary.ended is None:
        return "RUNNING", Role.PRIMARY
    return _STATES.get(RunState(known.summary.state), (known.summary.state.upper(), Role.TEXT))


def _when(known: KnownRun, now: float) -> str:
    """How long ago a run began that goes on, or another one ended, or was last heard of."""
    if known.holder is not None:
        return f"began {ago(now - known.summary.began)}"
    return ago(now - max(known.summary.ended or 0.0, known.changed))


def _title(here: Path) -> str:
    """The directory, with ``~`` for home."""
    home = Path.home()
    return f"~/{here.relative_to(home)}" if here.is_relative_to(home) and here != home else str(here)
