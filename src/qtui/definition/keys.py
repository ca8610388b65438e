"""The key tables: what may be written where. They drive the checks, the error texts and the reference in docs/."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final

from qtui.core.errors import did_you_mean
from qtui.core.model import ExecutionMode, RetryPolicy
from qtui.definition import values
from qtui.definition.matrix import Matrix
from qtui.definition.values import Fault, Rejected, expected, quoted

MODES: Final = ("auto", "sequential", "thread", "process", "async")
STRATEGIES: Final = ("priority", "resource_balanced", "adaptive")
MOST_WORKERS: Final = 1024


class Templates(Enum):
    """What ``${{ }}`` does in the value of a key."""

    NONE = "as written"
    TEXT = "becomes text"
    VALUE = "keeps its type when it is the whole string"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One row: a key, what it accepts (in words and as a parser), the field its value lands in, and its help."""

    name: str
    parse: Callable[[Any], Any]
    accepts: str
    help: str
    field: str
    templates: Templates = Templates.TEXT


Table = Mapping[str, Key]
Filler = Callable[[Key, Any], Any]

ALIASES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("depends_on", "depends", "deps", "dependencies", "requires", "after", "need"), "needs"),
    **dict.fromkeys(("command", "cmd", "commands", "cmds", "script", "shell_command", "exec"), "run"),
    **dict.fromkeys(("args_list", "program"), "argv"),
    **dict.fromkeys(("function", "func", "callable", "python"), "call"),
    **dict.fromkeys(("kwargs", "arguments", "with"), "args"),
    **dict.fromkeys(("dir", "directory", "workdir", "working_dir", "working_directory", "working-directory"), "cwd"),
    **dict.fromkeys(("environment", "envs", "environ", "vars"), "env"),
    **dict.fromkeys(("retry", "max_retries", "attempts", "tries"), "retries"),
    **dict.fromkeys(("time_limit", "timeout_seconds", "timeout_minutes", "timeout-minutes", "deadline"), "timeout"),
    **dict.fromkeys(("foreach", "for_each", "each", "strategy"), "matrix"),
    **dict.fromkeys(("desc", "doc", "title", "summary"), "description"),
    **dict.fromkeys(("labels", "tag"), "tags"),
    **dict.fromkeys(("default_value", "on_failure_value"), "fallback"),
    **dict.fromkeys(("tasks", "task", "jobs", "job", "steps", "stages", "unit", "nodes"), "units"),
    **dict.fromkeys(("parameters", "param", "inputs", "variables"), "params"),
    **dict.fromkeys(("default", "settings"), "defaults"),
    **dict.fromkeys(("parallelism", "concurrency", "max_parallel", "jobs_max", "threads"), "workers"),
    **dict.fromkeys(("fail_fast", "failfast", "continue_on_error"), "keep_going"),
    **dict.fromkeys(("regex", "match"), "pattern"),
    **dict.fromkeys(("options", "enum", "values"), "choices"),
}
"""Words of other tools, and the keys that mean the same here."""


def unknown_key(name: str, table: Iterable[str]) -> Fault:
    """The fault of a key that does not exist."""
    known = tuple(table)
    alias = ALIASES.get(name.lower(), name.lower())
    if alias == "needs" and "dependencies" in known:
        alias = "dependencies"
    hint = f'did you mean "{alias}"?' if alias in known else did_you_mean(name, known)
    return Fault("unknown key", hint, (name,))


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
            parsed[key.field] = key.parse(fill(key, value))
        except Rejected as rejected:
            faults += [fault.under(name) for fault in rejected.faults]
    return parsed, faults


def _table(*keys: Key) -> Table:
    return {key.name: key for key in keys}


def _row(
    name: str,
    parse: Callable[[Any], Any],
    accepts: str,
    help_: str,
    *,
    field: str = "",
    templates: Templates = Templates.VALUE,
) -> Key:
    return Key(name=name, parse=parse, accepts=accepts, help=help_, field=field or name, templates=templates)


def _error_name(value: Any) -> int | str:
    if isinstance(value, str):
        if not value.isidentifier():
            raise Rejected(Fault(f"{quoted(value)} is not a name", 'write an exception\'s class name, or "timeout"'))
        return value
    if value == 0 and not isinstance(value, bool):
        raise Rejected(Fault("exit code 0 is a success"))
    return values.integer(-64, 255)(value)


RETRY_KEYS: Final = _table(
    _row("max", values.integer(0, 1_000_000), "whole number", "How often to try again; required"),
    _row("delay", values.duration, "duration", "The wait before the first re-try; `1s` by default"),
    _row("backoff", values.number(1, 1000), "number", "What each further wait is multiplied by; `2.0` by default"),
    _row("max_delay", values.duration, "duration", "The longest wait; `1m` by default"),
    _row("jitter", values.flag, "boolean", "Shorten each wait by up to half, so that re-tries spread out"),
    _row(
        "on",
        lambda value: values.items(value, "a list", _error_name),
        "list of exit codes and names",
        'Try again only after these exit codes, exceptions (class names) or `"timeout"`; every failure by default',
    ),
)


def retries(value: Any) -> RetryPolicy:
    """A retry policy from a number of re-tries or from a table."""
    if isinstance(value, RetryPolicy):
        return value
    if isinstance(value, Mapping):
        parsed, faults = read_table(value, RETRY_KEYS)
        if "max" not in value:
            faults.append(Fault("max is missing: how often to try again"))
        if faults:
            raise Rejected(*faults)
        return RetryPolicy(**parsed)
    if isinstance(value, bool) or not isinstance(value, int):
        raise expected("a whole number or a table such as { max = 3 }", value)
    return RetryPolicy(max=values.integer(0, 1_000_000)(value))


LEAST_LOG: Final = 64 * 1024
"""Less than this would cut off what a traceback or a compiler says."""


def _log_size(value: Any) -> int:
    if values.size(value) < LEAST_LOG:
        raise Rejected(Fault("is less than 64K, which would cut off the message of an error"))
    return values.size(value)


LOG_KEYS: Final = _table(
    _row("max", _log_size, "size", "The most bytes kept of an attempt's output"),
)


def log(value: Any) -> int:
    """The limit of a log from its table."""
    parsed, faults = read_table(value, LOG_KEYS)
    if not faults and not parsed:
        faults.append(Fault("max is missing: how many bytes to keep"))
    if faults:
        raise Rejected(*faults)
    return int(parsed["max"])


def reference(value: Any) -> str:
    """``pkg.mod:name``."""
    module, colon, name = values.filled_text(value).partition(":")
    parts = [*module.split("."), *name.split(".")]
    if not colon or not all(part.isidentifier() for part in parts):
        raise Rejected(Fault(f"{quoted(value)} does not name a function", 'write "module:function"'))
    return str(value)


UNIT_KEYS: Final = _table(
    _row(
        "needs",
        values.names,
        "list of strings",
        'Units that must be completed first: ids, families of a matrix, globs, or `"*"` for every other unit',
        field="dependencies",
        templates=Templates.NONE,
    ),
    _row(
        "run",
        values.commands,
        "string or list of strings",
        "Shell text; a list runs in order, each in a shell of its own, up to the first failure",
        templates=Templates.TEXT,
    ),
    _row(
        "argv", values.argv, "list of strings", "A program and its arguments, without a shell", templates=Templates.TEXT
    ),
    _row(
        "call",
        reference,
        "string",
        "A Python function as `module:name`, imported with the workflow file's directory on the path",
        templates=Templates.TEXT,
    ),
    _row("args", values.arguments, "table", "Keyword arguments for `call`"),
    _row(
        "mode",
        values.one_of(MODES, ExecutionMode),
        "one of " + ", ".join(f"`{mode}`" for mode in MODES),
        "How a Python function runs; commands always run as processes, coroutine functions on the event loop",
    ),
    _row("timeout", values.positive_duration, "duration", "How long one attempt may take"),
    _row("grace", values.duration, "duration", "The time between asking the unit to stop and killing it"),
    _row(
        "retries",
        retries,
        "whole number or table",
        "Re-tries after a failed attempt; the first try does not count",
        field="retry",
    ),
    _row("priority", values.integer(-1_000_000, 1_000_000), "whole number", "Higher starts first; `0` by default"),
    _row("tags", values.labels, "list of strings", "Words to find and select units by", templates=Templates.TEXT),
    _row("kind", values.one_of(("cpu", "io")), "`cpu` or `io`", "What a Python function mostly does"),
    _row("env", values.variables, "table of strings", "Environment variables, over `[env]`", templates=Templates.TEXT),
    _row(
        "cwd",
        values.filled_text,
        "string",
        "The directory to run in, relative to the workflow file's, which is the default",
        templates=Templates.TEXT,
    ),
    _row(
        "matrix",
        Matrix.parse,
        "table of lists",
        "Repeat the unit for every combination; `exclude` and `include` are lists of tables",
    ),
    _row("fallback", values.fallback, "anything", "The value dependents get if the last attempt failed or timed out"),
    _row("description", values.text, "string", "One line for people", templates=Templates.TEXT),
    _row(
        "shell",
        values.shell_words,
        "string",
        'The shell for `run`, with options: `"bash -euo pipefail"`; `"sh"` by default',
        templates=Templates.TEXT,
    ),
    _row(
        "log",
        log,
        "table",
        "`{ max = SIZE }`: the most bytes kept of an attempt's output, half from its beginning and half from its end; "
        "`64M` by default",
        field="log_max",
    ),
    _row(
        "stop_signal",
        values.signal_name,
        "one of " + ", ".join(f"`{name}`" for name in values.STOP_SIGNALS),
        "The signal that asks a command to stop, before it is killed; `TERM` by default",
    ),
    _row(
        "leftovers",
        values.one_of(("kill", "keep")),
        "`kill` or `keep`",
        "What becomes of background processes that outlive their command; `kill` by default",
    ),
    _row("pty", values.flag, "boolean", "Give the command a terminal of 24 lines by 120 columns to write to"),
)

ACTIONS: Final = ("run", "argv", "call")
ONLY_COMMANDS: Final = ("stop_signal", "leftovers", "pty")
DEFAULT_KEYS: Final[Table] = {name: key for name, key in UNIT_KEYS.items() if name not in ACTIONS}

_DEPENDENCIES: Final = {"dependencies": replace(UNIT_KEYS["needs"], name="dependencies")}
FUNCTION_KEYS: Final[Table] = _DEPENDENCIES | {
    name: key for name, key in UNIT_KEYS.items() if name not in (*ACTIONS, "needs", "shell", *ONLY_COMMANDS)
}
COMMAND_KEYS: Final[Table] = _DEPENDENCIES | {
    name: key for name, key in UNIT_KEYS.items() if name not in ("call", "needs", "args")
}


def _workers(value: Any) -> int | None:
    if value == "auto":
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise expected('"auto" or a whole number', value)
    return values.integer(1, MOST_WORKERS)(value)


WORKFLOW_KEYS: Final = _table(
    _row("name", values.label, "string", "By default the file's name", templates=Templates.NONE),
    _row("description", values.text, "string", "One line for people", templates=Templates.TEXT),
    _row("mode", UNIT_KEYS["mode"].parse, UNIT_KEYS["mode"].accepts, "`mode` of units that have none of their own"),
    _row(
        "strategy",
        values.one_of(STRATEGIES),
        "one of " + ", ".join(f"`{name}`" for name in STRATEGIES),
        "How the number of workers is steered",
    ),
    _row(
        "workers",
        _workers,
        '`"auto"` or whole number',
        "Units that may run at a time; `auto` is four for each usable core",
    ),
    _row("max_workers", values.integer(1, MOST_WORKERS), "whole number", "The bound for `auto` and for changes"),
    _row("keep_going", values.flag, "boolean", "`false`: start nothing new after the first failure"),
    _row("grace", values.duration, "duration", "`grace` of units that have none of their own; `5s` by default"),
    _row("timeout", values.positive_duration, "duration", "How long the whole run may take; then it is stopped"),
    _row("nice", values.integer(0, 19), "whole number", "Added to the niceness of all processes that units run in"),
    _row("max_async", values.integer(1, 1_000_000), "whole number", "Coroutines at a time; `256` by default"),
)
