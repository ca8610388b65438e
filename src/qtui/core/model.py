"""The values everything is built from: units, modes, states, retry policies, outcomes and results."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, Final, Literal, NamedTuple

from qtui.core.condition import Condition

EMPTY: Final[Mapping[str, Any]] = {}


class UnitState(StrEnum):
    """Where a unit is in its life; the last five are ends, final within a generation."""

    __hash__ = str.__hash__  # Enum's own is Python code, and states are looked up several times a unit

    PENDING = "pending"
    READY = "ready"
    RUNNING = "running"
    RETRYING = "retrying"
    CANCELING = "canceling"
    COMPLETED = "completed"
    FAILED = "failed"
    TIMEOUT = "timeout"
    SKIPPED = "skipped"
    CANCELED = "canceled"

    @property
    def ended(self) -> bool:
        """True for completed, failed, timeout, skipped and canceled."""
        return self in ENDS

    @property
    def told(self) -> str:
        """The state as a part of a sentence: ``is running``, ``timed out``."""
        return _TOLD.get(self, f"is {self}")


_S = UnitState
_TOLD: Final = {
    _S.COMPLETED: "has completed",
    _S.FAILED: "failed",
    _S.TIMEOUT: "timed out",
    _S.SKIPPED: "was skipped",
    _S.CANCELED: "was canceled",
}
LONGEST: Final = 1e9
"""The longest duration in seconds, some 31 years; clocks and timers overflow beyond it."""

ENDS: Final = frozenset({_S.COMPLETED, _S.FAILED, _S.TIMEOUT, _S.SKIPPED, _S.CANCELED})
FAILURES: Final = frozenset({_S.FAILED, _S.TIMEOUT})

STEPS: Final[Mapping[UnitState, frozenset[UnitState]]] = {
    # whatever waits may be set aside: skipped, or taken for completed
    _S.PENDING: frozenset({_S.READY, _S.COMPLETED, _S.SKIPPED, _S.CANCELED}),
    _S.READY: frozenset(
        {_S.RUNNING, _S.CANCELING, _S.COMPLETED, _S.FAILED, _S.RETRYING, _S.SKIPPED, _S.CANCELED, _S.PENDING}
    ),
    _S.RUNNING: frozenset({_S.COMPLETED, _S.FAILED, _S.RETRYING, _S.CANCELING, _S.PENDING}),
    _S.RETRYING: frozenset({_S.READY, _S.COMPLETED, _S.SKIPPED, _S.CANCELED, _S.PENDING}),
    _S.CANCELING: frozenset({_S.CANCELED, _S.TIMEOUT, _S.RETRYING, _S.COMPLETED, _S.PENDING}),
    # an end is left only by a reset, which opens the unit's next generation
    **{end: frozenset({_S.PENDING}) for end in sorted(ENDS)},
}
"""The allowed steps. READY -> FAILED is a lane that could not start the unit; READY -> COMPLETED a milestone;
CANCELING -> COMPLETED a timeout with a fallback; CANCELING -> PENDING a unit cut by the end of an interrupted run;
RUNNING -> PENDING one that ran when the process died that ran it."""


class ExecutionMode(StrEnum):
    """How a unit runs: the name of its lane, or `auto` to let qtui choose by unit."""

    __hash__ = str.__hash__  # as of UnitState

    AUTO = "auto"
    SEQUENTIAL = "sequential"
    THREAD = "thread"
    PROCESS = "process"
    ASYNC = "async"
    COMMAND = "command"
    CUSTOM = "custom"


class RunState(StrEnum):
    """The state of a run: waiting to begin, running, or one of its four ends."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"
    INTERRUPTED = "interrupted"

    @property
    def ended(self) -> bool:
        """True once the run has finished, until a reset reopens it."""
        return self not in (RunState.PENDING, RunState.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a unit was written: a file and its line (1-based; 0 if unknown)."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When and how often a failed attempt is tried again.

    `max` counts re-tries, not tries. The n-th re-try waits ``delay * backoff ** (n - 1)`` seconds, at most
    `max_delay`; `jitter` shortens that by up to half, by an amount that follows from `salt` alone, so that
    the scheduler stays a pure function. `on` limits re-tries to exit codes, exception names or ``"timeout"``;
    empty means every failure.
    """

    max: int = 0
    delay: float = 1.0
    backoff: float = 2.0
    max_delay: float = 60.0
    jitter: bool = False
    on: tuple[int | str, ...] = ()

    def wait(self, retry: int, salt: int = 0) -> float:
        """Seconds before re-try number `retry` (1 for the first)."""
        try:
            seconds = min(self.delay * self.backoff ** (retry - 1), self.max_delay)
        except OverflowError:  # beyond any float: max_delay has long decided
            seconds = self.max_delay if self.delay else 0.0
        if self.jitter:
            # Knuth's multiplicative hash: spreads neighbouring salts evenly over [0, 1)
            seconds *= 1.0 - 0.5 * (((salt + retry) * 2654435761 % 2**32) / 2**32)
        return seconds

    def covers(self, error: UnitError) -> bool:
        """True if an attempt that ended with `error` may be tried again under `on`."""
        if not self.on:
            return True
        return error.exit_code in self.on or error.type in self.on or bool(set(error.bases) & set(self.on))


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePolicy:
    """When a unit's last result may be used again instead of running it.

    It depends on the command, or the function with its code and arguments, the files that `inputs` name (paths or
    globs, from the unit's directory), the variables in `env`, the params, and the results that the unit receives; with
    `keys` only on these params and results, and those in its arguments. A result older than `ttl` seconds is not used.
    `force` runs the unit all the same, and keeps the new result.
    """

    inputs: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    keys: tuple[str, ...] | None = None
    ttl: float | None = None
    force: bool = False


When = Literal["success", "failure", "always"]
"""Which ends of its needs let a unit run."""


class FromUnit(NamedTuple):
    """Stands in the arguments of a call for the result of the need that is so called."""

    need: str


LOST_LOOP: Final = "lost_loop"
"""The type of the error of a coroutine whose event loop another unit blocked for good: it is tried again for free."""

LOST_WORKER: Final = "lost_worker"
"""The type of the error of an attempt whose machine, or worker of a cluster, was lost with it: see `innocent`."""

LOST_NEED: Final = "lost_need"
"""The type of the error of an attempt that could not begin, as the result of a need is lost, which runs again."""


SAYS_ALL: Final = ("timeout", "lost", LOST_WORKER, LOST_NEED)
"""The types of errors whose message needs no type before it."""


class UnitError(NamedTuple):
    """Why an attempt ended badly, as plain data that can travel and be stored.

    `type` is an exception's class name, ``"exit"`` for a command, ``"timeout"``, ``"lost"`` for a worker process that
    died, or one of `LOST_LOOP`, `LOST_WORKER` and `LOST_NEED`; `bases` are the names of the exception's base classes;
    `traceback` shows the user's frames only; `last_line` is the last one that a command wrote to its standard error or,
    if nothing came there, to its standard output.
    """

    type: str
    message: str
    traceback: str = ""
    exit_code: int | None = None
    bases: tuple[str, ...] = ()
    last_line: str = ""

    def __str__(self) -> str:
        if self.exit_code is not None or self.type in SAYS_ALL:
            return self.message
        return f"{self.type}: {self.message}" if self.message else self.type


class Outcome(NamedTuple):
    """What a lane reports about one attempt; the scheduler decides what it means.

    `error` is None when the attempt succeeded. `canceled` says that it stopped because it was asked to,
    `abandoned` that it could not be stopped and was left behind. `seconds` is its own duration. `peak_memory` (bytes)
    and `cpu_seconds` are what it used, 0 if that is not known; `added` are the units that it wants to add to the plan.
    """

    error: UnitError | None = None
    canceled: bool = False
    abandoned: bool = False
    seconds: float = 0.0
    metrics: Mapping[str, Any] = EMPTY
    peak_memory: int = 0
    cpu_seconds: float = 0.0
    added: tuple[QuantumUnit, ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """Run a Python function.

    `reference` is the text it was named by, for people and for other processes; `wants_context` says whether the
    ExecutionContext is passed as the first argument. Use `Call.of`, which finds that out.
    """

    function: Callable[..., Any]
    reference: str = ""
    wants_context: bool = True
    is_async: bool = field(init=False, repr=False, compare=False)
    """True for coroutine functions and objects with an async ``__call__``."""

    def __post_init__(self) -> None:
        # once, not for each unit that calls it: looking takes 20 us
        object.__setattr__(self, "is_async", _is_async(self.function))

    @classmethod
    def of(cls, function: Callable[..., Any], args: Mapping[str, Any] = EMPTY, reference: str = "") -> Call:
        """The call of `function` with keyword arguments `args`.

        The context is passed if the first parameter is named ``context`` or ``ctx``, is annotated as one, or is
        required, positional and not filled by `args`; a function without a signature gets none. Raises TypeError,
        saying what does not bind, if the call could never succeed.
        """
        try:
            signature = inspect.signature(function)
        except (ValueError, TypeError):
            return cls(function, reference, wants_context=False)
        first = next(iter(signature.parameters.values()), None)
        wants = first is not None and _takes_context(first, args)
        signature.bind(*([None] if wants else []), **args)
        return cls(function, reference, wants)

    def __str__(self) -> str:
        return self.reference or str(getattr(self.function, "__qualname__", repr(self.function)))


def _is_async(function: Callable[..., Any]) -> bool:
    function = inspect.unwrap(function)
    call = getattr(function, "__call__", None)  # noqa: B004  - the method is wanted, not whether it is there
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def _takes_context(first: inspect.Parameter, args: Mapping[str, Any]) -> bool:
    if first.kind is inspect.Parameter.VAR_POSITIONAL:
        return True
    if first.kind not in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD):
        return False
    if first.name in args:
        return False
    annotation = first.annotation
    annotated = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    named = first.name in ("context", "ctx") or annotated.split("[")[0].split(".")[-1] == "ExecutionContext"
    return named or first.default is inspect.Parameter.empty


@dataclass(frozen=True, slots=True)
class Shell:
    """Run shell texts one after another, each with ``shell ... -c text``; the first failure ends the unit."""

    texts: tuple[str, ...]
    shell: tuple[str, ...] = ("sh",)

    def __str__(self) -> str:
        return " && ".join(self.texts)


@dataclass(frozen=True, slots=True)
class Argv:
    """Run a program without a shell."""

    argv: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join(self.argv)


Action = Call | Shell | Argv


class Fallback(NamedTuple):
    """The value dependents get when a unit's last attempt failed or timed out; wrapped, so that None is one."""

    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantumUnit:
    """The definition of one unit of work; it never holds state or results.

    `action` None makes a milestone; `QuantumPartitioner` takes a plain function, too. `dependencies` are ids, family
    names (all items of a matrix), or globs; `ExecutionPlan.build` resolves them. `timeout` and `grace` are seconds
    (None: no limit; the run's grace). `stop_signal` is a signal's name without SIG; `leftovers` says what becomes of a
    command's background children; `log_max` is the most bytes of output kept of an attempt, half from its beginning and
    half from its end; `pty` gives a command a pseudo-terminal. `family` is the name before expansion (``embed`` of
    ``embed[shard=3]``), `matrix` that item's values. A unit of a group has the group's name and the label of its item
    (``[id=s1]``): inside, needs are item by item. `workflow` is the prefix of the included workflow that it is from.

    `when` says which ends of its needs let it run, `condition` is asked once they do. An end that `allow_failure`
    covers is good enough for dependents and for the run; `success_exit_codes` are no failure at all. `pools` are the
    named slots it holds while it runs, `cpus` and `memory` (bytes) its part of the run's budgets, `cluster_resources`
    what it takes of a cluster's workers, by their names for it. `outputs` are the files it promises to make, from its
    directory. `confirm` is the question to a person before it starts. `progress` is a regular expression with groups
    ``done`` and ``total`` for its output; after `stall` seconds of silence and idleness a warning is given. `estimate`
    is its expected duration in seconds. A unit that is not `idempotent` is not run again after a crash without asking.
    Up to `batch` units like it share a worker process, one after another.
    """

    id: str
    action: Action | Callable[..., Any] | None = None
    args: Mapping[str, Any] = field(default_factory=dict)
    dependencies: tuple[str, ...] = ()
    mode: ExecutionMode = ExecutionMode.AUTO
    kind: Literal["cpu", "io"] | None = None
    timeout: float | None = None
    grace: float | None = None
    retry: RetryPolicy = RetryPolicy()
    priority: int = 0
    tags: frozenset[str] = frozenset()
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str | None = None
    stop_signal: str = "TERM"
    leftovers: Literal["kill", "keep"] = "kill"
    log_max: int = 64 << 20
    pty: bool = False
    fallback: Fallback | None = None
    allow_failure: bool = False
    success_exit_codes: tuple[int, ...] = (0,)
    when: When = "success"
    condition: Condition | None = None
    pools: Mapping[str, int] = field(default_factory=dict)
    cpus: float = 0.0
    memory: int = 0
    cluster_resources: Mapping[str, float] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    cache: CachePolicy | None = None
    confirm: str = ""
    progress: str = ""
    stall: float | None = None
    estimate: float | None = None
    idempotent: bool = True
    batch: int | Literal["auto"] | None = None
    description: str = ""
    family: str = ""
    matrix: Mapping[str, Any] = field(default_factory=dict)
    group: str = ""
    item: str = ""
    workflow: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    source: Source | None = None

    @property
    def name(self) -> str:
        """The name without the item: ``embed`` of ``embed[shard=3]``."""
        return self.family or self.id

    def __repr__(self) -> str:
        """Only what differs from a unit that says nothing."""
        silent = QuantumUnit(id=self.id)
        shown = [field.name for field in fields(self) if getattr(self, field.name) != getattr(silent, field.name)]
        return f"QuantumUnit({', '.join(f'{name}={getattr(self, name)!r}' for name in ('id', *shown))})"

    @property
    def is_handler(self) -> bool:
        """True for ``when`` failure and always: they run even once the run is ending."""
        return self.when != "success"

    def lane(self, default: ExecutionMode = ExecutionMode.AUTO) -> ExecutionMode:
        """The lane this unit runs in when the workflow's mode is `default`.

        Commands use the command lane but for those of a cluster (see `in_its_place`), coroutine functions the async
        lane, whatever was asked. Everything else follows the unit, then the workflow; `auto` is a process for
        ``kind = "cpu"``, a timeout or a batch, else a thread.
        """
        if isinstance(self.action, Shell | Argv):
            return ExecutionMode.CUSTOM if self.mode is ExecutionMode.CUSTOM else ExecutionMode.COMMAND
        mode = self.mode if self.mode is not ExecutionMode.AUTO else default
        if isinstance(self.action, Call) and self.action.is_async:
            return ExecutionMode.ASYNC
        if mode in (ExecutionMode.AUTO, ExecutionMode.ASYNC):
            # only a process can be killed, and only processes compute side by side
            wants_process = self.kind == "cpu" or self.timeout is not None or self.batch is not None
            return ExecutionMode.PROCESS if wants_process else ExecutionMode.THREAD
        return mode
