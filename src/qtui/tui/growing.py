"""New layouts for a plan that grows, made beside the frames: ten thousand units take a tenth of a second and more."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

from qtui.core.plan import ExecutionPlan
from qtui.tui.bridge import Bridge, LayOut
from qtui.tui.layout import TreeLayout

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

PAUSE: Final = 4
"""After a layout there is none for this many times as long as it took: a plan may grow all the time."""


class Layouts(NamedTuple):
    """What was laid out of one plan; by level only if that was looked at."""

    tree: TreeLayout
    levels: TreeLayout | None


class Relayout:
    """Lays out, on a thread of its own, the plan that a bridge has come to show."""

    def __init__(self, bridge: Bridge, lay_out: LayOut) -> None:
        self._bridge = bridge
        self._lay_out = lay_out
        self._thread: ThreadPoolExecutor | None = None
        self._making: Future[Layouts] | None = None
        self._began = self._next = 0.0

    def take(self, *, soon: bool = False) -> Layouts | None:
        """New layouts, if any have been made since the last call; `soon` says that no pause is wanted.

        To be called in every frame: it is also what begins to make one. The bridge has the names already.
        """
        made = None
        if self._making is not None and self._making.done():
            made, self._making = self._making.result(), None
            now = time.monotonic()
            self._next = now + PAUSE * (now - self._began)
            replaced = made.tree.names is not self._bridge.layout.names
            if replaced or (made.levels is None and self._bridge.levels is not None):
                made = None  # another plan, or levels, are wanted by now
        plan = self._bridge.view.plan
        behind = plan is not (made.tree if made is not None else self._bridge.layout).plan
        if behind and self._making is None and (soon or time.monotonic() >= self._next):
            self._began = time.monotonic()
            levels = self._bridge.levels is not None
            if self._thread is None:
                from concurrent.futures import ThreadPoolExecutor

                self._thread = ThreadPoolExecutor(1, thread_name_prefix="qtui-layout")
            self._making = self._thread.submit(self._make, plan, self._bridge.layout.names, levels)
        return made

    def _make(self, plan: ExecutionPlan, names: list[str], levels: bool) -> Layouts:
        tree = self._lay_out(plan, names=names)
        return Layouts(tree, self._lay_out(plan, names=names, levels=True) if levels else None)

    def stop(self) -> None:
        """Begin no further layout."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)
