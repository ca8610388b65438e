"""Removes old runs when one has ended, beside the work and never for long."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import Final

from qtui.core.errors import QtuiError
from qtui.store.prune import prune

EVERY_SECONDS: Final = 60.0
"""A program that ends many runs looks for old ones no more often than that."""

EXIT_SECONDS: Final = 1.0
"""How long the end of a program waits for it. What was cut short is done after the next run."""


class Tidying:
    """Prunes the runs in a state directory to the default limits, on a thread of its own."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._thread: threading.Thread | None = None
        self._begun = float("-inf")
        self._lock = threading.Lock()

    def begin(self, spare: str) -> None:
        """Remove what is too old or too much, but for the run `spare`. Returns at once."""
        with self._lock:
            if time.monotonic() - self._begun < EVERY_SECONDS:
                return
            self._begun = time.monotonic()
            self._thread = threading.Thread(target=self._work, args=(spare,), name="qtui-tidying", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Wait for it, but not long."""
        if self._thread is not None:
            self._thread.join(EXIT_SECONDS)

    def _work(self, spare: str) -> None:
        try:
            for run in prune(self._state_dir, spare={spare}):
                if run.error:
                    logging.getLogger("qtui").warning("run %s is old and cannot be removed: %s", run.run, run.error)
        except (QtuiError, OSError) as error:
            logging.getLogger("qtui").warning("old runs cannot be removed: %s", error)
