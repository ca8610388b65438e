"""The language of ``if``: comparisons of params, matrix, env and the ends of needs. Parsed here, never Python's eval.

    params.full or units.scores.fallback
    matrix.shard in [0, 1] and not (env.STAGE == "test")

``and``, ``or`` and ``not`` want booleans: a string such as "false" has no truth of its own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from qtui.core.errors import QtuiError, did_you_mean

MOST_NESTED: Final = 40
"""How deep parentheses, lists and ``not`` may be nested; far below what Python's own stack allows."""

MOST_DIGITS: Final = 40
"""How long a number may be written."""

STATES: Final = ("completed", "failed", "timeout", "skipped", "canceled", "mixed")
"""What the state of a unit can be when it is asked, and that of a family whose units have ended in different ones."""

FACTS: Final[Mapping[str, str]] = {"state": "string", "fallback": "boolean", "cached": "boolean"}
"""What may be asked of ``units.NAME``, and the kind of the answer."""

SPACES: Final = ("params", "matrix", "env", "units")

_TOKEN: Final = re.compile(
    r"""\s*(?:
        (?P<string>"[^"\\]*"|'[^'\\]*')
      | (?P<number>[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.]))
      | (?P<name>[A-Za-z_][\w-]*)
      | (?P<sign>==|!=|<=|>=|[<>()\[\].,])
      | (?P<end>$)
    )""",
    re.VERBOSE | re.ASCII,
)
_KEYWORDS: Final = frozenset({"and", "or", "not", "in", "true", "false"})
_COMPARISONS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "==": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
    "in": lambda left, right: left in right,
    "not in": lambda left, right: left not in right,
}


class ConditionError(QtuiError):
    """A condition that has no meaning; `at` is the offset of what is wrong with its text."""

    def __init__(self, message: str, at: int, hint: str | None = None) -> None:
        super().__init__(message)
        self.message, self.at, self.hint = message, at, hint


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


class _Value(NamedTuple):
    value: Any


class _Fact(NamedTuple):
    unit: str
    fact: str


class _All(NamedTuple):
    parts: tuple[Any, ...]


class _Any(NamedTuple):
    parts: tuple[Any, ...]


class _Not(NamedTuple):
    part: Any


class _Comparison(NamedTuple):
    left: Any
    sign: str
    right: Any


NODES: Final = (_Value, _Fact, _All, _Any, _Not, _Comparison)
"""What the tree of a condition is made of."""

Facts = Callable[[str, str], Any]
"""Answers what the ``state``, ``fallback`` or ``cached`` of a unit or family is."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition whose params, matrix and env are filled in; only the ends of `units` are still open."""

    text: str
    tree: Any
    units: tuple[str, ...]
    """The units it asks about, as they are written."""

    @classmethod
    def parse(cls, text: str, scope: Mapping[str, Mapping[str, Any]]) -> Condition:
        """The condition `text` with the values of `scope` (params, matrix, env). Raises ConditionError.

        A variable that is not set is an empty string; every other unknown name is an error.
        """
        parser = _Parser(text, scope)
        tree, kind = parser.whole()
        if kind != "boolean":
            raise ConditionError(f"is a {kind}, neither true nor false", 0, "compare it with something")
        return cls(text, tree, tuple(dict.fromkeys(parser.units)))

    def renamed(self, rename: Callable[[str], str]) -> Condition:
        """The same condition with other names for the units it asks about."""
        return Condition(self.text, _renamed(self.tree, rename), tuple(map(rename, self.units)))

    def holds(self, facts: Facts) -> bool:
        """Whether it is true, given what `facts` says of the units."""
        return bool(_evaluate(self.tree, facts))

    def __str__(self) -> str:
        return self.text


def _renamed(node: Any, rename: Callable[[str], str]) -> Any:
    match node:
        case _Fact(unit, fact):
            return _Fact(rename(unit), fact)
        case _All(parts):
            return _All(tuple(_renamed(part, rename) for part in parts))
        case _Any(parts):
            return _Any(tuple(_renamed(part, rename) for part in parts))
        case _Not(part):
            return _Not(_renamed(part, rename))
        case _Comparison(left, sign, right):
            return _Comparison(_renamed(left, rename), sign, _renamed(right, rename))
    return node


def _evaluate(node: Any, facts: Facts) -> Any:
    match node:
        case _Value(value):
            return value
        case _Fact(unit, fact):
            return facts(unit, fact)
        case _All(parts):
            return all(_evaluate(part, facts) for part in parts)
        case _Any(parts):
            return any(_evaluate(part, facts) for part in parts)
        case _Not(part):
            return not _evaluate(part, facts)
        case _Comparison(left, sign, right):
            return _COMPARISONS[sign](_evaluate(left, facts), _evaluate(right, facts))
    raise TypeError(node)


def _kind(value: Any) -> str:
    match value:
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case list() | tuple():
            return "list"
    return "string"


def _check_states(asked: Any, other: Any, at: int) -> None:
    """Refuse to compare a state with what no state is called, which would never be equal."""
    if not (isinstance(asked, _Fact) and asked.fact == "state" and isinstance(other, _Value)):
        return
    for word in other.value if isinstance(other.value, list | tuple) else [other.value]:
        if word not in STATES:
            hint = did_you_mean(word, STATES) or f"a unit ends {', '.join(STATES)}"
            raise ConditionError(f'no unit ends "{word}"', at, hint)


class _Parser:
    """Recursive descent over the tokens; every node comes with its kind, so that errors show before the run."""

    def __init__(self, text: str, scope: Mapping[str, Mapping[str, Any]]) -> None:
        self._text, self._scope = text, scope
        self._at = 0
        self._depth = 0
        self.units: list[str] = []
        self._token = self._next()

    def whole(self) -> tuple[Any, str]:
        if self._token.kind == "end":
            raise ConditionError("is empty", 0)
        found = self._either()
        if self._token.kind != "end":
            raise self._unexpected("nothing more")
        return found

    def _next(self) -> _Token:
        match = _TOKEN.match(self._text, self._at)
        if match is None:
            at = self._at + len(self._text[self._at :]) - len(self._text[self._at :].lstrip())
            sign = self._text[at]
            hint = {"=": 'write "==" to compare', "&": 'write "and"', "|": 'write "or"', "!": 'write "not"'}.get(sign)
            if sign in "\"'":
                raise ConditionError("the string is not closed, or has a backslash", at)
            raise ConditionError(f"{sign!r} has no meaning here", at, hint)
        self._at = match.end()
        kind = str(match.lastgroup)
        text = match[kind]
        return _Token("keyword" if kind == "name" and text in _KEYWORDS else kind, text, match.start(kind))

    def _take(self, *texts: str) -> _Token | None:
        token = self._token
        if token.kind in ("sign", "keyword") and token.text in texts:
            self._token = self._next()
            return token
        return None

    def _unexpected(self, wanted: str) -> ConditionError:
        found = f'"{self._token.text}"' if self._token.kind != "end" else "the end"
        return ConditionError(f"expected {wanted}, not {found}", self._token.at)

    def _either(self) -> tuple[Any, str]:
        return self._joined("or", self._both, _Any)

    def _both(self) -> tuple[Any, str]:
        return self._joined("and", self._negated, _All)

    def _joined(
        self, word: str, part: Callable[[], tuple[Any, str]], make: Callable[[tuple[Any, ...]], Any]
    ) -> tuple[Any, str]:
        start = self._token.at
        first, kind = part()
        if not (self._token.kind == "keyword" and self._token.text == word):
            return first, kind
        parts = [self._truth(first, kind, start)]
        while self._take(word):
            start = self._token.at
            parts.append(self._truth(*part(), start))
        return make(tuple(parts)), "boolean"

    def _truth(self, node: Any, kind: str, at: int) -> Any:
        if kind != "boolean":
            raise ConditionError(f"is a {kind}, neither true nor false", at, "compare it with something")
        return node

    def _negated(self) -> tuple[Any, str]:
        if not self._take("not"):
            return self._compared()
        start = self._token.at
        self._deeper()
        node = _Not(self._truth(*self._negated(), start))
        self._depth -= 1
        return node, "boolean"

    def _compared(self) -> tuple[Any, str]:
        left_at = self._token.at
        left, left_kind = self._operand()
        token = self._take(*_COMPARISONS) or self._take("not")
        if token is None:
            return left, left_kind
        sign = token.text
        if sign == "not":
            if not self._take("in"):
                raise self._unexpected('"in"')
            sign = "not in"
        right_at = self._token.at
        right, right_kind = self._operand()
        if right_kind == "list" and sign in ("in", "not in"):
            # as if it were compared with each of them
            right_kind = next((kind for kind in map(_kind, right.value) if kind != left_kind), left_kind)
            fits = left_kind == right_kind
        elif sign in ("in", "not in"):
            fits = left_kind == right_kind == "string"
        elif sign in ("==", "!="):
            fits = left_kind == right_kind
        else:
            fits = left_kind == right_kind and left_kind in ("number", "string")
        if not fits:
            raise ConditionError(f'a {left_kind} and a {right_kind} cannot be compared by "{sign}"', token.at)
        if sign in ("==", "!=") or isinstance(getattr(right, "value", None), list | tuple):
            _check_states(left, right, right_at)
            _check_states(right, left, left_at)
        return _Comparison(left, sign, right), "boolean"

    def _operand(self) -> tuple[Any, str]:
        token = self._token
        if self._take("("):
            self._deeper()
            found = self._either()
            self._close(")")
            return found
        if self._take("["):
            return _Value(self._list()), "list"
        if token.kind in ("string", "number") or token.text in ("true", "false"):
            self._token = self._next()
            value = self._literal(token)
            return _Value(value), _kind(value)
        if token.kind == "name":
            self._token = self._next()
            return self._lookup(token)
        raise self._unexpected("a value")

    def _literal(self, token: _Token) -> Any:
        if token.kind == "string":
            return token.text[1:-1]
        if token.kind == "number":
            return self._number(token)
        return token.text == "true"

    def _number(self, token: _Token) -> float | int:
        whole = token.text.lstrip("+-").isdigit()
        if whole and len(token.text) <= MOST_DIGITS:
            return int(token.text)
        if whole or len(token.text) > MOST_DIGITS or not math.isfinite(number := float(token.text)):
            shown = token.text if len(token.text) <= MOST_DIGITS else f"{token.text[:MOST_DIGITS]}…"
            raise ConditionError(f"the number {shown} is too large or too exact", token.at)
        return number

    def _list(self) -> list[Any]:
        items: list[Any] = []
        while not self._take("]"):
            if items and not self._take(","):
                raise self._unexpected('"," or "]"')
            token = self._token
            if token.kind not in ("string", "number") and token.text not in ("true", "false"):
                raise self._unexpected("a string, number or boolean")
            self._token = self._next()
            items.append(self._literal(token))
        return items

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > MOST_NESTED:
            raise ConditionError("is nested too deeply", self._token.at)

    def _close(self, sign: str) -> None:
        self._depth -= 1
        if not self._take(sign):
            raise self._unexpected(f'"{sign}"')

    def _lookup(self, space: _Token) -> tuple[Any, str]:
        if space.text not in SPACES:
            hint = did_you_mean(space.text, SPACES) or f"there are {', '.join(SPACES)}"
            raise ConditionError(f'there is no "{space.text}" to ask', space.at, hint)
        names = [self._name(space)]
        while self._token.text == ".":
            names.append(self._name(space))
        if space.text == "units":
            return self._fact(names, space)
        name = ".".join(names)
        values = self._scope.get(space.text, {})
        if name not in values:
            if space.text == "env":
                return _Value(""), "string"
            raise ConditionError(f"{space.text}.{name} is not known", space.at, did_you_mean(name, values))
        return _Value(values[name]), _kind(values[name])

    def _name(self, space: _Token) -> str:
        if not self._take("."):
            raise self._unexpected(f'"." and a name after {space.text}')
        token = self._token
        if token.kind not in ("name", "keyword", "number", "string"):
            raise self._unexpected("a name")
        self._token = self._next()
        return token.text[1:-1] if token.kind == "string" else token.text

    def _fact(self, names: list[str], space: _Token) -> tuple[Any, str]:
        *unit, fact = names
        if not unit or fact not in FACTS:
            hint = f'ask for units.NAME.{", .".join(FACTS)}; write an item as units."embed[shard=3]".state'
            raise ConditionError(f'"{fact}" is nothing that is known of a unit', space.at, hint)
        self.units.append(".".join(unit))
        return _Fact(".".join(unit), fact), FACTS[fact]
