"""``python -m benchmarks.attached``: how soon a second process sees what happens in a run, and what looking back costs.

Prints the time from an event to the feed of a session that has attached, and to the screen of ``qtui attach``; its CPU
while nothing happens; and how long a record of a million events takes to open and to show at another moment. The goals:
200 ms for 95 of 100 events, on the screen, too; 2 s to open, 1 s for any moment.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import quantiles

from qtui.attached import AttachedSession
from qtui.core.events import Event, RunStarted, UnitFinished, UnitReady, UnitReset, UnitStarted, Warned
from qtui.core.folding import fold
from qtui.core.model import Argv, ExecutionMode, QuantumUnit, UnitState
from qtui.core.options import RunOptions
from qtui.core.plan import ExecutionPlan
from qtui.core.state import RunView
from qtui.replayed import ReplaySession
from qtui.store.journal import Head, Journal, JournalReader
from qtui.store.rundir import RunDirectory, list_runs

RUN = "20260102-030405-abcd"
UNITS = 10_000
BATCH, CHECKPOINT = 300, 50_000
EVENTS_HEARD = 400
IDLE_SECONDS = 5.0
UNITS_SEEN = 100


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attached", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="events of the long record (1,000,000)")
    parser.add_argument("--write", type=Path, metavar="STATE", help=argparse.SUPPRESS)  # the other process
    given = parser.parse_args()
    if given.write is not None:
        return _write(given.write)
    with tempfile.TemporaryDirectory(prefix="qtui-bench-") as place:
        _hear(Path(place))
    with tempfile.TemporaryDirectory(prefix="qtui-bench-") as place:
        _watch(Path(place))
    with tempfile.TemporaryDirectory(prefix="qtui-bench-") as place:
        _look_back(Path(place), given.events)
    return 0


# -- how soon it is on the screen ----------------------------------------------------------------------------


def _watch(place: Path) -> None:
    """A real run, and a real dashboard on it in another process; its header counts the units that have ended."""
    flow = "[workflow]\nworkers = 1\n" + "".join(
        f'[units.u{number}]\nrun = "sleep {0.08 + number % 7 / 50:.2f}"\n' for number in range(UNITS_SEEN)
    )
    (place / "flow.toml").write_text(flow)
    state = place / "state"
    command = [sys.executable, "-m", "qtui"]
    given = ["--state-dir", str(state)]
    runner = subprocess.Popen(
        [*command, "run", str(place / "flow.toml"), "--ui", "plain", *given], stdout=subprocess.DEVNULL
    )
    while not (state / "runs").is_dir() or not list_runs(state):
        time.sleep(0.05)
    seen = _counts_seen([*command, "attach", *given])
    runner.wait()
    reader = JournalReader(RunDirectory.open(state, list_runs(state)[-1]).journal)
    ends = [event.at for event in reader.after(0) if isinstance(event, UnitFinished)]
    reader.close()
    delays = [seen[number] - at for number, at in enumerate(ends, 1) if number in seen]
    _print_delays("event to screen", delays[5:])  # the first are from before the screen was there


def _counts_seen(command: list[str]) -> dict[int, float]:
    """When the dashboard of `command`, in a terminal, showed how many units had ended; by that number."""
    import pexpect
    import pyte

    screen = pyte.Screen(120, 40)
    stream = pyte.ByteStream(screen)
    dashboard = pexpect.spawn(
        command[0], command[1:], dimensions=(40, 120), timeout=60, env={**os.environ, "TERM": "xterm-256color"}
    )
    seen: dict[int, float] = {}
    while UNITS_SEEN not in seen:
        try:
            stream.feed(dashboard.read_nonblocking(1 << 16, timeout=1))
        except pexpect.TIMEOUT:
            continue
        except pexpect.EOF:
            raise RuntimeError("the dashboard ended early:\n" + "\n".join(screen.display).rstrip()) from None
        now = time.time()
        if found := re.search(rf"(\d+)/{UNITS_SEEN}\b", screen.display[0]):
            seen.setdefault(int(found[1]), now)
    dashboard.send("q")
    dashboard.expect(pexpect.EOF)
    return seen


# -- how soon ----------------------------------------------------------------------------------------------


def _write(state: Path) -> int:
    """Record events at odd moments, each with the time of the machine's own clock."""
    directory, chance = RunDirectory.open(state, RUN), random.Random(1)
    with directory.lock():
        journal = Journal.create(directory.journal, _head(1))
        journal.append(1, [RunStarted(time.time(), "bench", 1)])
        print("ready", flush=True)
        sys.stdin.readline()
        for seq in range(2, EVENTS_HEARD + 2):
            time.sleep(chance.uniform(0.005, 0.05))
            journal.append(seq, [Warned(-1, str(time.monotonic()), time.time())])
        sys.stdin.readline()
        journal.close()
    return 0


def _hear(state: Path) -> None:
    directory = RunDirectory.create(state, RUN)
    command = [sys.executable, "-m", "benchmarks.attached", "--write", str(state)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdin is not None and writer.stdout is not None
        writer.stdout.readline()
        session = AttachedSession(directory)
        feed, late = session.feed(), list[float]()
        feed.take(timeout=0)
        writer.stdin.write(b"\n")
        writer.stdin.flush()
        while len(late) < EVENTS_HEARD:
            events = [event for _, event in feed.take()]
            now = time.monotonic()
            late += [now - float(event.message) for event in events if isinstance(event, Warned)]
        began = time.process_time()
        time.sleep(IDLE_SECONDS)
        idle = (time.process_time() - began) / IDLE_SECONDS
        session.close()
    _print_delays("event to feed", late)
    print(f"idle              {100 * idle:.1f} % of a core")


def _print_delays(what: str, late: list[float]) -> None:
    cuts = quantiles(late, n=20)
    print(f"{what:<17} p50 {1e3 * cuts[9]:.0f} ms  p95 {1e3 * cuts[18]:.0f} ms  max {1e3 * max(late):.0f} ms")


# -- looking back ------------------------------------------------------------------------------------------


def _look_back(state: Path, events: int) -> None:
    directory, chance = RunDirectory.create(state, RUN), random.Random(1)
    _record(directory, events)
    began = time.monotonic()
    AttachedSession(directory).close()
    attached = time.monotonic() - began
    began = time.monotonic()
    replay = ReplaySession(directory)
    opened = time.monotonic() - began
    seeks = [_timed(replay, lambda: replay.seek(chance.uniform(replay.begin, replay.end))) for _ in range(30)]
    steps = [_timed(replay, lambda: replay.step(chance.choice((-1, 1)))) for _ in range(100)]
    replay.close()
    print(f"{events:,} events  attach {attached:.2f} s  replay {opened:.2f} s")
    print(f"any moment        median {sorted(seeks)[15]:.2f} s  max {max(seeks):.2f} s")
    print(f"one step          median {1e3 * sorted(steps)[50]:.0f} ms  max {1e3 * max(steps):.0f} ms")


def _timed(replay: ReplaySession, doing: Callable[[], None]) -> float:
    began = time.monotonic()
    doing()
    replay.view()
    return time.monotonic() - began


def _record(directory: RunDirectory, count: int) -> None:
    """A run whose units run again and again, recorded as the engine does it."""
    head = _head(UNITS)
    journal, view = Journal.create(directory.journal, head), RunView.initial(head.plan)
    batch: list[Event] = [RunStarted(head.created, "bench", 4)]
    seq, at = 0, head.created
    for number in range(count // 4):
        generation, unit = divmod(number, UNITS)
        at += 0.01
        if generation:
            batch.append(UnitReset(unit, generation + 1, "again", at))
        batch.append(UnitReady(unit, at))
        batch.append(UnitStarted(unit, generation + 1, ExecutionMode.THREAD, 1, 0, at))
        batch.append(UnitFinished(unit, generation + 1, generation + 1, UnitState.COMPLETED, at, 0.01))
        if len(batch) >= BATCH:
            journal.append(seq + 1, batch)
            view = fold(view, batch)
            if seq // CHECKPOINT != view.seq // CHECKPOINT:
                journal.checkpoint(view)
            seq, batch = view.seq, []
    if batch:
        journal.append(seq + 1, batch)
    journal.close()


def _head(units: int) -> Head:
    table = [QuantumUnit(id=f"u{number}", action=Argv(("true",))) for number in range(units)]
    return Head(
        run=RUN,
        name="bench",
        origin={},
        params={},
        plan=ExecutionPlan.build(table),
        options=RunOptions(),
        directory=None,
        created=1_700_000_000.0,
        version="bench",
    )


if __name__ == "__main__":
    raise SystemExit(main())
