"""``python -m benchmarks.screen``: what the dashboard costs and how soon it answers, in a real terminal of 120x40."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import median, quantiles
from typing import Final, NamedTuple

from benchmarks.longlog import LongLog, open_megabytes, search_seconds
from benchmarks.onscreen import EMPTY, MARK, SETTLE
from benchmarks.paced import name_of
from benchmarks.report import machine
from benchmarks.terminal import Terminal

UNITS: Final = 10_000
_REACH: Final = 20
"""Rows that the cursor walks down and up again: all of them are on the screen."""
_STALL: Final = 12.0


class Figure(NamedTuple):
    """One line of the table; `most` is the goal."""

    what: str
    value: float
    most: float
    unit: str


class Settings(NamedTuple):
    """How long each case is measured, and where programs write their reports."""

    seconds: float
    repeats: int
    directory: Path

    def dashboard(self, **options: object) -> Terminal:
        """The dashboard on a paced run, in a terminal."""
        options = {"units": UNITS, "seconds": self.seconds, **options}
        return Terminal("dashboard", self.directory / "report.json", **options)


def keys(settings: Settings) -> Iterator[Figure]:
    """How long it takes from a key to what it does on the screen."""
    for pace, hogs, most in ((0, 0, 100), (1_000, 0, 100), (10_000, 0, 100), (1_000, 1, 150)):
        when = f"{pace:,} events a second" if pace else "nothing happens"
        when += ", beside a thread that computes" if hogs else ""
        with settings.dashboard(pace=pace, hogs=hogs) as terminal:
            yield from _painted(settings, terminal, when, most)


def _painted(settings: Settings, terminal: Terminal, when: str, most: float) -> Iterator[Figure]:
    taken = []
    terminal.wait_for(name_of(_REACH).encode())
    terminal.pass_time(SETTLE)
    chance, at, step = random.Random(when), 0, 1
    for _ in range(int(settings.seconds / 0.1)):
        terminal.pause(chance)
        step = {0: 1, _REACH: -1}.get(at, step)
        at += step
        taken.append(terminal.key(b"j" if step > 0 else b"k", name_of(at).encode()))
    yield Figure(f"key to paint, {when}: half of {len(taken)}", 1000 * median(taken), 20, "ms")
    yield Figure(f"key to paint, {when}: 99 of 100", 1000 * quantiles(taken, n=100)[98], most, "ms")


def forecast(settings: Settings) -> Iterator[Figure]:
    """What it costs to look ahead, with a past of each unit. With events there are resets, for which it looks anew."""
    for pace in (0, 1_000):
        when = f"{pace:,} events a second" if pace else "38 units run"
        with settings.dashboard(pace=pace, waiting=True, past=True) as terminal:
            yield from _painted(settings, terminal, f"{when}, looking ahead", 100)
            yield Figure(f"CPU of forecasts, {when}", terminal.figures()["forecast"], 5, "%")


def loads(settings: Settings) -> Iterator[Figure]:
    """What the screen uses and writes while much happens."""
    for pace, visible, cpu, most in ((1_000, False, 6, 5), (10_000, False, 6, 5), (1_000, True, 8, 20)):
        where = "all on visible rows" if visible else "anywhere"
        yield from _used(settings, f"{pace:,} events a second, {where}", cpu, most, pace=pace, visible=visible)


def idle(settings: Settings) -> Iterator[Figure]:
    """What it uses while nothing happens."""
    yield from _used(settings, "38 units run", 2, 3)
    yield from _used(settings, "nothing runs", 0.7, 3, still=True)


def _used(settings: Settings, what: str, cpu: float, most: float, **options: object) -> Iterator[Figure]:
    with settings.dashboard(**options) as terminal:
        terminal.wait_for(MARK)
        terminal.pass_time(SETTLE)
        before = terminal.count
        terminal.pass_time(settings.seconds)
        written = (terminal.count - before) / settings.seconds
        yield Figure(f"CPU, {what}", terminal.figures()["cpu"], cpu, "%")
    yield Figure(f"written, {what}", written / 1000, most, "kB/s")


def start(settings: Settings) -> Iterator[Figure]:
    """How long it takes from the import to the first frame, beside the least that Textual can show."""
    taken: dict[str, list[float]] = {"empty": [], "dashboard": []}
    for _ in range(settings.repeats):
        for kind, wanted in (("empty", EMPTY), ("dashboard", name_of(1))):
            with Terminal(kind, settings.directory / "report.json", units=UNITS, seconds=1) as terminal:
                begun = terminal.wait_for(MARK)
                taken[kind].append(terminal.wait_for(wanted.encode()) - begun)
    empty, full = median(taken["empty"]), median(taken["dashboard"])
    yield Figure(f"first frame, beside an empty application's {1000 * empty:.0f} ms", full / empty, 1.35, "x")


def engine(settings: Settings) -> Iterator[Figure]:
    """What the screen costs an engine that has 20,000 units with nothing to do: fewer are over in a frame or two."""
    taken: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(settings.repeats):
        for screen in taken:
            with Terminal("engine", settings.directory / "report.json", units=20_000, screen=screen) as terminal:
                taken[screen].append(terminal.figures()["seconds"])
    slower = 100 * (median(taken[True]) / median(taken[False]) - 1)
    yield Figure("an engine with a screen, beside one that somebody listens to: slower by", slower, 10, "%")


def stall(settings: Settings) -> Iterator[Figure]:
    """How long an engine has to wait for a terminal that takes nothing any more."""
    with settings.dashboard(pace=1_000, seconds=_STALL - SETTLE - 1) as terminal:
        terminal.wait_for(MARK)
        terminal.pass_time(SETTLE)
        deaf = _STALL
        while deaf > 0 and not terminal.report.exists():  # and nobody reads
            time.sleep(0.2)
            deaf -= 0.2
        yield Figure("longest publication, terminal stalled", 1000 * terminal.figures()["publish"], 50, "ms")


def log(settings: Settings) -> Iterator[Figure]:
    """What a log of a million lines costs."""
    long = LongLog(1_000_000)
    yield Figure("log of a million lines: memory", open_megabytes(long), 15, "MB")
    taken = [search_seconds(long, "epoch 999999") for _ in range(settings.repeats)]
    yield Figure("log of a million lines: searched from end to end", 1000 * median(taken), 200, "ms")


CASES: Final[Mapping[str, Callable[[Settings], Iterator[Figure]]]] = {
    case.__name__: case for case in (keys, forecast, loads, idle, start, engine, stall, log)
}


def main() -> int:
    """Print a line for each figure, with its goal; 1 if something failed to run, whatever the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.screen", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=CASES, metavar="CASE", help=f"of {', '.join(CASES)}")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each case is measured (10)")
    parser.add_argument("--repeats", type=int, default=5, help="how often what begins and ends is (5)")
    given = parser.parse_args()
    facts = machine()
    print(f"Python {facts['python']}, {facts['cores']} cores, load {facts['load']:.2f}\n", flush=True)
    failed = False
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        settings = Settings(given.seconds, given.repeats, Path(scratch))
        for name in given.only or CASES:
            try:
                for what, value, most, unit in CASES[name](settings):
                    missed = "" if value <= most else "  missed"
                    print(f"{name:7} {what:75} {value:8.1f} {unit:4}  goal {most:g}{missed}", flush=True)
            except RuntimeError as error:
                failed = True
                print(f"{name:7} failed: {error}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
