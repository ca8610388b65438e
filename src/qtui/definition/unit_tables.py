"""Tables inside the table of a unit: retries, log, resources and cache."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from qtui.core.model import EMPTY, CachePolicy, RetryPolicy
from qtui.definition import fragments, values
from qtui.definition.fragments import (
    DURATION,
    FILLED_STRINGS,
    FLAG,
    POSITIVE_DURATION,
    POSITIVE_SIZE,
    SIZE,
    either,
    integer,
    number,
    table_of,
)
from qtui.definition.keys import read_closed, row, table
from qtui.definition.values import Fault, Rejected, expected, quoted


def _error_name(value: Any) -> int | str:
    if isinstance(value, str):
        if not value.isidentifier():
            raise Rejected(Fault(f"{quoted(value)} is not a name", 'write an exception\'s class name, or "timeout"'))
        return value
    if value == 0 and not isinstance(value, bool):
        raise Rejected(Fault("exit code 0 is a success"))
    return values.integer(-64, 255)(value)


RETRY_KEYS: Final = table(
    row("max", values.integer(0, 1_000_000), "whole number", "How often to try again", integer(0, 1_000_000)),
    row("delay", values.duration, "duration", "The wait before the first re-try; `1s` by default", DURATION),
    row(
        "backoff",
        values.number(1, 1000),
        "number",
        "What each further wait is multiplied by; `2.0` by default",
        number(1, 1000),
    ),
    row("max_delay", values.duration, "duration", "The longest wait; `1m` by default", DURATION),
    row("jitter", values.flag, "boolean", "Shorten each wait by up to half, so that re-tries spread out", FLAG),
    row(
        "on",
        lambda value: values.items(value, "a list", _error_name),
        "list of exit codes and names",
        'Try again only after these exit codes, exceptions (class names) or `"timeout"`; every failure by default',
        fragments.array(either(integer(-64, -1), integer(1, 255), {"type": "string", "pattern": fragments.IDENTIFIER})),
    ),
)


def retries(value: Any) -> RetryPolicy:
    """A retry policy from a number of re-tries or from a table."""
    if isinstance(value, RetryPolicy):
        return value
    if isinstance(value, bool) or not isinstance(value, int | Mapping):
        raise expected("a whole number or a table such as { max = 3 }", value)
    if isinstance(value, int):
        return RetryPolicy(max=values.integer(0, 1_000_000)(value))
    return RetryPolicy(**read_closed(value, RETRY_KEYS, "a table", "max"))


LEAST_LOG: Final = 64 * 1024
"""Less than this would cut off what a traceback or a compiler says."""


def _log_size(value: Any) -> int:
    if values.size(value) < LEAST_LOG:
        raise Rejected(Fault("is less than 64K, which would cut off the message of an error"))
    return values.size(value)


LOG_KEYS: Final = table(
    row("max", _log_size, "size", "The most bytes kept of an attempt's output", SIZE),
)


def log(value: Any) -> int:
    """The limit of a log from its table."""
    return int(read_closed(value, LOG_KEYS, "a table", "max")["max"])


class Resources(NamedTuple):
    """A unit's part of the run's budgets: cores, and bytes; and what it takes of a cluster's workers, by name."""

    cpus: float = 0.0
    memory: int = 0
    dask: Mapping[str, float] = EMPTY


def _memory(value: Any) -> int:
    size = values.size(value)
    if not size:
        raise Rejected(Fault("must be more than 0", "leave it out if it does not matter"))
    return size


def _cluster_resources(value: Any) -> dict[str, float]:
    if not isinstance(value, Mapping):
        raise expected("a table such as { GPU = 1 }", value)
    taken, faults = {}, []
    for name, amount in value.items():
        try:
            taken[values.label(name)] = _AMOUNT(amount)
        except Rejected as rejected:
            faults += [fault.under(str(name)) for fault in rejected.faults]
    if faults:
        raise Rejected(*faults)
    return taken


_LEAST, _MOST = 0.001, 1e15
_AMOUNT: Final = values.number(_LEAST, _MOST)

RESOURCE_KEYS: Final = table(
    row(
        "cpus",
        values.number(0.01, 100_000),
        "number",
        "Cores it keeps busy, from the workflow's `cpus`",
        number(0.01, 100_000),
    ),
    row("memory", _memory, "size", "Memory it fills, from the workflow's `memory_limit`", POSITIVE_SIZE),
    row(
        "dask",
        _cluster_resources,
        "table of numbers",
        "In a cluster, what it takes of the resources that Dask workers were started with, such as `{ GPU = 1 }`; "
        "elsewhere they do not count",
        table_of(number(_LEAST, _MOST)),
    ),
)


def resources(value: Any) -> Resources:
    """What a unit takes of the run's budgets."""
    parsed = read_closed(value, RESOURCE_KEYS, "a table such as { cpus = 4 }")
    if not parsed:
        raise Rejected(Fault("is empty", 'write { cpus = 4, memory = "6G" }'))
    return Resources(**parsed)


CACHE_KEYS: Final = table(
    row(
        "inputs",
        values.paths,
        "list of strings",
        "Files it reads: paths, directories or globs with `**`, from the unit's `cwd`",
        FILLED_STRINGS,
    ),
    row(
        "env",
        values.names,
        "list of strings",
        "Further environment variables that its result depends on",
        FILLED_STRINGS,
    ),
    row(
        "ttl",
        values.positive_duration,
        "duration",
        "How long a result may be used; for ever by default",
        POSITIVE_DURATION,
    ),
)


def cache(value: Any) -> CachePolicy | None:
    """When an earlier result may be used: from a table, `true` for one without any, or `false` for never."""
    if isinstance(value, CachePolicy):
        return value
    if isinstance(value, bool):
        return CachePolicy() if value else None
    return CachePolicy(**read_closed(value, CACHE_KEYS, 'true, false or a table such as { inputs = ["data.csv"] }'))
