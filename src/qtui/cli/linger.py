"""What systemd-logind will do to a run at logout, and the command that helps.

A process of a login session is in the session's scope, or below the user's own manager (terminals of some desktops
are). logind ends the scope with the session if it is told to kill user processes, whether or not the user lingers;
it ends the manager with the last session unless the user lingers. Letting go of a terminal leaves neither.
"""

from __future__ import annotations

import os
import pwd
import re
import subprocess
from typing import Final

ASK_SECONDS: Final = 2.0
"""How long a bus that hangs may keep us."""

_KILLING: Final = (
    "busctl", "get-property", "org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager",
    "KillUserProcesses", "KillOnlyUsers", "KillExcludeUsers",
)  # fmt: skip
_UNIT: Final = (
    "busctl", "call", "org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager",
    "GetUnitByPID", "u",
)  # fmt: skip
_QUOTED: Final = re.compile(r'"([^"]*)"')
_ESCAPED: Final = re.compile("_([0-9a-f]{2})")


def lingering(pid: int | None = None) -> str:
    """What is to be told about the end of process `pid` (default: this one) at logout; empty if it lives on.

    Also empty where there is no logind to ask. Takes some hundredths of a second.
    """
    unit = _unit_of(os.getpid() if pid is None else pid)
    if re.fullmatch(r"session-.*\.scope", unit):
        if not _kills(_user()):
            return ""
        first = "" if _lingers() else "`loginctl enable-linger`, then "
        return (
            "logind ends what was started in this session when you log out (KillUserProcesses=yes); what helps: "
            f"{first}start qtui with `systemd-run --user --scope qtui ...`"
        )
    if re.fullmatch(r"user@\d+\.service", unit) and not _lingers():
        return (
            "logind ends your services when you log out, and what was started here is one of them; what helps: "
            "`loginctl enable-linger`"
        )
    return ""


def _unit_of(pid: int) -> str:
    """The system's unit that a process is in; empty if that is not known."""
    found = _QUOTED.search(_answer(*_UNIT, str(pid)))
    if found is None:
        return ""
    label = found[1].rpartition("/")[2]
    return _ESCAPED.sub(lambda escaped: chr(int(escaped[1], 16)), label)


def _kills(user: str) -> bool:
    """Whether the end of a session is the end of what `user` has started in it.

    logind itself is asked, since its configuration may be in many files; what it decides by is in
    logind.conf(5).
    """
    answers = _answer(*_KILLING).splitlines()
    if len(answers) != 3:
        return False
    only, excluded = (set(_QUOTED.findall(line)) for line in answers[1:])
    if user in (excluded or {"root"}):
        return False
    return user in only if only else answers[0].split() == ["b", "true"]


def _lingers() -> bool:
    return "Linger=yes" in _answer("loginctl", "show-user", str(os.getuid()), "--property=Linger").split()


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _answer(*command: str) -> str:
    """What a program says; nothing if it is not there, does not answer in time, or fails."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=ASK_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
