"""The interleaved run: one sample of every case, then the next of every case, and so on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.model import Group, Metrics

ROOT = Path(__file__).parents[1]
SAMPLE_SECONDS = 300.0


@dataclass(slots=True, kw_only=True)
class Series:
    """The samples of one case: figures and rounds of each, or why there are none."""

    metrics: list[Metrics] = field(default_factory=list)
    rounds: list[int] = field(default_factory=list)
    missing: str = ""
    failure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much to measure: samples of each case, the least seconds of work of each, or a smoke run."""

    repeats: int
    least: float
    quick: bool


Results = dict[tuple[str, str], Series]


def measure(groups: Iterable[Group], plan: Plan) -> Results:
    """All samples by (group, case). A case that fails is not tried again."""
    chosen = list(groups)
    results = {
        (group.key, name): Series(missing=case.missing()) for group in chosen for name, case in group.cases.items()
    }
    for repeat in range(plan.repeats):
        for group, name in _turns(chosen, repeat):
            series = results[group.key, name]
            if series.missing or series.failure:
                continue
            _tell(f"repeat {repeat + 1} of {plan.repeats}: {group.key} {name}")
            _sample(group, name, plan, series)
    _tell("")
    return results


def _turns(groups: list[Group], repeat: int) -> Iterator[tuple[Group, str]]:
    """Every case once; who begins changes, so that nobody always runs behind the same neighbour."""
    for group in groups:
        names = list(group.cases)
        start = repeat % len(names)
        for name in names[start:] + names[:start]:
            yield group, name


def _sample(group: Group, name: str, plan: Plan, series: Series) -> None:
    command = [sys.executable, "-m", "benchmarks.sample", group.key, name, "--least", str(plan.least)]
    command += ["--quick"] if plan.quick else []
    # a library's own threads would be one more thing to share two cores with
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, errors = process.communicate(timeout=SAMPLE_SECONDS)
    except subprocess.TimeoutExpired:
        series.failure = f"not done after {SAMPLE_SECONDS:.0f} s"
        return
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if process.returncode != 0:
        lines = errors.strip().splitlines() or [f"exit {process.returncode}"]
        series.failure = lines[-1]
        return
    sample = json.loads(out)
    series.metrics.append(sample["metrics"])
    series.rounds.append(sample["rounds"])


def _tell(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()
