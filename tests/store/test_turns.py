"""Runs of one workflow in one directory know of each other: real processes, real locks, real kills."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from qtui.core.errors import UsageError
from qtui.store.runlock import RunIsLive
from qtui.store.turns import Turn, take_turn

FLOW = "/flows/build.toml"
CAP = 30.0

TAKING = """
import sys
from pathlib import Path
from qtui.store.turns import take_turn
state, policy, run = sys.argv[1:]
say = lambda *words: print(*words, flush=True)
turn = take_turn(Path(state), "/flows/build.toml", "/flows", policy, lambda: run, tell=lambda text: say("waits", text))
say("taken", turn.run)
sys.stdin.readline()
turn.release()
say("released")
"""


def turn(
    state: Path, policy: str = "refuse", run: str = "here", workflow: str = FLOW, directory: str = "/flows"
) -> Turn:
    return take_turn(state, workflow, directory, policy, lambda: run)


@contextmanager
def another_process(
    state: Path, policy: str = "refuse", run: str = "there", *, says: str = "taken"
) -> Iterator[subprocess.Popen[str]]:
    """A real process that takes its turn; what it says first is read before the next one begins."""
    with subprocess.Popen(
        [sys.executable, "-c", TAKING, str(state), policy, run],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert says in said(process)
            yield process
        finally:
            process.kill()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip()


def end(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    assert said(process) == "released"


def test_a_second_run_is_refused_with_pid_host_and_id_until_the_first_dies(tmp_path: Path) -> None:
    with another_process(tmp_path) as process:
        with pytest.raises(UsageError, match=rf"run there \(process {process.pid} on .*nothing was run") as refused:
            turn(tmp_path)
        assert refused.value.exit_code == 2
        process.send_signal(signal.SIGKILL)
        process.wait()
        turn(tmp_path).release()


def test_released_turns_leave_nothing_behind(tmp_path: Path) -> None:
    first, second = turn(tmp_path, "allow", "one"), turn(tmp_path, "allow", "two")
    first.release()
    with pytest.raises(UsageError, match="run two"):
        turn(tmp_path)
    second.release()
    second.release()
    assert list((tmp_path / "turns").iterdir()) == []


def test_files_of_dead_runs_go_with_the_next_one(tmp_path: Path) -> None:
    with another_process(tmp_path) as process:
        process.kill()
        process.wait()
    assert [path.name for path in (tmp_path / "turns").glob("*.run-*")] != []
    turn(tmp_path).release()
    assert list((tmp_path / "turns").iterdir()) == []


def test_who_is_allowed_begins_at_once_and_is_seen_by_those_who_are_not(tmp_path: Path) -> None:
    with another_process(tmp_path, "refuse") as process:
        allowed = turn(tmp_path, "allow", "beside")
        end(process)
        with pytest.raises(UsageError, match="run beside"):
            turn(tmp_path)
        allowed.release()
        turn(tmp_path).release()


@pytest.mark.parametrize(
    ("workflow", "directory"), [("/flows/other.toml", "/flows"), (FLOW, "/elsewhere"), ("build", "/flows")]
)
def test_another_workflow_or_directory_is_another_matter(tmp_path: Path, workflow: str, directory: str) -> None:
    with_turn = turn(tmp_path)
    turn(tmp_path, workflow=workflow, directory=directory).release()
    with_turn.release()


def test_the_same_file_by_another_way_is_the_same_workflow(tmp_path: Path) -> None:
    (tmp_path / "flows").mkdir()
    (tmp_path / "link").symlink_to("flows")
    with_turn = turn(tmp_path, workflow=str(tmp_path / "flows" / "a.toml"), directory=str(tmp_path / "flows"))
    with pytest.raises(UsageError, match="run here"):
        turn(tmp_path, workflow=str(tmp_path / "link" / "a.toml"), directory=str(tmp_path / "link"))
    with_turn.release()


def test_those_who_wait_have_their_turns_in_the_order_of_arrival(tmp_path: Path) -> None:
    with (
        another_process(tmp_path, "allow", "one") as one,
        another_process(tmp_path, "queue", "two", says="waits for run one (process ") as two,
        another_process(tmp_path, "queue", "three", says=" and 1 more to end") as three,
    ):
        end(one)
        assert said(two) == "taken two"
        while f"waits for run two (process {two.pid} on " not in (line := said(three)):
            assert line.startswith("waits")
        end(two)
        assert said(three) == "taken three"
        end(three)


def test_one_who_waited_and_died_holds_nobody_up(tmp_path: Path) -> None:
    with (
        another_process(tmp_path, "refuse", "one") as one,
        another_process(tmp_path, "queue", "two", says="waits for run one (process ") as two,
        another_process(tmp_path, "queue", "three", says=" and 1 more to end") as three,
    ):
        two.kill()
        assert " and 1 more to end" not in said(three)
        one.kill()
        assert said(three) == "taken three"


def test_one_who_waits_is_in_the_way_of_one_who_does_not(tmp_path: Path) -> None:
    first = turn(tmp_path, run="first")
    with another_process(tmp_path, "queue", says="waits for run first"):
        first.release()
        with pytest.raises(UsageError):
            turn(tmp_path)


def test_who_is_interrupted_while_waiting_leaves_the_queue(tmp_path: Path) -> None:
    first = turn(tmp_path, run="first")
    with another_process(tmp_path, "queue", says="waits for run first") as process:
        process.send_signal(signal.SIGINT)
        process.wait(CAP)
    assert list((tmp_path / "turns").glob("*.wait-*")) == []
    first.release()


def test_a_unit_does_not_wait_for_the_run_that_it_belongs_to(tmp_path: Path) -> None:
    first = turn(tmp_path, run="outer")
    with pytest.raises(UsageError, match="both would wait for ever"):
        take_turn(tmp_path, FLOW, "/flows", "queue", "inner", inside="outer")
    first.release()


def test_a_run_that_goes_on_is_not_in_its_own_way_but_live_if_somebody_else_has_it(tmp_path: Path) -> None:
    with another_process(tmp_path, run="again") as process:
        with pytest.raises(RunIsLive, match=f"process {process.pid}"):
            take_turn(tmp_path, FLOW, "/flows", "queue", "again")
        process.kill()
        process.wait()
    take_turn(tmp_path, FLOW, "/flows", "refuse", "again").release()


def test_of_many_at_once_one_has_its_turn(tmp_path: Path) -> None:
    taken: list[Turn] = []
    refused: list[UsageError] = []

    def attempt(number: int) -> None:
        try:
            taken.append(turn(tmp_path, run=f"run{number}"))
        except UsageError as error:
            refused.append(error)

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(CAP)
    assert (len(taken), len(refused)) == (1, 15)
    assert all(f"run {taken[0].run} " in str(error) for error in refused)
    taken[0].release()


def test_a_place_that_is_not_ones_own_is_refused_in_words(tmp_path: Path) -> None:
    def faults() -> Iterator[Callable[[], object]]:
        yield lambda: (tmp_path / "a" / "turns").mkdir(parents=True, mode=0o700) or (tmp_path / "a/turns").chmod(0o777)
        yield lambda: ((tmp_path / "b").mkdir(), (tmp_path / "b" / "turns").symlink_to(tmp_path))
        yield lambda: (tmp_path / "c").write_text("a file")

    for name, fault in zip("abc", faults(), strict=True):
        fault()
        with pytest.raises(UsageError, match=f"{name}.turns"):
            turn(tmp_path / name)
