"""Pieces of JSON Schema (draft 2020-12): what editors are told of the values that a key accepts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from qtui.core.model import LONGEST
from qtui.definition.values import LARGEST

Fragment = Mapping[str, Any]

ANYTHING: Final[Fragment] = {}
TEXT: Final[Fragment] = {"type": "string"}
FILLED_TEXT: Final[Fragment] = {"type": "string", "pattern": r"\S"}
FLAG: Final[Fragment] = {"type": "boolean"}
SCALAR: Final[Fragment] = {"type": ["string", "number", "boolean"]}
FILLED_STRINGS: Final[Fragment] = {"type": "array", "items": FILLED_TEXT}
STRING_TABLE: Final[Fragment] = {"type": "object", "additionalProperties": TEXT}
_DURATION: Final[Fragment] = {"type": "string", "pattern": r"^([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$"}
_SIZE: Final[Fragment] = {"type": "string", "pattern": r"^[0-9]{1,15}(\.[0-9]{1,9})?\s*[KMGT]?(i?B)?$"}
_NOTHING: Final[Fragment] = {"not": {"pattern": "^[^1-9]*$"}}
DURATION: Final[Fragment] = {"anyOf": [{"type": "number", "minimum": 0, "maximum": LONGEST}, _DURATION]}
POSITIVE_DURATION: Final[Fragment] = {
    "anyOf": [{"type": "number", "exclusiveMinimum": 0, "maximum": LONGEST}, {**_DURATION, **_NOTHING}]
}
SIZE: Final[Fragment] = {"anyOf": [{"type": "integer", "minimum": 0, "maximum": LARGEST}, _SIZE]}
POSITIVE_SIZE: Final[Fragment] = {
    "anyOf": [{"type": "integer", "minimum": 1, "maximum": LARGEST}, {**_SIZE, **_NOTHING}]
}
IDENTIFIER: Final = r"^[^\W\d]\w*$"
EXPRESSION: Final[Fragment] = {"type": "string", "pattern": r"\$\{\{"}
"""A string whose value is known only once its expressions are filled in."""


def integer(least: int, most: int) -> Fragment:
    """A whole number between the bounds."""
    return {"type": "integer", "minimum": least, "maximum": most}


def number(least: float, most: float) -> Fragment:
    """A number between the bounds."""
    return {"type": "number", "minimum": least, "maximum": most}


def words(known: Iterable[str]) -> Fragment:
    """One of some words."""
    return {"enum": list(known)}


def either(*fragments: Fragment) -> Fragment:
    """What fits one of the fragments."""
    return {"anyOf": list(fragments)}


def array(items: Fragment, least: int = 0) -> Fragment:
    """A list of these."""
    return {"type": "array", "items": items, "minItems": least} if least else {"type": "array", "items": items}


def table_of(values: Fragment) -> Fragment:
    """A table with keys of the writer's choice."""
    return {"type": "object", "additionalProperties": values}


def templated(fragment: Fragment) -> Fragment:
    """`fragment`, with an expression allowed in place of every value in it."""
    if fragment.get("type") == "string" and "pattern" not in fragment:
        return fragment
    inner: dict[str, Any] = dict(fragment)
    if isinstance(inner.get("items"), Mapping):
        inner["items"] = templated(inner["items"])
    if isinstance(inner.get("additionalProperties"), Mapping):
        inner["additionalProperties"] = templated(inner["additionalProperties"])
    if "anyOf" in inner:
        parts = [templated(part) for part in inner["anyOf"]]
        flat = [one for part in parts for one in (part["anyOf"] if set(part) == {"anyOf"} else [part])]
        unique = [one for at, one in enumerate(flat) if one not in flat[:at]]
        return {"anyOf": [*(one for one in unique if one != EXPRESSION), EXPRESSION]}
    return {"anyOf": [inner, EXPRESSION]} if inner else inner
