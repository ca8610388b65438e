"""The arguments of the commands that look at runs, or steer them, from outside."""

from __future__ import annotations

import argparse
from typing import Protocol

from qtui.cli import flagvalues

RUN_HELP = "a run's id, or enough of it to tell it from others; or the workflow of a run that goes on"
SOLE = "the only one that goes on"
LATEST = "one that goes on, else the one that changed last"


class Commands(Protocol):
    """Where the parsers of commands are added."""

    def add_parser(self, name: str, *, help: str, allow_abbrev: bool) -> argparse.ArgumentParser:  # noqa: A002
        """A new command."""


def add_run_commands(commands: Commands) -> None:
    """Declare them all."""
    _add_status(commands)
    _add_logs(commands)
    _add_shell(commands)
    _add_control(commands)
    _add_history(commands)
    _add_report(commands)
    _add_prune(commands)
    doctor = commands.add_parser(
        "doctor", help="look for what is wrong with a run's record, or with this machine", allow_abbrev=False
    )
    doctor.add_argument("run", metavar="RUN", nargs="?", help=f"{RUN_HELP}; default: look at the machine")
    add_state_dir(doctor)


def add_state_dir(parser: argparse.ArgumentParser) -> None:
    """``--state-dir``."""
    parser.add_argument(
        "--state-dir", metavar="DIR", type=flagvalues.directory,
        help="where runs are kept (default: $XDG_STATE_HOME/qtui or ~/.local/state/qtui)",
    )  # fmt: skip


def _add_status(commands: Commands) -> None:
    status = commands.add_parser("status", help="tell how a run is going", allow_abbrev=False)
    status.add_argument("run", metavar="RUN", nargs="?", help=f"{RUN_HELP}; default: {LATEST}")
    status.add_argument("units", metavar="UNIT", nargs="*", help="only these, and why they are as they are")
    status.add_argument("--json", action="store_true", help="as JSON, with every unit")
    status.add_argument("--wait", action="store_true", help="wait for the end; the exit code is that of the run")
    add_state_dir(status)


def _add_logs(commands: Commands) -> None:
    logs = commands.add_parser("logs", help="print what a unit has written", allow_abbrev=False)
    logs.add_argument("run", metavar="RUN", nargs="?", help=f"{RUN_HELP}; default: {LATEST}")
    logs.add_argument("unit", metavar="UNIT", help="a unit's id")
    logs.add_argument("-f", "--follow", action="store_true", help="go on until the attempt ends")
    logs.add_argument(
        "--try", dest="attempt", metavar="N", type=flagvalues.counting, help="which attempt; default: the last"
    )
    logs.add_argument("--color", choices=("auto", "always", "never"), default="auto", help="colour on a terminal")
    add_state_dir(logs)


def _add_shell(commands: Commands) -> None:
    shell = commands.add_parser(
        "shell", help="open a shell where a unit has run, with its variables", allow_abbrev=False
    )
    shell.add_argument("run", metavar="RUN", nargs="?", help=f"{RUN_HELP}; default: {LATEST}")
    shell.add_argument("unit", metavar="UNIT", help="a unit's id")
    add_state_dir(shell)


def _add_control(commands: Commands) -> None:
    for name, what in (("cancel", "stop a run, or units of it"), ("approve", "say yes to what units ask")):
        parser = commands.add_parser(name, help=what, allow_abbrev=False)
        default = f"; default: {SOLE}"
        if name == "cancel":  # it cannot be taken back; where RUN is missing, the command says which one goes on
            parser.usage, default = "qtui cancel [-h] [--state-dir DIR] RUN [UNIT ...]", ""
        parser.add_argument("run", metavar="RUN", nargs="?", help=f"{RUN_HELP}{default}")
        every = "the whole run" if name == "cancel" else "all that ask"
        parser.add_argument("units", metavar="UNIT", nargs="*", help=f"ids, names or globs; default: {every}")
        add_state_dir(parser)
    for name, what in (("pause", "start nothing new in a run"), ("unpause", "let a run start units again")):
        parser = commands.add_parser(name, help=what, allow_abbrev=False)
        parser.add_argument("run", metavar="RUN", nargs="?", help=f"{RUN_HELP}; default: {SOLE}")
        add_state_dir(parser)


def _add_history(commands: Commands) -> None:
    history = commands.add_parser("history", help="list runs, the latest first; what got worse", allow_abbrev=False)
    history.add_argument("workflow", metavar="WORKFLOW", nargs="?", help="only those of this file or name")
    history.add_argument(
        "--limit", metavar="N", type=flagvalues.counting, default=20, help="how many runs (default: 20)"
    )
    add_state_dir(history)


def _add_report(commands: Commands) -> None:
    report = commands.add_parser("report", help="write a report of a run for other programs", allow_abbrev=False)
    report.add_argument("run", metavar="RUN", nargs="?", help=f"{RUN_HELP}; default: {LATEST}")
    for name, what in (("junit", "JUnit XML"), ("json", "JSON"), ("md", "Markdown")):
        report.add_argument(f"--{name}", metavar="FILE", help=f"{what}; - is standard output")
    add_state_dir(report)


def _add_prune(commands: Commands) -> None:
    prune = commands.add_parser(
        "prune",
        help="delete old runs; by default, as after each run, those of 90 days, and the oldest beyond 5G",
        allow_abbrev=False,
    )
    prune.add_argument(
        "--older-than",
        metavar="AGE",
        type=flagvalues.age,
        help="delete runs that last changed so long ago, for example 30d",
    )
    prune.add_argument(
        "--max-size",
        metavar="SIZE",
        type=flagvalues.size,
        help="delete the oldest until the rest takes no more, for example 2G",
    )
    prune.add_argument(
        "--unfinished", action="store_true", help="also runs that were cut, which could go on; never one that goes on"
    )
    prune.add_argument("-n", "--dry-run", action="store_true", help="only tell what would be deleted")
    add_state_dir(prune)
