"""Workflows written in Python: finds the workflow in a module, or lets the module build it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from qtui.core.definition import WorkflowDefinition
from qtui.core.errors import InvalidWorkflow
from qtui.definition.options import Overrides
from qtui.definition.params import Ask, ParamSpec, ask_missing
from qtui.definition.report import Report
from qtui.definition.secrecy import noting_secrets
from qtui.definition.values import Fault, Rejected, quoted
from qtui.loaders.imports import attribute, guarded, import_module, load_file

BUILDER = "build_workflow"


class _Given(NamedTuple):
    """What the command line gives, and who can be asked for the rest."""

    params: Mapping[str, str]
    overrides: Overrides | None
    ask: Ask | None


def load_python(
    path: Path, name: str | None, params: Mapping[str, str], overrides: Overrides | None, ask: Ask | None = None
) -> WorkflowDefinition:
    """The workflow in a file: the object `name`, or the only workflow there, or what ``build_workflow`` makes."""
    return _load(lambda: load_file(path), str(path), str(path.resolve().parent), name, _Given(params, overrides, ask))


def load_module(
    module: str,
    name: str,
    directory: str,
    params: Mapping[str, str],
    overrides: Overrides | None,
    ask: Ask | None = None,
) -> WorkflowDefinition:
    """The workflow called `name` in an importable module, `directory` being the first place to look for it."""
    return _load(lambda: import_module(module, directory), module, directory, name, _Given(params, overrides, ask))


def _load(
    load: Callable[[], ModuleType],
    shown: str,
    directory: str,
    name: str | None,
    given: _Given,
) -> WorkflowDefinition:
    with noting_secrets() as secrets:
        try:
            return _defined(load(), shown, directory, name, given)
        except Rejected as rejected:
            report = Report()
            report.hide(os.environ.get(secret, "") for secret in secrets)
            report.add(lambda _path, _needle: shown, (), *rejected.faults)
            raise InvalidWorkflow(report.told) from rejected.__cause__


def _defined(module: ModuleType, shown: str, directory: str, name: str | None, given: _Given) -> WorkflowDefinition:
    if name is not None:
        return _named(module, name, shown, directory, given)
    found = _candidates(module)
    if len(found) > 1:
        listed = ", ".join(found)
        raise Rejected(Fault(f"has several workflows: {listed}", f"name one: {shown}:{next(iter(found))}"))
    if found:
        return _define(next(iter(found.values())), shown, directory, given)
    if callable(vars(module).get(BUILDER)):
        return _build(module, shown, directory, given)
    raise Rejected(Fault("has no workflow", f"make a qtui.Workflow, or define {BUILDER}(params)"))


def _is_workflow(value: Any) -> bool:
    try:
        return not isinstance(value, type | ModuleType) and callable(getattr(value, "definition", None))
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001  - proxies and lazy objects of users may raise anything when they are looked at
        return False


def _candidates(module: ModuleType) -> dict[str, Any]:
    """The workflows in a module by name; one with two names counts once."""
    unique = {id(value): name for name, value in reversed(vars(module).items()) if _is_workflow(value)}
    return {name: vars(module)[name] for name in reversed(unique.values())}


def _named(
    module: ModuleType,
    name: str,
    shown: str,
    directory: str,
    given: _Given,
) -> WorkflowDefinition:
    if name == BUILDER:
        return _build(module, shown, directory, given)
    value: Any = module
    for part in name.split("."):
        value = attribute(value, part, shown)
    if not _is_workflow(value):
        listed = ", ".join(_candidates(module))
        hint = f"the workflows there are {listed}" if listed else None
        raise Rejected(Fault(f"{quoted(name)} is not a workflow but a value of type {type(value).__name__}", hint))
    return _define(value, shown, directory, given)


def _define(workflow: Any, shown: str, directory: str, given: _Given) -> WorkflowDefinition:
    declared = guarded(lambda: _declared(workflow), f"reading the params of the workflow of {shown}", directory)
    # outside of what guards against the user's code: a person who gives up asking is no fault of it
    specs = {name: spec for name, spec in declared.items() if isinstance(spec, ParamSpec)}
    params = ask_missing(specs, given.params, given.ask)
    definition = guarded(
        lambda: workflow.definition(params=params, overrides=given.overrides),
        f"defining the workflow of {shown}",
        directory,
    )
    if not isinstance(definition, WorkflowDefinition):
        raise Rejected(Fault(f"definition() returned a value of type {type(definition).__name__}"))
    return definition


def _build(module: ModuleType, shown: str, directory: str, given: _Given) -> WorkflowDefinition:
    """``build_workflow`` gets all params as text; those the workflow declares itself are checked and converted."""
    builder, params = attribute(module, BUILDER, shown), given.params
    workflow = guarded(lambda: builder(dict(params)), f"{BUILDER}(params)", directory)
    if not _is_workflow(workflow):
        raise Rejected(Fault(f"{BUILDER}(params) returned no workflow but a value of type {type(workflow).__name__}"))
    declared = guarded(lambda: _declared(workflow), f"reading the params of the workflow of {shown}", directory)
    own = {name: value for name, value in params.items() if name in declared}
    definition = _define(workflow, shown, directory, given._replace(params=own))
    return replace(definition, params={**params, **definition.params})


def _declared(workflow: Any) -> dict[str, Any]:
    """The params that the workflow says it has; any object with `definition` is one, so they may be mere names."""
    declared = getattr(workflow, "params", {})
    return dict(declared) if isinstance(declared, Mapping) else dict.fromkeys(declared)
