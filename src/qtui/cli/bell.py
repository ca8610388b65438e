"""When the terminal's bell is to ring."""

from __future__ import annotations

from qtui.core.definition import Notify
from qtui.core.model import RunState
from qtui.core.state import RunView


def rings(bell: Notify | None, view: RunView) -> bool:
    """Whether the terminal's bell is to ring at the end of the run."""
    end = view.finished
    if bell is None or end is None or end.at - (view.started_at or end.at) < bell.after:
        return False
    return bell.bell == "always" or (bell.bell == "failure" and end.state is RunState.FAILED)
