"""What a key asks of the run, given what is known: a request, a question first, or a word why not. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from qtui.core.brakes import HELD, PROBING
from qtui.core.events import ConfirmRequested
from qtui.core.holding import brake_words
from qtui.core.model import FAILURES, UnitState
from qtui.core.session import UNUSABLE
from qtui.core.state import RunView
from qtui.core.stimuli import (
    ApproveRequested,
    CancelRequested,
    CancelRunRequested,
    GovernorRequested,
    PauseRequested,
    ReleaseRequested,
    Request,
    RetryRequested,
    UnpauseRequested,
    WorkersStepRequested,
)
from qtui.tui.format import counted
from qtui.tui.text import clean


class Note(NamedTuple):
    """Nothing is asked of the run; `text` says why."""

    text: str


class Do(NamedTuple):
    """Ask this of the run; with `leave` the screen is left when the run has finished."""

    request: Request
    leave: bool = False


class Detach(NamedTuple):
    """Nothing is asked of the run; the screen is left, and the run goes on."""


class Option(NamedTuple):
    """An answer to a question: the key to press, what it says, what it does."""

    key: str
    label: str
    action: Do | Detach


class Ask(NamedTuple):
    """A question. There is always one more answer: back, on ``n``, enter and escape; so no option may have these keys.

    `moot_when_ended` says that there is nothing to ask any more once the run has finished. While it is open, others may
    do the same from elsewhere: an answer counts only if the view is `still` one in which it means what was asked.
    """

    title: str
    text: str
    options: tuple[Option, ...]
    moot_when_ended: bool = False
    still: Callable[[RunView], bool] = lambda _view: True


Answer = Note | Do | Ask

_RERUN: Final = FAILURES | {UnitState.CANCELED}


def as_ever(_number: int) -> str:
    """Of units that are on the disk as they are in the run."""
    return ""


def retry_unit(view: RunView, number: int, edited: Callable[[int], str] = as_ever) -> Answer:
    """Run a unit again; asks for the scope when units below it have results of their own, and whether it is to be what
    it was if it is not what is on the disk. `edited` tells how it differs there."""
    unit = view.unit(number)
    name = clean(unit.id)
    again = RetryRequested((number,))
    if not unit.state.ended and unit.state is not UnitState.RETRYING:
        return Note(f"{name} has not ended; x stops it")
    below = [fed for fed in view.plan.below(number) if view.states[fed].ended]
    redone = [fed for fed in below if view.states[fed] is not UnitState.SKIPPED]
    if difference := edited(number):
        return _retry_edited(view, number, counted(len(redone), "dependent") if redone else "", difference)
    if unit.state is UnitState.RETRYING:
        return Do(again)  # without the rest of the wait
    careful = _careful(view, (number,))
    if unit.state is not UnitState.COMPLETED and not redone and not careful:
        return Do(again)
    options = [Option("u", "this unit only", Do(again))]
    if redone:
        everything = Do(RetryRequested((number,), "dependents"))
        options.append(Option("d", f"the unit, and {counted(len(redone), 'dependent')} after it", everything))
    text = f"{name} is {unit.state.value}. {careful}Run it again?"
    return Ask("Run again", text, tuple(options), still=_as_seen(view, (number,)))


def _careful(view: RunView, numbers: Sequence[int]) -> str:
    """What is to be known before some of these run twice, as a sentence; empty if nothing is."""
    risky = [n for n in numbers if not view.plan.table[n].idempotent and view.begun[n] is not None]
    if not risky:
        return ""
    if len(numbers) == 1:
        return "It is not idempotent, and may have done its work. "
    return f"{counted(len(risky), 'unit')} of them {'is' if len(risky) == 1 else 'are'} not idempotent. "


def _as_seen(view: RunView, numbers: Sequence[int]) -> Callable[[RunView], bool]:
    """Whether these units have not run again since `view`, and are not about to."""
    seen = [(number, view.generations[number]) for number in numbers]
    return lambda now: all(now.generations[number] == generation for number, generation in seen)


def _retry_edited(view: RunView, number: int, redone: str, difference: str) -> Ask:
    """Run a unit again that is another on the disk; `redone` counts what is below it and has an end of
    its own."""
    again, unit = RetryRequested((number,)), view.unit(number)
    usable = not difference.startswith(UNUSABLE)
    options = _new_or_old(again, "its edited definition" if usable else "", "as it was")
    if redone:
        below = _new_or_old(again._replace(scope="dependents"), "edited definitions" if usable else "", "as it was")
        options += [Option(each.key.upper(), f"{each.label}, and {redone} after it", each.action) for each in below]
    how = "" if usable else " as it was"
    careful = _careful(view, (number,))
    text = f"{clean(unit.id)} is {unit.state.value}. {_on_disk(difference)}\n{careful}Run it again{how}?"
    return Ask("Run again", text, tuple(options), still=_as_seen(view, (number,)))


def _on_disk(difference: str, of: str = "") -> str:
    """What a session says of edited units, as a sentence; `of` tells which of several."""
    if difference.startswith(UNUSABLE):
        return f"What is on the disk{of} cannot be run:\n{difference.removeprefix(UNUSABLE)}"
    return f"On the disk now{of}:\n{difference}"


def _new_or_old(again: RetryRequested, new: str, old: str) -> list[Option]:
    """The two ways to run again, or only the old one if the label `new` is empty."""
    fresh = Do(again._replace(fresh=True, cause="retried with what is on the disk by you"))
    was = Do(again._replace(cause="retried as it was by you"))
    return [*([Option("e", new, fresh)] if new else []), Option("o", old, was)]


def retry_units(view: RunView, numbers: Iterable[int], what: str, edited: Callable[[int], str] = as_ever) -> Answer:
    """Run again all failed, timed-out and canceled units among `numbers`; `what` names where they are from. Asks
    whether they are to be what they were if some are not what is on the disk."""
    numbers = tuple(numbers)
    bad = tuple(number for number in numbers if view.states[number] in _RERUN)
    if not bad:
        return Note(_nothing_to_rerun(view, numbers, what))
    skipped = len(_reached(view, bad, lambda unit: view.states[unit] is UnitState.SKIPPED))
    too = f", and {skipped:,} skipped because of {'it' if len(bad) == 1 else 'them'}" if skipped else ""
    text = f"Run again what failed, timed out or was canceled in {what}: {counted(len(bad), 'unit')}{too}?"
    others = [difference for difference in map(edited, bad) if difference]
    if careful := _careful(view, bad):
        text += f"\n{careful.strip()}"
    still = _as_seen(view, bad)
    if not others:
        return Ask("Run again", text, (Option("y", "run again", Do(RetryRequested(bad))),), still=still)
    usable = [difference for difference in others if not difference.startswith(UNUSABLE)]
    alike = set(usable or others)
    if len(alike) == 1:
        which = f" for {len(usable or others):,} of {len(bad):,}" if len(bad) > 1 else ""
        text += f"\n{_on_disk(alike.pop(), which)}"
    else:
        text += f"\nOn the disk {len(usable or others):,} of them have changed."
    new, old = ("its edited definition", "as it was") if len(bad) == 1 else ("edited definitions", "as they were")
    return Ask("Run again", text, tuple(_new_or_old(RetryRequested(bad), new if usable else "", old)), still=still)


def _nothing_to_rerun(view: RunView, numbers: Iterable[int], what: str) -> str:
    """Why nothing can be run again; what was skipped comes with the unit that it was skipped for."""
    ends = (view.unit(number).finished for number in numbers if view.states[number] is UnitState.SKIPPED)
    because = next((end.because for end in ends if end is not None and end.because >= 0), None)
    if because is None:
        return f"nothing failed, timed out or was canceled in {what}"
    return f"{what} was skipped because of {clean(view.unit(because).id)}: run that again"


def cancel_unit(view: RunView, number: int) -> Answer:
    """Stop a unit; asks when others are hit by it too. On one that is stopping already: kill it."""
    unit = view.unit(number)
    name = clean(unit.id)
    if unit.state.ended:
        return Note(f"{name} has ended; r runs it again")
    cancel = Do(CancelRequested((number,)))
    if unit.state is UnitState.CANCELING:
        return cancel
    skipped = _would_skip(view, (number,))
    if not skipped:
        return cancel
    text = f"cancel {name}; {counted(skipped, 'dependent')} will be skipped"
    still = _not_stopped_since(view, (number,))
    return Ask("Cancel", text, (Option("y", "cancel", cancel),), moot_when_ended=True, still=still)


def _not_stopped_since(view: RunView, numbers: Sequence[int]) -> Callable[[RunView], bool]:
    """Whether nobody else has asked these units to stop since `view`: asking twice kills."""
    running = [number for number in numbers if view.states[number] is not UnitState.CANCELING]
    return lambda now: all(now.states[number] is not UnitState.CANCELING for number in running)


def cancel_units(view: RunView, numbers: Sequence[int], what: str) -> Answer:
    """Stop all units of a bundle that have not ended, and kill those that are stopping already; always asks."""
    still = tuple(number for number in numbers if not view.states[number].ended)
    if not still:
        return Note(f"all units of {what} have ended")
    states = [view.states[number] for number in still]
    running, stopping = states.count(UnitState.RUNNING), states.count(UnitState.CANCELING)
    parts = ((running, "running"), (stopping, "stopping (to be killed)"), (len(still) - running - stopping, "waiting"))
    hit = ", ".join(f"{count:,} {word}" for count, word in parts if count)
    skipped = _would_skip(view, still)
    consequence = f"; {counted(skipped, 'dependent')} will be skipped" if skipped else ""
    text = f"cancel {counted(len(still), 'unit')} of {what}: {hit}{consequence}"
    unstopped = _not_stopped_since(view, still)
    cancel = Option("y", "cancel", Do(CancelRequested(still)))
    return Ask("Cancel", text, (cancel,), moot_when_ended=True, still=unstopped)


def _would_skip(view: RunView, numbers: Iterable[int]) -> int:
    """How many units that wait are skipped when these are canceled; handlers are not, they run or decide themselves."""
    return len(
        _reached(
            view,
            numbers,
            lambda unit: view.states[unit] is UnitState.PENDING and not view.plan.table[unit].is_handler,
        )
    )


def _reached(view: RunView, numbers: Iterable[int], goes_on: Callable[[int], bool]) -> set[int]:
    """The units below `numbers` for which `goes_on` holds, as for all between them; without `numbers`."""
    given = set(numbers)
    reached, stack = set(given), list(given)
    while stack:
        for fed in view.plan.feeds[stack.pop()]:
            if fed not in reached and goes_on(fed):
                reached.add(fed)
                stack.append(fed)
    return reached - given


def cancel_run(view: RunView) -> Answer:
    """End the run: let running units finish, or stop them; asks."""
    if view.state.ended:
        return Note("the run has finished")
    options = []
    if view.stopping is None:
        options.append(Option("d", "drain: let running units finish", Do(CancelRunRequested("drain"))))
    stopped = view.stopping is not None and view.stopping.how in ("stop", "timeout")
    label = "kill what still runs" if stopped else "stop running units now"
    options.append(Option("s", label, Do(CancelRunRequested("stop"))))
    return Ask("Cancel the run", _run_text(view), tuple(options), moot_when_ended=True, still=_stopping_as_in(view))


def _stopping_as_in(view: RunView) -> Callable[[RunView], bool]:
    """Whether nobody else has asked the run to end since `view`, or to end in another way."""
    return lambda now: now.stopping == view.stopping


def leave(view: RunView) -> Ask:
    """Leave the screen while the run goes on: what is to become of the run?"""
    options = [Option("c", "cancel the run, leave when it has stopped", Do(CancelRunRequested("stop"), leave=True))]
    if view.stopping is None:
        drain = Do(CancelRunRequested("drain"), leave=True)
        options.append(Option("d", "drain: let running units finish, then leave", drain))
    return Ask("Leave", _run_text(view), tuple(options), moot_when_ended=True, still=_stopping_as_in(view))


def pause(view: RunView) -> Answer:
    """Start nothing new, or start again."""
    if view.state.ended:
        return Note("the run has finished")
    return Do(UnpauseRequested() if view.paused else PauseRequested())


def answer(view: RunView, number: int | None) -> Answer:
    """Answer what waits for a person: the question of unit `number` or of the first that asks, else a brake."""
    asking = [unit for unit, last in enumerate(view.last) if isinstance(last, ConfirmRequested)]
    if asking:
        chosen = number if number in asking else asking[0]
        unit = view.unit(chosen)
        below = _would_skip(view, (chosen,))
        consequence = f"; {counted(below, 'dependent')} will be skipped" if below else ""
        options = (
            Option("y", "yes, start it", Do(ApproveRequested((chosen,)))),
            Option("c", f"cancel it{consequence}", Do(CancelRequested((chosen,)))),
        )

        def asks(now: RunView) -> bool:
            return isinstance(now.last[chosen], ConfirmRequested)

        return Ask(clean(unit.id), clean(unit.unit.confirm), options, moot_when_ended=True, still=asks)
    for scope, brake in view.brakes.items():
        if brake.state in (HELD, PROBING):
            release = Option("g", "let go, start again", Do(ReleaseRequested((scope,))))
            return Ask("Starts are held", clean(brake_words(brake)), (release,), moot_when_ended=True)
    return Note("nothing waits for an answer")


def held_brakes(view: RunView) -> list[str]:
    """The brakes that hold starts now, in words."""
    return [brake_words(brake) for brake in view.brakes.values() if brake.state in (HELD, PROBING)]


def more_workers(view: RunView, step: int) -> Answer:
    """Let more (`step` 1) or fewer (-1) units run at a time."""
    if view.state.ended:
        return Note("the run has finished")
    if view.workers + step < 1:
        return Note("one worker is the least; p pauses the run")
    return Do(WorkersStepRequested(step))


def adapt_workers(view: RunView) -> Answer:
    """Let the number of workers follow the machine."""
    if view.state.ended:
        return Note("the run has finished")
    if view.governed:
        return Note("the number of workers follows the machine already; + - fix it")
    return Do(GovernorRequested(True, "given back by you"))


def _run_text(view: RunView) -> str:
    still = len(view.plan) - view.ended
    return f"{counted(view.active, 'unit')} running, {still - view.active} not started yet."
