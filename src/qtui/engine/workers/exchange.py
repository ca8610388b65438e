"""The files that a command and the run hand each other: results of its needs, its own result, and shell scripts."""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NoReturn, Protocol

from qtui.core.errors import BrokenResult
from qtui.core.model import UnitState
from qtui.core.plan import ExecutionPlan, Need
from qtui.engine.elsewhere import Elsewhere
from qtui.engine.packing import Packed, names_no_class
from qtui.engine.workers.base import Attempt

MOST_BYTES = 64 << 20
"""The largest result that a command may write, and the most that it is given of its needs'."""

IDLE_FILES = 64
"""How many files with results of needs a run keeps while no unit uses them."""

_STDOUT: Final = frozenset({"exit_code", "stdout"})


class BadResult(Exception):
    """What a command left as its result is none."""


class Results(Protocol):
    """What is known of the units of a run, and a place for files; a Host is one."""

    @property
    def plan(self) -> ExecutionPlan:
        """The units."""

    @property
    def results(self) -> Sequence[Any]:
        """Values of completed units by number; what a process made is Packed."""

    def value_of(self, number: int) -> Any:
        """The value of a completed unit. Raises BrokenResult if it cannot be loaded."""

    def value_path(self, name: str) -> str:
        """Where the file `name` is to be."""

    def state_of(self, number: int) -> UnitState:
        """The unit's state."""

    def warn(self, unit: int, message: str) -> None:
        """Tell people something about a unit."""


class CommandFiles:
    """The files of one attempt of a command; all but the results of needs are made only when they are needed.

    Raises OSError if the results of its needs cannot be written.
    """

    def __init__(self, host: Results, shared: NeedsFiles, attempt: Attempt) -> None:
        self._host, self._shared = host, shared
        number, tried = attempt.start.unit, attempt.start.attempt
        self._stem = f"{number}.{tried}"
        self._result = host.value_path(f"result-{self._stem}.json")
        self._needs = shared.take(number) if host.plan.declared[number] else None
        self._scripts: list[str] = []
        self.variables = {"QTUI_ATTEMPT": str(tried), "QTUI_RESULT": self._result}
        """What tells the command of them."""
        if self._needs is not None:
            self.variables["QTUI_NEEDS"] = self._needs.path

    def script(self, text: str) -> str:
        """The path of a new file with a shell text. Raises OSError."""
        path = self._host.value_path(f"script-{self._stem}.{len(self._scripts) + 1}")
        self._scripts.append(path)
        _write(path, text.encode("utf-8", "surrogateescape"), 0o700)  # a shell of `{}` alone runs it by its #! line
        return path

    def result(self, otherwise: Any) -> Any:
        """What the command has written to ``$QTUI_RESULT``, or `otherwise`. Raises BadResult."""
        try:
            data = _read(self._result)
        except FileNotFoundError:
            return otherwise
        except OSError as error:
            raise BadResult(f"its $QTUI_RESULT cannot be read: {error.strerror}") from None
        try:
            return json.loads(data, parse_constant=_refuse, parse_float=_finite)
        except (ValueError, RecursionError, MemoryError) as error:  # ValueError: also an encoding, or too long a number
            raise BadResult(f"its $QTUI_RESULT is no JSON: {error or type(error).__name__}") from None

    def close(self, *, used: bool = False) -> None:
        """Remove them, unless processes of the command live on (`used`), whose shell may still read its script."""
        if self._needs is not None:
            self._needs.users -= 1
        for path in (self._result, *(() if used else self._scripts)):
            with suppress(OSError):
                os.unlink(path)  # noqa: PTH108


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number there")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is too large a number")
    return number


class NeedsFiles:
    """Files with results of needs, each one shared by the units that need the same. For one thread.

    `most_idle` (`IDLE_FILES`) are kept for the next unit with these needs while no unit uses them.
    """

    def __init__(self, host: Results, most_idle: int | None = None) -> None:
        self._host = host
        self._most_idle = IDLE_FILES if most_idle is None else most_idle
        self._files: dict[tuple[Need, ...], _NeedsFile] = {}
        self._made = 0

    def take(self, number: int) -> _NeedsFile:
        """The file for a unit; it stays until the user is gone. Raises OSError."""
        declared = tuple(self._host.plan.declared[number])
        values = [self._value(need) for need in self._host.plan.needs[number]]
        known = self._files.pop(declared, None)
        if known is None or not known.holds(values):  # one with other values loses its place, not its users
            known = self._make(number, declared, values)
        self._files[declared] = known  # the last used comes last
        known.users += 1
        self._drop_idle()
        return known

    def _value(self, need: int) -> Any:
        """The need's value, or the state in which it has none."""
        state = self._host.state_of(need)
        return self._host.results[need] if state is UnitState.COMPLETED else state

    def _make(self, number: int, declared: Iterable[Need], values: list[Any]) -> _NeedsFile:
        self._made += 1
        made = _NeedsFile(self._host.value_path(f"needs-{self._made}.json"), values)
        _write(made.path, self._document(number, declared), 0o600)
        return made

    def _drop_idle(self) -> None:
        too_many = len(self._files) - self._most_idle
        if too_many <= 0:
            return
        for declared, file in list(self._files.items())[:too_many]:
            if not file.users:
                del self._files[declared]
                with suppress(OSError):
                    os.unlink(file.path)  # noqa: PTH108

    def _document(self, number: int, declared: Iterable[Need]) -> bytes:
        """``{need: result}``; needs without a result, or with one that is no JSON, are left out, but null in lists."""
        needs = self._host.plan.needs[number]
        texts = {need: text for need in needs if (text := self._text(number, need)) is not None}
        if sum(map(len, texts.values())) > MOST_BYTES:
            self._shorten(number, texts)
        entries = []
        for need in declared:
            if need.many:
                entries.append((need.name, f"[{', '.join(texts.get(unit, 'null') for unit in need.units)}]"))
            elif need.units[0] in texts:
                entries.append((need.name, texts[need.units[0]]))
        return f"{{{', '.join(f'{json.dumps(name)}: {text}' for name, text in entries)}}}\n".encode()

    def _text(self, number: int, need: int) -> str | None:
        if self._host.state_of(need) is not UnitState.COMPLETED:
            return None
        value = self._host.results[need]
        if isinstance(value, Packed | Elsewhere):
            try:
                # what names classes is not plain, and loading it would import their modules into qtui
                if not names_no_class(value if isinstance(value, Packed) else value.fetch()):
                    return None
                value = self._host.value_of(need)
            except BrokenResult as broken:
                self._host.warn(number, f"does not get all results of its needs: {broken}")
                return None
        return _json(value)

    def _shorten(self, number: int, texts: dict[int, str]) -> None:
        """Leave out the output of commands, and if that is not enough the largest results."""
        for need in texts:
            value = self._host.results[need]
            if isinstance(value, Mapping) and value.keys() == _STDOUT:
                texts[need] = json.dumps({"exit_code": value["exit_code"]})
        left_out = ["the stdout of commands"]
        while sum(map(len, texts.values())) > MOST_BYTES:
            largest = max(texts, key=lambda need: len(texts[need]))
            del texts[largest]
            left_out.append(self._host.plan.table[largest].id)
        message = f"its $QTUI_NEEDS would have more than {MOST_BYTES >> 20} MB, so these are left out"
        more = f" and {len(left_out) - 5} more" if len(left_out) > 5 else ""
        self._host.warn(number, f"{message}: {', '.join(left_out[:5])}{more}")


class _NeedsFile:
    """One such file, the values in it, and how many attempts use it."""

    __slots__ = ("_values", "path", "users")

    def __init__(self, path: str, values: list[Any]) -> None:
        self.path, self._values, self.users = path, values, 0

    def holds(self, values: list[Any]) -> bool:
        """Whether these are the values in it, none of them made anew."""
        return all(held is value for held, value in zip(self._values, values, strict=True))


def _json(value: Any) -> str | None:
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return None


def _read(path: str) -> bytes:
    """What is in a regular file. Raises OSError, and BadResult for what is none or too large."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # not to wait for the writer of a FIFO
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise BadResult("its $QTUI_RESULT is not a file")
        if status.st_size > MOST_BYTES:
            raise BadResult(f"its $QTUI_RESULT is larger than {MOST_BYTES >> 20} MB; write a file and return its name")
        return os.read(fd, status.st_size)
    finally:
        os.close(fd)


def _write(path: str, data: bytes, mode: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
