"""Secrets are masked wherever a run shows or records what units say."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from engine_waiting import GENEROUS, Start, until

from qtui.core.events import ConfirmRequested, UnitProgress, UnitRetrying, Warned
from qtui.core.model import Argv, Call, ExecutionMode, QuantumUnit, RetryPolicy, Shell, UnitState
from qtui.core.stimuli import ApproveRequested
from qtui.engine.engine import Engine
from qtui.engine.output import routed_output

SECRET = "swordfish-4711"
CALLING = [ExecutionMode.THREAD, ExecutionMode.ASYNC, ExecutionMode.PROCESS]
MB = 1 << 20


def call(mode: ExecutionMode, function: Any, id: str = "unit", **keys: Any) -> QuantumUnit:
    if mode is not ExecutionMode.ASYNC:
        return QuantumUnit(id=id, action=Call.of(function), mode=mode, **keys)

    async def in_loop(context):
        await asyncio.sleep(0)
        return function(context)

    return QuantumUnit(id=id, action=Call.of(in_loop), mode=mode, **keys)


def program(text: str, id: str = "unit", **keys: Any) -> QuantumUnit:
    return QuantumUnit(id=id, action=Argv((sys.executable, "-I", "-S", "-c", text)), **keys)


def shell(text: str, id: str = "unit", **keys: Any) -> QuantumUnit:
    return QuantumUnit(id=id, action=Shell((text,)), **keys)


def finish(engine: Engine) -> Engine:
    assert engine.wait(GENEROUS) is not None
    return engine


def log_of(engine: Engine, number: int = 0) -> str:
    return engine.logs.read(number, 1, 0, MB).data.decode()


def record_of(engine: Engine) -> str:
    return repr([record.event for record in engine.feed().take(0)])


@pytest.mark.parametrize("mode", CALLING)
def test_what_a_function_prints_is_masked_also_when_it_comes_in_pieces(start: Start, mode: ExecutionMode) -> None:
    def talk(context):
        print(f"whole {SECRET}")
        for piece in ("in ", "sword", "fish-", "4711", " pieces"):
            sys.stdout.write(piece)
            sys.stdout.flush()
        context.log(f" {SECRET} logged")
        print("and to the end: sword", end="")

    with routed_output():
        engine = finish(start(call(mode, talk), secrets=(SECRET,)))

    assert log_of(engine) == "whole ***\nin *** pieces *** logged\nand to the end: sword"


def test_what_a_command_prints_is_masked_and_so_is_its_result(start: Start) -> None:
    text = (
        "import os, time\n"
        "for piece in (b'in sword', b'fish-', b'4711 pieces\\n'):\n"
        "    os.write(1, piece)\n"
        "os.write(1, b'to the end: sword')"
    )
    engine = finish(start(program(text), secrets=(SECRET,)))

    assert engine.results[0] == {"exit_code": 0, "stdout": "in *** pieces\nto the end: sword"}
    assert log_of(engine) == "in *** pieces\nto the end: sword"


def test_what_a_command_prints_to_stderr_is_masked(start: Start) -> None:
    engine = finish(start(shell(f"echo {SECRET} >&2"), secrets=(SECRET,)))

    assert log_of(engine) == "***\n"


def test_the_last_line_of_a_failed_command_is_masked(start: Start) -> None:
    engine = finish(start(shell(f"echo refused: {SECRET} >&2; exit 6"), secrets=(SECRET,)))

    error = engine.view().unit(0).error
    assert error is not None
    assert error.last_line == "refused: ***"
    assert SECRET not in record_of(engine)


def test_what_comes_through_a_terminal_is_masked(start: Start) -> None:
    engine = finish(
        start(shell(f"printf sword; sleep 0.1; printf '%s\\n' fish-4711 {SECRET}", pty=True), secrets=(SECRET,))
    )

    assert log_of(engine) == "***\n***\n"


def test_a_command_that_prints_a_lot_is_masked_throughout(start: Start) -> None:
    text = f"import os\nfor n in range(3000): os.write(1, b'x' * n + b'{SECRET}' + b'y' * (n % 7))"
    engine = finish(start(program(text, log_max=64 * MB), secrets=(SECRET, "another that does not come")))

    data = engine.logs.read(0, 1, 0, 16 * MB).data
    assert data == b"".join(b"x" * n + b"***" + b"y" * (n % 7) for n in range(3000))


def test_a_prompt_shows_while_the_command_waits(start: Start, tmp_path: Path) -> None:
    go = tmp_path / "go"
    engine = start(shell(f"printf words; while ! test -e {go}; do sleep 0.01; done"), secrets=(SECRET,))

    until(lambda: log_of(engine) == "words", "all of the prompt is shown, also what might begin a secret")

    go.touch()
    finish(engine)


def test_units_of_one_worker_do_not_share_what_is_held_back(start: Start) -> None:
    def begin():
        print("sword", end="")

    def end():
        print("fish-4711")

    units = [
        call(ExecutionMode.PROCESS, begin, "begin"),
        call(ExecutionMode.PROCESS, end, "end", dependencies=("begin",)),
    ]
    engine = finish(start(*units, workers=1, secrets=(SECRET,)))

    assert [log_of(engine, 0), log_of(engine, 1)] == ["sword", "fish-4711\n"]


@pytest.mark.parametrize("mode", CALLING)
def test_what_is_recorded_of_a_function_is_masked(start: Start, mode: ExecutionMode) -> None:
    def fail(context):
        context.progress(1, 2, f"with {SECRET}")
        context.record_metric("note", f"a {SECRET}")
        context.record_metric("size", 3)
        raise ValueError(f"refused: {SECRET}")

    unit = call(mode, fail, retry=RetryPolicy(max=1, delay=0))
    engine = finish(start(unit, secrets=(SECRET,)))

    end = engine.view().unit(0).finished
    assert end is not None and end.error is not None
    assert end.error.message == "refused: ***"
    assert "refused: ***" in end.error.traceback
    assert dict(end.metrics) == {"note": "a ***", "size": 3}
    events = [record.event for record in engine.feed().take(0)]
    assert [event.message for event in events if isinstance(event, UnitProgress)] == ["with ***"]
    assert [event.error.message for event in events if isinstance(event, UnitRetrying)] == ["refused: ***"]
    assert SECRET not in record_of(engine)


@pytest.mark.parametrize("mode", CALLING)
def test_the_names_of_errors_are_masked(start: Start, mode: ExecutionMode) -> None:
    def fail(context):
        raise type(f"Refused_{SECRET}", (type(f"Any_{SECRET}", (ValueError,), {}),), {})("why")

    engine = finish(start(call(mode, fail), secrets=(SECRET,)))

    end = engine.view().unit(0).finished
    assert end is not None and end.error is not None
    assert end.error.type == "Refused_***"
    assert "Any_***" in end.error.bases
    assert SECRET not in record_of(engine)


@pytest.mark.parametrize("mode", CALLING)
def test_a_secret_in_quotes_is_masked_in_log_and_record(start: Start, mode: ExecutionMode) -> None:
    secret = "sword\\fish'\ntrident"

    def fail(context):
        print(json.dumps({"token": secret}), [secret])
        raise KeyError(secret)

    with routed_output():
        engine = finish(start(call(mode, fail), secrets=(secret,)))

    assert log_of(engine).splitlines()[0] == """{"token": "***"} ["***"]"""
    assert "trident" not in record_of(engine) + log_of(engine)


def test_questions_warnings_and_causes_are_masked(start: Start) -> None:
    engine = start(
        QuantumUnit(id="asks", action=Shell(("true",)), confirm=f"Push with {SECRET}?"),
        program("", "missing", cwd=f"/nowhere/{SECRET}"),
        secrets=(SECRET,),
    )
    engine.warn(-1, f"beware of {SECRET}")
    until(lambda: "Push" in record_of(engine), "it asks")
    engine.post(ApproveRequested((0,), cause=f"approved by {SECRET}"))
    finish(engine)

    events = [record.event for record in engine.feed().take(0)]
    assert [event.question for event in events if isinstance(event, ConfirmRequested)] == ["Push with ***?"]
    assert [event.message for event in events if isinstance(event, Warned)] == ["beware of ***"]
    assert SECRET not in record_of(engine)
    assert SECRET not in log_of(engine, 1)


def test_what_goes_from_unit_to_unit_is_not_changed(start: Start) -> None:
    make = QuantumUnit(id="make", action=Call.of(lambda: SECRET))
    text = 'cp "$QTUI_NEEDS" "$QTUI_RESULT"'
    engine = finish(start(make, shell(text, "use", dependencies=("make",)), secrets=(SECRET,)))

    assert engine.view().unit(1).state is UnitState.COMPLETED
    assert engine.results[1] == {"make": SECRET}


def test_no_process_shows_a_secret_among_its_arguments(start: Start, tmp_path: Path) -> None:
    go = tmp_path / "go"

    def wait(context):
        while not go.exists():
            time.sleep(0.01)

    engine = start(
        shell(f"while ! test -e {go}; do sleep 0.01; done"),
        call(ExecutionMode.PROCESS, wait, "wait"),
        secrets=(SECRET,),
    )
    until(lambda: len(psutil.Process().children(recursive=True)) >= 5, "keepers, a worker and a command are there")

    lines = [line for child in psutil.Process().children(recursive=True) for line in _cmdline(child)]
    go.touch()
    finish(engine)

    assert lines
    assert not [line for line in lines if SECRET in line]


def _cmdline(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
