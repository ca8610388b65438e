"""The workers pane: who works on what, what they use, what the machine has done lately, and who set their number."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from scenes import COMMAND, nightly, unit
from scripted import START, ScriptedSession
from stage import MEDIUM, SMALL, Stage, staged

from qtui.core.events import GovernorChanged, WorkersChanged
from qtui.core.model import Call, ExecutionMode
from qtui.core.options import RunOptions
from qtui.core.samples import UnitSample
from qtui.core.stimuli import GovernorRequested, LaneWorkersRequested, WorkersRequested, WorkersStepRequested
from qtui.tui import steering
from qtui.tui.bridge import Bridge
from qtui.tui.format import ASCII, UNICODE, sparkline
from qtui.tui.laying import lay_out
from qtui.tui.roles import Role
from qtui.tui.sampler import KEPT, SECONDS, Sampler, pause_after
from qtui.tui.steering import Do, Note
from qtui.tui.text import clean
from qtui.tui.widgets.lines import Line
from qtui.tui.widgets.machine import decision_words, lines_for, machine_lines, short_machine
from qtui.tui.widgets.workers import busy_lanes, pane_title, share_line, usage_words

LARGE = (200, 60)
PRESSURE = "8 → 6: memory 83 % above 75 %"


async def nothing_yet() -> None:
    """What the coroutines call; it is never run."""


def every_lane(*, adaptive: bool = False) -> ScriptedSession:
    """A command, a process, a thread and two coroutines run, each with what its worker uses."""
    units = [
        unit("pack", action=COMMAND),
        unit("grid", mode=ExecutionMode.PROCESS),
        unit("lint", mode=ExecutionMode.THREAD),
        unit("fetch.meta", action=Call.of(nothing_yet)),
        unit("fetch.raw", action=Call.of(nothing_yet)),
    ]
    session = ScriptedSession(units, RunOptions(workers=8, adaptive=adaptive, cpus=2))
    session.uses(
        {
            "pack": (187.0, 1_290_000_000),
            "grid": (97.4, 610_000_000),
            "lint": (4.0, None),
            "fetch.meta": (12.0, None, True),
            "fetch.raw": (12.0, None, True),
        }
    )
    return session


def text_of(line: Line) -> str:
    return "".join(span.text for span in line)


def lines_of(session: ScriptedSession, width: int, count: int, *, ascii: bool = False) -> list[str]:
    sampler, view = Sampler(session), session.view()
    sampler.take()
    glyphs = ASCII if ascii else UNICODE
    lines = machine_lines(view, sampler.latest, sampler.history, None, view.active, width, count, glyphs)
    return [text_of(line) for line in lines]


def loads(stage: Stage, *percents: float) -> None:
    """The machine was so busy, one second after another."""
    sampler, session = stage.main.sampler, stage.session
    sampler.stop()
    for percent in percents:
        assert session.load is not None
        session.load = session.load._replace(cpu=percent)
        sampler.take()


# -- rows ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [SMALL, MEDIUM, LARGE])
@pytest.mark.parametrize("adaptive", [False, True])
async def test_each_worker_tells_its_cpu_and_memory_in_columns(size: tuple[int, int], adaptive: bool) -> None:
    async with staged(every_lane(adaptive=adaptive), size) as stage:
        await stage.press("3", "z")
        await stage.shows("w5")
        expected = {
            "pack": r"w1 +▸ +0:00 +187%   1\.2G command +pack",
            "grid": r"w2 +▸ +0:00 +97%   582M process +grid",
            "lint": r"w3 +▸ +0:00 +4%      - thread +lint",
            "fetch.meta": r"w4 +▸ +0:00 +12% shared async +fetch\.meta",
            "fetch.raw": r"w5 +▸ +0:00 +12% shared async +fetch\.raw",
        }
        for name, row in expected.items():
            await stage.until(lambda row=row: re.search(row, stage.text()), f"the row of {name}")
        ends = {re.search(r"(shared|-|[\d.]+[KMG]) (command|process|thread|async) ", line) for line in stage.lines()}
        assert len({found.end(1) for found in ends if found}) == 1, "one column for memory"


@pytest.mark.parametrize("size", [SMALL, MEDIUM, LARGE])
@pytest.mark.parametrize(("ascii", "color"), [(False, True), (True, False)])
async def test_workers_that_do_not_fit_are_counted(size: tuple[int, int], ascii: bool, color: bool) -> None:
    units = [unit(f"load[{n}]", action=COMMAND) for n in range(60)]
    async with staged(ScriptedSession(units, RunOptions(workers=60)), size, ascii=ascii, color=color) as stage:

        def seen() -> list[int]:
            return [int(number) for number in re.findall(r" w(\d+) +[^ ]+ +0:00", stage.text())]

        await stage.press("3")
        await stage.until(lambda: re.search(r" \+\d+ more *", stage.text()), "the sign")
        rows = seen()
        assert rows == list(range(1, len(rows) + 1))
        await stage.shows(f" +{60 - len(rows)} more ")
        await stage.press("j")
        await stage.shows(f" +{59 - len(rows)} more ")
        assert seen() == [row + 1 for row in rows]
        await stage.press("G")
        await stage.hides(" more ")
        assert seen() == list(range(60 - len(rows), 61))
        for n in range(60 - len(rows)):
            stage.session.completes(f"load[{n}]")
        await stage.until(lambda: len(seen()) == len(rows), "what still runs fits")
        await stage.hides(" more ")


def test_what_is_not_known_is_blank_and_what_is_small_is_right_aligned() -> None:
    assert usage_words(None) == ""
    words = [usage_words(used) for used in (UnitSample(0.4, 812), UnitSample(1e9, 1 << 50), UnitSample(99.6))]
    assert words == ["   0%   812B", "9999%  1024T", " 100%      -"]


# -- the machine -----------------------------------------------------------------------------------------


def test_bars_grow_with_the_values_and_stand_on_the_right() -> None:
    assert sparkline([0, 13, 50, 99, 100, 250, -1], 100, 9, UNICODE) == "  ▁▂▅███▁"
    assert sparkline([0, 13, 50, 99, 100, 250, -1], 100, 9, ASCII) == "  _.=###_"
    assert sparkline([1, 2, 3], 3, 2, UNICODE) == "▆█"
    assert sparkline([], 100, 3, UNICODE) == "   "
    assert sparkline([3, 0], 0, 3, UNICODE) == " ▁▁"
    assert len(UNICODE.spark) == len(ASCII.spark) == len(set(ASCII.spark))


def test_cores_may_be_busy_but_full_memory_is_an_alarm() -> None:
    session = every_lane(adaptive=False)
    assert session.load is not None
    session.load = session.load._replace(cpu=100.0, memory_used=95, memory_total=100)
    sampler, view = Sampler(session), session.view()
    sampler.take()

    spans = [
        span
        for line in machine_lines(view, sampler.latest, sampler.history, None, 5, 120, 3, UNICODE)
        for span in line
        if UNICODE.spark[-1] in span.text
    ]

    assert [span.style for span in spans[:2]] == [Role.SUCCESS, Role.ERROR]


async def test_a_pane_that_is_opened_has_the_history_of_the_time_before() -> None:
    async with staged(nightly(), SMALL) as stage:
        await stage.hides("Workers 8/8 ")
        loads(stage, 3, 30, 60, 99)
        await stage.press("3")
        await stage.until(lambda: re.search(r"cpu +[▁-█]*▁▃▅█  99%", stage.text()), "the bars of four seconds")


@pytest.mark.parametrize(("size", "bars"), [(SMALL, 16), (MEDIUM, 8), (LARGE, 18)])
async def test_the_history_is_as_long_as_there_is_room(size: tuple[int, int], bars: int) -> None:
    async with staged(nightly(), size) as stage:
        await stage.press("3")
        loads(stage, *[50] * 200)
        await stage.until(lambda: re.search(rf"cpu {'▅' * bars}▅*  50%", stage.text()), f"{bars} bars")


async def test_a_large_screen_tells_all_figures() -> None:
    session = every_lane(adaptive=True)
    assert session.load is not None
    session.load = session.load._replace(load=7.14, read=12_900_000.0, written=0.0)
    async with staged(session, LARGE) as stage:
        await stage.shows("8 cores  load 7.1", "6.0G/16G", "  12M/s  in   12M out    0B", "qtui   3%   61M")
        assert re.search(r"run +▃+ +5/\d+", stage.text())
        assert re.search(r"io +█ +12M/s", stage.text())


def test_pools_and_budgets_tell_their_use_and_who_holds_them_below_the_workers() -> None:
    units = [unit(f"train[{n}]", action=COMMAND, pools={"gpu": 1}, memory=2 << 30, cpus=0.5) for n in range(12)]
    units.append(unit("upload", action=COMMAND, pools={"mutex site": 1}))
    session = ScriptedSession(units, RunOptions(workers=20, pools={"gpu": 12, "disk": 4}, memory=30 << 30, cpus=8))
    bridge = Bridge(session, lay_out(session.view().plan))
    lines = [text_of(share_line(share, 60, UNICODE)).rstrip() for share in bridge.holders.shares]
    assert lines[0].startswith(" 12/12       pool gpu  train[0], train[1], train[2], tra")
    assert lines[1] == " 1/1         mutex site  upload"
    assert lines[2].startswith(" 6/8         cpus  train[0]")
    assert lines[3].startswith(" 24G/30G     memory  train[0]")
    assert len(lines) == 4, "nothing asks for the pool disk"
    assert "and 4 more" in text_of(share_line(bridge.holders.shares[0], 200, UNICODE))
    for width in range(1, 60):
        assert all(len(text_of(share_line(share, width, ASCII))) <= max(width, 13) for share in bridge.holders.shares)


def test_budgets_that_no_unit_asks_for_are_not_shown() -> None:
    session = ScriptedSession([unit("plain", action=COMMAND)], RunOptions(cpus=2, memory=1 << 30))
    assert Bridge(session, lay_out(session.view().plan)).holders.shares == []


def test_a_narrow_pane_leaves_out_whole_parts() -> None:
    session = nightly()
    assert session.load is not None
    session.load = session.load._replace(read=41e6, written=1e3)
    full = " cpu        ▄  41%  mem        ▄  38%   6.0G/16G  disk in   39M/s out 1000B/s  qtui   3%   61M"
    for width in range(1, 72):
        (line,) = lines_of(session, width, 1)
        assert len(line) <= width
        parts = [part.strip() for part in line.split("  ") if part.strip()]
        assert all(part in full for part in parts)
    assert lines_of(session, 64, 1) == [" cpu        ▄  41%  mem        ▄  38%   6.0G/16G"]
    assert lines_of(session, 18, 1) == [" cpu        ▄  41%"]


def test_more_lines_only_where_workers_keep_room() -> None:
    fixed, governed = nightly().view(), every_lane(adaptive=True).view()
    changed = WorkersChanged(6, "set by you", START, "", 6)
    assert [lines_for(height, fixed, None) for height in (1, 4, 5, 13, 14)] == [1, 1, 1, 1, 5]
    assert [lines_for(height, fixed, changed) for height in (1, 4, 5, 13, 14)] == [1, 1, 2, 2, 5]
    assert [lines_for(height, governed, None) for height in (1, 4, 5, 13, 14)] == [1, 1, 2, 2, 5]


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("width", [1, 5, 20, 54, 110, 300])
def test_no_line_is_wider_than_the_pane_or_more_than_asked_for(count: int, width: int) -> None:
    lines = lines_of(every_lane(adaptive=True), width, count, ascii=True)
    assert len(lines) == count
    assert all(len(line) <= width and line.isascii() for line in lines)


async def test_a_machine_that_cannot_be_measured_keeps_nothing_else_from_being_shown() -> None:
    session = every_lane(adaptive=True)
    session.load = None
    async with staged(session, MEDIUM) as stage:
        await stage.shows("cannot measure the machine: OSError: no /proc here", "w1 ", "Workers 5 auto")


# -- who decides -----------------------------------------------------------------------------------------


async def test_the_pane_says_what_the_governor_has_decided_and_why() -> None:
    session = every_lane(adaptive=True)
    async with staged(session, MEDIUM) as stage:
        await stage.shows("auto: as at the start", "Workers 5 auto  command 1/8  process 1/2  thread 1/8")
        session.post(LaneWorkersRequested(ExecutionMode.COMMAND, 6, PRESSURE))
        await stage.shows(f"auto: command {PRESSURE}", "command 1/6")


async def test_a_person_takes_over_and_gives_back() -> None:
    session = every_lane(adaptive=True)
    async with staged(session, MEDIUM) as stage:
        await stage.press("minus")
        await stage.until(lambda: not session.view().governed, "the governor has no say")
        assert isinstance(session.requests[-1], WorkersStepRequested)
        await stage.shows(f"Workers 5/{session.view().workers}", "workers: set by you")
        session.request(WorkersRequested(6))
        await stage.shows("Workers 5/6", "6 workers: set by you")
        await stage.press("A")
        assert session.requests[2:] == [GovernorRequested(True, "chosen by you")]
        await stage.shows("Workers 5 auto", "auto: chosen by you")
        await stage.press("A")
        await stage.shows("follows the machine already")


async def test_a_run_with_a_fixed_number_can_be_given_to_the_governor() -> None:
    session = nightly()
    async with staged(session, SMALL) as stage:
        await stage.press("3")
        await stage.shows("Workers 8/8")
        await stage.press("A")
        await stage.shows("Workers 9 auto", "auto: chosen by you")


def test_a_finished_run_is_nobodys_to_decide() -> None:
    session = ScriptedSession([unit("a")])
    session.completes("a")
    assert steering.adapt_workers(session.view()) == Note("the run has finished")
    assert isinstance(steering.adapt_workers(nightly().view()), Do)


def test_the_title_names_lanes_while_there_is_room() -> None:
    view = every_lane(adaptive=True).view()
    lanes = Counter({ExecutionMode.COMMAND: 3, ExecutionMode.ASYNC: 2})
    governed = "Workers 5 auto  command 3/8  process 0/2  thread 0/8"
    full = f"{governed}  async 2"
    assert pane_title(view, lanes, len(full) + 4) == full
    assert pane_title(view, lanes, len(full) + 3) == "Workers 5 auto  command 3/8  async 2"
    assert pane_title(view, Counter(), len(governed) + 3) == "Workers 0 auto"
    assert pane_title(nightly().view(), lanes, 80) == "Workers 5/8"
    only = ScriptedSession([unit("a", action=COMMAND)], RunOptions(workers=8, adaptive=True)).view()
    assert pane_title(only, Counter({ExecutionMode.COMMAND: 1}), 80) == "Workers 1/8 auto"


def test_the_title_of_the_pane_tells_the_limit_of_all_lanes_where_it_is_the_one_that_holds() -> None:
    options = RunOptions(workers=4, max_workers=6, adaptive=True)
    session = ScriptedSession([unit("a", mode=ExecutionMode.THREAD), unit("b", action=COMMAND)], options)
    lanes = Counter({ExecutionMode.THREAD: 1, ExecutionMode.COMMAND: 1})
    assert pane_title(session.view(), lanes, 80) == "Workers 2/6 auto  command 1/4  thread 1/4"


def tiny(count: int, *, adaptive: bool = False) -> ScriptedSession:
    """Units of a family share worker processes, 8 of them one; there are two, and a command runs beside them."""
    units = [unit(f"tiny[{n}]", family="tiny", mode=ExecutionMode.PROCESS, batch=8) for n in range(count)]
    return ScriptedSession([unit("pack", action=COMMAND), *units], RunOptions(workers=3, adaptive=adaptive, cpus=8))


@pytest.mark.parametrize("size", [SMALL, MEDIUM, LARGE])
async def test_units_that_share_a_worker_count_as_one_busy_worker(size: tuple[int, int]) -> None:
    async with staged(tiny(40), size) as stage:
        assert stage.session.view().active == 17
        if size == SMALL:
            await stage.shows("workers 3/3")
        await stage.press("3")
        await stage.shows("Workers 3/3", "queue 24")
        if size == LARGE:
            await stage.until(lambda: re.search(r"run +█+ +3/3", stage.text()), "the figure of the machine")
        for n in range(9):
            stage.session.completes(f"tiny[{n}]")
        assert stage.session.view().active == 17
        await stage.shows("Workers 3/3", "queue 15")


def test_lanes_count_workers_and_not_the_units_that_share_them() -> None:
    session = tiny(40, adaptive=True)
    view = session.view()
    bridge = Bridge(session, lay_out(session.plan))
    held = [view.unit(number) for number in sorted(bridge.holding)]
    busy = busy_lanes(held, bridge.busy)
    assert busy[ExecutionMode.COMMAND] == 1
    assert 0 < busy[ExecutionMode.PROCESS] == bridge.busy - 1 < len(held) - 1
    assert f"process {busy[ExecutionMode.PROCESS]}/{view.lane_workers['process']}" in pane_title(view, busy, 80)


async def test_the_status_line_stands_in_for_a_pane_that_is_not_shown() -> None:
    async with staged(nightly(), SMALL) as stage:
        await stage.shows("cpu 41%  mem 38%  workers 8/8")
    governed = every_lane(adaptive=True)
    assert short_machine(governed.view(), governed.sample(), 5) == "cpu 41%  mem 38%  workers 5/18 auto"
    assert short_machine(governed.view(), None, 5) == "workers 5/18 auto"


def test_hostile_causes_are_made_harmless() -> None:
    evil = "\x1b]0;owned\x07\u202eby me"
    view = nightly().view()
    for decision in (WorkersChanged(6, evil, START, "", 6), GovernorChanged(False, evil, START)):
        words = decision_words(view, decision, UNICODE)
        assert words == clean(words)
        assert "by me" in words


# -- terminals of all kinds ------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [SMALL, MEDIUM, LARGE])
async def test_ascii_shows_the_same_with_ascii_only(size: tuple[int, int]) -> None:
    session = every_lane(adaptive=True)
    async with staged(session, size, ascii=True) as stage:
        await stage.press("3")
        loads(stage, 3, 30, 60, 99)
        session.post(LaneWorkersRequested(ExecutionMode.COMMAND, 6, PRESSURE))
        await stage.shows("auto: command 8 -> 6: memory")
        await stage.until(lambda: re.search(r"cpu +[_.:=+*#-]*_:=#  99%", stage.text()), "bars in ASCII")
        assert stage.text().isascii()


@pytest.mark.parametrize("size", [SMALL, MEDIUM, LARGE])
async def test_without_colour_nothing_is_lost(size: tuple[int, int]) -> None:
    session = every_lane(adaptive=True)
    shown = []
    for color in (True, False):
        async with staged(session, size, color=color) as stage:
            await stage.press("3")
            loads(stage, 99, 99, 3)
            await stage.until(lambda: re.search(r"██▁   3%", stage.text()), "the history")
            shown.append([line for line in stage.lines() if re.search(r"cpu|mem|auto|w\d ", line)])
            colours = {part.style.color.name for part in stage.segments() if part.style and part.style.color}
            assert bool(colours - {"default"}) is color
    assert len(shown[0]) == len(shown[1]) > 3


# -- sampling --------------------------------------------------------------------------------------------


def test_the_history_is_bounded_and_ends_with_the_latest() -> None:
    session = every_lane()
    sampler = Sampler(session)
    sampler.busy = 5
    for percent in range(KEPT + 30):
        assert session.load is not None
        session.load = session.load._replace(cpu=float(percent))
        sampler.take()
    assert [moment.cpu for moment in sampler.history] == [float(percent) for percent in range(30, KEPT + 30)]
    last = sampler.history[-1]
    assert (last.memory, last.busy) == (37.5, 5)


def test_dear_samples_are_taken_less_often() -> None:
    assert pause_after(0.0) == pause_after(0.004) == SECONDS
    assert pause_after(0.02) == 4.0
