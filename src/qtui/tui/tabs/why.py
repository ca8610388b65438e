"""Why a unit is in its state: what it waits for and what not, what it died of, what depends on it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from math import inf
from typing import TYPE_CHECKING

from qtui.core.events import UnitCanceling
from qtui.core.expecting import NEVER
from qtui.core.failures import causes_of
from qtui.core.holding import Share
from qtui.core.model import FAILURES, UnitState
from qtui.core.obstacles import (
    Abandoned,
    BackOff,
    Blame,
    Busy,
    Cause,
    First,
    Handed,
    HeldBack,
    LookUp,
    Needs,
    Question,
    Reserved,
    Short,
    words,
)
from qtui.core.plan import reached
from qtui.core.state import UnitView
from qtui.core.why import WAITING
from qtui.tui.format import badges, counted, most_active, short_clock, time_of_day, tries
from qtui.tui.keys import key_for
from qtui.tui.outlook import rounded, span
from qtui.tui.roles import Role
from qtui.tui.tabs.entry import BLANK, Entry, Goal, heading, silence_entry
from qtui.tui.tabs.scene import MOST_TOLD, Scene

if TYPE_CHECKING:
    from qtui.tui.forecaster import Told

_MOST_CHAIN = 12
_MOST_HOLDERS = 8


def why_unit(scene: Scene, number: int) -> list[Entry]:
    """Why this unit is as it is."""
    unit = scene.view.unit(number)
    entries = [*_told(scene, unit), *_after(scene, unit)]
    return entries[1:] if entries and entries[0] is BLANK else entries


def why_units(scene: Scene, units: Sequence[int]) -> list[Entry]:
    """Why units that have a row together are as they are: what they wait for and what they died of, counted."""
    view = scene.view
    failed = [number for number in units if view.states[number] in FAILURES]
    entries: list[Entry] = []
    for cause in causes_of(view, failed)[:MOST_TOLD]:
        entries += _under("failed", [Entry(cause.words, Role.ERROR, goal=Goal(cause.units[0]))], len(cause.units))
    ready = [number for number in units if view.states[number] is UnitState.READY]
    for why, count in Counter(scene.bridge.waits_for(number, scene.now) for number in ready).most_common(MOST_TOLD):
        entries += _under("in the queue", [Entry(why, Role.ACCENT)], count)
    retrying = [number for number in units if view.states[number] is UnitState.RETRYING]
    if retrying:
        entries += _under("between two tries", scene.units(retrying), len(retrying))
    pending = [number for number in units if view.states[number] is UnitState.PENDING]
    if pending:
        own = set(units)
        needs = {need for number in pending for need in view.plan.needs[number]} - own
        open_needs = sorted(need for need in needs if not view.states[need].ended)
        entries += [BLANK, heading(f"{counted(len(pending), 'unit')} wait{'s' if len(pending) == 1 else ''} for")]
        entries += scene.units(open_needs) or [Entry("each other", Role.MUTED)]
    skipped = Counter(view.unit(number).because for number in units if view.states[number] is UnitState.SKIPPED)
    for because, count in skipped.most_common(MOST_TOLD):
        told = [scene.unit(because)] if because >= 0 else [Entry("reasons of their own", Role.MUTED)]
        entries += _under("skipped because of", told, count)
    entries += _blocks(scene, units)
    if not entries:
        return [Entry("nothing is left to wait for", Role.MUTED)]
    return entries[1:] if entries[0] is BLANK else entries


def _under(word: str, entries: list[Entry], count: int) -> list[Entry]:
    return [BLANK, heading(f"{counted(count, 'unit')} {word}"), *entries]


def _told(scene: Scene, unit: UnitView) -> Iterator[Entry]:
    """Why it is in its state."""
    match unit.state:
        case UnitState.PENDING | UnitState.READY | UnitState.RETRYING:
            yield from _waiting(scene, unit)
        case UnitState.RUNNING:
            yield from _running(scene, unit)
        case UnitState.CANCELING:
            yield from _stopping(scene, unit)
        case UnitState.COMPLETED:
            yield from _completed(scene, unit)
        case UnitState.FAILED | UnitState.TIMEOUT:
            yield from _failed(scene, unit)
        case UnitState.SKIPPED | UnitState.CANCELED:
            yield from _not_done(scene, unit)


def _waiting(scene: Scene, unit: UnitView) -> Iterator[Entry]:
    """What is in its way, first of all; then what is not."""
    causes = list(scene.bridge.reasons.causes(unit.number))
    later: list[Cause] = [cause for cause in causes if isinstance(cause, LookUp | Question) and cause.ahead]
    now = [cause for cause in causes if cause not in later]
    alone = (Needs, Blame, HeldBack, Abandoned, BackOff, Question)
    own: list[Cause] = [cause for cause in now if isinstance(cause, alone)]
    others = [cause for cause in now if cause not in own]
    yield from _start(scene, unit.number)
    for cause in own:
        yield from _own(scene, unit, cause)
    if others:
        yield BLANK
        yield heading("and for" if own else "waits for")
    for cause in others:
        yield from _other(scene, unit, cause)
    if later:
        yield BLANK
        yield heading("and then")
    for cause in later:
        yield Entry(words(cause, scene.view.plan, scene.now).removeprefix("then "), Role.MUTED)
    if not any(isinstance(cause, Question | BackOff | Handed) for cause in now):
        yield from _not_for(scene, unit, causes)


def _start(scene: Scene, number: int) -> Iterator[Entry]:
    """When it is expected to begin."""
    told = scene.bridge.outlook.told
    if told is not None and (lacks := told.out_of_time(number)):
        yield Entry(lacks, Role.WARNING, "expected")
    outlook = scene.bridge.outlook
    if (awaited := outlook.waits_for_end_of(number, scene.view)) >= 0:
        why = f"{scene.view.plan.table[awaited].id}: {outlook.unforeseen(awaited, scene.view)}"
        yield Entry(f"nobody knows when: waits for {why}", Role.PRIMARY, "starts", goal=Goal(awaited))
        return
    if told is None or not 0 < (begins := told.until_start(number, scene.now)) < inf:
        return
    text = _in_about(told, begins, told.start_within(number, scene.now))
    if told.forecast.assumed:
        text += f", with {' and '.join(told.forecast.assumed)}"
    yield Entry(text, Role.PRIMARY, "starts")
    yield from _guessed(told, number)


def _guessed(told: Told, number: int) -> Iterator[Entry]:
    """That nothing is known of how long it takes."""
    if number in told.forecast.guessed:
        yield Entry(f"a typical unit: {NEVER}", Role.MUTED, "taken for")


def _in_about(told: Told, seconds: float, within: tuple[float, float]) -> str:
    """``in about 3m (2-5m)``: in the middle of all cases, and in four of five."""
    text, (least, most) = f"in about {rounded(seconds)}", within
    if told.forecast.samples > 1 and most < inf:
        around = span(min(least, seconds), max(most, seconds))
        text += f" ({around})" if around != rounded(seconds) else ""
    return text


def _own(scene: Scene, unit: UnitView, cause: Cause) -> Iterator[Entry]:
    """What only this unit waits for."""
    view = scene.view
    match cause:
        case Needs(units, count):
            yield BLANK
            yield heading(f"waits for {len(units):,} of {counted(count, 'need')}")
            yield from scene.units(units)
            if roots := scene.bridge.reasons.at_work_above(units):
                yield BLANK
                yield heading("which wait for")
                yield from scene.units(roots)
            yield from _last(scene, roots or units)
        case Blame(units):
            yield BLANK
            yield heading("runs after a failure, and does not know yet whether there is one")
            yield from scene.units(units)
        case HeldBack(units):
            yield BLANK
            yield heading("was added by what runs again, and is held back until that has ended")
            yield from scene.units(units)
        case BackOff(until, attempt, tries):
            yield Entry(f"try {attempt} of {tries} in {max(0.0, until - scene.now):.0f} s", Role.WARNING, "waits")
            yield Entry(unit.cause, Role.ERROR, "because")
        case Question(text):
            yield Entry(text, Role.WARNING, "asks")
            if not scene.session.read_only:
                yield Entry(f"{key_for('unit.answer', scene.keymap)} answers", Role.MUTED)
        case _:
            yield Entry(words(cause, view.plan, scene.now), Role.WARNING)


def _last(scene: Scene, units: Sequence[int]) -> Iterator[Entry]:
    """Which of several units is expected to keep others waiting longest."""
    told = scene.bridge.outlook.told
    if told is None or len(units) < 2:
        return
    outlook = scene.bridge.outlook
    for number in units:
        if outlook.unforeseen(number, scene.view):
            yield Entry(f"nobody knows when {scene.view.plan.table[number].id} ends", Role.MUTED, goal=Goal(number))
            return
    left, slowest = max((told.until_end(number, scene.now), number) for number in units)
    if 0 < left < inf:
        name = scene.view.plan.table[slowest].id
        cut = told.forecast.runs_out_for(slowest)
        runs = "may run" if cut and told.forecast.may_run_out_for(slowest) else "runs"
        ends = f"time {runs} out for {name}" if cut else f"{name} is expected to be the last"
        yield Entry(f"{ends}, in about {rounded(left)}", Role.MUTED, goal=Goal(slowest))


def _other(scene: Scene, unit: UnitView, cause: Cause) -> Iterator[Entry]:
    """What others wait for, too."""
    match cause:
        case Handed(batch=True):
            yield Entry("a worker process has it, and begins it after what came before it of its batch", Role.ACCENT)
        case Handed(cluster=True, unmanned=True):
            yield Entry("waits for the cluster, which has no workers: it begins when one comes", Role.ACCENT)
        case Handed(cluster=True):
            yield Entry("waits for the cluster: it begins when a worker there has room for it", Role.ACCENT)
        case Handed(worker):
            yield Entry(f"worker {worker} ({unit.lane}) has it, and is about to begin", Role.ACCENT)
        case Short(share):
            yield from _share(scene, share)
        case First(units):
            yield Entry(f"{counted(len(units), 'unit')} that go{'es' * (len(units) == 1)} first", Role.ACCENT)
            yield from _by_name(scene, units)
        case Reserved(units=units) | Busy(units=units):
            yield Entry(words(cause, scene.view.plan, scene.now), Role.ACCENT)
            yield from scene.units(units)
        case _:
            yield Entry(words(cause, scene.view.plan, scene.now), Role.ACCENT)


def _by_name(scene: Scene, units: Sequence[int]) -> Iterator[Entry]:
    """The first few of units that are often of one family."""
    yield from map(scene.unit, units[:_MOST_HOLDERS])
    if len(units) > _MOST_HOLDERS:
        yield Entry(f"and {len(units) - _MOST_HOLDERS} more", Role.MUTED)


def _not_for(scene: Scene, unit: UnitView, causes: Sequence[Cause]) -> Iterator[Entry]:
    """What it could be thought to wait for, and does not."""
    view, bridge = scene.view, scene.bridge
    awaited = {number for cause in causes if isinstance(cause, Needs) for number in cause.units}
    entries = scene.units(need for need in view.plan.needs[unit.number] if need not in awaited)
    short = {cause.share.limit for cause in causes if isinstance(cause, Short)}
    short.update(limit for cause in causes if isinstance(cause, Reserved) for limit in cause.limits)
    if unit.state is UnitState.READY:
        for share in bridge.holders.wanted(unit.number):
            if share.limit not in short:
                entries.append(Entry(share.words, Role.MUTED, share.limit))
        # of a cluster the limit of its lane has said it
        if not any(isinstance(cause, Busy) for cause in causes) and unit.lane not in scene.session.options.elsewhere:
            entries.append(Entry(f"{bridge.busy} of {most_active(view)} busy", Role.MUTED, "workers"))
    if entries:
        yield BLANK
        yield heading("does not wait for")
        yield from entries


def _share(scene: Scene, share: Share) -> Iterator[Entry]:
    text = ", ".join(filter(None, (share.wanted_words, share.words)))
    yield Entry(text, Role.ACCENT, share.limit)
    plan = scene.view.plan
    for holder in share.holders[:_MOST_HOLDERS]:
        number = plan.numbers.get(holder)
        if number is None:
            yield Entry(holder, label="  held by")
        else:
            yield scene.unit(number)._replace(label="  held by")
    if len(share.holders) > _MOST_HOLDERS:
        yield Entry(f"and {len(share.holders) - _MOST_HOLDERS} more", Role.MUTED)


def _running(scene: Scene, unit: UnitView) -> Iterator[Entry]:
    elapsed = unit.elapsed(scene.now)
    if unit.started_at is not None and elapsed is not None:
        yield Entry(f"{time_of_day(unit.started_at)}, for {short_clock(elapsed)}", Role.PRIMARY, "runs since")
    yield from silence_entry(unit, scene.now)
    outlook = scene.bridge.outlook
    told = outlook.told
    if unforeseen := outlook.unforeseen(unit.number, scene.view):
        yield Entry(f"nobody knows when: {unforeseen}", Role.PRIMARY, "ends")
        if limit := outlook.soon(unit.number, scene.view, scene.now):
            yield Entry(f"{limit}, if it goes on until then", label="at most")
    elif told is not None and 0 < (left := told.until_end(unit.number, scene.now)) < inf:
        text, lacks = _in_about(told, left, told.end_within(unit.number, scene.now)), told.out_of_time(unit.number)
        yield Entry(text, Role.PRIMARY, "times out" if lacks else "ends")
        if lacks:
            yield Entry(lacks, Role.WARNING, "expected")
        yield from _guessed(told, unit.number)
    yield Entry(f"{unit.place or unit.worker} ({unit.lane})", label="worker")
    if tried := tries(unit):
        yield Entry(tried, label="try")
    progress = unit.progress
    if progress is not None:
        share = f"{progress.done:g} of {progress.total:g}" if progress.total else f"{progress.done:g}"
        yield Entry(" ".join(filter(None, (share, progress.message))), label="progress")


def _stopping(scene: Scene, unit: UnitView) -> Iterator[Entry]:
    last = scene.view.last[unit.number]
    if isinstance(last, UnitCanceling):
        since = f"{short_clock(scene.now - last.at)} ago"
        asked = f"{'is being killed' if last.killing else 'was asked to stop'} {since}"
        yield Entry(f"was taken back {since}, and had not begun" if unit.started_at is None else asked, Role.WARNING)
        yield Entry(last.cause, label="because")


def _completed(scene: Scene, unit: UnitView) -> Iterator[Entry]:
    end = unit.finished
    if end is None:
        return
    if end.cached:
        yield Entry("an earlier result is used", Role.CACHED, "not run")
        yield Entry(end.cause, label="because")
    elif end.set_aside:
        yield Entry(end.cause, Role.WARNING)
        yield Entry("its fallback value, or none, is used as its result", Role.WARNING)
    else:
        yield Entry(f"completed in {short_clock(end.duration)}", Role.SUCCESS)
        if reason := scene.attempts.missed(unit.id):
            yield Entry(f"no earlier result could be used: {reason}", Role.MUTED, "ran because")
    if end.fallback and not end.set_aside:
        yield Entry("its fallback is used instead of a result", Role.WARNING)
        if end.error is not None:
            yield Entry(str(end.error), Role.ERROR, "after")
    if stale := scene.view.stale.get(unit.number):
        yield Entry(stale, Role.WARNING, "stale")


def _failed(scene: Scene, unit: UnitView) -> Iterator[Entry]:
    error = unit.error
    yield Entry(str(error) if error is not None else unit.cause, Role.ERROR, "failed")
    if error is not None and error.last_line:
        yield Entry(error.last_line, label="last line")
    if unit.unit.retry.max:
        tried = unit.attempt_in_generation
        missing = error is not None and not unit.unit.retry.covers(error)
        yield Entry(f"{tried} of {unit.unit.retry.max + 1}{', as it is not one to be retried' if missing else ''}",
                    label="tries")  # fmt: skip
    if "allowed" in badges(unit):
        yield Entry("the failure is allowed: what needs this unit runs all the same", Role.WARNING)
    cause = next((cause for cause in scene.bridge.causes if unit.number in cause.units), None)
    if cause is not None and len(cause.units) > 1:
        others = [number for number in cause.units if number != unit.number]
        yield BLANK
        yield heading(f"{counted(len(others), 'other unit')} failed alike: {cause.words}")
        yield from _by_name(scene, others)
    below = sorted(reached(scene.view.plan.feeds, unit.number))
    skipped = [number for number in below if scene.view.states[number] is UnitState.SKIPPED]
    alone = [number for number in skipped if scene.view.unit(number).because == unit.number]
    for_others = sorted(set(skipped) - set(alone))
    if alone:
        yield BLANK
        yield heading(f"{counted(len(alone), 'unit')} did not run because of it")
        yield from scene.units(alone)
    if for_others:
        yield BLANK
        yield heading(f"{counted(len(for_others), 'unit')} below it did not run for another failure")
        yield from scene.units(for_others)


def _not_done(scene: Scene, unit: UnitView) -> Iterator[Entry]:
    """Down the chain to what failed."""
    skipped = unit.state is UnitState.SKIPPED
    yield Entry(unit.cause, Role.TEXT, "skipped" if skipped else "canceled")
    because = unit.because
    if because < 0:
        return
    chain = _chain(scene, unit.number, because)
    yield BLANK
    yield heading("because of")
    for number in chain[-_MOST_CHAIN:]:
        yield scene.unit(number)
    error = scene.view.unit(because).error
    if error is not None:
        yield Entry(str(error), Role.ERROR, "its failure", goal=Goal(because))
    if others := _also_in_the_way(scene, unit.number, because):
        yield BLANK
        yield heading("also in its way")
        yield from scene.units(others)


def _also_in_the_way(scene: Scene, number: int, because: int) -> list[int]:
    """What failed or was canceled above a unit besides the first, which is all that its end names."""
    view = scene.view
    bad = (*FAILURES, UnitState.CANCELED)
    above = (need for need in reached(view.plan.needs, number) if view.states[need] in bad and need != because)
    return sorted(need for need in above if not view.plan.table[need].allow_failure)


def _chain(scene: Scene, number: int, because: int) -> list[int]:
    """From the unit's need that did not run to the unit that failed."""
    view, chain = scene.view, []
    seen = {number}
    while number != because:
        needs = view.plan.needs[number]
        if because in needs:
            number = because
        else:
            fits = (need for need in needs if need not in seen and view.unit(need).because == because)
            number = next(fits, because)
        seen.add(number)
        chain.append(number)
    return chain


def _after(scene: Scene, unit: UnitView) -> Iterator[Entry]:
    """What waits for the unit."""
    if not unit.state.ended:
        yield from _blocks(scene, [unit.number])


def _blocks(scene: Scene, units: Sequence[int]) -> list[Entry]:
    view, own = scene.view, set(units)
    feeds = {fed for number in units if not view.states[number].ended for fed in view.plan.feeds[number]} - own
    waiting = sorted(fed for fed in feeds if view.states[fed] in WAITING)
    if not waiting:
        return []
    count = scene.reach.below(view.plan, units)
    more = f", {count:,} with all below" if count > len(waiting) else ""
    return [BLANK, heading(f"{counted(len(waiting), 'unit')} wait{'s' if len(waiting) == 1 else ''} for it{more}"),
            *scene.units(waiting)]  # fmt: skip
