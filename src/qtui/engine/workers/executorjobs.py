"""What the custom lane submits: an attempt that runs in this process as it is, and is pickled only for another one."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from enum import Enum, auto
from itertools import count
from typing import Any, Protocol
from uuid import uuid4

from qtui.core.errors import Canceled
from qtui.core.model import Call, Outcome, UnitError
from qtui.engine import packing
from qtui.engine.context import current_context
from qtui.engine.failure import describe_exception
from qtui.engine.shipped import LIVE, Shipped, arrived
from qtui.engine.workers.base import Attempt, Host
from qtui.engine.workers.sending import cannot_send, culprit, definition_of, others_of, sees_others, told_of
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
    shipping: Shipping

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
        try:
            return self._owner.shipping.shipped(self)
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
            value = call(attempt, context)
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


class Shipping:
    """Packs attempts for other processes, on whatever threads executors pickle."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._lock = threading.Lock()
        self._params: packing.Packed | None = None
        self._functions: dict[int, tuple[Any, packing.Packed]] = {}
        self._file_numbers = count(1)

    def shipped(self, job: LiveJob) -> Shipped:
        """The attempt as plain data. Raises Unstartable for what cannot be pickled."""
        host, unit, (number, tried) = self._host, job.attempt.unit, job.key
        action = unit.action
        assert isinstance(action, Call)
        needs_head = action.wants_context or unit.args
        head = self._pack(lambda: (definition_of(unit), dict(unit.args)), culprit, unit) if needs_head else None
        fields = (
            number,
            tried,
            0,
            tuple(self._function(action)),
            action.wants_context,
            None if head is None else tuple(head),
            *others_of(host, unit, number, lambda other: told_of(host, other)),
            {**host.variables_of(number), "QTUI_ATTEMPT": str(tried)},
            unit.cwd,
            "",
            unit.log_max,
            None,
        )
        return Shipped(
            token=job.token,
            home=job.home,
            path=list(sys.path),
            run=host.run,
            params=tuple(self._run_params()) if sees_others(unit) else None,
            values=host.value_path(""),
            timeout=unit.timeout,
            job=fields,
        )

    def _pack(self, value: Callable[[], Any], what: Callable[[Any], str], of: Any) -> packing.Packed:
        try:
            return packing.pack(value(), lambda: self._host.value_path(f"shipped.{next(self._file_numbers)}"))
        except Exception as error:
            raise cannot_send(what(of), error) from error

    def _function(self, action: Call) -> packing.Packed:
        key = id(action.function)
        with self._lock:
            if key not in self._functions:
                packing.note_modules()
                packing.note_module(getattr(action.function, "__module__", None) or "__main__")
                packed = self._pack(lambda: action.function, str, "the function")
                self._functions[key] = (action.function, packed)  # keeps it alive, so its id, too
            return self._functions[key][1]

    def _run_params(self) -> packing.Packed:
        with self._lock:
            if self._params is None:
                self._params = self._pack(lambda: dict(self._host.params), str, "the params of the run")
            return self._params
