"""The document pipeline, as it is, on a real Dask cluster: it makes what it makes on one machine, bit by bit."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
from engine_cluster import DaskProcesses

from qtui.store.journal_reader import JournalReader
from qtui.store.rundir import RunDirectory

CORPUS = Path(__file__).resolve().parents[2] / "workflows" / "corpus.toml"
PATIENCE = 180.0
HALFWAY = 30
"""Of 82 units: the packages are being read."""


@dataclass(frozen=True)
class Made:
    """What a run has made: the files, and the state and the result of each unit."""

    files: dict[str, bytes]
    states: dict[str, str]
    results: dict[str, tuple[str, bytes]]


class Corpus:
    """Runs of the pipeline that all write to one place, as its path is part of what they make."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.out, self.state = directory, directory / "out", directory / "state"

    def run(self, *flags: str) -> Iterator[dict[str, Any]]:
        """What a new run tells, to its end."""
        params = "-p", "max_files=1", "-p", f"out={self.out}"
        return self.told("run", str(CORPUS), *params, *flags)

    def told(self, *words: str) -> Iterator[dict[str, Any]]:
        command = [sys.executable, "-m", "qtui", *words, "--ui", "json", "--state-dir", str(self.state)]
        with subprocess.Popen(command, cwd=self.directory, stdout=subprocess.PIPE, text=True) as program:
            assert program.stdout is not None
            guard = Timer(PATIENCE, program.kill)
            guard.start()
            try:
                yield from map(json.loads, program.stdout)
            finally:
                guard.cancel()

    def made(self, told: Sequence[dict[str, Any]]) -> Made:
        """By the run that told this to its end. The next one begins from nothing."""
        files = {str(path.relative_to(self.out)): path.read_bytes() for path in self.out.rglob("*") if path.is_file()}
        self.out.rename(self.directory / f"out-of-{told[0]['run']}")
        with closing(JournalReader(RunDirectory.open(self.state, told[0]["run"]).journal)) as journal:
            view = journal.view()
            names = [unit.id for unit in view.plan.table]
            stored = {name: journal.result(name) for name in names}
        states = {name: str(view.unit(number).state) for number, name in enumerate(names)}
        return Made(files, states, {name: (each.kind, each.data) for name, each in stored.items() if each})


def completed(told: Sequence[dict[str, Any]]) -> set[str]:
    return {each["unit"] for each in told if each["event"] == "unit_finished" and each["state"] == "completed"}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return Corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def plain(corpus: Corpus) -> Made:
    """What it makes on this machine."""
    told = list(corpus.run())
    assert told[-1]["exit_code"] == 0
    return corpus.made(told)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskProcesses]:
    with closing(DaskProcesses(tmp_path_factory.mktemp("cluster"))) as processes:
        processes.add_worker("north")
        processes.add_worker("south")
        yield processes


def assert_same(made: Made, plain: Made) -> None:
    assert len(made.results) == len(made.states) == 82
    assert made.states == plain.states
    assert made.results == plain.results
    assert made.files.keys() == plain.files.keys()
    assert {name for name, content in made.files.items() if content != plain.files[name]} == set()


def test_it_makes_the_same_files_and_results_on_a_cluster(corpus: Corpus, plain: Made, cluster: DaskProcesses) -> None:
    told = list(corpus.run("--executor", "dask", "--address", cluster.address))

    assert told[-1]["exit_code"] == 0
    assert {each["place"] for each in told if each["event"] == "unit_started"} == {"north", "south"}
    assert_same(corpus.made(told), plain)


def test_it_goes_on_with_another_cluster_when_the_scheduler_was_killed(
    corpus: Corpus, plain: Made, cluster: DaskProcesses, tmp_path: Path
) -> None:
    before: list[dict[str, Any]] = []
    with closing(DaskProcesses(tmp_path)) as first:
        first.add_worker("only")
        killed = False
        for event in corpus.run("--executor", "dask", "--address", first.address):
            before.append(event)
            if not killed and len(completed(before)) >= HALFWAY:
                first.kill("scheduler")
                killed = True
        assert (before[-1]["state"], before[-1]["exit_code"]) == ("interrupted", 1)
        assert len(completed(before)) < 82

    after = list(corpus.told("resume", before[0]["run"], "--address", cluster.address))

    assert after[-1]["exit_code"] == 0
    assert not completed(before) & completed(after)
    assert_same(corpus.made(before), plain)
