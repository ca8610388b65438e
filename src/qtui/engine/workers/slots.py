"""Lanes whose units run in other processes: one thread, one selector, and a keeper process for each worker slot."""

from __future__ import annotations

import os
import selectors
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtui.core.model import ExecutionMode, Outcome, UnitError
from qtui.core.stimuli import InterruptUnit, KillUnit, LaneEffect, StartUnit
from qtui.engine.failure import describe_exception
from qtui.engine.variables import RECORD
from qtui.engine.workers.base import Attempt, Host
from qtui.engine.workers.keepers import Keeper

WAKE_SECONDS = 1.0
"""How often keepers with work are woken up: one that a unit has stopped could neither tell nor carry out anything."""

CLOSE_SECONDS = 5.0
"""How long a lane that closes waits for its processes; only one in uninterruptible sleep takes that long."""


class Unstartable(Exception):
    """An attempt cannot be started, for a reason that is its end."""

    def __init__(self, unit_error: UnitError) -> None:
        super().__init__(str(unit_error))
        self.unit_error = unit_error


class SlotLane:
    """A lane that is one thread: what is posted to it, and what its processes answer, is handled there alone.

    So nothing here is locked, and a stop can never meet a unit that has just taken the place of the one it was meant
    for: starts, ends and stops are handled one after another, and each stop names its attempt.

    Without units for `idle_seconds`, if that is given, it lets its processes go.
    """

    mode: ExecutionMode

    def __init__(self, mode: ExecutionMode, idle_seconds: float | None = None) -> None:
        self.mode = mode
        self._idle_seconds = idle_seconds
        self.selector = selectors.DefaultSelector()
        self._posted: deque[LaneEffect | None] = deque()
        self._awake = False
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.attempts: dict[tuple[int, int], Attempt] = {}
        """What was started and has not been reported yet."""
        self._keepers: set[Keeper] = set()
        self._thread: threading.Thread | None = None
        self._closing: float | None = None
        self._wake_at = 0.0

    # -- to be filled in by lanes ------------------------------------------------------------------------

    def begin(self, attempt: Attempt) -> None:
        """Start the attempt; whatever is raised becomes its end."""
        raise NotImplementedError

    def interrupt(self, attempt: Attempt) -> None:
        """Ask it to stop."""
        raise NotImplementedError

    def kill(self, attempt: Attempt) -> None:
        """Stop it by force."""
        raise NotImplementedError

    def release(self) -> None:
        """Let go of every slot that is idle now; once the lane closes, also of the others when they are done."""
        raise NotImplementedError

    # -- the lane ----------------------------------------------------------------------------------------

    def open(self, host: Host) -> None:
        """Start the lane's thread; processes start when there is work."""
        self.host = host
        self.selector.register(self._wake, selectors.EVENT_READ, self._woken)
        self._thread = threading.Thread(target=self._serve, name=f"qtui-{self.mode}", daemon=True)
        self._thread.start()

    def post(self, effect: LaneEffect | None) -> None:
        """Note an effect and wake the lane."""
        self._posted.append(effect)
        if not self._awake:
            self._awake = True
            os.eventfd_write(self._wake, 1)

    def keep(self, start: StartUnit) -> None:
        """Nothing to note: only the lane's own thread is handed starts, and it begins them at once."""

    def close(self) -> None:
        """Kill what runs and wait until it is gone, for `CLOSE_SECONDS` at most."""
        thread = self._thread
        if thread is None:
            return
        if thread.is_alive():
            self.post(None)
            if thread is not threading.current_thread():
                thread.join(CLOSE_SECONDS + 1)

    def finished(self, attempt: Attempt, outcome: Outcome, value: Any = None) -> None:
        """Report the end of an attempt, and begin the one that the scheduler hands over in return."""
        while True:
            del self.attempts[attempt.start.unit, attempt.start.attempt]
            start = self.host.returned(attempt, outcome, value, None if self._closing else self)
            if start is None:
                return
            attempt = self._accept(start)
            failure = self._try_to_begin(attempt)
            if failure is None:
                return
            outcome, value = failure, None

    def begin_again(self, attempt: Attempt) -> None:
        """Begin an attempt that has not run where it was to."""
        outcome = Outcome(canceled=True) if self._closing else self._try_to_begin(attempt)
        if outcome is not None:
            self.finished(attempt, outcome)

    def watch(self, keeper: Keeper, on_report: Callable[[], None]) -> None:
        """Call `on_report` whenever the keeper has something to say."""
        self.selector.register(keeper.channel, selectors.EVENT_READ, on_report)
        self._keepers.add(keeper)

    @property
    def closing(self) -> bool:
        """True once the lane was told to close."""
        return self._closing is not None

    def let_go(self, keeper: Keeper) -> None:
        """Let a keeper kill what it has, and end; may be called again."""
        if keeper.channel.fileno() >= 0:
            self._keepers.discard(keeper)
            keeper.wake()
            self.selector.unregister(keeper.channel)
            keeper.close()

    def _accept(self, start: StartUnit) -> Attempt:
        attempt = self.attempts[start.unit, start.attempt] = self.host.attempt(start)
        return attempt

    def _try_to_begin(self, attempt: Attempt) -> Outcome | None:
        attempt.begun_at = time.monotonic()
        try:
            self.begin(attempt)
        except Unstartable as error:
            return Outcome(error.unit_error)
        except OSError as error:  # no descriptor or process left, say
            return Outcome(UnitError("OSError", f"cannot start a process: {error.strerror or error}"))
        except Exception as error:  # noqa: BLE001  - a lane that raises still makes its one report
            return Outcome(describe_exception(error))
        return None

    def _serve(self) -> None:
        while self._closing is None or (self.attempts and time.monotonic() < self._closing):
            timeout = (WAKE_SECONDS if self.attempts else self._idle_seconds) if self._closing is None else 0.1
            ready = self.selector.select(timeout)
            if not (ready or self.attempts):
                self._guarded(self.release)
            for key, _ in ready:
                self._guarded(key.data)
            if not ready or time.monotonic() > self._wake_at:
                self._wake_keepers()
            while self._posted:
                self._guarded(self._carry_out, self._posted.popleft())
        self._awake = True  # nobody is to wake it any more
        self.selector.close()
        os.close(self._wake)

    def _wake_keepers(self) -> None:
        self._wake_at = time.monotonic() + WAKE_SECONDS
        for keeper in self._keepers:
            keeper.wake()

    def _guarded(self, function: Callable[..., None], *arguments: Any) -> None:
        """A bug met with one unit must not end the thread that all others need."""
        try:
            function(*arguments)
        except Exception:  # noqa: BLE001
            story = traceback.format_exc().rstrip()
            self.host.warn(-1, f"internal error in the {self.mode} lane, please report it: {story}")

    def _woken(self) -> None:
        os.eventfd_read(self._wake)
        # behind the read, which would swallow the wake-up of a post in between; and before the queue is looked at
        self._awake = False

    def _carry_out(self, effect: LaneEffect | None) -> None:
        if effect is None:
            self._close_slots()
        elif isinstance(effect, StartUnit):
            attempt = self._accept(effect)
            outcome = Outcome(canceled=True) if self._closing else self._try_to_begin(attempt)
            if outcome is not None:
                self.finished(attempt, outcome)
        else:
            attempt_or_none = self.attempts.get((effect.unit, effect.attempt))
            if attempt_or_none is not None:
                self._stop(effect, attempt_or_none)

    def _stop(self, effect: LaneEffect, attempt: Attempt) -> None:
        attempt.interrupted = True
        if isinstance(effect, InterruptUnit):
            self.interrupt(attempt)
        elif isinstance(effect, KillUnit):
            self.kill(attempt)

    def _close_slots(self) -> None:
        if self._closing is not None:
            return
        self._closing = time.monotonic() + CLOSE_SECONDS
        for attempt in list(self.attempts.values()):
            attempt.interrupted = True
            self.kill(attempt)
        self.release()


def describe_exit(code: int, *, by_shell: bool = False) -> str:
    """``exit 3``, or the signal's name for a negative code as subprocess gives it.

    A shell reports what a signal killed as 128 + its number; with `by_shell` that is told, too.
    """
    if code >= 0:
        inside = f" ({_signal_text(code - 128)} inside)" if by_shell and _is_signal(code - 128) else ""
        return f"exit {code}{inside}"
    return f"killed by {_signal_text(-code)}"


def _is_signal(number: int) -> bool:
    return number in signal.valid_signals()


def _signal_text(number: int) -> str:
    name = signal.Signals(number).name if _is_signal(number) and number < signal.SIGRTMIN else "unknown"
    hint = ", probably out of memory" if number == signal.SIGKILL else ""
    return f"signal {number} ({name}{hint})"


def keeper_lost(unit: str, run: str, record: str) -> UnitError:
    """A keeper was killed from outside: end what it can no longer end, found by its environment."""
    ended = end_by_environment(run, unit, record)
    rest = f"; {ended} of its processes were ended" if ended else ""
    return UnitError("lost", f"the process that watches over it was killed{rest}")


def end_by_environment(run: str, unit: str, record: str) -> int:
    """Kill every process of ours that carries the unit's variables; returns how many there were."""
    wanted = {f"QTUI_RUN={run}".encode(), f"QTUI_UNIT={unit}".encode()}
    if record:  # or those of a copy of the run's directory would be meant, too
        wanted.add(f"{RECORD}={record}".encode())
    count = 0
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if wanted <= set(path.read_bytes().split(b"\0")):
                os.kill(int(path.parent.name), signal.SIGKILL)
                count += 1
        except (OSError, ValueError):
            continue  # ended, or somebody else's
    return count
