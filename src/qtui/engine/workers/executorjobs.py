"""What the custom lane submits: an attempt that runs in this process as it is, and is pickled only for another one."""

from __future__ import annotations

import os
import sys
import threading
import time
from enum import Enum, auto
from typing import Any, Protocol
from uuid import uuid4

from qtui.core.errors import Canceled
from qtui.core.model import Outcome, UnitError
from qtui.engine.context import current_context
from qtui.engine.failure import describe_exception
from qtui.engine.returned import settled
from qtui.engine.shipped import LIVE, Shipped, arrived
from qtui.engine.workers.base import Attempt, Host
from qtui.engine.workers.sending import Sender, sees_run
from qtui.engine.workers.slots import Unstartable
from qtui.engine.workers.thread import call


class Stage(Enum):
    """How far a job has come, as far as this process can tell."""

    WAITING = auto()  # not submitted yet
    SUBMITTED = auto()
    ENTERED = auto()  # it runs in this process
    REVOKED = auto()  # it will never run in this process


class Owner(Protocol):
    """The lane of a job."""

    host: Host
    sender: Sender

    def entered(self) -> None:
        """A job has begun in this process."""

    def answered(self, job: LiveJob, outcome: Outcome, value: Any) -> None:
        """A job has ended in this process."""


class LiveJob:
    """One attempt, as it is submitted. In this process it runs as it is; pickled, it becomes a `Shipped`.

    So nothing is packed for an executor of threads. What runs here tells its owner of its end itself, whatever becomes
    of the future.
    """

    def __init__(self, owner: Owner, attempt: Attempt) -> None:
        self._owner, self.attempt = owner, attempt
        self.home = os.getpid()
        self.token = f"{self.home}.{uuid4().hex}"
        self._lock = threading.Lock()
        self.stage = Stage.WAITING
        self.executor: Any = None
        self.future: Any = None
        self.shipped = False
        """Whether another process may have it."""
        self.begun = False
        self.left_behind = False
        self.unsendable: UnitError | None = None
        LIVE[self.token] = self

    @property
    def key(self) -> tuple[int, int]:
        """Its unit and the attempt's number."""
        return self.attempt.start.unit, self.attempt.start.attempt

    def advance(self, before: Stage, after: Stage) -> bool:
        """Take a step, unless somebody else has taken one first."""
        with self._lock:
            if self.stage is not before:
                return False
            self.stage = after
            return True

    def revoke(self) -> bool:
        """Keep it from running in this process; False if it does already."""
        return self.advance(Stage.WAITING, Stage.REVOKED) or self.advance(Stage.SUBMITTED, Stage.REVOKED)

    def begin(self) -> None:
        """Report that it runs, once."""
        with self._lock:
            first, self.begun = not self.begun, True
        if first:
            self.attempt.begun_at = time.monotonic()
            self._owner.host.began(self.attempt.start, 0)

    def run(self) -> Any:
        """Run the unit; called by the executor."""
        if os.getpid() != self.home:  # a child that was forked for this job, and nothing was pickled
            return self._ship().run()
        if self.advance(Stage.SUBMITTED, Stage.ENTERED):
            self._owner.entered()
            self.begin()
            self._owner.answered(self, *self._perform())
        return None

    def __reduce__(self) -> tuple[Any, ...]:
        return arrived, (self._ship(),)

    def __dask_tokenize__(self) -> str:
        return self.token  # jobs are never equal, so no result of one may be taken for that of another

    def _ship(self) -> Shipped:
        self.shipped = True
        host, sender, unit = self._owner.host, self._owner.sender, self.attempt.unit
        try:
            return Shipped(
                token=self.token,
                home=self.home,
                path=list(sys.path),
                run=host.run,
                record=host.record,
                params=tuple(sender.params()) if sees_run(unit) else None,
                values=host.value_path(""),
                job=sender.job(self.attempt, *sender.function(unit)),
            )
        except Unstartable as error:
            self.unsendable = error.unit_error
            raise

    def _perform(self) -> tuple[Outcome, Any]:
        attempt, began = self.attempt, time.monotonic()
        context = attempt.context
        assert context is not None
        attempt.thread = threading.get_native_id()
        if attempt.unit.timeout is not None:
            context.deadline = time.time() + attempt.unit.timeout
        value: Any = None
        error, canceled = None, False
        token = current_context.set(context)
        try:
            value = settled(call(attempt, context))
        except Canceled:
            canceled = True
        except BaseException as raised:  # noqa: BLE001  - SystemExit must not end a thread of the executor
            error = describe_exception(raised)
        finally:
            current_context.reset(token)
            context.log_writer.close()
        if os.getpid() != self.home:
            os._exit(error is not None)  # a child that the unit forked: there can be only one qtui
        return Outcome(error, canceled, False, time.monotonic() - began, context.metrics), value
