"""The workers pane: one row per worker slot in use, the workers of a cluster, who holds pools and budgets, and what
machine and qtui use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar, Final

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.geometry import Region
from textual.strip import Strip

from qtui.core.events import Event, GovernorChanged, WorkersChanged
from qtui.core.holding import Share
from qtui.core.limits import MILLI
from qtui.core.model import ExecutionMode
from qtui.core.samples import LoadSample, UnitSample
from qtui.core.state import RunView, UnitView, stalled_by
from qtui.tui.beat import Beat
from qtui.tui.bridge import Bridge
from qtui.tui.format import SIGNS, Glyphs, look_of, most_active, short_clock, size_of
from qtui.tui.roles import Role
from qtui.tui.sampler import Sampler
from qtui.tui.shortnames import ShortNames
from qtui.tui.text import Span, clean, cut_end
from qtui.tui.widgets.cluster import Cluster, Columns, cluster_line, summary_line
from qtui.tui.widgets.lines import Line, Lines, set_row_count, set_title, strip_of, theme_of
from qtui.tui.widgets.machine import Decision, lines_for, machine_lines

MOST_HOLDERS: Final = 8
"""Holders of a pool that are named."""

LANE_FROM: Final = 56
"""Cells of a row from which it names the lane of its unit."""

DECISIONS: Final = frozenset({WorkersChanged, GovernorChanged})
"""The events that say how many workers there are to be."""


class WorkerLines(Lines, can_focus=True):
    """The rows of the workers, of which only those on the screen are made: there may be a thousand.

    The last one that is seen tells how many there are below, and stands for one of them.
    """

    BINDINGS: ClassVar[list[BindingType]] = Lines.SCROLL_KEYS

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002  - Textual's name
        super().__init__(id=id)
        self._makers: Sequence[Callable[[], Line]] = ()
        self._made: dict[int, Line] = {}

    def show_made(self, makers: Sequence[Callable[[], Line]]) -> None:
        """Show the lines that these make instead of the former."""
        before, count, self._makers, self._made = self._made, len(self._makers), makers, {}
        if count != len(makers):
            set_row_count(self, len(makers))
            return
        top, height = self.scroll_offset.y, self.size.height
        for at in range(top, min(top + height, count)):
            if before.get(at) != self.line(at):
                self.refresh(Region(0, at - top, self.size.width, 1))

    def line(self, at: int) -> Line:
        """The line at this place; empty beyond the end."""
        if at not in self._made:
            self._made[at] = self._makers[at]() if at < len(self._makers) else ()
        return self._made[at]

    def render_line(self, y: int) -> Strip:
        """Textual's hook: row `y` of the widget."""
        width, height = self.size
        hidden = len(self._makers) - self.scroll_offset.y - y
        if 0 < y == height - 1 and hidden > 1:
            return strip_of((Span(f" +{hidden} more", Role.MUTED),), width, theme=theme_of(self))
        return super().render_line(y)


class WorkersPane(Vertical):
    """Workers above, machine below."""

    def __init__(self, bridge: Bridge, sampler: Sampler, glyphs: Glyphs, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._bridge = bridge
        self._sampler = sampler
        self._glyphs = glyphs
        self._shown: LoadSample | None = None
        self._decision: Decision = None
        self._cluster = Cluster()
        self._beat = Beat()

    def compose(self) -> ComposeResult:
        """Textual's hook: the parts of the pane."""
        yield WorkerLines(id="worker-lines")
        yield Lines(id="machine")

    def on_resize(self) -> None:
        """Paint for the new width in the next frame."""
        self._beat.hurry()

    def update_workers(self, now: float, decisions: Sequence[Event], *, changed: bool) -> None:
        """Show who works on what at `now`, what the machine does, and who decided on the number of workers.

        Call it in every frame, with its new `DECISIONS`: many changes are painted at once, a moment later.
        """
        for event in decisions:
            self._decision = later_decision(self._decision, event)
        if not self.display:
            self._beat.hurry()
            if self._sampler.latest is not self._shown:  # so that it is known later who was lost meanwhile
                self._look(now)
            return
        if not self._beat.due(changed=changed or self._sampler.latest is not self._shown):
            return
        view, held = self._bridge.view, self._look(now)
        self._show_workers(view, held, now)
        self._show_machine(view)
        far = self._bridge.holders.cluster or bool(self._cluster.rows)
        begun = [unit for unit in held if not (unit.submitted and unit.lane is ExecutionMode.CUSTOM)] if far else held
        lanes = busy_lanes(begun, self._bridge.busy)
        threads = self._shown.threads if self._shown is not None else 0
        set_title(self, pane_title(view, lanes, self.size.width, cluster=far, threads=threads))

    def _look(self, now: float) -> Sequence[UnitView]:
        """Take the latest sample; the units that hold a worker, by its number."""
        self._shown, view = self._sampler.latest, self._bridge.view
        held = sorted((view.unit(number) for number in self._bridge.holding), key=lambda unit: unit.worker or 0)
        self._cluster.update(self._shown.cluster if self._shown is not None else (), view, held, now)
        return held

    def _show_workers(self, view: RunView, held: Sequence[UnitView], now: float) -> None:
        lines = self.query_one(WorkerLines)
        width, glyphs, short = lines.size.width, self._glyphs, self._bridge.short
        cluster = self._cluster
        far = cluster.rows or self._bridge.holders.cluster
        here = [unit for unit in held if unit.lane is not ExecutionMode.CUSTOM] if far else held
        painted = partial(worker_line, now=now, sample=self._shown, width=width, glyphs=glyphs, short=short)
        rows: list[Callable[[], Line]] = [partial(painted, unit) for unit in here]
        if cluster.rows or (far and cluster.waiting):
            columns = Columns.of(cluster.rows, width)
            rows.append(partial(summary_line, cluster, width, glyphs))
            rows += [partial(cluster_line, row, columns, now, width, glyphs) for row in cluster.rows]
        if not rows:
            idle = " no unit runs" if view.state.ended else " no worker is busy"
            text = f" {stalled_by(view.stuck)}" if view.stalled else idle
            rows = [lambda: (Span(text, Role.MUTED),)]
        shares = self._bridge.holders.shares
        if shares:
            rows += [tuple, *(partial(share_line, share, width, glyphs) for share in shares)]
        lines.show_made(rows)

    def _show_machine(self, view: RunView) -> None:
        machine, sampler = self.query_one("#machine", Lines), self._sampler
        count = lines_for(self.size.height, view, self._decision)
        if sampler.error:
            shown: list[Line] = [(Span(f" cannot measure the machine: {clean(sampler.error)}", Role.WARNING),)]
        elif not sampler.begun:
            shown = [(Span(" what the machine did is not on record", Role.MUTED),)]
        else:
            width = machine.size.width
            busy, history = self._bridge.busy, sampler.history
            far = self._bridge.clustered
            shown = machine_lines(view, self._shown, history, self._decision, busy, width, count, self._glyphs, far)
        if machine.styles.height is None or machine.styles.height.value != len(shown):
            machine.styles.height = len(shown)
        machine.show(shown)


def later_decision(before: Decision, event: Event) -> Decision:
    """The latest word on the number of workers, after `event`."""
    match event:
        case WorkersChanged():
            # what lanes begin with when the governor is let is part of that
            begins = event.lane and isinstance(before, GovernorChanged) and before.at == event.at
            return before if begins else event
        case GovernorChanged():
            return event
        case _:
            return before


def busy_lanes(held: Sequence[UnitView], busy: int) -> Counter[ExecutionMode]:
    """How many workers have units in each lane, `busy` in all: only in the lane of processes do units share one."""
    lanes = Counter(unit.lane for unit in held)
    if ExecutionMode.PROCESS in lanes:
        lanes[ExecutionMode.PROCESS] -= len(held) - busy
    return lanes


def pane_title(
    view: RunView, lanes: Counter[ExecutionMode], width: int, *, cluster: bool = False, threads: int = 0
) -> str:
    """``Workers 6/8``; while lanes have targets of their own, ``Workers 6 auto  command 2/4  thread 4/8``, with the
    limit of all of them where it is below their sum. With a `cluster`, that is what the custom lane is called, and it
    has so many `threads`, 0 if nobody knows: ``cluster 4/16 threads``."""
    busy = lanes.total()
    there = f"  cluster {lanes[ExecutionMode.CUSTOM]}{f'/{threads} threads' if threads else ''}"
    if not view.governed:
        return f"Workers {busy}/{view.workers}{there if cluster else ''}"
    if not cluster and len(view.lane_workers) == 1 and lanes.keys() <= set(map(ExecutionMode, view.lane_workers)):
        return f"Workers {busy}/{most_active(view)} auto"
    limit = f"/{view.workers}" if view.workers < sum(view.lane_workers.values()) else ""
    title = f"Workers {busy}{limit} auto"
    limits = sorted(view.lane_workers.items())
    governed = {lane: f"  {lane} {lanes[ExecutionMode(lane)]}/{most}" for lane, most in limits}
    if cluster:
        governed[ExecutionMode.CUSTOM] = there
    others = [f"  {lane} {count}" for lane, count in sorted(lanes.items()) if lane not in governed]
    at_work = [part for lane, part in governed.items() if lanes[ExecutionMode(lane)]]
    every = list(governed.values())
    for parts in (every + others, at_work + others, every):
        if len(title) + sum(map(len, parts)) + 4 <= width:
            return title + "".join(parts)
    return title


def worker_line(
    unit: UnitView, now: float, sample: LoadSample | None, width: int, glyphs: Glyphs, short: ShortNames
) -> Line:
    """``w3   1:58  97%   1.2G command    embed[shard=3]``; what changes stands on the left. Where there is little room
    the lane is left out: it stands in the tab that tells what the unit is."""
    look = look_of(unit)
    elapsed = unit.elapsed(now)
    usage = usage_words(sample.units.get(unit.number)) if sample is not None else ""
    start = f" w{unit.worker or 0:<3}"
    clock = short_clock(elapsed) if elapsed is not None else ""
    lane = f"{unit.lane.value:<10} " if width >= LANE_FROM else ""
    middle = f" {clock:>5} {usage:>12} {lane}"
    room = max(0, width - len(start) - len(middle) - 1)
    name = short.within(unit.number, room, glyphs.ellipsis)
    return (
        Span(start, Role.MUTED),
        Span(glyphs.sign(look), SIGNS[look].role),
        Span(middle, Role.MUTED),
        Span(name, Role.TEXT),
    )


def share_line(share: Share, width: int, glyphs: Glyphs) -> Line:
    """`` 2/2         pool gpu  embed[shard=3], embed[shard=4]``: how much of it is in use, and by whom."""
    match share.limit:
        case "memory":
            use = f"{size_of(share.used)}/{size_of(share.capacity)}"
        case "cpus":
            use = f"{share.used / MILLI:g}/{share.capacity / MILLI:g}"
        case _:
            use = f"{share.used:,}/{share.capacity:,}"
    names = ", ".join(map(clean, share.holders[:MOST_HOLDERS]))
    if len(share.holders) > MOST_HOLDERS:
        names += f" and {len(share.holders) - MOST_HOLDERS:,} more"
    start = f" {use:<11} "
    name = cut_end(clean(share.limit), max(0, width - len(start)), glyphs.ellipsis)
    room = width - len(start) - cell_len(name) - 2
    full = Role.ACCENT if share.used >= share.capacity else Role.TEXT
    return (
        Span(start, full),
        Span(name, Role.TEXT),
        Span(f"  {cut_end(names, room, glyphs.ellipsis)}" if names and room > 4 else "", Role.MUTED),
    )


def usage_words(used: UnitSample | None) -> str:
    """CPU and memory in columns: ``187%   1.2G``. A thread has no memory of its own, and the thread of coroutines not
    even CPU of one of them: ``12% shared``."""
    if used is None:
        return ""
    memory = "shared" if used.shared else "-" if used.memory is None else size_of(used.memory)
    return f"{min(used.cpu, 9999):4.0f}% {memory:>6}"
