"""Units that a unit adds, on their way from the process in which it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtui.core.errors import Canceled
from qtui.core.model import Outcome, UnitError
from qtui.engine.context import ExecutionContext
from qtui.engine.failure import describe_exception
from qtui.engine.packing import Packed, ResultError, pack, unpack


def pack_additions(context: ExecutionContext, new_file: Callable[[], str]) -> tuple[Any, ...] | None:
    """The units that an attempt adds, packed; None if there are none. Raises ResultError if they cannot be sent."""
    context.end()
    if not context.additions:
        return None
    try:
        return tuple(pack(context.additions, new_file))
    except BaseException as error:
        if isinstance(error, Canceled):
            raise
        what = describe_exception(error)
        raise ResultError(f"what it adds cannot be sent to the run: {what.type}: {what.message}") from error


def with_additions(outcome: Outcome, packed: tuple[Any, ...] | None) -> Outcome:
    """The outcome with the units that the attempt adds; a failure if they cannot be loaded here."""
    if packed is None:
        return outcome
    try:
        return outcome._replace(added=unpack(Packed(*packed)))
    except BaseException as error:  # noqa: BLE001  - loading runs what user classes do
        what = describe_exception(error)
        return outcome._replace(error=UnitError(what.type, f"what it adds cannot be loaded: {what.message}"))
