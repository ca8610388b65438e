"""A run whose process is killed goes on where it was: real processes, real files, real kills."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
from terminal import GENEROUS, until

from qtui.store.journal import JournalReader
from qtui.store.rundir import RunDirectory, list_runs

SOAK = bool(os.environ.get("QTUI_SOAK"))
ROUNDS = 200 if SOAK else 12
CRASHES = range(20 if SOAK else 5)


class Runs:
    """A workflow in a directory, and the program on it."""

    def __init__(self, directory: Path, called: Callable[..., subprocess.CompletedProcess[str]]) -> None:
        self.directory, self.state, self._called = directory, directory / "state", called

    def within(self, name: str) -> Runs:
        """The same in a directory below."""
        (self.directory / name).mkdir()
        return Runs(self.directory / name, self._called)

    def write(self, text: str, name: str = "flow.toml") -> None:
        (self.directory / name).write_text(text)

    def begin(self, *words: str, **env: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "qtui", *words, "--ui", "plain", "--state-dir", str(self.state)],
            cwd=self.directory,
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A run from its begin to its end, in this process, as nobody kills it; all that it says is in `stdout`."""
        done = self._called(*words, "--ui", "plain", "--state-dir", self.state, cwd=self.directory)
        return subprocess.CompletedProcess(words, done.returncode, done.stdout + done.stderr, "")

    def ask(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command that draws nothing."""
        return self._called(*words, "--state-dir", self.state, cwd=self.directory)

    def detach(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command that leaves a run in the background."""
        command = [sys.executable, "-m", "qtui", *words, "--detach", "--state-dir", str(self.state)]
        return subprocess.run(command, cwd=self.directory, capture_output=True, text=True, timeout=GENEROUS * 2)

    def kill(self, program: subprocess.Popen[str]) -> None:
        program.send_signal(signal.SIGKILL)
        program.communicate()

    @property
    def run(self) -> str:
        return list_runs(self.state)[-1]

    @property
    def record(self) -> RunDirectory:
        return RunDirectory.open(self.state, self.run)

    def states(self) -> dict[str, str]:
        reader = JournalReader(self.record.journal)
        try:
            return {unit.id: str(unit.state) for unit in reader.view().units}
        finally:
            reader.close()

    def attempts(self) -> dict[str, int]:
        reader = JournalReader(self.record.journal)
        try:
            return {unit.id: unit.attempt for unit in reader.view().units}
        finally:
            reader.close()


@pytest.fixture
def runs(tmp_path: Path, called: Callable[..., subprocess.CompletedProcess[str]]) -> Runs:
    return Runs(tmp_path, called)


WAITS = """
[workflow]
name = "waits"
workers = 2
[units.first]
run = "echo first >> trace"
[units.held]
run = "echo held >> trace; test -e go || sleep 300"
[units.last]
needs = ["first", "held"]
run = "echo last >> trace"
"""


def trace(runs: Runs) -> Counter[str]:
    path = runs.directory / "trace"
    return Counter(path.read_text().split()) if path.exists() else Counter()


def begun_and_killed(runs: Runs, text: str = WAITS, *words: str) -> None:
    """The run of `held` is going on, `first` has completed, and then the process dies."""
    runs.write(text)
    program = runs.begin("run", "flow.toml", *words)
    until(lambda: trace(runs) >= Counter(["first", "held"]), "both have begun")
    until(lambda: runs.states()["first"] == "completed", "the end of first is in the journal")
    runs.kill(program)


def test_a_killed_run_goes_on_where_it_was(runs: Runs) -> None:
    begun_and_killed(runs)
    (runs.directory / "go").touch()

    result = runs("resume")

    assert result.returncode == 0, result.stdout
    assert "resume: 2 units to run, 1 kept" in result.stdout
    assert "held  was interrupted" in result.stdout
    assert trace(runs) == Counter(first=1, held=2, last=1)
    assert set(runs.states().values()) == {"completed"}


def content(directory: Path) -> dict[str, bytes | None]:
    """All that is in a directory, and below it."""
    paths = sorted(directory.rglob("*"))
    return {str(path.relative_to(directory)): path.read_bytes() if path.is_file() else None for path in paths}


def test_a_dry_run_tells_and_does_nothing(runs: Runs) -> None:
    begun_and_killed(runs)
    before = content(runs.state / "runs")

    result = runs("resume", "--dry-run")

    assert result.returncode == 0
    assert content(runs.state / "runs") == before
    assert "held  was interrupted" in result.stdout
    assert trace(runs) == Counter(first=1, held=1)
    assert runs.ask("status", "--json").stdout.count('"lost"') >= 1


def test_a_run_that_was_killed_before_it_wrote_anything_has_its_name_and_begins_anew(runs: Runs) -> None:
    begun_and_killed(runs)
    with closing(sqlite3.connect(runs.record.journal, isolation_level=None)) as journal:
        journal.execute("DELETE FROM batch")
    (runs.directory / "go").touch()
    assert runs.ask("status").stdout.startswith(f"waits  {runs.run}\nlost ")
    assert runs.ask("report").stdout.startswith("# waits: lost")
    assert "  waits  " in runs.ask("history").stdout

    result = runs("resume")

    assert result.returncode == 0, result.stdout
    assert "run   3 that had not run yet" in result.stdout
    assert f"waits: 3 units, 2 workers, run {runs.run}" in result.stdout
    assert json.loads(runs.ask("status", "--json").stdout)["name"] == "waits"


def test_nothing_of_the_killed_run_is_left_when_it_goes_on(runs: Runs) -> None:
    hidden = WAITS.replace("test -e go || sleep 300", "setsid sleep 299.75 & test -e go || sleep 300")
    begun_and_killed(runs, hidden)
    (runs.directory / "go").touch()

    assert runs("resume").returncode == 0

    assert subprocess.run(["pgrep", "-f", "sleep 299.75"], capture_output=True).returncode == 1


def test_a_live_run_is_not_resumed(runs: Runs) -> None:
    runs.write(WAITS)
    program = runs.begin("run", "flow.toml")
    until(lambda: trace(runs) >= Counter(["held"]), "it runs")

    result = runs("resume")

    assert result.returncode == 2
    assert f"is live: process {program.pid} on " in result.stdout
    (runs.directory / "go").touch()
    program.terminate()
    program.communicate()


def test_a_run_that_a_signal_ended_goes_on(runs: Runs) -> None:
    runs.write(WAITS)
    program = runs.begin("run", "flow.toml")
    until(lambda: trace(runs) >= Counter(["first", "held"]), "both have begun")
    program.terminate()
    program.communicate()
    assert program.returncode == 143
    (runs.directory / "go").touch()

    result = runs("resume")

    assert result.returncode == 0, result.stdout
    assert trace(runs)["last"] == 1


def test_failed_units_run_again_and_finished_ones_do_not(runs: Runs) -> None:
    runs.write(
        """
        [units.good]
        run = "echo good >> trace"
        [units.bad]
        run = "echo bad >> trace; test -e fixed"
        [units.below]
        needs = ["bad", "good"]
        run = "echo below >> trace"
        """
    )
    assert runs("run", "flow.toml").returncode == 1
    (runs.directory / "fixed").touch()

    result = runs("resume", runs.run[:-2])

    assert result.returncode == 0, result.stdout
    assert "bad    failed last time" in result.stdout
    assert trace(runs) == Counter(good=1, bad=2, below=1)
    assert runs.attempts() == {"good": 1, "bad": 2, "below": 1}


def test_a_resume_in_the_background_returns_when_it_goes_on(runs: Runs) -> None:
    begun_and_killed(runs)

    result = runs.detach("resume")

    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == runs.run
    until(lambda: trace(runs)["held"] == 2, "it goes on")
    assert runs.ask("cancel", runs.run).returncode == 0
    assert runs.ask("status", "--wait").returncode == 130


def test_what_is_not_idempotent_asks_and_can_be_told_to_run(runs: Runs) -> None:
    once = WAITS.replace("[units.last]", "idempotent = false\n[units.last]")
    begun_and_killed(runs, once)
    (runs.directory / "go").touch()

    program = runs.begin("resume")
    until(lambda: "held may have done" in runs.ask("status").stdout, "it asks")
    assert trace(runs)["held"] == 1
    assert runs.ask("approve", runs.run, "held").returncode == 0
    out, _ = program.communicate(timeout=GENEROUS * 2)

    assert program.returncode == 0, out
    assert trace(runs) == Counter(first=1, held=2, last=1)


def test_again_answers_beforehand(runs: Runs) -> None:
    once = WAITS.replace("[units.last]", "idempotent = false\n[units.last]")
    begun_and_killed(runs, once)
    (runs.directory / "go").touch()

    result = runs("resume", "--again", "held", "--again", "first")
    assert result.returncode == 0
    assert trace(runs)["held"] == 2
    assert f"again first  does not run, it has completed; to run it: qtui resume {runs.run} first" in result.stdout


CALLS = """
[workflow]
workers = 2
[units.make]
call = "steps:make"
[units.cpu]
call = "steps:cpu"
mode = "process"
[units.large]
call = "steps:large"
mode = "process"
[units.held]
call = "steps:held"
[units.use]
needs = ["make", "cpu", "large", "held"]
call = "steps:use"
"""
STEPS = """
import pathlib, time
class Point:
    def __init__(self, x): self.x = x
def note(name):
    with open("trace", "a") as file: file.write(name + "\\n")
def make(context):
    note("make"); return {"rows": [1, 2.5, None], "pair": (1, 2)}
def cpu(context):
    note("cpu"); return Point(7)
def large(context):
    note("large"); return b"x" * 3_000_000
def held(context):
    note("held")
    while not pathlib.Path("go").exists(): context.sleep(0.02)
def use(context):
    note("use")
    assert context["make"] == {"rows": [1, 2.5, None], "pair": (1, 2)}
    assert context["cpu"].x == 7 and len(context["large"]) == 3_000_000 and context["held"] is None
"""


def test_results_are_there_when_the_run_goes_on(runs: Runs) -> None:
    (runs.directory / "steps.py").write_text(STEPS)
    runs.write(CALLS)
    program = runs.begin("run", "flow.toml")
    until(lambda: trace(runs)["held"], "held has begun")
    until(lambda: list(runs.states().values()).count("completed") == 3, "three have completed")
    runs.kill(program)
    (runs.directory / "go").touch()

    result = runs("resume")

    assert result.returncode == 0, result.stdout
    assert trace(runs) == Counter(make=1, cpu=1, large=1, held=2, use=1)


def test_a_result_that_was_not_kept_is_made_again(runs: Runs) -> None:
    (runs.directory / "steps.py").write_text(STEPS)
    runs.write(CALLS.replace("workers = 2", 'workers = 2\npersist_max = "1M"'))
    program = runs.begin("run", "flow.toml")
    until(lambda: trace(runs)["held"], "held has begun")
    until(lambda: list(runs.states().values()).count("completed") == 3, "three have completed")
    runs.kill(program)
    (runs.directory / "go").touch()

    result = runs("resume")

    assert result.returncode == 0, result.stdout
    assert "large  use needs its result, which is not there: 2.9 MB is more than persist_max" in result.stdout
    assert trace(runs)["large"] == 2


def test_changed_work_is_kept_and_told_of_and_done_again_when_asked(runs: Runs) -> None:
    begun_and_killed(runs)
    (runs.directory / "go").touch()
    runs.write(WAITS.replace("echo first", "echo primo"))

    told = runs("resume", "-n").stdout
    assert "stale first  its command or function changed: kept; --stale runs it again" in told
    assert runs("resume").returncode == 0
    assert trace(runs) == Counter(first=1, held=2, last=1)
    result = runs("resume", "--stale")

    assert result.returncode == 0, result.stdout
    assert trace(runs) == Counter(first=1, primo=1, held=2, last=2)


def test_an_input_that_was_written_since_makes_a_unit_stale(runs: Runs) -> None:
    runs.write('[units.a]\nrun = "cat in.csv"\ncache = { inputs = ["*.csv"] }\n')
    (runs.directory / "in.csv").write_text("1")
    assert runs("run", "flow.toml").returncode == 0
    later = time.time() + 5
    os.utime(runs.directory / "in.csv", (later, later))

    assert "stale a  input in.csv changed" in runs("resume", "-n").stdout


def test_params_that_a_person_gave_are_those_of_the_resumed_run(runs: Runs) -> None:
    text = "[params.day]\nrequired = true\n" + WAITS.replace("echo first", "echo ${{ params.day }} >> days; echo first")
    begun_and_killed(runs, text, "-p", "day=monday")
    (runs.directory / "go").touch()

    assert runs("resume").returncode == 0
    assert (runs.directory / "days").read_text() == "monday\n"


def test_a_workflow_that_is_gone_is_told_of(runs: Runs) -> None:
    begun_and_killed(runs)
    (runs.directory / "flow.toml").unlink()

    result = runs("resume")

    assert result.returncode == 2
    assert "flow.toml" in result.stdout


# -- the soak ----------------------------------------------------------------------------------------------


def sixty_units() -> str:
    """Layers of units that each write a line of their own."""
    units = []
    for number in range(60):
        needs = [f'"u{number - 10}"'] if number >= 10 else []
        units.append(f'[units.u{number}]\nneeds = [{", ".join(needs)}]\nrun = "echo u{number} >> trace; sleep 0.01"\n')
    return "[workflow]\nworkers = 4\n" + "".join(units)


def test_a_run_that_is_killed_again_and_again_loses_and_repeats_nothing(runs: Runs) -> None:
    rng = Random(7)
    runs.write(sixty_units())
    rounds = finished = 0
    while rounds < ROUNDS:
        (runs.directory / "trace").unlink(missing_ok=True)
        words, kills, ended = ["run", "flow.toml"], 0, {}
        before = len(list_runs(runs.state))
        while True:
            program = runs.begin(*words)
            if kills < 8 and rounds + kills < ROUNDS:
                until(lambda more=before: len(list_runs(runs.state)) > more, "it has a journal")
                time.sleep(rng.uniform(0.0, 0.4))  # a moment nobody chose
                runs.kill(program)
                kills += 1
                check_record(runs, ended)
                words = ["resume"]
            else:
                out, _ = program.communicate(timeout=GENEROUS * 2)
                assert program.returncode == 0, out
                break
        rounds += max(1, kills)
        finished += 1
        lines = trace(runs)
        assert len(lines) == 60, "every unit has run"
        assert all(lines[unit] == 1 for unit, after in ended.items()), "what had ended in the journal ran once"
        assert max(lines.values()) <= kills + 1, "at most once for each process"
        assert set(runs.states().values()) == {"completed"}


def check_record(runs: Runs, ended: dict[str, int]) -> None:
    """The journal of a run that was just killed is whole, and `ended` gets what has completed so far."""
    reader = JournalReader(runs.record.journal)
    try:
        assert reader.problems() == []
        lines = trace(runs)
        for unit in reader.view().units:
            if str(unit.state) == "completed":
                ended.setdefault(unit.id, lines[unit.id])
    finally:
        reader.close()
    until(lambda: not tagged(runs.run), "nothing of it is left running")


def tagged(run: str) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if f"QTUI_RUN={run}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                found.append(entry.name)
        except OSError:
            continue
    return found


def test_json(runs: Runs) -> None:
    begun_and_killed(runs)
    (runs.directory / "go").touch()

    result = runs.ask("resume", "--ui", "json")

    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert events[0]["event"] == "run_resumed"
    assert [event["seq"] for event in events] == list(range(events[0]["seq"], events[0]["seq"] + len(events)))
    assert events[-1]["event"] == "run_finished"


# -- as if nothing had happened ----------------------------------------------------------------------------

ARITHMETIC = """
import time
def step(context, needs, add, bad):
    time.sleep(0.02)
    values = [context[need] or 0 for need in needs]
    if bad:
        raise ValueError("always")
    total = add + sum(value["sum"] if isinstance(value, dict) else value for value in values)
    return {"sum": total, "pair": (add, needs)}
"""


def random_workflow(rng: Random) -> str:
    """Functions in threads and processes that add up what they need; some always fail, some of those have fallbacks."""
    text = "[workflow]\nworkers = 3\n"
    for number in range(14):
        needs = [f"u{n}" for n in range(number) if rng.randrange(4) == 0]
        bad = rng.randrange(5) == 0
        text += f'[units.u{number}]\ncall = "arithmetic:step"\nneeds = {json.dumps(needs)}\n'
        text += f'mode = "{rng.choice(("thread", "thread", "process"))}"\n'
        text += f"args = {{ needs = {json.dumps(needs)}, add = {number}, bad = {json.dumps(bad)} }}\n"
        text += rng.choice(("", "fallback = 5\n", "allow_failure = true\n", "retries = { max = 1, delay = 0 }\n"))
        text += rng.choice(("", "", "", 'when = "always"\n', 'when = "failure"\n'))
    return text


def ends(runs: Runs) -> dict[str, tuple[str, bool, object]]:
    """How each unit ended, whether by its fallback, and its result as it is kept."""
    reader = JournalReader(runs.record.journal)
    try:
        found = {}
        for unit in reader.view().units:
            stored = reader.result(unit.id) if str(unit.state) == "completed" else None
            fallback = unit.finished is not None and unit.finished.fallback
            found[unit.id] = (str(unit.state), fallback, stored and not fallback and (stored.kind, stored.data))
        return found
    finally:
        reader.close()


@pytest.mark.parametrize("seed", CRASHES)
def test_a_run_with_crashes_has_the_ends_and_results_of_one_without(runs: Runs, seed: int) -> None:
    rng = Random(seed)
    text = random_workflow(rng)
    whole, cut = runs.within("whole"), runs.within("cut")
    for each in (whole, cut):
        each.write(text)
        (each.directory / "arithmetic.py").write_text(ARITHMETIC)
    code = whole("run", "flow.toml").returncode

    program = cut.begin("run", "flow.toml")
    for _ in range(2):
        until(lambda: cut.state.exists() and list_runs(cut.state), "it has a journal")
        time.sleep(rng.uniform(0.0, 0.3))  # a moment nobody chose
        cut.kill(program)
        program = cut.begin("resume")
    out, _ = program.communicate(timeout=GENEROUS * 2)

    assert program.returncode == code, out
    assert ends(cut) == ends(whole)
