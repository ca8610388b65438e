"""Turns exceptions of user code into plain data, with the user's part of the traceback only."""

from __future__ import annotations

import traceback
from pathlib import Path

from qtui.core.errors import QtuiError
from qtui.core.model import UnitError

MOST_MESSAGE = 64 * 1024
MOST_TRACEBACK = 256 * 1024
"""How many characters of these are kept of an error, half from its beginning and half from its end."""

_OWN = f"{Path(__file__).resolve().parent.parent}/"


def describe_exception(error: BaseException) -> UnitError:
    """What `error` was, as data that can travel; never raises, however odd the exception."""
    try:
        message = shortened(str(error)[:], MOST_MESSAGE)  # sliced: a str of a class of the user's cannot travel
    except BaseException:  # noqa: BLE001  - a user's __str__ may do anything, also exit
        message = "(its message cannot be shown: __str__ raised)"
    try:
        kind = str(type.__getattribute__(type(error), "__name__"))[:]
        bases = tuple(str(type.__getattribute__(base, "__name__"))[:] for base in type(error).__mro__[1:-1])
    except BaseException:  # noqa: BLE001  - a metaclass may do anything, too
        kind, bases = "Exception", ()
    return UnitError(kind, message, user_traceback(error), None, bases)


def user_traceback(error: BaseException) -> str:
    """The traceback without qtui's own frames: those at its head, and of what qtui raises on purpose all of them."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_OWN):
        frames = frames.tb_next
    try:
        shown = traceback.TracebackException(type(error), error, frames, compact=True)
        if isinstance(error, QtuiError) and frames is not None:
            shown.stack[:] = [frame for frame in shown.stack if not frame.filename.startswith(_OWN)]
        return shortened("".join(shown.format()).rstrip(), MOST_TRACEBACK)
    except BaseException:  # noqa: BLE001  - the same oddities as above
        return "(its traceback cannot be shown)"


def shortened(text: str, most: int) -> str:
    """`text`, or if it is longer than `most` its beginning and end, and between them how much was left out."""
    if len(text) <= most:
        return text
    return f"{text[: most // 2]}\n[{len(text) - most} characters were left out here]\n{text[-(most // 2) :]}"
