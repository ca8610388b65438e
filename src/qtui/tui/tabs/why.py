"""Why a unit is in its state: what it waits for and what not, what it died of, what depends on it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from qtui.core.events import ConfirmRequested, UnitCanceling, UnitFinished
from qtui.core.failures import causes_of
from qtui.core.holding import Share, held_by_brake
from qtui.core.model import FAILURES, UnitState
from qtui.core.plan import reached
from qtui.core.state import UnitView
from qtui.tui.format import badges, counted, most_active, short_clock, time_of_day, tries, waits_for_itself
from qtui.tui.roles import Role
from qtui.tui.tabs.entry import BLANK, Entry, Goal, heading
from qtui.tui.tabs.scene import MOST_TOLD, Scene

_MOST_CHAIN = 12
_MOST_HOLDERS = 8
_WAITING = (UnitState.PENDING, UnitState.READY, UnitState.RETRYING)


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
    waits = Counter(scene.bridge.waits_for(number) for number in units if view.states[number] is UnitState.READY)
    for why, count in waits.most_common(MOST_TOLD):
        entries += _under("in the queue", [Entry(why or "about to start", Role.ACCENT)], count)
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
    skipped = Counter(_because(view.last[number]) for number in units if view.states[number] is UnitState.SKIPPED)
    for because, count in skipped.most_common(MOST_TOLD):
        told = [scene.unit(because)] if because >= 0 else [Entry("because of what they say themselves", Role.MUTED)]
        entries += _under("skipped because of", told, count)
    entries += _blocks(scene, units)
    if not entries:
        return [Entry("nothing is left to wait for", Role.MUTED)]
    return entries[1:] if entries[0] is BLANK else entries


def _under(word: str, entries: list[Entry], count: int) -> list[Entry]:
    return [BLANK, heading(f"{counted(count, 'unit')} {word}"), *entries]


def _because(last: object) -> int:
    return last.because if isinstance(last, UnitFinished) else -1


def _told(scene: Scene, unit: UnitView) -> Iterator[Entry]:
    """Why it is in its state."""
    match unit.state:
        case UnitState.PENDING:
            yield from _pending(scene, unit)
        case UnitState.READY:
            yield from _ready(scene, unit)
        case UnitState.RUNNING:
            yield from _running(scene, unit)
        case UnitState.RETRYING:
            left = unit.retry_in(scene.now) or 0
            most = unit.unit.retry.max + 1
            yield Entry(f"try {unit.attempt_in_generation + 1} of {most} in {left:.0f} s", Role.WARNING, "waits")
            yield Entry(unit.cause, Role.ERROR, "because")
        case UnitState.CANCELING:
            yield from _stopping(scene, unit)
        case UnitState.COMPLETED:
            yield from _completed(scene, unit)
        case UnitState.FAILED | UnitState.TIMEOUT:
            yield from _failed(scene, unit)
        case UnitState.SKIPPED | UnitState.CANCELED:
            yield from _not_done(scene, unit)


def _pending(scene: Scene, unit: UnitView) -> Iterator[Entry]:
    view = scene.view
    needs = view.plan.needs[unit.number]
    open_needs = [need for need in needs if not view.states[need].ended]
    if itself := waits_for_itself(unit):
        yield Entry(itself, Role.WARNING)
    if open_needs:
        yield heading(f"waits for {len(open_needs):,} of {counted(len(needs), 'need')}")
        yield from scene.units(open_needs)
    if roots := _roots(scene, open_needs):
        yield BLANK
        yield heading("which wait for")
        yield from scene.units(roots)
    ended = [need for need in needs if view.states[need].ended]
    if ended:
        yield BLANK
        yield heading("does not wait for")
        yield from scene.units(ended)


def _roots(scene: Scene, open_needs: Sequence[int]) -> list[int]:
    """What is at work, or could be, above needs that wait themselves."""
    states, needs = scene.view.states, scene.view.plan.needs
    stack = [need for need in open_needs if states[need] is UnitState.PENDING]
    seen, roots = set(stack), []
    while stack:
        for need in needs[stack.pop()]:
            if need in seen or states[need].ended:
                continue
            seen.add(need)
            if states[need] is UnitState.PENDING:
                stack.append(need)
            else:
                roots.append(need)
    return sorted(roots)


def _ready(scene: Scene, unit: UnitView) -> Iterator[Entry]:
    """What keeps it from starting, and what does not."""
    view, bridge, number = scene.view, scene.bridge, unit.number
    last = view.last[number]
    if isinstance(last, ConfirmRequested):
        yield Entry(last.question, Role.WARNING, "asks")
        if not scene.session.read_only:
            yield Entry("a answers", Role.MUTED)
        return
    if unit.submitted:
        yield Entry(f"worker {unit.worker} of the {unit.lane} lane has it, and is about to begin", Role.ACCENT)
        return
    wants = bridge.holders.wanted(view, number)
    short = [share for share in wants if share.short]
    why = bridge.waits_for(number)
    yield heading("waits for")
    if short and not view.paused and not held_by_brake(view, scene.session.options, number):
        for share in short:
            yield from _share(scene, share)
    else:
        yield Entry(why or "nothing: it is about to start", Role.ACCENT)
    yield BLANK
    yield heading("does not wait for")
    yield from scene.units(view.plan.needs[number])
    for share in wants:
        if not share.short:
            yield Entry(share.words, Role.MUTED, share.name)
    if bridge.busy + view.stuck < view.workers:
        yield Entry(f"{bridge.busy} of {most_active(view)} busy", Role.MUTED, "workers")


def _share(scene: Scene, share: Share) -> Iterator[Entry]:
    words = ", ".join(filter(None, (share.wanted_words, share.words)))
    yield Entry(words, Role.ACCENT, share.name)
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
    yield Entry(f"{unit.worker} ({unit.lane})", label="worker")
    if tried := tries(unit):
        yield Entry(tried, label="try")
    progress = unit.progress
    if progress is not None:
        share = f"{progress.done:g} of {progress.total:g}" if progress.total else f"{progress.done:g}"
        yield Entry(" ".join(filter(None, (share, progress.message))), label="progress")


def _stopping(scene: Scene, unit: UnitView) -> Iterator[Entry]:
    last = scene.view.last[unit.number]
    if isinstance(last, UnitCanceling):
        asked = "is being killed" if last.killing else "was asked to stop"
        yield Entry(f"{asked} {short_clock(scene.now - last.at)} ago", Role.WARNING)
        yield Entry(last.cause, label="because")


def _completed(scene: Scene, unit: UnitView) -> Iterator[Entry]:
    end = unit.finished
    if end is None:
        return
    if end.cached:
        yield Entry("an earlier result is used", Role.CACHED, "not run")
        yield Entry(end.cause, label="because")
    else:
        yield Entry(f"completed in {short_clock(end.duration)}", Role.SUCCESS)
        if reason := scene.attempts.missed(unit.id):
            yield Entry(f"no earlier result could be used: {reason}", Role.MUTED, "ran because")
    if end.fallback:
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
    below = sorted(reached(scene.view.plan.feeds, unit.number))
    skipped = [number for number in below if scene.view.states[number] is UnitState.SKIPPED]
    alone = [number for number in skipped if _because(scene.view.last[number]) == unit.number]
    others = sorted(set(skipped) - set(alone))
    if alone:
        yield BLANK
        yield heading(f"{counted(len(alone), 'unit')} did not run because of it")
        yield from scene.units(alone)
    if others:
        yield BLANK
        yield heading(f"{counted(len(others), 'unit')} below it did not run for another failure")
        yield from scene.units(others)


def _not_done(scene: Scene, unit: UnitView) -> Iterator[Entry]:
    """Down the chain to what failed."""
    skipped = unit.state is UnitState.SKIPPED
    yield Entry(unit.cause, Role.TEXT, "skipped" if skipped else "canceled")
    because = _because(scene.view.last[unit.number])
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
            fits = (need for need in needs if need not in seen and _because(view.last[need]) == because)
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
    waiting = sorted(fed for fed in feeds if view.states[fed] in _WAITING)
    if not waiting:
        return []
    count = scene.reach.below(view.plan, units)
    more = f", {count:,} with all below" if count > len(waiting) else ""
    return [BLANK, heading(f"{counted(len(waiting), 'unit')} wait{'s' if len(waiting) == 1 else ''} for it{more}"),
            *scene.units(waiting)]  # fmt: skip
