"""The workers pane: one row per worker slot in use, and what machine and qtui use."""

from __future__ import annotations

import time
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical

from qtui.core.samples import LoadSample
from qtui.core.state import RunView, UnitView, stalled_by
from qtui.tui.bridge import Bridge
from qtui.tui.format import SIGNS, Glyphs, Role, look_of, short_clock, size_of
from qtui.tui.text import PLAIN, Span, clean, cut_middle, pad
from qtui.tui.theme import DARK, QUIET
from qtui.tui.widgets.lines import Line, Lines, set_title

PAINT_SECONDS: Final = 0.5
"""The least time between two paintings: rows that change faster cannot be read."""
_BAR: Final = 8


class WorkerLines(Lines, can_focus=True):
    """The rows of the workers."""

    BINDINGS: ClassVar[list[BindingType]] = Lines.SCROLL_KEYS


class WorkersPane(Vertical):
    """Workers above, machine below."""

    def __init__(self, bridge: Bridge, glyphs: Glyphs, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._bridge = bridge
        self._glyphs = glyphs
        self._paint_after = 0.0
        self._stale = True

    def compose(self) -> ComposeResult:
        """Textual's hook: the parts of the pane."""
        yield WorkerLines(id="worker-lines")
        yield Lines(id="machine")

    def update_workers(self, now: float, sample: LoadSample | None, error: str, *, changed: bool) -> None:
        """Show who works on what at `now`, and the latest sample, or what kept it from being taken.

        Call it in every frame: many changes are painted at once, a moment later.
        """
        self._stale |= changed
        if not self._stale or not self.display or time.monotonic() < self._paint_after:
            return
        self._stale, self._paint_after = False, time.monotonic() + PAINT_SECONDS
        view = self._bridge.view
        lines = self.query_one("#worker-lines", Lines)
        width = lines.size.width
        held = sorted((view.unit(number) for number in self._bridge.holding), key=lambda unit: unit.worker or 0)
        rows = [worker_line(unit, now, sample, width, self._glyphs) for unit in held]
        if not rows:
            idle = " no unit runs" if view.state.ended else " no worker is busy"
            rows = [(Span(f" {stalled_by(view.stuck)}" if view.stalled else idle, DARK[Role.MUTED]),)]
        lines.show(rows)
        machine = self.query_one("#machine", Lines)
        broken: Line = (Span(f" cannot measure the machine: {clean(error)}", QUIET[Role.WARNING]),)
        machine.show([broken if error else machine_line(sample, machine.size.width, self._glyphs)])
        set_title(self, f"Workers {view.active}/{view.workers}")


def worker_line(unit: UnitView, now: float, sample: LoadSample | None, width: int, glyphs: Glyphs) -> Line:
    """``w3   1:58 command  97% 1.2G  embed[shard=3]``; what changes stands on the left."""
    look = look_of(unit)
    elapsed = unit.elapsed(now)
    process = sample.processes.get(unit.pid) if sample is not None and unit.pid else None
    usage = f"{process.cpu:4.0f}% {size_of(process.memory):>5}" if process is not None else ""
    start = f" w{unit.worker or 0:<3}"
    clock = short_clock(elapsed) if elapsed is not None else ""
    middle = f" {clock:>5} {usage:>11} {unit.lane.value:<10} "
    name = cut_middle(clean(unit.id), max(0, width - len(start) - len(middle) - 1), glyphs.ellipsis)
    return (
        Span(start, DARK[Role.MUTED]),
        Span(glyphs.sign(look), QUIET[SIGNS[look].role]),
        Span(middle, DARK[Role.MUTED]),
        Span(name, DARK[Role.TEXT]),
    )


def machine_line(sample: LoadSample | None, width: int, glyphs: Glyphs) -> Line:
    """``cpu ████░░░░ 88%  mem ██████░░ 71% 11.3G/16G  qtui 3% 45M``, without what there is no room for."""
    if sample is None:
        return (Span(" measuring the machine", DARK[Role.MUTED]),)
    used = 100 * sample.memory_used / max(1, sample.memory_total)
    parts: list[list[Span]] = [
        _gauge("cpu", sample.cpu, glyphs),
        _gauge("mem", used, glyphs),
        [Span(f"{size_of(sample.memory_used)}/{size_of(sample.memory_total)}", DARK[Role.MUTED])],
        [Span(f"qtui {sample.own.cpu:3.0f}% {size_of(sample.own.memory):>5}", DARK[Role.MUTED])],
        [Span(f"{sample.cores} cores", DARK[Role.MUTED])],
    ]
    spans, left = [Span(" ", PLAIN)], width - 1
    for part in parts:
        cells = sum(len(span.text) for span in part) + 2
        if cells > left + 2:
            continue
        spans += [*part, Span("  ", PLAIN)]
        left -= cells
    return tuple(spans)


def _gauge(name: str, percent: float, glyphs: Glyphs) -> list[Span]:
    full = min(_BAR, max(0, round(percent * _BAR / 100)))
    role = Role.ERROR if percent >= 90 else Role.WARNING if percent >= 75 else Role.SUCCESS
    return [
        Span(f"{name} ", DARK[Role.MUTED]),
        Span(glyphs.full * full, QUIET[role]),
        Span(glyphs.empty * (_BAR - full), DARK[Role.MUTED]),
        Span(pad(f" {min(percent, 999):3.0f}%", 5), DARK[Role.TEXT]),
    ]


def short_machine(view: RunView, sample: LoadSample | None) -> str:
    """The machine in a few words, for the status line: ``cpu 88%  mem 71%  workers 6/8``."""
    workers = f"workers {view.active}/{view.workers}"
    if sample is None:
        return workers
    return f"cpu {sample.cpu:.0f}%  mem {100 * sample.memory_used / max(1, sample.memory_total):.0f}%  {workers}"
