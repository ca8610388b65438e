"""The async lane: coroutine functions as tasks of one event loop on a thread of its own."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from contextlib import suppress
from typing import Any

from qtui.core.errors import Canceled
from qtui.core.model import ExecutionMode, Outcome
from qtui.core.stimuli import InterruptUnit, KillUnit, LaneEffect, StartUnit
from qtui.engine.context import current_context
from qtui.engine.failure import describe_exception
from qtui.engine.workers.base import Attempt, Host
from qtui.engine.workers.thread import call


class CoroutineLane:
    """One task per unit. A unit is cancelled as any task is; one that will not end is abandoned after the grace.

    Abandoning works even while a unit blocks the loop: `_running` is the arbiter, as in the pooled lanes, and the
    report about an abandoned unit does not need the loop.
    """

    mode = ExecutionMode.ASYNC

    def __init__(self) -> None:
        self._running: dict[tuple[int, int], Attempt] = {}
        self._effects: deque[LaneEffect] = deque()
        self._scheduled = False
        self._closed = False

    def open(self, host: Host) -> None:
        """Nothing yet: the loop starts with the first unit."""
        self._host = host
        self._loop: asyncio.AbstractEventLoop | None = None

    def post(self, effect: LaneEffect) -> None:
        """Note the effect and wake the loop, once for as many effects as come meanwhile."""
        if isinstance(effect, KillUnit):
            self._abandon(effect)
            return
        if isinstance(effect, StartUnit):
            self._accept(effect)
        self._effects.append(effect)
        if not self._scheduled:
            self._scheduled = True
            self._running_loop().call_soon_threadsafe(self._carry_out)

    def keep(self, start: StartUnit) -> None:
        """A kept start becomes a task of the loop at once."""
        self._accept(start)

    def close(self) -> None:
        """Cancel every task and stop the loop."""
        if self._closed or self._loop is None:
            return
        self._closed = True
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop)

    def _accept(self, start: StartUnit) -> None:
        self._running[start.unit, start.attempt] = self._host.attempt(start)

    def _abandon(self, effect: KillUnit) -> None:
        attempt = self._running.pop((effect.unit, effect.attempt), None)
        if attempt is not None:
            self._host.returned(attempt, Outcome(canceled=True, abandoned=True), None, None)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(target=self._run_loop, args=(self._loop,), name="qtui-async", daemon=True).start()
        return self._loop

    def _run_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            while not self._closed:
                # a unit may stop the loop, and SystemExit of a task that a unit made comes out here: the loop goes on
                with suppress(BaseException):
                    loop.run_forever()
        finally:
            loop.close()

    async def _stop(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=1.0)
        asyncio.get_running_loop().stop()

    def _carry_out(self) -> None:
        """On the loop: start and interrupt what was posted, in order."""
        self._scheduled = False
        while self._effects:
            effect = self._effects.popleft()
            attempt = self._running.get((effect.unit, effect.attempt))
            if attempt is None:
                continue
            if isinstance(effect, InterruptUnit):
                attempt.interrupted = True
                if attempt.context is not None:
                    attempt.context.cancel_event().set()
                attempt.kept.cancel()
            else:
                self._begin(attempt)

    def _begin(self, attempt: Attempt) -> None:
        loop = asyncio.get_running_loop()
        attempt.kept = loop.create_task(self._perform(attempt), name=attempt.unit.id)

    async def _perform(self, attempt: Attempt) -> None:
        began = time.monotonic()
        context = self._host.open_context(attempt)
        current_context.set(context)  # a task has its own copy of the context variables, so no reset is needed
        value: Any = None
        error, canceled = None, False
        try:
            value = await call(attempt, context)
        except (Canceled, asyncio.CancelledError):
            canceled = True
        except BaseException as raised:  # noqa: BLE001  - SystemExit must not end the loop
            error = describe_exception(raised)
        context.log_writer.close()
        if self._running.pop((attempt.start.unit, attempt.start.attempt), None) is None:
            return  # abandoned meanwhile
        outcome = Outcome(error, canceled, False, time.monotonic() - began, context.metrics)
        start = self._host.returned(attempt, outcome, value, self)
        if start is not None:
            self._begin(self._running[start.unit, start.attempt])
