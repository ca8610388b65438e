"""Secrets must not become names: ids and tags are told everywhere, and nothing there is masked. Nor must they be told
by a workflow in Python that fails before it is there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from qtui.definition.expressions import lookups
from qtui.definition.report import Locate, Report
from qtui.definition.values import Fault, Path

_NAMING: Final = ("matrix", "tags", "mutex", "pools")
"""The keys whose values are names, or become part of some."""

_declared: ContextVar[set[str] | None] = ContextVar("_declared", default=None)


@contextmanager
def noting_secrets() -> Iterator[set[str]]:
    """Meanwhile, the names of the secrets that workflows declare are put into the set, whatever becomes of them."""
    names: set[str] = set()
    token = _declared.set(names)
    try:
        yield names
    finally:
        _declared.reset(token)


def note_secrets(names: Iterable[str]) -> None:
    """A workflow declares these variables to be secrets."""
    noted = _declared.get()
    if noted is not None:
        noted.update(names)


class Carriers:
    """What has values of secrets: variables that are secrets or are made of some, and params whose defaults are.

    `tables` are those of a file's top level.
    """

    def __init__(self, secrets: Iterable[str], tables: Mapping[str, Any]) -> None:
        self._origins: dict[tuple[str, str], str] = {("env", name): name for name in secrets}
        for space in ("params", "env"):  # [env] may use params, but not the reverse
            for name, value in _table(tables.get(space)).items():
                for secret, _ in self._carried(value):
                    self._origins.setdefault((space, name), secret)
        self._tables = tables

    def check_names(self, locate: Locate, report: Report) -> None:
        """Report every name in the file that a secret's value would be part of."""
        self.check_keys(("defaults",), self._tables.get("defaults"), locate, report)
        for section in ("groups", "units"):
            for name, keys in _table(self._tables.get(section)).items():
                self.check_keys((section, name), keys, locate, report)

    def check_keys(self, path: Path, keys: Any, locate: Locate, report: Report) -> None:
        """Report every name that a secret's value would be part of, among the keys of the unit or group at `path`."""
        for name, value in _table(keys).items() if self._origins else ():
            if name not in _NAMING:
                continue
            for secret, text in self._carried(_items(value) if name == "matrix" else value):
                message = f"a name cannot have the value of the secret {secret} in it: names are told everywhere"
                hint = "take it from the environment where it is used"
                report.add(locate, (*path, name), Fault(message, hint, (), text))

    def _carried(self, value: Any) -> Iterator[tuple[str, str]]:
        """The secrets that expressions in `value` put there, and these expressions."""
        for space, name, text in lookups(value):
            if (secret := self._origins.get((space, name))) is not None:
                yield secret, text


def _items(matrix: Any) -> Any:
    """What the items of a matrix are made of: files are only read, and params are written there without ``${{ }}``."""
    if not isinstance(matrix, Mapping):
        return matrix
    return {
        name: f"${{{{ {value} }}}}" if isinstance(value, str) and "${{" not in value else value
        for name, value in matrix.items()
        if name != "file"
    }


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
