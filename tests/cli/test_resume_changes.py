"""A run goes on after its workflow has changed, or with named units alone; in this process, with real files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from qtui.cli.main import main
from qtui.core.resuming import Resumption
from qtui.engine.variables import RECORD, record_tag
from qtui.resumption import end_leftovers
from qtui.services import open_services
from qtui.store.journal import JournalReader
from qtui.store.rundir import RunDirectory, list_runs

CAP = 60.0


class Flow:
    """A workflow in the current directory, and its one run."""

    def __init__(self, directory: Path, state: Path) -> None:
        self.directory, self.state = directory, state

    def write(self, text: str) -> None:
        (self.directory / "flow.toml").write_text(text)

    def start(self) -> str:
        """Run it to its end; the state in which it ends."""
        with open_services(self.state) as services:
            return _ended(services.manager.start(services.manager.load("flow.toml")))

    def resume(self, **wishes: Any) -> str:
        with open_services(self.state) as services:
            prepared = services.manager.resume(None, services.manager.load("flow.toml"), **wishes)
            return _ended(prepared.begin())

    def told(self, **wishes: Any) -> Resumption:
        """What a resume would do."""
        with open_services(self.state) as services:
            prepared = services.manager.resume(None, services.manager.load("flow.toml"), **wishes)
            prepared.abandon()
            return prepared.resumption

    def why(self, **wishes: Any) -> dict[str, str]:
        how = self.told(**wishes)
        return {how.view.plan.table[number].id: reason for number, reason in how.reasons.items()}

    @property
    def record(self) -> RunDirectory:
        return RunDirectory.open(self.state, list_runs(self.state)[-1])

    def attempts(self) -> dict[str, int]:
        with closing(JournalReader(self.record.journal)) as reader:
            return {unit.id: unit.attempt for unit in reader.view().units}

    @property
    def trace(self) -> Counter[str]:
        return Counter((self.directory / "trace").read_text().split())


def _ended(session: Any) -> str:
    end = session.wait(CAP)
    session.close()
    assert end is not None, "it never ended"
    return str(end.state)


@pytest.fixture
def flow(tmp_path: Path, state_home: Path, monkeypatch: pytest.MonkeyPatch) -> Flow:
    monkeypatch.chdir(tmp_path)
    return Flow(tmp_path, state_home / "qtui")


def units(**texts: str) -> str:
    return "".join(f"[units.{name}]\n{text}\n" for name, text in texts.items())


def notes(name: str, more: str = "") -> str:
    return f'run = "echo {name} >> trace{more}"'


CHAIN = {"a": notes("a"), "b": f'needs = ["a"]\n{notes("b")}', "c": f'needs = ["b"]\n{notes("c")}', "d": notes("d")}


def test_a_named_unit_runs_again_and_with_a_plus_what_depends_on_it(flow: Flow) -> None:
    flow.write(units(**CHAIN))
    assert flow.start() == "completed"

    assert flow.resume(units=["b"]) == "completed"
    assert flow.trace == Counter(a=1, b=2, c=1, d=1)
    assert flow.resume(units=["b+"]) == "completed"
    assert flow.trace == Counter(a=1, b=3, c=2, d=1)


def test_a_name_that_no_unit_has_is_refused_and_nothing_happens(flow: Flow, capfd: pytest.CaptureFixture[str]) -> None:
    flow.write(units(**CHAIN))
    assert main(["run", "flow.toml", "--ui", "plain"]) == 0

    assert main(["resume", flow.record.run, "bb"]) == 2
    assert 'cannot select "bb": there is no such unit' in capfd.readouterr().err
    assert main(["resume", flow.record.run, "--again", "bb"]) == 2
    assert main(["resume", "b+"]) == 2
    assert f"name its run first: qtui resume {flow.record.run} b+" in capfd.readouterr().err
    assert flow.trace == Counter("abcd")


def test_the_command_line_says_what_would_run_and_what_is_left(flow: Flow, capfd: pytest.CaptureFixture[str]) -> None:
    broken = {**CHAIN, "b": f'needs = ["a"]\n{notes("b", "; exit 1")}', "d": notes("d", "; exit 1")}
    flow.write(units(**broken))
    assert main(["run", "flow.toml", "--ui", "plain"]) == 1
    capfd.readouterr()
    flow.write(
        units(**{name: text for name, text in broken.items() if name != "a"}, e=notes("e")).replace('["a"]', '["e"]')
    )

    assert main(["resume", flow.record.run, "b", "-n"]) == 0

    said = capfd.readouterr().out.splitlines()
    assert said[0] == "resume: 3 units to run, 0 kept"
    assert "  run   e  is new in the workflow" in said
    assert "  run   b  failed last time" in said
    assert "  run   c  was skipped" in said
    assert "  gone  a  is not in the workflow any more (completed)" in said
    assert f"  left  1 failed: qtui resume {flow.record.run} goes on with them" in said


def test_a_run_that_began_with_a_selection_goes_on_without_what_is_gone_of_it(
    flow: Flow, capfd: pytest.CaptureFixture[str]
) -> None:
    flow.write(units(**CHAIN))
    assert main(["run", "flow.toml", "--ui", "plain", "b+", "d", "-f", "d", "--yes=d", "--exclude", "d"]) == 0
    flow.write(units(**{name: text for name, text in CHAIN.items() if name != "d"}))
    capfd.readouterr()

    assert main(["resume", "--ui", "plain"]) == 0

    said = capfd.readouterr().err
    for text in ("d", "-f d", "--yes=d", "--exclude d"):
        assert said.count(f"qtui: the run was begun with {text}, which the workflow does not have any more") == 1
    assert flow.trace == Counter("abc")


def test_a_run_of_which_the_whole_selection_is_gone_is_not_resumed_as_a_whole(
    flow: Flow, capfd: pytest.CaptureFixture[str]
) -> None:
    flow.write(units(**CHAIN))
    assert main(["run", "flow.toml", "--ui", "plain", "d"]) == 0
    flow.write(units(**{name: text for name, text in CHAIN.items() if name != "d"}))

    assert main(["resume", "--ui", "plain"]) == 2
    assert "was to run only d, and the workflow has nothing of that name any more" in capfd.readouterr().err
    assert flow.trace == Counter("d")


# -- units that go and come back ---------------------------------------------------------------------------


RESULTS = {
    "a": """run = "echo a >> trace; echo '[1]' > $QTUI_RESULT" """,
    "use": """needs = ["a"]\nrun = "cat $QTUI_NEEDS > seen; echo use >> trace" """,
}


def test_a_unit_that_is_back_as_it_was_keeps_its_result_and_says_so(flow: Flow) -> None:
    flow.write(units(**RESULTS))
    flow.start()
    flow.write(units(other=notes("other")))
    assert flow.resume() == "completed"
    flow.write(units(**RESULTS))

    how = flow.told()
    table = how.view.plan.table
    assert {table[number].id: why for number, why in how.view.stale.items()} == {
        "a": "was out of the workflow for a while",
        "use": "was out of the workflow for a while",
    }
    assert flow.resume(units=["use"]) == "completed"
    assert flow.trace == Counter(a=1, use=2, other=1)
    assert '"a": [1]' in (flow.directory / "seen").read_text()


def test_a_unit_that_is_back_and_has_changed_runs_again_and_its_old_result_is_nobodys(flow: Flow) -> None:
    flow.write(units(**RESULTS))
    flow.start()
    flow.write(units(other=notes("other")))
    flow.resume()
    flow.write(units(**{**RESULTS, "a": RESULTS["a"].replace("[1]", "[2]")}))

    assert flow.why()["a"] == "was out of the workflow for a while, and its command or function changed"
    assert flow.resume(units=["use"]) == "completed"
    assert '"a": [2]' in (flow.directory / "seen").read_text()
    assert flow.attempts() == {"a": 2, "use": 2}, "logs of its earlier attempts stay"


# -- results of earlier attempts ---------------------------------------------------------------------------


def test_results_of_earlier_attempts_are_removed_when_the_run_is_closed(flow: Flow) -> None:
    (flow.directory / "largeresults.py").write_text(
        "import os\ndef make(): return os.urandom(200_000)\ndef look(context): return len(context['large'])\n"
    )
    flow.write(units(large='call = "largeresults:make"', look='needs = ["large"]\ncall = "largeresults:look"'))
    flow.start()
    (first,) = flow.record.results.iterdir()

    assert flow.resume(units=["large"]) == "completed"

    (second,) = flow.record.results.iterdir()
    assert first != second
    assert flow.resume(units=["look"]) == "completed", "what is there is what the record refers to"
    assert list(flow.record.results.iterdir()) == [second]


# -- what is left of a killed run --------------------------------------------------------------------------


@pytest.fixture
def left() -> Iterator[Callable[[RunDirectory], subprocess.Popen[bytes]]]:
    """A process that a killed run has left."""
    processes = []

    def leave(directory: RunDirectory) -> subprocess.Popen[bytes]:
        tags = {"QTUI_RUN": directory.run, RECORD: record_tag(directory.path)}
        processes.append(subprocess.Popen(["sleep", "300"], env={**os.environ, **tags}))
        return processes[-1]

    yield leave
    for process in processes:
        process.kill()
        process.wait()


def test_a_copy_of_a_run_leaves_the_processes_of_the_original_alone(
    flow: Flow,
    tmp_path: Path,
    left: Callable[[RunDirectory], subprocess.Popen[bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("qtui.resumption.LEFT_GRACE_SECONDS", 0.2)
    flow.write(units(a=notes("a")))
    flow.start()
    copied = tmp_path / "copied"
    shutil.copytree(flow.state, copied)
    copy = RunDirectory.open(copied, flow.record.run)
    ours, theirs = left(flow.record), left(copy)

    assert end_leftovers(copy) == [theirs.pid]

    assert theirs.wait(CAP) < 0
    assert ours.poll() is None
    moved = tmp_path / "moved"
    flow.state.rename(moved)
    assert end_leftovers(RunDirectory.open(moved, copy.run)) == [ours.pid], "moved, it is still the same run"


def test_units_carry_the_tags_of_their_run(flow: Flow) -> None:
    flow.write(units(a='run = "env > variables"'))
    flow.start()

    told = (flow.directory / "variables").read_text().splitlines()
    assert f"QTUI_RUN={flow.record.run}" in told
    assert f"{RECORD}={record_tag(flow.record.path)}" in told


# -- what units have added ---------------------------------------------------------------------------------


def test_changed_code_of_what_a_unit_has_added_is_seen(flow: Flow) -> None:
    source = """
def step(): return 1
def other(): return 1
def root(context):
    context.add_unit(step, name="step")
    context.add_unit(other, name="other")
    context.add_unit(lambda: 1, name="nameless")
    context.add_command("reads", "cat in.csv", cache={"inputs": ["in.csv"]})
"""
    (flow.directory / "grows.py").write_text(source)
    (flow.directory / "in.csv").write_text("1")
    flow.write(units(root='call = "grows:root"'))
    command = [sys.executable, "-m", "qtui"]
    subprocess.run([*command, "run", "flow.toml", "--ui", "plain"], check=True, capture_output=True, timeout=CAP)
    later = time.time() + 5
    (flow.directory / "grows.py").write_text(source.replace("step(): return 1", "step(): return 2"))
    os.utime(flow.directory / "in.csv", (later, later))

    said = subprocess.run([*command, "resume", "-n"], check=True, capture_output=True, text=True, timeout=CAP).stdout

    assert "stale step  its command or function changed" in said
    assert "stale reads  input in.csv changed" in said
    assert "stale other" not in said
    assert "stale nameless" not in said


def test_nothing_is_opened_again_where_all_has_completed(flow: Flow, capfd: pytest.CaptureFixture[str]) -> None:
    flow.write(units(**CHAIN))
    assert main(["run", "flow.toml", "--ui", "plain"]) == 0
    before = flow.record.journal.read_bytes()
    assert main(["resume", "--ui", "plain"]) == 0
    assert "nothing to do: all units of run" in capfd.readouterr().err
    assert flow.record.journal.read_bytes() == before
