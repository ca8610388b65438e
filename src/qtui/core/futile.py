"""Why nothing came of a request, in words for whoever made it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from qtui.core.events import ConfirmRequested, UnitApproved, UnitCanceling
from qtui.core.model import UnitState
from qtui.core.state import RunView
from qtui.core.stimuli import (
    ApproveRequested,
    CancelRequested,
    CancelRunRequested,
    EditRequested,
    GovernorRequested,
    InterruptRequested,
    PauseRequested,
    ReleaseRequested,
    Request,
    RetryRequested,
    SetAsideRequested,
    UnpauseRequested,
    WorkersRequested,
    WorkersStepRequested,
)

NOTHING: Final = "nothing to do"
TOO_LATE: Final = "too late"
REFUSED: Final = "refused"


def futile(view: RunView, request: Request) -> str:
    """Why `request` changed nothing in the run of `view`; empty if the view is of before what made it so.

    ``nothing to do: ...`` if what was asked for is so already, ``too late: ...`` if it cannot be any more, ``refused:
    ...`` if it could not be. Of several units, the first counts that says why.
    """
    match request:
        case RetryRequested() if view.stopping is not None and view.finished is None:
            return f"{REFUSED}: the run is ending; units can be retried when it has"
        case RetryRequested(units=units):
            return _first(_not_retried(view, number) for number in units)
        case EditRequested(units=units):
            return _first(_not_edited(view, number) for number in units)
        case SetAsideRequested(units=units, how="done"):
            return _first(_not_set_aside(view, number) for number in units)
    if view.finished is not None:
        return f"{TOO_LATE}: the run has ended"
    match request:
        case CancelRequested(units=units):
            return _first(_not_canceled(view, number) for number in units)
        case SetAsideRequested(units=units):
            return _first(_not_set_aside(view, number) for number in units)
        case ApproveRequested(units=units):
            return _first(_not_approved(view, number) for number in units)
        case CancelRunRequested() | InterruptRequested():
            return f"{NOTHING}: the run is stopping already" if view.stopping is not None else ""
        case PauseRequested():
            return f"{NOTHING}: the run is paused already" if view.paused else ""
        case UnpauseRequested():
            return f"{NOTHING}: the run is not paused" if not view.paused else ""
        case ReleaseRequested():
            return f"{NOTHING}: nothing is held"
        case WorkersRequested() | WorkersStepRequested() | GovernorRequested():
            return f"{NOTHING}: it is so already"


def _not_canceled(view: RunView, number: int) -> str:
    unit = view.unit(number)
    if unit.state is UnitState.CANCELED:
        return f"{NOTHING}: {unit.id} was canceled already"
    if unit.state.ended:
        return f"{TOO_LATE}: {unit.id} {unit.state.told}"
    last = view.last[number]
    return f"{NOTHING}: {unit.id} is being killed" if isinstance(last, UnitCanceling) and last.killing else ""


def _not_approved(view: RunView, number: int) -> str:
    unit, last = view.unit(number), view.last[number]
    if isinstance(last, ConfirmRequested):
        return ""
    if isinstance(last, UnitApproved):
        return f"{NOTHING}: {unit.id} was approved already"
    if unit.state.ended or not unit.unit.confirm:
        return f"{TOO_LATE if unit.state.ended else REFUSED}: {unit.id} does not ask, it {unit.state.told}"
    begun = view.begun[number] is not None
    return f"{NOTHING if begun else REFUSED}: {unit.id} {'does not ask any more' if begun else 'does not ask yet'}"


def _not_retried(view: RunView, number: int) -> str:
    unit = view.unit(number)
    if not unit.state.ended:
        return f"{NOTHING}: {unit.id} has not ended, it {unit.state.told}"
    return f"{REFUSED}: {unit.id} cannot run again now; a warning of the run says why"


def _not_edited(view: RunView, number: int) -> str:
    unit = view.unit(number)
    if unit.submitted or unit.state in (UnitState.RUNNING, UnitState.CANCELING):
        return f"{REFUSED}: {unit.id} runs; cancel it first, or wait for its end"
    return f"{REFUSED}: {unit.id} cannot be that, or is so already; a warning of the run says why"


def _not_set_aside(view: RunView, number: int) -> str:
    unit = view.unit(number)
    if view.stopping is not None and view.finished is None:
        return f"{REFUSED}: the run is ending; units can be set aside when it has"
    if unit.submitted or unit.state in (UnitState.RUNNING, UnitState.CANCELING):
        return f"{REFUSED}: {unit.id} runs; cancel it first"
    return f"{NOTHING}: {unit.id} {unit.state.told}" if unit.state.ended else ""


def _first(reasons: Iterable[str]) -> str:
    return next((reason for reason in reasons if reason), "")
