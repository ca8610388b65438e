"""The keys of everything that is not a unit: the tables at the top level, [workflow], pools, tags, secrets, notify."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from qtui.core.definition import Notify
from qtui.core.model import ExecutionMode
from qtui.core.options import Brake
from qtui.definition import fragments, values
from qtui.definition.fragments import (
    DURATION,
    FILLED_STRINGS,
    FILLED_TEXT,
    FLAG,
    POSITIVE_DURATION,
    POSITIVE_SIZE,
    SIZE,
    STRING_TABLE,
    TEXT,
    Fragment,
    either,
    integer,
    number,
    table_of,
    words,
)
from qtui.definition.keys import Templates, read_closed, row, table, table_schema
from qtui.definition.matrix import Matrix
from qtui.definition.unit_keys import DEFAULT_KEYS, MATRIX_SCHEMA, MODES, MOST_SLOTS, UNIT_KEYS, slots
from qtui.definition.values import MOST_WORKERS, Fault, Rejected, expected

VERSION: Final = 1
STRATEGIES: Final = ("priority", "resource_balanced", "adaptive")
NOTIFY_EVENTS: Final = ("failure", "end", "confirm", "pause", "stall")

_PERCENT: Final = re.compile(r"(\d{1,3}(?:\.\d{1,3})?)\s*%", re.ASCII)


def _one_of(known: tuple[str, ...]) -> str:
    return "one of " + ", ".join(f"`{name}`" for name in known)


BRAKE_KEYS: Final = table(
    row(
        "count",
        values.integer(1, 1_000_000),
        "whole number",
        "How many failures in a row hold new starts",
        integer(1, 1_000_000),
    ),
    row(
        "same",
        values.flag,
        "boolean",
        "`true`: only failures that look alike count, with one exit code or exception and, but for numbers and paths, "
        "one last line",
        FLAG,
    ),
    row(
        "then",
        values.one_of(("pause", "stop")),
        "`pause` or `stop`",
        "`pause`, the default, waits for a person; `stop` cancels what has not started",
        words(("pause", "stop")),
    ),
    row(
        "probe",
        values.positive_duration,
        "duration",
        "Let one unit try after so long; if it succeeds, the others follow",
        POSITIVE_DURATION,
    ),
)


def brake(value: Any) -> Brake:
    """A brake from the number of failures in a row or from a table."""
    if isinstance(value, Brake):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return Brake(count=values.integer(1, 1_000_000)(value))
    parsed = read_closed(value, BRAKE_KEYS, "a whole number or a table such as { count = 10 }", "count")
    if parsed.get("then") == "stop" and "probe" in parsed:
        raise Rejected(Fault('then = "stop" lets nothing try again', "remove one of them", ("probe",)))
    return Brake(**parsed)


BRAKE_SCHEMA: Final = either(integer(1, 1_000_000), table_schema(BRAKE_KEYS, "count"))
_BRAKE_WORDS: Final = "whole number or table"


class Percent(NamedTuple):
    """A part of what the machine has."""

    percent: float


def memory_limit(value: Any) -> int | Percent:
    """A size, or a part of the machine's memory such as ``"75%"``."""
    if isinstance(value, str) and (found := _PERCENT.fullmatch(value)):
        percent = float(found[1])
        if not 1 <= percent <= 100:
            raise expected('a part of the memory from "1%" to "100%"', value)
        return Percent(percent)
    size = values.size(value)
    if not size:
        raise Rejected(Fault("must be more than 0", "leave it out for no limit"))
    return size


def _workers(value: Any) -> int | None:
    if value == "auto":
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise expected('"auto" or a whole number', value)
    return values.integer(1, MOST_WORKERS)(value)


def _files(value: Any) -> tuple[str, ...]:
    return (values.filled_text(value),) if isinstance(value, str) else values.paths(value)


def _included(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise expected('a table such as { docs = "docs.toml" }', value)
    files, faults = {}, []
    for name, path in value.items():
        try:
            files[str(name)] = values.filled_text(path)
        except Rejected as rejected:
            faults += [fault.under(str(name)) for fault in rejected.faults]
    if faults:
        raise Rejected(*faults)
    return files


WORKFLOW_KEYS: Final = table(
    row("name", values.label, "string", "By default the file's name", FILLED_TEXT, templates=Templates.NONE),
    row("description", values.text, "string", "One line for people", TEXT, templates=Templates.TEXT),
    row(
        "mode",
        values.one_of(MODES, ExecutionMode),
        _one_of(MODES),
        "`mode` of units that have none of their own; `custom` needs `executor`",
        words(MODES),
    ),
    row(
        "executor",
        values.label,
        "string",
        'Where units with `mode = "custom"` run: `dask` is a cluster of workers, `module:function` makes a '
        "`concurrent.futures.Executor`; any other name is that of one which a package has registered",
        FILLED_TEXT,
    ),
    row(
        "address",
        values.address,
        "string",
        'Where the scheduler of the cluster listens, such as `"tls://10.0.0.5:8786"`; by default a cluster is made on '
        "this machine for the run",
        {"type": "string", "pattern": values.ADDRESS},
    ),
    row(
        "strategy",
        values.one_of(STRATEGIES),
        _one_of(STRATEGIES),
        "How the number of workers is steered",
        words(STRATEGIES),
    ),
    row(
        "workers",
        _workers,
        '`"auto"` or whole number',
        "Units that may run at a time; `auto` begins with four for each usable core (processes: one) and adapts to the "
        "machine",
        either(words(("auto",)), integer(1, MOST_WORKERS)),
    ),
    row(
        "min_workers",
        values.integer(1, MOST_WORKERS),
        "whole number",
        "The least that `auto` goes down to",
        integer(1, MOST_WORKERS),
    ),
    row(
        "max_workers",
        values.integer(1, MOST_WORKERS),
        "whole number",
        "The bound for `auto` and for changes",
        integer(1, MOST_WORKERS),
    ),
    row(
        "max_async",
        values.integer(1, 1_000_000),
        "whole number",
        "Coroutines at a time; `256` by default",
        integer(1, 1_000_000),
    ),
    row(
        "cpus",
        values.number(0.01, 100_000),
        "number",
        "The budget for `resources.cpus`; by default the cores that this process may use",
        number(0.01, 100_000),
    ),
    row(
        "memory_limit",
        memory_limit,
        "size or percentage",
        'The budget for `resources.memory`; `"75%"` is a part of what the machine has for this process. '
        "No limit by default, but `auto` keeps the machine below 75 %",
        either(
            POSITIVE_SIZE,
            {"type": "string", "pattern": r"^0*(100(\.0{1,3})?|[1-9][0-9]?(\.[0-9]{1,3})?)\s*%$"},
        ),
    ),
    row(
        "nice",
        values.integer(0, 19),
        "whole number",
        "Added to the niceness of all processes that units run in",
        integer(0, 19),
    ),
    row("keep_going", values.flag, "boolean", "`false`: start nothing new after the first failure", FLAG),
    row(
        "max_failures",
        brake,
        _BRAKE_WORDS,
        "The brake: so many failures in a row hold new starts",
        BRAKE_SCHEMA,
        field="brake",
    ),
    row(
        "timeout",
        values.positive_duration,
        "duration",
        "How long the whole run may take; then it is stopped",
        POSITIVE_DURATION,
    ),
    row(
        "grace", values.duration, "duration", "`grace` of units that have none of their own; `5s` by default", DURATION
    ),
    row(
        "handler_timeout",
        values.duration,
        "duration",
        'How long units with `when = "failure"` or `"always"` may take once the run is being stopped; `5m` by default',
        DURATION,
    ),
    row(
        "on_hangup",
        values.one_of(("continue", "cancel")),
        _one_of(("continue", "cancel")),
        "What happens when the terminal goes away: the run goes on without one, which is the default, or is stopped",
        words(("continue", "cancel")),
    ),
    row(
        "concurrency",
        values.one_of(("allow", "refuse", "queue")),
        _one_of(("allow", "refuse", "queue")),
        "What happens while another run of this workflow goes on in the same directory: both do, which is the default, "
        "the new one is refused, or waits in a queue",
        words(("allow", "refuse", "queue")),
    ),
    row(
        "durability",
        values.one_of(("normal", "full")),
        _one_of(("normal", "full")),
        "With `full` every write of the record is waited for until it is on the disk itself, so that a loss of power "
        "loses nothing",
        words(("normal", "full")),
    ),
    row("persist_max", values.size, "size", "Larger results are not kept for a resume; `256M` by default", SIZE),
    row(
        "env_file",
        _files,
        "string or list of strings",
        'Files of `NAME=VALUE` lines, below `[env]`; one that is missing is ignored, unless it is `"required:.env"`',
        either(FILLED_TEXT, FILLED_STRINGS),
        templates=Templates.TEXT,
    ),
    row(
        "include",
        _included,
        "table of strings",
        'Other workflow files: with `{ docs = "docs.toml" }` their units become `docs.NAME`',
        table_of({"type": "string", "pattern": r"\.toml$"}),
        templates=Templates.NONE,
    ),
)

RECORD_KEYS: Final = ("on_hangup", "concurrency", "durability", "persist_max")
"""Keys of [workflow] about the record of a run and its processes: fields of WorkflowDefinition of the same names."""

INCLUDED_KEYS: Final = ("name", "description", "include", "env_file")
"""The keys of [workflow] that still count where the file is included."""


class Pool(NamedTuple):
    """A pool as declared: its slots, and the brake on it."""

    slots: int
    brake: Brake | None = None


POOL_KEYS: Final = table(
    row("slots", values.integer(1, MOST_SLOTS), "whole number", "How many there are", integer(1, MOST_SLOTS)),
    row(
        "max_failures",
        brake,
        _BRAKE_WORDS,
        "The brake on units that hold slots of this pool",
        BRAKE_SCHEMA,
        field="brake",
    ),
)
TAG_KEYS: Final = table(
    row(
        "max_failures",
        brake,
        _BRAKE_WORDS,
        "The brake on the units with this tag",
        BRAKE_SCHEMA,
        field="brake",
    ),
)
GROUP_KEYS: Final = table(
    row(
        "matrix",
        Matrix.parse,
        "table of lists, or of a file",
        'The items, one for every combination or, with `{ file = "samples.tsv" }`, for every row',
        MATRIX_SCHEMA,
    ),
    row(
        "pools",
        slots,
        "list of names or table",
        "Slots that an item holds from its first start to its last end",
        either({**FILLED_STRINGS, "uniqueItems": True}, table_of(integer(1, MOST_SLOTS))),
    ),
    row(
        "max_failures",
        brake,
        _BRAKE_WORDS,
        "The brake on the units of all its items",
        BRAKE_SCHEMA,
        field="brake",
    ),
)
SECRETS_KEYS: Final = table(
    row(
        "names",
        lambda value: tuple(dict.fromkeys(values.items(value, "a list of names", values.variable))),
        "list of strings",
        "Environment variables whose values are nowhere to be shown; each must be set",
        FILLED_STRINGS,
        templates=Templates.NONE,
    ),
)


def pool(value: Any) -> Pool:
    """A pool from the number of its slots or from a table."""
    if isinstance(value, int) and not isinstance(value, bool):
        return Pool(values.integer(1, MOST_SLOTS)(value))
    return Pool(**read_closed(value, POOL_KEYS, "a whole number or a table such as { slots = 2 }", "slots"))


def tag(value: Any) -> Brake:
    """The brake on a tag."""
    found: Brake = read_closed(value, TAG_KEYS, "a table such as { max_failures = 10 }", "max_failures")["brake"]
    return found


def secret_names(value: Any) -> tuple[str, ...]:
    """The names of the variables that are secrets."""
    names: tuple[str, ...] = read_closed(value, SECRETS_KEYS, 'a table such as { names = ["TOKEN"] }', "names")["names"]
    return names


def _command(value: Any) -> tuple[str, ...]:
    return ("sh", "-c", values.filled_text(value)) if isinstance(value, str) else values.argv(value)


def _events(value: Any) -> frozenset[str]:
    return frozenset(values.items(value, "a list of events", values.one_of(NOTIFY_EVENTS)))


NOTIFY_KEYS: Final = table(
    row(
        "bell",
        values.one_of(("never", "failure", "always")),
        _one_of(("never", "failure", "always")),
        "When the terminal's bell rings at the end; `never` by default",
        words(("never", "failure", "always")),
    ),
    row("after", values.duration, "duration", "Tell nothing of runs that took less, but for questions", DURATION),
    row(
        "run",
        _command,
        "string or list of strings",
        "A command that is told of events by `QTUI_EVENT`, `QTUI_RUN` and `QTUI_UNIT` in its environment: shell text, "
        "or a program with arguments. Whatever it does, the run goes on",
        either(FILLED_TEXT, fragments.array(TEXT, 1)),
        templates=Templates.TEXT,
    ),
    row(
        "on",
        _events,
        "list of " + ", ".join(f"`{name}`" for name in NOTIFY_EVENTS),
        "The events that `run` is for; all by default",
        fragments.array(words(NOTIFY_EVENTS)),
    ),
)


def notify(value: Any) -> Notify:
    """How people are told of what happens."""
    return value if isinstance(value, Notify) else Notify(**read_closed(value, NOTIFY_KEYS, "a table"))


class Section(NamedTuple):
    """A table of the top level: what it is for, and its schema."""

    help: str
    schema: Fragment


SECTIONS: Final[Mapping[str, Section]] = {
    "version": Section(f"The version of the format: `{VERSION}`, which is also the default", {"const": VERSION}),
    "workflow": Section("How the whole is called and driven", table_schema(WORKFLOW_KEYS)),
    "params": Section(
        "Values given on the command line with `-p NAME=VALUE`; a bare value is a default", table_of(fragments.ANYTHING)
    ),
    "env": Section("Environment variables of every unit", STRING_TABLE),
    "secrets": Section(
        "Environment variables that are masked wherever they would be shown", table_schema(SECRETS_KEYS, "names")
    ),
    "pools": Section(
        "Named slots that units share: `NAME = SLOTS`",
        table_of(either(fragments.templated(integer(1, MOST_SLOTS)), table_schema(POOL_KEYS, "slots"))),
    ),
    "tags": Section(
        "What holds for all units with a tag: `[tags.NAME]`", table_of(table_schema(TAG_KEYS, "max_failures"))
    ),
    "defaults": Section(
        "Unit keys that hold where a unit does not say otherwise; not `run`, `argv` and `call`",
        table_schema(DEFAULT_KEYS),
    ),
    "groups": Section(
        "Units that are repeated together: `[groups.NAME]` has their items",
        table_of(table_schema(GROUP_KEYS, "matrix")),
    ),
    "units": Section(
        "One table for each unit, its name in the header: `[units.NAME]`", table_of(table_schema(UNIT_KEYS))
    ),
    "notify": Section("Who is told of what happens, and how", table_schema(NOTIFY_KEYS)),
}
"""The top level of a workflow file."""
