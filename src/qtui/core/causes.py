"""Who is meant by "you" in causes of events and requests: who looks on elsewhere, or later, is told a name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, TypeVar

from qtui.core.events import CLASSES, Event
from qtui.core.state import RunView
from qtui.core.stimuli import Request

YOU: Final = "you"

_FIELDS: Final[Mapping[type, list[str]]] = {
    cls: [name for name in ("cause", "by") if name in cls._fields] for cls in CLASSES.values()
}

Told = TypeVar("Told", bound=Event | Request)


def told_by(told: Told, who: str, was: str = YOU) -> Told:
    """An event or a request by `who` instead of by `was`; itself if it was by nobody of that name."""
    end = f" by {was}"
    for name in _FIELDS.get(type(told), ("cause",)):
        cause = getattr(told, name, "")
        if cause.endswith(end):
            changed: dict[str, Any] = {name: f"{cause.removesuffix(was)}{who}"}
            return told._replace(**changed)  # type: ignore[return-value]
    return told


def view_told_by(view: RunView, who: str) -> RunView:
    """A view whose events are told so. O(units)."""
    last = view.last.evolver()
    for number, event in enumerate(view.last):
        if event is not None and (told := told_by(event, who)) is not event:
            last[number] = told
    return replace(
        view,
        last=last.persistent(),
        stopping=told_by(view.stopping, who) if view.stopping is not None else None,
        brakes={scope: told_by(brake, who) for scope, brake in view.brakes.items()},
    )
