"""Samples the machine once a second on a thread of its own, so that a slow sample never costs a frame."""

from __future__ import annotations

import threading
import time
from typing import Final, NamedTuple

from qtui.core.samples import LoadSample
from qtui.core.session import RunSession

SECONDS: Final = 1.0
MOST_SHARE: Final = 0.005
"""Sampling takes no more than this share of a core: where a sample is dear, there are fewer."""

IDLE: Final = 3
"""While no worker has a unit, only every so many seconds: of a machine that only others use, that is often enough."""

KEPT: Final = 120
"""How many moments the history has."""


class Moment(NamedTuple):
    """A point of the history: percent of CPU and of memory, workers at work, and the bytes a second to and from all
    disks, 0 where the system does not tell."""

    cpu: float
    memory: float
    busy: int
    disk: float = 0.0


class Sampler:
    """Holds the latest sample and the history of the last `KEPT`, oldest first; `error` says why there will be no more.

    It samples from the start, whether anybody looks or not, so that there is a history when somebody does.
    """

    def __init__(self, session: RunSession) -> None:
        self._session = session
        self._stopped = threading.Event()
        self.busy = 0
        """How many workers have units: for the history, and set by who counts them."""
        self.latest: LoadSample | None = None
        self.history: tuple[Moment, ...] = ()
        self.error = ""
        # a daemon: a sample that hangs must not keep the program from ending
        self._thread = threading.Thread(target=self._run, name="qtui-sampler", daemon=True)

    @property
    def begun(self) -> bool:
        """True once it was started: there is or will be a sample, or an error."""
        return self._thread.ident is not None

    def start(self) -> None:
        """Begin to sample."""
        self._thread.start()

    def stop(self) -> None:
        """Take no more samples; does not wait for one under way."""
        self._stopped.set()

    def take(self) -> None:
        """Take a sample now. Raises what the session raises."""
        sample = self._session.sample()
        memory = 100 * sample.memory_used / max(1, sample.memory_total)
        disk = (sample.read or 0.0) + (sample.written or 0.0)
        # a new tuple each time, as the screen reads it from its own thread
        self.history = (*self.history, Moment(sample.cpu, memory, self.busy, disk))[-KEPT:]
        self.latest = sample

    def _run(self) -> None:
        while not self._stopped.is_set():
            began = time.thread_time()
            try:
                self.take()
            except Exception as error:  # noqa: BLE001  - shown in the workers pane; the run does not depend on it
                self.latest, self.error = None, f"{type(error).__name__}: {error}"
                return
            self._pause(pause_after(time.thread_time() - began))

    def _pause(self, seconds: float) -> None:
        for _ in range(IDLE):
            if self._stopped.wait(seconds) or self.busy:
                return


def pause_after(cost: float) -> float:
    """How long to wait after a sample that took `cost` seconds of CPU."""
    return max(SECONDS, cost / MOST_SHARE)
