"""``qtui doctor``: what is wrong with this machine, or with the record of a run."""

from __future__ import annotations

import argparse
import os
import shutil
import sqlite3
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple

from qtui.cli.linger import lingering
from qtui.cli.options import choose_ui
from qtui.cli.reaching import gone, state_dir_of
from qtui.cli.settings import Settings, config_file
from qtui.cli.words import counted
from qtui.core.errors import EXIT_FAILED, EXIT_OK, QtuiError, UsageError
from qtui.store.examine import examine
from qtui.store.journal import JournalDamaged, JournalReader
from qtui.store.journal_rows import HELP
from qtui.store.mounts import network_of
from qtui.store.recovery import kept_words, legible
from qtui.store.rundir import RunDirectory, find_run, run_directories
from qtui.tui.format import size_of
from qtui.tui.text import clean

LOW_SPACE: Final = 256 << 20
"""Bytes below which a disk is soon full of logs."""


class Verdict(StrEnum):
    """How bad it is; the value is the word on the screen."""

    OK = "ok"
    NOTE = "note"
    BAD = "BAD"


class Finding(NamedTuple):
    """What was looked at, and what is to be said of it."""

    verdict: Verdict
    what: str
    words: str


def doctor(options: argparse.Namespace) -> int:
    """Print what was found; 1 if something is wrong, else 0."""
    if options.run is None:
        machine = machine_findings(state_dir_of(options))
        findings: Iterable[Finding] = chain(machine, settings_findings(options.settings, config_file(os.environ)))
    else:
        findings = run_findings(find_run(state_dir_of(options), options.run))
    worst = False
    for finding in findings:
        print(clean(f"{finding.verdict:<4}  {finding.what:<9}  {finding.words}"))
        worst |= finding.verdict is Verdict.BAD
    return EXIT_FAILED if worst else EXIT_OK


def machine_findings(state_dir: Path) -> Iterator[Finding]:
    """What there is to say about where runs are kept, logout, and the terminal."""
    yield _state_directory(state_dir)
    yield from _place(state_dir)
    yield from _key(state_dir / "key")
    told = lingering()
    yield Finding(Verdict.NOTE, "logout", told) if told else Finding(Verdict.OK, "logout", "runs go on after it")
    yield _terminal()
    yield Finding(Verdict.OK, "SQLite", sqlite3.sqlite_version)


def settings_findings(settings: Settings, file: Path) -> Iterator[Finding]:
    """What there is to say about what is set for good in the environment and in a file."""
    try:
        settings.check()
        if settings.keys:
            from qtui.cli.keymap import keymap_of  # only who has chosen keys pays for what knows them

            keymap_of(settings)
    except UsageError as error:
        yield from (Finding(Verdict.BAD, "settings", line) for line in str(error).splitlines())
    yield from (Finding(Verdict.NOTE, "settings", str(doubt)) for doubt in settings.doubts)
    known = ", ".join([*settings.values, *settings.keys]) or "nothing"
    place = f"the file is {file}" if os.path.lexists(file) else f"there is no file {file}"
    yield Finding(Verdict.OK, "settings", f"{known} set; {place}")


def _state_directory(state_dir: Path) -> Finding:
    try:
        runs = len(run_directories(state_dir))
    except QtuiError as error:
        return Finding(Verdict.BAD, "state", str(error))
    there = _nearest(state_dir)
    if not os.access(there, os.W_OK | os.X_OK):
        return Finding(Verdict.BAD, "state", f"{there} cannot be written to; keep runs elsewhere with --state-dir")
    words = counted(runs, "run") if there == state_dir else "made by the first run"
    return Finding(Verdict.OK, "state", f"{state_dir}, {words}")


def _place(state_dir: Path) -> Iterator[Finding]:
    """The file system."""
    there = _nearest(state_dir)
    try:
        network, free = network_of(there), shutil.disk_usage(there).free
    except OSError as error:
        yield Finding(Verdict.BAD, "disk", f"{there}: {error.strerror}")
        return
    if network:
        words = f"{there} is on {network}, which other hosts may share: a local directory is safer and faster"
        yield Finding(Verdict.NOTE, "disk", f"{words} (--state-dir)")
    low = free < LOW_SPACE
    yield Finding(
        Verdict.NOTE if low else Verdict.OK,
        "disk",
        f"{size_of(free)} free{'; `qtui prune` makes room' if low else ''}",
    )


def _nearest(path: Path) -> Path:
    """The path, or the directory in which it would be made."""
    return next(found for found in (path, *path.parents) if os.path.exists(found))  # noqa: PTH110  - never raises


def _key(path: Path) -> Iterator[Finding]:
    """The key that signs stored results: who has it may plant some that run code."""
    try:
        found = path.lstat()
    except OSError:  # there is none before the first run
        return
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        words = f"{path} is not yours alone: remove it; stored results are made again then"
        yield Finding(Verdict.BAD, "key", words)


def _terminal() -> Finding:
    if not sys.stdout.isatty():
        return Finding(Verdict.OK, "terminal", "none here, so runs write plain lines")
    columns, rows = os.get_terminal_size(sys.stdout.fileno())
    words = f"TERM={os.environ.get('TERM', '')}, {columns}x{rows}, {sys.stdout.encoding}"
    shown = "the dashboard" if choose_ui("auto", os.environ) == "tui" else "plain lines"
    return Finding(Verdict.OK, "terminal", f"{words}: runs show {shown}")


def run_findings(directory: RunDirectory) -> Iterator[Finding]:
    """What there is to say about a run's record: all of its events are read and folded again."""
    holder = directory.holder()
    view = damage = None
    try:
        with closing(JournalReader(directory.journal)) as reader:
            view = reader.view()
    except JournalDamaged as error:
        damage = error
    if holder is not None:
        yield Finding(Verdict.OK, "process", f"live: {holder} runs it")
        if holder.is_here and (told := lingering(holder.pid)):
            yield Finding(Verdict.NOTE, "logout", told)
    elif view is None or view.finished is None:
        yield Finding(Verdict.NOTE, "process", gone(directory.run))
    else:
        yield Finding(Verdict.OK, "process", f"the run is over: {view.state}")
    if view is not None and view.unsaved and holder is not None:
        yield Finding(Verdict.BAD, "record", f"it cannot be written: {view.unsaved}")
    for check in examine(directory.journal):
        verdict = Verdict.BAD if check.faults else Verdict.OK
        for words in check.faults or (check.words,):
            yield Finding(verdict, check.what, words.removesuffix(f"; {HELP}"))
    if damage is not None:
        yield Finding(Verdict.NOTE, "rest", _rest(directory))


def _rest(directory: RunDirectory) -> str:
    """What can be read of a damaged journal, and how."""
    try:
        last = legible(directory.journal)
    except QtuiError as error:
        return str(error)
    return f"{kept_words(last)} whole: qtui resume {directory.run} goes on from there, and keeps the damaged file"
