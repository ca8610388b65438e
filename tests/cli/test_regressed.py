"""What is worse than before in words: calm, cut where a terminal ends, and whole where one would copy it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from test_history_command import Qtui, run_of

from qtui.cli.regressed import regressed_data, regressed_lines
from qtui.core.regress import Flaky, Killed, Missed, Regressions, Slower

MB = 1 << 20


def test_each_kind_says_what_when_and_what_would_help() -> None:
    found = Regressions(
        slower=(Slower("train", 252.0, 125.0, 150.0, 9),),
        flaky=(Flaky("fetch", 3, 4, 10), Flaky("push", 1, 2, 7), Flaky("first", 2, 1, 1)),
        missed=(Missed(("a", "b", "c", "d"), "output x is missing"),),
        killed=(Killed(("grid[n=1]",), int(3.9 * 1024 * MB), 4096 * MB, True), Killed(("b",), MB, 2 * MB, False)),
    )
    assert list(regressed_lines(found)) == [
        "slower: train 4m12s, usually 2m05s (p90 2m30s of 9 runs)",
        "flaky: fetch completed at try 3 (retries in 4 of 10 runs)",
        "flaky: push (retries in 2 of 7 runs)",
        "flaky: first completed at try 2",
        "cache missed, though no input changed: a, b, c and 1 more: output x is missing",
        "killed, probably out of memory: grid[n=1] peaked at 3.9G; "
        'resources.memory = "4G" would keep others from running beside it',
        "killed, probably out of memory: b peaked at 1.0M; "
        'resources.memory = "2M", with a memory_limit, would keep others from running beside it',
    ]
    assert json.loads(json.dumps(regressed_data(found)))["flaky"][1] == {
        "unit": "push",
        "tries": 1,
        "retried": 2,
        "runs": 7,
    }


def test_what_is_too_much_is_counted() -> None:
    found = Regressions(slower=tuple(Slower(f"unit{n}", 9.0, 1.0, 1.0, 3) for n in range(9)))

    assert list(regressed_lines(found, 1)) == ["slower: unit0 9.00s, usually 1.00s (p90 1.00s of 3 runs), and 8 more"]
    assert [line.endswith(", and 6 more") for line in regressed_lines(found)] == [False, False, True]


@pytest.mark.parametrize("width", [20, 40, 80])
def test_lines_end_with_the_terminal_but_not_the_setting_to_copy_and_the_count(width: int) -> None:
    hostile = "x" * 90 + "\x1b[2J"
    found = Regressions(slower=(Slower(hostile, 9.0, 1.0, 1.0, 3),) * 2, killed=(Killed((hostile,), MB, 2 * MB, True),))
    slower, killed = regressed_lines(found, 1, width)

    assert len(slower) == width
    assert slower.endswith(", and 1 more")
    assert 'resources.memory = "2M"' in killed
    assert "\x1b" not in slower + killed


def test_attached_lines_and_reports_of_a_run_compare_it_with_those_before(called: Qtui, state_home: Path) -> None:
    for day in (1, 2, 3):
        run_of(state_home, day, 2.0)
    slow, later = run_of(state_home, 4, 5.0), run_of(state_home, 5, 2.0)
    called("history")  # which has the journals read
    told = "slower: fetch 5.00s, usually 2.00s (p90 2.00s of 3 runs)"

    assert told in called("attach", slow, "--ui", "plain").stdout.splitlines()
    assert "slower" not in called("attach", later, "--ui", "plain").stdout
    assert "slower" not in called("attach", slow, "--ui", "plain", "-q").stdout
    assert "## Worse than before" in called("report", slow).stdout
    (slower,) = json.loads(called("report", slow, "--json", "-").stdout)["regressions"]["slower"]
    assert (slower["unit"], slower["runs"]) == ("fetch", 3)


def test_a_run_tells_at_its_end_what_it_did_not_find_in_the_cache_and_what_it_tried_again(
    called: Qtui, workflow: Callable[..., Path], tmp_path: Path
) -> None:
    flow = workflow(
        """
        [units.pack]
        run = "echo x > out.txt"
        outputs = ["out.txt"]
        cache = {}

        [units.fetch]
        run = "test $QTUI_ATTEMPT -ge $(cat tries)"
        retries = { max = 1, delay = "0s" }
        """
    )
    said = []
    for tries, left in (("1", "x"), ("1", "x"), ("2", "something else")):
        (tmp_path / "tries").write_text(tries)
        said.append(called("run", flow).stdout)
        (tmp_path / "out.txt").write_text(f"{left}\n")
    (tmp_path / "tries").write_text("1")
    said.append(called("run", flow).stdout)

    flaky = "flaky: fetch completed at try 2 (retries in 1 of 3 runs)"
    missed = "cache missed, though no input changed: pack: output out.txt is not as it was left"
    told = [[line for line in text.splitlines() if line.startswith(("flaky", "cache"))] for text in said]
    assert told == [[], [], [flaky], [missed]]
