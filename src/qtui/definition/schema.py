"""The JSON Schema of workflow files, put together from the key tables that the loader checks with."""

from __future__ import annotations

from itertools import combinations
from typing import Any, Final

from qtui.definition.fragments import SCALAR, Fragment, array, either, table_of, templated
from qtui.definition.keys import table_schema
from qtui.definition.params import PARAM_KEYS
from qtui.definition.unit_keys import ACTIONS, ONLY_COMMANDS, UNIT_KEYS
from qtui.definition.workflow_keys import SECTIONS

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
UNIT_NAME: Final = "^[A-Za-z0-9_][A-Za-z0-9_.-]*$"
PARAM_NAME: Final = "^[A-Za-z_][A-Za-z0-9_]*$"


def workflow_schema() -> dict[str, Any]:
    """The schema (draft 2020-12) of a workflow file, as plain data; keys that do not exist are errors."""
    properties = {name: {**section.schema, "description": section.help} for name, section in SECTIONS.items()}
    properties["units"] |= {**_named(UNIT_NAME, _unit()), "minProperties": 1}
    properties["params"] |= _named(PARAM_NAME, _param())
    return {
        "$schema": DIALECT,
        "title": "qtui workflow",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        # units may also come from other files
        "anyOf": [_with("units"), {**_with("workflow"), "properties": {"workflow": _with("include")}}],
    }


def _unit() -> Fragment:
    """A unit: at most one action, and the keys that only some of them take."""
    exclusive = [{"not": _with(*pair)} for pair in combinations(ACTIONS, 2)]
    command = {"anyOf": [_with("run"), _with("argv")]}
    return {
        **table_schema(UNIT_KEYS),
        "allOf": exclusive,
        "dependentRequired": {"args": ["call"], "shell": ["run"]},
        "dependentSchemas": dict.fromkeys(ONLY_COMMANDS, command),
    }


def _param() -> Fragment:
    """A param: its table, or a default alone."""
    return either(templated(SCALAR), array(SCALAR), {**table_schema(PARAM_KEYS), "minProperties": 1})


def _named(pattern: str, values: Fragment) -> Fragment:
    return {**table_of(values), "propertyNames": {"pattern": pattern}}


def _with(*keys: str) -> Fragment:
    return {"required": list(keys)}
