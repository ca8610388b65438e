"""The keys of a unit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from qtui.core.batching import MOST_BATCHED
from qtui.core.model import ExecutionMode, FromUnit
from qtui.definition import fragments, values
from qtui.definition.fragments import (
    DURATION,
    FILLED_STRINGS,
    FILLED_TEXT,
    FLAG,
    POSITIVE_DURATION,
    SCALAR,
    STRING_TABLE,
    TEXT,
    either,
    integer,
    table_of,
    words,
)
from qtui.definition.keys import Table, Templates, row, table, table_schema
from qtui.definition.matrix import Matrix
from qtui.definition.unit_tables import CACHE_KEYS, LOG_KEYS, RESOURCE_KEYS, RETRY_KEYS, cache, log, resources, retries
from qtui.definition.values import Fault, Rejected, expected, quoted

MODES: Final = ("auto", "sequential", "thread", "process", "async", "custom")
WHEN: Final = ("success", "failure", "always")
KINDS: Final = ("cpu", "io")
LEFTOVERS: Final = ("kill", "keep")
MOST_SLOTS: Final = 1_000_000


def slots(value: Any) -> dict[str, int]:
    """How many slots of which pools: a list takes one of each."""
    if isinstance(value, Mapping):
        taken, faults = {}, []
        for name, count in value.items():
            try:
                taken[values.label(name)] = values.integer(1, MOST_SLOTS)(count)
            except Rejected as rejected:
                faults += [fault.under(str(name)) for fault in rejected.faults]
        if faults:
            raise Rejected(*faults)
        return taken
    listed = values.items(value, "a list of pools or a table such as { gpu = 2 }", values.label)
    for place, name in enumerate(listed):
        if name in listed[:place]:
            raise Rejected(Fault(f"{quoted(name)} is named twice", f"write {{ {name} = 2 }}", (f"[{place}]",)))
    return dict.fromkeys(listed, 1)


def mutexes(value: Any) -> tuple[str, ...]:
    """One name or several, each once."""
    if isinstance(value, str):
        return (values.label(value),)
    return tuple(dict.fromkeys(values.items(value, "a name or a list of names", values.label)))


def exit_codes(value: Any) -> tuple[int, ...]:
    """The exit codes that are no failure; a negative one is the number of a signal."""
    codes = values.items(value, "a list of exit codes", values.integer(-64, 255))
    if not codes:
        raise Rejected(Fault("is empty, so nothing would be a success"))
    return tuple(dict.fromkeys(codes))


def progress(value: Any) -> str:
    """A regular expression that finds how far a unit is."""
    pattern = values.regex(value)
    groups = re.compile(pattern).groupindex
    if "done" not in groups:
        raise Rejected(Fault("has no group called done", "write (?P<done>\\d+), and (?P<total>\\d+) if it is known"))
    return pattern


def batch(value: Any) -> int | str:
    """How many share a worker: ``auto`` or a number."""
    if value == "auto":
        return "auto"
    if isinstance(value, str):
        raise expected('"auto" or a whole number', value)
    return values.integer(1, MOST_BATCHED)(value)


def reference(value: Any) -> str:
    """``pkg.mod:name``."""
    module, colon, name = values.filled_text(value).partition(":")
    parts = [*module.split("."), *name.split(".")]
    if not colon or not all(part.isidentifier() for part in parts):
        raise Rejected(Fault(f"{quoted(value)} does not name a function", 'write "module:function"'))
    return str(value)


def _kwargs_from_toml(value: Any) -> dict[str, Any]:
    """Keyword arguments; ``{ from = "fetch" }`` stands for the result of a need."""
    given = values.arguments(value)
    return {
        name: FromUnit(content["from"])
        if isinstance(content, Mapping) and set(content) == {"from"} and isinstance(content["from"], str)
        else content
        for name, content in given.items()
    }


def _any_case(word: str) -> str:
    return "".join(f"[{sign}{sign.lower()}]" if sign.isalpha() else sign for sign in word)


_MODE_WORDS: Final = "one of " + ", ".join(f"`{mode}`" for mode in MODES)
MATRIX_SCHEMA: Final = {
    "type": "object",
    "properties": {
        **dict.fromkeys(("include", "exclude"), fragments.array(table_of(SCALAR))),
        "file": {
            **either(fragments.array(SCALAR, 1), FILLED_TEXT),
            "description": "A file of rows, TSV, CSV or JSON; or, as any other name, a list",
        },
    },
    "additionalProperties": either(
        fragments.array(SCALAR, 1), {"type": "string", "pattern": r"^params\.[A-Za-z_][A-Za-z0-9_]*$"}
    ),
    "not": {"propertyNames": {"enum": ["include", "exclude"]}},
}

UNIT_KEYS: Final = table(
    row(
        "needs",
        values.names,
        "list of strings",
        'Units that must be completed first: ids, families of a matrix, globs, or `"*"` for every other unit',
        FILLED_STRINGS,
        field="dependencies",
        templates=Templates.NONE,
    ),
    row(
        "when",
        values.one_of(WHEN),
        "one of " + ", ".join(f"`{name}`" for name in WHEN),
        "Which ends of its needs let it run: all of them good (`success`, the default), one of them bad, or any at all",
        words(WHEN),
    ),
    row(
        "if",
        values.filled_text,
        "string",
        "A condition that is asked once the needs have ended; a unit that does not hold is skipped",
        FILLED_TEXT,
        field="condition",
        templates=Templates.NONE,
    ),
    row(
        "run",
        values.commands,
        "string or list of strings",
        "Shell text; a list runs in order, each in a shell of its own, up to the first failure",
        either(FILLED_TEXT, fragments.array(FILLED_TEXT, 1)),
        templates=Templates.TEXT,
    ),
    row(
        "argv",
        values.argv,
        "list of strings",
        "A program and its arguments, without a shell",
        fragments.array(TEXT, 1),
        templates=Templates.TEXT,
    ),
    row(
        "call",
        reference,
        "string",
        "A Python function as `module:name`, imported with the workflow file's directory on the path",
        {"type": "string", "pattern": r"^[^\s:]+:[^\s:]+$"},
        templates=Templates.TEXT,
    ),
    row(
        "args",
        _kwargs_from_toml,
        "table",
        'Keyword arguments for `call`; `{ from = "fetch" }` is the result of the need `fetch`',
        {"type": "object", "propertyNames": {"pattern": fragments.IDENTIFIER}},
    ),
    row(
        "mode",
        values.one_of(MODES, ExecutionMode),
        _MODE_WORDS,
        "How a Python function runs; commands always run as processes, coroutine functions on the event loop. "
        "`custom` is the workflow's `executor`, for commands only if that is a cluster",
        words(MODES),
    ),
    row("timeout", values.positive_duration, "duration", "How long one attempt may take", POSITIVE_DURATION),
    row("grace", values.duration, "duration", "The time between asking the unit to stop and killing it", DURATION),
    row(
        "retries",
        retries,
        "whole number or table",
        "Re-tries after a failed attempt; the first try does not count",
        either(integer(0, 1_000_000), table_schema(RETRY_KEYS, "max")),
        field="retry",
    ),
    row(
        "allow_failure",
        values.flag,
        "boolean",
        "`true`: its failure is told, but neither keeps dependents from running nor makes the run fail",
        FLAG,
    ),
    row(
        "success_exit_codes",
        exit_codes,
        "list of exit codes",
        "The exit codes of a command that are no failure; `[0]` by default, and `0` may be left out",
        fragments.array(integer(-64, 255), 1),
    ),
    row(
        "fallback",
        values.fallback,
        "anything",
        "The value dependents get if the last attempt failed or timed out",
        fragments.ANYTHING,
    ),
    row(
        "priority",
        values.integer(-1_000_000, 1_000_000),
        "whole number",
        "Higher starts first; `0` by default",
        integer(-1_000_000, 1_000_000),
    ),
    row(
        "pools",
        slots,
        "list of names or table",
        "Slots it holds while it runs: one of each pool in the list, or `{ gpu = 2 }`",
        either({**FILLED_STRINGS, "uniqueItems": True}, table_of(integer(1, MOST_SLOTS))),
    ),
    row(
        "mutex",
        mutexes,
        "string or list of strings",
        "A pool of one that need not be declared: units that name the same never run together",
        either(FILLED_TEXT, FILLED_STRINGS),
    ),
    row(
        "resources",
        resources,
        "table",
        '`{ cpus = 4, memory = "6G" }`: its part of the run\'s budgets while it runs; `{ dask = { GPU = 1 } }`: what '
        "it takes of a cluster's workers",
        {**table_schema(RESOURCE_KEYS), "minProperties": 1},
    ),
    row(
        "tags",
        values.labels,
        "list of strings",
        "Words to find and select units by",
        FILLED_STRINGS,
        templates=Templates.TEXT,
    ),
    row("kind", values.one_of(KINDS), "`cpu` or `io`", "What a Python function mostly does", words(KINDS)),
    row(
        "env",
        values.variables,
        "table of strings",
        "Environment variables, over `[env]`",
        STRING_TABLE,
        templates=Templates.TEXT,
    ),
    row(
        "cwd",
        values.filled_text,
        "string",
        "The directory to run in, relative to the workflow file's, which is the default",
        FILLED_TEXT,
        templates=Templates.TEXT,
    ),
    row(
        "matrix",
        Matrix.parse,
        "table of lists, or of a file",
        "Repeat the unit for every combination or every row of a file; `exclude` and `include` are lists of tables",
        MATRIX_SCHEMA,
    ),
    row(
        "group",
        values.label,
        "string",
        "The group it belongs to: it is repeated for each item of `[groups.NAME]`",
        FILLED_TEXT,
        templates=Templates.NONE,
    ),
    row(
        "outputs",
        values.paths,
        "list of strings",
        "Files or directories it makes, relative to its `cwd`; one that is missing in the end is a failure",
        FILLED_STRINGS,
        templates=Templates.TEXT,
    ),
    row(
        "cache",
        cache,
        "boolean or table",
        "Use the last result again while nothing that it depends on has changed",
        either(FLAG, table_schema(CACHE_KEYS)),
    ),
    row(
        "confirm",
        values.label,
        "string",
        "A question that a person must say yes to before it starts",
        FILLED_TEXT,
        templates=Templates.TEXT,
    ),
    row(
        "progress",
        progress,
        "string",
        "A regular expression for its output, with the groups `done` and, if it is known, `total`",
        FILLED_TEXT,
        templates=Templates.TEXT,
    ),
    row(
        "stall", values.positive_duration, "duration", "Warn when it is silent and idle for so long", POSITIVE_DURATION
    ),
    row(
        "estimate",
        values.positive_duration,
        "duration",
        "How long it probably takes, as long as no earlier run can tell",
        POSITIVE_DURATION,
    ),
    row(
        "idempotent",
        values.flag,
        "boolean",
        "`false`: after a crash of qtui, ask before it is run again",
        FLAG,
    ),
    row(
        "batch",
        batch,
        '`"auto"` or whole number',
        "So many short calls queue for one worker process, which then never waits; `auto` follows how long they take",
        either(words(("auto",)), integer(1, MOST_BATCHED)),
    ),
    row("description", values.text, "string", "One line for people", TEXT, templates=Templates.TEXT),
    row(
        "shell",
        values.shell_words,
        "string",
        'The shell for `run`, with options: `"bash -euo pipefail"`; `"sh"` by default. It is given the text with `-c`, '
        "or as a script file in place of the word `{}`",
        FILLED_TEXT,
        templates=Templates.TEXT,
    ),
    row(
        "log",
        log,
        "table",
        "`{ max = SIZE }`: the most bytes kept of an attempt's output, half from its beginning and half from its end; "
        "`64M` by default",
        table_schema(LOG_KEYS, "max"),
        field="log_max",
    ),
    row(
        "stop_signal",
        values.signal_name,
        "one of " + ", ".join(f"`{name}`" for name in values.STOP_SIGNALS),
        "The signal that asks a command to stop, before it is killed; `TERM` by default",
        {"type": "string", "pattern": "^([Ss][Ii][Gg])?(" + "|".join(map(_any_case, values.STOP_SIGNALS)) + ")$"},
    ),
    row(
        "leftovers",
        values.one_of(LEFTOVERS),
        "`kill` or `keep`",
        "What becomes of background processes that outlive their command; `kill` by default",
        words(LEFTOVERS),
    ),
    row("pty", values.flag, "boolean", "Give the command a terminal of 24 lines by 120 columns to write to", FLAG),
)

ACTIONS: Final = ("run", "argv", "call")
ONLY_CALLS: Final = ("batch",)
ONLY_COMMANDS: Final = ("stop_signal", "leftovers", "pty", "success_exit_codes")
DEFAULT_KEYS: Final[Table] = {name: key for name, key in UNIT_KEYS.items() if name not in (*ACTIONS, "group")}

# `needs` and `if` have other names in Python: the one is the engine's word, the other cannot be a keyword
_PYTHON: Final = {
    "dependencies": replace(UNIT_KEYS["needs"], name="dependencies"),
    "condition": replace(UNIT_KEYS["if"], name="condition"),
}
FUNCTION_KEYS: Final[Table] = {
    **_PYTHON,
    **{name: key for name, key in UNIT_KEYS.items() if name not in (*ACTIONS, "needs", "if", "shell", *ONLY_COMMANDS)},
    "args": replace(UNIT_KEYS["args"], parse=values.arguments),
    "cache_keys": row(
        "cache_keys",
        values.names,
        "list of strings",
        "The entries of the context that a cached result depends on; by default all params and needs",
        FILLED_STRINGS,
    ),
}
"""The keys of a function in Python, where `FromUnit` is written as such."""
COMMAND_KEYS: Final[Table] = {
    **_PYTHON,
    **{name: key for name, key in UNIT_KEYS.items() if name not in ("call", "needs", "if", "args", *ONLY_CALLS)},
}
