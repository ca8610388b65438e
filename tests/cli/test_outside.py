"""Commands on runs of other processes: what they tell of one that goes on, one that is over, and one that was lost."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from errno import ENOSPC
from pathlib import Path

import pytest
from terminal import GENEROUS
from told import Told, command

from qtui.cli.logs import LOOK_SECONDS
from qtui.core.events import ConfirmRequested, UnitReady
from qtui.core.model import RunState
from qtui.core.stimuli import ApproveRequested, CancelRequested, CancelRunRequested, PauseRequested, UnpauseRequested
from qtui.engine.caplog import lost_line
from qtui.store.commands import Command, CommandQueue
from qtui.store.rundir import RunDirectory

RUN = "20260102-030405-abcd"
Qtui = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def over(state_home: Path) -> RunDirectory:
    """A run that has failed; `bad` has written something."""
    told = Told(command("good"), command("bad")).starts("good").ends("good").fails("bad").over(RunState.FAILED, 1)
    directory = told.recorded(state_home)
    directory.logs.mkdir(mode=0o700, exist_ok=True)
    (directory.logs / "bad.1.log").write_bytes(b"first\n\x1b]0;owned\x07\x1b[31mred\x1b[0m\nlast")
    return directory


@pytest.fixture
def lost(state_home: Path) -> RunDirectory:
    """A run whose process was killed while `cut` ran."""
    return Told(command("cut"), command("later", "cut")).starts("cut").recorded(state_home)


@pytest.fixture
def following(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Begin ``qtui`` with a pipe to read from."""
    begun: list[subprocess.Popen[bytes]] = []

    def begin(*arguments: str) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-m", "qtui", *arguments]
        begun.append(subprocess.Popen(words, cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE))
        return begun[-1]

    yield begin
    for process in begun:
        process.kill()
        process.communicate()


@contextmanager
def answered(directory: RunDirectory, answer: str = "done") -> Iterator[list[Command]]:
    """While this holds, somebody runs the run and gives this answer to whatever is asked; what was asked, in order."""
    asked: list[Command] = []
    over = threading.Event()

    def answer_all() -> None:
        with closing(CommandQueue(directory.commands)) as queue:
            while not over.is_set():
                for each in queue.pending():
                    asked.append(each)
                    queue.answer(each.id, answer)
                over.wait(0.01)

    thread = threading.Thread(target=answer_all)
    with directory.lock():
        thread.start()
        try:
            yield asked
        finally:
            over.set()
            thread.join()


# -- status ------------------------------------------------------------------------------------------------


def test_status_of_a_run_that_is_over(called: Qtui, over: RunDirectory) -> None:
    result = called("status")

    assert result.returncode == 0
    assert result.stdout.splitlines()[:3] == [
        f"flow  {RUN}",
        "failed after 0:00:10, exit code 1",
        "2 units: 1 completed, 1 failed",
    ]


def test_status_in_a_pipe_cuts_nothing(called: Qtui, state_home: Path) -> None:
    why = f"publish {'x' * 200}?"
    Told(command("a")).add(UnitReady(0, 101.0), ConfirmRequested(0, why, 101.0)).recorded(state_home)

    assert why in called("status").stdout


def test_status_as_json_names_the_run_its_state_counts_and_units(called: Qtui, over: RunDirectory) -> None:
    data = json.loads(called("status", RUN[:12], "--json").stdout)

    assert (data["run"], data["state"], data["counts"]) == (RUN, "failed", {"completed": 1, "failed": 1})
    assert {unit["id"]: unit["state"] for unit in data["units"]} == {"good": "completed", "bad": "failed"}


def test_status_with_wait_returns_the_exit_code_of_the_run(called: Qtui, over: RunDirectory) -> None:
    assert called("status", "abcd", "--wait").returncode == 1


def test_status_of_a_run_whose_process_is_gone_says_what_helps(called: Qtui, lost: RunDirectory) -> None:
    result = called("status")

    assert result.returncode == 0
    assert f"the process that ran it is gone: qtui resume {RUN}" in result.stdout
    assert json.loads(called("status", "--json").stdout)["state"] == "lost"
    assert called("status", "--wait").returncode == 3


def test_a_run_that_is_not_there_is_a_usage_error(called: Qtui, over: RunDirectory) -> None:
    result = called("status", "nonsense")

    assert result.returncode == 2
    assert "nonsense" in result.stderr
    assert "Traceback" not in result.stderr


# -- logs --------------------------------------------------------------------------------------------------


def test_logs_into_a_pipe_are_byte_for_byte(called: Qtui, over: RunDirectory) -> None:
    assert called("logs", RUN, "bad").stdout == "first\n\x1b]0;owned\x07\x1b[31mred\x1b[0m\nlast"


def test_logs_on_a_terminal_keep_colours_and_nothing_else(terminal, over: RunDirectory) -> None:
    screen = terminal("logs", RUN, "bad", "--color", "always")

    assert screen.exit_code() == 0
    assert b"owned" not in screen.raw
    assert b"\x1b[31mred" in screen.raw
    assert screen.raw.decode().split() == ["first", "\x1b[31mred\x1b[0m", "last"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["bat"], 'there is no unit "bat" in this run (did you mean "bad"?)'),
        (["bad", "--try", "2"], "bad has had 1 try"),
        (["*"], '"*" means 2 units: good, bad; name one'),
    ],
)
def test_logs_of_what_is_not_there_is_a_usage_error(
    called: Qtui, over: RunDirectory, words: list[str], told: str
) -> None:
    result = called("logs", RUN, *words)

    assert (result.returncode, result.stdout) == (2, "")
    assert told in result.stderr


def test_logs_of_a_unit_that_never_ran_say_so(called: Qtui, lost: RunDirectory) -> None:
    result = called("logs", RUN, "later", "-f")

    assert (result.returncode, result.stdout) == (0, "")
    assert "later has written nothing: it is pending" in result.stderr


def test_logs_follow_an_attempt_until_it_ends(following, state_home: Path) -> None:
    told = Told(command("a"), command("b")).starts("a").starts("b")
    directory = told.recorded(state_home)
    directory.logs.mkdir(mode=0o700)
    with (directory.logs / "a.1.log").open("wb", buffering=0) as log, directory.lock():
        log.write(b"one\n")
        process = following("logs", RUN, "a", "--follow")
        assert process.stdout.readline() == b"one\n"
        log.write(b"two\n")
        assert process.stdout.readline() == b"two\n"
        log.write(b"three")
        told.ends("a").goes_on(directory)

        assert process.communicate(timeout=GENEROUS)[0] == b"three"
        assert process.returncode == 0


def test_logs_follow_shows_where_output_was_lost_though_that_was_shown_already(following, state_home: Path) -> None:
    told = Told(command("a")).starts("a")
    directory = told.recorded(state_home)
    directory.logs.mkdir(mode=0o700)
    with (directory.logs / "a.1.log").open("wb", buffering=0) as log, directory.lock():
        log.write(b"one\n" * 100)
        process = following("logs", RUN, "a", "--follow")
        assert [process.stdout.readline() for _ in range(100)] == [b"one\n"] * 100
        time.sleep(3 * LOOK_SECONDS)  # it waits for more
        log.seek(-len(lost_line(ENOSPC)), os.SEEK_END)
        log.write(lost_line(ENOSPC))
        assert process.stdout.readline() == b"\n"
        assert process.stdout.readline() == b"[qtui: output was lost here: No space left on device]\n"
        log.write(b"two\n")
        assert process.stdout.readline() == b"two\n"


def test_logs_follow_waits_for_a_unit_that_has_not_begun(following, state_home: Path) -> None:
    told = Told(command("a"))
    directory = told.recorded(state_home)
    directory.logs.mkdir(mode=0o700)
    with directory.lock():
        process = following("logs", RUN, "a", "-f")
        (directory.logs / "a.1.log").write_bytes(b"begun\n")
        told.starts("a").goes_on(directory)
        assert process.stdout.readline() == b"begun\n"
        told.ends("a").goes_on(directory)
        assert process.wait(GENEROUS) == 0


def test_logs_of_a_run_that_is_lost_meanwhile_end(following, state_home: Path) -> None:
    directory = Told(command("a")).starts("a").recorded(state_home)
    directory.logs.mkdir(mode=0o700)
    (directory.logs / "a.1.log").write_bytes(b"begun\n")
    with directory.lock():
        process = following("logs", RUN, "a", "-f")
        assert process.stdout.readline() == b"begun\n"

    assert process.communicate(timeout=GENEROUS)[0] == b""


def test_lines_that_tell_of_progress_are_output_like_any_other(called: Qtui, workflow: Callable[[str], Path]) -> None:
    plain = called("run", workflow("[units.a]\nrun = 'echo begun; echo ::progress 1/2 rows; echo ended'\n"))
    run = json.loads(called("status", "--json").stdout)["run"]
    written = "begun\n::progress 1/2 rows\nended\n"

    assert called("logs", run, "a").stdout == written
    assert "".join(f"    {line}\n" for line in written.splitlines()) in plain.stdout


def test_status_waits_for_the_end_and_returns_the_code_of_the_run(following, state_home: Path) -> None:
    told = Told(command("a")).starts("a")
    directory = told.recorded(state_home)
    with directory.lock():
        process = following("status", RUN, "--wait", "--json")
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1.0)  # it waits
        told.ends("a").over(RunState.CANCELED, 130).goes_on(directory)
        out, _ = process.communicate(timeout=GENEROUS)

    assert process.returncode == 130
    assert json.loads(out)["state"] == "canceled"


def test_status_says_what_asks_while_it_waits(state_home: Path, tmp_path: Path) -> None:
    told = Told(command("publish")).add(UnitReady(0, 101.0), ConfirmRequested(0, "Publish?", 101.0))
    directory = told.recorded(state_home)
    words = [sys.executable, "-m", "qtui", "status", "--wait"]
    pipe = subprocess.PIPE
    with directory.lock(), subprocess.Popen(words, cwd=tmp_path, stdout=pipe, stderr=pipe) as process:
        assert process.stderr is not None
        silence = threading.Timer(GENEROUS, process.kill)
        silence.start()
        line = process.stderr.readline()  # it comes while the run goes on
        silence.cancel()
        told.starts("publish").ends("publish").over(RunState.COMPLETED, 0).goes_on(directory)
        out, rest = process.communicate(timeout=GENEROUS)

    assert line == f"qtui: publish: Publish? qtui approve {RUN} publish says yes, --yes=publish beforehand\n".encode()
    assert (process.returncode, rest) == (0, b"")
    assert b"completed after" in out


def test_attach_to_a_lost_run_says_how_long_it_took_at_least(called: Qtui, lost: RunDirectory) -> None:
    result = called("attach")

    assert result.returncode == 3
    assert "flow: lost after at least 1.00s" in result.stdout


# -- cancel, pause, unpause, approve -----------------------------------------------------------------------


def test_without_a_name_the_only_run_that_goes_on_is_asked(called: Qtui, over: RunDirectory, state_home: Path) -> None:
    assert called("pause").stderr.endswith("no run goes on in {}\n".format(state_home / "qtui"))
    with answered(Told(command("cut")).starts("cut").recorded(state_home, "20260102-040405-cafe")) as asked:
        assert called("pause").returncode == 0
        assert [type(each.request) for each in asked] == [PauseRequested]
        canceled = called("cancel")
        assert (canceled.returncode, len(asked)) == (2, 1), "what cannot be taken back is not guessed"
        assert canceled.stderr.endswith("one goes on: qtui cancel 20260102-040405-cafe\n")
        with Told(command("b")).starts("b").recorded(state_home, "20260102-050405-beef").lock():
            several = called("unpause")
    assert several.returncode == 2
    assert "2 runs go on: flow 20260102-050405-beef, flow 20260102-040405-cafe; name one" in several.stderr


@pytest.mark.parametrize("words", [["approve", "publish"], ["cancel", "publish", "s*"], ["status", "publish"]])
def test_a_unit_where_the_run_belongs_is_a_usage_error_that_says_how_to_name_the_run(
    called: Qtui, state_home: Path, words: list[str]
) -> None:
    with Told(command("publish"), command("sweep[n=1]")).starts("publish").recorded(state_home).lock():
        result = called(*words)

    assert result.returncode == 2
    command_line = shlex.join(["qtui", words[0], RUN, *words[1:]])
    assert result.stderr.endswith(f"(these go on: flow {RUN}); for the unit: {command_line}\n")


def test_what_is_neither_a_run_nor_a_unit_is_said_to_be_no_run(called: Qtui, lost: RunDirectory) -> None:
    assert "for the unit" not in called("status", "nonsense").stderr
    assert "for the unit" not in called("approve", "cut").stderr, "no run goes on"


def test_logs_without_a_run_are_those_of_the_latest(called: Qtui, over: RunDirectory) -> None:
    assert called("logs", "bad").stdout.startswith("first\n")


@pytest.mark.parametrize(
    ("words", "requests"),
    [
        (["cancel", RUN], [CancelRunRequested]),
        (["cancel", RUN, "cut"], [CancelRequested]),
        (["pause", RUN], [PauseRequested]),
        (["unpause", RUN], [UnpauseRequested]),
        (["approve", RUN, "cut", "later"], [ApproveRequested, ApproveRequested]),
    ],
)
def test_what_is_asked_for_reaches_the_runner_with_who_asked(
    called: Qtui, lost: RunDirectory, words: list[str], requests: list[type]
) -> None:
    with answered(lost) as asked:
        result = called(*words)

    assert result.returncode == 0, result.stderr
    assert [type(each.request) for each in asked] == requests
    assert all("@" in each.who for each in asked)
    names = [f"{name}: done" for name in words[2:]] or ["done"]
    assert result.stdout.splitlines() == names


def test_a_request_for_a_unit_is_for_the_attempt_that_was_seen(called: Qtui, lost: RunDirectory) -> None:
    with answered(lost) as asked:
        called("cancel", RUN, "cut")

    assert [(each.request.units, each.attempt) for each in asked] == [((0,), 1)]


def test_too_late_is_an_answer_and_no_success(called: Qtui, lost: RunDirectory) -> None:
    with answered(lost, "too late: cut had ended"):
        result = called("cancel", RUN, "cut")

    assert (result.returncode, result.stdout) == (1, "cut: too late: cut had ended\n")


def test_what_is_over_is_too_late(called: Qtui, over: RunDirectory) -> None:
    result = called("cancel", RUN)

    assert (result.returncode, result.stdout) == (1, "too late: the run has ended\n")


def test_nobody_answers_for_a_lost_run_and_nothing_is_left_for_the_one_who_resumes_it(
    called: Qtui, lost: RunDirectory
) -> None:
    result = called("pause", RUN)

    assert result.returncode == 1
    assert result.stdout == f"nobody answers: the process that ran it is gone: qtui resume {RUN}\n"
    assert not lost.commands.exists()


def test_approve_without_units_is_for_all_that_ask(called: Qtui, state_home: Path) -> None:
    told = Told(command("a"), command("b"), command("c"))
    told.add(UnitReady(1, 101.0), ConfirmRequested(1, "Sure?", 101.0))
    with answered(told.recorded(state_home)) as asked:
        result = called("approve", RUN)

    assert result.stdout == "b: done\n"
    assert [each.request.units for each in asked] == [(1,)]


def test_approve_where_nobody_asks_does_nothing(called: Qtui, lost: RunDirectory) -> None:
    with answered(lost) as asked:
        result = called("approve", RUN)

    assert (result.returncode, result.stdout, asked) == (1, "refused: no unit asks\n", [])


def test_an_unknown_unit_is_a_usage_error_and_nothing_is_asked(called: Qtui, lost: RunDirectory) -> None:
    with answered(lost) as asked:
        result = called("cancel", RUN, "cut", "latter")

    assert (result.returncode, asked) == (2, [])
    assert 'did you mean "later"?' in result.stderr


# -- report ------------------------------------------------------------------------------------------------


def test_reports_are_files_that_appear_whole(called: Qtui, over: RunDirectory, tmp_path: Path) -> None:
    result = called("report", RUN, "--junit", "out.xml", "--json", "out.json", "--md", "-")

    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("# flow: failed\n")
    failure = ET.parse(tmp_path / "out.xml").find(".//testcase[@name='bad']/failure")
    assert failure is not None
    assert failure.text == "first\nred\nlast"
    data = json.loads((tmp_path / "out.json").read_text())
    assert [(each["unit"], each["tail"][-1]) for each in data["failures"]] == [("bad", "last")]
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith((".out", "out"))) == [
        "out.json",
        "out.xml",
    ]


def test_a_report_that_cannot_be_written_says_where(called: Qtui, over: RunDirectory) -> None:
    result = called("report", RUN, "--junit", "nowhere/out.xml")

    assert result.returncode == 2
    assert result.stderr == "qtui: nowhere/out.xml cannot be written: No such file or directory\n"


def test_a_report_goes_where_a_link_leads(called: Qtui, over: RunDirectory, tmp_path: Path) -> None:
    (tmp_path / "latest.md").symlink_to("today.md")

    called("report", RUN, "--md", "latest.md")

    assert (tmp_path / "latest.md").is_symlink()
    assert (tmp_path / "today.md").read_text().startswith("# flow: failed\n")


def test_a_report_to_a_descriptor_is_written_there(called: Qtui, over: RunDirectory) -> None:
    assert called("report", RUN, "--md", "/dev/fd/1").stdout.startswith("# flow: failed\n")


def test_only_one_report_goes_to_standard_output(called: Qtui, over: RunDirectory) -> None:
    assert called("report", RUN, "--json", "-", "--md", "-").returncode == 2
