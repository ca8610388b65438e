"""What a unit may have changed in its process that the next unit would inherit."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # without signal's enums: each unit of a worker pays for this
import os
import resource
import sys
from typing import Any

_TIMERS = (_signal.ITIMER_REAL, _signal.ITIMER_VIRTUAL, _signal.ITIMER_PROF)  # alarm(2) is the first of them
_SIGNALS = tuple(
    getattr(_signal, name)
    for name in ("SIGHUP", "SIGINT", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGPIPE", "SIGALRM", "SIGCHLD", "SIGXFSZ")
)
_LIMITS = tuple(
    getattr(resource, f"RLIMIT_{name}") for name in ("AS", "CORE", "CPU", "DATA", "FSIZE", "NOFILE", "STACK")
)


def disarm_timers() -> None:
    """Stop what would go off in the middle of the next unit."""
    for timer in _TIMERS:
        if _signal.getitimer(timer)[0]:
            _signal.setitimer(timer, 0.0)


def process_state() -> tuple[Any, ...]:
    """Signal mask and handlers, limits, umask and recursion limit; takes about 10 us."""
    umask = os.umask(0o22)
    os.umask(umask)
    return (
        umask,
        sys.getrecursionlimit(),
        _signal.pthread_sigmask(_signal.SIG_BLOCK, ()),
        tuple(map(_signal.getsignal, _SIGNALS)),
        tuple(map(resource.getrlimit, _LIMITS)),
    )
