"""What more slots or workers would be worth to a run, in the case that its forecast shows. Pure."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from math import inf
from typing import NamedTuple

from qtui.core.forecast import Forecast
from qtui.core.limits import POOL, is_mutex
from qtui.core.options import RunOptions
from qtui.core.simulation import Simulated, Simulation
from qtui.core.state import RunView


class Gain(NamedTuple):
    """What more of something is worth: `what`, in words, and the `seconds` by which the end would be earlier. That says
    nothing where `completes` is not 0: so many more units complete then, and `incomplete` ones still do not.

    All that is so if it came at the moment of the forecast; so many units still complete if it comes up to `spare`
    seconds later.
    """

    what: str
    seconds: float
    completes: int = 0
    incomplete: int = 0
    spare: float = inf

    @property
    def would(self) -> str:
        """What it would do for the units, in words; empty if as many complete as without it."""
        if not self.completes:
            return ""
        if not self.incomplete:
            return f"{self.what}: all would complete"
        return f"{self.what}: {abs(self.completes):,} {'more' if self.completes > 0 else 'fewer'} would complete"

    def after(self, gone: float) -> Gain | None:
        """What it is worth at least if it comes `gone` seconds after the forecast: then all goes the same way, so much
        later at most. None where that may be nothing any more."""
        if self.completes:
            return self if gone <= self.spare else None
        return self._replace(seconds=self.seconds - gone) if self.seconds > gone else None


def gains(view: RunView, options: RunOptions, told: Forecast, more: int = 2) -> Generator[Gain | None, None, None]:
    """What `more` slots of each pool that is waited for would be worth, longest wait first, and then workers. A mutex
    has no slots: that units of it never run together is what it is for.

    In the case of `Forecast.typical`, all else being the same. Yields None after each small step.
    """
    table, typical = view.plan.table, told.typical
    waited = dict.fromkeys(part.what.removeprefix(POOL) for part in told.parts if part.what.startswith(POOL))
    for number in sorted(typical.late):
        if typical.starts[number] == inf:  # the end does not follow from what never starts
            waited |= dict.fromkeys(table[number].pools)
    for pool in (name for name in waited if name in options.pools and not is_mutex(name)):
        wider = replace(options, pools={**options.pools, pool: options.pools[pool] + more})
        simulated = yield from Simulation(view, wider, told.at).steps(told.seconds)
        yield _gain(f"+{more} {pool} slots", typical, simulated)
    workers = view.workers or options.workers
    simulated = yield from Simulation(view, options, told.at).steps(told.seconds, workers=workers + more)
    yield _gain(f"+{more} workers", typical, simulated)


def _gain(what: str, typical: Simulated, simulated: Simulated) -> Gain:
    saved = typical.late - simulated.late
    spare = min((typical.ends[n] - simulated.ends[n] for n in saved if simulated.ends[n] != inf), default=inf)
    completes = typical.incomplete - simulated.incomplete
    return Gain(what, typical.seconds - simulated.seconds, completes, simulated.incomplete, spare)
