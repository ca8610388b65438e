"""Params: what a workflow declares, and how given values are converted and checked."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final

from qtui.core.errors import did_you_mean
from qtui.core.naming import PARAM, twin_of, variable_part
from qtui.definition import fragments, values
from qtui.definition.fragments import Fragment
from qtui.definition.keys import Filler, Key, Templates, read_table, row, table
from qtui.definition.values import Fault, Rejected, expected, quoted

TYPES: Final[Mapping[str, type]] = {"str": str, "int": int, "float": float, "bool": bool, "list": list}
UNSET: Final = object()
"""A param without a default."""

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_NUMBER: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)  # Python's own takes 1_0, and nan
_TRUE: Final = frozenset({"true", "yes", "on", "1"})
_FALSE: Final = frozenset({"false", "no", "off", "0"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ParamSpec:
    """One declared param. Without a default it must be given.

    `choices` and `pattern` (which the whole value must match) hold for a value or, in a list, for each item.
    """

    name: str
    type: str = "str"
    default: Any = UNSET
    choices: tuple[Any, ...] = ()
    pattern: str | None = None
    help: str = ""

    @property
    def required(self) -> bool:
        """True if there is no default."""
        return self.default is UNSET

    def convert(self, value: Any) -> Any:
        """`value`, a string from the command line or a value of the type, as this param's type.

        Raises `Rejected`, saying what was expected.
        """
        converted = self._items(value) if self.type == "list" else _convert(self.type, value)
        for item in converted if isinstance(converted, list) else (converted,):
            if self.choices and not any(type(item) is type(choice) and item == choice for choice in self.choices):
                known = ", ".join(str(choice) for choice in self.choices)
                hint = did_you_mean(str(item), [str(choice) for choice in self.choices])
                raise Rejected(Fault(f"{quoted(str(item))} is not one of {known}", hint))
            if self.pattern is not None and not re.fullmatch(self.pattern, str(item)):
                raise Rejected(Fault(f"{quoted(str(item))} does not match the pattern {quoted(self.pattern)[1:-1]}"))
        return converted

    def _items(self, value: Any) -> list[Any]:
        if isinstance(value, str):
            value = [part.strip() for part in value.split(",")] if value.strip() else []
            if "" in value:
                raise Rejected(Fault("has an empty item", "write one comma between two items, and none at the end"))
        kinds = {type(item) for item in (self.default if isinstance(self.default, list) else ())}
        kinds |= {type(choice) for choice in self.choices}
        # text from the command line becomes what the declared items are, if they are all of one kind
        kind = next((name for name, type_ in TYPES.items() if kinds == {type_}), None)

        def parse(item: Any) -> Any:
            if isinstance(item, str):
                return _convert(kind or "str", item)
            if not isinstance(item, int | float | bool):
                raise expected("a string, number or boolean", item)
            return _fitting(item)

        return list(values.items(value, "a list", parse))


def _convert(kind: str, value: Any) -> Any:
    match kind, value:
        case "bool", str() if value.lower() in _TRUE | _FALSE:
            return value.lower() in _TRUE
        case "int", str() if re.fullmatch(r"[+-]?\d{1,18}", value.strip(), re.ASCII):
            return int(value)
        case "float", str() if _NUMBER.fullmatch(value.strip()):
            return _finite(float(value), value)
        case "float", int() | float() if not isinstance(value, bool):
            return _finite(value, value)
        case "str", str():
            return _sound(value)
        case ("bool", bool()) | ("list", list()):
            return value
        case "int", int() if not isinstance(value, bool):
            return _fitting(value)
    raise expected({"bool": "true or false", "int": "a whole number", "float": "a number"}.get(kind, "a string"), value)


def _fitting(number: Any) -> Any:
    if not values.fits(number):
        raise Rejected(Fault(values.TOO_LARGE))
    return number


def _finite(number: float, given: Any) -> float:
    try:
        converted = float(number)
    except OverflowError:
        converted = math.inf
    if not math.isfinite(converted):
        raise expected("a finite number", given)
    return converted


def _sound(text: str) -> str:
    """Bytes on the command line that are no UTF-8 arrive as lone surrogates, which cannot be stored or printed."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Rejected(Fault("is not valid UTF-8 text")) from None
    return values.text(text)


def _type_name(value: Any) -> str:
    name = value.__name__ if isinstance(value, type) else value
    parse: Callable[[Any], str] = values.one_of(TYPES)
    return parse(name)


def _row(name: str, parse: Callable[[Any], Any], accepts: str, help_: str, schema: Fragment) -> Key:
    return row(name, parse, accepts, help_, schema, templates=Templates.VALUE if name == "default" else Templates.NONE)


PARAM_KEYS: Final = table(
    _row(
        "type",
        _type_name,
        "one of " + ", ".join(f"`{name}`" for name in TYPES),
        "By default the type of `default` or of the `choices`, else `str`",
        fragments.words(TYPES),
    ),
    _row(
        "default",
        values.anything,
        "anything",
        "The value if none is given; checked like a given one",
        fragments.either(fragments.SCALAR, fragments.array(fragments.SCALAR)),
    ),
    _row("required", values.flag, "boolean", "`true` says what having no `default` says", fragments.FLAG),
    _row(
        "choices",
        lambda value: values.items(value, "a list", values.anything),
        "list",
        "The only values allowed",
        fragments.array(fragments.SCALAR),
    ),
    _row("pattern", values.regex, "string", "A regular expression that the whole value must match", fragments.TEXT),
    _row("help", values.text, "string", "One line for people", fragments.TEXT),
)


def declare(name: str, given: Any, fill: Filler | None = None) -> ParamSpec:
    """The param `name` from a table of `PARAM_KEYS`, a type, or a default; raises `Rejected` with every fault."""
    if not _NAME.fullmatch(name):
        raise Rejected(Fault("is not a name for a param: use letters, digits and _"))
    if name == "params":
        raise Rejected(Fault('a param cannot be called "params": that is the name for all of them'))
    if isinstance(given, type):
        given = {"type": given}
    elif not isinstance(given, Mapping):
        given = {"default": given}
    if not given:
        raise Rejected(Fault("is an empty table", "write { required = true } for one that must be given"))
    parsed, faults = read_table(given, PARAM_KEYS, fill) if fill else read_table(given, PARAM_KEYS)
    required = parsed.pop("required", None)
    if "default" in given and required:
        faults.append(Fault("a required param has no default", "remove one of them", ("required",)))
    if "default" not in given and required is False:
        faults.append(Fault("a param that is not required needs a default", None, ("required",)))
    if faults or ("default" in given and "default" not in parsed):
        raise Rejected(*faults)
    if "type" not in parsed:
        parsed["type"] = _inferred(parsed)
    return _checked(ParamSpec(name=name, **parsed))


def _inferred(parsed: Mapping[str, Any]) -> str:
    sample = parsed["default"] if "default" in parsed else next(iter(parsed.get("choices", ())), "")
    # bool before int, because True is an int to Python
    for kind in ("bool", "str", "int", "float", "list"):
        if isinstance(sample, TYPES[kind]):
            return kind
    raise Rejected(*expected("a string, number, boolean or list", sample).faults)


def _checked(spec: ParamSpec) -> ParamSpec:
    """The spec with its own choices and default converted."""
    try:
        if spec.type != "list":
            bare = ParamSpec(name=spec.name, type=spec.type)
            spec = replace(spec, choices=tuple(bare.convert(choice) for choice in spec.choices))
    except Rejected as rejected:
        raise Rejected(*(fault.under("choices") for fault in rejected.faults)) from None
    try:
        return spec if spec.required else replace(spec, default=spec.convert(spec.default))
    except Rejected as rejected:
        raise Rejected(*(fault.under("default") for fault in rejected.faults)) from None


Ask = Callable[[ParamSpec], str]
"""Asks a person for the value of a param that must be given."""


def ask_missing(specs: Mapping[str, ParamSpec], given: Mapping[str, Any], ask: Ask | None) -> dict[str, Any]:
    """What was given, and what `ask`, if there is one, answers for each required param that was not."""
    missing = [spec for name, spec in specs.items() if spec.required and name not in given]
    return {**given, **{spec.name: ask(spec) for spec in missing if ask is not None}}


def resolve(specs: Mapping[str, ParamSpec], given: Mapping[str, Any]) -> tuple[dict[str, Any], list[Fault]]:
    """The value of every declared param that has one, and the faults: unknown, missing and unfit values, and params
    that would be the same variable."""
    resolved: dict[str, Any] = {}
    faults: list[Fault] = []
    for name in given:
        if name not in specs:
            known = f"this workflow has {', '.join(specs)}" if specs else "this workflow has no params"
            faults.append(Fault("there is no such param", did_you_mean(name, specs) or known, (name,)))
    for place, (name, spec) in enumerate(specs.items()):
        if (twin := twin_of(name, islice(specs, place))) is not None:
            message = f"and {quoted(twin)} would both be the variable {PARAM}{variable_part(name)}"
            faults.append(Fault(message, "rename one of them", (name,)))
        if name in given:
            try:
                resolved[name] = spec.convert(given[name])
            except Rejected as rejected:
                faults += [fault.under(name) for fault in rejected.faults]
        elif spec.required:
            listed = f": {', '.join(map(str, spec.choices))}" if spec.choices else ""
            faults.append(Fault(f"a value is required{listed}", f"give one with -p {name}=VALUE", (name,)))
        else:
            resolved[name] = spec.default
    return resolved, faults
