"""The state that a StateProjector has of a manager's workflows: how it follows their events, and its projections."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from qtui.core.projector import State, StateProjector, frozen
from qtui.engine.bus import Event, EventBus, EventType

_NONE: Final = frozen({})
_ENDED = "completed_at"
_TIMES: Final[Mapping[EventType, str]] = {
    EventType.WORKFLOW_CREATED: "created_at",
    EventType.WORKFLOW_STARTED: "started_at",
    EventType.WORKFLOW_COMPLETED: _ENDED,
    EventType.WORKFLOW_FAILED: _ENDED,
    EventType.TASK_PENDING: "created_at",
    EventType.TASK_STARTED: "started_at",
    EventType.TASK_COMPLETED: _ENDED,
    EventType.TASK_FAILED: _ENDED,
    EventType.TASK_SKIPPED: _ENDED,
    EventType.TASK_CANCELLED: _ENDED,
}
_LASTING: Final = ("id", "workflow_id", "name", "description", "dependencies", "created_at", "tasks")
_TOLD: Final = ("name", "description", "dependencies", "status", "execution_id", "attempt", "error", "cause")


class Follower:
    """Keeps `projector` in step with what `bus` tells of the workflows of one manager.

    The state has the entries of workflows by id in ``workflows``, and in each of those the entries of its tasks in
    ``tasks``. The ``tasks`` of the state itself are those of all workflows; where several have tasks of one id, the
    entry there stands for the one that was last heard of.

    It is a subscriber like others, and called before them: whoever hears of an event finds it in the state. What
    middleware holds back the state does not learn.
    """

    def __init__(self, bus: EventBus, projector: StateProjector) -> None:
        self._projector = projector
        self._workflows: set[str] = set()
        self._undo = [bus.subscribe(event_type, self._note, first=True) for event_type in _TIMES]

    def add(self, workflow_id: str) -> None:
        """Follow a workflow, too."""
        self._workflows.add(workflow_id)

    def close(self) -> None:
        """Follow nothing any more."""
        for undo in self._undo:
            undo()

    def _note(self, event: Event[Any]) -> None:
        if event.source not in self._workflows:
            return
        task = (event.data or {}).get("task_id")
        self._projector.update_state(lambda state: _after(state, event.source, task, event))


def _after(state: State, workflow_id: str | None, task: str | None, event: Event[Any]) -> State:
    workflows: Any = state.get("workflows", _NONE)
    workflow: Any = workflows.get(workflow_id)
    if task is None:
        return state.set("workflows", workflows.set(workflow_id, _entry(workflow, workflow_id, event)))
    workflow = frozen({"id": workflow_id, "workflow_id": workflow_id}) if workflow is None else workflow
    tasks: Any = workflow.get("tasks", _NONE)
    entry = _entry(tasks.get(task), task, event)
    state = state.set("workflows", workflows.set(workflow_id, workflow.set("tasks", tasks.set(task, entry))))
    return state.set("tasks", state.get("tasks", _NONE).set(task, entry))


def _entry(before: Any, name: str | None, event: Event[Any]) -> Any:
    """What is known of a task or workflow after `event`."""
    assert event.type is not None
    data: Mapping[str, Any] = event.data or {}
    entry: Any = before
    if entry is None:
        entry = frozen({"id": name, "workflow_id": event.source})
    elif event.type in (EventType.TASK_PENDING, EventType.WORKFLOW_STARTED):  # once more
        entry = frozen({key: entry[key] for key in _LASTING if key in entry})
    told = {key: data[key] for key in _TOLD if data.get(key) not in (None, "")}
    entry = entry.update(frozen(told | {_TIMES[event.type]: event.timestamp}))
    # the result as it is, for it is the user's
    return entry.set("result", data["result"]) if "result" in data else entry


def add_projections(projector: StateProjector) -> None:
    """The views that a manager promises."""
    projector.add_projection("task_status", lambda state: _statuses(state.get("tasks", _NONE)))
    projector.add_projection("workflow_status", lambda state: _statuses(state.get("workflows", _NONE)))
    projector.add_projection("completed_tasks", lambda state: _ended(state, ("COMPLETED",)))
    projector.add_projection("failed_tasks", lambda state: _ended(state, ("FAILED", "TIMEOUT")))


def _statuses(entries: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    # of a workflow whose own events middleware has held back there is none
    return {name: entry["status"] for name, entry in entries.items() if "status" in entry}


def _ended(state: State, statuses: Iterable[str]) -> list[str]:
    """Ids of the tasks with such an end, in the order of their ends."""
    found = {name: task[_ENDED] for name, task in state.get("tasks", _NONE).items() if task["status"] in statuses}
    return sorted(found, key=found.__getitem__)
