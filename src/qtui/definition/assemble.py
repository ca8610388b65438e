"""Turns drafts into units: fills in expressions, expands matrices, and parses every key."""

from __future__ import annotations

import os
from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, Final, NamedTuple

from qtui.core.condition import Condition, ConditionError
from qtui.core.model import EMPTY, Action, Argv, CachePolicy, Call, FromUnit, QuantumUnit, Shell
from qtui.definition.drafts import Draft, Surroundings, free_name_fault, function_fault, item_parameter, name_fault
from qtui.definition.expressions import Known, Scope, Unsettled, fill, has_expression
from qtui.definition.groups import Group, Groups, Repeat, group_of, resolve_matrix
from qtui.definition.keys import Key, Templates, read_table
from qtui.definition.limits import over_limits, slots_of
from qtui.definition.matrix import MOST_ITEMS, Item
from qtui.definition.report import Report
from qtui.definition.unit_keys import ACTIONS, DEFAULT_KEYS, ONLY_CALLS, ONLY_COMMANDS
from qtui.definition.values import Fault, Rejected, quoted, variables

_NOT_UNIT_FIELDS: Final = frozenset(
    {"run", "argv", "call", "shell", "matrix", "group", "condition", "pools", "mutex", "resources", "cache_keys"}
)


class _Instance(NamedTuple):
    """One unit that a draft stands for; `args` come on top of the draft's own."""

    id: str
    family: str = ""
    matrix: Item = EMPTY
    group: Group | None = None
    item: str = ""
    args: Mapping[str, Any] = EMPTY
    positional: tuple[Any, ...] = ()


@dataclass(slots=True, kw_only=True)
class Assembly:
    """Units with the drafts they were made from, by id, the groups they are in, and the mutexes they use.

    `known` is False if ids are missing, because a matrix could not be expanded.
    """

    units: list[QuantumUnit] = field(default_factory=list)
    drafts: dict[str, Draft] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    mutexes: set[str] = field(default_factory=set)
    known: bool = True

    def extend(self, other: Assembly) -> None:
        """Take over everything of another one."""
        self.units += other.units
        self.drafts |= other.drafts
        self.groups |= other.groups
        self.mutexes |= other.mutexes
        self.known = self.known and other.known


class Calls:
    """What is known of functions that units call: each is looked at once, however many units call it."""

    __slots__ = ("_faults", "_made")

    def __init__(self) -> None:
        # by id, as a callable need not have a hash; it is kept beside, so that no other one gets its id
        self._faults: dict[int, tuple[Callable[..., Any], Fault | None]] = {}
        self._made: dict[tuple[int, tuple[str, ...], str], Call] = {}

    def fault(self, function: Callable[..., Any]) -> Fault | None:
        """What is wrong with the function itself."""
        if id(function) not in self._faults:
            self._faults[id(function)] = function, function_fault(function)
        return self._faults[id(function)][1]

    def of(self, function: Callable[..., Any], args: Mapping[str, Any], reference: str) -> Call:
        """As `Call.of`: which arguments there are decides whether a call binds, not their values."""
        known = (id(function), tuple(args), reference)
        if known not in self._made:
            self._made[known] = Call.of(function, args, reference)
        return self._made[known]


class Assembler:
    """Makes the units of one workflow's drafts; faults go to the report.

    A draft with a fault still gives its units, so that its dependents are not told that they are missing. With
    `preview`, expressions are left as they are written, numbers and the like that have one are left out, and so are
    conditions.
    """

    def __init__(
        self,
        surroundings: Surroundings,
        report: Report,
        groups: Groups = EMPTY,
        *,
        calls: Calls | None = None,
        preview: bool = False,
    ) -> None:
        self._around, self._report, self._groups, self._preview = surroundings, report, groups, preview
        self._calls = Calls() if calls is None else calls
        self._mutexes: set[str] = set()
        self._known = True

    def assemble(self, drafts: Iterable[Draft], most: int = MOST_ITEMS) -> Assembly:
        """The units, in the order of the drafts and of their items; not more than `most` of them."""
        counted, total = [], 0
        for draft in drafts:
            repeat = self._repeat(draft)
            total += len(draft.mapped) if draft.mapped is not None else repeat.count if repeat is not None else 1
            if total > most:
                fault = Fault(f"with this unit there are more than the {MOST_ITEMS:,} units that a workflow may have")
                self._report.add(draft.locate, draft.path, fault)
                self._known = False
                break
            counted.append((draft, repeat))
        made = Assembly()
        for draft, repeat in counted:
            for unit in self._expand(draft, repeat) if repeat is not None else self._broken(draft):
                made.units.append(unit)
                made.drafts[unit.id] = draft
        made.known, made.mutexes = self._known, self._mutexes
        made.groups = {name: group for name, group in self._groups.items() if group is not None}
        return made

    def _repeat(self, draft: Draft) -> Repeat | None:
        """What the draft is made once for each of; None if that cannot be told."""
        group, matrix, sound = None, None, True
        if not self._preview and "group" in draft.table:
            try:
                group = group_of(draft, self._groups)
            except Rejected as rejected:
                self._report.add(draft.locate, (*draft.path, "group"), *rejected.faults)
                sound = False
        given = draft.keys.get("matrix", draft.defaults.get("matrix"))
        if draft.mapped is None and given is not None:
            path = (*draft.path, "matrix") if "matrix" in draft.keys else ("defaults", "matrix")
            matrix = resolve_matrix(given, self._around, draft.locate, path, self._report)
            sound = sound and matrix is not None
        return Repeat(group, matrix) if sound else None

    def _expand(self, draft: Draft, repeat: Repeat) -> Iterator[QuantumUnit]:
        try:
            instances = list(_instances(draft, repeat))
        except Rejected as rejected:
            self._report.add(draft.locate, (*draft.path, "matrix"), *rejected.faults)
            yield from self._broken(draft)
            return
        self._check_name(draft)
        for number, instance in enumerate(instances, 1):
            unit, sound = self._unit(draft, instance)
            yield unit
            if not sound:
                # the other items have the same faults; their ids are all that is still needed
                for other in instances[number:]:
                    yield replace(unit, id=other.id, matrix=other.matrix, item=other.item)
                return

    def _broken(self, draft: Draft) -> Iterator[QuantumUnit]:
        """No unit, because its items cannot be told; but what else is wrong with it."""
        self._known = False
        self._check_name(draft)
        scope = {"params": self._around.params, "env": Unsettled(), "matrix": Unsettled()}
        rest = {name: value for name, value in draft.keys.items() if name != "matrix" or name not in draft.table}
        parsed, faults = read_table(rest, draft.table, partial(self._fill_key, scope))
        try:
            self._function(parsed)
        except Rejected as rejected:
            faults += rejected.faults
        self._report.add(draft.locate, draft.path, *faults)
        yield from ()

    def _check_name(self, draft: Draft) -> None:
        fault = free_name_fault(draft.name) if draft.freely_named else name_fault(draft.name)
        if fault is not None:
            self._report.add(draft.locate, draft.path, fault)

    def _unit(self, draft: Draft, instance: _Instance) -> tuple[QuantumUnit, bool]:
        scope: dict[str, Mapping[str, Any]] = {"params": self._around.params, "env": {}}
        if instance.matrix:
            scope["matrix"] = instance.matrix
        faults: list[Fault] = []
        env = self._env(draft, scope, faults)
        scope["env"] = ChainMap(env, os.environ)
        fields, own_faults = self._fields(draft, scope)
        faults += own_faults
        call_args = {**fields.get("args", {}), **instance.args}
        # whether a call binds cannot be told from args that were rejected
        args_known = "args" in fields or ("args" not in draft.keys and "args" not in draft.defaults)
        action: Action | None = None
        try:
            action = self._action(draft, fields, call_args if args_known else None, instance.positional)
        except Rejected as rejected:
            faults += rejected.faults
        kept = {name: value for name, value in fields.items() if name not in _NOT_UNIT_FIELDS}
        kept |= self._derived(draft, fields, scope, action, faults)
        if instance.group is not None:
            kept |= {"group": instance.group.name, "item": instance.item}
            self._place(draft, faults, *instance.group.over(kept.get("pools", EMPTY)))
        faults += _unknown_needs(call_args, fields.get("dependencies", ()))
        self._report.add(draft.locate, draft.path, *faults)
        unit = QuantumUnit(
            id=instance.id,
            action=action,
            family=instance.family,
            matrix=dict(instance.matrix),
            source=draft.source,
            **kept
            | {
                "args": call_args,
                "env": env,
                "cwd": os.path.normpath(os.path.join(self._around.directory, fields.get("cwd", "."))),  # noqa: PTH118
            },
        )
        return unit, not faults

    def _derived(
        self, draft: Draft, fields: Mapping[str, Any], scope: Scope, action: Action | None, faults: list[Fault]
    ) -> dict[str, Any]:
        """The fields that do not come from one key alone."""
        derived: dict[str, Any] = {}
        if "condition" in fields and not self._preview:
            try:
                derived["condition"] = _condition(fields["condition"], scope)
            except Rejected as rejected:
                name = next(key.name for key in draft.table.values() if key.field == "condition")
                self._place(draft, faults, *(fault.under(name) for fault in rejected.faults))
        if "pools" in fields or "mutex" in fields:
            derived["pools"], mutexes = slots_of(fields)
            self._mutexes |= mutexes
        if "resources" in fields:
            derived["cpus"], derived["memory"], derived["cluster_resources"] = fields["resources"]
        is_async = isinstance(action, Call) and action.is_async
        over = over_limits(fields, self._around, in_python=draft.in_python, is_async=is_async)
        self._place(draft, faults, *over)
        cache = fields.get("cache", CachePolicy())
        if cache is not None and ("cache" in fields or "cache_keys" in fields):
            env = tuple(dict.fromkeys((*cache.env, *_own_variables(draft))))
            derived["cache"] = replace(cache, env=env, keys=fields.get("cache_keys", cache.keys))
        if fields.get("cache") is not None and action is None and not set(ACTIONS) & set(draft.keys):
            derived["cache"] = None
            if "cache" in draft.keys and draft.function is None:
                faults.append(Fault("a milestone has no result to use again", None, ("cache",)))
        return derived

    def _place(self, draft: Draft, own: list[Fault], *faults: Fault) -> None:
        """Report faults of keys that come from the defaults there, and leave the others to `own`."""
        for fault in faults:
            if fault.path[0] in draft.keys:
                own.append(fault)
            else:
                self._report.add(draft.locate, ("defaults",), fault)

    def _env(self, draft: Draft, scope: Mapping[str, Mapping[str, Any]], faults: list[Fault]) -> dict[str, str]:
        env, over = {**self._around.env, **self._around.over}, self._around.over
        for given, own in ((draft.defaults.get("env"), False), (draft.keys.get("env"), True)):
            if given is None:
                continue
            try:
                env |= {**variables(self._fill(given, {**scope, "env": ChainMap(env, os.environ)})), **over}
            except Rejected as rejected:
                if own:
                    faults += [fault.under("env") for fault in rejected.faults]
                else:
                    self._report.add(draft.locate, ("defaults", "env"), *rejected.faults)
        return env

    def _fields(self, draft: Draft, scope: Scope) -> tuple[dict[str, Any], list[Fault]]:
        """The parsed keys by field, defaults under the unit's own, and the faults of the unit's own."""
        filler = partial(self._fill_key, scope)
        skipped = ("env", "matrix")
        defaults = {name: value for name, value in draft.defaults.items() if name not in (*draft.keys, *skipped)}
        fields, faults = read_table(defaults, DEFAULT_KEYS, filler)
        self._report.add(draft.locate, ("defaults",), *faults)
        own = {name: value for name, value in draft.keys.items() if name not in skipped or name not in draft.table}
        parsed, faults = read_table(own, draft.table, filler)
        return fields | parsed, faults

    def _fill(self, value: Any, scope: Scope, *, keep_type: bool = False) -> Any:
        return value if self._preview else fill(value, scope, keep_type=keep_type)

    def _fill_key(self, scope: Scope, key: Key, value: Any) -> Any:
        if key.templates is Templates.NONE:
            return value
        if self._preview and key.name not in ("args", "fallback") and key.templates is Templates.VALUE:
            if has_expression(value):
                raise Rejected
            return value
        return self._fill(value, scope, keep_type=key.templates is Templates.VALUE)

    def _action(
        self, draft: Draft, fields: Mapping[str, Any], args: Mapping[str, Any] | None, positional: tuple[Any, ...]
    ) -> Action | None:
        given = [name for name in ACTIONS if name in draft.keys]
        if len(given) > 1:
            raise Rejected(Fault(f"{' and '.join(given)} exclude each other", "keep one of them", (given[1],)))
        if draft.function is not None:
            return self._call(draft.function, "", args, positional, ())
        if "args" in draft.keys and "call" not in given:
            raise Rejected(Fault("only a call takes args", None, ("args",)))
        if "shell" in draft.keys and "run" not in given:
            raise Rejected(Fault("only run uses a shell", None, ("shell",)))
        calls_own = [name for name in ONLY_CALLS if name in draft.keys]
        if calls_own and "call" not in given:
            other = "a command" if given else "a milestone"
            raise Rejected(*(Fault(f"only calls have it, not {other}", None, (name,)) for name in calls_own))
        commands_own = [name for name in ONLY_COMMANDS if name in draft.keys]
        if commands_own and not {"run", "argv"} & set(given):
            other = "a call" if given else "a milestone"
            own = [Fault(f"only commands have it, not {other}", None, (name,)) for name in commands_own]
            try:
                self._function(fields)
            except Rejected as rejected:
                own += rejected.faults
            raise Rejected(*own)
        if "run" in fields:
            return Shell(fields["run"], fields["shell"]) if "shell" in fields else Shell(fields["run"])
        if "argv" in fields:
            return Argv(fields["argv"])
        if "call" in fields:
            function = self._function(fields)
            assert function is not None
            return self._call(function, fields["call"], args, (), ("args",) if "args" in draft.keys else ("call",))
        return None

    def _function(self, fields: Mapping[str, Any]) -> Callable[..., Any] | None:
        """What the `call` among parsed keys names, if there is one. Raises `Rejected`."""
        if "call" not in fields:
            return None
        assert self._around.find is not None
        try:
            return self._around.find(fields["call"])
        except Rejected as rejected:
            raise Rejected(*(fault.under("call") for fault in rejected.faults)) from None

    def _call(
        self,
        function: Callable[..., Any],
        reference: str,
        args: Mapping[str, Any] | None,
        positional: tuple[Any, ...],
        path: tuple[str, ...],
    ) -> Call | None:
        fault = self._calls.fault(function)
        if fault is not None:
            raise Rejected(fault.under("call") if path else fault)
        if args is None:
            return None
        if positional:
            return Call(partial(function, *positional), reference or _function_name(function), wants_context=False)
        try:
            return self._calls.of(function, args, reference)
        except TypeError as error:
            shown = reference or _function_name(function)
            raise Rejected(Fault(f"{shown} cannot be called like this: {error}", None, path)) from None


def _instances(draft: Draft, repeat: Repeat) -> Iterator[_Instance]:
    if draft.mapped is not None:
        yield from _mapped(draft)
        return
    family = draft.name if repeat != Repeat() else ""
    for place in repeat.places():
        yield _Instance(f"{draft.name}{place.label}", family, place.values, repeat.group, place.item)


def _mapped(draft: Draft) -> Iterator[_Instance]:
    assert draft.function is not None and draft.mapped is not None
    parameter = item_parameter(draft.function, draft.keys.get("args", EMPTY))
    for number, item in enumerate(draft.mapped):
        label, matrix = f"{draft.name}[{number}]", {"item": item}
        if parameter is None:
            yield _Instance(label, draft.name, matrix, positional=(item,))
        else:
            yield _Instance(label, draft.name, matrix, args={parameter: item})


def _own_variables(draft: Draft) -> list[str]:
    """The variables that the unit itself sets, or the defaults of its keys: what they are is part of what it does."""
    given = [keys.get("env") for keys in (draft.defaults, draft.keys)]
    return [name for env in given if isinstance(env, Mapping) for name in env if isinstance(name, str)]


def _function_name(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__qualname__", None) or repr(function))


def _condition(text: str, scope: Scope) -> Condition:
    if "${{" in text:
        raise Rejected(Fault("a condition takes values as they are", "write params.NAME without ${{ }}", (), "${{"))
    try:
        return Condition.parse(text, {space: Known(values) for space, values in scope.items()})
    except ConditionError as error:
        raise Rejected(Fault(error.message, error.hint, (), text[error.at :])) from None


def _unknown_needs(args: Mapping[str, Any], needs: Iterable[str]) -> Iterator[Fault]:
    """A fault for each argument that is the result of a unit that is not needed."""
    for name, value in args.items():
        if not isinstance(value, FromUnit):
            continue
        wanted = value.need
        if any(_covers(need, wanted) for need in needs):
            continue
        yield Fault(f"takes the result of {quoted(wanted)}, which is not a need", "add it to needs", ("args", name))


def _covers(need: str, wanted: str) -> bool:
    # brackets are part of an item's name, so they do not open a character class here
    return need == wanted or wanted.startswith(f"{need}[") or fnmatchcase(wanted, need.replace("[", "[[]"))
