"""What a key asks of the run, given what is known: a request, a question first, or a word why not. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple

from qtui.core.brakes import HELD, PROBING
from qtui.core.editing import HIGHEST, LOWEST
from qtui.core.events import BrakeChanged, ConfirmRequested, UnitCanceling
from qtui.core.holding import bounded, brake_words
from qtui.core.model import RunState, UnitState
from qtui.core.state import RunView
from qtui.core.stimuli import (
    ApproveRequested,
    CancelRequested,
    CancelRunRequested,
    EditRequested,
    GovernorRequested,
    PauseRequested,
    ReleaseRequested,
    Request,
    SetAsideRequested,
    UnpauseRequested,
    WorkersRequested,
    WorkersStepRequested,
)
from qtui.tui.actions import USUAL, Keymap
from qtui.tui.format import counted
from qtui.tui.keys import key_for
from qtui.tui.text import clean


class Note(NamedTuple):
    """Nothing is asked of the run; `text` says why."""

    text: str


class Do(NamedTuple):
    """Ask this of the run; with `leave` the screen is left when the run has finished. What cannot be seen is `said`."""

    request: Request
    leave: bool = False
    said: str = ""


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
    do the same from elsewhere: an answer counts only if the view is `still` one in which it means what was asked. A
    text that tells of the whole run is said `anew` of each later view.
    """

    title: str
    text: str
    options: tuple[Option, ...]
    moot_when_ended: bool = False
    still: Callable[[RunView], bool] = lambda _view: True
    anew: Callable[[RunView], str] | None = None


Answer = Note | Do | Ask


def named(view: RunView, numbers: Sequence[int], what: str) -> str:
    """What these units are called: the unit, if it is one, else `what`."""
    return clean(view.unit(numbers[0]).id) if len(numbers) == 1 else what


def some_of(count: int, numbers: Sequence[int], what: str) -> str:
    """So many of these units that are called `what` together: ``9 units of extract[0..9]``, ``3 of 5 marked units``."""
    if what.startswith((f"{len(numbers):,} ", f"{len(numbers)} ")):
        return what if count == len(numbers) else f"{count:,} of {what}"
    return f"{counted(count, 'unit')} of {what}"


def cancel(view: RunView, numbers: Sequence[int], what: str, keymap: Keymap = USUAL) -> Answer:
    """Stop all of these that have not ended, and kill those that are stopping already; asks once, and names them."""
    numbers = tuple(numbers)
    hit = tuple(number for number in numbers if not view.states[number].ended)
    if not numbers:
        return Note("there is no unit to cancel")
    if view.state.ended or not hit:
        if len(numbers) > 1:
            return Note(f"all units of {what} have ended")
        return Note(f"{named(view, numbers, what)} has ended; {key_for('unit.retry', keymap)} runs it again")
    cancels = CancelRequested(hit)
    if len(numbers) > 1:
        text = f"cancel {some_of(len(hit), numbers, what)}: {_by_need(view, hit)}{_skips(view, hit)}"
        return _ask_to_stop(view, hit, "Cancel", text, Option("y", "cancel", Do(cancels)))
    number, name = hit[0], named(view, hit, what)
    if view.states[number] is not UnitState.CANCELING:
        text = f"cancel {name}{_skips(view, hit)}"
        return _ask_to_stop(view, hit, "Cancel", text, Option("y", "cancel", Do(cancels)))
    if _is_killed(view, number):
        return Note(f"{name} is being killed already")
    asked = "has been asked to stop" if view.unit(number).started_at is not None else "had not begun"
    text = f"kill {name}, which {asked}{_skips(view, hit)}"
    return _ask_to_stop(view, hit, "Kill", text, Option("y", "kill", Do(cancels)))


def kill(view: RunView, numbers: Sequence[int], what: str) -> Answer:
    """Stop all of these that run by force, without a time to end by themselves; asks."""
    numbers = tuple(numbers)
    hit = tuple(number for number in numbers if at_work(view, number) and not _is_killed(view, number))
    if not hit:
        if not numbers:
            return Note("there is no unit to kill")
        return Note(f"none of {what} runs" if len(numbers) > 1 else f"{named(view, numbers, what)} does not run")
    name = some_of(len(hit), numbers, what) if len(numbers) > 1 else named(view, numbers, what)
    text = f"kill {name} at once{_skips(view, hit)}"
    # asked for twice in one request: what has been asked to stop is killed
    twice = tuple(each for number in hit for each in _asks(view, number))
    return _ask_to_stop(view, hit, "Kill", text, Option("y", "kill", Do(CancelRequested(twice))))


def _asks(view: RunView, number: int) -> tuple[int, ...]:
    return (number,) if view.states[number] is UnitState.CANCELING else (number, number)


def at_work(view: RunView, number: int) -> bool:
    """Whether a unit holds a worker."""
    return view.states[number] in (UnitState.RUNNING, UnitState.CANCELING) or view.unit(number).submitted


def _is_killed(view: RunView, number: int) -> bool:
    last = view.last[number]
    return isinstance(last, UnitCanceling) and last.killing


def _by_need(view: RunView, numbers: Sequence[int]) -> str:
    """``4 running, 5 waiting``."""
    states = [view.states[number] for number in numbers]
    running, stopping = states.count(UnitState.RUNNING), states.count(UnitState.CANCELING)
    waiting = len(states) - running - stopping
    parts = ((running, "running"), (stopping, "stopping (to be killed)"), (waiting, "waiting"))
    return ", ".join(f"{count:,} {word}" for count, word in parts if count)


def _skips(view: RunView, numbers: Sequence[int]) -> str:
    """The consequence for dependents, as the end of a sentence; empty if there is none."""
    skipped = _would_skip(view, numbers)
    return f"; {counted(skipped, 'dependent')} will be skipped" if skipped else ""


def _ask_to_stop(view: RunView, hit: Sequence[int], title: str, text: str, option: Option) -> Ask:
    """A question that makes sense until the units have ended, run again, or are asked to stop by somebody else: asking
    twice kills."""
    unasked = [number for number in hit if view.states[number] is not UnitState.CANCELING]
    unchanged = as_seen(view, hit)

    def still(now: RunView) -> bool:
        if not unchanged(now) or any(now.states[number] is UnitState.CANCELING for number in unasked):
            return False
        return not all(now.states[number].ended for number in hit)

    return Ask(title, text, (option,), moot_when_ended=True, still=still)


def as_seen(view: RunView, numbers: Sequence[int]) -> Callable[[RunView], bool]:
    """Whether these are the same units as in `view`, and have not run again since nor are about to."""
    seen = [(number, view.generations[number], view.plan.table[number].id) for number in numbers]

    def unchanged(now: RunView) -> bool:
        table, generations = now.plan.table, now.generations
        return all(
            number < len(table) and table[number].id == id_ and generations[number] == generation
            for number, generation, id_ in seen
        )

    return unchanged


def set_aside(
    view: RunView,
    numbers: Sequence[int],
    what: str,
    ways: Sequence[Literal["skip", "done"]] = ("skip", "done"),
    keymap: Keymap = USUAL,
) -> Answer:
    """Do without these units, in one of the `ways`: as skipped, or as if they had completed with the value of their
    fallback; asks which, and names what becomes of their dependents."""
    numbers = tuple(numbers)
    name = named(view, numbers, what) if numbers else "nothing"
    if view.stopping is not None and not view.state.ended:
        return Note("the run is ending; units can be skipped when it has ended")
    idle = [number for number in numbers if not at_work(view, number)]
    skipped = tuple(number for number in idle if not view.states[number].ended and not view.state.ended)
    done = tuple(number for number in idle if view.states[number] is not UnitState.COMPLETED)
    options = []
    if skipped and "skip" in ways:
        label = f"skip {_counted_of(skipped, numbers)}{_skips(view, skipped)}"
        options.append(Option("s", label, Do(SetAsideRequested(skipped, "skip", "skipped by you"))))
    if done and "done" in ways and view.state is not RunState.INTERRUPTED:
        label = f"mark {_counted_of(done, numbers)} as done, with {_value_of(view, done)}"
        options.append(Option("d", label, Do(SetAsideRequested(done, "done", "marked as done by you"))))
    if not options:
        return Note(_not_aside(view, numbers, name, keymap))
    left = len(numbers) - len(idle)
    text = f"Do without {name}?" + (
        f"\n{left:,} of them {'runs' if left == 1 else 'run'} and will be left alone." if left else ""
    )
    return Ask("Skip", text, tuple(options), still=as_seen(view, numbers))


def _counted_of(some: Sequence[int], numbers: Sequence[int]) -> str:
    return "it" if len(numbers) == 1 else counted(len(some), "unit")


def _value_of(view: RunView, numbers: Sequence[int]) -> str:
    with_value = sum(view.plan.table[number].fallback is not None for number in numbers)
    if not with_value:
        return "no value (None) for what needs it" if len(numbers) == 1 else "no value (None) for what needs them"
    if with_value == len(numbers):
        return "the value of its fallback" if len(numbers) == 1 else "the values of their fallbacks"
    return f"the values of {with_value:,} fallbacks, and None for the others"


def _not_aside(view: RunView, numbers: Sequence[int], name: str, keymap: Keymap) -> str:
    """Why nothing can be set aside."""
    if not numbers:
        return "there is no unit to skip"
    if any(at_work(view, number) for number in numbers):
        return f"{name} runs; {key_for('unit.cancel', keymap)} cancels it first"
    if view.state is RunState.INTERRUPTED:
        return "the run was interrupted: qtui resume goes on with it"
    return f"{name} {view.states[numbers[0]].told}" if len(numbers) == 1 else f"all of {name} have ended"


def prioritize(view: RunView, numbers: Sequence[int], what: str, step: int) -> Answer:
    """Let those of these that have not begun start earlier, or later if `step` is below zero."""
    numbers = tuple(numbers)
    waiting = tuple(number for number in numbers if not view.states[number].ended and not at_work(view, number))
    if view.state.ended:
        return Note("the run has finished")
    if not waiting:
        name = named(view, numbers, what) if numbers else "nothing"
        return Note(f"{name} does not wait to start: its priority means nothing now")
    request = EditRequested(waiting, priority=step, cause="priority set by you")
    if len(waiting) > 1:
        some = some_of(len(waiting), numbers, what)
        return Do(request, said=f"priority of {some}: {step:+d}")
    unit = view.plan.table[waiting[0]]
    priority = min(max(unit.priority + step, LOWEST), HIGHEST)
    if priority == unit.priority:
        return Note(f"{priority} is the {'highest' if step > 0 else 'lowest'} priority")
    return Do(request, said=f"priority of {clean(unit.id)}: {unit.priority} -> {priority}")


def _would_skip(view: RunView, numbers: Iterable[int]) -> int:
    """How many units that wait are skipped when these are canceled; handlers are not, they run or decide themselves."""

    def waits(unit: int) -> bool:
        return view.states[unit] is UnitState.PENDING and not view.plan.table[unit].is_handler

    return len(reached(view, numbers, waits))


def reached(view: RunView, numbers: Iterable[int], goes_on: Callable[[int], bool]) -> set[int]:
    """The units below `numbers` for which `goes_on` holds, as for all between them; without `numbers`."""
    given = set(numbers)
    found, stack = set(given), list(given)
    while stack:
        for fed in view.plan.feeds[stack.pop()]:
            if fed not in found and goes_on(fed):
                found.add(fed)
                stack.append(fed)
    return found - given


def cancel_run(view: RunView) -> Answer:
    """End the run: let running units finish, or stop them; asks."""
    if view.state.ended:
        return Note("the run has finished")
    options = []
    if view.stopping is None:
        options.append(Option("f", "finish what runs, cancel the rest (drain)", Do(CancelRunRequested("drain"))))
    stopped = view.stopping is not None and view.stopping.how in ("stop", "timeout")
    label = "kill what still runs" if stopped else "stop what runs now, cancel the rest"
    options.append(Option("s", label, Do(CancelRunRequested("stop"))))
    return _about_run("Cancel the run", view, options)


def _about_run(title: str, view: RunView, options: Sequence[Option]) -> Ask:
    still = _stopping_as_in(view)
    return Ask(title, _run_text(view), tuple(options), moot_when_ended=True, still=still, anew=_run_text)


def _stopping_as_in(view: RunView) -> Callable[[RunView], bool]:
    """Whether nobody else has asked the run to end since `view`, or to end in another way."""
    return lambda now: now.stopping == view.stopping


def leave(view: RunView) -> Ask:
    """Leave the screen while the run goes on: what is to become of the run?"""
    options = [Option("c", "cancel the run, quit when it has stopped", Do(CancelRunRequested("stop"), leave=True))]
    if view.stopping is None:
        # not d for drain: with shift that is the answer by which the run goes on
        drain = Do(CancelRunRequested("drain"), leave=True)
        options.append(Option("f", "finish what runs, cancel the rest (drain), then quit", drain))
    return _about_run("Quit", view, options)


def pause(view: RunView, wanted: bool | None = None) -> Answer:
    """Start nothing new (`wanted` True), or start again (False); None does what is not so now."""
    if view.state.ended:
        return Note("the run has finished")
    if wanted is view.paused:
        return Note("the run is paused already" if wanted else "the run is not paused")
    return Do(UnpauseRequested() if view.paused else PauseRequested())


def answer(view: RunView, number: int | None) -> Answer:
    """Answer what waits for a person: the question of unit `number` or of the first that asks, else a brake."""
    asking = [unit for unit, last in enumerate(view.last) if isinstance(last, ConfirmRequested)]
    if asking:
        chosen = number if number in asking else asking[0]
        unit = view.unit(chosen)
        options = (
            Option("y", "yes, start it", Do(ApproveRequested((chosen,)))),
            Option("c", f"cancel it{_skips(view, (chosen,))}", Do(CancelRequested((chosen,)))),
        )

        def asks(now: RunView) -> bool:
            return isinstance(now.last[chosen], ConfirmRequested)

        return Ask(clean(unit.id), clean(unit.unit.confirm), options, moot_when_ended=True, still=asks)
    held = release(view)
    return held if isinstance(held, Ask) else Note("nothing waits for an answer")


def release(view: RunView) -> Answer:
    """Let go of all brakes that hold starts now."""
    held = {scope: brake for scope, brake in view.brakes.items() if brake.state in (HELD, PROBING)}
    if view.state.ended or not held:
        return Note("nothing holds starts")
    option = Option("y", "let go, start again", Do(ReleaseRequested(tuple(held))))
    words = "\n".join(clean(_with_cause(brake)) for brake in held.values())
    return Ask("Starts are held", words, (option,), moot_when_ended=True)


def _with_cause(brake: BrakeChanged) -> str:
    """What a brake stands on and why it holds, with what the failures had in common, if it asks for that."""
    return f"{brake_words(brake)}: {brake.signature}" if brake.signature else brake_words(brake)


def more_workers(view: RunView, step: int, keymap: Keymap = USUAL, *, cluster: bool = False) -> Answer:
    """Let more (`step` 1) or fewer (-1) units run at a time."""
    if view.state.ended:
        return Note("the run has finished")
    if view.workers + step < 1:
        least = "unit at a time" if cluster else "worker"
        return Note(f"one {least} is the least; {key_for('run.pause', keymap)} pauses the run")
    return Do(WorkersStepRequested(step))


def set_workers(view: RunView, count: int, most: int, *, cluster: bool = False) -> Answer:
    """Let `count` units run at a time; the run has `most` at the most."""
    if view.state.ended:
        return Note("the run has finished")
    said = f"{bounded(cluster)}: {count if count <= most else f'{most}, which is max_workers'}"
    return Do(WorkersRequested(count), said=said)


def adapt_workers(view: RunView, keymap: Keymap = USUAL, *, cluster: bool = False) -> Answer:
    """Let the number of workers follow the machine, or a cluster."""
    if view.state.ended:
        return Note("the run has finished")
    if view.governed:
        steps = f"{key_for('run.workers_up', keymap)} {key_for('run.workers_down', keymap)}"
        follows = "adapts" if cluster else "follows the machine"
        return Note(f"the number of {bounded(cluster)} {follows} already; {steps} fix it")
    return Do(GovernorRequested(True, "chosen by you"))


def _run_text(view: RunView) -> str:
    begun = view.active - view.submitted
    return f"{counted(begun, 'unit')} running, {len(view.plan) - view.ended - begun} not started yet."
