"""The last step: checks what only shows once all units are known, and makes the definition."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from qtui.core.definition import Notify, WorkflowDefinition
from qtui.core.errors import CircularDependencyError, InvalidWorkflow, Problem, did_you_mean
from qtui.core.model import ExecutionMode, QuantumUnit
from qtui.core.options import Brake, RunOptions, in_its_place
from qtui.core.plan import ExecutionPlan
from qtui.core.questions import wrong_questions
from qtui.definition.assemble import Assembly
from qtui.definition.deadlocks import deadlocks
from qtui.definition.options import GIVEN, Overrides, build_options
from qtui.definition.report import Locate, Report, shown_file
from qtui.definition.unit_keys import reference
from qtui.definition.values import Fault, Path, Rejected, quoted
from qtui.definition.workflow_keys import RECORD_KEYS, Pool


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What the files of one workflow declare together, beside params and units; `tag_places` tell where tags are."""

    pools: dict[str, Pool] = field(default_factory=dict)
    tags: dict[str, Brake] = field(default_factory=dict)
    secrets: dict[str, None] = field(default_factory=dict)
    tag_places: dict[str, Locate] = field(default_factory=dict)

    def merge(self, other: Shared) -> Iterator[str]:
        """Take over what another one declares; yields what the two declare differently."""
        for what, ours, theirs in (("pool", self.pools, other.pools), ("tag", self.tags, other.tags)):
            yield from _merged(what, ours, theirs)
        self.secrets.update(other.secrets)
        self.tag_places.update({**other.tag_places, **self.tag_places})

    @property
    def slots(self) -> dict[str, int]:
        """The sizes of the pools."""
        return {name: pool.slots for name, pool in self.pools.items()}

    @property
    def brakes(self) -> dict[str, Brake]:
        """The brakes on tags and pools, by scope."""
        pools = {f"pool:{name}": pool.brake for name, pool in self.pools.items() if pool.brake is not None}
        return {f"tag:{name}": brake for name, brake in self.tags.items()} | pools


def _merged(what: str, ours: dict[str, Any], theirs: Mapping[str, Any]) -> Iterator[str]:
    for name, value in theirs.items():
        if ours.setdefault(name, value) != value:
            yield f'both workflows declare the {what} "{name}", and differently'


def options_of(settings: Mapping[str, Any], overrides: Overrides | None, locate: Locate, report: Report) -> RunOptions:
    """The options of the run; what contradicts itself is reported."""
    try:
        return build_options(settings, overrides)
    except Rejected as rejected:
        report.add(locate, ("workflow",), *rejected.faults)
        return RunOptions()


def check_secrets(names: Iterable[str], env: Mapping[str, str], locate: Locate, report: Report) -> None:
    """Report secrets that are not set in `env` or the process's environment, and those too short to be hidden.

    The others are hidden from what the report tells.
    """
    for place, name in enumerate(names):
        value = env.get(name) or os.environ.get(name, "")
        path = ("secrets", "names", f"[{place}]")
        if not value:
            hint = f"set {name} in the environment before the run"
            report.add(locate, path, Fault(f"the variable {quoted(name)} is not set", hint, (), name))
        elif len(value) < SHORTEST_SECRET:
            message = f"the value of {quoted(name)} has less than {SHORTEST_SECRET} characters"
            hint = "every place where they come in a row would be hidden; use a longer secret"
            report.add(locate, path, Fault(message, hint, (), name))
        else:
            report.hide((value, os.environ.get(name, "")))


SHORTEST_SECRET = 4


def finish(
    *,
    name: str,
    description: str,
    assembly: Assembly,
    options: RunOptions,
    shared: Shared,
    params: Mapping[str, Any],
    notify: Notify | None,
    settings: Mapping[str, Any],
    advice: Sequence[Problem],
    directory: str,
    source: str | None,
    locate: Locate,
    report: Report,
    find_executor: Callable[[str], object] = lambda _: None,
) -> WorkflowDefinition:
    """The definition of what was assembled, or InvalidWorkflow with everything that was reported or is found now.

    `settings` are those of [workflow], and `locate` tells where they are; `find_executor` raises `Rejected` for the
    name of an executor that is not to be found.
    """
    slots = {**shared.slots, **dict.fromkeys(sorted(assembly.mutexes), 1)}
    check_graph(assembly, options.mode, params, slots, report, source=source)
    if assembly.known:
        _check_tags(shared, assembly.units, report)
        given = options.executor != settings.get("executor")
        at = (lambda _path, _needle: GIVEN, ()) if given else (locate, ("workflow", "executor"))
        _check_executor(options, assembly, at, find_executor, report)
    report.hide(unit.env.get(name, "") for unit in assembly.units for name in shared.secrets)
    report.raise_if_any()
    brakes = {f"group:{name}": group.brake for name, group in assembly.groups.items() if group.brake is not None}
    options = replace(
        options,
        pools=slots,
        group_pools={name: group.pools for name, group in assembly.groups.items() if group.pools},
        brakes={**options.brakes, **shared.brakes, **brakes},
    )
    mask = report.mask
    return WorkflowDefinition(
        name=name,
        description=mask(description) if mask is not None else description,
        units=tuple(in_its_place(unit, options) for unit in _without_secrets(assembly.units, mask)),
        options=options,
        params=dict(params),
        secrets=tuple(shared.secrets),
        notify=notify,
        **{name: settings[name] for name in RECORD_KEYS if name in settings},
        directory=directory,
        source=source,
        advice=tuple(advice),
    )


def _without_secrets(units: Sequence[QuantumUnit], mask: Callable[[str], str] | None) -> Sequence[QuantumUnit]:
    """The units, secrets masked in what of them is only there to be read."""
    if mask is None:
        return units
    return [
        replace(unit, description=mask(unit.description), confirm=mask(unit.confirm))
        if unit.description or unit.confirm
        else unit
        for unit in units
    ]


def check_graph(
    assembly: Assembly,
    mode: ExecutionMode,
    params: Mapping[str, Any],
    slots: Mapping[str, int],
    report: Report,
    *,
    source: str | None,
) -> None:
    """Report unknown needs, duplicate ids, cycles, outputs that two units make, conditions about other units, and items
    that could wait for each other for ever.

    Raises CircularDependencyError if a cycle is the only fault. `source` is where a fault of the whole workflow is,
    `slots` are the sizes of the pools.
    If units are missing, only the names that needs share with params and outputs are checked.
    """
    for unit in assembly.units:
        for need in unit.dependencies:
            if need in params:
                message = f"needs {quoted(need)}, which is also the name of a param"
                hint = "rename one of them: both would be context[...]"
                report.extend([Problem(message=message, where=str(unit.source), key=f"units.{unit.name}", hint=hint)])
    _check_outputs(assembly, report)
    if not assembly.known:
        return
    try:
        plan = ExecutionPlan.build(assembly.units, default_mode=mode)
    except CircularDependencyError as error:
        if not report:
            raise
        report.extend(error.problems)
    except InvalidWorkflow as error:
        file = shown_file(source) if source else None
        found = _by_family(assembly.units, error.problems)
        report.extend(replace(each, where=each.where or file) for each in found)
    else:
        _check_conditions(plan, assembly, report)
        group_pools = {name: group.pools for name, group in assembly.groups.items() if group.pools}
        for deadlock in deadlocks(plan, group_pools, slots):
            draft = assembly.drafts[deadlock.unit.id]
            path = tuple(key for key in deadlock.keys if key in draft.keys)[:1]
            report.add(draft.locate, draft.path, Fault(deadlock.message, deadlock.hint, path))


def _by_family(units: Sequence[QuantumUnit], problems: Iterable[Problem]) -> Iterator[Problem]:
    """The problems with the names of families for those of their items, which makes equal ones one."""
    names = {f"units.{unit.id}": f"units.{unit.name}" for unit in units}
    for problem in problems:
        yield replace(problem, key=names.get(problem.key or "", problem.key))


def _check_outputs(assembly: Assembly, report: Report) -> None:
    makers: dict[str, QuantumUnit] = {}
    told = set()
    for unit in assembly.units:
        for output in unit.outputs:
            path = os.path.normpath(os.path.join(unit.cwd or "", output))  # noqa: PTH118
            first = makers.setdefault(path, unit)
            # of two families with many items, one pair says it all
            if first is unit or (pair := (first.name, unit.name)) in told:
                continue
            told.add(pair)
            draft = assembly.drafts[unit.id]
            message = f"{unit.id} makes {quoted(output)}, and so does {first.id}"
            report.add(draft.locate, draft.path, Fault(message, None, ("outputs",), output))


def _check_tags(shared: Shared, units: Sequence[QuantumUnit], report: Report) -> None:
    used = {tag for unit in units for tag in unit.tags} if shared.tags else set()
    for name, locate in shared.tag_places.items():
        if name not in used:
            hint = did_you_mean(name, used) or "remove it, or give units this tag"
            report.add(locate, ("tags", name), Fault("no unit has this tag", hint))


def _check_executor(
    options: RunOptions,
    assembly: Assembly,
    at: tuple[Locate, Path],
    find_executor: Callable[[str], object],
    report: Report,
) -> None:
    """Report units that want an executor if there is none, and one that nothing wants or that cannot be found.

    `at` is where it is named.
    """
    wanting = [unit for unit in assembly.units if unit.mode is ExecutionMode.CUSTOM]
    if options.executor is None:
        for unit in wanting:
            draft = assembly.drafts[unit.id]
            path = (*draft.path, "mode") if "mode" in draft.keys else ("defaults", "mode")
            hint = 'add executor = "module:factory" to [workflow]'
            report.add(draft.locate, path, Fault('mode = "custom" needs an executor', hint))
        return
    try:
        if not wanting and options.mode is not ExecutionMode.CUSTOM:
            raise Rejected(Fault('only mode = "custom" has an executor'))
        if ":" in options.executor:
            reference(options.executor)
        find_executor(options.executor)
    except Rejected as rejected:
        report.add(*at, *rejected.faults)


def _check_conditions(plan: ExecutionPlan, assembly: Assembly, report: Report) -> None:
    """Report what conditions ask in vain."""
    for number, name, wrong, hint in wrong_questions(plan):
        _tell(assembly, plan.table[number], name, wrong, hint, report)


def _tell(assembly: Assembly, unit: QuantumUnit, name: str, wrong: str, hint: str | None, report: Report) -> None:
    """Report that what a condition asks about the unit `name` makes no sense."""
    draft = assembly.drafts[unit.id]
    # as it is written in an included file: without the prefix
    name = name.removeprefix(unit.name.removesuffix(draft.name))
    key = "if" if "if" in draft.table else "condition"
    path = (*draft.path, key) if key in draft.keys else ("defaults", key)
    text = str(unit.condition)
    at = max(text.find(f"units.{name}"), text.find(f'units."{name}"'))
    fault = Fault(f"asks about {quoted(name)}, {wrong}", hint, (), text[at:] if at >= 0 else "")
    report.add(draft.locate, path, fault)
