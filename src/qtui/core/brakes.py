"""The brake: counts failures in a row in each scope, and says when starts are held and let go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from qtui.core.events import BrakeChanged
from qtui.core.failures import signature
from qtui.core.model import UnitError
from qtui.core.options import Brake

OPEN: Final = "open"
HELD: Final = "held"
PROBING: Final = "probing"
STOPPED: Final = "stopped"


def passes(change: BrakeChanged, begun_at: Iterable[float]) -> int | None:
    """How many units may start in the scope of the latest change, None if all may. `begun_at` is when the attempts of
    the scope that go on have begun."""
    if change.state in (OPEN, STOPPED):
        return None
    tried = change.state == PROBING and any(at >= change.at for at in begun_at)
    return int(change.state == PROBING and not tried)


class Brakes:
    """The brakes of a run; each change is an event, and the latest event of a scope is all there is to know of it."""

    def __init__(self, brakes: Mapping[str, Brake], known: Mapping[str, BrakeChanged]) -> None:
        self._brakes = brakes
        self._known = dict(known)

    def state(self, scope: str) -> str:
        """``open``, ``held``, ``probing`` or ``stopped``."""
        known = self._known.get(scope)
        return known.state if known is not None else OPEN

    def latest(self, scope: str) -> BrakeChanged | None:
        """The latest change of a scope, if there was one."""
        return self._known.get(scope)

    def since(self, scope: str) -> float:
        """When the scope came into its state."""
        known = self._known.get(scope)
        return known.at if known is not None else 0.0

    def stopped(self, scopes: Iterable[str]) -> bool:
        """Whether one of the scopes was stopped for good."""
        return any(self.state(scope) == STOPPED for scope in scopes)

    def failed(self, scope: str, error: UnitError, begun_at: float, now: float) -> BrakeChanged | None:
        """Count a failure of an attempt that began at `begun_at`; the change, if there is one."""
        brake, known, state = self._brakes[scope], self._known.get(scope), self.state(scope)
        if state == PROBING and begun_at >= self.since(scope):
            return self._change(scope, HELD, brake.count, known.signature if known else "", "it still fails", now)
        if state != OPEN:
            return None
        looks = signature(error) if brake.same else ""
        failures = known.failures + 1 if known is not None and known.signature == looks else 1
        if failures < brake.count:
            return self._change(scope, OPEN, failures, looks, "", now)
        alike = f' of one kind ("{looks}")' if looks else ""
        cause = f"{failures} failure{'' if failures == 1 else 's'} in a row{alike}"
        return self._change(scope, HELD if brake.then == "pause" else STOPPED, failures, looks, cause, now)

    def succeeded(self, scope: str, begun_at: float, now: float) -> BrakeChanged | None:
        """Count a success."""
        state, known = self.state(scope), self._known.get(scope)
        if known is None or (state == OPEN and not known.failures):
            return None
        if state == OPEN or (state == PROBING and begun_at >= known.at):
            cause = "it works again" if state == PROBING else ""
            return self._change(scope, OPEN, 0, "", cause, now)
        return None

    def canceled(self, scope: str, begun_at: float, now: float) -> BrakeChanged | None:
        """Nothing was learned; if it was the one that may try, that is over."""
        if self.state(scope) != PROBING or begun_at < self.since(scope):
            return None
        known = self._known[scope]
        return self._change(scope, HELD, known.failures, known.signature, "the one that tried was canceled", now)

    def probe(self, scope: str, due: float, now: float) -> BrakeChanged | None:
        """Let one unit try; the timer was set for `due`."""
        probe = self._brakes[scope].probe
        if self.state(scope) != HELD or probe is None or due < self.since(scope) + probe:
            return None  # the timer of an earlier hold
        known = self._known[scope]
        return self._change(scope, PROBING, known.failures, known.signature, "one unit may try", now)

    def release(self, scope: str, cause: str, now: float) -> BrakeChanged | None:
        """Let go."""
        return self._change(scope, OPEN, 0, "", cause, now) if self.state(scope) != OPEN else None

    def _change(self, scope: str, state: str, failures: int, looks: str, cause: str, now: float) -> BrakeChanged:
        change = self._known[scope] = BrakeChanged(scope, state, failures, looks, cause, now)
        return change
