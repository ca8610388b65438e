"""What machine and run have used lately, as lines below the workers; pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.cells import cell_len

from qtui.core.events import GovernorChanged, WorkersChanged
from qtui.core.holding import bounded, workers_words
from qtui.core.model import ExecutionMode
from qtui.core.samples import LoadSample
from qtui.core.state import RunView
from qtui.tui.format import Glyphs, most_active, size_of, sparkline
from qtui.tui.roles import Role
from qtui.tui.sampler import KEPT, Moment
from qtui.tui.text import PLAIN, Span, clean, cut_end
from qtui.tui.widgets.lines import Line

_LEAST_DISK: Final = float(1 << 20)
"""Bytes a second that a full bar means at least: less is no work for a disk."""

Decision = WorkersChanged | GovernorChanged | None
"""The latest word on how many workers there may be."""

_NARROW: Final = 8
_ROOMY: Final = 16
_WORDS_BESIDE: Final = 40
"""The cells that a tall block leaves for what stands beside the history."""


def lines_for(height: int, view: RunView, decision: Decision) -> int:
    """How many lines a pane of `height` rows has for the machine: one, two where the number of workers has changed or
    may, or a line for each figure."""
    if height >= 14:
        return 5
    return 2 if height >= 5 and (view.governed or decision is not None) else 1


def machine_lines(
    view: RunView,
    sample: LoadSample | None,
    history: Sequence[Moment],
    decision: Decision,
    busy: int,
    width: int,
    count: int,
    glyphs: Glyphs,
    clustered: bool = False,
) -> list[Line]:
    """The machine in `count` lines, as `lines_for` allows, of up to `width` cells; what there is no room for is left
    out. `busy` is how many workers have units. With a cluster it is said which machine is meant."""
    words = cut_end(f" {decision_words(view, decision, glyphs, clustered)}", width, glyphs.ellipsis)
    said = Span(words, Role.MUTED)
    if sample is None:
        measuring = (Span(" measuring the machine", Role.MUTED),)
        return [measuring] if count == 1 else [(said,), measuring]
    cells = _bars(width) if count < 5 else min(KEPT, max(_NARROW, width - _WORDS_BESIDE))
    cpu, memory, run = _figures(view, sample, history, busy, cells, glyphs)
    if count < 5:
        # how many there are is in the title of the pane
        first = _line([run[:2], [Span(words.lstrip(), Role.MUTED)]], width, glyphs)
        where = _muted("here" if sample.cluster else "")
        figures = [cpu, memory, _muted(_memory_words(sample)), _muted(_disk_words(sample)), _own(sample)]
        second = _line([where, *figures], width)
        return [second] if count == 1 else [first, second]
    load = f"load {sample.load:.1f}" if sample.load is not None else ""
    cores = f"{_count(sample.cores, 'core')}{' here' if sample.cluster else ''}"
    return [
        _line([cpu, _muted(cores), _muted(load)], width),
        _line([memory, _muted(_memory_words(sample))], width),
        _line([run, _own(sample)], width),
        _line(_disk(sample, history, cells, glyphs), width),
        (said,),
    ]


def short_machine(view: RunView, sample: LoadSample | None, busy: int) -> str:
    """The machine in a few words, for the status line: ``cpu 88%  mem 71%  workers 6/8 auto``; ``here cpu 88%`` beside
    a cluster."""
    workers = f"workers {busy}/{most_active(view, sample)}{' auto' if view.governed else ''}"
    if sample is None:
        return workers
    here = "here " if sample.cluster else ""
    return f"{here}cpu {sample.cpu:.0f}%  mem {_memory_percent(sample):.0f}%  {workers}"


def decision_words(view: RunView, decision: Decision, glyphs: Glyphs, clustered: bool = False) -> str:
    """Who decides on the number of workers, or of units that a cluster is sent, and why it is what it is."""
    match decision:
        case WorkersChanged(lane=ExecutionMode.CUSTOM) if view.governed:
            words = f"auto: {workers_words(decision)}"
        case WorkersChanged(lane=lane) if lane and view.governed:
            words = f"auto: {decision.lane} {decision.cause}"
        case GovernorChanged() if view.governed:
            words = f"auto: {decision.cause}"
        case WorkersChanged():
            words = workers_words(decision, cluster=clustered)
        case GovernorChanged():
            words = decision.cause
        case None:
            words = "auto: as at the start" if view.governed else f"a fixed number of {bounded(clustered)}"
    return clean(words if glyphs.unicode else words.replace("→", "->"))


def _figures(
    view: RunView, sample: LoadSample, history: Sequence[Moment], busy: int, cells: int, glyphs: Glyphs
) -> tuple[list[Span], list[Span], list[Span]]:
    """CPU, memory and busy workers, each with its history in `cells` cells."""
    memory = _memory_percent(sample)
    most = max([most_active(view, sample), *(moment.busy for moment in history[-cells:])])
    run = [
        Span("run ", Role.MUTED),
        Span(sparkline([moment.busy for moment in history], most, cells, glyphs), Role.PRIMARY),
        Span(f" {f'{busy}/{most_active(view, sample)}':>7}", Role.TEXT),
    ]
    return (
        _percent("cpu", sample.cpu, [moment.cpu for moment in history], cells, glyphs, Role.SUCCESS),
        _percent("mem", memory, [moment.memory for moment in history], cells, glyphs, pressure(memory)),
        run,
    )


def _disk(sample: LoadSample, history: Sequence[Moment], cells: int, glyphs: Glyphs) -> list[list[Span]]:
    """What goes to and from the disks, with its history: as high as it has ever been in that; nothing if not known."""
    if sample.read is None or sample.written is None:
        return []
    moments = [moment.disk for moment in history]
    most = max(_LEAST_DISK, *moments[-cells:], 0)
    bars = [
        Span("io  ", Role.MUTED),
        Span(sparkline(moments, most, cells, glyphs), Role.ACCENT),
        Span(f" {size_of(sample.read + sample.written):>5}/s", Role.TEXT),
    ]
    return [bars, _muted(f"in {size_of(sample.read):>5} out {size_of(sample.written):>5}")]


def pressure(percent: float) -> Role:
    """How alarming it is that so much is taken: full memory ends runs, while cores are there to be busy."""
    return Role.ERROR if percent >= 90 else Role.WARNING if percent >= 75 else Role.SUCCESS


def _percent(name: str, percent: float, history: Sequence[float], cells: int, glyphs: Glyphs, role: Role) -> list[Span]:
    return [
        Span(f"{name} ", Role.MUTED),
        Span(sparkline(history, 100, cells, glyphs), role),
        Span(f" {min(percent, 100):3.0f}%", Role.TEXT),
    ]


def _line(parts: Sequence[list[Span]], width: int, glyphs: Glyphs | None = None) -> Line:
    """The parts side by side, without those that there is no room for; with `glyphs` the last is cut instead."""
    spans, left = [Span(" ", PLAIN)], width - 1
    for part in parts:
        cells = sum(cell_len(span.text) for span in part)
        gap = 2 if len(spans) > 1 else 0
        if glyphs is not None and part is parts[-1] and cells + gap > left:
            part = [Span(cut_end(part[0].text, max(0, left - gap), glyphs.ellipsis), part[0].style)]
            cells = sum(cell_len(span.text) for span in part)
        if not cells or cells + gap > left:
            continue
        spans += [Span(" " * gap, PLAIN), *part]
        left -= cells + gap
    return tuple(spans)


def _bars(width: int) -> int:
    return _NARROW if width < 72 else _ROOMY


def _muted(text: str) -> list[Span]:
    return [Span(text, Role.MUTED)]


def _own(sample: LoadSample) -> list[Span]:
    return _muted(f"qtui {sample.own.cpu:3.0f}% {size_of(sample.own.memory):>5}")


def _memory_percent(sample: LoadSample) -> float:
    return 100 * sample.memory_used / max(1, sample.memory_total)


def _memory_words(sample: LoadSample) -> str:
    return f"{size_of(sample.memory_used):>5}/{size_of(sample.memory_total)}"


def _disk_words(sample: LoadSample) -> str:
    if sample.read is None or sample.written is None:
        return ""
    return f"disk in {size_of(sample.read):>5}/s out {size_of(sample.written):>5}/s"


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
