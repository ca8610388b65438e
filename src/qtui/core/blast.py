"""What a request would come to: the same run in virtual time, with it and without. Pure."""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from qtui.core.expecting import TYPICAL, Expectations, worth_a_word
from qtui.core.folding import fold
from qtui.core.forecast import Analysis, first_awaited, rests_on_guess
from qtui.core.machine import CANCELED, COMPLETED, SKIPPED
from qtui.core.model import EMPTY, UnitState
from qtui.core.options import RunOptions
from qtui.core.scheduler import Scheduler
from qtui.core.simulation import Simulated, Simulation
from qtui.core.state import RunView
from qtui.core.stimuli import EditRequested, Request

_DROPPED: Final = frozenset({SKIPPED, CANCELED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Blast:
    """What becomes of a run after a request, unless an attempt fails.

    `again` are the units that run because of it, `skipped` those that will not run because of it and were not named,
    both by number, and `kept` is how many completed ones stay as they are. For `late` more units time runs out (fewer,
    if below 0). `left` is how many seconds the run then takes from now on, and `added` how many more that is than
    without it; None where nobody knows how long units take, `added` also where not as many complete in time. With
    `guessed` it is only guessed how long the units take that `late` counts. `awaited` are the running units of which
    nobody knows when they end, and that the run's end waits for then: `left` has them end now.
    """

    again: tuple[int, ...]
    skipped: tuple[int, ...]
    kept: int
    late: int
    left: float | None
    added: float | None
    guessed: bool = False
    awaited: tuple[int, ...] = ()


def blasts(
    view: RunView,
    options: RunOptions,
    requests: Sequence[Request],
    past: Mapping[str, Sequence[float]] = EMPTY,
    *,
    now: float,
) -> Generator[Blast | None, None, None]:
    """What each of `requests` would come to, in order; yields None after each small step, of one or two milliseconds.

    All that has a duration takes its middle. A request that would take definitions from the disk is taken to find there
    what the run has. `past` is as in `Expectations`.
    """
    now = view.moment(now)
    expected = yield from Expectations.in_steps(view, past)
    seconds = expected.middles(now)
    unforeseen = expected.unforeseen(now)
    guesses = {number for number, each in enumerate(expected.each) if each is not None and each.basis == TYPICAL}
    yield None
    usual = yield from Simulation(view, options, now).steps(seconds)
    for request in requests:
        then = after(view, options, request, now)
        yield None
        asked = yield from Simulation(then, options, now).steps(seconds)
        runs = _runs(view, then, asked)
        again = tuple(sorted(runs.difference(usual.order)))
        named = frozenset(getattr(request, "units", ()))
        dropped = _dropped(then, asked)
        skipped = tuple(sorted(dropped - _dropped(view, usual) - named - runs))
        late = len(asked.late - usual.late) - len(usual.late - asked.late - dropped)
        awaited = {number: why for number, why in unforeseen.items() if then.states[number] is UnitState.RUNNING}
        known = not (expected.unknown or asked.unfinished or usual.unfinished or does_other_work(request))
        yield Blast(
            again=again,
            skipped=skipped,
            kept=view.counts[COMPLETED] - sum(view.states[number] is COMPLETED for number in {*again, *named}),
            late=late,
            left=asked.seconds if known else None,
            added=asked.seconds - usual.seconds if known and not late else None,
            guessed=late != 0
            and any(rests_on_guess(guesses, each.late, each, view.plan.needs) for each in (usual, asked)),
            awaited=worth_a_word(awaited, stands=bool(awaited) and _stands(then, options, asked, awaited)),
        )


def after(view: RunView, options: RunOptions, request: Request, now: float) -> RunView:
    """The view right behind a request: the scheduler itself decides about it."""
    return fold(view, Scheduler.restore(options, view).handle(request, now).events)


def does_other_work(request: Request) -> bool:
    """Whether what units took so far says nothing any more."""
    return isinstance(request, EditRequested) and bool(request.command or request.args or request.env)


def _stands(view: RunView, options: RunOptions, simulated: Simulated, unforeseen: Collection[int]) -> bool:
    """Whether the end follows from that of one of these."""
    path, _ = Analysis(view, options, simulated).path_and_stretches()
    return any(number in unforeseen for number in (*path[:1], first_awaited(path, simulated)))


def _runs(view: RunView, then: RunView, simulated: Simulated) -> set[int]:
    """The units of which an attempt begins, at once or later."""
    at_once = {n for n, (before, now) in enumerate(zip(view.attempts, then.attempts, strict=True)) if before != now}
    return at_once.union(simulated.order)


def _dropped(view: RunView, simulated: Simulated) -> set[int]:
    """The units that have ended without an attempt to complete, and those that will."""
    ended = {number for number, state in enumerate(view.states) if state in _DROPPED}
    return ended | {number for number, end in simulated.otherwise.items() if end.state in _DROPPED}
