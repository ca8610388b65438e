"""Who asks: the user, the host and the terminal of this process."""

from __future__ import annotations

import getpass
import os

from qtui.store.boot import host_name


def whoami() -> str:
    """This person, for others: ``user@host (terminal)``."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        user = str(os.getuid())
    return f"{user}@{host_name()}{_terminal()}"


def _terminal() -> str:
    for descriptor in range(3):
        try:
            return f" ({os.ttyname(descriptor).removeprefix('/dev/')})"
        except OSError:
            continue
    return ""
