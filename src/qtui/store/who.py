"""Who asks: the user, the host and the terminal of this process."""

from __future__ import annotations

import getpass
import os
import sys

from qtui.store.boot import host_name


def whoami() -> str:
    """This person, for others: ``user@host (terminal)``."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        user = str(os.getuid())
    terminal = terminal_name()
    return f"{user}@{host_name()}" + (f" ({terminal.removeprefix('/dev/')})" if terminal else "")


def terminal_name() -> str:
    """The path of this process's terminal; empty without one. Standard input may have been emptied for what runs here,
    so that of the beginning counts."""
    for descriptor in (*([sys.__stdin__.fileno()] if sys.__stdin__ is not None else []), 1, 2):
        try:
            return os.ttyname(descriptor)
        except OSError:
            continue
    return ""
