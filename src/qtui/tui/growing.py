"""New layouts for a plan that grows, made beside the frames: ten thousand units take a tenth of a second and more."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from qtui.tui.bridge import Bridge
from qtui.tui.layout import TreeLayout

PAUSE: Final = 4
"""After a layout there is none for this many times as long as it took: a plan may grow all the time."""


class Relayout:
    """Lays out, on a thread of its own, the plan that a bridge has come to show."""

    def __init__(self, bridge: Bridge, lay_out: Callable[..., TreeLayout]) -> None:
        self._bridge = bridge
        self._lay_out = lay_out
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="qtui-layout")
        self._making: Future[TreeLayout] | None = None
        self._began = self._next = 0.0

    def take(self, *, soon: bool = False) -> TreeLayout | None:
        """A new layout, if one has been made since the last call; `soon` says that no pause is wanted.

        To be called in every frame: it is also what begins to make one. The bridge has the names already.
        """
        made = None
        if self._making is not None and self._making.done():
            made, self._making = self._making.result(), None
            now = time.monotonic()
            self._next = now + PAUSE * (now - self._began)
            if made.names is not self._bridge.layout.names:
                made = None  # of a plan that was replaced meanwhile
        plan = self._bridge.view.plan
        behind = plan is not (made or self._bridge.layout).plan
        if behind and self._making is None and (soon or time.monotonic() >= self._next):
            self._began = time.monotonic()
            self._making = self._thread.submit(self._lay_out, plan, names=self._bridge.layout.names)
        return made

    def stop(self) -> None:
        """Begin no further layout."""
        self._thread.shutdown(wait=False, cancel_futures=True)
