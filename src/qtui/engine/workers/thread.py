"""The thread and sequential lanes: plain functions on daemon threads."""

from __future__ import annotations

import time
from typing import Any

from qtui.core.errors import Canceled
from qtui.core.model import Call, Outcome
from qtui.engine.context import ExecutionContext, current_context
from qtui.engine.failure import describe_exception
from qtui.engine.returned import settled
from qtui.engine.workers.base import Attempt
from qtui.engine.workers.pool import PooledLane


class ThreadLane(PooledLane):
    """Threads cannot be killed: a unit is asked through its context, and abandoned after the grace.

    The sequential lane is the same; the scheduler never gives it more than one unit at a time.
    """

    def perform(self, attempt: Attempt) -> tuple[Outcome, Any]:
        """Call the unit's function."""
        began = time.monotonic()
        context = self._host.open_context(attempt)
        if attempt.interrupted:
            return Outcome(canceled=True), None
        token = current_context.set(context)
        try:
            value = settled(call(attempt, context))
            error, canceled = None, False
        except Canceled:
            value, error, canceled = None, None, True
        except BaseException as raised:  # noqa: BLE001  - SystemExit and KeyboardInterrupt end the attempt, not qtui
            value, error, canceled = None, describe_exception(raised), False
        finally:
            current_context.reset(token)
            context.log_writer.close()
        return Outcome(error, canceled, False, time.monotonic() - began, context.metrics), value

    def interrupt(self, attempt: Attempt) -> None:
        """Set the flag that `check`, `sleep` and `cancelled` look at."""
        if attempt.context is not None:
            attempt.context.cancel_event().set()

    def kill(self, attempt: Attempt) -> None:
        """There is no way to kill a thread: abandon it."""
        self.abandon(attempt)


def call(attempt: Attempt, context: ExecutionContext) -> Any:
    """Call the function of a unit with its arguments, and with its context if it wants it."""
    action = attempt.unit.action
    assert isinstance(action, Call)
    arguments = context.filled(attempt.unit.args)
    if action.wants_context:
        return action.function(context, **arguments)
    return action.function(**arguments)
