"""What units hand each other: results of commands as JSON, results of needs as files and as arguments."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from engine_waiting import GENEROUS, Start, until

from qtui.core.condition import Condition
from qtui.core.errors import NoResult
from qtui.core.events import UnitFinished, Warned
from qtui.core.model import (
    Argv,
    CachePolicy,
    Call,
    ExecutionMode,
    FromUnit,
    QuantumUnit,
    RetryPolicy,
    Shell,
    UnitError,
    UnitState,
)
from qtui.core.stimuli import RetryRequested
from qtui.engine.engine import Engine
from qtui.engine.workers import exchange

THREAD, SEQUENTIAL, ASYNC, PROCESS = (
    ExecutionMode.THREAD,
    ExecutionMode.SEQUENTIAL,
    ExecutionMode.ASYNC,
    ExecutionMode.PROCESS,
)


def shell(id: str, *texts: str, needs: tuple[str, ...] = (), **keys: Any) -> QuantumUnit:
    return QuantumUnit(id=id, action=Shell(texts), dependencies=needs, **keys)


def call(id: str, function: Any, needs: tuple[str, ...] = (), **keys: Any) -> QuantumUnit:
    return QuantumUnit(id=id, action=Call.of(function, keys.get("args", {})), dependencies=needs, **keys)


def finish(engine: Engine) -> Engine:
    assert engine.wait(GENEROUS) is not None
    return engine


def value(engine: Engine, id: str) -> Any:
    end = engine.view().unit(engine.plan.numbers[id]).finished
    assert end is not None and end.state is UnitState.COMPLETED, end
    return engine.value_of(engine.plan.numbers[id])


def error(engine: Engine, id: str) -> UnitError:
    end = engine.view().unit(engine.plan.numbers[id]).finished
    assert end is not None and end.error is not None, end
    return end.error


def warnings(engine: Engine) -> list[str]:
    return [record.event.message for record in engine.feed().take(0) if isinstance(record.event, Warned)]


def needs_of(engine: Engine, id: str) -> Any:
    """What a unit that prints its ``$QTUI_NEEDS`` was given."""
    return json.loads(value(engine, id)["stdout"])


SHOW = 'cat "$QTUI_NEEDS"'

# -- exit codes --------------------------------------------------------------------------------------------


def test_exit_codes_that_mean_success_are_told_to_dependents(start: Start) -> None:
    engine = finish(
        start(
            shell("changed", "exit 3", success_exit_codes=(0, 3)),
            call("below", lambda context: context["changed"], ("changed",)),
        )
    )

    assert value(engine, "below") == {"exit_code": 3, "stdout": ""}


def test_only_the_codes_that_are_named_mean_success(start: Start) -> None:
    engine = finish(
        start(shell("other", "exit 4", success_exit_codes=(0, 3)), shell("zero", "true", success_exit_codes=(1,)))
    )

    assert error(engine, "other").exit_code == 4
    assert error(engine, "zero").message == "exit 0"


def test_a_sequence_goes_on_after_a_code_that_means_success(start: Start) -> None:
    engine = finish(start(shell("both", "exit 3", "echo on; exit 5", success_exit_codes=(0, 3, 5))))

    assert value(engine, "both") == {"exit_code": 5, "stdout": "on\n"}


# -- $QTUI_RESULT ------------------------------------------------------------------------------------------


def test_json_that_a_command_writes_is_its_result(start: Start) -> None:
    engine = finish(
        start(
            shell("make", """printf '{"rows": [1, 2.5, "\\303\\251"]}' > "$QTUI_RESULT"; echo printed"""),
            call("use", lambda context: context["make"], ("make",), mode=PROCESS),
        )
    )

    assert value(engine, "make") == value(engine, "use") == {"rows": [1, 2.5, "é"]}


def test_what_an_earlier_attempt_wrote_is_not_the_result_of_the_next(start: Start) -> None:
    text = 'if [ "$QTUI_ATTEMPT" = 1 ]; then echo 1 > "$QTUI_RESULT"; exit 1; fi; echo "again, $QTUI_ATTEMPT"'
    engine = finish(start(shell("make", text, retry=RetryPolicy(max=1, delay=0))))

    assert value(engine, "make") == {"exit_code": 0, "stdout": "again, 2\n"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('echo "{" > "$QTUI_RESULT"', "its $QTUI_RESULT is no JSON: Expecting property name"),
        (': > "$QTUI_RESULT"', "its $QTUI_RESULT is no JSON: Expecting value"),
        ('echo NaN > "$QTUI_RESULT"', "its $QTUI_RESULT is no JSON: NaN is no number there"),
        ('echo "[1e999]" > "$QTUI_RESULT"', "its $QTUI_RESULT is no JSON: 1e999 is too large a number"),
        ("""printf '"\\377\\376"' > "$QTUI_RESULT\"""", "its $QTUI_RESULT is no JSON: 'utf-8' codec can't decode"),
        ('head -c 300000 /dev/zero | tr "\\0" "[" > "$QTUI_RESULT"', "its $QTUI_RESULT is no JSON: "),
        ('mkfifo "$QTUI_RESULT"', "its $QTUI_RESULT is not a file"),
        ('mkdir "$QTUI_RESULT"', "its $QTUI_RESULT "),
        ('truncate -s 65M "$QTUI_RESULT"', "its $QTUI_RESULT is larger than 64 MB"),
    ],
)
def test_a_result_that_is_none_fails_the_attempt_and_says_why(start: Start, text: str, message: str) -> None:
    engine = finish(start(shell("make", text)))

    assert error(engine, "make").type == "BadResult"
    assert error(engine, "make").message.startswith(message)


# -- $QTUI_NEEDS -------------------------------------------------------------------------------------------


def test_a_command_is_given_the_results_of_its_needs_that_are_json(start: Start) -> None:
    engine = finish(
        start(
            call("plain", lambda: {"rows": (1, None, "é")}),
            call("worked", lambda: [1, 2], mode=PROCESS),
            call("odd", lambda: {1, 2}),
            call("far", lambda: Path("x"), mode=PROCESS),
            call("unneeded", lambda: 1),
            shell("said", "echo hi"),
            shell("show", SHOW, needs=("plain", "worked", "odd", "far", "said")),
        )
    )

    assert needs_of(engine, "show") == {
        "plain": {"rows": [1, None, "é"]},
        "worked": [1, 2],
        "said": {"exit_code": 0, "stdout": "hi\n"},
    }


def test_a_family_is_a_list_in_matrix_order_with_null_for_what_has_no_json(start: Start) -> None:
    items = [
        call(f"part[n={n}]", lambda n=n: n * 10 if n != 1 else {n}, family="part", matrix={"n": n}) for n in range(3)
    ]
    engine = finish(start(*items, shell("show", SHOW, needs=("part", "part[n=2]"))))

    assert needs_of(engine, "show") == {"part": [0, None, 20], "part[n=2]": 20}


def test_needs_that_failed_are_left_out(start: Start) -> None:
    engine = finish(
        start(
            shell("bad", "exit 1", allow_failure=True),
            shell("good", "true"),
            shell("show", SHOW, needs=("bad", "good")),
        )
    )

    assert needs_of(engine, "show") == {"good": {"exit_code": 0, "stdout": ""}}


def test_a_command_without_needs_has_no_file_of_them(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QTUI_NEEDS", "of a run around this one")
    engine = finish(start(shell("show", 'echo "${QTUI_NEEDS-none}"')))

    assert value(engine, "show")["stdout"] == "none\n"


def test_units_with_the_same_needs_share_a_file_until_a_need_runs_again(start: Start) -> None:
    runs: list[int] = []
    engine = start(
        call("make", lambda: runs.append(1) or len(runs)),
        *(shell(f"use{n}", f'echo "$QTUI_NEEDS"; {SHOW}', needs=("make",)) for n in range(3)),
    )
    finish(engine)
    paths = {value(engine, f"use{n}")["stdout"].split("\n")[0] for n in range(3)}
    assert len(paths) == 1

    engine.post(RetryRequested((0,), scope="dependents"))
    until(lambda: engine.view().unit(3).generation == 2 and engine.view().state.ended, "all have run again")
    again = value(engine, "use2")["stdout"].split("\n")
    assert again[0] not in paths
    assert json.loads(again[1]) == {"make": 2}


def test_beyond_the_limit_the_output_of_commands_is_left_out_and_then_what_is_largest(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "MOST_BYTES", 3000)
    talk = shell("talk", "head -c 2500 /dev/zero | tr '\\0' x")
    small, large = call("small", lambda: 1), call("large", lambda: "x" * 2900)
    engine = finish(
        start(
            talk,
            small,
            large,
            shell("one", SHOW, needs=("talk", "large")),
            shell("two", SHOW, needs=("small", "large", "talk", "more")),
            call("more", lambda: "y" * 2500),
        )
    )

    assert needs_of(engine, "one") == {"talk": {"exit_code": 0}, "large": "x" * 2900}
    assert needs_of(engine, "two") == {"talk": {"exit_code": 0}, "small": 1, "more": "y" * 2500}
    assert any(text.endswith("left out: the stdout of commands") for text in warnings(engine))
    assert any(text.endswith("left out: the stdout of commands, large") for text in warnings(engine))


def test_files_of_ended_commands_do_not_pile_up(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "IDLE_FILES", 2)
    units = [
        unit
        for n in range(20)
        for unit in (call(f"make{n}", lambda n=n: n), shell(f"use{n}", f'{SHOW} > "$QTUI_RESULT"', needs=(f"make{n}",)))
    ]
    engine = finish(start(*units, workers=2))

    assert [value(engine, f"use{n}") for n in range(20)] == [{f"make{n}": n} for n in range(20)]
    assert len(list((tmp_path / "run0" / "values").iterdir())) <= 4
    engine.close()
    assert not (tmp_path / "run0" / "values").exists()


# -- what a unit is told -----------------------------------------------------------------------------------

TOLD = ("QTUI_CPUS", "QTUI_MEMORY", "QTUI_ATTEMPT")


@pytest.mark.parametrize("mode", [THREAD, ASYNC, PROCESS])
def test_a_function_is_told_its_resources_and_attempt(start: Start, mode: ExecutionMode) -> None:
    def look(context):
        return [context.environment.get(name) for name in TOLD]

    async def look_in_loop(context):
        await asyncio.sleep(0)
        return look(context)

    function = look_in_loop if mode is ASYNC else look
    engine = finish(
        start(
            call("declared", function, mode=mode, cpus=1.5, memory=1 << 30),
            call("plain", function, mode=mode),
        )
    )

    assert value(engine, "declared") == ["1.5", str(1 << 30), "1"]
    assert value(engine, "plain") == [None, None, "1"]


def test_a_command_is_told_its_resources(start: Start) -> None:
    engine = finish(start(shell("declared", 'echo "$QTUI_CPUS $QTUI_MEMORY $QTUI_ATTEMPT"', cpus=4.0, memory=512)))

    assert value(engine, "declared")["stdout"] == "4 512 1\n"


# -- results as arguments ----------------------------------------------------------------------------------

LANES = [THREAD, SEQUENTIAL, ASYNC, PROCESS]


def passing(mode: ExecutionMode, function: Any, id: str = "use", **keys: Any) -> QuantumUnit:
    """A unit of a lane that returns what `function` makes of its arguments."""
    if mode is not ASYNC:
        return call(id, function, mode=mode, **keys)

    async def in_loop(**arguments):
        await asyncio.sleep(0)
        return function(**arguments)

    return QuantumUnit(
        id=id, action=Call(in_loop, wants_context=False), dependencies=keys.pop("needs"), mode=mode, **keys
    )


@pytest.mark.parametrize("mode", LANES)
def test_a_result_can_be_an_argument(start: Start, mode: ExecutionMode) -> None:
    engine = finish(
        start(
            call("make", lambda: [1, 2]),
            call("far", lambda: {"a": 1}, mode=PROCESS),
            *(call(f"part[n={n}]", lambda n=n: n, family="part", matrix={"n": n}) for n in range(3)),
            passing(
                mode,
                lambda rows, far, parts, one, rate: (rows, far, parts, one, rate),
                needs=("make", "far", "part"),
                args={
                    "rows": FromUnit("make"),
                    "far": FromUnit("far"),
                    "parts": FromUnit("part"),
                    "one": FromUnit("part[n=1]"),
                    "rate": 0.5,
                },
            ),
        )
    )

    assert value(engine, "use") == ([1, 2], {"a": 1}, [0, 1, 2], 1, 0.5)


@pytest.mark.parametrize("mode", LANES)
def test_an_argument_from_a_need_without_a_result_fails_naming_state_and_cause(
    start: Start, mode: ExecutionMode
) -> None:
    engine = finish(
        start(
            shell("bad", "exit 7", allow_failure=True),
            passing(mode, lambda rows: rows, needs=("bad",), args={"rows": FromUnit("bad")}),
        )
    )

    assert error(engine, "use").type == "NoResult"
    assert error(engine, "use").message == "bad has no result: it failed (exit 7)"


# -- contexts ----------------------------------------------------------------------------------------------


def look_at_needs(context) -> Any:
    with pytest.raises(NoResult) as raised:
        context["bad"]
    return str(raised.value), context.get_dependency_result("bad"), context.states, context["good"]


@pytest.mark.parametrize("mode", [THREAD, PROCESS])
def test_a_context_tells_how_needs_ended(start: Start, mode: ExecutionMode) -> None:
    engine = finish(
        start(
            shell("bad", "exit 7", allow_failure=True),
            call("good", lambda: 1),
            call("use", look_at_needs, ("bad", "good"), mode=mode),
        )
    )

    assert value(engine, "use") == (
        "bad has no result: it failed (exit 7)",
        None,
        {"bad": UnitState.FAILED, "good": UnitState.COMPLETED},
        1,
    )


def test_a_need_that_timed_out_is_told_as_a_sentence(start: Start) -> None:
    engine = finish(
        start(
            shell("bad", "exec sleep 300", timeout=0.1, allow_failure=True),
            call("good", lambda: 1),
            call("use", look_at_needs, ("bad", "good")),
        )
    )

    assert value(engine, "use")[0].startswith("bad has no result: it timed out")


@pytest.mark.parametrize("mode", [THREAD, PROCESS])
def test_a_handler_is_told_why_a_need_did_not_run(start: Start, mode: ExecutionMode) -> None:
    def look(context):
        with pytest.raises(NoResult) as raised:
            context["skipped"]
        return str(raised.value)

    engine = finish(
        start(
            shell("bad", "exit 7"),
            shell("skipped", "true", needs=("bad",)),
            call("use", look, ("skipped",), mode=mode, when="always"),
        )
    )

    assert value(engine, "use") == "skipped has no result: it was skipped (because bad)"


def test_the_definition_reaches_a_process_with_all_of_its_keys(start: Start) -> None:
    keys: dict[str, Any] = {
        "condition": Condition.parse("true", {}),
        "cache": CachePolicy(inputs=("a",)),
        "pools": {"gpu": 1},
        "cpus": 2.0,
        "outputs": (),
        "stall": 5.0,
        "estimate": 1.0,
        "allow_failure": True,
    }
    engine = finish(start(call("use", lambda context: context.unit, mode=PROCESS, **keys), pools={"gpu": 1}))

    got = value(engine, "use")
    assert {name: getattr(got, name) for name in keys if name != "condition"} == {
        name: item for name, item in keys.items() if name != "condition"
    }
    assert str(got.condition) == "true"


# -- scripts -----------------------------------------------------------------------------------------------


def script(id: str, text: str, *shell: str, **keys: Any) -> QuantumUnit:
    return QuantumUnit(id=id, action=Shell((text,), shell), **keys)


def test_a_shell_with_braces_is_given_a_script(start: Start) -> None:
    engine = finish(
        start(
            script("python", 'import sys\nprint(sys.argv[1:], "é")', "python3", "-I", "{}", "more"),
            script("own", "#!/bin/sh\necho run by its own line", "{}"),
            QuantumUnit(id="two", action=Shell(("echo one", "echo $0 two"), ("sh", "{}"))),
        )
    )

    assert value(engine, "python")["stdout"] == "['more'] é\n"
    assert value(engine, "own")["stdout"] == "run by its own line\n"
    one, two = value(engine, "two")["stdout"].splitlines()
    path, word = two.split()
    assert (one, word) == ("one", "two")
    assert not Path(path).exists()


def test_braces_in_a_text_or_in_the_arguments_of_a_program_stay(start: Start) -> None:
    engine = finish(start(shell("text", "echo {}"), QuantumUnit(id="argv", action=Argv(("echo", "{}")))))

    assert value(engine, "text")["stdout"] == value(engine, "argv")["stdout"] == "{}\n"


def test_ends_are_told_once(start: Start) -> None:
    engine = finish(start(shell("make", 'echo "{" > "$QTUI_RESULT"')))

    assert sum(isinstance(record.event, UnitFinished) for record in engine.feed().take(0)) == 1
