"""The attempts of a unit: when each began, how long it took and how it ended; enter opens its own log. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from qtui.core.events import UnitFinished, UnitReset, UnitRetrying, UnitStarted
from qtui.core.model import ExecutionMode, UnitState
from qtui.tui.format import counted, short_clock, size_of, time_of_day
from qtui.tui.roles import Role
from qtui.tui.tabs.attempts import Attempt, look_of_attempt
from qtui.tui.tabs.entry import BLANK, Entry, Goal, heading
from qtui.tui.tabs.scene import Scene

_MOST_LISTED: Final = 200


def tries_unit(scene: Scene, number: int) -> list[Entry]:
    """Each attempt of a unit, the latest first."""
    unit = scene.view.unit(number)
    known = scene.attempts.of(scene.view, number)
    entries: list[Entry] = []
    for attempt in reversed(known):
        goal = Goal(number, attempt.number)
        entries += [*(each._replace(goal=goal) for each in (_line(scene, number, attempt), *_about(attempt))), BLANK]
    first = known[0].number if known else unit.attempt + 1
    if first > 1:
        earlier = "attempt 1 is" if first == 2 else f"attempts 1 to {first - 1} are"
        command = f"qtui logs {scene.session.run} {unit.id} --try {first - 1}"
        entries.append(Entry(f"{earlier} on record: {command}", Role.MUTED))
    if not entries and (end := unit.finished) is not None and end.cached:
        return [Entry("an earlier result is used: it was not tried in this run", Role.CACHED)]
    return entries or [Entry("it has not been tried yet" if not unit.state.ended else "it was not tried", Role.MUTED)]


def tries_units(scene: Scene, units: Sequence[int]) -> list[Entry]:
    """Which of several units were tried more than once."""
    view = scene.view
    attempts = sum(view.attempts[number] for number in units)
    entries = [Entry(f"{counted(attempts, 'attempt')} of {counted(len(units), 'unit')}", label="in all"), BLANK]
    often = sorted((number for number in units if view.attempts[number] > 1), key=lambda n: -view.attempts[n])
    if often:
        entries.append(heading("tried more than once"))
        for number in often[:_MOST_LISTED]:
            entries.append(scene.unit(number, note=counted(view.attempts[number], "attempt")))
        if len(often) > _MOST_LISTED:
            entries.append(Entry(f"and {len(often) - _MOST_LISTED:,} more", Role.MUTED))
    else:
        entries.append(Entry("none was tried more than once", Role.MUTED))
    return entries


def _line(scene: Scene, number: int, attempt: Attempt) -> Entry:
    began = time_of_day(attempt.begun.at)
    seconds = _seconds(attempt, scene.now)
    took = "" if seconds is None else short_clock(seconds)
    look = look_of_attempt(scene.view, number, attempt)
    note = "  ".join(filter(None, (f"{began}  {took:>5}" if took else began, _where(attempt))))
    return Entry(f"try {attempt.number}", look=look, note=note)


def _seconds(attempt: Attempt, now: float) -> float | None:
    if not isinstance(attempt.begun, UnitStarted):
        return None
    if isinstance(attempt.ended, UnitFinished) and attempt.ended.attempt == attempt.number:
        return attempt.ended.duration
    return max(0.0, (attempt.ended.at if attempt.ended is not None else now) - attempt.begun.at)


def _where(attempt: Attempt) -> str:
    begun = attempt.begun
    pid = f" pid {begun.pid}" if isinstance(begun, UnitStarted) and begun.pid else ""
    if isinstance(begun, UnitStarted) and begun.place:
        return f"worker {begun.place} ({begun.lane}{pid})"
    own = begun.lane in (ExecutionMode.COMMAND, ExecutionMode.PROCESS)
    return f"worker {begun.worker} ({begun.lane}{pid if own else ''})"


def _about(attempt: Attempt) -> list[Entry]:
    """How it ended and what it used; of earlier attempts that were tried again only the error is known."""
    entries: list[Entry] = []
    match attempt.ended:
        case UnitRetrying(error=error, delay=delay):
            entries.append(Entry(str(error), Role.ERROR, "  failed"))
            entries.append(Entry(f"after {delay:g} s", Role.MUTED, "  again"))
        case UnitReset(cause=cause):
            entries.append(Entry(cause, Role.SECONDARY, "  cut"))
        case UnitFinished() as end:
            if end.error is not None:
                entries.append(Entry(str(end.error), Role.ERROR, "  failed"))
            elif end.state is UnitState.COMPLETED and end.cause:
                entries.append(Entry(end.cause, label="  cause"))
            if end.fallback:
                entries.append(Entry("its fallback is used instead of a result", Role.WARNING))
            used = [f"{size_of(end.peak_memory)} of memory" if end.peak_memory else "",
                    f"{end.cpu_seconds:.2f} s of CPU" if end.cpu_seconds else ""]  # fmt: skip
            if any(used):
                entries.append(Entry(", ".join(filter(None, used)), Role.MUTED, "  used"))
    if attempt.left is not None:
        later = "ended by itself later" if attempt.returned else "goes on by itself"
        entries.append(Entry(f"could not be stopped, {later}", Role.WARNING, "  left"))
    return entries
