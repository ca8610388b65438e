"""The workers of a cluster as lines of the workers pane: which there are, in which order, and what each tells; pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Final, NamedTuple

from rich.cells import cell_len

from qtui.core.model import LOST_WORKER, ExecutionMode, UnitState
from qtui.core.samples import ClusterWorker, silence
from qtui.core.state import RunView, UnitView
from qtui.tui.format import SIGNS, Glyphs, Look, counted, short_clock, size_of
from qtui.tui.roles import Role
from qtui.tui.text import Span, clean, cut_end, cut_middle, pad
from qtui.tui.widgets.lines import Line
from qtui.tui.widgets.machine import pressure

CALM_SECONDS: Final = 5.0
"""A worker that has or lacks units changes its place after so long: between two units it stands where it was."""

GONE_SECONDS: Final = 60.0
"""For so long a worker that is not there any more has a row."""

_ROOMY: Final = 64
"""The cells from which on there is room for the memory that a worker may use."""

_LEAST_NAME: Final = 8


class Rank(IntEnum):
    """Where a worker stands; one that went with units is the first to be seen, one that went without the last."""

    LOST = 0
    BUSY = 1
    IDLE = 2
    GONE = 3


class ClusterRow(NamedTuple):
    """A worker and the units that run there, or that it had when it was there last. `since` is when it was missed
    first, None while it is there. Of one without an address nothing is known but its units: the record has those."""

    worker: ClusterWorker
    units: tuple[UnitView, ...]
    rank: Rank
    since: float | None = None


class _Place:
    """Where a worker stands in the list."""

    def __init__(self, worker: ClusterWorker) -> None:
        self.key = _natural(short_name(worker))
        self._worker = worker
        self._units: tuple[UnitView, ...] = ()
        self._missed: float | None = None
        self._rank: Rank | None = None
        self._otherwise: float | None = None

    def follow(self, listed: ClusterWorker | None, units: tuple[UnitView, ...], view: RunView, now: float) -> None:
        """Learn how it is listed, if it is, and which units run there."""
        self._worker = listed or self._worker
        if listed is not None or not self._worker.address:
            self._units, self._missed = units, None
        elif self._missed is None:
            # its attempts may have been given up before it is missed
            had = (view.unit(number) for number in self._worker.units if number < len(view.plan))
            self._units = units or tuple(unit for unit in had if not unit.state.ended or _was_lost(unit))
            self._missed = now

    def is_told(self, now: float, *, over: bool) -> bool:
        """Whether it has a row; what only the record knows of, as long as it has units."""
        if not self._worker.address:
            return bool(self._units)
        return self._missed is None or (not over and now - self._missed < GONE_SECONDS)

    def stand(self, now: float) -> Rank:
        """Where it stands."""
        if self._missed is not None:
            self._rank = Rank.LOST if self._units else Rank.GONE
            return self._rank
        wanted = Rank.BUSY if self._units else Rank.IDLE
        if self._rank not in (Rank.BUSY, Rank.IDLE):
            self._rank = wanted
        if self._rank is wanted:
            self._otherwise = None
        elif self._otherwise is None:
            self._otherwise = now
        elif now - self._otherwise >= CALM_SECONDS:
            self._rank, self._otherwise = wanted, None
        return self._rank

    def row(self, rank: Rank) -> ClusterRow:
        """What is told of it."""
        return ClusterRow(self._worker, self._units, rank, self._missed)


def _was_lost(unit: UnitView) -> bool:
    return unit.error is not None and unit.error.type == LOST_WORKER


class Cluster:
    """The workers that a cluster has, and for a while those that it had, in an order in which they keep their places:
    by name, those with units before idle ones."""

    def __init__(self) -> None:
        self._places: dict[str, _Place] = {}
        self.rows: list[ClusterRow] = []
        self.waiting = 0
        """How many units the cluster has been given that have not begun."""

    def update(self, workers: Iterable[ClusterWorker], view: RunView, held: Iterable[UnitView], now: float) -> None:
        """Learn which workers there are at `now`, and which units hold one; a worker that is missed when the run has
        ended is not told of."""
        at: defaultdict[str, list[UnitView]] = defaultdict(list)
        self.waiting = 0
        for unit in held:
            if unit.place:
                at[unit.place].append(unit)
            elif unit.lane is ExecutionMode.CUSTOM:
                self.waiting += 1
        listed = {worker.name: worker for worker in workers}
        for name in listed.keys() | at.keys():
            if name not in self._places:
                self._places[name] = _Place(listed.get(name) or _unlisted(name))
        for name, place in self._places.items():
            place.follow(listed.get(name), tuple(at.get(name, ())), view, now)
        over = view.state.ended
        self._places = {name: place for name, place in self._places.items() if place.is_told(now, over=over)}
        ranked = sorted((place.stand(now), place.key, name) for name, place in self._places.items())
        self.rows = [self._places[name].row(rank) for rank, _, name in ranked]


def _unlisted(name: str) -> ClusterWorker:
    return ClusterWorker(name, "", 0, 0.0, 0, 0, ())


def _natural(text: str) -> tuple[tuple[int, str], ...]:
    """A key by which ``w9`` comes before ``w10``."""
    parts = re.split(r"(\d{1,18})", text)
    return tuple((int(part) if at % 2 else -1, part) for at, part in enumerate(parts) if part)


def short_name(worker: ClusterWorker) -> str:
    """Its name, and of one that is an address host and port."""
    return clean(worker.name).rpartition("://")[2]


def summary_line(cluster: Cluster, width: int, glyphs: Glyphs) -> Line:
    """`` cluster  4 workers  9/16 threads  queue 2  cpu 57%  9.1G/64G``: all workers together, behind that the
    cluster ``has not answered for 40 s`` if so; what there is no room for is left out, the last first."""
    there = [row for row in cluster.rows if row.since is None]
    known = [row.worker for row in there if row.worker.address]
    threads = sum(worker.threads for worker in known)
    units = sum(len(row.units) for row in there)
    lost = sum(row.rank is Rank.LOST for row in cluster.rows)
    silent = silence(known)
    parts = [(silent, Role.WARNING)] if silent else []
    parts.append((counted(len(there), "worker") if cluster.rows else "waiting for its workers", Role.TEXT))
    if lost:
        parts.append((f"{lost} LOST", Role.ERROR))
    if cluster.rows:
        parts.append((f"{units}/{threads} threads" if threads else counted(units, "unit"), Role.TEXT))
    if cluster.waiting:
        parts.append((f"queue {cluster.waiting:,}", Role.ACCENT))
    if known:
        memory, limit = sum(worker.memory for worker in known), sum(worker.memory_limit for worker in known)
        parts.append((f"cpu {sum(worker.cpu for worker in known) / max(1, threads):.0f}%", Role.MUTED))
        parts.append((f"{size_of(memory)}/{size_of(limit)}" if limit else size_of(memory), Role.MUTED))
    spans = [Span(cut_end(" cluster", width, glyphs.ellipsis), Role.PRIMARY)]
    left = width - len(" cluster")
    for text, role in parts:
        if len(text) + 2 > left:
            break
        spans += [Span("  ", Role.MUTED), Span(text, role)]
        left -= len(text) + 2
    return tuple(spans)


class Columns(NamedTuple):
    """The widths of what all rows of a list tell."""

    name: int
    slots: int
    figures: int

    @classmethod
    def of(cls, rows: Sequence[ClusterRow], width: int) -> Columns:
        """The columns for these rows in so many cells; 0 for what is known of none."""
        names = max((cell_len(short_name(row.worker)) for row in rows), default=0)
        known = any(row.worker.address for row in rows)
        limits = width >= _ROOMY and any(row.worker.memory_limit for row in rows)
        name = min(names, max(_LEAST_NAME, width // 4))
        return cls(name, max((len(_slots(row)) for row in rows), default=0), (18 if limits else 12) if known else 0)


def cluster_line(row: ClusterRow, columns: Columns, now: float, width: int, glyphs: Glyphs) -> Line:
    """`` 10.0.0.7:43211 ▸ 2/4  187%   1.2G/4.0G  embed[shard=3], embed[shard=4]``: the worker, how many of its threads
    have units, what it uses, and its units."""
    name = pad(cut_middle(short_name(row.worker), columns.name, glyphs.ellipsis), columns.name)
    if row.since is not None:
        return _missed_line(row, name, now, width, glyphs)
    look = _look(row)
    start = [
        Span(f" {name} ", Role.MUTED),
        Span(glyphs.sign(look) if look else " ", SIGNS[look].role if look else Role.MUTED),
        Span(f" {_slots(row):>{columns.slots}} ", Role.TEXT if row.units else Role.MUTED),
        *_figures(row.worker, columns.figures),
    ]
    room = width - sum(cell_len(span.text) for span in start) - 1
    words = names_in([unit.id for unit in row.units], room, glyphs) if row.units else "idle"
    return (*start, Span(f" {words}", Role.TEXT if row.units else Role.MUTED))


def _missed_line(row: ClusterRow, name: str, now: float, width: int, glyphs: Glyphs) -> Line:
    ago = short_clock(max(0.0, now - (row.since or now)))
    word, role = ("LOST", Role.ERROR) if row.rank is Rank.LOST else ("gone", Role.MUTED)
    start = [Span(f" {name} ", Role.MUTED), Span(word, role), Span(f" {ago} ago", Role.MUTED)]
    if not row.units:
        return tuple(start)
    room = width - sum(cell_len(span.text) for span in start) - len(" with ")
    return (*start, Span(f" with {names_in([unit.id for unit in row.units], room, glyphs)}", Role.TEXT))


def names_in(names: Sequence[str], room: int, glyphs: Glyphs) -> str:
    """As many of the names as there is room for, and how many more there are: ``embed[0], embed[1] +3``; the first is
    always told, if only in part."""
    told: list[str] = []
    used = 0
    for at, name in enumerate(map(clean, names)):
        more = f" +{len(names) - at - 1}" if at + 1 < len(names) else ""
        cells = cell_len(name) + (2 if told else 0)
        if used + cells + len(more) > room and (told or at + 1 == len(names)):
            break
        if used + cells + len(more) > room:
            told.append(cut_middle(name, max(0, room - len(more)), glyphs.ellipsis))
            break
        told.append(name)
        used += cells
    if not told:
        return cut_middle(clean(names[0]), max(0, room), glyphs.ellipsis) if names else ""
    return ", ".join(told) + (f" +{len(names) - len(told)}" if len(told) < len(names) else "")


def _look(row: ClusterRow) -> Look | None:
    """The sign of a worker is that of its units."""
    if any(unit.state is UnitState.CANCELING for unit in row.units):
        return Look.STOP
    return Look.RUN if row.units else None


def _slots(row: ClusterRow) -> str:
    return f"{len(row.units)}/{row.worker.threads}" if row.worker.threads else str(len(row.units))


def _figures(worker: ClusterWorker, width: int) -> list[Span]:
    """CPU and memory in columns: ``187%   1.2G``, and with room ``/4.0G``, in the colour of how full it is."""
    if not worker.address:
        return [Span(" " * width, Role.MUTED)]
    percent = 100 * worker.memory / worker.memory_limit if worker.memory_limit else 0.0
    alarm = pressure(percent)
    limit = f"/{size_of(worker.memory_limit)}" if worker.memory_limit and width > 12 else ""
    return [
        Span(f"{min(worker.cpu, 9999):4.0f}% ", Role.MUTED),
        Span(f"{size_of(worker.memory):>6}", alarm if alarm is not Role.SUCCESS else Role.MUTED),
        Span(f"{limit:<{width - 12}}", Role.MUTED),
    ]
