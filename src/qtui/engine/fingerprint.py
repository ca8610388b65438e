"""What a unit's result depends on, by name: while that is the same, an earlier result will do."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from qtui.core.errors import BrokenResult
from qtui.core.model import Argv, CachePolicy, Call, FromUnit, QuantumUnit, Shell, UnitState
from qtui.core.plan import ExecutionPlan
from qtui.engine.codefiles import CodeChanged, code_of
from qtui.engine.elsewhere import Elsewhere
from qtui.engine.failure import describe_exception
from qtui.engine.filedigest import LOOSE, FileDigests, MissingFile
from qtui.engine.packing import Packed, names_no_class
from qtui.engine.plaindata import FunctionDigests, NotPlain, digest_bytes, digest_value

FORMAT = "2"
"""Changes whenever digests are made in another way."""

NAMED_MAX = 1000
"""Of so many inputs of one pattern, or results of one need, each is kept by its name; more of them only together."""


class NotCacheable(Exception):
    """Why it cannot be told whether an earlier result will do, or why none will; the text is for people."""


class Changed(NotCacheable):
    """No earlier result will do, because something that it depends on has changed, or nobody wants one."""


class Run(Protocol):
    """What of a run units depend on."""

    plan: ExecutionPlan
    params: Mapping[str, Any]
    results: list[Any]

    def environment_of(self, number: int) -> Mapping[str, str]:
        """The unit's environment variables."""

    def packed_of(self, number: int) -> Packed:
        """The value of a completed unit as bytes. Raises what pickling raises."""

    def value_of(self, number: int) -> Any:
        """The value of a completed unit. Raises BrokenResult if it cannot be loaded."""

    def state_of(self, number: int) -> UnitState:
        """The unit's state right now."""

    def added_to(self, number: int) -> Sequence[int]:
        """The units that needs of this one have added, but for those that were added together with it."""


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """All that a result depends on: digests by what people call it, as in "input a.csv" or "the command".

    `inputs` are those among `parts` that are files.
    """

    parts: Mapping[str, str]
    inputs: Mapping[str, str]

    @cached_property
    def digest(self) -> str:
        """The digest of all parts."""
        return digest_value(dict(self.parts))

    @property
    def loose(self) -> list[str]:
        """What is known by size and time of change only."""
        return [name for name, digest in self.parts.items() if digest.startswith(LOOSE)]


def describe_changes(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """How `new` parts differ from `old` ones: the first two changes, and how many more there are."""
    changes = []
    for name, digest in new.items():
        if name not in old:
            changes.append(f"{name} is new")
        elif old[name] != digest:
            changes.append(f"{name} changed" + (" (by size and time)" if digest.startswith(LOOSE) else ""))
    changes += [f"{name} is gone" for name in old if name not in new]
    more = f" and {len(changes) - 2} more" if len(changes) > 2 else ""
    return ", ".join(changes[:2]) + more


class Fingerprints:
    """Finds out what the units of a run depend on. Not to be used by several threads at a time.

    `check` is called before each file is read, and may raise to stop.
    """

    def __init__(self, run: Run, check: Callable[[], None]) -> None:
        self._run = run
        self._home = os.getcwd()  # noqa: PTH109
        self._files, self._functions = FileDigests(check), FunctionDigests()
        self._results: dict[int, tuple[Packed, str]] = {}
        self._texts: dict[int, tuple[Any, str]] = {}

    def of(self, number: int, policy: CachePolicy) -> Fingerprint:
        """The fingerprint of a unit that is about to start. Raises NotCacheable, and what `check` raises."""
        unit = self._run.plan.table[number]
        keys = None if policy.keys is None else set(policy.keys)
        inputs = self.inputs(number, policy)
        parts = {
            "the format of the cache": FORMAT,
            **self._action(unit),
            **self._params(keys),
            **self._variables(number, policy.env),
            **self._needs(number, keys),
            **inputs,
        }
        return Fingerprint(parts=parts, inputs=inputs)

    def inputs(self, number: int, policy: CachePolicy) -> dict[str, str]:
        """The parts that are files. Raises NotCacheable, and what `check` raises."""
        directory = self._directory(number)
        parts: dict[str, str] = {}
        for pattern in policy.inputs:
            try:
                found = self._files.find(pattern, directory)
            except MissingFile as missing:
                raise Changed(f"input {missing}") from None
            except OSError as error:
                raise NotCacheable(f"input {pattern} cannot be read: {error.strerror}") from None
            parts |= _together(f"input {pattern}", {f"input {name}": digest for name, digest in found.items()})
        return parts | _together("its code", self._code(self._run.plan.table[number]))

    def outputs(self, number: int) -> dict[str, str]:
        """Digests of the unit's outputs, by name. Raises NotCacheable if one is missing, and what `check` raises."""
        directory = self._directory(number)
        found = {}
        for output in self._run.plan.table[number].outputs:
            try:
                found[output] = digest_value(self._files.find(output, directory))
            except MissingFile as missing:
                raise NotCacheable(f"output {missing}") from None
            except OSError as error:
                raise NotCacheable(f"output {output} cannot be read: {error.strerror}") from None
        return found

    def content(self, value: Packed) -> str:
        """The digest of a value's bytes, wherever they are. Raises OSError, and what `check` raises."""
        if not value.path:
            return digest_bytes(value.data)
        return digest_value([value.kind, list(value.sizes), self._files.content(value.path)])

    def _directory(self, number: int) -> str:
        return self._run.plan.table[number].cwd or self._home

    def _action(self, unit: QuantumUnit) -> dict[str, str]:
        match unit.action:
            case Shell(texts, shell):
                parts = {"the command": digest_value(texts), "the shell": digest_value(shell), **_manner(unit)}
            case Argv(argv):
                parts = {"the command": digest_value(argv), **_manner(unit)}
            case Call(function):
                try:
                    parts = {"the function": self._functions.of(function)}
                except NotPlain as found:
                    raise NotCacheable(f"the function cannot be compared with what it was: {found}") from None
                parts |= _plain("argument", unit.args)
            case None:
                raise NotCacheable("a milestone does nothing that could be kept")
        parts |= _plain("matrix value", unit.matrix)
        return {**parts, "the directory": digest_value(unit.cwd or self._home)}

    def _code(self, unit: QuantumUnit) -> dict[str, str]:
        """The files of a call's function."""
        if not isinstance(unit.action, Call):
            return {}
        try:
            return {f"the code of {name}": digest for name, digest in code_of(unit.action.function).items()}
        except CodeChanged as changed:
            raise NotCacheable(str(changed)) from None
        except OSError as error:
            raise NotCacheable(f"the code {error.filename} cannot be read: {error.strerror}") from None

    def _params(self, keys: set[str] | None) -> dict[str, str]:
        params = self._run.params
        return _plain("param", {name: params[name] for name in params if keys is None or {name, "params"} & keys})

    def _variables(self, number: int, names: Sequence[str]) -> dict[str, str]:
        if not names:
            return {}
        environment = self._run.environment_of(number)
        return {f"env {name}": digest_value(environment.get(name)) for name in names}

    # -- results -----------------------------------------------------------------------------------------

    def _needs(self, number: int, keys: set[str] | None) -> dict[str, str]:
        """The results that the unit receives: all, unless it is a call without a context, or keys name some.

        What a need has added counts with that need, for a call may read it in its context.
        """
        plan = self._run.plan
        action, args = plan.table[number].action, plan.table[number].args
        passed = {value.need for value in args.values() if isinstance(value, FromUnit)}
        sees_all = keys is None and (not isinstance(action, Call) or action.wants_context)
        result = self._result if isinstance(action, Call) else self._json_result
        wanted = passed | (keys or set())
        added = set(self._run.added_to(number)) if isinstance(action, Call) and action.wants_context else set()
        parts: dict[str, str] = {}
        for need in plan.declared[number]:
            several = {f"the result of {plan.table[each].id}": each for each in need.units}
            if not sees_all and need.name not in wanted:
                several = {name: each for name, each in several.items() if plan.table[each].id in wanted}
            digests = {name: result(each) for name, each in several.items()}
            digests |= {name: digest for each in several.values() for name, digest in self._added(each, added)}
            parts |= _together(f"the result of {need.name}", digests)
        known = {need.name for need in plan.declared[number]} | {plan.table[each].id for each in plan.needs[number]}
        for key in sorted(keys or ()):
            if key not in known and key not in self._run.params and key != "params":
                raise NotCacheable(f'its context has no "{key}", which the keys of its cache name')
        return parts

    def _added(self, adder: int, among: set[int]) -> Iterator[tuple[str, str]]:
        """The results of what a unit has added. While one of them is still to come, nobody knows what will be read."""
        plan = self._run.plan
        for number in among.intersection(plan.added.get(adder, ())):
            unit = plan.table[number].id
            if not self._run.state_of(number).ended:
                raise NotCacheable(f"{unit}, which {plan.table[adder].id} has added, has not ended")
            yield f"the result of {unit}", self._result(number)

    def _result(self, number: int) -> str:
        state = self._run.state_of(number)
        if state is not UnitState.COMPLETED:
            return digest_value(str(state))
        try:
            packed = self._run.packed_of(number)
        except BaseException as error:  # noqa: BLE001  - pickling raises whatever user classes do
            what = describe_exception(error)
            name = self._run.plan.table[number].id
            raise NotCacheable(f"the result of {name} cannot be pickled: {what.type}: {what.message}") from None
        known = self._results.get(number)
        if known is None or known[0] is not packed:
            known = self._results[number] = (packed, self.content(packed))
        return known[1]

    def _json_result(self, number: int) -> str:
        """The digest of a result as commands get it in ``$QTUI_NEEDS``: what is no JSON is nothing to them."""
        state = self._run.state_of(number)
        if state is not UnitState.COMPLETED:
            return digest_value(str(state))
        value = self._run.results[number]
        known = self._texts.get(number)
        if known is None or known[0] is not value:
            known = self._texts[number] = (value, digest_value(self._as_json(number, value)))
        return known[1]

    def _as_json(self, number: int, value: Any) -> str | None:
        try:
            if isinstance(value, Packed | Elsewhere):
                if not names_no_class(value if isinstance(value, Packed) else value.fetch()):
                    return None
                value = self._run.value_of(number)
            return json.dumps(value, allow_nan=False)
        except BrokenResult as broken:
            raise NotCacheable(str(broken)) from None
        except (TypeError, ValueError, RecursionError):
            return None


def _manner(unit: QuantumUnit) -> dict[str, str]:
    """What else of a command decides what it prints, and whether that is a success."""
    return {
        "whether it has a terminal": digest_value(unit.pty),
        "the success exit codes": digest_value(sorted(unit.success_exit_codes)),
    }


def _plain(what: str, values: Mapping[str, Any]) -> dict[str, str]:
    parts = {}
    for name, value in values.items():
        try:
            parts[f"{what} {name}"] = digest_value(value)
        except NotPlain as found:
            raise NotCacheable(f"{what} {name} cannot be compared with what it was: it holds {found}") from None
    return parts


def _together(name: str, parts: dict[str, str]) -> dict[str, str]:
    """The parts, or if there are too many of them one that stands for all."""
    if len(parts) <= NAMED_MAX:
        return parts
    loose = LOOSE if any(digest.startswith(LOOSE) for digest in parts.values()) else ""
    return {name: loose + digest_value(parts)}
