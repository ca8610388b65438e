"""Finds the executor that a workflow names: a function that makes one, or one that a package has registered."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from qtui.core.definition import WorkflowDefinition
from qtui.core.errors import InvalidWorkflow, did_you_mean
from qtui.core.options import CLUSTERS
from qtui.definition.options import GIVEN
from qtui.definition.report import Report, shown_file
from qtui.definition.values import Fault, Rejected, quoted
from qtui.loaders.imports import guarded, import_function

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP: Final = "qtui.executors"
"""The group of entry points by which packages register functions that make executors."""


def find_executor(name: str, directory: str) -> Callable[[], Any] | None:
    """The function that makes the executor `name`, None for a cluster; raises `Rejected`.

    ``pkg.mod:factory`` is imported with `directory` on the path; any other name is that of an entry point.
    """
    if name in CLUSTERS:
        if find_spec(CLUSTERS[name]) is None:
            needed = f"the executor {name} needs the package {CLUSTERS[name]}"
            raise Rejected(Fault(needed, f'pip install "qtui[{name}]"'))
        return None
    if ":" in name:
        return import_function(name, directory)
    from importlib.metadata import entry_points  # a sixth of the start of qtui, for the few that name an executor

    registered = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in registered:
        raise Rejected(_unknown(name, registered))
    made = guarded(registered[name].load, f"loading the executor {name}", directory)
    if not callable(made):
        what = f"{registered[name].value}, the executor {quoted(name)}, is not a function"
        raise Rejected(Fault(f"{what} but a value of type {type(made).__name__}"))
    return made  # type: ignore[no-any-return]


def executor_of(definition: WorkflowDefinition, given: str | None = None) -> Callable[[], Any] | None:
    """What makes the executor of a workflow, if it has one that is no cluster; raises InvalidWorkflow if it is not to
    be found, or the package that a cluster needs is not installed. `given` is the one that the command line has named.
    """
    name = definition.options.executor
    if name is None:
        return None
    try:
        return find_executor(name, definition.directory or "")
    except Rejected as rejected:
        file = shown_file(definition.source) if definition.source else None
        where, key = (file, ("workflow", "executor")) if given is None else (GIVEN, ())
        report = Report()
        for secret in definition.secrets:
            report.hide((os.environ.get(secret, ""), *(unit.env.get(secret, "") for unit in definition.units)))
        report.add(lambda _path, _needle: where, key, *rejected.faults)
        raise InvalidWorkflow(report.told) from rejected.__cause__


def _unknown(name: str, registered: dict[str, EntryPoint]) -> Fault:
    known = f"there are {', '.join(sorted((*registered, *CLUSTERS)))}"
    hint = did_you_mean(name, (*registered, *CLUSTERS)) or 'write "module:factory" for a function that makes one'
    return Fault(f"there is no executor {quoted(name)}: {known}", hint)
