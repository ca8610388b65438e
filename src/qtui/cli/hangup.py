"""Signals, and terminals that vanish: what comes from outside while a run goes on."""

from __future__ import annotations

import os
import queue
import signal
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_INTERRUPTS: Final = (signal.SIGINT, signal.SIGTERM)


class Outside:
    """Takes INT, TERM, HUP and the word that the terminal has gone, and tells of them once there is a run to tell.

    All calls are made on a thread of its own: handlers of signals interrupt whatever the main thread is doing.
    """

    def __init__(self) -> None:
        # its put may be called by a handler that has interrupted another put
        self._come: queue.SimpleQueue[tuple[str, int]] = queue.SimpleQueue()
        self._counts = {"got": Counter[int](), "passed": Counter[int]()}

    def tell(self, interrupt: Callable[[int], None], hang_up: Callable[[], None]) -> None:
        """From now on, and for what has come already, call `interrupt` with the number for each INT and TERM, and
        `hang_up` once, when the terminal has gone."""
        thread = threading.Thread(target=self._work, args=(interrupt, hang_up), name="qtui-signals", daemon=True)
        thread.start()

    def passed_on(self, number: int) -> None:
        """The process in front of this one got a signal. What both got counts once: it was sent to the group."""
        self._come.put(("passed", number))

    def gone(self) -> None:
        """The terminal has vanished."""
        self._come.put(("gone", 0))

    @contextmanager
    def heard(self) -> Iterator[None]:
        """While this holds, INT, TERM and HUP do not end the process. Enter it on the main thread, and before the run
        begins: one that came in between would kill what has just been started."""
        for number in (*_INTERRUPTS, signal.SIGHUP):
            signal.signal(number, self._got)
        try:
            yield
        finally:
            # the run has its exit code by now: a signal that comes late must not replace it
            for number in (*_INTERRUPTS, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            self._come.put(("over", 0))

    def _got(self, number: int, _frame: FrameType | None) -> None:
        self._come.put(("got", number))

    def _work(self, interrupt: Callable[[int], None], hang_up: Callable[[], None]) -> None:
        hung_up = False
        while True:
            what, number = self._come.get()
            if what == "over":
                return
            try:
                if what == "gone" or number == signal.SIGHUP:
                    if not hung_up:  # shell and kernel each send one, some twice
                        hung_up = True
                        hang_up()
                elif self._is_new(what, number):
                    interrupt(number)
            except Exception:  # noqa: BLE001  - whatever it is, the next signal must still stop the run
                traceback.print_exc()

    def _is_new(self, how: str, number: int) -> bool:
        before = max(counts[number] for counts in self._counts.values())
        self._counts[how][number] += 1
        return self._counts[how][number] > before


def dropping(*descriptors: int) -> Callable[[], None]:
    """What points those of `descriptors` at nothing that are terminals now; files and pipes stay.

    To be made beforehand: a terminal that has vanished cannot be told from a file any more.
    """
    terminals = [descriptor for descriptor in descriptors if os.isatty(descriptor)]

    def drop() -> None:
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in terminals:
            os.dup2(null, descriptor, inheritable=os.get_inheritable(descriptor))
        os.close(null)

    return drop
