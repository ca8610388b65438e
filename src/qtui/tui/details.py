"""What there is to know about a unit besides its output: why it waits, what it does, what it died of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from qtui.core.events import ConfirmRequested
from qtui.core.model import UnitError, UnitState
from qtui.core.state import RunView, UnitView
from qtui.tui.bridge import Bridge
from qtui.tui.format import (
    COUNT_ORDER,
    SIGNS,
    Glyphs,
    Look,
    badges,
    cause_of,
    look_of,
    look_of_state,
    short_clock,
)
from qtui.tui.layout import Bundle, family_name
from qtui.tui.roles import Role
from qtui.tui.scopes import Kind
from qtui.tui.text import clean, clean_lines

_MOST_NEEDS: Final = 12
_MOST_LINES: Final = 400
_MOST_UNITS: Final = 50
_BAD: Final = (UnitState.FAILED, UnitState.TIMEOUT, UnitState.RETRYING)


class Detail(NamedTuple):
    """One line and what it means."""

    text: str
    role: Role


def before_output(
    unit: UnitView, now: float, glyphs: Glyphs, waits_for: str = "", *, answers: str = ""
) -> list[Detail]:
    """What to say about a unit that has printed nothing; `waits_for` as for `cause_of`, and `answers` says which key
    answers its question, if one does."""
    state = unit.state
    if state is UnitState.PENDING:
        return _waiting(unit, glyphs, waits_for)
    if state is UnitState.SKIPPED or (state is UnitState.CANCELED and not unit.attempt):
        return [Detail(f"did not run: {clean(unit.cause)}", Role.MUTED)]
    if isinstance(unit.view.last[unit.number], ConfirmRequested):
        hint = [Detail(answers, Role.MUTED)] if answers else []
        return [Detail(f"asks: {clean(waits_for)}", Role.WARNING), *hint]
    if state is UnitState.READY:
        cause = cause_of(unit, now, waits_for)
        return [Detail(f"ready to run{f': {cause}' if cause else ''}", Role.ACCENT)]
    if state is UnitState.RUNNING:
        where = f"pid {unit.pid}" if unit.pid else str(unit.lane)
        return [Detail(f"no output yet ({where}, worker {clean(unit.place) or unit.worker})", Role.MUTED)]
    if (end := unit.finished) is not None and end.cached:
        return [Detail(f"an earlier result is used: {clean(end.cause)}", Role.CACHED)]
    if unit.unit.action is None:
        return [Detail("a milestone: done when what it needs is done", Role.MUTED)]
    elapsed = unit.elapsed(now)
    took = f" in {short_clock(elapsed)}" if elapsed is not None else ""
    return [Detail(f"no output{took if state is UnitState.COMPLETED else ''}", Role.MUTED)]


def after_output(unit: UnitView, now: float, waits_for: str = "") -> list[Detail]:
    """What to say below the output: the error with its traceback, the next try, what was done about it; `waits_for` as
    for `cause_of`."""
    lines: list[Detail] = []
    if unit.error is not None:
        lines += _error_lines(unit.error)
        if unit.unit.source is not None:
            lines.append(Detail(f"defined at {clean(str(unit.unit.source))}", Role.MUTED))
    match unit.state:
        case UnitState.PENDING | UnitState.RETRYING if waits_for:
            lines.append(Detail(clean(waits_for), Role.WARNING))
        case UnitState.CANCELING:
            lines.append(Detail(cause_of(unit, now), Role.WARNING))
        case UnitState.CANCELED if unit.attempt:
            lines.append(Detail(clean(unit.cause), Role.SECONDARY))
        case UnitState.RUNNING:
            lines += _message(unit)
        case _:
            pass
    if (end := unit.finished) is not None and end.set_aside:
        lines.append(Detail(f"{clean(end.cause)}: its fallback value, or none, is used as its result", Role.WARNING))
    if found := badges(unit):
        left = unit.view.left_behind.get((unit.number, unit.attempt))
        on = f"and is still running, for {short_clock(now - left.at)} now" if left else "and ended by itself later"
        stale = clean(unit.view.stale.get(unit.number, ""))
        texts = {
            "stale": f"stale: {stale}",
            "fallback": "the fallback value was used instead of a result",
            "abandoned": f"the attempt could not be stopped {on}",
            "allowed": "the failure is allowed: what needs this unit runs all the same",
        }
        lines += [Detail(texts[badge], Role.WARNING) for badge in found.split()]
        if stale:
            lines.append(Detail("its earlier result is kept; qtui resume --stale runs it again", Role.MUTED))
    return lines


def about_bundle(bundle: Bundle, bridge: Bridge, now: float, glyphs: Glyphs, *, keys: str) -> list[Detail]:
    """What there is to know about units that have a row of their own: of an item each unit, of others how many there
    are in which state, by name, and what is in trouble. `keys` says which keys do something about them."""
    view = bridge.view
    lines = [Detail(text, Role.MUTED) for text in (*_headings(bundle, view), keys, "")]
    if bundle.kind is Kind.ITEM:
        return lines + _unit_lines(bundle.units, bridge, now, glyphs)
    by_name: dict[str, Counter[tuple[UnitState, bool]]] = {}
    for number in bundle.units:
        name = bundle.name if bundle.kind is Kind.FAMILY else family_name(view.plan.table[number])
        by_name.setdefault(name, Counter())[view.states[number], view.plan.table[number].allow_failure] += 1
    width = min(30, max(len(clean(name)) for name in by_name))
    for name, counts in list(by_name.items())[:_MOST_UNITS]:
        lines.append(Detail(f"{clean(name):<{width}}  {_counted(counts, view, glyphs)}", Role.TEXT))
    if len(by_name) > _MOST_UNITS:
        lines.append(Detail(f"and {len(by_name) - _MOST_UNITS} more names", Role.MUTED))
    bad = [number for number in bundle.units if view.states[number] in _BAD]
    if bad:
        lines += [Detail("", Role.MUTED), *_unit_lines(bad, bridge, now, glyphs)]
    return lines


def _headings(bundle: Bundle, view: RunView) -> Iterator[str]:
    ended = sum(view.states[number].ended for number in bundle.units)
    if bundle.kind is Kind.GROUP:
        items = {view.plan.table[number].item for number in bundle.units}
        going = {view.plan.table[number].item for number in bundle.units if not view.states[number].ended}
        yield f"{len(items - going):,} of {len(items):,} items have ended"
    yield f"{ended:,} of {len(bundle.units):,} units have ended"


def _counted(counts: Counter[tuple[UnitState, bool]], view: RunView, glyphs: Glyphs) -> str:
    looks: Counter[Look] = Counter()
    for (state, allowed), count in counts.items():
        looks[look_of_state(state, view, allowed=allowed)] += count
    return "  ".join(f"{glyphs.sign(look)} {look.value} {looks[look]:,}" for look in COUNT_ORDER if looks[look])


def _unit_lines(numbers: Iterable[int], bridge: Bridge, now: float, glyphs: Glyphs) -> list[Detail]:
    numbers = list(numbers)
    lines = []
    for number in numbers[:_MOST_UNITS]:
        unit, why, look = bridge.view.unit(number), bridge.waits_for(number, now), bridge.look_of(number)
        elapsed = unit.elapsed(now)
        took = "" if elapsed is None else short_clock(elapsed)
        text = f"{glyphs.sign(look)} {look.value:<5} {took:>5} {clean(unit.id)}  {cause_of(unit, now, why)}"
        lines.append(Detail(text.rstrip(), SIGNS[look].role))
    if len(numbers) > _MOST_UNITS:
        lines.append(Detail(f"and {len(numbers) - _MOST_UNITS:,} more", Role.MUTED))
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


def _waiting(unit: UnitView, glyphs: Glyphs, waits_for: str) -> list[Detail]:
    view = unit.view
    needs = view.plan.needs[unit.number]
    open_needs = [view.unit(need) for need in needs if not view.states[need].ended]
    if not open_needs:
        return [Detail(clean(waits_for), Role.WARNING)]
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
