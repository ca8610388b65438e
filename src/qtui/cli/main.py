"""The entry point: parses, calls one command, and turns errors into messages and exit codes."""

from __future__ import annotations

import atexit
import errno
import gc
import os
import sys
import threading
import traceback
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from importlib import import_module
from typing import Final, NoReturn

from qtui.cli.options import choose_ui, parse, settable
from qtui.cli.settings import read_settings
from qtui.cli.standard import hold_standard_streams
from qtui.core.errors import EXIT_CANCELED, EXIT_INTERNAL, EXIT_OK, EXIT_USAGE, InvalidWorkflow, QtuiError, UsageError

FAREWELL_SECONDS: Final = 2.0
"""How long functions that user modules have registered with atexit get."""

_MODULES: Final = {
    "run": "run",
    "plan": "planning",
    "init": "starter",
    "check": "inspect",
    "graph": "inspect",
    "schema": "inspect",
    "status": "status",
    "logs": "logs",
    "shell": "shell",
    "completion": "completion",
    "cancel": "control",
    "pause": "control",
    "unpause": "control",
    "approve": "control",
    "history": "history",
    "report": "report",
    "prune": "prune",
    "doctor": "doctor",
    "attach": "attach",
    "replay": "replay",
    "resume": "resume",
    "picker": "picker",
    "keys": "keys",
}
"""Where each command's function of that name is."""

_HEEDING: Final = ("run", "plan", "resume", "attach", "replay")
"""The commands that do nothing while settings are faulty; the others help to put them right, or go on by default."""

_DRAWING: Final = ("run", "resume", "attach", "replay", None)
"""The commands that draw a screen, if there is a terminal for it."""


def entry() -> NoReturn:
    """The program: runs and ends the process, whatever threads units may have left behind.

    Python's own end waits for every thread of an executor (`asyncio.to_thread` has one), for ever if need be.
    """
    hold_standard_streams()
    if os.path.expanduser("~") == "~":  # noqa: PTH111  - Path raises
        os.environ["HOME"] = "/"  # which container runtimes give to users that no system knows
    code = main(before=_stand_by)
    # not on this thread: one of them may wait for what an abandoned thread holds
    farewell = threading.Thread(target=atexit._run_exitfuncs, daemon=True)
    farewell.start()
    farewell.join(FAREWELL_SECONDS)
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # closed, or the reader has gone: the exit code stands
            stream.flush()
    os._exit(code)


def main(arguments: Sequence[str] | None = None, *, before: Callable[[Namespace], bool] | None = None) -> int:
    """Run qtui with `arguments` (default: the process's) and return its exit code.

    `before` is called with what they mean before anything else is imported and done, and says whether a screen will be
    drawn.
    """
    try:
        code = _carry_out(sys.argv[1:] if arguments is None else arguments, before)
        if why := _unwritten():
            _complain(f"qtui: {why}")
            return code or EXIT_INTERNAL
        return code
    except InvalidWorkflow as error:
        count = len(error.problems)
        _complain(str(error), f"{count} problems, nothing was run" if count > 1 else "nothing was run")
        return error.exit_code
    except QtuiError as error:
        _complain(f"qtui: {error}")
        return error.exit_code
    except BrokenPipeError:
        _close_stdout()
        return EXIT_OK
    except KeyboardInterrupt:
        return EXIT_CANCELED
    except OSError as error:
        if error.filename is not None:
            _complain(f"qtui: {error.filename}: {error.strerror}")
            return EXIT_USAGE
        _complain(f"qtui: {_unwritten() or error.strerror or error}")
        return EXIT_INTERNAL
    except Exception:  # noqa: BLE001  - the last line of defence: a bug of ours, said as such
        _complain(f"qtui: internal error, please report it:\n{traceback.format_exc()}")
        return EXIT_INTERNAL


def _carry_out(arguments: Sequence[str], before: Callable[[Namespace], bool] | None) -> int:
    try:
        options = parse(arguments, read_settings(os.environ, settable))
        _heed(options)
        if options.command is None and choose_ui("auto", os.environ) != "tui":
            parse(["--help"])
    except SystemExit:  # --help and --version are done with
        return EXIT_OK
    draws = before is not None and before(options)
    if getattr(options, "directory", None) is not None:
        _change_directory(options.directory)
    with _sign_of_life() if draws else nullcontext():
        command = _command(options.command or "picker")
    return command(options)


def _heed(options: Namespace) -> None:
    """Tell what is wrong with settings. Raises UsageError for a command that would do what nobody has asked for."""
    settings = options.settings
    if options.command == "doctor":
        return  # which tells of them
    for doubt in settings.doubts:
        _complain(f"qtui: {doubt}")
    if options.command not in _HEEDING:
        for problem in settings.problems:
            _complain(f"qtui: {problem}; this is ignored here, and nothing runs until it is put right")
        return
    if settings.keys:
        from qtui.cli.keymap import keymap_of  # only who has chosen keys pays for what knows them

        try:
            keymap_of(settings)
        except UsageError as error:
            if settings.problems or _draws(options):
                raise
            for fault in str(error).splitlines():
                _complain(f"qtui: {fault}; this is ignored where no screen is drawn")
    settings.check()


def _draws(options: Namespace) -> bool:
    """Whether the command draws a screen here."""
    idle = any(getattr(options, flag, False) for flag in ("dry_run", "detach", "debug"))
    return options.command in _DRAWING and not idle and choose_ui(getattr(options, "ui", "auto"), os.environ) == "tui"


def _stand_by(options: Namespace) -> bool:
    """Where a screen will be drawn, leave a process in front of the shell; False where none will be."""
    if not _draws(options):
        return False
    from qtui.cli.shepherd import stand_by

    stand_by()
    if options.command is not None:
        gc.disable()  # a fifth of the time that imports take; until the dashboard is there
    return True


@contextmanager
def _sign_of_life() -> Iterator[None]:
    """Say something while imports take a quarter of a second, so that a key press is seen to have been one."""
    _write_to_terminal("qtui is starting")
    try:
        yield
    finally:
        _write_to_terminal("\r\x1b[K")


def _write_to_terminal(text: str) -> None:
    with suppress(OSError, ValueError):
        sys.stderr.write(text)
        sys.stderr.flush()


def _change_directory(directory: str) -> None:
    try:
        os.chdir(directory)
    except OSError as error:
        raise UsageError(f"-C {directory}: {error.strerror}") from None


def _command(name: str) -> Callable[[Namespace], int]:
    """The function of a command; each imports only what it needs."""
    command: Callable[[Namespace], int] = getattr(import_module(f"qtui.cli.{_MODULES[name]}"), name)
    return command


def _complain(*lines: str) -> None:
    from qtui.tui.text import clean

    for text in lines:
        for line in text.splitlines():
            print(clean(line), file=sys.stderr)


def _unwritten() -> str:
    """Write what is left of what was printed, and say what keeps it from that; empty also where nobody reads it."""
    try:
        sys.stdout.flush()
    except OSError as error:
        _close_stdout()
        if error.errno not in (errno.EPIPE, errno.EIO):  # the latter: the terminal has gone
            return f"standard output cannot be written: {error.strerror}"
    return ""


def _close_stdout() -> None:
    """Point standard output at nothing, so that later flushes do not complain again."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
