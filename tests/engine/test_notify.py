"""The notify command is told of what a person wants to know, and never harms the run."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from engine_waiting import GENEROUS, Start, until

from qtui.core.definition import Notify
from qtui.core.events import BrakeChanged, ConfirmRequested, RunPaused, Warned
from qtui.core.model import Call, QuantumUnit, Shell
from qtui.core.plan import ExecutionPlan
from qtui.core.stimuli import CancelRequested, PauseRequested, UnpauseRequested
from qtui.engine import notify as notifying
from qtui.engine.bus import EventBus, Origin
from qtui.engine.engine import Engine
from qtui.engine.notify import Notifier, message_of

RUN = f"test-{os.getpid()}"  # what `start` calls its runs
TELL = ("sh", "-c", 'echo "$QTUI_EVENT,$QTUI_RUN,$QTUI_UNIT,$QTUI_STATE,$QTUI_MESSAGE" >> told; echo heard')


@pytest.fixture
def bus() -> EventBus:
    return EventBus()


@pytest.fixture
def notifier(bus: EventBus, tmp_path: Path) -> Iterator[Callable[..., list[str]]]:
    """Begin to tell of the run that `start` makes; gives the list of warnings."""
    made: list[Notifier] = []

    def begin(
        run: tuple[str, ...] = TELL, id: str = RUN, environment: dict[str, str] | None = None, secrets=(), **keys
    ) -> list[str]:
        warnings: list[str] = []
        made.append(
            Notifier(
                Notify(run=run, **keys),
                bus,
                run=id,
                directory=str(tmp_path),
                log=tmp_path / "notify.log",
                environment={**os.environ, **(environment or {})},
                warn=warnings.append,
                secrets=secrets,
            )
        )
        return warnings

    yield begin
    for each in made:
        each.close()


def shell(text: str, id: str = "a", *needs: str, **keys) -> QuantumUnit:
    return QuantumUnit(id=id, action=Shell((text,)), dependencies=needs, **keys)


def told(directory: Path) -> list[str]:
    return (directory / "told").read_text().splitlines() if (directory / "told").exists() else []


def wait(engine: Engine) -> None:
    assert engine.wait(GENEROUS) is not None


def test_failures_and_the_end_are_told(start: Start, bus: EventBus, notifier, tmp_path: Path) -> None:
    warnings = notifier()
    engine = start(shell("exit 3"), shell("true", "b"), shell("exit 1", "c", allow_failure=True), bus=bus)
    wait(engine)

    until(lambda: len(told(tmp_path)) == 2, "both are told")
    assert told(tmp_path)[0] == f"failure,{engine.run},a,failed,exit 3"
    assert told(tmp_path)[1].startswith(f"end,{engine.run},,failed,")
    until(lambda: (tmp_path / "notify.log").read_text() == "heard\nheard\n", "their output is kept")
    assert warnings == []


def test_questions_and_pauses_are_told(start: Start, bus: EventBus, notifier, tmp_path: Path) -> None:
    notifier(on=frozenset({"confirm", "pause"}), after=1000.0)
    engine = start(shell("true", confirm="Really?"), bus=bus)
    until(lambda: told(tmp_path), "the question is told, however early")
    assert told(tmp_path) == [f"confirm,{engine.run},a,,Really?"]
    engine.post(PauseRequested())
    engine.post(UnpauseRequested())
    engine.post(CancelRequested((0,)))
    wait(engine)
    assert len(told(tmp_path)) == 1, "everything else has to wait"


def test_another_run_on_the_same_bus_is_none_of_its_business(
    start: Start, bus: EventBus, notifier, tmp_path: Path
) -> None:
    notifier(id="another")
    wait(start(shell("exit 3"), bus=bus))
    assert told(tmp_path) == []


def names_of_children() -> list[str]:
    names = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            names.append(process.name())
    return names


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (("no-such-program", "a b"), "the notify command \"no-such-program 'a b'\" cannot be started"),
        (("sh", "-c", "exit 4"), 'the notify command "exit 4" ended with exit 4; this is told once'),
        (("sh", "-c", "sleep 300 & sleep 300"), 'the notify command "sleep 300 & sleep 300" took more than'),
    ],
)
def test_a_command_that_fails_is_told_once_and_harms_nothing(
    start: Start, bus: EventBus, notifier, monkeypatch: pytest.MonkeyPatch, run: tuple[str, ...], said: str
) -> None:
    monkeypatch.setattr(notifying, "SECONDS", 0.3)
    warnings = notifier(run)
    wait(start(shell("exit 3"), shell("exit 3", "b"), bus=bus))
    until(lambda: warnings, "a warning")
    until(lambda: "sleep" not in names_of_children(), "nothing is left")
    assert [said in warning for warning in warnings] == [True]


def test_a_failure_names_the_log_of_what_was_printed(start: Start, bus: EventBus, notifier, tmp_path: Path) -> None:
    warnings = notifier(("sh", "-c", "./tell.sh"))
    wait(start(shell("exit 3"), bus=bus))
    until(lambda: warnings, "a warning")

    log = tmp_path / "notify.log"
    assert warnings == [
        f'the notify command "./tell.sh" ended with exit 127, its output is in {log}; this is told once'
    ]
    assert "tell.sh" in log.read_text()


def test_what_it_prints_is_kept_for_its_owner_alone_and_without_secrets(
    start: Start, bus: EventBus, notifier, tmp_path: Path
) -> None:
    secret = "sword'fish\\4711"
    text = """exec 2>&1; set -x; printf '%s\\n' "$TOKEN" "$QTUI_MESSAGE" """
    warnings = notifier(("sh", "-c", text), environment={"TOKEN": secret}, secrets=(secret,), on=frozenset({"failure"}))
    wait(start(shell("exit 3"), bus=bus))

    log = tmp_path / "notify.log"
    until(lambda: log.exists() and log.read_text().count("\n") == 3, "the failure is told, and how")
    assert log.read_text().splitlines()[1:] == ["***", "exit 3"]
    assert "4711" not in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600
    assert warnings == []


def test_a_command_that_prints_without_end_fills_no_disk(
    start: Start, bus: EventBus, notifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifying, "SECONDS", 0.5)
    warnings = notifier(("sh", "-c", "exec yes"))
    wait(start(shell("exit 3"), bus=bus))
    until(lambda: warnings, "it was ended")

    log = tmp_path / "notify.log"
    until(lambda: log.stat().st_size <= notifying.LOG_BYTES + 100, "its log is short")
    assert b"bytes of output were dropped here" in log.read_bytes()


def test_nothing_that_a_command_leaves_behind_lives_on(start: Start, bus: EventBus, notifier, tmp_path: Path) -> None:
    left = tmp_path / "left"
    warnings = notifier(
        ("sh", "-c", f"setsid sh -c 'echo $$ >> {left}; exec sleep 300' & while ! test -s {left}; do :; done")
    )
    wait(start(shell("exit 3"), bus=bus))

    until(lambda: left.exists() and left.read_text().strip(), "it has left something")
    until(lambda: not any(map(psutil.pid_exists, map(int, left.read_text().split()))), "that was ended")
    assert warnings == []


def test_a_message_that_no_variable_can_hold_is_told_all_the_same(
    start: Start, bus: EventBus, notifier, tmp_path: Path
) -> None:
    def refuse() -> None:
        raise ValueError("\0 \ud800 " + "€" * 60_000)

    warnings = notifier(on=frozenset({"failure"}))
    wait(start(QuantumUnit(id="a", action=Call.of(refuse)), bus=bus))

    until(lambda: told(tmp_path), "it is told")
    assert "ValueError" in told(tmp_path)[0]
    assert warnings == []


def test_a_log_that_cannot_be_written_is_told(start: Start, bus: EventBus, notifier, tmp_path: Path) -> None:
    (tmp_path / "notify.log").mkdir()
    warnings = notifier()
    wait(start(shell("exit 3"), bus=bus))

    until(lambda: warnings, "a warning")
    (warning,) = warnings
    assert warning.startswith("the notify command ")
    assert warning.endswith(" has output that cannot be kept: Is a directory; this is told once")
    assert told(tmp_path), "the command ran all the same"


def test_many_that_hang_keep_nobody_from_leaving(
    bus: EventBus, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifying, "SECONDS", 0.5)
    hanging = Notifier(
        Notify(run=("sleep", "300")), bus, run=RUN, directory=str(tmp_path), log=None, environment={}, warn=print
    )
    wait(start(*(shell("exit 3", f"u{number}") for number in range(40)), bus=bus))

    before = time.monotonic()
    hanging.close()

    assert time.monotonic() - before < GENEROUS / 2


def test_what_is_told_about_what() -> None:
    plan = ExecutionPlan.build([shell("true")])

    def what(event: object) -> tuple[str, str] | None:
        message = message_of(Origin("r", "r", plan).notice(1, event))  # type: ignore[arg-type]
        return None if message is None else (message.what, message.text)

    assert what(RunPaused(1.0, "paused by you")) == ("pause", "paused by you")
    assert what(ConfirmRequested(0, "Go?", 1.0)) == ("confirm", "Go?")
    assert what(BrakeChanged("tag:net", "held", 3, "", "3 failures in a row", 1.0)) == (
        "pause",
        "tag net: 3 failures in a row",
    )
    assert what(BrakeChanged("tag:net", "open", 1, "", "", 1.0)) is None
    assert what(Warned(0, "silent and idle for 5m", 1.0)) == ("stall", "silent and idle for 5m")
    assert what(Warned(0, "something else", 1.0)) is None
