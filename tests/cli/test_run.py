"""``qtui run`` with pipes: outputs, exit codes, bad input, signals, a closed pipe."""

from __future__ import annotations

import signal
import subprocess
import sys

import psutil
import pytest
from json_events import events_of
from terminal import GENEROUS

OK = """
[units.a]
run = "echo from a"
[units.b]
needs = ["a"]
run = "echo from b >&2"
"""

FAILING = """
[units.bad]
run = "echo some output; exit 3"
[units.below]
needs = ["bad"]
run = "true"
[units.beside]
run = "true"
"""

TIMING_OUT = """
[workflow]
grace = 0.1
[units.slow]
run = "sleep 100"
timeout = "200ms"
"""

FALLBACK = """
[units.bad]
run = "exit 1"
fallback = 1
"""


@pytest.mark.parametrize("ui", ["plain", "json"])
@pytest.mark.parametrize(("toml", "code"), [(OK, 0), (FALLBACK, 0), (FAILING, 1), (TIMING_OUT, 1)])
def test_the_exit_code_is_the_same_in_every_output(qtui, workflow, ui: str, toml: str, code: int) -> None:
    result = qtui("run", workflow(toml), "--ui", ui)

    assert result.returncode == code, result.stdout + result.stderr
    assert result.stderr == ""


def test_plain_lines_tell_the_story_and_end_with_a_summary(called, workflow) -> None:
    result = called(workflow(FAILING))

    assert "start bad\n" in result.stdout
    assert "FAIL  bad  " in result.stdout
    assert "    some output\n" in result.stdout
    assert "skip  below  because bad" in result.stdout
    assert result.stdout.count("some output") == 2, "as a block at the end of the unit, and again in the summary"
    assert result.stdout.splitlines()[-1].startswith("flow: failed in ")
    assert "(1 completed, 1 failed, 1 skipped)" in result.stdout.splitlines()[-1]
    assert "\x1b" not in result.stdout
    assert "\r" not in result.stdout


def test_plain_lines_are_coloured_only_when_asked(called, workflow) -> None:
    path = workflow(FAILING)

    assert "\x1b[1;31mFAIL " in called(path, "--color", "always").stdout
    assert "\x1b" not in called(path, FORCE_COLOR="1", NO_COLOR="1").stdout
    assert "\x1b[1;31mFAIL " in called(path, FORCE_COLOR="1").stdout


def test_output_of_units_cannot_steer_the_terminal(called, workflow) -> None:
    hostile = r"""
[units.evil]
run = '''printf '\033]52;c;aGk=\007\033[2J\302\2331m evil \342\200\256 text'; exit 1'''
"""
    result = called(workflow(hostile))

    assert " evil " in result.stdout
    assert not set(result.stdout) & set("\x1b\x07\x9b\u202e")


def test_json_lines_follow_the_documented_format(called, workflow) -> None:
    events = events_of(called("run", workflow(FAILING), "--ui", "json"))

    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert all({"seq", "event", "run", "at"} <= event.keys() for event in events)
    assert events[0]["event"] == "run_started"
    assert [(unit["id"], unit["needs"], unit["mode"]) for unit in events[0]["units"]] == [
        ("bad", [], "command"),
        ("below", ["bad"], "command"),
        ("beside", [], "command"),
    ]
    ends = {event["unit"]: event for event in events if event["event"] == "unit_finished"}
    assert {unit: end["state"] for unit, end in ends.items()} == {
        "bad": "failed",
        "below": "skipped",
        "beside": "completed",
    }
    assert ends["bad"]["error"]["exit_code"] == 3
    assert ends["below"]["cause"] == "because bad"
    assert events[-1]["event"] == "run_finished"
    assert (events[-1]["state"], events[-1]["exit_code"]) == ("failed", 1)
    assert events[-1]["counts"] == {"completed": 1, "failed": 1, "skipped": 1}


def test_matrix_needs_are_written_out_in_the_first_event(called, workflow) -> None:
    toml = """
[units.n]
matrix = { i = [1, 2] }
run = "echo $QTUI_MATRIX_I"
[units.all]
needs = ["n"]
run = "true"
[units.last]
needs = ["*"]
run = "true"
"""
    events = events_of(called("run", workflow(toml), "--ui", "json"))

    needs = {unit["id"]: unit["needs"] for unit in events[0]["units"]}
    assert needs == {"n[i=1]": [], "n[i=2]": [], "all": ["n[i=1]", "n[i=2]"], "last": ["n[i=1]", "n[i=2]", "all"]}


def test_nothing_but_events_is_on_standard_output(qtui, workflow) -> None:
    noisy = "import os, threading\nprint('at import')\ndef f():\n    os.system('echo from a child')\n"
    noisy += "    t = threading.Thread(target=print, args=('from a thread',))\n    t.start()\n    t.join()\n"
    result = qtui("run", workflow('[units.a]\ncall = "noisy:f"\n', noisy=noisy), "--ui", "json")

    assert events_of(result)[-1]["state"] == "completed"
    assert set(result.stderr.splitlines()) == {"at import", "from a child", "from a thread"}


def test_fail_fast_starts_nothing_new(called, workflow) -> None:
    toml = '[units.a]\nrun = "exit 1"\npriority = 1\n[units.b]\nrun = "true"\n'
    path = workflow(toml)

    events = events_of(called("run", path, "--ui", "json", "-j", "1", "--fail-fast"))
    states = {event["unit"]: event["state"] for event in events if event["event"] == "unit_finished"}
    assert states == {"a": "failed", "b": "canceled"}

    events = events_of(called("run", path, "--ui", "json", "-j", "1", "--keep-going"))
    states = {event["unit"]: event["state"] for event in events if event["event"] == "unit_finished"}
    assert states == {"a": "failed", "b": "completed"}


def test_params_workers_and_directory_come_from_the_command_line(called, workflow, tmp_path) -> None:
    toml = """
[params]
day = { type = "str", required = true }
[units.a]
run = "echo $QTUI_PARAM_DAY"
"""
    path = workflow(toml)

    result = called("-C", path.parent, "run", path.name, "-p", "day=monday", "-j", "3")
    assert "    monday\n" in result.stdout
    assert "3 workers" in result.stdout
    assert called("run", path).returncode == 2


def test_a_dry_run_runs_nothing(called, workflow, tmp_path) -> None:
    toml = '[units.a]\nrun = "touch here"\n[units.b]\nneeds = ["a"]\nrun = "touch there"\n'
    result = called("run", "-n", workflow(toml))

    assert result.returncode == 0
    assert [line.split()[-3:] for line in result.stdout.splitlines()[-2:]] == [
        ["a", "touch", "here"],
        ["b", "touch", "there"],
    ]
    assert not (tmp_path / "here").exists()


BAD_FILES = {
    "malformed TOML": ("[units.a\nrun = 'x'\n", ":1"),
    "wrong type": ("[units.a]\nrun = 7\n", ":2"),
    "no unit": ("[workflow]\nname = 'x'\n", "no unit"),
    "unknown key": ("[units.a]\nrun = 'x'\ntimout = 3\n", ':3: units.a.timout: unknown key (did you mean "timeout"?)'),
    "missing module": ("[units.a]\ncall = 'no_such_module:f'\n", ":2"),
    "missing function": ("[units.a]\ncall = 'steps:nope'\n", ":2"),
    "cycle": ("[units.a]\nrun='x'\nneeds=['b']\n[units.b]\nrun='x'\nneeds=['a']\n", "a needs b needs a"),
    "unknown need": ("[units.fetch]\nrun='x'\n[units.b]\nrun='x'\nneeds=['fecth']\n", 'did you mean "fetch"?'),
}


@pytest.mark.parametrize("command", ["run", "check", "graph"])
@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_gets_a_message_with_its_place_and_nothing_is_run(called, workflow, command, name: str) -> None:
    toml, expected = BAD_FILES[name]
    path = workflow(toml, steps="def other(): pass\n")

    result = called(command, path)

    assert result.returncode == 2
    assert result.stdout == ""
    assert expected in result.stderr
    assert "flow.toml" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["nosuch.toml"], "nosuch.toml"),
        (["run"], "required: WORKFLOW\n"),
        (["chekc", "x.toml"], 'did you mean "check"?'),
        (["run", "flow.toml", "-j", "0"], "0"),
        (["run", "flow.toml", "-p", "novalue"], "NAME=VALUE"),
        (["run", "flow.toml", "-p", "nope=1"], "nope"),
        (["run", "flow.toml", "--ui", "tui"], "terminal"),
        (["run", "flow.toml", "--frobnicate"], "--frobnicate"),
        (["run", "-C", "/no/such/dir", "flow.toml"], "qtui: -C /no/such/dir: No such file or directory"),
        (["run", "-C", "", "flow.toml"], "the path is empty"),
        (["run", "flow.toml", "--state-dir="], "the path is empty"),
    ],
)
def test_a_bad_command_line_gets_a_message(called, workflow, arguments, expected: str) -> None:
    workflow(OK)

    result = called(*arguments)

    assert result.returncode == 2, result.stderr
    assert expected in result.stderr
    assert "Traceback" not in result.stderr


def test_a_unit_that_raises_shows_the_users_part_of_the_traceback_and_other_branches_go_on(called, workflow) -> None:
    path = workflow(
        '[units.bad]\ncall = "steps:bad"\n[units.good]\nrun = "true"\n',
        steps="def bad():\n    raise ValueError('boom')\n",
    )

    result = called(path)

    assert result.returncode == 1
    assert "ValueError: boom" in result.stdout
    assert 'steps.py", line 2, in bad' in result.stdout
    assert "qtui/engine" not in result.stdout
    assert "(1 completed, 1 failed)" in result.stdout


def test_check_and_graph(called, workflow) -> None:
    path = workflow(OK)

    assert "ok, 2 units, 1 need, 2 levels" in called("check", path).stdout
    assert called("graph", path).stdout.split() == ["a", "└─", "b"]
    assert '"a" -> "b";' in called("graph", path, "--format", "dot").stdout
    assert '"needs": [\n        "a"\n      ]' in called("graph", path, "--format", "json").stdout


THREAD = (
    '[units.fetch]\ncall = "steps:f"\nmode = "thread"\ntimeout = "90s"\n[units.safe]\nrun = "true"\ntimeout = "90s"\n'
)


@pytest.mark.parametrize("command", [["check"], ["run", "-n"]])
def test_a_timeout_that_cannot_be_enforced_is_told_beside_the_answer(called, workflow, command) -> None:
    result = called(*command, workflow(THREAD, steps="def f(): pass\n"))

    assert result.returncode == 0
    (warning,) = result.stderr.splitlines()
    assert "flow.toml:1: units.fetch: its timeout of 90 s cannot be enforced" in warning
    assert 'mode = "process"' in warning
    assert "units.fetch" not in result.stdout


def test_a_run_that_takes_too_long_fails_and_says_why(called, workflow) -> None:
    path = workflow('[workflow]\ntimeout = "1s"\n[units.long]\nrun = "sleep 300"\n[units.after]\nneeds = ["long"]\n')

    result = called(path)

    assert result.returncode == 124
    assert "the run timed out after 1 s" in result.stdout.splitlines()[-1]
    assert "(2 canceled)" in result.stdout.splitlines()[-1]


@pytest.fixture
def slow_run(workflow, tmp_path):
    """A run with a command that takes long, in the background."""
    path = workflow(
        '[workflow]\ngrace = 1\n[units.slow]\nrun = "echo up; sleep 300"\n[units.after]\nneeds=["slow"]\nrun="x"\n'
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "qtui", "run", str(path), "--ui", "json"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    for line in process.stdout:
        if '"unit_started"' in line:
            break
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_interrupts_the_run_and_leaves_no_process(slow_run, number, code: int) -> None:
    children = psutil.Process(slow_run.pid).children(recursive=True)
    assert children

    slow_run.send_signal(number)
    rest = slow_run.communicate(timeout=GENEROUS)[0]

    assert slow_run.returncode == code
    assert '"state": "interrupted"' in rest
    assert '"unit_finished"' not in rest, "what a signal cuts has no end"
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


def test_a_closed_pipe_ends_the_output_not_the_run(workflow, tmp_path) -> None:
    path = workflow('[units.a]\nrun = "sleep 0.5"\n[units.b]\nneeds = ["a"]\nrun = "touch done"\n')
    process = subprocess.Popen(
        [sys.executable, "-m", "qtui", "run", str(path), "--ui", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
    )
    process.stdout.readline()
    process.stdout.close()

    assert process.wait(GENEROUS) == 0
    assert process.stderr.read() == b""
    process.stderr.close()
    assert (tmp_path / "done").exists()


def test_an_abandoned_thread_does_not_keep_qtui_from_exiting(qtui, workflow) -> None:
    path = workflow(
        '[units.stuck]\ncall = "steps:stuck"\nmode = "thread"\ntimeout = 0.1\ngrace = 0.1\n',
        steps="import time\ndef stuck():\n    time.sleep(300)\n",
    )

    result = qtui(path)

    assert result.returncode == 1
    assert "abandoned" in result.stdout


def test_logs_are_kept_for_their_owner_only(called, workflow, state_home) -> None:
    called(workflow(OK))

    logs = sorted(state_home.glob("qtui/runs/*/logs/*"))
    assert [path.name for path in logs] == ["a.1.log", "b.1.log"]
    assert [path.read_text() for path in logs] == ["from a\n", "from b\n"]
    assert all(oct(path.stat().st_mode & 0o077) == "0o0" for path in (*logs, logs[0].parent, state_home / "qtui"))


@pytest.mark.parametrize("ui", ["plain", "json"])
def test_output_that_cannot_be_written_ends_the_output_not_the_run(workflow, tmp_path, ui: str) -> None:
    path = workflow('[units.a]\nrun = "touch done"\n')
    with open("/dev/full", "w") as full:  # noqa: PTH123
        result = subprocess.run(
            [sys.executable, "-m", "qtui", "run", str(path), "--ui", ui],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=GENEROUS,
        )  # fmt: skip

    assert result.returncode == 0
    assert result.stderr == "qtui: the output ends here, it cannot be written: No space left on device\n"
    assert (tmp_path / "done").exists()


def test_a_shortage_of_descriptors_fails_units_and_never_hangs(workflow, tmp_path) -> None:
    matrix = f"matrix = {{ i = {list(range(120))} }}"
    path = workflow(f'[workflow]\nworkers = 60\n[units.m]\n{matrix}\nrun = "sleep 0.1"\n')
    limited = [
        "sh",
        "-c",
        'ulimit -n 48; exec "$@"',
        "sh",
        sys.executable,
        "-m",
        "qtui",
        "run",
        str(path),
        "--ui",
        "json",
    ]
    result = subprocess.run(limited, capture_output=True, text=True, timeout=GENEROUS * 2, cwd=tmp_path)

    assert result.returncode == 1, result.stderr
    ends = [event for event in events_of(result) if event["event"] == "unit_finished"]
    assert len(ends) == 120
    assert "Too many open files" in {str(end["error"]["message"]).rpartition(": ")[2] for end in ends if end["error"]}


def test_qtui_leaves_although_a_unit_has_left_a_thread_that_never_ends(qtui, tmp_path) -> None:
    path = tmp_path / "flow.py"
    path.write_text(
        "import asyncio, atexit, time\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from qtui import Workflow\n"
        "atexit.register(lambda: print('farewell'))\n"
        "workflow = Workflow('flow')\n"
        "@workflow.unit(timeout=0.2, grace=0.2)\n"
        "async def waits(context):\n"
        "    await asyncio.to_thread(time.sleep, 1000)\n"
        "@workflow.unit(mode='thread')\n"
        "def leaves(context):\n"
        "    ThreadPoolExecutor().submit(time.sleep, 1000)\n"
    )

    result = qtui(str(path))

    assert result.returncode == 1
    assert result.stdout.endswith("farewell\n")
