"""What is worse in a run than in those before it: units that took longer, that needed retries, that ran although an
earlier result should have done, and that were killed for their memory. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import compress
from math import ceil
from statistics import median
from typing import Final, NamedTuple, Protocol

from qtui.core.events import UnitFinished
from qtui.core.limits import memory_budget
from qtui.core.model import UnitState
from qtui.core.options import RunOptions
from qtui.core.state import RunView

LEAST_RUNS: Final = 3
"""So many earlier runs of a unit there must be, or its time says nothing."""

FACTOR: Final = 1.25
LEAST_SECONDS: Final = 0.5
"""What is above the p90 by less than this, or by less than a quarter, is noise. Of log-normal times whose standard
deviation is a fifth of the mean 1 to 6 % are told for nothing then, and 84 to 89 % of those that take twice as long are
found; a quarter above the median told 10 to 14 % for nothing."""

LEAST_RETRIED: Final = 2
"""In so many runs a unit must have needed retries, if it did not in the latest one."""

KILLED: Final = frozenset({137, -9})
"""Exit codes of what SIGKILL has ended, told by a shell or by the system. Where nobody wanted that, it mostly was the
kernel, because memory ran out."""

_LEAST_STEP: Final = 20
"""Memory is told in steps of 1 MB at least, as a power of two."""


class Earlier(Protocol):
    """The completions of a unit in the runs of its workflow, oldest first: columns of the same length."""

    @property
    def alike(self) -> Sequence[bool]:
        """Whether the unit did in each what it does now."""

    @property
    def ended(self) -> Sequence[float]:
        """When each ended (Unix seconds)."""

    @property
    def seconds(self) -> Sequence[float]:
        """How long each last attempt took."""

    @property
    def peaks(self) -> Sequence[int]:
        """The memory that each used (bytes), 0 where that is not known."""

    @property
    def attempts(self) -> Sequence[int]:
        """How many attempts each needed."""


Pasts = Mapping[str, Earlier]
"""What is known of earlier runs, by the ids of units."""


class Slower(NamedTuple):
    """A unit that took `seconds`: clearly more than the `p90` of so many earlier `runs` in which it did the same, whose
    median is `usual`."""

    unit: str
    seconds: float
    usual: float
    p90: float
    runs: int


class Flaky(NamedTuple):
    """A unit that completed at try `tries`. In `retried` of the `runs` in which it completed, this one included, it
    needed more than one."""

    unit: str
    tries: int
    retried: int
    runs: int


class Missed(NamedTuple):
    """Units that completed before and could not use that result, although nothing that they depend on is known to have
    changed; `reason` says why."""

    units: tuple[str, ...]
    reason: str


class Killed(NamedTuple):
    """Units of a family that were killed, probably because memory ran out, and used up to `peak` bytes. If their
    `resources.memory` was `suggested` bytes, others would be kept from running beside them; `budgeted` says that the
    run has a limit that this counts for."""

    units: tuple[str, ...]
    peak: int
    suggested: int
    budgeted: bool


class Regressions(NamedTuple):
    """What is worse than before; of each kind, what matters most first."""

    slower: tuple[Slower, ...] = ()
    flaky: tuple[Flaky, ...] = ()
    missed: tuple[Missed, ...] = ()
    killed: tuple[Killed, ...] = ()

    @property
    def here(self) -> Regressions:
        """Without the units that were flaky in earlier runs only."""
        return self._replace(flaky=tuple(each for each in self.flaky if each.tries > 1))


def regressions(view: RunView, options: RunOptions, pasts: Pasts) -> Regressions:
    """What is worse in the run of `view` than in those before it. `pasts` may know this run too, and later ones.

    O(units): 4 us for one that took less than half a second, 6 us for any other.
    """
    ended = [(view.plan.table[end.unit].id, end) for end in view.last if isinstance(end, UnitFinished)]
    ran = [(unit, end) for unit, end in ended if _has_run(end)]
    slower = (_slower(unit, end, pasts[unit]) for unit, end in ran if unit in pasts)
    flaky = (_flaky(unit, end.attempt - view.bases[end.unit], end.at, pasts.get(unit)) for unit, end in ran)
    return Regressions(
        slower=tuple(sorted(filter(None, slower), key=lambda each: each.usual - each.seconds)),
        flaky=tuple(sorted(filter(None, flaky), key=lambda each: (each.tries == 1, -each.retried / each.runs))),
        missed=tuple(sorted(_missed(view, pasts), key=lambda each: -len(each.units))),
        killed=tuple(sorted(_killed(view, options, pasts, ended), key=lambda each: -each.peak)),
    )


def _has_run(end: UnitFinished) -> bool:
    """Whether it completed by itself."""
    return end.state is UnitState.COMPLETED and end.attempt > 0 and not (end.cached or end.fallback)


def _before(past: Earlier, at: float) -> int:
    """How many completions are earlier than one that ended then."""
    return bisect_left(past.ended, at)


def _slower(unit: str, end: UnitFinished, past: Earlier) -> Slower | None:
    if end.duration < LEAST_SECONDS:
        return None
    before = slice(_before(past, end.at))
    known = sorted(compress(past.seconds[before], past.alike[before]))
    if len(known) < LEAST_RUNS:
        return None
    p90 = known[ceil(0.9 * len(known)) - 1]
    if end.duration - p90 < LEAST_SECONDS or end.duration < FACTOR * p90:
        return None
    return Slower(unit, end.duration, median(known), p90, len(known))


def _flaky(unit: str, tries: int, at: float, past: Earlier | None) -> Flaky | None:
    before = past.attempts[: _before(past, at)] if past is not None else ()
    retried = sum(each > 1 for each in (*before, tries))
    if tries == 1 and retried < LEAST_RETRIED:
        return None
    return Flaky(unit, tries, retried, len(before) + 1)


def _missed(view: RunView, pasts: Pasts) -> Iterator[Missed]:
    by_reason: dict[str, list[str]] = defaultdict(list)
    for number, reason in sorted(view.missed.items()):
        unit, end = view.plan.table[number].id, view.last[number]
        at = end.at if isinstance(end, UnitFinished) else view.updated_at
        if unit in pasts and _before(pasts[unit], at):
            by_reason[reason].append(unit)
    return (Missed(tuple(units), reason) for reason, units in by_reason.items())


def _killed(
    view: RunView, options: RunOptions, pasts: Pasts, ended: Sequence[tuple[str, UnitFinished]]
) -> Iterator[Killed]:
    families: dict[str, list[tuple[str, int, int]]] = defaultdict(list)
    for unit, end in ended:
        failed = end.state is UnitState.FAILED or end.fallback
        if failed and end.error is not None and end.error.exit_code in KILLED:
            past, definition = pasts.get(unit), view.plan.table[end.unit]
            earlier = past.peaks[: _before(past, end.at)] if past is not None else ()
            families[definition.name].append((unit, max(end.peak_memory, *earlier, 0), definition.memory))
    for killed in families.values():
        peak, declared = (max(column) for column in ([p for _, p, _ in killed], [m for _, _, m in killed]))
        suggested = _suggested(peak, options.memory)
        if peak and declared < suggested:
            units = tuple(unit for unit, _, _ in killed)
            yield Killed(units, peak, suggested, memory_budget(options) is not None)


def _suggested(peak: int, limit: int | None) -> int:
    """The bytes rounded up, by an eighth at most, to what a person would write; no more than the run's limit, or the
    workflow would be refused."""
    step = 1 << max(_LEAST_STEP, peak.bit_length() - 4)
    rounded = -(-peak // step) * step
    return rounded if limit is None else min(rounded, limit >> _LEAST_STEP << _LEAST_STEP)
