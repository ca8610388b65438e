"""The end of a run on one screen, however much there is to tell."""

from __future__ import annotations

import pytest
from story import Script, Story
from told import command

from qtui.cli.markdown import markdown
from qtui.cli.summary import LOWEST, PAGES, SCREEN, summary_lines
from qtui.core.events import Event, RunStopping, UnitFinished, UnitReady, UnitReset, UnitStarted
from qtui.core.model import ExecutionMode, Fallback, RetryPolicy, RunState, UnitError, UnitState
from qtui.core.options import RunOptions
from qtui.store.pasts import Completion, UnitPast


def failing(*causes: tuple[str, int], lines: int = 3) -> Story:
    """A run whose units fail for these causes, so many for each."""
    names = [(f"{cause}[{number}]", cause) for cause, count in causes for number in range(count)]
    script = Script(*(command(name) for name, _ in names), command("good"), command("below"))
    for place, (name, cause) in enumerate(names):
        script.starts(name).prints(name, "".join(f"line {n} of {name}\n" for n in range(lines)))
        script.fails_now(name, at=103.0 + place, words=f"{cause} of thing {place} in /tmp/{name}")
    script.starts("good", at=101.0).ends("good", at=191.0)
    return Story(script.over(RunState.FAILED, 1)).to_its_end()


def test_failures_of_one_cause_are_told_once_the_most_frequent_first() -> None:
    story = failing(("lost", 1), ("full", 12))
    lines = summary_lines(story, SCREEN)

    assert lines[1:7] == [
        "FAIL full[0]: exit 3",
        "    line 0 of full[0]",
        "    line 1 of full[0]",
        "    line 2 of full[0]",
        "    log: /logs/1.1.log",
        "    and 11 more alike: full[1], full[2], full[3], full[4], full[5] and 6 more",
    ]
    assert "FAIL lost[0]: exit 3" in lines
    assert story.reads == 2
    assert lines[-1] == "flow: failed in 10.0s (1 pending, 1 completed, 13 failed)"


def test_last_lines_get_the_room_that_there_is() -> None:
    story = failing(("long", 1), lines=60)

    assert sum("    line " in line for line in summary_lines(story, PAGES)) == 20
    on_screen = summary_lines(story, SCREEN)
    assert SCREEN - 1 <= len(on_screen) <= SCREEN
    assert "    line 59 of long[0]" in on_screen
    assert all(len(line) <= 30 for line in summary_lines(story, SCREEN, 30) if line.startswith("    line"))


def test_long_paths_and_commands_take_rows_of_the_screen_too(monkeypatch: pytest.MonkeyPatch) -> None:
    story = failing(("one", 4), ("two", 2), ("three", 1), lines=30)
    monkeypatch.setattr(story, "log_path", lambda unit, attempt: f"/home/me/.local/state/{'x' * 90}/{unit}.log")
    for width in (40, 60, 80):
        lines = summary_lines(story, SCREEN, width)
        assert sum(-(-max(1, len(line)) // width) for line in lines) <= SCREEN
        assert any(line.endswith("x/0.log") for line in lines), "a path is whole"


def test_a_screen_holds_it_however_many_causes_and_units_there_are() -> None:
    words = ("red", "green", "blue", "black", "white", "grey", "brown", "pink", "gold", "teal")
    story = failing(*((word, 300) for word in words), lines=1)
    for rows in (24, 40, 60, PAGES):
        lines = summary_lines(story, rows)
        assert len(lines) <= rows
    lines = summary_lines(story, SCREEN)
    told = [line for line in lines if line.startswith("FAIL")]
    assert told == ["FAIL red[0]: exit 3", "FAIL green[0]: exit 3", "FAIL blue[0]: exit 3"]
    assert f"and 7 more causes of 2100 failures: qtui report {story.run}" in lines
    assert sum(line.startswith("FAIL") for line in summary_lines(story, PAGES)) == len(words)


def test_markdown_tells_a_cause_once_and_names_the_others() -> None:
    story = failing(("full", 30), ("lost", 1))
    text = markdown(story.run, story.view(), story.now(), lambda unit: [f"of {unit.id}"])

    assert [line for line in text.splitlines() if line.startswith("### ")] == ["### full\\[0\\]", "### lost\\[0\\]"]
    assert text.count("of full[") == 1
    assert "\nAnd 29 more alike: full\\[1\\], full\\[2\\], " in text
    assert ", full\\[20\\] and 9 more\n" in text
    many = failing(*((f"{a}{b}", 1) for a in "abcdefgh" for b in "ijklmnop"))
    assert "And 14 more causes of 14 failures, which are in the table.\n" in markdown(
        many.run, many.view(), many.now(), lambda _: []
    )


def test_of_thousands_of_causes_only_the_logs_are_read_that_are_shown() -> None:
    names = ["".join("abcdefghij"[int(digit)] for digit in f"{n:04}") for n in range(5000)]
    script = Script(*map(command, names))
    events: list[Event] = []
    for number, name in enumerate(names):
        error = UnitError("exit", "exit 3", exit_code=3, last_line=f"cannot find {name}")
        events.append(UnitReady(number, 101.0))
        events.append(UnitStarted(number, 1, ExecutionMode.COMMAND, 1, 7, 101.0))
        events.append(UnitFinished(number, 1, 1, UnitState.FAILED, 102.0, 1.0, error))
    story = Story(script.add(*events).over(RunState.FAILED, 1))
    lines = summary_lines(story, SCREEN)

    assert len(lines) <= SCREEN
    shown = sum(line.startswith("FAIL") for line in lines)
    assert 0 < story.reads == shown < SCREEN / 2
    assert any(line.startswith(f"and {5000 - shown} more causes of {5000 - shown} failures") for line in lines)


def test_what_took_longest_is_told_if_it_was_long() -> None:
    script = Script(*(command(f"u{n}") for n in range(8)))
    for n in range(8):
        script.starts(f"u{n}", at=101.0).ends(f"u{n}", at=101.0 + 10 * n)
    story = Story(script.over(RunState.COMPLETED, 0)).to_its_end()

    assert "slowest: u7 1m10s, u6 1m00s, u5 50.0s, u4 40.0s, u3 30.0s" in summary_lines(story)
    assert "slowest: u7 1m10s, u6 1m00s, u5 50.0s" in summary_lines(story, width=44), "none is cut"
    assert not any("slowest" in line for line in summary_lines(story, brief=True))
    short = Script(command("a"), command("b")).starts("a").ends("a", at=101.5).starts("b").ends("b", at=101.4)
    assert summary_lines(Story(short.over(RunState.COMPLETED, 0))) == ["", "flow: completed in 10.0s (2 completed)"]


def test_a_run_that_could_not_go_on_says_why() -> None:
    why = "the connection to the cluster was lost"
    script = Script(command("a")).starts("a")
    script.add(RunStopping(104.0, "interrupt", why), UnitReset(0, 2, f"cut: {why}", 105.0))
    story = Story(script.over(RunState.INTERRUPTED, 1)).to_its_end()

    assert summary_lines(story)[-1] == f"flow: interrupted in 10.0s: {why} (1 interrupted)"
    assert not any("--address" in line for line in summary_lines(story)), "it was made for the run"
    story.options = RunOptions(executor="dask", address="tcp://head:8786")
    assert f"qtui resume {story.run} --address ADDRESS does so on another cluster" in summary_lines(story)


def test_what_is_worse_than_before_stands_before_the_counts_and_leaves_room_for_failures() -> None:
    names = [f"u{n}" for n in range(9)]
    script = Script(*(command(name, retry=RetryPolicy(max=1)) for name in names), command("hungry"), command("steady"))
    for name in names:
        script.starts(name).tries_again(name).starts(name, at=104.0).ends(name, at=114.0)
    error = UnitError("exit", "exit 137", exit_code=137)
    script.starts("steady").ends("steady")
    script.starts("hungry").ends("hungry", UnitState.FAILED, error=error, peak_memory=700 << 20)
    story = Story(script.over(RunState.FAILED, 1)).to_its_end()
    past = UnitPast.of(Completion("", float(n), 2.0) for n in range(3))
    pasts = {**dict.fromkeys(names, past), "steady": UnitPast.of(Completion("", n, 2.0, attempts=2) for n in range(3))}

    def kinds(rows: int, **how: bool) -> list[str]:
        lines = summary_lines(story, rows, 80, pasts=pasts, **how)
        return [line.partition(":")[0] for line in lines if line.startswith(("slower:", "flaky:", "killed,"))]

    killed = "killed, probably out of memory"
    assert kinds(PAGES) == ["slower"] * 3 + ["flaky"] * 3 + [killed]
    assert kinds(SCREEN, brief=True) == [killed]
    assert kinds(LOWEST) == ["slower", "flaky", killed]
    lines = summary_lines(story, LOWEST, 80, pasts=pasts)
    assert "slower: u0 10.0s, usually 2.00s (p90 2.00s of 3 runs), and 8 more" in lines
    assert "flaky: u0 completed at try 2 (retries in 1 of 4 runs), and 8 more" in lines, "steady is no news"


def test_fallbacks_and_failures_that_may_be_are_no_plain_success() -> None:
    script = Script(command("a", fallback=Fallback(1)), command("lint", allow_failure=True), command("c"))
    script.starts("a").ends("a", fallback=True).starts("lint").fails_now("lint").starts("c").ends("c", cached=True)
    lines = summary_lines(Story(script.over(RunState.COMPLETED, 0)).to_its_end())

    assert "FAIL lint: exit 3 (allowed)" in lines
    assert "went on with their fallbacks: a" in lines
    assert lines[-1].endswith("(2 completed (1 from the cache, 1 by fallback), 1 failed (allowed))")
    assert not any("qtui resume" in line for line in lines)


def test_what_a_person_has_set_aside_is_no_fallback_and_the_counts_add_up() -> None:
    lint = command("lint", allow_failure=True)
    script = Script(command("a", fallback=Fallback(1)), command("stuck"), command("b"), lint)
    script.starts("a").ends("a", fallback=True).ends("stuck", fallback=True, cause="marked as done by you")
    script.ends("b", UnitState.SKIPPED, cause="skipped by you").starts("lint").fails_now("lint")
    lines = summary_lines(Story(script.over(RunState.COMPLETED, 0)).to_its_end())

    assert "went on with their fallbacks: a" in lines
    assert "marked as done by you: stuck" in lines
    assert "skipped by you: b" in lines
    assert lines[-1].endswith("(2 completed (1 by fallback, 1 marked as done), 1 failed (allowed), 1 skipped)")


def test_allowed_failures_come_behind_those_that_count() -> None:
    names = [f"lint{n}" for n in range(5)]
    script = Script(*(command(name, allow_failure=True) for name in names), command("bad"))
    for name in (*names, "bad"):
        script.starts(name).fails_now(name)
    lines = summary_lines(Story(script.over(RunState.FAILED, 1)))

    assert [line for line in lines if line.startswith("FAIL")] == ["FAIL bad: exit 3", "FAIL lint0: exit 3 (allowed)"]


def test_output_gives_no_orders_in_the_summary_either() -> None:
    script = Script(command("a")).starts("a").prints("a", "::error::x\n##[group]y\n\x1b[2Jz\n").fails_now("a")
    text = "\n".join(summary_lines(Story(script.over(RunState.FAILED, 1)).to_its_end()))

    assert "    : :error::x\n    # #[group]y\n    z\n" in text


def test_the_command_that_goes_on_names_the_run() -> None:
    assert "qtui resume 20260102-030405-abcd goes on with what has not completed" in summary_lines(failing(("x", 1)))
