"""``--ui plain``: lines of text for pipes, files and CI; no cursor movement, no carriage returns."""

from __future__ import annotations

import signal
from typing import TextIO

from qtui.cli.answers import NOBODY, scope_name, spared
from qtui.cli.rundata import LOST, run_state, took
from qtui.core.cutting import counts_of
from qtui.core.definition import Notify
from qtui.core.events import (
    BrakeChanged,
    CacheMissed,
    ConfirmRequested,
    GovernorChanged,
    JournalChanged,
    LateResult,
    RunFinished,
    RunPaused,
    RunReopened,
    RunResumed,
    RunStarted,
    RunStopping,
    RunUnpaused,
    UnitApproved,
    UnitFinished,
    UnitRedefined,
    UnitReset,
    UnitRetrying,
    UnitsAdded,
    UnitStale,
    UnitStarted,
    Warned,
    WorkersChanged,
)
from qtui.core.folding import fold
from qtui.core.holding import governor_words, workers_words
from qtui.core.model import FAILURES, RunState, UnitState
from qtui.core.session import Record, RunSession
from qtui.core.settling import CUT
from qtui.core.state import RunView, UnitView, stalled_by
from qtui.tui.format import clock
from qtui.tui.text import clean, clean_lines

HEARTBEAT = 60.0
"""Seconds of silence after which a line names what runs, so that CI does not take a quiet job for a dead one."""

BLOCK_LIMIT = 1 << 20
TAIL_LINES = 20

WORDS = {
    UnitState.COMPLETED: "ok",
    UnitState.FAILED: "FAIL",
    UnitState.TIMEOUT: "TIME",
    UnitState.SKIPPED: "skip",
    UnitState.CANCELED: "CANC",
}
HIT = "hit"
_COLORS = {
    "ok": "32", "FAIL": "1;31", "TIME": "1;35", "retry": "33", "CANC": "35", "warn": "33",
    HIT: "36", "ask": "1;33", "brake": "33",
}  # fmt: skip


class PlainLines:
    """Writes a run's record as text: a line at the start and end of each unit, its output as a block at its end.

    `verbose` also tells why earlier results could not be used. `bell` says when the bell of the terminal rings at the
    end. Unless questions are `answerable`, lines say how to do so beforehand.
    """

    def __init__(
        self,
        session: RunSession,
        out: TextIO,
        *,
        color: bool = False,
        verbose: bool = False,
        bell: Notify | None = None,
        answerable: bool = False,
    ) -> None:
        self._session = session
        self._out = out
        self._color = color
        self._verbose = verbose
        self._bell = bell
        self._answerable = answerable
        # a view of its own, exactly as far as the record that was printed
        self._view = session.opening

    def follow(self) -> None:
        """Write until nothing more will come, and how the run ended if it has, or is lost. Raises BrokenPipeError when
        the reader has gone."""
        feed = self._session.feed()
        quiet_since = self._session.now()
        while not feed.closed:
            records = feed.take(timeout=0.5)
            for record in records:
                self._print(record)
            if records:
                quiet_since = self._session.now()
                self._out.flush()
            elif self._session.now() - quiet_since >= HEARTBEAT and not self._view.state.ended:
                quiet_since = self._session.now()
                self._heartbeat()
        if self._session.view().finished is not None or self._session.lost:
            for line in summary(self._session):
                self._write(line)
        if rings(self._bell, self._session.view()):
            self._out.write("\a")
        self._out.flush()

    def _print(self, record: Record) -> None:
        event = record.event
        self._view = fold(self._view, [event])
        match event:
            case RunStarted():
                units, workers = counted(len(self._view.plan), "unit"), counted(event.workers, "worker")
                self._write(f"{clean(event.name)}: {units}, {workers}, run {self._session.run}")
            case RunResumed():
                workers = counted(event.workers, "worker")
                self._write(f"{clean(self._view.name)}: goes on, {workers}, run {self._session.run}")
            case UnitStarted():
                again = f"  (try {self._try(event.unit)})" if self._try(event.unit) > 1 else ""
                self._unit_line("start", event.unit, again, event.at)
            case UnitRetrying():
                self._unit_line("retry", event.unit, f"  {event.error}, again in {duration(event.delay)}", event.at)
                self._block(event.unit, event.attempt)
            case UnitFinished():
                self._end(event)
            case CacheMissed() if self._verbose:
                self._unit_line("miss", event.unit, f"  {event.reason}", event.at)
            case ConfirmRequested():
                self._asked(event)
            case UnitApproved():
                self._unit_line("yes", event.unit, f"  {event.by}", event.at)
            case BrakeChanged() if event.cause:
                words = _brake_words(event, self._view.active)
                self._line("brake", f"{scope_name(event.scope)}: {words}", event.at)
                self._spare(event)
            case UnitReset() if event.cause == CUT:
                self._unit_line("cut", event.unit, "  was cut by the signal; run it again to finish it", event.at)
                self._block(event.unit, self._view.attempts[event.unit])
            case UnitStale():
                self._unit_line("stale", event.unit, f"  {event.cause}; its result is kept", event.at)
            case UnitRedefined():
                self._unit_line("anew", event.unit, "  runs as its file says now from here on", event.at)
            case JournalChanged():
                what = f"not written any more, nothing new starts: {event.cause}" if event.cause else "written again"
                self._line("warn" if event.cause else "run", f"the record is {what}", event.at)
            case LateResult():
                self._unit_line("late", event.unit, "  its abandoned attempt has ended by itself", event.at)
            case Warned():
                self._warned(event)
            case RunStopping():
                self._line("run", f"stopping: {event.cause}{_stopping_words(event, self._view)}", event.at)
            case RunPaused() | RunUnpaused() | RunReopened():
                self._line("run", f"{type(event).__name__.removeprefix('Run').lower()}: {event.cause}", event.at)
            case UnitsAdded():
                self._unit_line("added", event.unit, f"  adds {counted(len(event.units), 'unit')}", event.at)
            case WorkersChanged():
                self._line("run", workers_words(event), event.at)
            case GovernorChanged():
                self._line("run", governor_words(event), event.at)
            case RunFinished():
                pass  # the summary says it

    def _asked(self, event: ConfirmRequested) -> None:
        self._unit_line("ask", event.unit, f"  needs your yes: {event.question}", event.at)
        self._spare(event)

    def _spare(self, event: ConfirmRequested | BrakeChanged) -> None:
        """What to do about a question that nobody can answer."""
        hint = "" if self._answerable else spared(self._session, event)
        if hint:
            self._write(f"    {NOBODY}; {hint}")

    def _warned(self, event: Warned) -> None:
        where = f"{self._id(event.unit)}: " if event.unit >= 0 else ""
        for number, line in enumerate(clean_lines(f"{where}{event.message}")):
            self._line("warn" if not number else "", line, event.at)

    def _end(self, event: UnitFinished) -> None:
        detail = f"  {duration(event.duration)}" if event.attempt else ""
        if event.fallback:
            detail += "  fallback"
        if event.state in FAILURES and self._view.plan.table[event.unit].allow_failure:
            detail += "  allowed"
        if event.abandoned:
            detail += "  abandoned: it could not be stopped"
        reason = event.cause or (str(event.error) if event.error else "")
        word = HIT if event.cached else WORDS[event.state]
        self._unit_line(word, event.unit, detail + (f"  {reason}" if reason else ""), event.at)
        if event.attempt:
            self._block(event.unit, event.attempt)
        if event.error and event.error.traceback:
            for line in clean_lines(event.error.traceback):
                self._write(f"    {line}")

    def _block(self, unit: int, attempt: int) -> None:
        """What the attempt printed, as one block, so that the output of units side by side is not mixed."""
        chunk = self._session.read_log(unit, attempt, 0, BLOCK_LIMIT)
        for line in _log_lines(chunk.data):
            self._write(f"    {line}")
        if chunk.size > len(chunk.data):
            self._write(f"    ... {chunk.size - len(chunk.data)} more bytes: {self._session.log_path(unit, attempt)}")

    def _heartbeat(self) -> None:
        now = self._session.now()
        running = [unit for unit in self._view.units if unit.state in (UnitState.RUNNING, UnitState.CANCELING)]
        names = [f"{clean(unit.id)} {duration(unit.elapsed(now) or 0)}" for unit in running[:5]]
        more = f" and {len(running) - 5} more" if len(running) > 5 else ""
        going = f"running: {', '.join(names)}{more}" if running else ""
        waits = [*_asked(self._view), *_held(self._view)]
        going = "; ".join(filter(None, (going, *waits))) or _held_up(self._view)
        for_a_person = any(spared(self._session, event) for event in _questions(self._view))
        self._line("still", f"{going}; {NOBODY}" if for_a_person and not self._answerable else going, now)
        self._out.flush()

    def _unit_line(self, word: str, unit: int, detail: str, at: float) -> None:
        self._line(word, f"{self._id(unit)}{detail}", at)

    def _line(self, word: str, text: str, at: float) -> None:
        total = len(self._view.plan)
        painted = f"{word:<5}"
        if self._color and word in _COLORS:
            painted = f"\x1b[{_COLORS[word]}m{painted}\x1b[0m"
        width = len(str(total))
        self._write(f"{clock(self._view.elapsed(at))} [{self._view.ended:>{width}}/{total}] {painted} {clean(text)}")

    def _write(self, line: str) -> None:
        self._out.write(line.rstrip() + "\n")

    def _id(self, unit: int) -> str:
        return clean(self._view.plan.table[unit].id)

    def _try(self, unit: int) -> int:
        return self._view.unit(unit).attempt_in_generation


def duration(seconds: float) -> str:
    """A span of time to read in a line: ``0.04s``, ``12.3s``, ``4m07s``, ``2h05m``."""
    if seconds < 9.995:
        return f"{seconds:.2f}s"
    if seconds < 59.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    return f"{whole // 60}m{whole % 60:02}s" if whole < 3600 else f"{whole // 3600}h{whole // 60 % 60:02}m"


def counted(number: int, noun: str) -> str:
    """``1 unit``, ``2 units``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _held_up(view: RunView) -> str:
    """Why nothing runs."""
    if view.stalled:
        return stalled_by(view.stuck)
    if view.abandoned:
        return f"waiting: {view.abandoned} abandoned, still running"
    if view.paused:
        return "paused"
    retrying = view.counts[UnitState.RETRYING]
    return f"waiting to try again: {counted(retrying, 'unit')}" if retrying else "waiting"


def _questions(view: RunView) -> list[ConfirmRequested | BrakeChanged]:
    """What may wait for a person."""
    asked = [last for last in view.last if isinstance(last, ConfirmRequested)] if view.asked else []
    return [*asked, *(view.brakes.values() if view.stopping is None else ())]


def _asked(view: RunView) -> list[str]:
    """Which units wait for a yes."""
    if not view.asked:
        return []
    names = [clean(unit.id) for unit in view.units if isinstance(view.last[unit.number], ConfirmRequested)]
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return [f"waiting for your yes: {', '.join(names[:5])}{more}"]


def _held(view: RunView) -> list[str]:
    """Which brakes hold what could start."""
    held = [change for change in view.brakes.values() if change.state == "held"]
    return [f"held: {scope_name(change.scope)}, {clean(change.cause)}" for change in held]


def _brake_words(event: BrakeChanged, active: int) -> str:
    if event.state == "open":
        return f"starts again, {clean(event.cause)}"
    words = {"held": "starts nothing new", "probing": "still held", "stopped": "stopped for good"}
    # a command is told of when it begins, and its worker may have been handed it before
    more = f"; what has a worker goes on: {counted(active, 'unit')}" if active and event.state != "probing" else ""
    return f"{words.get(event.state, event.state)}, {clean(event.cause)}{more}"


def _stopping_words(event: RunStopping, view: RunView) -> str:
    """What becomes of the units that run, and of those that would run in the end."""
    units = counted(view.active, "unit")
    words = ""
    if view.active and event.how == "drain":
        words = f"; {units} may finish"
    elif view.active and event.how == "interrupt":
        again = "ctrl+c again" if event.signal == signal.SIGINT else "a second signal"
        words = f"; {units} asked to stop, {again} kills {'it' if view.active == 1 else 'them'}"
    elif view.active:
        words = f"; {units} asked to stop"
    if event.how == "interrupt":
        left = sum(unit.unit.is_handler and _waits_to_start(unit) for unit in view.units)
        words += f'; not run after a signal: {counted(left, "unit")} with when = "always" or "failure"' if left else ""
    return words


def _waits_to_start(unit: UnitView) -> bool:
    return unit.state in (UnitState.PENDING, UnitState.READY, UnitState.RETRYING) and not unit.submitted


def rings(bell: Notify | None, view: RunView) -> bool:
    """Whether the terminal's bell is to ring at the end of the run."""
    end = view.finished
    if bell is None or end is None or end.at - (view.started_at or end.at) < bell.after:
        return False
    return bell.bell == "always" or (bell.bell == "failure" and end.state is RunState.FAILED)


def summary(session: RunSession) -> list[str]:
    """How the run ended: failures with their last lines, counts, where the logs are."""
    view = session.view()
    end = view.finished
    lines: list[str] = []
    failed = [unit for unit in view.units if unit.state in (UnitState.FAILED, UnitState.TIMEOUT)]
    allowed = sum(unit.unit.allow_failure for unit in failed)
    for unit in failed:
        badge = " (allowed)" if unit.unit.allow_failure else ""
        lines += ["", f"{WORDS[unit.state]} {clean(unit.id)}: {clean(unit.cause)}{badge}"]
        tail = session.read_log(unit.number, unit.attempt, -64 * 1024)
        shown = _log_lines(tail.data)[-TAIL_LINES:]
        if unit.error is not None and unit.error.traceback:
            shown += clean_lines(unit.error.traceback)[-TAIL_LINES:]
        lines += [f"    {line}" for line in shown if line]
        if (path := session.log_path(unit.number, unit.attempt)) is not None:
            lines.append(f"    log: {path}")
    counts = [f"{count} {state}" for state, count in counts_of(view, session.lost).items()]
    fallbacks = sum(1 for unit in view.units if unit.finished is not None and unit.finished.fallback)
    cached = sum(1 for unit in view.units if unit.finished is not None and unit.finished.cached)
    if cached:
        counts.append(f"{cached} from the cache")
    if fallbacks:
        counts.append(f"{fallbacks} by fallback")
    if allowed:
        counts.append(f"{allowed} allowed to fail")
    if view.abandoned:
        counts.append(f"{view.abandoned} abandoned, which end with qtui")
    state = run_state(view, session.lost) if end is not None or session.lost else "unfinished"
    why = f": {clean(view.timed_out)}" if view.timed_out and view.state is RunState.FAILED else ""
    left = len(view.plan) - len(view.plan.dropped) - view.counts[UnitState.COMPLETED]
    if end is not None and end.exit_code and left > 0 and not session.trouble:
        lines += ["", f"qtui resume {session.run} goes on with what has not completed"]
    lasted = took(view, session.now(), session.lost, duration)
    lines += [
        "",
        f"{clean(view.name)}: {state} {'after' if state == LOST else 'in'} {lasted}{why} ({', '.join(counts)})",
    ]
    return lines


def _log_lines(data: bytes) -> list[str]:
    text = data.decode("utf-8", "replace")
    return clean_lines(text.removesuffix("\n")) if text else []
