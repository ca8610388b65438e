"""Every file in workflows/ is run by the command line, as a person would run it, and does what it is for."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = ROOT / "workflows"
COVERED = {"corpus.toml", "agents.py", "checks.toml", "nightly/nightly.toml", "nightly/docs.toml"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What ``--ui json`` said about a run, line by line."""

    events: list[dict[str, Any]]
    exit_code: int
    state: Path

    def of(self, name: str) -> Iterator[dict[str, Any]]:
        return (event for event in self.events if event["event"] == name)

    @property
    def units(self) -> list[dict[str, Any]]:
        units: list[dict[str, Any]] = next(self.of("run_started"))["units"]
        return units

    @property
    def ends(self) -> dict[str, str]:
        return {event["unit"]: event["state"] for event in self.of("unit_finished")}

    def started_too_early(self) -> list[str]:
        """The units that started before all their needs had completed, by the order of the lines."""
        needs = {unit["id"]: set(unit["needs"]) for unit in self.units}
        completed: set[str] = set()
        early = []
        for event in self.events:
            if event["event"] == "unit_started" and not needs[event["unit"]] <= completed:
                early.append(event["unit"])
            if event["event"] == "unit_finished" and event["state"] == "completed":
                completed.add(event["unit"])
        return early

    def logs_of_failures(self) -> str:
        """The last lines that the failed units wrote."""
        failed = {event["unit"].partition("[")[0] for event in self.of("unit_finished") if event["state"] == "failed"}
        logs = [log for name in sorted(failed) for log in sorted(self.state.rglob(f"*{name}*.log"))]
        return "\n".join(f"{log.name}:\n{log.read_text(errors='replace')[-1500:]}" for log in logs)

    def fan_outs(self) -> Counter[str]:
        """For each unit, how many units need it."""
        return Counter(need for unit in self.units for need in unit["needs"])


def run_workflow(file: str, state: Path, *flags: str, **params: object) -> Recorded:
    options = [*flags, *(part for name, value in params.items() for part in ("-p", f"{name}={value}"))]
    command = [sys.executable, "-m", "qtui", "run", str(WORKFLOWS / file), "--ui", "json", "--state-dir", str(state)]
    done = subprocess.run([*command, *options], cwd=state, capture_output=True, text=True, timeout=180, check=False)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert events, f"nothing was written to standard output; standard error:\n{done.stderr}"
    return Recorded(events=events, exit_code=done.returncode, state=state)


def assert_all_completed_in_order(run: Recorded) -> None:
    unfinished = {unit["id"]: run.ends.get(unit["id"], "no end") for unit in run.units}
    assert {unit: end for unit, end in unfinished.items() if end != "completed"} == {}, run.logs_of_failures()
    assert run.started_too_early() == []
    last = run.events[-1]
    assert (last["event"], last["state"], last["exit_code"]) == ("run_finished", "completed", 0)
    assert run.exit_code == 0


def query(question: str, out: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "corpus_steps", "query", question, "--out", str(out)]
    return subprocess.run(command, cwd=WORKFLOWS, capture_output=True, text=True, timeout=30, check=False)


def run_corpus(out: Path) -> Recorded:
    return run_workflow("corpus.toml", out.parent, out=out, max_files=6, query="copy a directory tree")


@pytest.fixture(scope="module")
def corpus_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("corpus") / "out"


@pytest.fixture(scope="module")
def corpus(corpus_out: Path) -> Recorded:
    return run_corpus(corpus_out)


# -- corpus.toml --------------------------------------------------------------------------------------------


def test_corpus_completes_every_unit_after_its_needs(corpus: Recorded) -> None:
    assert_all_completed_in_order(corpus)


def test_corpus_fans_out_to_thirty_units_and_more(corpus: Recorded) -> None:
    assert corpus.fan_outs()["list"] >= 30
    assert len([unit for unit in corpus.units if unit["family"] == "extract"]) >= 30
    assert {unit["mode"] for unit in corpus.units} >= {"command"}


def test_corpus_index_answers_a_question(corpus: Recorded, corpus_out: Path) -> None:
    answer = query("run a subprocess and capture its output", corpus_out)
    assert answer.returncode == 0, answer.stderr
    assert "1. subprocess." in answer.stdout


def test_corpus_report_has_sources_neighbours_and_the_answer(corpus: Recorded, corpus_out: Path) -> None:
    report = (corpus_out / "report.md").read_text()
    assert "| asyncio |" in report
    assert re.search(r"`json\.dumps`: `json\.dump` 0\.\d\d", report)
    assert re.search(r"^ +\d\. shutil\.copytree", report, re.MULTILINE)


def test_corpus_run_again_replaces_its_files_with_the_same_ones(corpus: Recorded, corpus_out: Path) -> None:
    def state() -> tuple[str, set[str]]:
        names = {str(file.relative_to(corpus_out)) for file in corpus_out.rglob("*")}
        return (corpus_out / "CHECKSUMS").read_text(), names

    before = state()
    (corpus_out / "documents" / "gone.jsonl").write_text("left by an older version\n")
    assert_all_completed_in_order(run_corpus(corpus_out))
    assert state() == before


def test_a_corpus_without_an_answer_says_so_and_completes(tmp_path: Path) -> None:
    run = run_workflow("corpus.toml", tmp_path, out=tmp_path / "out", max_files=1, query="--xyzzy")
    assert_all_completed_in_order(run)
    assert "Nothing in the corpus" in (tmp_path / "out" / "report.md").read_text()


def test_query_without_an_index_says_how_to_build_it(tmp_path: Path) -> None:
    answer = query("anything", tmp_path)
    assert answer.returncode == 2
    assert str(tmp_path) in answer.stderr
    assert "qtui run corpus.toml" in answer.stderr
    assert "Traceback" not in answer.stderr


# -- agents.py ----------------------------------------------------------------------------------------------


def test_agents_answer_from_the_index_of_the_corpus(corpus: Recorded, corpus_out: Path, tmp_path: Path) -> None:
    run = run_workflow("agents.py", tmp_path, corpus=corpus_out, out=tmp_path / "out")
    assert_all_completed_in_order(run)
    assert {unit["mode"] for unit in run.units} > {"async", "command"}
    assert not (tmp_path / "out" / "corpus.sqlite").exists()
    assert "shutil.copytree(" in (tmp_path / "out" / "answers.md").read_text()


def test_agents_alone_build_an_index_and_always_answer_the_same(tmp_path: Path) -> None:
    answers = []
    for name in ("first", "second"):
        out = tmp_path / name
        asked = "How do I cancel a task? How do I decode JSON?"
        run = run_workflow("agents.py", tmp_path, corpus=tmp_path / "missing", out=out, questions=asked)
        assert_all_completed_in_order(run)
        assert (out / "corpus.sqlite").is_file()
        answers.append((out / "answers.md").read_text())
    assert answers[0] == answers[1]
    assert "## How do I cancel a task?" in answers[0]
    assert "## How do I decode JSON?" in answers[0]
    assert "asyncio.tasks.Task.cancel" in answers[0]


def test_agents_refuse_a_question_without_words(tmp_path: Path) -> None:
    run = run_workflow("agents.py", tmp_path, corpus=tmp_path / "missing", out=tmp_path / "out", questions="???")
    assert run.exit_code == 1
    assert run.ends["planner"] == "failed"
    assert run.ends["writer"] == "skipped"
    assert "nothing to look up" in json.dumps(run.events)


# -- nightly/nightly.toml -----------------------------------------------------------------------------------

SECRET = "sesame-street"


@pytest.fixture
def nightly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Recorded]:
    """Run it once more, in the same state directory."""
    monkeypatch.setenv("API_TOKEN", SECRET)
    flags = ("--yes=publish",)
    return lambda: run_workflow("nightly/nightly.toml", tmp_path, *flags, day="2026-05-01", out=tmp_path / "out")


def test_nightly_uses_every_part_of_the_format(nightly: Callable[[], Recorded], tmp_path: Path) -> None:
    run = nightly()
    assert run.exit_code == 0, run.logs_of_failures()
    assert {unit: end for unit, end in run.ends.items() if end != "completed"} == {"lint": "failed"}
    ends = {event["unit"]: event for event in run.of("unit_finished")}
    assert ends["scores"]["fallback"]
    assert (tmp_path / "out" / "published.txt").read_text() == "report of 2026-05-01 with the small model\n"
    assert len((tmp_path / "out" / "west.txt").read_text().splitlines()) == 2500
    merged = json.loads((tmp_path / "out" / "merged.json").read_text())
    assert merged["embed"] == [{"shard": number} for number in range(6)]
    assert [result["exit_code"] for result in merged["align"]] == [0] * 4


def test_nightly_gives_its_pools_to_one_item_after_the_other(nightly: Callable[[], Recorded]) -> None:
    run = nightly()
    begun: set[str] = set()
    for event in run.events:
        station = re.search(r"\[id=(\w+)\]", str(event.get("unit")))
        if station and event["event"] in ("unit_submitted", "unit_finished"):
            begun |= {station[1]} if event["event"] == "unit_submitted" else set()
            begun -= {station[1]} if event["unit"].startswith("align") and event["event"] == "unit_finished" else set()
            assert len(begun) <= 2, "the pool has two slots, and an item holds one from its first start to its last end"


def test_nightly_cleans_only_what_has_changed(nightly: Callable[[], Recorded]) -> None:
    nightly()
    end = next(event for event in nightly().of("unit_finished") if event["unit"] == "clean")
    assert end["cached"]
    assert end["cause"].startswith("same inputs as on ")


def test_nightly_shows_its_secret_to_nobody(nightly: Callable[[], Recorded], tmp_path: Path) -> None:
    run = nightly()
    assert SECRET not in json.dumps(run.events)
    kept = [file for file in tmp_path.rglob("*") if file.is_file() and SECRET.encode() in file.read_bytes()]
    assert kept == []
    assert any("asking with ***" in log.read_text() for log in tmp_path.rglob("*fetch*.log"))


# -- checks.toml --------------------------------------------------------------------------------------------


def test_checks_complete_with_tests_only_collected(tmp_path: Path) -> None:
    # without mypy and its likes, which go through the whole project as they do in `make check` itself, and with the
    # quickest parts of the tests; that all parts are named is told below
    units = ["sizes", "loads", *(f"tests[part={part}]" for part in ("benchmarks", "sessions", "store"))]
    run = run_workflow("checks.toml", tmp_path, *units, pytest_args="--collect-only -q")
    assert_all_completed_in_order(run)


def test_checks_run_the_tests_of_every_part_but_this_one(tmp_path: Path) -> None:
    listed = subprocess.run(
        [sys.executable, "-m", "qtui", "graph", str(WORKFLOWS / "checks.toml"), "--format", "json"],
        capture_output=True, text=True, timeout=30, check=True, cwd=tmp_path,
    ).stdout  # fmt: skip
    parts = {file.relative_to(ROOT / "tests").parts[0] for file in (ROOT / "tests").rglob("test_*.py")}
    run = set(re.findall(r"tests\[part=([^\]]+)\]", listed))
    assert run == parts - {"workflows"}, "the matrix of [units.tests] must name what there is in tests/"


# -- the directory ------------------------------------------------------------------------------------------


def test_every_workflow_file_is_covered_here() -> None:
    python = {file.name for file in WORKFLOWS.glob("*.py") if re.search(r"\bWorkflow\(", file.read_text())}
    toml = {str(file.relative_to(WORKFLOWS)) for file in WORKFLOWS.rglob("*.toml")}
    assert python | toml == COVERED
