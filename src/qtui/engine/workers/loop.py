"""An event loop on a thread of its own, whose tasks belong to units."""

from __future__ import annotations

import asyncio
import os
import sys
import sysconfig
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from weakref import WeakSet

from qtui.core.errors import Canceled
from qtui.core.model import Outcome
from qtui.engine.context import current_context
from qtui.engine.failure import describe_exception
from qtui.engine.returned import settled
from qtui.engine.workers.base import Attempt, Host
from qtui.engine.workers.thread import call

LEFTOVER_SECONDS = 1.0
"""How long tasks that a unit has left behind get to end when they are cancelled."""

_FOREIGN = (sysconfig.get_paths()["stdlib"], str(Path(__file__).resolve().parents[2]), "<frozen")

_owner: ContextVar[Attempt | None] = ContextVar("qtui_owner", default=None)


class Coroutine:
    """What an attempt keeps: its loop, its task, and the tasks that it has made itself."""

    __slots__ = ("children", "loop", "task", "told")

    def __init__(self, loop: UnitLoop) -> None:
        self.loop = loop
        self.task: asyncio.Task[None] | None = None
        self.children: WeakSet[asyncio.Task[Any]] | None = None
        self.told = False


class UnitLoop:
    """Runs the coroutines of attempts. `ended(attempt, outcome, value)` is called on its thread, once for each."""

    def __init__(self, host: Host, ended: Callable[[Attempt, Outcome, Any], None]) -> None:
        self._host, self._ended = host, ended
        self._pid = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._loop.set_task_factory(_make_task)
        self._posted: deque[tuple[Callable[[Attempt], None], Attempt]] = deque()
        self._scheduled = False
        self._stopping = False
        self._asked_at: float | None = None
        self._thread = threading.Thread(target=self._run, name="qtui-async", daemon=True)
        self._thread.start()

    # -- from other threads ------------------------------------------------------------------------------

    def start(self, attempt: Attempt) -> None:
        """Make the attempt a task."""
        if threading.current_thread() is self._thread:
            self._begin(attempt)
        else:
            self._post(self._begin, attempt)

    def cancel(self, attempt: Attempt) -> None:
        """Cancel the attempt's task."""
        self._post(self._cancel, attempt)

    def silent_for(self) -> float:
        """Seconds since the loop was asked for a turn without taking it; each call asks again when it has."""
        asked_at = self._asked_at
        if asked_at is not None:
            return time.monotonic() - asked_at
        self._asked_at = time.monotonic()
        self._call(self._take_turn)
        return 0.0

    def answers(self, timeout: float) -> bool:
        """True if the loop takes a turn within `timeout` seconds, and has then done all that was posted before."""
        turn = threading.Event()
        # twice: a cancellation takes effect in the turn after the one that delivers it
        self._call(lambda: self._loop.call_soon(lambda: self._loop.call_soon(turn.set)))
        return turn.wait(timeout)

    def blocker(self, attempts: Iterable[Attempt]) -> tuple[Attempt | None, str]:
        """Which of the attempts has the loop right now, and where: `` at file:line in name()``."""
        frame = sys._current_frames().get(self._thread.ident or 0)
        task = asyncio.current_task(self._loop)
        for attempt in list(attempts):
            kept: Coroutine = attempt.kept
            if task is not None and (kept.task is task or (kept.children and task in kept.children)):
                return attempt, _place(traceback.extract_stack(frame)) if frame is not None else ""
        return None, ""

    def stop(self) -> None:
        """Cancel every task and end the loop, as soon as it takes a turn."""
        self._stopping = True
        self._call(lambda: self._loop.create_task(self._wind_up()))

    # -- on the loop's thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            while not self._stopping:
                # a unit may stop the loop, and SystemExit of a task that a unit made comes out here: the loop goes on
                with suppress(BaseException):
                    self._loop.run_forever()
        finally:
            with suppress(BaseException):
                self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    async def _wind_up(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=LEFTOVER_SECONDS)
        self._loop.stop()

    def _post(self, do: Callable[[Attempt], None], attempt: Attempt) -> None:
        """Have the loop's thread do something, waking it once for as much as comes meanwhile."""
        self._posted.append((do, attempt))
        if not self._scheduled:
            self._scheduled = True
            self._call(self._carry_out)

    def _call(self, function: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(function)

    def _carry_out(self) -> None:
        self._scheduled = False
        while self._posted:
            do, attempt = self._posted.popleft()
            do(attempt)

    def _take_turn(self) -> None:
        self._asked_at = None

    def _begin(self, attempt: Attempt) -> None:
        task = attempt.kept.task = self._loop.create_task(self._perform(attempt), name=attempt.unit.id)
        task.add_done_callback(lambda _: self._report_if_never_begun(attempt))

    def _report_if_never_begun(self, attempt: Attempt) -> None:
        """A task that is cancelled before its first step never enters its coroutine."""
        if attempt.begun_at is None:
            self._ended(attempt, Outcome(canceled=True), None)

    def _cancel(self, attempt: Attempt) -> None:
        if attempt.context is not None:
            attempt.context.cancel_event().set()
        if attempt.kept.task is not None:
            attempt.kept.task.cancel()

    async def _perform(self, attempt: Attempt) -> None:
        began = attempt.begun_at = time.monotonic()
        attempt.thread, attempt.shares_thread = threading.get_native_id(), True
        context = self._host.open_context(attempt)
        current_context.set(context)  # a task has its own copy of the context variables, so no reset is needed
        _owner.set(attempt)
        value: Any = None
        error, canceled = None, False
        try:
            value = settled(await call(attempt, context))
        except (Canceled, asyncio.CancelledError):
            canceled = True
        except BaseException as raised:  # noqa: BLE001  - SystemExit must not end the loop
            error = describe_exception(raised)
        if os.getpid() != self._pid:
            os._exit(error is not None)  # a child that the unit forked: there can be only one qtui
        if attempt.kept.children:
            await self._end_children(attempt)
        context.log_writer.close()
        self._ended(attempt, Outcome(error, canceled, False, time.monotonic() - began, context.metrics), value)

    async def _end_children(self, attempt: Attempt) -> None:
        """What a unit has begun and not awaited ends with it."""
        left = {task for task in attempt.kept.children if not task.done()}
        for task in left:
            task.cancel()
        with suppress(asyncio.CancelledError):
            if left and (await asyncio.wait(left, timeout=LEFTOVER_SECONDS))[1]:
                self._host.warn(attempt.start.unit, "left tasks behind that do not end when they are cancelled")


def _make_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
    """A task as the loop would make it; if a unit makes it, it belongs to that unit."""
    task = asyncio.Task(coroutine, loop=loop, **options)
    owner = _owner.get()
    if owner is not None:
        kept: Coroutine = owner.kept
        if kept.children is None:
            kept.children = WeakSet()
        kept.children.add(task)
    return task


def _place(stack: traceback.StackSummary) -> str:
    """The innermost step in the user's own code."""
    own = [frame for frame in stack if not frame.filename.startswith(_FOREIGN)]
    return f" at {own[-1].filename}:{own[-1].lineno} in {own[-1].name}()" if own else ""
