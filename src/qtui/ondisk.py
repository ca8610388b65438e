"""The workflow of a run as it is on the disk now, and retries that run what is there."""

from __future__ import annotations

import itertools
import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from qtui.core.definition import WorkflowDefinition
from qtui.core.errors import InvalidWorkflow, QtuiError, UsageError
from qtui.core.masking import TextMasker, masks_of
from qtui.core.model import Call, ExecutionMode, QuantumUnit, UnitState
from qtui.core.portable import Mask, plain_unit
from qtui.core.session import UNUSABLE
from qtui.core.stimuli import RedefineRequested, RetryRequested, WarningRaised
from qtui.engine.codefiles import changes_of
from qtui.engine.engine import Engine
from qtui.recordkeeping import code_digests

Reload = Callable[[], WorkflowDefinition]
"""Loads the workflow of a run once more, as it was loaded for the run. Raises QtuiError."""

Secrets = Callable[[WorkflowDefinition], Iterable[str]]
"""The values that nobody is to see."""

PATIENCE: Final = 1.0
"""Seconds that a person waits at most to be told what has changed: user code that is imported may take longer."""

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
    """What the disk had when the files had this signature: the workflow, or why it cannot be loaded."""

    signature: _Signature
    units: Mapping[str, QuantumUnit] | None
    fault: str
    began: float


class OnDisk:
    """Knows what of a run's workflow is another on the disk now.

    Without a `reload` the definitions are for ever those that the run began with. That may run code of the workflow, so
    it is called on threads of their own.
    """

    def __init__(self, engine: Engine, definition: WorkflowDefinition, secrets: Secrets) -> None:
        self._engine, self._definition, self._secrets = engine, definition, secrets
        self._known_secrets = set(secrets(definition))
        self._mask: Mask = TextMasker(masks_of(self._known_secrets)).text if self._known_secrets else str
        self._digest = code_digests()
        self._imported_at = time.time()
        self._redefined_at: dict[str, float] = {}
        self._loading = threading.Lock()
        self._reload: Reload | None = None
        self._looking: threading.Thread | None = None
        self._files: tuple[str, ...] = ()
        self._stand_ins: dict[int, tuple[QuantumUnit, QuantumUnit]] = {}

    def follow(self, reload: Reload) -> None:
        """From now on `reload` tells what is on the disk."""
        self._files = _files_of(self._definition)
        self._found = _Found(self._signature(), {unit.id: unit for unit in self._definition.units}, "", time.time())
        plan = self._engine.plan
        for unit in self._definition.units:
            other = plan.table[plan.numbers[unit.id]]
            if other is not unit:  # a resume may have put a question before it
                self._stand_ins[id(other)] = other, unit
        self._reload = reload

    # -- what has changed ----------------------------------------------------------------------------------

    def edited(self, number: int) -> str:
        """How the unit differs on the disk, in a few lines; empty if it does not, and `UNUSABLE` followed by the reason
        if the disk has nothing that could be run.

        Takes microseconds while the files are as they were, and `PATIENCE` at most otherwise.
        """
        if self._reload is None:
            return ""
        if self._signature() != self._found.signature:
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
        return "\n".join(self._told(unit, new))

    def _told(self, unit: QuantumUnit, new: QuantumUnit) -> Iterator[str]:
        _, old = self._stand_ins.get(id(unit), (unit, unit))
        if old is not new:
            plain = [plain_unit(each, mask=self._mask, digest=self._digest) for each in (old, new)]
            yield from told(*plain)

    def _look(self) -> _Found:
        """Load what is on the disk."""
        with self._loading:
            self._found = self._load()
            return self._found

    def _load(self) -> _Found:
        assert self._reload is not None
        signature, began = self._signature(), time.time()
        try:
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
        return _Found(signature, {unit.id: unit for unit in definition.units}, "", began)

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
            if new is not None and any(self._told(unit, new)):
                changed.append(new)
                self._redefined_at[new.id] = found.began
        plain = request._replace(fresh=False)
        self._post(RedefineRequested(tuple(changed), plain) if changed else plain, answer)

    def _chosen(self, request: RetryRequested) -> list[int]:
        """The units that may run again: those of the request, and what comes with them from below."""
        plan, state_of = self._engine.plan, self._engine.state_of
        numbers = dict.fromkeys(number for number in request.units if number < len(plan))
        stack = list(numbers)
        while stack:
            for fed in plan.feeds[stack.pop()]:
                if fed not in numbers:
                    numbers[fed] = None
                    stack.append(fed)
        comes = (UnitState.SKIPPED,) if request.scope == "unit" else tuple(UnitState)
        return [n for n in numbers if n in request.units or plan.table[n].is_handler or state_of(n) in comes]

    def _post(self, wish: RetryRequested | RedefineRequested, answer: Callable[[bool], None] | None) -> None:
        if answer is None:
            self._engine.post(wish)
        else:
            self._engine.ask(wish, answer)

    def _warn_of_old_code(self, numbers: Iterable[int]) -> None:
        plan = self._engine.plan
        for number in numbers:
            unit = plan.table[number]
            if plan.lanes[number] not in _HERE or not isinstance(unit.action, Call):
                continue
            loaded = {self._own_file(unit.action): self._redefined_at.get(unit.id, 0.0)}
            for file, at in changes_of(unit.action.function).items():
                if at > max(self._imported_at, loaded.get(file, 0.0)):
                    shown = os.path.relpath(file)
                    self._warn(
                        f"runs old code: {shown} was written after it was imported; qtui resume loads it", number
                    )
                    break

    def _own_file(self, action: Call) -> str:
        code = getattr(action.function, "__code__", None)
        return str(getattr(code, "co_filename", ""))

    def _warn(self, message: str, number: int = -1) -> None:
        self._engine.post(WarningRaised(message, number))


# -- what people are told of two definitions ---------------------------------------------------------------

_NAMES: Final[Mapping[str, str]] = {"action": "does", "dependencies": "needs", "condition": "if"}
_UNTOLD: Final = frozenset({"source"})
"""Where a unit stands in its file makes no difference to it."""


def told(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """The parts in which two definitions, as plain data, differ: a line for each."""
    parts = [part for part in dict.fromkeys((*old, *new)) if part not in _UNTOLD]
    different = [part for part in parts if not alike(old.get(part), new.get(part))]
    for part in different[:MOST_LINES]:
        before, after = _words(part, old.get(part)), _words(part, new.get(part))
        name = _NAMES.get(part, part)
        yield f"{name}: the code of {before}" if before == after else f"{name}: {' -> '.join(_apart(before, after))}"
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
