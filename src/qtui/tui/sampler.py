"""Samples the machine once a second on a thread of its own, so that a slow sample never costs a frame."""

from __future__ import annotations

import threading
from typing import Final

from qtui.core.samples import LoadSample
from qtui.core.session import RunSession

SECONDS: Final = 1.0


class Sampler:
    """Holds the latest sample; `error` says why there will be no more."""

    def __init__(self, session: RunSession) -> None:
        self._session = session
        self._stopped = threading.Event()
        self.latest: LoadSample | None = None
        self.error = ""
        # a daemon: a sample that hangs must not keep the program from ending
        self._thread = threading.Thread(target=self._run, name="qtui-sampler", daemon=True)

    def start(self) -> None:
        """Begin to sample."""
        self._thread.start()

    def stop(self) -> None:
        """Take no more samples; does not wait for one under way."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self.latest = self._session.sample()
            except Exception as error:  # noqa: BLE001  - shown in the workers pane; the run does not depend on it
                self.latest, self.error = None, f"{type(error).__name__}: {error}"
                return
            self._stopped.wait(SECONDS)
