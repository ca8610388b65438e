"""Commands: what they are given, what becomes of their output, and how they end."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import psutil
import pytest
from engine_waiting import GENEROUS, Start, until

from qtui.core.events import UnitFinished
from qtui.core.model import Argv, QuantumUnit, Shell, UnitState
from qtui.core.stimuli import CancelRequested
from qtui.engine.engine import Engine

MB = 1 << 20
MUCH = (1024 if os.environ.get("QTUI_SOAK") else 192) * MB
"""Several times what qtui may use for it."""


def shell(text: str, **keys) -> QuantumUnit:
    return QuantumUnit(id="command", action=Shell((text,)), **keys)


def python(text: str, **keys) -> QuantumUnit:
    return QuantumUnit(id="command", action=Argv((sys.executable, "-I", "-S", "-c", text)), **keys)


def end_of(engine: Engine) -> UnitFinished:
    assert engine.wait(GENEROUS * 3) is not None
    end = engine.view().unit(0).finished
    assert end is not None
    return end


def log_of(engine: Engine) -> str:
    return engine.logs.read(0, 1, 0, MB).data.decode()


def test_stdin_is_empty_and_the_session_is_not_ours(start: Start) -> None:
    engine = start(shell("cat; ps -o sid= -p $$"))

    assert end_of(engine).state is UnitState.COMPLETED
    assert int(log_of(engine)) != os.getsid(0)


def test_a_command_inherits_no_descriptor_but_its_output(start: Start) -> None:
    engine = start(shell("ls /proc/self/fd | tr '\\n' ' '"))

    assert end_of(engine).state is UnitState.COMPLETED
    assert log_of(engine).split() == ["0", "1", "2", "3"], "the third is that of ls itself"


def test_signals_are_as_a_shell_would_have_them(start: Start) -> None:
    engine = start(shell("grep -E 'Sig(Ign|Blk)' /proc/self/status | cut -f2"))

    assert end_of(engine).state is UnitState.COMPLETED
    internal = 3 << 31  # glibc's posix_spawn ignores its own two signals
    assert {int(mask, 16) & ~internal for mask in log_of(engine).split()} == {0}


def test_with_pty_a_command_has_a_terminal_and_its_lines_end_as_written(start: Start) -> None:
    engine = start(
        shell("test -t 1 && test -t 2 && ! test -t 0 && stty size < /dev/tty && printf 'a\\nb\\n'", pty=True)
    )

    assert end_of(engine).state is UnitState.COMPLETED
    assert log_of(engine) == "24 120\na\nb\n"
    assert engine.results[0]["stdout"] == "24 120\na\nb\n"


def test_a_unit_may_choose_the_signal_that_stops_it(start: Start, tmp_path: Path) -> None:
    text = "trap 'echo interrupted; exit 0' INT; trap '' TERM; echo ready; while :; do sleep 0.01; done"
    engine = start(shell(text, stop_signal="INT", grace=GENEROUS))
    until(lambda: "ready" in log_of(engine), "the trap is set")

    engine.post(CancelRequested((0,)))

    assert end_of(engine).state is UnitState.CANCELED
    assert "interrupted" in log_of(engine)


def test_a_stopped_command_can_be_canceled(start: Start) -> None:
    engine = start(shell("echo ready; kill -STOP $$; sleep 300", grace=GENEROUS))
    until(lambda: "ready" in log_of(engine), "it runs")

    engine.post(CancelRequested((0,)))

    assert end_of(engine).state is UnitState.CANCELED


def test_the_signal_that_killed_a_command_is_named(start: Start) -> None:
    by_exec, in_shell = start(shell("kill -KILL $$")), start(shell("sh -c 'kill -SEGV $$'; exit $?"))

    error = end_of(by_exec).error
    assert error is not None and error.message == "killed by signal 9 (SIGKILL, probably out of memory)"
    assert error.exit_code == -9
    error = end_of(in_shell).error
    assert error is not None and error.message == "exit 139 (signal 11 (SIGSEGV) inside)"


def test_output_that_a_child_writes_after_its_parent_ended_is_not_lost(start: Start) -> None:
    engine = start(shell("(sleep 0.1; echo late) &"))

    assert end_of(engine).state is UnitState.COMPLETED
    assert log_of(engine) == "late\n"


def test_much_output_costs_qtui_no_memory(start: Start) -> None:
    engine = start(shell(f"yes 'all work and no play makes Jack a dull boy' | head -c {MUCH}", log_max=MB))
    before = peak = psutil.Process().memory_info().rss
    while engine.wait(0.02) is None:
        peak = max(peak, psutil.Process().memory_info().rss)

    assert end_of(engine).state is UnitState.COMPLETED
    assert peak - before < 64 * MB
    assert engine.logs.read(0, 1, 0, 0).size == MUCH
    path = engine.logs.existing(0, 1)
    assert path is not None and path.stat().st_size < 1.1 * MB
    assert len(engine.results[0]["stdout"]) == 64 * 1024


def test_a_line_without_end_and_binary_output_are_harmless(start: Start) -> None:
    text = f"import os\nfor _ in range({MUCH >> 20}): os.write(1, b'\\x00\\xff\\x1b]52;c;' * (1 << 17))"
    engine = start(python(text, log_max=MB))
    before = psutil.Process().memory_info().rss

    assert end_of(engine).state is UnitState.COMPLETED
    assert psutil.Process().memory_info().rss - before < 64 * MB
    assert engine.logs.read(0, 1, 0, 0).size == 9 * MUCH >> 3
    assert b"bytes of output were dropped here" in engine.logs.read(0, 1, MB // 2, 100).data


def test_many_short_commands_use_as_many_keepers_as_workers(start: Start) -> None:
    units = [QuantumUnit(id=f"c{number}", action=Shell(("echo $PPID",))) for number in range(40)]
    engine = start(*units, workers=3)

    assert engine.wait(GENEROUS) is not None
    parents = {engine.results[number]["stdout"] for number in range(40)}
    assert 1 <= len(parents) <= 3


def test_units_are_more_killable_than_qtui_and_as_nice_as_asked(start: Start) -> None:
    own = int(Path("/proc/self/oom_score_adj").read_text())
    engine = start(shell("cat /proc/self/oom_score_adj; nice"), nice=7)

    assert end_of(engine).state is UnitState.COMPLETED
    assert [int(line) for line in log_of(engine).split()] == [
        min(1000, own + 300),
        os.getpriority(os.PRIO_PROCESS, 0) + 7,
    ]
    (keeper,) = (child for child in psutil.Process().children(recursive=True) if child.name() == "qtui-keeper")
    assert int(Path(f"/proc/{keeper.pid}/oom_score_adj").read_text()) == own


@pytest.mark.parametrize(
    ("argv", "code", "text"),
    [
        (("no-such-program",), 127, "cannot start no-such-program: No such file or directory"),
        (("/etc",), 126, "cannot start /etc: Permission denied"),
    ],
)
def test_what_cannot_be_started_says_why(start: Start, argv: tuple[str, ...], code: int, text: str) -> None:
    error = end_of(start(QuantumUnit(id="command", action=Argv(argv)))).error

    assert error is not None
    assert (error.exit_code, error.message) == (code, text)


def test_a_missing_directory_is_named(start: Start, tmp_path: Path) -> None:
    error = end_of(start(shell("true", cwd=str(tmp_path / "nowhere")))).error

    assert error is not None
    assert error.message == f"cannot start sh: in {tmp_path}/nowhere: No such file or directory"


def test_a_warden_that_was_killed_is_replaced(start: Start) -> None:
    units = [
        QuantumUnit(id=f"c{n}", action=Shell(("sleep 0.3",)), dependencies=(f"c{n - 1}",) if n else ())
        for n in range(3)
    ]
    engine = start(*units)
    until(lambda: [c for c in psutil.Process().children() if c.name() == "qtui-warden"], "it works")
    (warden,) = (child for child in psutil.Process().children() if child.name() == "qtui-warden")

    os.kill(warden.pid, signal.SIGKILL)

    assert engine.wait(GENEROUS) is not None
    assert {str(state) for state in engine.view().states} == {"completed"}


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("echo out; echo wrong >&2; exit 6", "wrong"),
        ("echo wrong >&2; echo out; exit 6", "wrong"),
        ("echo out; exit 6", "out"),
        ("echo said; echo; echo '   '; exit 6", "said"),
        ("printf 'no end of line'; exit 6", "no end of line"),
        ("printf '10%%\\r100%%\\r\\n'; exit 6", "100%"),
        ("printf '\\033[31mred\\033[0m \\033]0;title\\007text\\n'; exit 6", "red text"),
        ("head -c 90000 /dev/zero | tr '\\0' x >&2; exit 6", "x" * 300),
        ("echo cannot go on; echo '::progress 61/100 rows'; exit 6", "cannot go on"),
        ("exit 6", ""),
    ],
)
def test_the_error_of_a_failed_command_has_its_last_line(start: Start, text: str, last: str) -> None:
    error = end_of(start(shell(text))).error

    assert error is not None
    assert (error.exit_code, error.last_line) == (6, last)


def test_of_several_commands_the_last_line_is_that_of_the_one_that_failed(start: Start) -> None:
    error = end_of(
        start(QuantumUnit(id="command", action=Shell(("echo one >&2", "echo two; exit 6", "echo three"))))
    ).error

    assert error is not None
    assert (error.message, error.last_line) == ("exit 6 in command 2 of 3", "two")
