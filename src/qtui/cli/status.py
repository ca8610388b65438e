"""``qtui status``: how a run is going, once, for a person or a script."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from math import inf
from typing import TYPE_CHECKING, Any, Final

from rich.cells import cell_len

from qtui.cli.answers import LOOK_SECONDS, questions
from qtui.cli.naming import units_named
from qtui.cli.reaching import gone, opened, state_dir_of
from qtui.cli.rundata import (
    NO_STARTS,
    Starts,
    cut_starts,
    moment_of,
    run_data,
    run_state,
    told_cause,
    took,
    unit_took,
    was_lost,
)
from qtui.cli.telling import tell
from qtui.cli.words import counted
from qtui.core.cutting import is_cut, shown, told_counts
from qtui.core.errors import EXIT_INTERNAL, EXIT_OK
from qtui.core.samples import ClusterWorker, silence, unmanned_for
from qtui.core.state import RunView, UnitView
from qtui.core.why import Reasons
from qtui.tui.charset import ascii_only
from qtui.tui.format import (
    ASCII,
    UNICODE,
    Glyphs,
    Look,
    badges,
    cause_of,
    clock,
    look_of,
    short_clock,
)
from qtui.tui.text import clean, cut_end, cut_middle, pad

if TYPE_CHECKING:
    from qtui.attached import AttachedSession
    from qtui.tui.forecaster import Told
    from qtui.tui.tabs.scene import Scene

FORECAST_SECONDS: Final = 0.25
"""How much CPU may go to the question when the run ends."""

MOST_ROWS: Final = 40
"""How many units are listed for a person; a script takes ``--json``."""

NARROWEST: Final = 40
UNCUT: Final = 1 << 16
"""More cells than a line has: where there is no terminal, nothing is cut."""

USUAL_WIDTH: Final = 80

_ORDER: Final = (
    Look.RUN,
    Look.STOP,
    Look.ASK,
    Look.RETRY,
    Look.FAIL,
    Look.TIME,
    Look.QUEUE,
    Look.READY,
    Look.WAIT,
    Look.ALLOWED,
    Look.CANC,
    Look.SKIP,
    Look.OK,
    Look.HIT,
)
_CLOCK_CELLS: Final = 5
_WORD_CELLS: Final = 5


def status(options: argparse.Namespace) -> int:
    """Tell what is known now, of units that are named why they are as they are, and return 0; with ``--wait``, at the
    end of the run, and return its exit code; questions to a person are told on standard error meanwhile.

    A run that is lost has no end: it is told at once, with or without ``--wait``, which returns 3 then. 2 if there is
    no such run or unit, or its record cannot be read.
    """
    with opened(options) as session:
        if options.wait:
            _wait(session)
        lost, view, now = session.lost, session.view(), session.now()
        chosen = units_named(view.plan, options.units)
        starts, told = cut_starts(session, view), _told(session, options)
        if session.trouble and not lost:
            tell(session.trouble)
        glyphs = ASCII if ascii_only(sys.stdout) else UNICODE
        columns = shutil.get_terminal_size((USUAL_WIDTH, 24)).columns if sys.stdout.isatty() else UNCUT
        width = max(columns, NARROWEST)
        if options.json:
            data = run_data(session.run, view, now, lost=lost, starts=starts)
            data["left"] = _left(told, now) if told is not None else None
            data["cluster"] = _cluster_data(session.cluster(), view)
            if chosen:
                reasons = _reasons(session, view)
                data["units"] = [
                    {**data["units"][n], "why": reasons.all_words(n, now), **_expected(told, n, now)} for n in chosen
                ]
            lines = iter([json.dumps(data, indent=2, default=str)])
        elif chosen:
            # imported here: it is much, and who asks for the whole run needs none of it
            from qtui.cli.why import scene_of

            scene = scene_of(session, view, told, moment_of(view, now, lost), glyphs)
            lines = unit_lines(scene, view, chosen, width, lost=lost, starts=starts)
        else:
            text = _left(told, now)["text"] if told is not None else ""
            reasons = _reasons(session, view)
            without = _without_workers(view, now) if not lost else None
            cluster = cluster_words(session.cluster(), session.options.address, without)
            lines = status_lines(
                session.run, view, reasons, now, glyphs, width, lost=lost, starts=starts, left=text, cluster=cluster
            )
        for line in lines:
            print(line)
    if not options.wait:
        return EXIT_OK
    return view.finished.exit_code if view.finished is not None else EXIT_INTERNAL


def _reasons(session: AttachedSession, view: RunView) -> Reasons:
    reasons = Reasons(view.plan, session.options)
    reasons.update(shown(view, session.lost), lost=session.lost)
    return reasons


def _told(session: AttachedSession, options: argparse.Namespace) -> Told | None:
    """What is expected of a run that goes on; None where nothing is known of its units."""
    if session.lost or session.view().state.ended:
        return None
    # imported here: only who asks for a run that goes on pays for it
    from qtui.cli.earlier import past_in, seconds_of
    from qtui.tui.forecaster import told_at_once

    return told_at_once(session, seconds_of(past_in(state_dir_of(options))(session)), FORECAST_SECONDS)


def _left(told: Told, now: float) -> dict[str, Any]:
    """The seconds until the run has ended, as ``p10``, ``p50`` and ``p90``, None if it never does as things are; how
    many units are ``incomplete`` then for want of time, whether it ``times_out``, and all that as ``text``."""
    from qtui.tui.outlook import left_words

    left = (None,) * 3 if told.forecast.endless else (round(each, 3) for each in told.left(now))
    seconds = dict(zip(("p10", "p50", "p90"), left, strict=True))
    late = {"incomplete": told.forecast.incomplete, "times_out": told.forecast.times_out}
    return {**seconds, **late, "text": left_words(told, told.view, now)}


def _expected(told: Told | None, number: int, now: float) -> dict[str, dict[str, float] | None]:
    """In how many seconds a unit ``starts`` and ``ends``, each as ``p10``, ``p50`` and ``p90``; None of what is over,
    does not come or is not known."""
    if told is None:
        return {"starts": None, "ends": None}
    starts = told.until_start(number, now), told.start_within(number, now)
    ends = told.until_end(number, now), told.end_within(number, now)
    return {
        what: {"p10": round(min(least, p50), 3), "p50": round(p50, 3), "p90": round(most, 3)}
        if p50 > 0 and most < inf
        else None
        for what, (p50, (least, most)) in (("starts", starts), ("ends", ends))
    }


def _wait(session: AttachedSession) -> None:
    """Wait for the end of the run, or until it is lost; what it waits for a person with meanwhile is told."""
    told: set[str] = set()
    while session.wait(LOOK_SECONDS) is None and not session.lost:
        waiting = {question.text: question.spare for question in questions(session)}
        for text in waiting.keys() - told:
            tell(f"{text} {waiting[text]}")
        told = set(waiting)


def status_lines(
    run: str,
    view: RunView,
    reasons: Reasons,
    now: float,
    glyphs: Glyphs,
    width: int = USUAL_WIDTH,
    *,
    lost: bool = False,
    starts: Starts = NO_STARTS,
    left: str = "",
    cluster: str = "",
) -> Iterator[str]:
    """The run in lines of at most `width` cells: its state, counts, and its units, those that run first; `reasons` are
    those of the view, `left` tells how long the run is expected to take, and `cluster` of its cluster, if anybody
    knows."""
    at = moment_of(view, now, lost)
    for line in (*_head(run, view, at, lost, left), *filter(None, (cluster,))):
        yield cut_end(line, width, glyphs.ellipsis)
    units = sorted(view.units, key=lambda unit: (_ORDER.index(_rank(unit, lost)), unit.number not in view.silent))
    told = units[:MOST_ROWS]
    ids = min(max((cell_len(clean(unit.id)) for unit in told), default=0), max(12, width * 2 // 5))
    if told:
        yield ""
    for unit in told:
        cause = _cause(unit, reasons, at, lost)
        yield cut_end(_row(unit, cause, at, glyphs, ids, lost, starts), width, glyphs.ellipsis)
    if hidden := len(units) - len(told):
        yield cut_end(f"and {counted(hidden, 'more unit')}; --json has them all", width, glyphs.ellipsis)


def unit_lines(
    scene: Scene,
    view: RunView,
    numbers: Sequence[int],
    width: int = USUAL_WIDTH,
    *,
    lost: bool = False,
    starts: Starts = NO_STARTS,
) -> Iterator[str]:
    """The rows of some units, and below each why it is as it is, as the screen tells it; `view` is that which `scene`
    shows."""
    from qtui.cli.why import why_lines

    ids = max(cell_len(clean(view.plan.table[number].id)) for number in numbers)
    for number in numbers:
        unit = view.unit(number)
        row = _row(unit, badges(unit), scene.now, scene.glyphs, min(ids, max(12, width * 2 // 5)), lost, starts)
        yield cut_end(row, width, scene.glyphs.ellipsis)
        yield from why_lines(scene, number, width)


def _head(run: str, view: RunView, at: float, lost: bool, left: str) -> Iterator[str]:
    yield f"{clean(view.name) or 'run'}  {run}"
    state = run_state(view, lost)
    words = f"{state} {'after' if view.state.ended or lost else 'for'} {took(view, at, lost, clock)}"
    if not view.state.ended and not lost:
        words += ", paused" if view.paused else ""
        words += f", stopping: {clean(view.stopping.cause)}" if view.stopping is not None else ""
        words += f", {left}" if left else ""
    if view.finished is not None:
        words += f", exit code {view.finished.exit_code}"
    yield words
    if view.unsaved and not view.state.ended:
        yield f"the record cannot be written: {clean(view.unsaved)}; nothing new starts"
    if lost and not view.state.ended:
        yield gone(run)
    counts = ", ".join(f"{count} {state}" for state, count in told_counts(view, lost).items())
    yield f"{counted(len(view.plan), 'unit')}: {counts}" if counts else "no units"


def _without_workers(view: RunView, now: float) -> float | None:
    return now - view.unmanned_at if view.unmanned_at is not None and not view.state.ended else None


def cluster_words(workers: Sequence[ClusterWorker], address: str | None, without: float | None = None) -> str:
    """``cluster tcp://10.0.0.1:8786: 4 workers, 16 threads, 9 units there``, or that it ``has not answered for 40 s``
    and what was there before, or has been `without` workers for so many seconds; empty if it is not known. A cluster
    that was made for the run has no `address` that anybody needs."""
    name = f"cluster {clean(address)}" if address else "cluster"
    if without is not None:
        return f"{name}: {unmanned_for(without)}; its units wait until one comes"
    if not workers:
        return ""
    threads, units = sum(worker.threads for worker in workers), sum(len(worker.units) for worker in workers)
    counts = ", ".join((counted(len(workers), "worker"), counted(threads, "thread"), counted(units, "unit")))
    silent = silence(workers)
    told = f"{silent}; {counts} there before that" if silent else f"{counts} there"
    return f"{name}: {told}"


def _cluster_data(workers: Sequence[ClusterWorker], view: RunView) -> list[dict[str, Any]]:
    """The workers of the cluster; units, which have numbers there, by id."""
    table = view.plan.table
    return [
        {**worker._asdict(), "units": [table[number].id for number in worker.units if number < len(table)]}
        for worker in workers
    ]


def _rank(unit: UnitView, lost: bool) -> Look:
    """Where the unit stands: what was cut stands where it stood when it ran."""
    return Look.RUN if is_cut(unit.view, unit.number, lost) else look_of(unit)


def _cause(unit: UnitView, reasons: Reasons, at: float, lost: bool) -> str:
    if is_cut(unit.view, unit.number, lost):
        return clean(told_cause(unit, at, lost, short_clock))
    if unit.number in unit.view.stale:
        return f"stale: {clean(unit.view.stale[unit.number])}"
    return cause_of(unit, at, reasons.words(unit.number, at))


def _row(unit: UnitView, cause: str, at: float, glyphs: Glyphs, ids: int, lost: bool, starts: Starts) -> str:
    look = look_of(unit)
    sign, word = glyphs.sign(look), str(look)
    if is_cut(unit.view, unit.number, lost):
        sign, word = glyphs.sign(Look.CANC), "cut"
    # "at least" has no place in the column of times: the cause tells it
    time = unit_took(unit, at, lost, starts, short_clock) if not was_lost(unit, lost) else ""
    name = pad(cut_middle(clean(unit.id), ids, glyphs.ellipsis), ids)
    return f"{sign} {word:<{_WORD_CELLS}} {name}  {time:>{_CLOCK_CELLS}}  {cause}".rstrip()
