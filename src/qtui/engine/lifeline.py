"""A pipe by which the kernel kills a process group when another process ends, however that happens.

A thread that watched the pipe could not run while a unit holds the GIL; PR_SET_PDEATHSIG follows a thread, not a
process, and is for one process only.
"""

from __future__ import annotations

import fcntl
import os
import signal

_F_SETSIG = 10  # fcntl(2); not in the fcntl module


def own_settings(fd: int) -> int:
    """The reading end of a pipe opened once more, with settings of its own; `fd` itself is closed."""
    own = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    os.close(fd)
    return own


def lifeline_pipe() -> tuple[int, int]:
    """The end for a child, who must inherit it, and ours, whose closing is the child's death."""
    theirs, ours = os.pipe()
    return own_settings(theirs), ours


def arm(fd: int, group: int) -> None:
    """Have the kernel kill the process group when the other end of the pipe closes (fcntl(2), F_SETOWN, F_SETSIG).

    It holds for as long as somebody has `fd` open; a group that has ended already is no error.
    """
    try:
        fcntl.fcntl(fd, fcntl.F_SETOWN, -group)
    except ProcessLookupError:
        return
    fcntl.fcntl(fd, _F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_ASYNC)
