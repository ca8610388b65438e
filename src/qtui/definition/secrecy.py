"""Secrets must not become names: ids and tags are told everywhere, and nothing there is masked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from qtui.definition.expressions import lookups
from qtui.definition.report import Locate, Report
from qtui.definition.values import Fault, Path

_NAMING: Final = ("matrix", "tags", "mutex", "pools")
"""The keys whose values are names, or become part of some."""


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
        """Report every name that a secret's value would be part of."""
        if not self._origins:
            return
        for path, value in self._naming():
            for secret, text in self._carried(value):
                message = f"a name cannot have the value of the secret {secret} in it: names are told everywhere"
                report.add(locate, path, Fault(message, "take it from the environment where it is used", (), text))

    def _carried(self, value: Any) -> Iterator[tuple[str, str]]:
        """The secrets that expressions in `value` put there, and these expressions."""
        for space, name, text in lookups(value):
            if (secret := self._origins.get((space, name))) is not None:
                yield secret, text

    def _naming(self) -> Iterator[tuple[Path, Any]]:
        places: list[tuple[Path, Any]] = [(("defaults",), self._tables.get("defaults"))]
        for section in ("groups", "units"):
            places += [((section, name), keys) for name, keys in _table(self._tables.get(section)).items()]
        for path, keys in places:
            for name, value in _table(keys).items():
                if name == "matrix":
                    value = _items(value)
                if name in _NAMING:
                    yield (*path, name), value


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
