"""Units that a running unit adds: checked like those of a workflow in Python, at the line that adds them."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from qtui.core.model import QuantumUnit, Source
from qtui.definition.assemble import Assembler
from qtui.definition.drafts import Draft, Surroundings, item_parameter
from qtui.definition.keys import Table
from qtui.definition.report import Report, caller, given_keys, reject
from qtui.definition.unit_keys import COMMAND_KEYS, FUNCTION_KEYS
from qtui.definition.values import Fault, Rejected

_STATIC = ("matrix", "group")
"""Keys that only units of a workflow have: what is added is made one by one."""

_UNNAMED = ("", "<lambda>")
_PARAMS = "params"


class Additions:
    """What one attempt of `adder` adds, in order.

    Added units have the environment and the directory of `adder` unless they are told otherwise, and names beside its
    own in an included workflow. Every method raises InvalidWorkflow for what cannot be right by itself; whether names
    and pools are there, and whether units need each other, is known when the attempt completes. `front` is the
    file through which user code comes here. Threads of the attempt may add at the same time.
    """

    def __init__(self, adder: QuantumUnit, params: Mapping[str, Any], front: str) -> None:
        self.units: dict[str, QuantumUnit] = {}
        self._inside = (front, __file__)
        inside, _, _ = adder.name.rpartition(".")
        self._prefix = f"{inside}." if inside else ""
        directory = adder.cwd or os.getcwd()  # noqa: PTH109
        self._around = Surroundings(params=params, env=adder.env, directory=directory, pools=None)
        self._unnamed = re.sub(r"[^\w.-]+", "_", adder.id.removeprefix(self._prefix)) + "-unit_"
        self._adding = threading.RLock()

    def function(
        self,
        function: Callable[..., Any],
        name: str | None,
        dependencies: Iterable[str | QuantumUnit],
        keys: Mapping[str, Any],
    ) -> QuantumUnit:
        """Add a unit that calls a function; one without a name is called ``ADDER-unit_N``."""
        source = caller(*self._inside)
        if not callable(function):
            reject(source, (), Fault(f"a unit needs a function, not a value of type {type(function).__name__}"))
        own = getattr(function, "__name__", "") if name is None else name
        with self._adding:
            name = self._free_name() if name is None and own in _UNNAMED else own
            draft = self._draft(name, dependencies, keys, FUNCTION_KEYS, source)
            return self._add(replace(draft, function=function))[0]

    def _free_name(self) -> str:
        number = len(self.units)
        while f"{self._prefix}{self._unnamed}{number}" in self.units:
            number += 1
        return f"{self._unnamed}{number}"

    def command(
        self, name: str, run: Any, argv: Any, dependencies: Iterable[str | QuantumUnit], keys: Mapping[str, Any]
    ) -> QuantumUnit:
        """Add a unit that runs a command."""
        source = caller(*self._inside)
        if (run is None) == (argv is None):
            reject(source, ("units", str(name)), Fault("a command has either run or argv"))
        keys = {"run": run, "argv": argv, **keys}
        return self._add(self._draft(name, dependencies, keys, COMMAND_KEYS, source))[0]

    def map(
        self,
        function: Callable[..., Any],
        items: Iterable[Any],
        name: str,
        dependencies: Iterable[str | QuantumUnit],
        keys: Mapping[str, Any],
    ) -> list[QuantumUnit]:
        """Add a unit for each item; none for no items."""
        source = caller(*self._inside)
        draft = self._draft(name, dependencies, keys, FUNCTION_KEYS, source)
        try:
            item_parameter(function, keys.get("args") or {})
        except Rejected as rejected:
            reject(source, draft.path, *rejected.faults)
        return self._add(replace(draft, function=function, mapped=tuple(items)))

    def _draft(
        self,
        name: str,
        dependencies: Iterable[str | QuantumUnit],
        keys: Mapping[str, Any],
        table: Table,
        source: Source,
    ) -> Draft:
        keys = given_keys(dependencies, keys)
        for key in _STATIC:
            if key in keys:
                reject(source, ("units", str(name), key), Fault("only units of the workflow itself have it"))
        return Draft(
            name=f"{self._prefix}{name}" if isinstance(name, str) else name,
            keys=keys,
            source=source,
            locate=lambda _path, _needle: str(source),
            table=table,
            freely_named=True,
        )

    def _add(self, draft: Draft) -> list[QuantumUnit]:
        report = Report()
        if isinstance(draft.name, str) and draft.name in (_PARAMS, *self._around.params):
            hint = "rename one of them: both would be context[...]"
            report.add(draft.locate, draft.path, Fault("this is also the name of an input", hint))
        made = Assembler(self._around, report).assemble([draft]).units
        with self._adding:
            for unit in made:
                if unit.id in self.units:
                    first = self.units[unit.id].source
                    report.add(draft.locate, draft.path, Fault("this name is already taken", f"first used at {first}"))
            report.raise_if_any()
            self.units |= {unit.id: unit for unit in made}
        return made
