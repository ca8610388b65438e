"""The arguments of every command, and what they mean."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NoReturn

from qtui import __version__
from qtui.cli import flagvalues
from qtui.cli.manner import checked_prefix
from qtui.cli.run_options import LATEST, RUN_HELP, Commands, add_run_commands, add_state_dir
from qtui.cli.settings import NOTHING_SET, SETTABLE, Settings, give_way
from qtui.core.errors import UsageError, did_you_mean
from qtui.tui.roles import AUTO, THEME_NAMES

COMMANDS: Final = (
    "run", "plan", "check", "graph", "schema", "init", "status", "logs", "shell", "cancel", "pause", "unpause",
    "approve", "history", "report", "prune", "doctor", "attach", "replay", "resume", "keys", "completion",
)  # fmt: skip
EVERY: Final = "*"
"""What ``-f`` and ``--yes`` without a unit stand for."""

_WITH_VALUE: Final = {
    "-p", "--param", "-e", "--env", "--env-file", "-C", "--directory", "-t", "--tag", "--exclude", "-j", "--workers",
    "--min-workers", "--max-workers", "--executor", "--address",
    "--timeout", "--ui", "--color", "--state-dir", "--format", "--try", "--limit", "--junit", "--md", "--older-than",
    "--max-size", "--output", "--prefix", "--at", "--speed", "--again", "--theme", "--on-finish",
}  # fmt: skip
_FORCE: Final = re.compile(r"(-[nkqv]*)f|--force")
MIN_COLUMNS, MIN_ROWS = 40, 10

_EPILOG = """\
exit codes: 0 all units completed (fallbacks and allowed failures included); 1 a unit failed or timed out; 2 usage or
invalid workflow, nothing was run; 3 internal error; 5 no unit was selected; 124 the run timed out; 130 canceled or
interrupted by ctrl+c, 143 by TERM, else 128 + signal.
"""
_SELECTION = """\
UNIT is an id, a name or a glob; only these units are run, with what they need. UNIT+ runs what depends on it, too.
-f and --yes may stand alone or have a unit.
"""
_AGAIN = """\
UNIT is an id, a name or a glob: only these units run again, even if they have completed, with what they need and has
not, and with what waited for them or was skipped because of them. UNIT+ runs all that depends on it again, too. With
--only-failed, only those of them that have not completed. What else has not run is left for a later resume.
"""


class _Parser(argparse.ArgumentParser):
    """Argument errors become UsageError, so that there is one place that prints and exits."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}\n{self.format_usage().strip()}")


def parse(arguments: Sequence[str], settings: Settings = NOTHING_SET) -> argparse.Namespace:
    """Parse a command line. ``qtui WORKFLOW ...`` is ``qtui run WORKFLOW ...``. What it leaves open is as it is set.

    Raises UsageError; exits by itself for ``--help`` and ``--version`` only.
    """
    words = list(arguments)
    parser, commands = _parser()
    for each in (parser, *commands.values()):
        each.set_defaults(settings=settings, **settings.values)
    at = _first_word(words)
    if at is None:
        return parser.parse_args(words)
    command = words[at]
    if command in commands:
        del words[at]  # options may stand before the command
    else:
        _refuse_misspelt_command(command)
        command = "run"
    if command in ("run", "plan", "resume"):
        words = _spelled_out(words)
    # units may stand anywhere behind the workflow, between options too
    options = commands[command].parse_intermixed_args(words)
    options.command = command
    give_way(options, settings)
    options.words, options.cwd = list(arguments), _here()
    return options


def _here() -> str:
    try:
        return str(Path.cwd())
    except OSError as error:
        raise UsageError(f"the current directory cannot be used: {error.strerror}; cd to another one") from None


def parsers() -> Mapping[str, argparse.ArgumentParser]:
    """What reads the arguments of each command."""
    return _parser()[1]


def settable() -> dict[str, argparse.Action]:
    """What reads the values of flags that may be set for good, by their names."""
    _, commands = _parser()
    found: dict[str, argparse.Action] = {}
    for action in commands["run"]._actions:
        if action.dest in SETTABLE:
            found.setdefault(action.dest, action)
    return found


def _first_word(words: Sequence[str]) -> int | None:
    """Where the command or the workflow is: the first word that is neither an option nor an option's value."""
    takes_value = False
    for at, word in enumerate(words):
        if not word.startswith("-") and not takes_value:
            return at
        takes_value = not takes_value and word in _WITH_VALUE
    return None


def _spelled_out(words: Sequence[str]) -> list[str]:
    """The words with a value for every ``-f`` and ``--yes``: argparse would take the next word for it.

    ``--yes`` never takes the next word, ``-f`` does where that cannot be the workflow.
    """
    workflow = _first_word(words)
    spelled: list[str] = []
    takes_value = False
    rest = iter(enumerate(words))
    for at, word in rest:
        if takes_value:
            takes_value = False
        elif word == "--":
            return [*spelled, *words[at:]]
        elif word == "--yes":
            word = f"--yes={EVERY}"
        elif found := _FORCE.fullmatch(word):
            if found[1] and found[1] != "-":
                spelled.append(found[1])
            following = words[at + 1 : at + 2]
            has_unit = workflow is not None and workflow < at and following and not following[0].startswith("-")
            word = f"--force={next(rest)[1] if has_unit else EVERY}"
        else:
            takes_value = word in _WITH_VALUE
        spelled.append(word)
    return spelled


def _refuse_misspelt_command(word: str) -> None:
    looks_like_file = any(sign in word for sign in "./:") or Path(word).exists()
    if not looks_like_file:
        hint = did_you_mean(word, COMMANDS)
        raise UsageError(
            f'there is no command and no file "{word}"' + (f" ({hint})" if hint else "; qtui --help lists the commands")
        )


def _parser() -> tuple[argparse.ArgumentParser, Mapping[str, argparse.ArgumentParser]]:
    """The parser of the program, for its help, and those of the commands."""
    parser = _Parser(
        prog="qtui",
        description="Run a workflow and watch it in the terminal. `qtui WORKFLOW` is short for `qtui run WORKFLOW`.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"qtui {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    run = commands.add_parser(
        "run", help="run a workflow", epilog=f"{_SELECTION}\n{_EPILOG}",
        formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    _add_workflow(run)
    _add_selection(run)
    _add_steering(run)
    _add_manner(run)
    _add_output(run)
    _add_plan(commands)
    check = commands.add_parser("check", help="validate a workflow; nothing is run", allow_abbrev=False)
    _add_workflow(check)
    _add_executor(check)
    graph = commands.add_parser("graph", help="print the dependency graph; nothing is run", allow_abbrev=False)
    _add_workflow(graph)
    _add_executor(graph)
    graph.add_argument("--format", choices=("tree", "dot", "json"), default="tree", help="default: tree")
    completion = commands.add_parser("completion", help="print what a shell needs to complete", allow_abbrev=False)
    completion.add_argument("shell", choices=("bash",), help="source <(qtui completion bash)")
    commands.add_parser("schema", help="print the JSON Schema of workflow files, for editors", allow_abbrev=False)
    init = commands.add_parser("init", help="write a small workflow to start from", allow_abbrev=False)
    init.add_argument("file", metavar="FILE", nargs="?", help="default: qtui.toml, with --python workflow.py")
    init.add_argument("--python", action="store_true", help="a workflow in Python")
    init.add_argument("-C", "--directory", metavar="DIR", type=flagvalues.directory, help="change to DIR first")
    _add_resume(commands)
    _add_attach(commands)
    _add_replay(commands)
    keys = commands.add_parser("keys", help="list the keys of the dashboard, and what they do", allow_abbrev=False)
    keys.add_argument("--press", action="store_true", help="tell the names of keys as they are pressed")
    add_run_commands(commands)
    return parser, commands.choices


def _add_workflow(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "workflow", metavar="WORKFLOW", help="a .toml or .py file, file.py:name, or package.module:name"
    )
    parser.add_argument(
        "-p", "--param", metavar="NAME=VALUE", action="append", default=[], help="set a param; may be repeated"
    )
    parser.add_argument(
        "-e", "--env", metavar="NAME=VALUE", action="append", default=[],
        help="set an environment variable, over the workflow's; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--env-file", metavar="FILE", action="append", default=[],
        help="set those of a file of NAME=VALUE lines, below -e; may be repeated",
    )  # fmt: skip
    parser.add_argument("-C", "--directory", metavar="DIR", type=flagvalues.directory, help="change to DIR first")


def _add_selection(run: argparse.ArgumentParser) -> None:
    run.add_argument("units", metavar="UNIT", nargs="*", default=[], help="run only these, with what they need")
    run.add_argument(
        "-t", "--tag", metavar="TAG", action="append", default=[], help="run only units with this tag; may be repeated"
    )
    run.add_argument(
        "--exclude", metavar="UNIT", action="append", default=[],
        help="leave these out, and what needs them; may be repeated",
    )  # fmt: skip
    run.add_argument(
        "-f", "--force", metavar="UNIT", nargs="?", action="append", default=[],
        help="do not use earlier results of these units, or of any; may be repeated",
    )  # fmt: skip
    run.add_argument("--no-cache", action="store_true", help="neither use earlier results nor keep new ones")
    run.add_argument(
        "--yes", metavar="UNIT", nargs="?", action="append", default=[],
        help="say yes to the questions of these units (--yes=UNIT), or of all; may be repeated",
    )  # fmt: skip


def _add_plan(commands: Commands) -> None:
    plan = commands.add_parser(
        "plan", help="tell what a run would do, when, and how long it would take; nothing is run", allow_abbrev=False
    )
    plan.epilog, plan.formatter_class = _SELECTION, argparse.RawDescriptionHelpFormatter
    _add_workflow(plan)
    _add_selection(plan)
    _add_steering(plan)
    plan.add_argument(
        "--compare", action="store_true", help="how long it takes with other strategies and numbers of workers"
    )
    plan.add_argument("--json", action="store_true", help="as JSON")
    plan.add_argument("--check", action="store_true", help="exit with 1 if there is something to do, else with 0")
    add_state_dir(plan)


def _add_steering(run: argparse.ArgumentParser) -> None:
    """What is said over the workflow's own settings."""
    run.add_argument(
        "-j", "--workers", metavar="N", type=flagvalues.workers,
        help="units that may run at a time: a number, a part of the cores such as 75%%, or auto to adapt",
    )  # fmt: skip
    run.add_argument("--min-workers", metavar="N", type=flagvalues.bound, help="the least that auto goes down to")
    run.add_argument("--max-workers", metavar="N", type=flagvalues.bound, help="the most that auto goes up to")
    going = run.add_mutually_exclusive_group()
    going.add_argument(
        "-k", "--keep-going", dest="keep_going", action="store_true", default=None,
        help="after a failure, go on with what does not depend on it",
    )  # fmt: skip
    going.add_argument(
        "--fail-fast", dest="keep_going", action="store_false", help="start nothing new after the first failure"
    )
    run.add_argument(
        "--timeout", metavar="TIME", type=flagvalues.duration,
        help="how long the whole run may take, for example 90s or 2h",
    )  # fmt: skip
    _add_executor(run)


def _add_executor(parser: argparse.ArgumentParser) -> None:
    """Where it is run."""
    parser.add_argument(
        "--executor", metavar="NAME", type=flagvalues.executor,
        help="where all units run that have no mode of their own: dask, the name of a package's executor, or "
        "module:function",
    )  # fmt: skip
    parser.add_argument(
        "--address", metavar="ADDRESS", type=flagvalues.address,
        help="where the scheduler of the cluster listens, for example tls://10.0.0.5:8786; default: one is made "
        "on this machine for the run",
    )  # fmt: skip
    parser.add_argument(
        "--insecure", action="store_true",
        help="let the connection to the cluster lead to other machines without encryption",
    )  # fmt: skip


def _add_manner(run: argparse.ArgumentParser) -> None:
    """In what way it is run, if at all."""
    run.add_argument("-n", "--dry-run", action="store_true", help="only tell what would run, as qtui plan does")
    run.add_argument(
        "--debug", action="store_true",
        help="run one UNIT in this terminal, without a record, with the results of the latest run for its needs",
    )  # fmt: skip
    run.add_argument(
        "--detach", action="store_true", help="run in the background: return, with the run's id, once it has begun"
    )


def _add_output(run: argparse.ArgumentParser) -> None:
    run.add_argument(
        "--ui", choices=("auto", "tui", "plain", "json"), default="auto",
        help="tui: the dashboard; plain: lines of text; json: one event a line; auto: tui on a terminal, else plain",
    )  # fmt: skip
    run.add_argument("--no-tui", dest="ui", action="store_const", const="plain", help="same as --ui plain")
    loud = run.add_mutually_exclusive_group()
    loud.add_argument("-v", "--verbose", action="store_true", help="more lines in plain output: why caches were missed")
    loud.add_argument("-q", "--quiet", action="store_true", help="in plain output only failures and the end")
    run.add_argument(
        "--output", choices=("group", "stream", "errors", "none"), default="group",
        help="what units print, in plain output: as blocks at their ends, as it comes, of failures, or not at all",
    )  # fmt: skip
    run.add_argument("--timestamps", action="store_true", help="the time of day before each line that units print")
    run.add_argument(
        "--prefix", metavar="TEXT", type=checked_prefix,
        help="what stands before each line that units print, with {unit}, {family}, {try} and {run}; or none",
    )  # fmt: skip
    _add_look(run)
    run.add_argument(
        "--on-finish", choices=("auto", "stay", "exit"), default="auto",
        help="what the dashboard does at the end of the run: stay, leave, or (auto) leave 10 s after a success",
    )  # fmt: skip
    add_state_dir(run)


def _add_look(parser: argparse.ArgumentParser) -> None:
    """How things look on a terminal."""
    parser.add_argument("--color", choices=("auto", "always", "never"), default="auto", help="colours")
    parser.add_argument(
        "--theme", choices=(AUTO, *THEME_NAMES), default=AUTO,
        help="colours of the dashboard: for dark or light backgrounds, without red and green (cvd), or none (mono)",
    )  # fmt: skip
    parser.add_argument("--ascii", action="store_true", help="draw with ASCII signs only")


def _add_resume(commands: Commands) -> None:
    resume = commands.add_parser(
        "resume", help="go on with a run whose process has gone, or run again what failed", allow_abbrev=False
    )
    resume.epilog, resume.formatter_class = _AGAIN, argparse.RawDescriptionHelpFormatter
    resume.add_argument("run", metavar="RUN", nargs="?", help=f"{RUN_HELP}; default: the latest that nobody runs")
    resume.add_argument("units", metavar="UNIT", nargs="*", default=[], help="run these again, and RUN must be named")
    resume.add_argument("-n", "--dry-run", action="store_true", help="only tell what would run, and why")
    resume.add_argument(
        "--only-failed", action="store_true", help="leave alone what was canceled, and what was skipped for that"
    )
    resume.add_argument(
        "--stale", action="store_true", help="run completed units again if they, or their inputs, have changed"
    )
    resume.add_argument(
        "--again", metavar="UNIT", action="append", default=[],
        help="run this unit again without asking, although it is not idempotent and may have done its work",
    )  # fmt: skip
    resume.add_argument(
        "--yes", metavar="UNIT", nargs="?", action="append", default=[],
        help="say yes to the questions of these units (--yes=UNIT), or of all; may be repeated",
    )  # fmt: skip
    resume.add_argument(
        "-p", "--param", metavar="NAME=VALUE", action="append", default=[],
        help="set a param to another value than the run began with; may be repeated",
    )  # fmt: skip
    resume.add_argument(
        "--detach", action="store_true", help="go on in the background: return, with the run's id, once it does"
    )
    _add_executor(resume)
    _add_output(resume)


def _add_attach(commands: Commands) -> None:
    attach = commands.add_parser("attach", help="follow and steer a run of another terminal", allow_abbrev=False)
    attach.add_argument("run", metavar="RUN", nargs="?", help=f"{RUN_HELP}; default: {LATEST}")
    attach.add_argument("--read-only", action="store_true", help="only look: ask nothing of the run")
    _add_output(attach)


def _add_replay(commands: Commands) -> None:
    replay = commands.add_parser("replay", help="see a run again, at any time of it", allow_abbrev=False)
    replay.add_argument("run", metavar="RUN", nargs="?", help=f"{RUN_HELP}; default: {LATEST}")
    replay.add_argument(
        "--at", metavar="TIME", type=flagvalues.moment, help="begin, standing still, at 0:04:12 or 90s of the run"
    )
    replay.add_argument(
        "--speed", metavar="N", type=flagvalues.speed, default=1.0, help="how many seconds pass in one (default: 1)"
    )
    _add_look(replay)
    add_state_dir(replay)


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
    terminals = all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))
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
