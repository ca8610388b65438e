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
    RunPaused,
    RunReopened,
    RunStopping,
    RunUnpaused,
    UnitApproved,
    UnitCanceling,
    UnitFinished,
    UnitProgress,
    UnitReset,
    UnitRetrying,
    Warned,
    WorkersChanged,
)
from qtui.core.model import Outcome, UnitError
from qtui.engine.masking import masked

_TEXTS: Final[Mapping[type[Event], tuple[str, ...]]] = {
    RunPaused: ("cause",),
    RunUnpaused: ("cause",),
    RunReopened: ("cause",),
    RunStopping: ("cause",),
    CacheMissed: ("reason",),
    ConfirmRequested: ("question",),
    UnitApproved: ("by",),
    UnitRetrying: ("error",),
    UnitCanceling: ("cause",),
    UnitReset: ("cause",),
    UnitProgress: ("message",),
    UnitFinished: ("error", "cause", "metrics"),
    BrakeChanged: ("signature", "cause"),
    WorkersChanged: ("cause",),
    GovernorChanged: ("cause",),
    Warned: ("message",),
}
"""The fields with texts that people or units have written; all others are words of qtui's own, or numbers."""


class TextMasks:
    """Masks texts; the masks are those of qtui.engine.masking."""

    def __init__(self, masks: tuple[bytes, ...]) -> None:
        self._texts = [mask.decode("utf-8", "surrogateescape") for mask in masks]
        self._masks = tuple(text.encode("utf-8", "surrogatepass") for text in self._texts)

    def text(self, text: str) -> str:
        """The text with ``***`` for each piece that secrets cover."""
        if not any(secret in text for secret in self._texts):
            return text
        return masked(text.encode("utf-8", "surrogatepass"), self._masks).decode("utf-8", "surrogatepass")

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
                return value._replace(message=self.text(value.message), traceback=self.text(value.traceback))
            case Mapping():
                return {self.text(name): self._any(item) for name, item in value.items()} if value else value
            case _:
                return value
