"""Masks secrets in what is recorded of a run: errors, causes, warnings, messages and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from qtui.core.events import (
    BrakeChanged,
    CacheMissed,
    ConfirmRequested,
    Event,
    GovernorChanged,
    JournalChanged,
    RunPaused,
    RunReopened,
    RunResumed,
    RunStopping,
    RunUnpaused,
    UnitApproved,
    UnitCanceling,
    UnitFinished,
    UnitProgress,
    UnitRedefined,
    UnitReset,
    UnitRetrying,
    UnitStale,
    Warned,
    WorkersChanged,
)
from qtui.core.masking import TextMasker
from qtui.core.model import Outcome, UnitError

_TEXTS: Final[Mapping[type[Event], tuple[str, ...]]] = {
    RunPaused: ("cause",),
    RunUnpaused: ("cause",),
    RunReopened: ("cause",),
    RunResumed: ("cause",),
    JournalChanged: ("cause",),
    RunStopping: ("cause",),
    CacheMissed: ("reason",),
    ConfirmRequested: ("question",),
    UnitApproved: ("by",),
    UnitRetrying: ("error",),
    UnitCanceling: ("cause",),
    UnitReset: ("cause",),
    UnitStale: ("cause",),
    UnitRedefined: ("cause",),
    UnitProgress: ("message",),
    UnitFinished: ("error", "cause", "metrics"),
    BrakeChanged: ("signature", "cause"),
    WorkersChanged: ("cause",),
    GovernorChanged: ("cause",),
    Warned: ("message",),
}
"""The fields with texts that people or units have written; all others are words of qtui's own, or numbers."""


class TextMasks(TextMasker):
    """Masks what the record has of a run."""

    def outcome(self, outcome: Outcome) -> Outcome:
        """The outcome with its error and metrics masked."""
        return outcome._replace(error=self._any(outcome.error), metrics=self._any(outcome.metrics))

    def event(self, event: Event) -> Event:
        """The event with its texts masked."""
        fields = _TEXTS.get(type(event))
        if fields is None:
            return event
        return event._replace(**{name: self._any(getattr(event, name)) for name in fields})

    def _any(self, value: Any) -> Any:
        match value:
            case str():
                return self.text(value)
            case UnitError():
                return value._replace(
                    type=self.text(value.type),
                    message=self.text(value.message),
                    traceback=self.text(value.traceback),
                    bases=tuple(map(self.text, value.bases)),
                    last_line=self.text(value.last_line),
                )
            case Mapping():
                return {self.text(name): self._any(item) for name, item in value.items()} if value else value
            case _:
                return value
