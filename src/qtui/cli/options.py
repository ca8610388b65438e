"""The arguments of every command, and what they mean."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NoReturn

from qtui.core.errors import UsageError, did_you_mean

COMMANDS = ("run", "check", "graph")
_WITH_VALUE = ("-p", "--param", "-C", "--directory", "-j", "--workers", "--ui", "--color", "--state-dir", "--format")
MIN_COLUMNS, MIN_ROWS = 40, 10

_EPILOG = """\
exit codes: 0 all units completed (fallbacks included); 1 a unit failed or timed out; 2 usage or invalid
workflow, nothing was run; 3 internal error; 130 canceled or interrupted by ctrl+c, 143 by TERM, else 128 + signal.
"""


class _Parser(argparse.ArgumentParser):
    """Argument errors become UsageError, so that there is one place that prints and exits."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}\n{self.format_usage().strip()}")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse a command line. ``qtui WORKFLOW ...`` is ``qtui run WORKFLOW ...``.

    Raises UsageError; exits by itself for ``--help`` and ``--version`` only.
    """
    words = list(arguments)
    at = _first_word(words)
    if at is not None and words[at] in COMMANDS:
        words.insert(0, words.pop(at))  # options may stand before the command
    elif at is not None:
        _refuse_misspelt_command(words[at])
        words.insert(0, "run")
    return _parser().parse_args(words)


def _first_word(words: Sequence[str]) -> int | None:
    """Where the command or the workflow is: the first word that is neither an option nor an option's value."""
    takes_value = False
    for at, word in enumerate(words):
        if not word.startswith("-") and not takes_value:
            return at
        takes_value = not takes_value and word in _WITH_VALUE
    return None


def _refuse_misspelt_command(word: str) -> None:
    looks_like_file = any(sign in word for sign in "./:") or Path(word).exists()
    if not looks_like_file:
        hint = did_you_mean(word, COMMANDS)
        raise UsageError(
            f'there is no command and no file "{word}"' + (f" ({hint})" if hint else "; qtui --help lists the commands")
        )


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="qtui",
        description="Run a workflow and watch it in the terminal. `qtui WORKFLOW` is short for `qtui run WORKFLOW`.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"qtui {_version()}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    _add_run(commands)
    check = commands.add_parser("check", help="validate a workflow; nothing is run", allow_abbrev=False)
    _add_workflow(check)
    graph = commands.add_parser("graph", help="print the dependency graph; nothing is run", allow_abbrev=False)
    _add_workflow(graph)
    graph.add_argument("--format", choices=("tree", "dot", "json"), default="tree", help="default: tree")
    return parser


def _add_workflow(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "workflow", metavar="WORKFLOW", help="a .toml or .py file, file.py:name, or package.module:name"
    )
    parser.add_argument(
        "-p", "--param", metavar="NAME=VALUE", action="append", default=[], help="set a param; may be repeated"
    )
    parser.add_argument("-C", "--directory", metavar="DIR", help="change to DIR first")


def _add_run(commands: Any) -> None:
    run = commands.add_parser(
        "run", help="run a workflow", epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )  # fmt: skip
    _add_workflow(run)
    run.add_argument("-j", "--workers", metavar="N", type=_workers, help="units that may run at a time, or auto")
    going = run.add_mutually_exclusive_group()
    going.add_argument(
        "-k", "--keep-going", dest="keep_going", action="store_true", default=None,
        help="after a failure, go on with what does not depend on it",
    )  # fmt: skip
    going.add_argument(
        "--fail-fast", dest="keep_going", action="store_false", help="start nothing new after the first failure"
    )
    run.add_argument("-n", "--dry-run", action="store_true", help="print what would run, in order; nothing is run")
    run.add_argument(
        "--ui", choices=("auto", "tui", "plain", "json"), default="auto",
        help="tui: the dashboard; plain: lines of text; json: one event a line; auto: tui on a terminal, else plain",
    )  # fmt: skip
    run.add_argument("--no-tui", dest="ui", action="store_const", const="plain", help="same as --ui plain")
    run.add_argument("--color", choices=("auto", "always", "never"), default="auto", help="colour in plain output")
    run.add_argument("--ascii", action="store_true", help="draw with ASCII signs only")
    run.add_argument(
        "--state-dir", metavar="DIR", help="where logs are kept (default: $XDG_STATE_HOME/qtui or ~/.local/state/qtui)"
    )


def _workers(text: str) -> int | None:
    """A positive number, or None for ``auto``."""
    if text == "auto":
        return None
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f'"{text}" is neither auto nor a number from 1 on')
    return number


def params_of(pairs: Sequence[str]) -> dict[str, str]:
    """The params given as NAME=VALUE. Raises UsageError for anything else and for a name given twice."""
    params: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UsageError(f'-p "{pair}" is not NAME=VALUE')
        if name in params:
            raise UsageError(f"-p {name} is given twice")
        params[name] = value
    return params


def choose_ui(asked: str, environment: Mapping[str, str]) -> str:
    """``tui``, ``plain`` or ``json``.

    ``auto`` takes the dashboard only where it can be drawn and is wanted: standard input, output and error are
    terminals, TERM is not dumb, CI is not set, and there are at least 40x10 cells. Raises UsageError if the
    dashboard was asked for where there is no terminal.
    """
    terminals = all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))
    if asked == "tui" and not terminals:
        raise UsageError("the dashboard needs a terminal for standard input, output and error; use --ui plain")
    if asked != "auto":
        return asked
    if not terminals or (environment.get("TERM") or "dumb") == "dumb" or environment.get("CI"):
        return "plain"
    size = os.get_terminal_size(sys.stdout.fileno())
    # 0x0 is a terminal that does not know its size; programs take it for 80x24
    large_enough = size == (0, 0) or (size.columns >= MIN_COLUMNS and size.lines >= MIN_ROWS)
    return "tui" if large_enough else "plain"


def wants_color(asked: str, environment: Mapping[str, str], is_terminal: bool) -> bool:
    """Whether plain output is coloured: NO_COLOR wins over everything but ``--color always``."""
    if asked != "auto":
        return asked == "always"
    if environment.get("NO_COLOR"):
        return False
    if is_terminal and (environment.get("TERM") or "dumb") != "dumb":
        return True
    return environment.get("FORCE_COLOR", "0") != "0" or environment.get("CLICOLOR_FORCE", "0") != "0"


def _version() -> str:
    try:
        return version("qtui")
    except PackageNotFoundError:
        return "unknown"
