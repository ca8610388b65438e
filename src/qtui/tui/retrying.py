"""What running units again asks of a person first: the scope, what has changed on the disk, what may be done twice.
Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

from qtui.core.model import FAILURES, UnitState
from qtui.core.session import EDITED, UNUSABLE
from qtui.core.state import RunView
from qtui.core.stimuli import RetryRequested
from qtui.tui.actions import USUAL, Keymap
from qtui.tui.format import counted
from qtui.tui.keys import key_for
from qtui.tui.steering import Answer, Ask, Do, Note, Option, as_seen, reached, some_of
from qtui.tui.text import clean

_RERUN: Final = FAILURES | {UnitState.CANCELED}
_MOST_NAMED: Final = 2
_KEEPING: Final = "with the edit made in this run"
_DROPPING: Final = "as in the file now, drops that edit"


def as_ever(_number: int) -> str:
    """Of units that are on the disk as they are in the run."""
    return ""


def retry_unit(view: RunView, number: int, edited: Callable[[int], str] = as_ever, *, keymap: Keymap = USUAL) -> Answer:
    """Run a unit again; asks for the scope when units below it have results of their own, and whether it is to be what
    it was if it is not what is on the disk. `edited` tells how it differs there."""
    unit = view.unit(number)
    name = clean(unit.id)
    again = RetryRequested((number,))
    if not unit.state.ended and unit.state is not UnitState.RETRYING:
        return Note(f"{name} has not ended; {key_for('unit.cancel', keymap)} cancels it")
    along = _along(view, number)
    redone = [fed for fed in view.plan.below(number) if view.states[fed].ended and fed not in along]
    redone = [fed for fed in redone if view.states[fed] is not UnitState.SKIPPED]
    too = _told_along(view, along)
    if difference := edited(number):
        return _retry_edited(view, number, counted(len(redone), "dependent") if redone else "", difference)
    if unit.state is UnitState.RETRYING:
        return Do(again)  # without the rest of the wait
    careful = _careful(view, (number,))
    if unit.state is not UnitState.COMPLETED and not redone and not careful:
        return Do(again, said=f"{name} runs again; {too}" if too else "")
    options = [Option("u", "this unit only", Do(again))]
    if redone:
        everything = Do(RetryRequested((number,), "dependents"))
        options.append(Option("d", f"the unit, and {counted(len(redone), 'dependent')} after it", everything))
    text = f"{name} {unit.state.told}. {careful}Run it again?{f' Then {too}.' if too else ''}"
    return Ask("Retry", text, tuple(options), still=as_seen(view, (number,)))


def _along(view: RunView, number: int) -> set[int]:
    """What waits again with this unit, whatever the scope: what was skipped for it alone, and handlers."""
    table, states, needs = view.plan.table, view.states, view.plan.needs
    again, below = {number}, set(view.plan.below(number))

    def is_bad(need: int) -> bool:
        bad = states[need] in _RERUN or states[need] is UnitState.SKIPPED
        return bad and need not in again and not table[need].allow_failure

    for fed in view.plan.order:  # needs first
        if fed in below and not again.isdisjoint(needs[fed]):
            skipped = states[fed] is UnitState.SKIPPED and not any(map(is_bad, needs[fed]))
            if skipped or (table[fed].is_handler and states[fed].ended):
                again.add(fed)
    return again - {number}


def _told_along(view: RunView, along: Collection[int]) -> str:
    """That in words; empty for nothing."""
    handlers = [clean(view.plan.table[number].id) for number in sorted(along) if view.plan.table[number].is_handler]
    skipped = len(along) - len(handlers)
    named = handlers if len(handlers) <= _MOST_NAMED else [counted(len(handlers), "handler")]
    run = "runs" if len(handlers) == 1 else "run"
    parts = [f"{skipped:,} skipped because of it {'waits' if skipped == 1 else 'wait'} again"] if skipped else []
    return ", ".join([*parts, *([f"{' and '.join(named)} {run} again"] if handlers else [])])


def _careful(view: RunView, numbers: Sequence[int]) -> str:
    """What is to be known before some of these run twice, as a sentence; empty if nothing is."""
    risky = [n for n in numbers if not view.plan.table[n].idempotent and view.begun[n] is not None]
    if not risky:
        return ""
    if len(numbers) == 1:
        return "It is not idempotent, and may have done its work. "
    return f"{counted(len(risky), 'unit')} of them {'is' if len(risky) == 1 else 'are'} not idempotent. "


def _retry_edited(view: RunView, number: int, redone: str, difference: str) -> Ask:
    """Run a unit again that is another on the disk; `redone` counts what is below it and has an end of
    its own."""
    again, unit = RetryRequested((number,)), view.unit(number)
    usable = not difference.startswith(UNUSABLE)
    mine = difference.startswith(EDITED)
    options = _new_or_old(again, "its edited definition" if usable else "", "as it was", mine=mine)
    if redone:
        both = again._replace(scope="dependents")
        below = _new_or_old(both, "edited definitions" if usable else "", "as it was", mine=mine)
        options += [Option(each.key.upper(), f"{each.label}, and {redone} after it", each.action) for each in below]
    how = "" if usable else " as it was"
    careful = _careful(view, (number,))
    text = f"{clean(unit.id)} {unit.state.told}. {_on_disk(difference)}\n{careful}Run it again{how}?"
    return Ask("Retry", text, tuple(options), still=as_seen(view, (number,)))


def _on_disk(difference: str, of: str = "") -> str:
    """What a session says of edited units, as a sentence; `of` tells which of several."""
    if difference.startswith(UNUSABLE):
        return f"What is on the disk{of} cannot be run:\n{difference.removeprefix(UNUSABLE)}"
    return f"On the disk now{of}:\n{difference.removeprefix(EDITED)}"


def _new_or_old(again: RetryRequested, new: str, old: str, *, mine: bool = False) -> list[Option]:
    """The two ways to run again, or only the old one if the label `new` is empty. What a person has edited in the run
    (`mine`) comes first: to go on with it is what they expect."""
    fresh = Do(again._replace(fresh=True, cause="retried with what is on the disk by you"))
    was = Do(again._replace(cause="retried as it was by you"))
    if mine and new:
        return [Option("o", _KEEPING, was), Option("e", _DROPPING, fresh)]
    return [*([Option("e", new, fresh)] if new else []), Option("o", old, was)]


def retry(
    view: RunView,
    numbers: Sequence[int],
    what: str,
    edited: Callable[[int], str] = as_ever,
    *,
    chosen: bool = False,
    keymap: Keymap = USUAL,
) -> Answer:
    """Run these again. Of several, those that ended badly, unless a person has `chosen` each: then what has completed
    can run again, too."""
    if not numbers:
        return Note("there is no unit to retry")
    if len(numbers) == 1:
        return retry_unit(view, numbers[0], edited, keymap=keymap)
    ended = tuple(number for number in numbers if view.states[number].ended)
    completed = [number for number in ended if view.states[number] is UnitState.COMPLETED]
    if not chosen or not completed:
        return retry_units(view, numbers, what, edited)
    again = Option("a", f"run {some_of(len(ended), numbers, what)} again", Do(RetryRequested(ended)))
    if not any(view.states[number] in _RERUN for number in ended):
        text = f"{some_of(len(completed), numbers, what)} completed. {_careful(view, ended)}Run again?"
        return Ask("Retry", text, (again,), still=as_seen(view, ended))
    asked = retry_units(view, numbers, what, edited)
    return asked._replace(options=(*asked.options, again)) if isinstance(asked, Ask) else asked


def retry_units(view: RunView, numbers: Iterable[int], what: str, edited: Callable[[int], str] = as_ever) -> Answer:
    """Run again all failed, timed-out and canceled units among `numbers`; `what` names where they are from. Asks
    whether they are to be what they were if some are not what is on the disk."""
    numbers = tuple(numbers)
    bad = tuple(number for number in numbers if view.states[number] in _RERUN)
    if not bad:
        return Note(_nothing_to_rerun(view, numbers, what))
    skipped = len(reached(view, bad, lambda unit: view.states[unit] is UnitState.SKIPPED))
    too = f", and {skipped:,} skipped because of {'it' if len(bad) == 1 else 'them'}" if skipped else ""
    if some_of(len(bad), numbers, what) == what:
        text = f"Run {what} again{too}?"
    else:
        text = f"Run again what failed, timed out or was canceled in {what}: {counted(len(bad), 'unit')}{too}?"
    others = [difference for difference in map(edited, bad) if difference]
    if careful := _careful(view, bad):
        text += f"\n{careful.strip()}"
    still = as_seen(view, bad)
    if not others:
        return Ask("Retry", text, (Option("y", "run again", Do(RetryRequested(bad))),), still=still)
    usable = [difference for difference in others if not difference.startswith(UNUSABLE)]
    alike = set(usable or others)
    if len(alike) == 1:
        which = f" for {len(usable or others):,} of {len(bad):,}" if len(bad) > 1 else ""
        text += f"\n{_on_disk(alike.pop(), which)}"
    else:
        text += f"\nOn the disk {len(usable or others):,} of them have changed."
    if usable and (gone := len(others) - len(usable)):
        text += f"\n{gone:,} of them {'is' if gone == 1 else 'are'} not there any more."
    new, old = ("its edited definition", "as it was") if len(bad) == 1 else ("edited definitions", "as they were")
    mine = any(difference.startswith(EDITED) for difference in usable)
    options = _new_or_old(RetryRequested(bad), new if usable else "", old, mine=mine)
    return Ask("Retry", text, tuple(options), still=still)


def _nothing_to_rerun(view: RunView, numbers: Iterable[int], what: str) -> str:
    """Why nothing can be run again; what was skipped comes with the unit that it was skipped for."""
    skipped = (view.unit(number) for number in numbers if view.states[number] is UnitState.SKIPPED)
    because = next((unit.because for unit in skipped if unit.because >= 0), None)
    if because is None:
        return f"nothing failed, timed out or was canceled in {what}"
    return f"{what} was skipped because of {clean(view.unit(because).id)}: run that again"
