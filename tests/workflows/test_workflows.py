"""Every file in workflows/ is run by the command line, as a person would run it, and does what it is for."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
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


# -- corpus.toml --------------------------------------------------------------------------------------------


def assert_fans_out(run: Recorded) -> None:
    assert run.fan_outs()["list"] >= 30
    assert len([unit for unit in run.units if unit["family"] == "extract"]) >= 30
    assert {unit["mode"] for unit in run.units} >= {"command"}


def assert_answers_a_question(out: Path) -> None:
    answer = query("run a subprocess and capture its output", out)
    assert answer.returncode == 0, answer.stderr
    assert "1. subprocess." in answer.stdout


def assert_report_has_sources_neighbours_and_the_answer(out: Path) -> None:
    report = (out / "report.md").read_text()
    assert "| asyncio |" in report
    assert re.search(r"`json\.dumps`: `json\.dump` 0\.\d\d", report)
    assert re.search(r"^ +\d\. shutil\.copytree", report, re.MULTILINE)


def test_corpus_becomes_an_index_that_answers_and_each_run_makes_the_same(tmp_path: Path) -> None:
    out = tmp_path / "out"

    def files() -> tuple[str, set[str]]:
        return (out / "CHECKSUMS").read_text(), {str(file.relative_to(out)) for file in out.rglob("*")}

    first = run_corpus(out)
    assert_all_completed_in_order(first)
    assert_fans_out(first)
    assert_answers_a_question(out)
    assert_report_has_sources_neighbours_and_the_answer(out)

    before = files()
    (out / "documents" / "gone.jsonl").write_text("left by an older version\n")
    assert_all_completed_in_order(run_corpus(out))
    assert files() == before

    agents = run_workflow("agents.py", tmp_path, corpus=out, out=tmp_path / "answers")
    assert_all_completed_in_order(agents)
    assert {unit["mode"] for unit in agents.units} > {"async", "command"}
    assert not (tmp_path / "answers" / "corpus.sqlite").exists(), "it answers from the index of the corpus"
    assert "shutil.copytree(" in (tmp_path / "answers" / "answers.md").read_text()


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


def assert_every_part_of_the_format_works(run: Recorded, out: Path) -> None:
    assert run.exit_code == 0, run.logs_of_failures()
    assert {unit: end for unit, end in run.ends.items() if end != "completed"} == {"lint": "failed"}
    ends = {event["unit"]: event for event in run.of("unit_finished")}
    assert ends["scores"]["fallback"]
    assert (out / "published.txt").read_text() == "report of 2026-05-01 with the small model\n"
    assert len((out / "west.txt").read_text().splitlines()) == 2500
    merged = json.loads((out / "merged.json").read_text())
    assert merged["embed"] == [{"shard": number} for number in range(6)]
    assert [result["exit_code"] for result in merged["align"]] == [0] * 4


def assert_pools_go_to_one_item_after_the_other(run: Recorded) -> None:
    begun: set[str] = set()
    for event in run.events:
        station = re.search(r"\[id=(\w+)\]", str(event.get("unit")))
        if station and event["event"] in ("unit_submitted", "unit_finished"):
            begun |= {station[1]} if event["event"] == "unit_submitted" else set()
            begun -= {station[1]} if event["unit"].startswith("align") and event["event"] == "unit_finished" else set()
            assert len(begun) <= 2, "the pool has two slots, and an item holds one from its first start to its last end"


def assert_secret_is_shown_to_nobody(run: Recorded) -> None:
    assert SECRET not in json.dumps(run.events)
    kept = [file for file in run.state.rglob("*") if file.is_file() and SECRET.encode() in file.read_bytes()]
    assert kept == []
    assert any("asking with ***" in log.read_text() for log in run.state.rglob("*fetch*.log"))


def test_nightly_uses_every_part_of_the_format_and_cleans_only_what_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_TOKEN", SECRET)

    def nightly() -> Recorded:
        return run_workflow("nightly/nightly.toml", tmp_path, "--yes=publish", day="2026-05-01", out=tmp_path / "out")

    run = nightly()
    assert_every_part_of_the_format_works(run, tmp_path / "out")
    assert_pools_go_to_one_item_after_the_other(run)
    assert_secret_is_shown_to_nobody(run)

    cleaned = next(event for event in nightly().of("unit_finished") if event["unit"] == "clean")
    assert cleaned["cached"]
    assert cleaned["cause"].startswith("same inputs as on ")


# -- checks.toml --------------------------------------------------------------------------------------------


def test_checks_complete_with_tests_only_collected(tmp_path: Path) -> None:
    # without mypy and its likes, which go through the whole project as they do in `make check` itself, and with the
    # quickest parts of the tests; that all parts are named is told below
    units = ["sizes", "loads", *(f"tests[part={part}]" for part in ("benchmarks", "sessions"))]
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
