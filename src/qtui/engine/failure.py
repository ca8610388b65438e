"""Turns exceptions of user code into plain data, with the user's part of the traceback only."""

from __future__ import annotations

import traceback
from pathlib import Path

from qtui.core.model import UnitError

_OWN = str(Path(__file__).resolve().parent.parent)


def describe_exception(error: BaseException) -> UnitError:
    """What `error` was, as data that can travel; never raises, however odd the exception."""
    try:
        message = str(error)
    except Exception:  # noqa: BLE001  - a user's __str__ may do anything
        message = "(its message cannot be shown: __str__ raised)"
    kind = type(error)
    bases = tuple(base.__name__ for base in kind.__mro__[1:] if base is not object)
    return UnitError(kind.__name__, message, user_traceback(error), None, bases)


def user_traceback(error: BaseException) -> str:
    """The traceback without qtui's own frames at its head."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_OWN):
        frames = frames.tb_next
    try:
        shown = traceback.TracebackException(type(error), error, frames, compact=True)
        return "".join(shown.format()).rstrip()
    except Exception:  # noqa: BLE001  - the same oddities as above
        return f"{type(error).__name__} (its traceback cannot be shown)"
