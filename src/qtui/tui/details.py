"""What there is to know about a unit besides its output: why it waits, what it does, what it died of."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from qtui.core.events import ConfirmRequested
from qtui.core.model import UnitError, UnitState
from qtui.core.state import UnitView
from qtui.tui.format import SIGNS, Glyphs, Role, badges, cause_of, look_of, short_clock, waits_for_itself
from qtui.tui.text import clean, clean_lines

_MOST_NEEDS: Final = 12
_MOST_LINES: Final = 400


class Detail(NamedTuple):
    """One line and what it means."""

    text: str
    role: Role


def before_output(unit: UnitView, now: float, glyphs: Glyphs, waits_for: str = "") -> list[Detail]:
    """What to say about a unit that has printed nothing; `waits_for` as for `cause_of`."""
    state = unit.state
    if state is UnitState.PENDING:
        return _waiting(unit, glyphs)
    if state is UnitState.SKIPPED or (state is UnitState.CANCELED and not unit.attempt):
        return [Detail(f"did not run: {clean(unit.cause)}", Role.MUTED)]
    if isinstance(unit.view.last[unit.number], ConfirmRequested):
        return [Detail(f"asks: {clean(waits_for)}", Role.WARNING), Detail("a answers", Role.MUTED)]
    if state is UnitState.READY:
        cause = cause_of(unit, now, waits_for)
        return [Detail(f"ready to run{f': {cause}' if cause else ''}", Role.ACCENT)]
    if state is UnitState.RUNNING:
        where = f"pid {unit.pid}" if unit.pid else f"{unit.lane} lane"
        return [Detail(f"no output yet ({where}, worker {unit.worker})", Role.MUTED)]
    if (end := unit.finished) is not None and end.cached:
        return [Detail(f"an earlier result is used: {clean(end.cause)}", Role.CACHED)]
    if unit.unit.action is None:
        return [Detail("a milestone: done when what it needs is done", Role.MUTED)]
    elapsed = unit.elapsed(now)
    took = f" in {short_clock(elapsed)}" if elapsed is not None else ""
    return [Detail(f"no output{took if state is UnitState.COMPLETED else ''}", Role.MUTED)]


def after_output(unit: UnitView, now: float) -> list[Detail]:
    """What to say below the output: the error with its traceback, the next try, what was done about it."""
    lines: list[Detail] = []
    if unit.error is not None:
        lines += _error_lines(unit.error)
        if unit.unit.source is not None:
            lines.append(Detail(f"defined at {clean(str(unit.unit.source))}", Role.MUTED))
    match unit.state:
        case UnitState.RETRYING:
            lines.append(Detail(cause_of(unit, now), Role.WARNING))
        case UnitState.CANCELING:
            lines.append(Detail(cause_of(unit, now), Role.WARNING))
        case UnitState.CANCELED if unit.attempt:
            lines.append(Detail(clean(unit.cause), Role.SECONDARY))
        case UnitState.RUNNING:
            lines += _message(unit)
        case UnitState.PENDING if itself := waits_for_itself(unit):
            lines.append(Detail(itself, Role.WARNING))
        case _:
            pass
    if found := badges(unit):
        left = unit.view.left_behind.get((unit.number, unit.attempt))
        on = f"and is still running, for {short_clock(now - left.at)} now" if left else "and ended by itself later"
        texts = {
            "fallback": "the fallback value was used instead of a result",
            "abandoned": f"the attempt could not be stopped {on}",
            "allowed": "the failure is allowed: what needs this unit runs all the same",
        }
        lines += [Detail(texts[badge], Role.WARNING) for badge in found.split()]
    return lines


@lru_cache(32)  # it is asked for in every frame
def _error_lines(error: UnitError) -> tuple[Detail, ...]:
    # a traceback ends with the error itself, which is told once, and in the colour of an error
    traceback = clean_lines(error.traceback.rstrip().removesuffix(str(error)))[-_MOST_LINES:]
    message = clean_lines(str(error))[:_MOST_LINES]
    return (
        *(Detail(line, Role.MUTED) for line in traceback if line),
        *(Detail(line, Role.ERROR) for line in message),
    )


def _waiting(unit: UnitView, glyphs: Glyphs) -> list[Detail]:
    view = unit.view
    needs = view.plan.needs[unit.number]
    open_needs = [view.unit(need) for need in needs if not view.states[need].ended]
    if not open_needs and (itself := waits_for_itself(unit)):
        return [Detail(itself, Role.WARNING)]
    lines = [Detail(f"waits for {len(open_needs)} of {len(needs)} needs", Role.MUTED)]
    for need in open_needs[:_MOST_NEEDS]:
        look = look_of(need)
        lines.append(Detail(f"  {glyphs.sign(look)} {look.value:<5}  {clean(need.id)}", SIGNS[look].role))
    if len(open_needs) > _MOST_NEEDS:
        lines.append(Detail(f"  and {len(open_needs) - _MOST_NEEDS} more", Role.MUTED))
    return lines


def _message(unit: UnitView) -> list[Detail]:
    progress = unit.progress
    return [Detail(clean(progress.message), Role.PRIMARY)] if progress is not None and progress.message else []
