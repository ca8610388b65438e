"""Moments of runs, to look at and to test with."""

from __future__ import annotations

from scripted import ScriptedSession

from qtui.core.model import Argv, Call, ExecutionMode, Fallback, Outcome, QuantumUnit, RetryPolicy, Source, UnitError
from qtui.core.options import RunOptions


def nothing() -> None:
    """What units of the scenes call; it is never run."""


CALL = Call.of(nothing)
COMMAND = Argv(("true",))


def unit(name: str, *needs: str, **keys: object) -> QuantumUnit:
    return QuantumUnit(**{"id": name, "action": CALL, "dependencies": needs, **keys})  # type: ignore[arg-type]


def diamond() -> ScriptedSession:
    """fetch -> clean, features -> train -> report; fetch runs."""
    units = [
        unit("fetch"),
        unit("clean", "fetch"),
        unit("features", "fetch"),
        unit("train", "clean", "features"),
        unit("report", "train"),
    ]
    return ScriptedSession(units)


def fan_out(count: int = 30, *, workers: int = 4) -> ScriptedSession:
    """list_files -> extract[0..count-1] -> merge -> publish."""
    units = [unit("list_files")]
    units += [
        unit(f"extract[{item}]", "list_files", family="extract", action=COMMAND, retry=RetryPolicy(max=1, delay=8))
        for item in range(count)
    ]
    units += [unit("merge", "extract"), unit("publish", "merge")]
    return ScriptedSession(units, RunOptions(workers=workers))


TRACEBACK = """Traceback (most recent call last):
  File "/home/ada/flow/steps.py", line 41, in train
    model.fit(rows, lr=lr)
  File "/home/ada/flow/model.py", line 12, in fit
    raise ValueError(f"loss is not finite at step {step}")
"""


def nightly() -> ScriptedSession:
    """A run with something of everything: all states, a family, a fallback, retries, processes, a warning."""
    units = [
        unit("fetch.raw", action=COMMAND, retry=RetryPolicy(max=2)),
        unit("fetch.meta", mode=ExecutionMode.ASYNC, fallback=Fallback(None)),
        unit("clean", "fetch.raw"),
        unit("encode.tokens", "clean", action=COMMAND),
        *(
            unit(
                f"embed[shard={shard}]",
                "encode.tokens",
                family="embed",
                action=COMMAND,
                retry=RetryPolicy(max=2, delay=8),
                matrix={"shard": shard},
            )
            for shard in range(12)
        ),
        unit("merge", "embed"),
        *(
            unit(f"grid[lr={lr}]", "clean", family="grid", timeout=60.0, source=Source(file="nightly.toml", line=41))
            for lr in (1.0, 0.1, 0.01)
        ),
        unit("report.grid", "grid"),
        unit("docs", "fetch.meta"),
        unit("publish", "merge", "report.grid", "docs"),
    ]
    session = ScriptedSession(units, RunOptions(workers=8))
    session.after(3)
    session.fails("fetch.raw", exit_code=7)
    session.fails("fetch.meta", UnitError("TimeoutError", "no answer from meta.example.org"))
    session.after(1)
    session.after(9)
    session.completes("fetch.raw")
    session.after(31)
    session.completes("clean")
    session.after(5)
    session.completes("encode.tokens", "docs")
    session.after(12)
    session.prints("grid[lr=1.0]", "epoch 1  loss 0.71\nepoch 2  loss inf\n")
    session.fails("grid[lr=1.0]", UnitError("ValueError", "loss is not finite at step 812", TRACEBACK))
    session.after(36)
    session.completes("embed[shard=0]", "embed[shard=1]", "embed[shard=2]")
    session.prints("embed[shard=3]", "loading shard 3 (100000 rows)\n\x1b[32mmodel warm\x1b[0m, batch 512\n")
    for rows in range(12, 66, 6):
        session.prints("embed[shard=3]", f"shard 3: {rows}000/100000 rows  {490 + rows} rows/s\n")
    session.prints("embed[shard=3]", "\x1b[33mwarn:\x1b[0m skipping 3 malformed rows\n")
    session.progresses("embed[shard=3]", 60, 100, "60000 of 100000 rows")
    session.fails("embed[shard=4]", exit_code=137)
    session.after(4)
    session.warns("disk is 91% full: /data")
    session.uses({"embed[shard=3]": (187.0, 1_290_000_000), "embed[shard=5]": (97.0, 610_000_000)})
    session.after(11)
    session.returns("grid[lr=0.01]", Outcome())
    return session


def finished() -> ScriptedSession:
    """The diamond, completed."""
    session = diamond()
    for names in (("fetch",), ("clean", "features"), ("train",), ("report",)):
        session.after(3)
        session.completes(*names)
    return session


def failed() -> ScriptedSession:
    """The diamond, with features failed and everything below it skipped."""
    session = diamond()
    session.after(2)
    session.completes("fetch")
    session.after(2)
    session.prints("features", "".join(f"reading block {block}\n" for block in range(200)))
    session.fails("features", UnitError("ValueError", "bad row 17", TRACEBACK))
    session.completes("clean")
    return session
