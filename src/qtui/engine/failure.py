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
    except BaseException:  # noqa: BLE001  - a user's __str__ may do anything, also exit
        message = "(its message cannot be shown: __str__ raised)"
    try:
        kind = str(type.__getattribute__(type(error), "__name__"))
        bases = tuple(str(type.__getattribute__(base, "__name__")) for base in type(error).__mro__[1:-1])
    except BaseException:  # noqa: BLE001  - a metaclass may do anything, too
        kind, bases = "Exception", ()
    return UnitError(kind, message, user_traceback(error), None, bases)


def user_traceback(error: BaseException) -> str:
    """The traceback without qtui's own frames at its head."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_OWN):
        frames = frames.tb_next
    try:
        shown = traceback.TracebackException(type(error), error, frames, compact=True)
        return "".join(shown.format()).rstrip()
    except BaseException:  # noqa: BLE001  - the same oddities as above
        return "(its traceback cannot be shown)"
