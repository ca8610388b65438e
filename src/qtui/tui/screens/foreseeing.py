"""What is expected of the run, for all that is drawn of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from qtui.tui.bridge import Change
from qtui.tui.outlook import TURNS
from qtui.tui.screens.base import RunScreen

if TYPE_CHECKING:
    from qtui.core.session import RunSession
    from qtui.core.stimuli import Request
    from qtui.tui.forecaster import Forecaster, Past
    from qtui.tui.foresight import Foresight


class Foreseeing(RunScreen):
    """Looks ahead from behind the first frame on, if somebody knows what units took before: `ask_past` is asked that
    once, on another thread. `forecaster` is None until then, and for a run that is only played again."""

    def __init__(self, *args: Any, ask_past: Callable[[RunSession], Past] | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self._asks_past = ask_past if self.player is None else None
        self.forecaster: Forecaster | None = None

    def begin_forecasts(self) -> None:
        """Begin to look ahead, unless that has begun. Imports what that needs: call it when there is something on the
        screen."""
        if self.forecaster is None and self._asks_past is not None and self.is_mounted:
            from qtui.tui.forecaster import Forecaster

            self.forecaster = Forecaster(self.session, partial(self._asks_past, self.session))
            self.forecaster.start()

    def end_forecasts(self) -> None:
        """Leave no thread at work."""
        if self.forecaster is not None:
            self.forecaster.stop()

    def foresee(self, requests: Sequence[Request]) -> Foresight:
        """What these requests would come to; it is being worked out."""
        from qtui.tui.foresight import Foresight

        self.begin_forecasts()  # keys may be quick
        foresight = Foresight(self.session, requests, self.forecaster.past if self.forecaster is not None else dict)
        foresight.start()
        return foresight

    def take_forecast(self, change: Change) -> None:
        """Have the latest forecast drawn, and one that knows of what has come if that turns the run."""
        if self.forecaster is None:
            return
        if change.replaced:
            self.forecaster.forget()
        elif not change.kinds.isdisjoint(TURNS):
            self.forecaster.hurry()
        self.stale |= self.bridge.outlook.take(self.forecaster, self.bridge.view)
