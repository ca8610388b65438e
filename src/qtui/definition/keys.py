"""Key tables: what may be written where. They drive the checks, the error texts, the schema and the reference."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from qtui.core.errors import did_you_mean
from qtui.definition import fragments
from qtui.definition.expressions import has_expression
from qtui.definition.fragments import Fragment
from qtui.definition.values import Fault, Rejected, expected


class Templates(Enum):
    """What ``${{ }}`` does in the value of a key."""

    NONE = "as written"
    TEXT = "becomes text"
    VALUE = "keeps its type when it is the whole string"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One row: a key, what it accepts (as a parser, in words and as JSON Schema), its help, and the field it sets."""

    name: str
    parse: Callable[[Any], Any]
    accepts: str
    help: str
    field: str
    schema: Fragment
    templates: Templates


Table = Mapping[str, Key]
Filler = Callable[[Key, Any], Any]


def row(
    name: str,
    parse: Callable[[Any], Any],
    accepts: str,
    help_: str,
    schema: Fragment,
    *,
    field: str = "",
    templates: Templates = Templates.VALUE,
) -> Key:
    """A key; its schema allows expressions wherever `templates` does, its field is called like it unless said."""
    return Key(
        name=name,
        parse=parse,
        accepts=accepts,
        help=help_,
        field=field or name,
        schema=schema if templates is Templates.NONE else fragments.templated(schema),
        templates=templates,
    )


def table(*keys: Key) -> Table:
    """The keys by name, in the order given."""
    return {key.name: key for key in keys}


def table_schema(keys: Table, *required: str) -> Fragment:
    """The schema of a table that takes these keys and no others."""
    properties = {key.name: {**key.schema, "description": key.help} for key in keys.values()}
    closed = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**closed, "required": list(required)} if required else closed


_MEANT: Final[Mapping[str, tuple[str, ...]]] = {
    "needs": ("depends_on", "depends", "deps", "dependencies", "requires", "after", "need"),
    "run": ("command", "cmd", "commands", "cmds", "script", "shell_command", "exec"),
    "argv": ("args_list", "program"),
    "call": ("function", "func", "callable", "python"),
    "args": ("kwargs", "arguments", "with"),
    "cwd": ("dir", "directory", "workdir", "working_dir", "working_directory", "working-directory"),
    "env": ("environment", "envs", "environ", "vars"),
    "retries": ("retry", "max_retries", "attempts", "tries"),
    "timeout": ("time_limit", "timeout_seconds", "timeout_minutes", "timeout-minutes", "deadline"),
    "matrix": ("foreach", "for_each", "each", "strategy"),
    "description": ("desc", "doc", "title", "summary"),
    "tags": ("labels", "tag"),
    "fallback": ("default_value", "on_failure_value"),
    "allow_failure": ("continue_on_error", "continue-on-error", "ignore_errors", "ignore_failure", "optional"),
    "success_exit_codes": ("exit_codes", "ok_exit_codes", "success_codes", "allowed_exit_codes", "ok_codes"),
    "when": ("trigger_rule", "run_when", "run_after"),
    "if": ("condition", "cond", "only_if", "run_if", "skip_if", "unless"),
    "pools": ("pool", "slots", "semaphore", "semaphores", "max_active"),
    "mutex": ("lock", "locks", "exclusive", "mutexes"),
    "resources": ("resource", "limits", "reserve", "cpu", "cpus", "mem", "memory", "ram"),
    "outputs": ("output", "creates", "generates", "artifacts", "targets", "produces"),
    "cache": ("cached", "memoize", "memo"),
    "inputs": ("input", "sources", "files", "paths"),
    "confirm": ("approval", "approve", "manual", "prompt", "gate"),
    "estimate": ("duration", "expected", "expected_duration", "estimated"),
    "stall": ("stall_timeout", "silence", "heartbeat", "idle_timeout"),
    "units": ("tasks", "task", "jobs", "job", "steps", "stages", "unit", "nodes"),
    "params": ("parameters", "param", "inputs", "variables"),
    "defaults": ("default", "settings"),
    "workers": ("parallelism", "concurrency", "max_parallel", "jobs_max", "threads"),
    "keep_going": ("fail_fast", "failfast", "continue_on_error"),
    "max_failures": ("failure_limit", "max_errors", "circuit_breaker", "breaker", "brake"),
    "memory_limit": ("memory", "max_memory", "mem_limit", "ram"),
    "env_file": ("dotenv", "envfile", "env_files", "env-file"),
    "include": ("includes", "import", "imports", "extends"),
    "notify": ("notification", "notifications", "alerts", "hooks"),
    "pattern": ("regex", "match"),
    "choices": ("options", "enum", "values"),
}
"""Our keys, and the words of other tools that mean them."""

_WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    word: tuple(key for key, others in _MEANT.items() if word in others) for words in _MEANT.values() for word in words
}


_IN_PYTHON: Final = {"needs": "dependencies", "if": "condition"}
"""The keys that are called otherwise in Python."""


_UNKNOWN: Final = "unknown key"


def unknown_key(name: str, table: Iterable[str]) -> Fault:
    """The fault of a key that does not exist."""
    known = tuple(table)
    meant = (name.lower(), *_WORDS.get(name.lower(), ()))
    meant += tuple(_IN_PYTHON[word] for word in meant if word in _IN_PYTHON)
    hint = next((f'did you mean "{word}"?' for word in meant if word in known), None)
    return Fault(_UNKNOWN, hint or did_you_mean(name, known), (name,))


def _as_written(_: Key, value: Any) -> Any:
    return value


def read_table(given: Any, table: Table, fill: Filler = _as_written) -> tuple[dict[str, Any], list[Fault]]:
    """The parsed values of `given` by field, and every fault: unknown keys and values that are rejected."""
    if not isinstance(given, Mapping):
        return {}, list(expected("a table", given).faults)
    parsed: dict[str, Any] = {}
    faults: list[Fault] = []
    for name, value in given.items():
        key = table.get(name)
        if key is None:
            faults.append(unknown_key(str(name), table))
            continue
        try:
            filled = fill(key, value)
        except Rejected as rejected:
            faults += [fault.under(name) for fault in (*rejected.faults, *_unknown_inside(key, value))]
            continue
        try:
            parsed[key.field] = key.parse(filled)
        except Rejected as rejected:
            faults += [fault.under(name) for fault in rejected.faults]
    return parsed, faults


def _unknown_inside(key: Key, value: Any) -> list[Fault]:
    """The unknown keys in the tables of a value that cannot be filled in; they are wrong whatever it would be."""
    if not isinstance(value, Mapping | list | tuple):
        return []
    try:
        key.parse(_without_expressions(value))
    except Rejected as rejected:
        return [fault for fault in rejected.faults if fault.message == _UNKNOWN]
    return []


def _without_expressions(value: Any) -> Any:
    """The value without entries of tables that have expressions, and without lists that do: places in them count."""
    match value:
        case Mapping():
            return {name: _without_expressions(item) for name, item in value.items() if not _is_filled_in(item)}
        case list() | tuple():
            return [] if any(map(_is_filled_in, value)) else [_without_expressions(item) for item in value]
    return value


def _is_filled_in(value: Any) -> bool:
    return isinstance(value, str) and has_expression(value)


def read_closed(given: Any, table: Table, what: str, *required: str) -> dict[str, Any]:
    """The parsed values of a table inside a value; raises `Rejected` with every fault, or else with missing keys.

    `what` says what was expected in place of something that is no table.
    """
    if not isinstance(given, Mapping):
        raise expected(what, given)
    parsed, faults = read_table(given, table)
    # a key that is missing may well be there, but misspelt
    faults = faults or [Fault(f"{name} is missing", table[name].help) for name in required if name not in given]
    if faults:
        raise Rejected(*faults)
    return parsed
