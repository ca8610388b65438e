"""The workflow of a run as it is on the disk now, and retries that run what is there."""

from __future__ import annotations

import itertools
import json
import os
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from qtui.core.definition import WorkflowDefinition
from qtui.core.errors import InvalidWorkflow, QtuiError, UsageError
from qtui.core.masking import TextMasker, masks_of
from qtui.core.model import Call, ExecutionMode, QuantumUnit, UnitState
from qtui.core.portable import Mask, plain_unit
from qtui.core.session import EDITED, UNUSABLE
from qtui.core.stimuli import RedefineRequested, RetryRequested, WarningRaised
from qtui.engine.codefiles import changes_of, outdated
from qtui.engine.engine import Engine
from qtui.engine.reimport import Reimport
from qtui.recordkeeping import code_digests

Reload = Callable[[], WorkflowDefinition]
"""Loads the workflow of a run once more, as it was loaded for the run. Raises QtuiError."""

Secrets = Callable[[WorkflowDefinition], Iterable[str]]
"""The values that nobody is to see."""

PATIENCE: Final = 1.0
"""Seconds that a person waits at most to be told what has changed: user code that is imported may take longer."""

LOOK_SECONDS: Final = 0.2
"""For so long the files of a function are not looked at again: a person may ask of thousands of its units at once."""

READING: Final = "its file has changed, and is still being read"
MOST_LINES: Final = 4
MOST_SHOWN: Final = 56
"""So that the difference of a unit fits into a question on a small screen."""

_BEFORE: Final = 16
"""Characters that are told of what two long texts have in common, before they differ."""

_HERE: Final = frozenset({ExecutionMode.THREAD, ExecutionMode.ASYNC, ExecutionMode.SEQUENTIAL})
"""The lanes that run code in this process, as it was when it was imported."""

_Signature = tuple[tuple[int, ...] | None, ...]


class _Found(NamedTuple):
    """What the disk had when the files had this signature: the workflow, or why it cannot be loaded.

    `modules` were imported again for it, from these `files`.
    """

    signature: _Signature
    units: Mapping[str, QuantumUnit] | None
    fault: str
    began: float
    modules: Reimport = Reimport()
    files: Collection[str] = ()


class OnDisk:
    """Knows what of a run's workflow is another on the disk now.

    Without a `reload` the definitions are for ever those that the run began with. That may run code of the workflow, so
    it is called on threads of their own. Modules with the code of units that run in this process are imported again for
    it, as new objects, if their files were written since; units get them with their new definition.
    """

    def __init__(self, engine: Engine, definition: WorkflowDefinition, secrets: Secrets) -> None:
        self._engine, self._definition, self._secrets = engine, definition, secrets
        self._known_secrets = set(secrets(definition))
        self._mask: Mask = TextMasker(masks_of(self._known_secrets)).text if self._known_secrets else str
        self._digest = code_digests()
        self._imported_at = time.time()
        self._file_read_at: dict[str, float] = {}
        self._loaded_at: dict[str, float] = {}
        self._changes: dict[int, tuple[float, Mapping[str, float]]] = {}
        self._loading = threading.Lock()
        self._reload: Reload | None = None
        self._looking: threading.Thread | None = None
        self._files: tuple[str, ...] = ()
        self._stand_ins: dict[int, tuple[QuantumUnit, QuantumUnit]] = {}
        self._from_files: dict[int, QuantumUnit] = {}  # by `id`; kept, so that no other gets the same

    def follow(self, reload: Reload) -> None:
        """From now on `reload` tells what is on the disk."""
        self._files = _files_of(self._definition)
        self._found = _Found(self._signature(), {unit.id: unit for unit in self._definition.units}, "", time.time())
        plan = self._engine.plan
        self._from_files = {id(unit): unit for unit in self._definition.units}
        for unit in self._definition.units:
            other = plan.table[plan.numbers[unit.id]]
            if other is not unit:  # a resume may have put a question before it
                self._stand_ins[id(other)] = other, unit
        self._reload = reload

    # -- what has changed ----------------------------------------------------------------------------------

    def edited(self, number: int) -> str:
        """How the unit differs on the disk, in a few lines; empty if it does not, and `UNUSABLE` followed by the reason
        if the disk has nothing that could be run. `EDITED` comes first if a person has edited it in the run.

        Takes microseconds while the files are as they were, and `PATIENCE` at most otherwise.
        """
        if self._reload is None:
            return ""
        newest = max(self._changes_of(number).values(), default=0.0)
        if self._signature() != self._found.signature or newest > self._found.began:
            if self._looking is None or not self._looking.is_alive():
                self._looking = threading.Thread(target=self._look, name="qtui-reload", daemon=True)
                self._looking.start()
                self._looking.join(PATIENCE)
            if self._looking.is_alive():
                return READING
        return self._differences(number, self._found)

    def _differences(self, number: int, found: _Found) -> str:
        if found.units is None:
            return f"{UNUSABLE}{found.fault}"
        unit = self._engine.plan.table[number]
        new = found.units.get(unit.id)
        if new is None:
            added = any(number in units for units in self._engine.plan.added.values())
            return "" if added else f"{UNUSABLE}the workflow does not have this unit any more"
        lines = "\n".join(self._told(number, new))
        _, old = self._stand_ins.get(id(unit), (unit, unit))
        return f"{EDITED}{lines}" if lines and id(old) not in self._from_files else lines

    def _told(self, number: int, new: QuantumUnit) -> Iterator[str]:
        unit = self._engine.plan.table[number]
        _, old = self._stand_ins.get(id(unit), (unit, unit))
        lines: list[str] = []
        if old is not new:
            digest = self._digest if self._keeps_code(number) else None
            plain = [plain_unit(each, mask=self._mask, digest=digest) for each in (old, new)]
            lines = list(told(*plain))
            yield from lines
        if (changed := self._old_code(number)) and not any(line.startswith(_CODE) for line in lines):
            shown = os.path.relpath(changed[0])
            yield f"code: {shown} has changed" + (f", and {len(changed) - 1} more" if changed[1:] else "")

    def _keeps_code(self, number: int) -> bool:
        """Whether the unit runs the code that was loaded; modules that worker processes import are as on the disk."""
        action = self._engine.plan.table[number].action
        here = self._engine.plan.lanes[number] in _HERE
        return here or (isinstance(action, Call) and self._own_file(action) in self._files)

    def _old_code(self, number: int) -> list[str]:
        """The files with code of a unit of this process that were written since it was loaded."""
        loaded = self._loaded_at.get(self._engine.plan.table[number].id, self._imported_at)
        return [file for file, at in self._changes_of(number).items() if at > loaded]

    def _changes_of(self, number: int) -> Mapping[str, float]:
        """When each file with the code of a unit of this process was written. They are looked at once for all units of
        which a person asks at a time."""
        action = self._engine.plan.table[number].action
        if self._engine.plan.lanes[number] not in _HERE or not isinstance(action, Call):
            return {}
        now = time.monotonic()
        known = self._changes.get(id(action.function))
        if known is None or now - known[0] >= LOOK_SECONDS:
            known = self._changes[id(action.function)] = now, changes_of(action.function)
        return known[1]

    def _look(self) -> _Found:
        """Load what is on the disk."""
        with self._loading:
            self._found = self._load()
            return self._found

    def _load(self) -> _Found:
        assert self._reload is not None
        signature, began = self._signature(), time.time()
        try:
            old = self._outdated()
            modules, files = Reimport(old), tuple(old.values())
            with modules.importing():
                definition = self._reload()
            if not self._known_secrets.issuperset(self._secrets(definition)):
                raise UsageError("it has other secrets, which only a resume of the run (qtui resume) takes up")
        except InvalidWorkflow as error:
            return _Found(signature, None, _first(error), began)
        except Exception as error:  # noqa: BLE001  - anything, and a person wants to know
            text = str(error) if isinstance(error, QtuiError) else f"{type(error).__name__}: {error}"
            return _Found(signature, None, text, began)
        known = len(self._files)
        self._files = tuple(dict.fromkeys((*self._files, *_files_of(definition))))
        signature += self._signature()[known:]
        return _Found(signature, {unit.id: unit for unit in definition.units}, "", began, modules, files)

    def _outdated(self) -> dict[str, str]:
        """The modules with code of units of this process that are not what their files are, with those."""
        plan = self._engine.plan
        pairs = zip(plan.table, plan.lanes, strict=False)
        actions = [unit.action for unit, lane in pairs if lane in _HERE and isinstance(unit.action, Call)]
        functions = {id(action.function): action.function for action in actions if isinstance(action, Call)}
        return outdated(functions.values(), lambda file: self._file_read_at.get(file, self._imported_at))

    def _signature(self) -> _Signature:
        return tuple(map(_signature_of, self._files))

    # -- retries -------------------------------------------------------------------------------------------

    def retry(self, request: RetryRequested, answer: Callable[[bool], None] | None = None) -> None:
        """Run units again: with `fresh`, as they are on the disk now. Returns at once."""
        again = self._chosen(request)
        if not request.fresh or self._reload is None:
            self._post(request, answer)
        work = threading.Thread(target=self._retry, args=(request, again, answer), name="qtui-retry", daemon=True)
        work.start()

    def _retry(self, request: RetryRequested, units: Sequence[int], answer: Callable[[bool], None] | None) -> None:
        try:
            if request.fresh and self._reload is not None:
                self._retry_fresh(request, units, answer)
            self._warn_of_old_code(units)
        except Exception as error:  # noqa: BLE001  - whatever it is, a person waits for it
            self._warn(f"cannot take units from the disk: {type(error).__name__}: {error}")
            if answer is not None:
                answer(False)

    def _retry_fresh(
        self, request: RetryRequested, numbers: Sequence[int], answer: Callable[[bool], None] | None
    ) -> None:
        found = self._look()
        if found.units is None:
            self._warn(f"nothing is run again, the workflow cannot be loaded as it is now: {found.fault}")
            if answer is not None:
                answer(True)
            return
        changed: list[QuantumUnit] = []
        for number in numbers:
            unit = self._engine.plan.table[number]
            new = found.units.get(unit.id)
            if new is not None and any(self._told(number, new)):
                changed.append(new)
                self._from_files[id(new)] = new
                self._loaded_at[new.id] = found.began
        found.modules.install()
        self._file_read_at.update(dict.fromkeys(found.files, found.began))
        plain = request._replace(fresh=False)
        self._post(RedefineRequested(tuple(changed), plain) if changed else plain, answer)

    def _chosen(self, request: RetryRequested) -> list[int]:
        """The units that may run again: those of the request, and what comes with them from below."""
        plan, state_of = self._engine.plan, self._engine.state_of
        named = frozenset(request.units)
        numbers = dict.fromkeys(number for number in request.units if number < len(plan))
        stack = list(numbers)
        while stack:
            for fed in plan.feeds[stack.pop()]:
                if fed not in numbers:
                    numbers[fed] = None
                    stack.append(fed)
        comes = (UnitState.SKIPPED,) if request.scope == "unit" else tuple(UnitState)
        return [n for n in numbers if n in named or plan.table[n].is_handler or state_of(n) in comes]

    def _post(self, wish: RetryRequested | RedefineRequested, answer: Callable[[bool], None] | None) -> None:
        if answer is None:
            self._engine.post(wish)
        else:
            self._engine.ask(wish, answer)

    def _warn_of_old_code(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            if changed := self._old_code(number):
                known = self._reload is not None and self._engine.plan.table[number].id in (self._found.units or ())
                how = "run it again with what is on the disk" if known else "qtui resume loads it"
                shown = os.path.relpath(changed[0])
                self._warn(f"runs old code: {shown} was written after it was imported; {how}", number)

    def _own_file(self, action: Call) -> str:
        code = getattr(action.function, "__code__", None)
        return str(getattr(code, "co_filename", ""))

    def _warn(self, message: str, number: int = -1) -> None:
        self._engine.post(WarningRaised(message, number))


# -- what people are told of two definitions ---------------------------------------------------------------

_NAMES: Final[Mapping[str, str]] = {"action": "does", "dependencies": "needs", "condition": "if"}
_CODE: Final = "does: the code of "
_UNTOLD: Final = frozenset({"source"})
"""Where a unit stands in its file makes no difference to it."""


def told(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """The parts in which two definitions, as plain data, differ: a line for each."""
    parts = [part for part in dict.fromkeys((*old, *new)) if part not in _UNTOLD]
    different = [part for part in parts if not alike(old.get(part), new.get(part))]
    for part in different[:MOST_LINES]:
        before, after = _words(part, old.get(part)), _words(part, new.get(part))
        name = _NAMES.get(part, part)
        yield f"{_CODE}{before}" if before == after else f"{name}: {' -> '.join(_apart(before, after))}"
    if len(different) > MOST_LINES:
        yield f"and {len(different) - MOST_LINES} more"


def alike(old: Any, new: Any) -> bool:
    """Whether two parts are the same; code that cannot be identified is taken for unchanged, its name is not."""
    calls = isinstance(old, dict) and isinstance(new, dict) and "call" in old and "call" in new
    if calls and not (old.get("source") and new.get("source")):
        old, new = {**old, "source": ""}, {**new, "source": ""}
    return bool(old == new)


def _words(part: str, value: Any) -> str:
    match part, value:
        case _, None:
            return "(nothing)"
        case "action", {"shell": texts}:
            return "; ".join(texts)
        case "action", {"argv": words}:
            return " ".join(words)
        case "action", {"call": reference}:
            return str(reference)
        case "condition", {"text": text}:
            return str(text)
        case _, str():
            return value
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _apart(before: str, after: str) -> tuple[str, str]:
    """Both, cut to what can be told: with where they begin to differ, and a little of what stands before that."""
    start = 0
    if max(len(before), len(after)) > MOST_SHOWN:
        same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(before, after, strict=False))
        start = max(0, sum(1 for _ in same) - _BEFORE)
    return _shown(before, start), _shown(after, start)


def _shown(text: str, start: int) -> str:
    dots = "\N{HORIZONTAL ELLIPSIS}"
    text = dots + text[start + 1 :] if start else text
    return text if len(text) <= MOST_SHOWN else text[: MOST_SHOWN - 1] + dots


def _first(error: InvalidWorkflow) -> str:
    """The first fault, and how many more there are: a question has no room for all."""
    first, *others = error.problems
    return f"{first}; and {len(others)} more" if others else str(first)


# -- files -------------------------------------------------------------------------------------------------


def _files_of(definition: WorkflowDefinition) -> tuple[str, ...]:
    """The files that the workflow is written in."""
    files = [definition.source, *(unit.source.file for unit in definition.units if unit.source is not None)]
    return tuple(dict.fromkeys(os.path.abspath(file) for file in files if file))  # noqa: PTH100


def _signature_of(file: str) -> tuple[int, ...] | None:
    with suppress(OSError):
        status = os.stat(file)  # noqa: PTH116
        return status.st_ino, status.st_size, status.st_mtime_ns
    return None
