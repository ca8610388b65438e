"""qtui runs workflows and shows them in the terminal; this is its library side.

Names are imported when they are first used, so that a worker process pays only for what it needs.
"""

from __future__ import annotations

__version__ = "0.1.0"

TYPE_CHECKING = False  # importing typing would take a third of the start of the small processes that qtui makes
if TYPE_CHECKING:
    from typing import Any

    from qtui.core.errors import (
        Canceled,
        CircularDependencyError,
        InvalidWorkflow,
        NoResult,
        QtuiError,
        UsageError,
        WorkflowFailed,
    )
    from qtui.core.model import ExecutionMode, FromUnit, QuantumUnit, RetryPolicy, UnitState
    from qtui.core.plan import ExecutionPlan
    from qtui.core.projector import StateProjector, frozen
    from qtui.engine.bus import Event, EventBus, EventType
    from qtui.engine.context import ExecutionContext
    from qtui.engine.workers.clustersource import ClusterSource
    from qtui.manager import WorkflowManager
    from qtui.partitioner import QuantumPartitioner
    from qtui.quantumplan import (
        QuantumTask,
        execute_quantum_plan,
        select_execution_strategy,
        select_optimal_workers,
        visualize_execution_plan,
    )
    from qtui.services import Services, open_services
    from qtui.workflow import Workflow

_HOMES = {
    "Canceled": "qtui.core.errors",
    "CircularDependencyError": "qtui.core.errors",
    "ClusterSource": "qtui.engine.workers.clustersource",
    "Event": "qtui.engine.bus",
    "EventBus": "qtui.engine.bus",
    "EventType": "qtui.engine.bus",
    "ExecutionContext": "qtui.engine.context",
    "ExecutionMode": "qtui.core.model",
    "ExecutionPlan": "qtui.core.plan",
    "FromUnit": "qtui.core.model",
    "InvalidWorkflow": "qtui.core.errors",
    "NoResult": "qtui.core.errors",
    "QtuiError": "qtui.core.errors",
    "QuantumPartitioner": "qtui.partitioner",
    "QuantumTask": "qtui.quantumplan",
    "QuantumUnit": "qtui.core.model",
    "RetryPolicy": "qtui.core.model",
    "Services": "qtui.services",
    "StateProjector": "qtui.core.projector",
    "UnitState": "qtui.core.model",
    "UsageError": "qtui.core.errors",
    "Workflow": "qtui.workflow",
    "WorkflowFailed": "qtui.core.errors",
    "WorkflowManager": "qtui.manager",
    "execute_quantum_plan": "qtui.quantumplan",
    "frozen": "qtui.core.projector",
    "open_services": "qtui.services",
    "select_execution_strategy": "qtui.quantumplan",
    "select_optimal_workers": "qtui.quantumplan",
    "visualize_execution_plan": "qtui.quantumplan",
}

__all__ = [
    "Canceled",
    "CircularDependencyError",
    "ClusterSource",
    "Event",
    "EventBus",
    "EventType",
    "ExecutionContext",
    "ExecutionMode",
    "ExecutionPlan",
    "FromUnit",
    "InvalidWorkflow",
    "NoResult",
    "QtuiError",
    "QuantumPartitioner",
    "QuantumTask",
    "QuantumUnit",
    "RetryPolicy",
    "Services",
    "StateProjector",
    "UnitState",
    "UsageError",
    "Workflow",
    "WorkflowFailed",
    "WorkflowManager",
    "execute_quantum_plan",
    "frozen",
    "open_services",
    "select_execution_strategy",
    "select_optimal_workers",
    "visualize_execution_plan",
]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name == "aio":
        return import_module("qtui.aio")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
