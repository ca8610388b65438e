"""``qtui status`` as text: what stands first, what is cut, and that nothing is claimed which is not so."""

from __future__ import annotations

import json
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from told import Told, command

from qtui.attached import AttachedSession
from qtui.cli.rundata import Starts, run_data
from qtui.cli.status import MOST_ROWS, cluster_words, status_lines, unit_lines
from qtui.cli.why import scene_of
from qtui.core.events import (
    ConfirmRequested,
    JournalChanged,
    LateResult,
    RunPaused,
    RunResumed,
    UnitReady,
    UnitReset,
    UnitRetrying,
    UnitSilent,
    UnitStale,
    UnitStarted,
    UnitSubmitted,
)
from qtui.core.forecast import forecast
from qtui.core.model import ExecutionMode, RunState, UnitError
from qtui.core.options import RunOptions
from qtui.core.samples import ClusterWorker
from qtui.core.settling import CUT as BY_SIGNAL
from qtui.core.why import Reasons
from qtui.tui.forecaster import Told as Expected
from qtui.tui.format import ASCII, UNICODE


def lines_of(told: Told, now: float = 163.0, width: int = 80, **keys: bool) -> list[str]:
    return list(status_lines("20260102-030405-abcd", told.view, reasons_of(told), now, UNICODE, width, **keys))


def reasons_of(told: Told, **options: Any) -> Reasons:
    reasons = Reasons(told.view.plan, RunOptions(**options))
    reasons.update(told.view)
    return reasons


def test_running_units_stand_first_with_their_time() -> None:
    told = Told(command("prepare"), command("embed"), command("publish", "embed"))
    told.starts("prepare").ends("prepare").starts("embed", at=103.0)

    assert lines_of(told) == [
        "flow  20260102-030405-abcd",
        "running for 0:01:03",
        "3 units: 1 pending, 1 running, 1 completed",
        "",
        "▸ run   embed     1:00",
        "∙ wait  publish         needs embed",
        "✓ ok    prepare   0:02",
    ]


def test_the_end_has_the_exit_code_and_failures_stand_before_successes() -> None:
    told = Told(command("good"), command("bad")).starts("good").ends("good").fails("bad").over(RunState.FAILED, 1)
    lines = lines_of(told)

    assert lines[1] == "failed after 0:00:10, exit code 1"
    assert [line.split()[2] for line in lines[4:]] == ["bad", "good"]
    assert lines[4].endswith("exit 3")


def test_an_allowed_failure_is_counted_apart_and_stands_behind_what_waits() -> None:
    told = Told(command("bad"), command("lint", allow_failure=True), command("below", "bad"))
    told.fails("lint").fails("bad")
    lines = lines_of(told)

    assert lines[2] == "3 units: 1 pending, 1 failed, 1 failed (allowed)"
    assert [line.split()[:3] for line in lines[4:]] == [
        ["✗", "FAIL", "bad"],
        ["∙", "wait", "below"],
        ["×", "fail", "lint"],
    ]
    assert "allowed" in lines[-1]


def test_a_run_whose_process_is_gone_says_so_and_what_helps() -> None:
    told = Told(command("cut"), command("later", "cut")).starts("cut")
    lines = lines_of(told, now=9e9, lost=True)

    assert lines[1] == "lost after at least 0:00:01"
    assert lines[2] == "the process that ran it is gone: qtui resume 20260102-030405-abcd"
    assert lines[3] == "2 units: 1 pending, 1 interrupted"
    assert lines[5] == "⊘ cut   cut           ran when its process was lost"


def test_how_long_a_unit_ran_at_least_is_told_where_that_tells_anything() -> None:
    told = Told(command("a"), command("b")).starts("a", at=101.0).starts("b", at=123.5)

    assert lines_of(told, now=9e9, lost=True)[-2:] == [
        "⊘ cut   a         ran when its process was lost, for at least 0:22",
        "⊘ cut   b         ran when its process was lost",
    ]


def test_what_waited_for_another_try_or_a_worker_when_its_run_was_lost_is_interrupted_as_well() -> None:
    told = Told(command("flaky"), command("next"), command("later", "next")).starts("flaky")
    told.add(UnitRetrying(0, 1, 30.0, UnitError("exit", "exit 3", exit_code=3), 102.0))
    told.add(UnitReady(1, 102.0), UnitSubmitted(1, 1, ExecutionMode.COMMAND, 1, 103.0))
    lines = lines_of(told, now=9e9, lost=True)

    assert lines[3] == "3 units: 1 pending, 2 interrupted"
    assert lines[5:7] == [
        "⊘ cut   flaky         waited for another try when its process was lost: exit 3",
        "⊘ cut   next          was about to run when its process was lost",
    ]
    assert "1 ready, 1 retrying" in lines_of(told)[2], "while it goes on, they are what they are"


def test_a_unit_that_is_silent_for_longer_than_it_may_says_so_and_comes_first(state_home: Path) -> None:
    told = Told(command("quick"), command("stuck", stall=15.0)).starts("quick").starts("stuck", at=102.0)
    told.add(UnitSilent(1, 1, 102.0, 117.0))
    assert [line.split() for line in lines_of(told, now=163.0)[4:]] == [
        ["▸", "run", "stuck", "1:01", "silent", "1:01"],
        ["▸", "run", "quick", "1:02"],
    ]
    assert "silent" not in str(lines_of(told, now=163.0, lost=True)), "it runs no more"
    assert "  silent      and idle for 1:01 (stall = 15 s)" in why(told, state_home, "stuck")
    assert run_data("r", told.view, 163.0)["units"][1]["silent"] == 61.0
    told.add(UnitSilent(1, 1, None, 163.0))
    assert "silent" not in str(lines_of(told, now=164.0))


def test_a_unit_that_asks_is_counted_as_one_that_asks() -> None:
    told = Told(command("a", confirm="sure?"), command("b"), command("c"))
    told.add(UnitReady(0, 101.0), ConfirmRequested(0, "sure?", 101.0), UnitReady(1, 101.0))

    assert lines_of(told)[2] == "3 units: 1 asking, 1 pending, 1 ready"


def cut_by_a_signal() -> tuple[Told, Starts]:
    told = Told(command("a"), command("b", "a")).starts("a", at=101.0)
    start = told.events[-1]
    assert isinstance(start, UnitStarted)
    return told.add(UnitReset(0, 2, BY_SIGNAL, 123.0)).over(RunState.INTERRUPTED, 143), {0: start}


def test_what_a_signal_has_cut_is_interrupted_and_has_its_time() -> None:
    told, starts = cut_by_a_signal()
    lines = list(status_lines("r", told.view, reasons_of(told), 200.0, UNICODE, starts=starts))

    assert lines[1:] == [
        "interrupted after 0:00:10, exit code 143",
        "2 units: 1 pending, 1 interrupted",
        "",
        "⊘ cut   a   0:22  cut by a signal",
        "∙ wait  b         needs a",
    ]


def test_what_a_signal_had_cut_waits_again_in_a_run_that_was_resumed() -> None:
    told, _ = cut_by_a_signal()
    told.add(RunResumed(5000.0, "resumed", 1))

    assert "2 units: 2 pending" in lines_of(told, now=5001.0)


def test_what_a_thread_left_behind_took_after_the_end_does_not_count_for_a_run_that_is_resumed() -> None:
    told = Told(command("a")).starts("a").over(RunState.INTERRUPTED, 143)
    told.add(LateResult(0, 1, 0, 500.0), RunResumed(5000.0, "resumed", 1))

    assert lines_of(told, now=5003.0)[1] == "running for 0:00:13"


def test_pausing_stopping_and_a_record_that_cannot_be_written_are_told() -> None:
    told = (
        Told(command("a")).starts("a").add(RunPaused(102.0, "paused by you"), JournalChanged("the disk is full", 103.0))
    )

    assert lines_of(told)[1:3] == [
        "running for 0:01:03, paused",
        "the record cannot be written: the disk is full; nothing new starts",
    ]
    assert lines_of(told.stops())[1].endswith(", stopping: canceled by you")


def test_kept_work_that_is_stale_says_why() -> None:
    told = Told(command("a")).starts("a").ends("a").add(UnitStale(0, "its command changed", 104.0))

    assert lines_of(told)[-1].endswith("stale: its command changed")


def test_of_many_units_those_that_matter_are_shown() -> None:
    told = Told(*(command(f"u{number}") for number in range(100))).starts("u77").fails("u99")
    lines = lines_of(told)

    assert [line.split()[2] for line in lines[4:6]] == ["u77", "u99"]
    assert len(lines) == 4 + MOST_ROWS + 1
    assert lines[-1] == "and 60 more units; --json has them all"


@pytest.mark.parametrize("width", [40, 80])
def test_no_line_is_wider_than_asked_for_and_nothing_steers_the_terminal(width: int) -> None:
    name = "\x1b[2J" + "漢字" * 40 + "\u202e"
    told = Told(command(name), name=name).starts(name).add(RunPaused(102.0, "x")).stops()
    lines = lines_of(told, width=width)

    assert max(map(cell_len, lines)) <= width
    assert all(line.isprintable() for line in lines)


def test_a_terminal_of_ascii_gets_ascii() -> None:
    told = Told(command("a"), command("b" * 90)).starts("a")

    assert all(line.isascii() for line in status_lines("r", told.view, reasons_of(told), 200.0, ASCII))


# -- units that are named ----------------------------------------------------------------------------------


def why(told: Told, state_home: Path, *names: str, now: float = 163.0, lost: bool = False) -> list[str]:
    """What is told of these units of a run that goes on, or is `lost`, with a forecast where that knows anything."""
    directory = told.recorded(state_home)
    with nullcontext() if lost else directory.lock(), closing(AttachedSession(directory, read_only=True)) as session:
        view = session.view()
        made = forecast(view, session.options, now=now)
        scene = scene_of(session, view, Expected(made, view) if not made.unknown else None, now, UNICODE)
        return list(unit_lines(scene, view, [view.plan.numbers[name] for name in names], lost=lost))


def test_a_unit_that_waits_says_once_what_is_in_its_way_and_what_that_waits_for(state_home: Path) -> None:
    units = [command("a"), command("b", "a"), command("c", "b", pools={"gpu": 1}), command("d", pools={"gpu": 1})]
    told = Told(*units).starts("a").starts("d").add(RunPaused(104.0, "by you"))

    assert why(told, state_home, "c") == [
        "∙ wait  c",
        "  waits for 1 of 1 need",
        "    ∙ wait  b  needs a",
        "  which wait for",
        "    ▸ run   a  1:02",
        "  and for",
        "    paused",
        "    pool gpu    1 of 1 in use",
        "      held by   ▸ run   d  1:02",
    ]


def test_what_a_forecast_expects_is_told_of_units_that_wait_and_of_those_that_run(state_home: Path) -> None:
    told = Told(command("a", estimate=600), command("b", "a", estimate=60)).starts("a")
    lines = why(told, state_home, "a", "b")

    assert [line for line in lines if "about" in line] == [
        "  ends        in about 9m",
        "  starts      in about 9m",
    ]


def test_of_a_unit_that_failed_those_that_failed_alike_are_named(state_home: Path) -> None:
    told = Told(*(command(f"sweep[n={n}]", family="sweep") for n in range(12)))
    for n in range(11):
        told.fails(f"sweep[n={n}]", code=3 if n else 4)

    lines = why(told, state_home, "sweep[n=2]")
    assert lines[:4] == [
        "✗ FAIL  sweep[n=2]   0:02",
        "  failed      exit 3",
        "  9 other units failed alike: exit 3",
        "    ✗ FAIL  sweep[n=1]  0:02 exit 3",
    ]
    assert lines[4].split()[2] == "sweep[n=3]"
    assert lines[-1] == "    and 1 more"
    assert not any("alike" in line for line in why(told, state_home / "other", "sweep[n=0]")), "it has another cause"


def test_what_was_cut_stands_as_such_with_what_it_did(state_home: Path) -> None:
    told = Told(command("a"), command("b", "a")).starts("a")

    assert why(told, state_home, "a", "b", lost=True) == [
        "⊘ cut   a",
        "  canceled    interrupted: ran when its process was lost",
        "∙ wait  b",
        "  waits for 1 of 1 need",
        "    ⊘ CANC  a  0:00 interrupted: ran when its process was lost",
        "  and for",
        "    nobody runs the run",
    ]


def test_as_json_units_that_are_named_have_what_is_in_their_way_and_when_they_start_and_end(
    called: Any, state_home: Path
) -> None:
    told = Told(command("a", estimate=1e12), command("b", "a", estimate=60)).starts("a")
    with told.recorded(state_home).lock():
        unit_a, unit_b = json.loads(called("status", "abcd", "a", "b", "--json").stdout)["units"]

    assert (unit_a["why"], unit_b["why"]) == ([], ["needs a"])
    assert unit_a["starts"] is None
    assert unit_a["place"] == ""
    assert unit_a["ends"]["p50"] == pytest.approx(unit_b["starts"]["p50"]) == pytest.approx(unit_b["ends"]["p50"] - 60)


def test_of_a_cluster_its_workers_and_threads_are_told_below_the_counts() -> None:
    told = Told(command("prepare"))
    told.starts("prepare")
    workers = [ClusterWorker(f"w{n}", f"tcp://10.0.0.{n}:1", 4, 0.0, 0, 0, (n,)) for n in range(3)]
    words = cluster_words(workers, "tcp://10.0.0.1:8786\x1b[2J")

    assert words == "cluster tcp://10.0.0.1:8786: 3 workers, 12 threads, 3 units there"
    assert cluster_words(workers[:1], None) == "cluster: 1 worker, 4 threads, 1 unit there"
    assert cluster_words((), "tcp://10.0.0.1:8786") == ""
    silent = [worker._replace(age=40.2) for worker in workers[:2]]
    assert cluster_words(silent, "tcp://10.0.0.1:8786") == (
        "cluster tcp://10.0.0.1:8786: has not answered for 40 s; 2 workers, 8 threads, 2 units there before that"
    )
    without = "cluster tcp://10.0.0.1:8786: has had no workers for 34 s; its units wait until one comes"
    assert cluster_words(workers, "tcp://10.0.0.1:8786", 34.2) == without, "what it had before is old"
    lines = list(status_lines("r", told.view, reasons_of(told), 163.0, UNICODE, cluster=words))
    assert lines[2:4] == ["1 unit: 1 running", words]
