"""``--ui plain``: lines of text for pipes, files and CI; no cursor movement, no carriage returns."""

from __future__ import annotations

import signal
from typing import Final, TextIO

from qtui.cli.answers import NOBODY, scope_name, spared
from qtui.cli.bell import rings
from qtui.cli.earlier import AskPast, Pasts, seconds_of
from qtui.cli.folds import Page
from qtui.cli.grouping import LOOK_SECONDS, UnitOutput
from qtui.cli.manner import INDENT, Manner
from qtui.cli.summary import summary
from qtui.cli.words import STATE_WORDS, counted, duration, few
from qtui.core.cutting import says_cut
from qtui.core.definition import Notify
from qtui.core.events import (
    BrakeChanged,
    CacheMissed,
    ConfirmRequested,
    Event,
    GovernorChanged,
    JournalChanged,
    LateResult,
    PlanReplaced,
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
from qtui.core.holding import governor_words, room_words, workers_words
from qtui.core.model import FAILURES, UnitState
from qtui.core.plan import ExecutionPlan
from qtui.core.session import Record, RunSession
from qtui.core.settling import CUT, CUT_FOR
from qtui.core.state import RunView, UnitView, stalled_by
from qtui.tui.format import clock
from qtui.tui.text import clean, clean_lines

HEARTBEAT: Final = 60.0
"""Seconds of silence after which a line names what runs, so that CI does not take a quiet job for a dead one."""

HIT: Final = "hit"
_COLORS: Final = {
    "ok": "32", "FAIL": "1;31", "TIME": "1;35", "retry": "33", "CANC": "35", "warn": "33",
    HIT: "36", "ask": "1;33", "brake": "33",
}  # fmt: skip


class PlainLines:
    """Writes a run's record as text: a line at the start and end of each unit, and its output in the given `manner`.

    `bell` says when the bell of the terminal rings at the end. Unless questions are `answerable`, lines say how to do
    so beforehand. `ask_past` tells what units of the session took in earlier runs; it is asked when that is wanted
    first.
    """

    def __init__(
        self,
        session: RunSession,
        out: TextIO,
        manner: Manner | None = None,
        *,
        bell: Notify | None = None,
        answerable: bool = False,
        ask_past: AskPast | None = None,
    ) -> None:
        self._session = session
        self._manner = manner or Manner()
        self._page = Page(out, self._manner.server)
        self._output = UnitOutput(session, self._page, self._manner)
        self._bell = bell
        self._answerable = answerable
        self._ask_past = ask_past
        self._past: Pasts | None = None
        self._past_of: ExecutionPlan | None = None
        self._clustered = bool(session.options.elsewhere)
        self._resizes: dict[str, str] = {}
        self._interrupted = ""  # by what, which has been told then
        # a view of its own, exactly as far as the record that was printed
        self._view = session.opening

    def follow(self) -> None:
        """Write until nothing more will come, and how the run ended if it has, or is lost. Raises BrokenPipeError when
        the reader has gone."""
        feed = self._session.feed()
        quiet_since = self._session.now()
        while not feed.closed:
            records = feed.take(timeout=LOOK_SECONDS if self._manner.looks else 0.5)
            for record in records:
                self._print(record)
            if self._output.look() or records:
                quiet_since = self._session.now()
                self._page.flush()
            elif self._session.now() - quiet_since >= HEARTBEAT and not self._view.state.ended:
                quiet_since = self._session.now()
                self._heartbeat()
        if self._session.view().finished is not None or self._session.lost:
            for line in summary(self._session, self._ask_past, brief=self._manner.quiet, told=self._interrupted):
                self._page.line(line)
        if rings(self._bell, self._session.view()):
            self._page.bell()
        self._page.flush()

    def _print(self, record: Record) -> None:
        event = record.event
        self._view = fold(self._view, [event])
        if isinstance(event, UnitStarted):
            self._output.began(self._view.plan, event.unit, self._view.attempts[event.unit])
        if not self._manner.quiet or _is_grave(event):
            self._tell(event)
        if isinstance(event, UnitFinished | UnitRetrying | UnitReset):
            self._output.forget(event.unit)
        elif isinstance(event, RunResumed | PlanReplaced):
            self._output.forget_all()

    def _tell(self, event: Event) -> None:
        match event:
            case RunStarted():
                units = counted(len(self._view.plan), "unit")
                self._page.line(f"{clean(event.name)}: {units}, {self._room(event)}, run {self._session.run}")
            case RunResumed():
                self._page.line(f"{clean(self._view.name)}: goes on, {self._room(event)}, run {self._session.run}")
            case UnitStarted():
                again = f"  (try {self._try(event.unit)})" if self._try(event.unit) > 1 else ""
                where = f"  on {event.place}" if event.place else ""
                self._unit_line("start", event.unit, f"{again}{where}", event.at)
            case UnitRetrying():
                why = f"  {event.error}, again in {duration(event.delay)}"
                self._attempt_line("retry", event.unit, event.attempt, why, event.at)
            case UnitFinished():
                self._end(event)
            case CacheMissed() if self._manner.verbose:
                self._unit_line("miss", event.unit, f"  {event.reason}", event.at)
            case ConfirmRequested():
                self._asked(event)
            case UnitApproved():
                self._unit_line("yes", event.unit, f"  {event.by}", event.at)
            case BrakeChanged() if event.cause:
                words = _brake_words(event, self._view.active)
                self._line("brake", f"{scope_name(event.scope)}: {words}", event.at)
                self._spare(event)
            case UnitReset() if says_cut(event):
                known = {CUT: "cut by the signal", f"{CUT_FOR}{self._interrupted}": "cut"}
                cut = known.get(event.cause, event.cause)
                why = f"  was {cut}; run it again to finish it"
                self._attempt_line("cut", event.unit, self._view.attempts[event.unit], why, event.at)
            case UnitStale():
                self._unit_line("stale", event.unit, f"  {event.cause}; its result is kept", event.at)
            case UnitRedefined():
                self._unit_line("anew", event.unit, f"  has another definition from here on: {event.cause}", event.at)
            case JournalChanged():
                what = f"not written any more, nothing new starts: {event.cause}" if event.cause else "written again"
                self._line("warn" if event.cause else "run", f"the record is {what}", event.at)
            case LateResult():
                self._unit_line("late", event.unit, "  its abandoned attempt has ended by itself", event.at)
            case Warned():
                self._warned(event)
            case RunStopping():
                self._line("run", f"stopping: {event.cause}{_stopping_words(event, self._view)}", event.at)
                self._interrupted = event.cause if event.how == "interrupt" else ""
            case RunPaused() | RunUnpaused() | RunReopened():
                self._line("run", f"{type(event).__name__.removeprefix('Run').lower()}: {event.cause}", event.at)
            case UnitsAdded():
                self._unit_line("added", event.unit, f"  adds {counted(len(event.units), 'unit')}", event.at)
            case WorkersChanged():
                self._resized(event)
            case GovernorChanged():
                self._line("run", governor_words(event, cluster=self._clustered), event.at)
            case RunFinished():
                pass  # the summary says it

    def _asked(self, event: ConfirmRequested) -> None:
        self._unit_line("ask", event.unit, f"  needs your yes: {event.question}", event.at)
        self._spare(event)

    def _spare(self, event: ConfirmRequested | BrakeChanged) -> None:
        """What to do about a question that nobody can answer."""
        hint = "" if self._answerable else spared(self._session, event)
        if hint:
            self._page.line(f"{INDENT}{NOBODY}; {hint}")

    def _room(self, event: RunStarted | RunResumed) -> str:
        return room_words(event.workers, event.lane_workers, cluster=self._clustered)

    def _resized(self, event: WorkersChanged) -> None:
        """A cluster is sent more or fewer units than before, too, where its workers are the same."""
        words = workers_words(event, cluster=self._clustered)
        if self._resizes.get(event.lane) != words:
            self._resizes[event.lane] = words
            self._line("run", words, event.at)

    def _warned(self, event: Warned) -> None:
        where = f"{self._id(event.unit)}: " if event.unit >= 0 else ""
        for number, line in enumerate(clean_lines(f"{where}{event.message}")):
            self._line("warn" if not number else "", line, event.at)

    def _end(self, event: UnitFinished) -> None:
        detail = f"  {duration(event.duration)}" if event.attempt else ""
        if event.fallback and not event.set_aside:
            detail += "  fallback"
        if event.state in FAILURES and self._view.plan.table[event.unit].allow_failure:
            detail += "  allowed"
        if event.abandoned:
            detail += "  abandoned: it could not be stopped"
        reason = event.cause or (str(event.error) if event.error else "")
        word = HIT if event.cached else STATE_WORDS[event.state]
        detail += f"  {reason}" if reason else ""
        if not event.attempt:
            self._unit_line(word, event.unit, detail, event.at)
            return
        story = event.error.traceback if event.error is not None else ""
        failed = event.state in FAILURES
        self._attempt_line(word, event.unit, event.attempt, detail, event.at, failed=failed, story=story)

    def _heartbeat(self) -> None:
        now = self._session.now()
        running = [unit for unit in self._view.units if unit.state in (UnitState.RUNNING, UnitState.CANCELING)]
        names = (f"{clean(unit.id)} {duration(unit.elapsed(now) or 0)}" for unit in running)
        going = f"running: {few(names, len(running))}" if running else ""
        waits = [*_asked(self._view), *_held(self._view)]
        going = "; ".join(filter(None, (going, *waits))) or _held_up(self._view)
        for_a_person = any(spared(self._session, event) for event in _questions(self._view))
        alone = NOBODY if for_a_person and not self._answerable else ""
        if alone or not self._manner.quiet:
            self._line("still", "; ".join(filter(None, (going, self._left(now), alone))), now)
            self._page.flush()

    def _left(self, now: float) -> str:
        """How long it will still take, where earlier runs tell that."""
        if self._ask_past is None:
            return ""
        from qtui.tui.forecaster import told_at_once
        from qtui.tui.outlook import left_words

        plan = self._session.view().plan
        if self._past is None or self._past_of is not plan:  # an edited unit has another past
            self._past, self._past_of = self._ask_past(self._session), plan
        told = told_at_once(self._session, seconds_of(self._past))
        return left_words(told, told.view, now) if told is not None else ""

    def _unit_line(self, word: str, unit: int, detail: str, at: float) -> None:
        self._line(word, f"{self._id(unit)}{detail}", at)

    def _attempt_line(
        self, word: str, unit: int, attempt: int, detail: str, at: float, *, failed: bool = False, story: str = ""
    ) -> None:
        """The line at the end of an attempt, with its output."""
        title = self._lined(word, f"{self._id(unit)}{detail}", at)
        self._output.ended(self._view.plan, unit, attempt, title, at, failed=failed, story=story)

    def _line(self, word: str, text: str, at: float) -> None:
        self._page.line(self._lined(word, text, at))

    def _lined(self, word: str, text: str, at: float) -> str:
        total = len(self._view.plan)
        painted = f"{word:<5}"
        if self._manner.color and word in _COLORS:
            painted = f"\x1b[{_COLORS[word]}m{painted}\x1b[0m"
        width = len(str(total))
        return f"{clock(self._view.elapsed(at))} [{self._view.ended:>{width}}/{total}] {painted} {clean(text)}"

    def _id(self, unit: int) -> str:
        return clean(self._view.plan.table[unit].id)

    def _try(self, unit: int) -> int:
        return self._view.unit(unit).attempt_in_generation


def _is_grave(event: Event) -> bool:
    """Whether it is told to those who want to hear of failures alone: these, and what holds up or ends the run."""
    match event:
        case UnitFinished():
            return event.state in FAILURES
        case BrakeChanged():
            return event.state != "open"
        case JournalChanged():
            return bool(event.cause)
    return isinstance(event, ConfirmRequested | RunStopping)


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
    names = (clean(unit.id) for unit in view.units if isinstance(view.last[unit.number], ConfirmRequested))
    return [f"waiting for your yes: {few(names, view.asked)}"]


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
    begun = view.active - view.submitted
    units = counted(begun, "unit")
    words = ""
    if view.active and event.how == "drain":
        words = f"; {counted(view.active, 'unit')} may finish"
    elif begun and event.how == "interrupt" and event.signal:
        again = "ctrl+c again" if event.signal == signal.SIGINT else "a second signal"
        words = f"; {units} asked to stop, {again} kills {'it' if begun == 1 else 'them'}"
    elif begun:
        words = f"; {units} asked to stop"
    if event.how == "interrupt":
        left = sum(unit.unit.is_handler and _waits_to_start(unit) for unit in view.units)
        after = "after a signal" if event.signal else "now"
        words += f'; not run {after}: {counted(left, "unit")} with when = "always" or "failure"' if left else ""
    return words


def _waits_to_start(unit: UnitView) -> bool:
    return unit.state in (UnitState.PENDING, UnitState.READY, UnitState.RETRYING) and not unit.submitted
