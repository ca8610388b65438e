"""What units print, between the lines of plain output: as blocks, as it comes, folded, and never as an order."""

from __future__ import annotations

import re

import pytest
from story import Script, Story
from told import command

from qtui.cli.folds import harmless, server_of
from qtui.cli.manner import checked_prefix
from qtui.cli.plain import HEARTBEAT
from qtui.core.errors import UsageError
from qtui.core.events import (
    ConfirmRequested,
    GovernorChanged,
    RunResumed,
    RunStopping,
    UnitReady,
    UnitReset,
    UnitStarted,
    UnitSubmitted,
    Warned,
    WorkersChanged,
)
from qtui.core.model import ExecutionMode, RunState
from qtui.core.options import RunOptions
from qtui.core.settling import UNBEGUN
from qtui.tui.format import time_of_day


def two_units() -> Script:
    """`good` and `bad` run side by side, and print in turns; `good` has to try twice."""
    script = Script(command("good"), command("bad"), command("silent"))
    script.starts("good").prints("good", "first try\n").tries_again("good", at=103.0)
    script.starts("good", at=104.0).starts("bad", at=104.0).starts("silent", at=104.0).ends("silent", at=104.5)
    script.prints("good", "g1\ng", at=105.0).prints("bad", "b1\n", at=106.0).prints("good", "2\n", at=107.0)
    script.ends("good", at=108.0).prints("bad", "last", at=108.5)
    return script.fails_now("bad").over(RunState.FAILED, 1)


@pytest.fixture(scope="module")
def story() -> Script:
    return two_units()


def words_of(text: str) -> list[str]:
    """The lines before the summary, without times and counts."""
    lines = text[: text.index("\n\n")].splitlines()[1:]
    return [re.sub(r"^\S+ \[\d/\d\] ", "", line) for line in lines]


def test_a_block_follows_the_end_of_each_attempt_that_has_printed(story: Script) -> None:
    assert words_of(Story(story).in_lines()) == [
        "start good",
        "retry good  exit 3, again in 2.00s",
        "    first try",
        "start good  (try 2)",
        "start bad",
        "start silent",
        "ok    silent  0.50s",
        "ok    good  4.00s",
        "    g1",
        "    g2",
        "FAIL  bad  5.00s  exit 3",
        "    b1",
        "    last",
    ]


def test_on_a_cluster_the_worker_is_told_and_why_the_run_cannot_go_on() -> None:
    why = "the connection to the cluster was lost"
    script = Script(command("far"), command("tidy", "far", when="always"))
    script.add(UnitReady(0, 101.0), UnitStarted(0, 1, ExecutionMode.CUSTOM, 1, 7, 101.0, "node-3"))
    script.add(RunStopping(104.0, "interrupt", why), UnitReset(0, 2, f"cut: {why}", 105.0))

    assert words_of(Story(script.over(RunState.INTERRUPTED, 1)).in_lines()) == [
        "start far  on node-3",
        f'run   stopping: {why}; 1 unit asked to stop; not run now: 1 unit with when = "always" or "failure"',
        "cut   far  was cut; run it again to finish it",
    ]


@pytest.mark.parametrize("quiet", [False, True])
def test_the_cause_of_a_lost_connection_is_told_once(quiet: bool) -> None:
    why = "the connection to the cluster was lost"
    script = Script(command("a"), command("b")).starts("a").starts("b")
    script.add(RunStopping(104.0, "interrupt", why), *(UnitReset(n, 2, f"cut: {why}", 105.0) for n in range(2)))
    told = Story(script.over(RunState.INTERRUPTED, 1)).in_lines(quiet=quiet)

    assert told.count(why) == 1
    assert told.splitlines()[-1] == "flow: interrupted in 10.0s (2 interrupted)"


def test_why_a_cluster_cannot_be_had_is_told_once_and_nothing_that_had_not_begun_was_asked_to_stop() -> None:
    script = Script(command("a"), command("b"))
    for number in range(2):
        script.add(UnitReady(number, 101.0), UnitSubmitted(number, 1, ExecutionMode.CUSTOM, number + 1, 101.0))
    script.add(RunStopping(104.0, "interrupt", "cannot connect"))
    script.add(UnitReset(0, 2, UNBEGUN, 105.0), UnitReset(1, 2, UNBEGUN, 105.0))

    assert words_of(Story(script.over(RunState.INTERRUPTED, 1)).in_lines()) == ["run   stopping: cannot connect"]


def test_on_a_cluster_a_person_sets_how_many_units_it_is_sent_at_a_time() -> None:
    script = Script(command("a"))
    script.add(GovernorChanged(False, "set by you", 101.0), WorkersChanged(1, "set by you", 101.0, "", 1))
    story = Story(script.over(RunState.COMPLETED, 0))
    story.options = RunOptions(executor="dask")

    assert words_of(story.in_lines()) == [
        "run   the number of units at a time is fixed: set by you",
        "run   1 unit at a time: set by you",
    ]


def test_a_cluster_is_told_of_when_its_workers_change_and_not_when_it_takes_more_units() -> None:
    script = Script(command("a"))
    for target, threads in ((8, 4), (68, 4), (8, 4), (12, 6)):
        script.add(
            WorkersChanged(target, f"follow the cluster: {threads} threads of 2 workers", 101.0, "custom", target)
        )

    assert words_of(Story(script.over(RunState.COMPLETED, 0)).in_lines()) == [
        "run   units follow the cluster: 4 threads of 2 workers",
        "run   units follow the cluster: 6 threads of 2 workers",
    ]


@pytest.mark.parametrize(("output", "before"), [("group", "    "), ("stream", "bad | ")])
def test_output_that_cannot_be_read_is_told_of_where_it_would_stand(story: Script, output: str, before: str) -> None:
    unread = Story(story)
    unread.unread = "the log cannot be read: Permission denied: /logs/1.1.log"
    text = unread.in_lines(output=output)
    assert f"{before}... {unread.unread}" in words_of(text)
    assert f"    {unread.unread}\n" in text[text.index("\n\n") :], "in the summary, too"


def test_streamed_lines_come_when_they_are_whole_and_before_the_end_of_their_unit(story: Script) -> None:
    assert words_of(Story(story).in_lines(output="stream")) == [
        "start good",
        "good | first try",
        "retry good  exit 3, again in 2.00s",
        "start good  (try 2)",
        "start bad",
        "start silent",
        "ok    silent  0.50s",
        "good | g1",
        "bad | b1",
        "good | g2",
        "ok    good  4.00s",
        "bad | last",
        "FAIL  bad  5.00s  exit 3",
    ]


def test_only_the_output_of_failures_is_shown_or_none(story: Script) -> None:
    errors = words_of(Story(story).in_lines(output="errors"))
    assert [line for line in errors if line.startswith("    ")] == ["    b1", "    last"]
    assert "ok    good  4.00s" in errors
    assert not [line for line in words_of(Story(story).in_lines(output="none")) if line.startswith("    ")]


def test_quiet_is_failures_and_the_end(story: Script) -> None:
    for output in ("group", "stream", "errors"):
        told = Story(story).in_lines(quiet=True, output=output)
        assert told.splitlines()[0].endswith("FAIL  bad  5.00s  exit 3")
        assert told.splitlines()[1:3] == ["    b1", "    last"]
        assert told.splitlines()[-1] == "flow: failed in 10.0s (2 completed, 1 failed)"
        assert "good" not in told
    asks = Script(command("publish", confirm="Publish?")).add(
        ConfirmRequested(0, "Publish?", 101.0), Warned(-1, "slow", 102.0)
    )
    told = Story(asks).in_lines(quiet=True)
    assert "publish  needs your yes: Publish?" in told
    assert "qtui approve" in told
    assert "slow" not in told


def test_each_line_has_the_time_of_day_at_which_it_was_there(story: Script) -> None:
    at = {number: time_of_day(number) for number in (105.0, 106.0, 107.0, 108.5)}
    grouped = words_of(Story(story).in_lines(timestamps=True))
    assert [line for line in grouped if line.startswith("    ")][1:] == [
        f"    {at[105.0]} g1",
        f"    {at[105.0]} g2",  # its begin was there
        f"    {at[106.0]} b1",
        f"    {at[108.5]} last",
    ]
    streamed = words_of(Story(story).in_lines(timestamps=True, output="stream"))
    assert f"good | {at[107.0]} g2" in streamed


def test_a_prefix_stands_before_each_line(story: Script) -> None:
    prefix = checked_prefix("<{family} {try}> ")
    assert "<good 2> g1" in words_of(Story(story).in_lines(prefix=prefix))
    assert "<good 2> g1" in words_of(Story(story).in_lines(prefix=prefix, output="stream"))
    assert "g1" in words_of(Story(story).in_lines(prefix=checked_prefix("none"), output="stream"))


@pytest.mark.parametrize(
    ("prefix", "told"), [("{unti}", 'did you mean "unit"'), ("{", "a brace stands alone"), ("{unit!r}", "no {unit}")]
)
def test_a_prefix_that_cannot_be_is_refused(prefix: str, told: str) -> None:
    with pytest.raises(UsageError, match=re.escape(told)):
        checked_prefix(prefix)


def test_github_folds_blocks_and_nothing_else(story: Script) -> None:
    lines = Story(story).in_lines(server="github").splitlines()
    begins = [at for at, line in enumerate(lines) if line.startswith("::group::")]
    assert [lines[at].split("]")[1].split()[:2] for at in begins] == [
        ["retry", "good"],
        ["ok", "good"],
        ["FAIL", "bad"],
    ]
    for begin, end in zip(begins, [at for at, line in enumerate(lines) if line == "::endgroup::"], strict=True):
        assert all(line.startswith("    ") for line in lines[begin + 1 : end])
        assert end > begin + 1
    assert "::" not in Story(story).in_lines(server="github", output="none")


def test_gitlab_folds_have_names_of_their_own(story: Script) -> None:
    told = Story(story).in_lines(server="gitlab")
    begun = re.findall(r"^\x1b\[0Ksection_start:(\d+):(\w+)\[collapsed=true\]\r\x1b\[0K.+$", told, re.MULTILINE)
    ended = re.findall(r"^\x1b\[0Ksection_end:(\d+):(\w+)\r\x1b\[0K$", told, re.MULTILINE)
    assert begun == ended == [("103", "qtui_1"), ("108", "qtui_2"), ("109", "qtui_3")]


def test_the_server_is_known_by_its_variables() -> None:
    assert server_of({"GITHUB_ACTIONS": "true"}) == "github"
    assert server_of({"GITLAB_CI": "true"}) == "gitlab"
    assert server_of({"CI": "true"}) == ""


ORDERS = [
    "::error file=a.py::no",
    " \t ::endgroup::",
    "##[endgroup]",
    "text ##[error]more",
    "###[group]x",
    "##vso[task.setvariable variable=a]b",
    "##teamcity[blockClosed name='a']",
    "section_end:1700000000:qtui_1",
    "\x1b[0Ksection_start:1700000000:mine\r\x1b[0Ktitle",
]
OBEYED = re.compile(r"(?m)^\s*::.*::|##[\w.-]*\[|section_(start|end):")


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("prefix", ["none", "    "])
def test_units_cannot_give_a_ci_server_orders(order: str, prefix: str) -> None:
    assert OBEYED.search(order)
    script = Script(command("evil"), command(f"x{order.strip()}")).starts("evil").prints("evil", f"{order}\n{order}")
    script.fails_now("evil").over(RunState.FAILED, 1)
    for output in ("group", "stream"):
        for color in (False, True):
            told = Story(script).in_lines(output=output, prefix=checked_prefix(prefix), color=color)
            assert not OBEYED.search(told)
            assert "\r" not in told
    assert harmless(harmless(order)) == harmless(order)


def test_ordinary_lines_stay_as_they_are() -> None:
    for line in (
        "std::vector<int>",
        "::progress 61/100 rows",
        "## A heading [link](x)",
        "a section_end of it",
        "10::20",
        "# [x]",
        "array[1]##",
    ):
        assert harmless(line) == line


def test_colours_of_units_stay_where_colours_are_wanted() -> None:
    script = Script(command("a")).starts("a").prints("a", "\x1b[31mred\x1b[0m \x1b[2Jplain\n").ends("a")
    script.over(RunState.COMPLETED, 0)
    assert "    \x1b[31mred\x1b[0m plain\n" in Story(script).in_lines(color=True)
    assert "    red plain\n" in Story(script).in_lines()


def test_progress_bars_are_shown_as_they_stand_in_the_end() -> None:
    script = (
        Script(command("a")).starts("a").prints("a", "10%\r50%\r100%\r\nnext\n").ends("a").over(RunState.COMPLETED, 0)
    )
    assert words_of(Story(script).in_lines())[-2:] == ["    100%", "    next"]


def test_a_large_block_ends_with_where_the_rest_is() -> None:
    script = Script(command("a")).starts("a").prints("a", b"x" * 99 + b"\n").prints("a", (b"y" * 99 + b"\n") * 20_000)
    lines = Story(script.ends("a").over(RunState.COMPLETED, 0)).in_lines().splitlines()
    rest = next(line for line in lines if "more bytes" in line)
    assert re.fullmatch(r"    \.\.\. \d+ more bytes: /logs/0\.1\.log", rest)
    assert sum(len(line) - 3 for line in lines if line.startswith("    ") and "more" not in line) < 1_200_000


def test_a_line_without_an_end_is_not_waited_for_for_ever() -> None:
    script = Script(command("a")).starts("a").prints("a", b"z" * 200_000).prints("a", b"done").ends("a")
    shown = [
        line for line in words_of(Story(script.over(RunState.COMPLETED, 0)).in_lines(output="stream")) if "|" in line
    ]
    assert sum(len(line.removeprefix("a | ")) for line in shown) == 200_004
    assert len(shown) > 1


def test_what_was_cut_prints_nothing_more_once_the_run_goes_on() -> None:
    script = Script(command("a")).starts("a").prints("a", "before\n", at=102.0)
    script.add(RunResumed(103.0, "resumed by you", 4)).prints("a", "of nobody\n", at=104.0).add(
        Warned(-1, "end", 105.0)
    )
    told = Story(script).in_lines(output="stream")
    assert "a | before" in told
    assert "of nobody" not in told


def test_silence_is_broken_by_naming_what_runs() -> None:
    names = [f"u{number}" for number in range(7)]
    script = Script(*map(command, names))
    for name in names:
        script.starts(name)
    script.prints("u0", "", at=102.0).prints("u0", "", at=102.0 + HEARTBEAT).ends("u0", at=200.0)
    still = [line for line in Story(script).in_lines().splitlines() if "still" in line]
    assert still == ["0:01:02 [0/7] still running: u0 1m01s, u1 1m01s, u2 1m01s, u3 1m01s, u4 1m01s and 2 more"]
    assert "still" not in Story(script).in_lines(quiet=True)
