"""The timeline on the screen: where it stands, what its keys do, and that it costs little."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import pytest
from scenes import COMMAND, finished, nightly, unit
from scripted import START, ScriptedSession
from stage import MEDIUM, SMALL, Stage, staged
from textual.geometry import Region

from qtui.core.forecast import forecast
from qtui.core.gains import gains
from qtui.core.model import RetryPolicy
from qtui.core.options import RunOptions
from qtui.core.stimuli import RetryRequested
from qtui.tui.forecaster import Told
from qtui.tui.format import UNICODE
from qtui.tui.panes import Pane
from qtui.tui.timeline import FOLD_FROM, legend
from qtui.tui.widgets import timeline
from qtui.tui.widgets.timeline import TimelinePane

LARGE = (200, 60)


class Foretold:
    """Stands in for the thread that looks ahead: tells what is expected now, if attempts take as long as estimated."""

    error, unknown = "", 0

    def __init__(self, session: ScriptedSession) -> None:
        view = session.view()
        ahead = forecast(view, session.options, now=session.now())
        self.latest: Told | None = Told(ahead, view)
        worth = tuple(gain for gain in gains(view, session.options, ahead) if gain is not None)
        self.latest = replace(self.latest, gains=worth)

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def hurry(self) -> None:
        pass

    def forget(self) -> None:
        pass


def pooled(count: int = 4) -> ScriptedSession:
    """fetch, then `count` units of which a pool lets two run at a time, then merge; 30 s after fetch has ended."""
    units = [unit("fetch", action=COMMAND, estimate=10.0)]
    for shard in range(count):
        units.append(unit(f"embed[{shard}]", "fetch", action=COMMAND, family="embed", estimate=60.0, pools={"gpu": 1},
                          retry=RetryPolicy(max=2, delay=5)))  # fmt: skip
    units.append(unit("merge", "embed", action=COMMAND, estimate=20.0))
    session = ScriptedSession(units, RunOptions(workers=8, pools={"gpu": 2}))
    session.after(10)
    session.completes("fetch")
    session.after(30)
    return session


def pane_of(stage: Stage) -> TimelinePane:
    return stage.main.query_one(TimelinePane)


def shown(stage: Stage) -> list[str]:
    """The lines of the pane, without its border."""
    region = pane_of(stage).content_region
    return [line[region.x : region.right] for line in stage.lines()[region.y : region.bottom]]


def rows(stage: Stage) -> list[str]:
    """The names of the rows."""
    return [line.split()[0].lstrip("›>") or line.split()[1] for line in shown(stage)[1:] if is_row(line)]


def is_row(line: str) -> bool:
    return bool(line[:12].strip()) and "▓ done" not in line


async def look_ahead(stage: Stage) -> None:
    stage.main.forecaster = Foretold(stage.session)  # type: ignore[assignment]
    stage.main.stale = True
    await stage.shows("Timeline (5)")
    await stage.until(lambda: re.search(r"(?m)^ \S+ +! ", "\n".join(shown(stage))), "the critical path")


async def settle(stage: Stage) -> None:
    """Wait until the pane has painted what there is."""
    pane = pane_of(stage)

    def is_painted() -> bool:
        return pane._known is not None and pane._known[0] is stage.session.view() and not pane._stale

    await stage.until(is_painted, "the pane as it is now")


def here(stage: Stage) -> str:
    """The row with the cursor."""
    return next(line for line in shown(stage) if line.startswith(("›", ">")))


# -- places ----------------------------------------------------------------------------------------------


async def test_on_a_large_screen_it_stands_between_the_other_panes_and_the_events() -> None:
    async with staged(nightly(), LARGE) as stage:
        await stage.shows("Timeline (5)")
        tops = [stage.main.query_one(f"#{pane}").region.y for pane in ("units", "workers", "timeline", "events")]
        assert tops == sorted(set(tops))
        assert pane_of(stage).region.width == 200
        await stage.press("5", "z")
        await stage.until(lambda: pane_of(stage).region.height > 50, "all of the screen")


async def test_elsewhere_it_takes_the_place_of_workers_and_events_until_one_goes_there() -> None:
    async with staged(nightly(), MEDIUM) as stage:
        await stage.hides("Timeline")
        await stage.press("5")
        await stage.shows("Timeline (5)")
        assert "Events" not in stage.text() and "Workers " not in stage.text()
        assert pane_of(stage).has_focus
        await stage.press("2")
        await stage.until(lambda: stage.main.log_pane.has_focus, "the log")
        assert "Timeline (5)" in stage.text()
        await stage.press("3")
        await stage.shows("Workers 8/8", "Events")
        assert "Timeline" not in stage.text()


async def test_on_a_small_screen_it_takes_turns_with_the_log() -> None:
    async with staged(nightly(), SMALL) as stage:
        await stage.press("5")
        await stage.shows("Timeline (5)", "Units")
        await stage.press("tab")
        await stage.until(lambda: stage.main.tree_pane.has_focus, "behind the last pane the first")
        await stage.press("2")
        await stage.hides("Timeline")


@pytest.mark.parametrize(("ascii", "color"), [(False, None), (True, None), (False, False)])
async def test_it_reads_at_every_size_in_ascii_and_without_colour(ascii: bool, color: bool | None) -> None:
    done, run, ahead, line = "%#-|" if ascii else "▓█┈╎"
    async with staged(pooled(), LARGE, ascii=ascii, color=color) as stage:
        await stage.press("5")
        for size in (LARGE, MEDIUM, SMALL, (40, 12)):
            await stage.pilot.resize_terminal(*size)
            await stage.until(lambda size=size: stage.main.size == size, "the new size")  # type: ignore[misc]
            await look_ahead(stage)
            await stage.until(lambda: re.search(rf"fetch +{done}+ +{re.escape(line)}", stage.text()), "what was done")
            text = "\n".join(shown(stage))
            assert re.search(rf"embed\[0\] +{run}+{re.escape(line)}{ahead}+", text), text
            assert re.search(rf"embed\[2\] +! +\.+{re.escape(line)}\.+{ahead}+", text), text
            assert "now" in text
            assert not ascii or stage.text().isascii()


# -- rows ------------------------------------------------------------------------------------------------


async def test_the_title_says_what_would_help() -> None:
    async with staged(pooled(), LARGE) as stage:
        await look_ahead(stage)
        await stage.shows("Timeline (5)  critical path 1m20s of 1m50s  +2 gpu slots would save 30s")
        assert "+2 workers" not in stage.text(), "they would save nothing"
        stage.session.after(20)
        await stage.shows("Timeline (5)  critical path 1m20s of 1m30s  +2 gpu slots would save 10s")
        await stage.shows("1m30s left = 1m20s critical path + 10s pool gpu; +2 gpu slots would save 10s")
        stage.main.forecaster.latest, stage.main.forecaster.error = None, "OSError: gone"  # type: ignore[union-attr]
        stage.main.stale = True
        await stage.shows("Timeline (5)  no forecast: OSError: gone")


async def test_attempts_stand_side_by_side_and_bars_grow_with_the_time() -> None:
    session = ScriptedSession([unit("fetch", action=COMMAND, retry=RetryPolicy(max=2, delay=5))])
    session.after(20)
    async with staged(session, LARGE) as stage:
        session.fails("fetch", exit_code=137)
        session.after(3)
        await stage.until(lambda: re.search(r"fetch +▓{30,}✗\.+╎", "\n".join(shown(stage))), "the wait")
        session.after(2)
        session.after(5)
        await stage.until(lambda: re.search(r"fetch +▓{30,}✗ +█{20,40}╎", "\n".join(shown(stage))), "two attempts")
        session.after(10)
        await stage.until(lambda: re.search(r"fetch +▓{30,}✗ +█{41,}╎", "\n".join(shown(stage))), "a longer bar")


async def test_the_row_of_what_is_selected_is_in_sight_and_enter_goes_the_other_way() -> None:
    session = ScriptedSession([unit(f"u{n:02}", estimate=5.0) for n in range(60)], RunOptions(workers=4))
    async with staged(session, LARGE) as stage:
        await stage.until(lambda: "u00" in here(stage), "the first unit")
        await stage.press("G")
        await stage.until(lambda: "u59" in here(stage), "the last unit")
        await stage.press("5", "k")
        await stage.until(lambda: "u58" in here(stage), "the row above")
        assert stage.main.tree_pane.unit == 59
        await stage.press("enter")
        await stage.until(lambda: stage.main.tree_pane.unit == 58, "selected")
        await stage.press("g")
        await stage.until(lambda: "u00" in here(stage), "the first row")


async def test_while_nobody_moves_the_rows_follow_what_goes_on() -> None:
    session = ScriptedSession([unit(f"u{n:02}", estimate=5.0) for n in range(60)], RunOptions(workers=4))
    async with staged(session, LARGE) as stage:
        for at in range(40):
            session.completes(f"u{at:02}")
            session.after(1)
        await stage.until(lambda: "u43" in rows(stage), "what began last")
        await stage.press("5", "g")
        await stage.until(lambda: "u00" in rows(stage), "the first rows")
        session.completes("u40")
        session.after(1)
        await settle(stage)
        assert "u00" in rows(stage), "nobody is moved from where they are"
        await stage.press("0")
        await stage.until(lambda: "u44" in rows(stage), "what began last")


async def test_who_comes_to_it_sees_what_goes_on_first_and_which_rows_there_are() -> None:
    session = ScriptedSession([unit(f"u{n:02}", estimate=5.0) for n in range(60)], RunOptions(workers=4))
    async with staged(session, MEDIUM) as stage:
        for at in range(40):
            session.completes(f"u{at:02}")
            session.after(1)
        await stage.press("j", "j")  # somebody has selected what began first
        await stage.press("5")
        await stage.until(lambda: {"u40", "u43"} <= set(rows(stage)), "what is at work")
        first, last, count = re.findall(r"rows (\d+)-(\d+) of (\d+)", stage.text())[0]
        assert (int(last) - int(first) + 1, count) == (len(rows(stage)), "60")
        await stage.press("k")
        await stage.until(lambda: "u01" in rows(stage), "what is above the selected row")
        await stage.shows("rows 2-")
        await stage.press("1", "5")
        await settle(stage)
        assert "u01" in rows(stage), "nobody is moved from where they are"


async def test_what_has_run_for_long_is_in_sight_with_what_began_last() -> None:
    units = [unit("quick"), unit("slow"), *(unit(f"u{n:02}") for n in range(40))]
    session = ScriptedSession(units, RunOptions(workers=3))
    async with staged(session, MEDIUM) as stage:
        session.completes("quick")
        for at in range(3):
            session.after(1)
            session.completes(f"u{at:02}")
        await stage.press("5")
        await stage.until(lambda: {"slow", "u04"} <= set(rows(stage)), "all that is at work")


async def test_of_a_legend_that_becomes_shorter_nothing_is_left() -> None:
    session = finished()
    async with staged(session, LARGE) as stage:
        pane = pane_of(stage)
        await settle(stage)
        y = pane.size.height - 1
        short = pane._painted[y]
        pane._painted[y] = legend(UNICODE, 190, over=False, ahead=True, folds=False)
        written: list[Region] = []
        pane.refresh = lambda *regions, **_: written.extend(regions)  # type: ignore[method-assign,assignment]
        pane._paint_changed()
        assert pane._painted[y] == short
        assert written == [Region(0, y, pane.size.width, 1)]


async def test_whoever_scrolls_is_left_where_they_are() -> None:
    session = ScriptedSession([unit(f"u{n:02}", estimate=5.0) for n in range(60)], RunOptions(workers=4))
    async with staged(session, LARGE) as stage:
        for at in range(40):
            session.completes(f"u{at:02}")
        await stage.until(lambda: "u43" in rows(stage), "what began last")
        pane_of(stage).scroll_to(y=0, animate=False)  # as the wheel of a mouse does
        await stage.until(lambda: "u00" in rows(stage), "the first rows")
        session.completes("u40")
        session.after(1)
        await settle(stage)
        assert "u00" in rows(stage)


async def test_a_window_that_was_chosen_moves_to_what_is_selected() -> None:
    session = pooled()
    async with staged(session, LARGE) as stage:
        await look_ahead(stage)
        await stage.press("5", "i", "i", "i")
        await stage.until(lambda: re.search(r"(?m)^.merge.*›$", "\n".join(shown(stage))), "merge is further on")
        await stage.select("merge")
        await stage.until(lambda: re.search(r"(?m)^›merge.*┈┈", "\n".join(shown(stage))), "its bar")


async def test_a_family_of_many_opens_and_closes() -> None:
    async with staged(pooled(FOLD_FROM), LARGE) as stage:
        await stage.press("5", "z")
        await stage.until(lambda: rows(stage)[:3] == ["fetch", f"embed[0..{FOLD_FROM - 1}]", "merge"], "three rows")
        await stage.press("g", "j", "enter")
        await stage.until(lambda: rows(stage)[2:4] == ["embed[0]", "embed[1]"], "its units, too")
        await stage.press("enter")
        await stage.until(lambda: rows(stage)[2:3] == ["merge"], "no more")


# -- time ------------------------------------------------------------------------------------------------


async def test_of_a_run_that_is_retried_long_after_its_end_zero_shows_all_and_then_the_rest_again() -> None:
    session = ScriptedSession([unit("fetch"), unit("clean", "fetch"), unit("lint")])
    session.completes("lint")
    session.after(10)
    session.completes("fetch")
    session.fails("clean")
    session.after(600)
    session.post(RetryRequested((session.number("clean"),)))
    session.after(5)
    async with staged(session, MEDIUM) as stage:
        await stage.press("5")
        await stage.shows("Timeline (5)  since it went on, 0 shows all")

        def fetch() -> str:
            return next(line for line in shown(stage) if "fetch" in line[:12])

        assert "‹" in fetch()
        await stage.press("0")
        await stage.until(lambda: "▓" in fetch(), "the bars of the first pass")
        await stage.hides("since it went on")
        await stage.press("0")
        await stage.until(lambda: "‹" in fetch(), "what came since")
        await stage.press("i", "0")
        await stage.until(lambda: "▓" in fetch(), "all again")


async def test_zooming_and_panning_move_the_bars_and_zero_shows_the_whole_run() -> None:
    async with staged(pooled(), LARGE) as stage:
        await stage.press("5")
        await look_ahead(stage)
        before = shown(stage)
        assert "+1m" in before[0]
        await stage.press("i", "i")
        await stage.until(lambda: "+1m" not in shown(stage)[0] and "now" in shown(stage)[0], "less time")
        closer = shown(stage)
        await stage.press("l", "l", "l", "l")
        await stage.until(lambda: "now" not in shown(stage)[0] and "+" in shown(stage)[0], "what is later")
        assert re.search(r"fetch +‹", "\n".join(shown(stage))), "what is not to be seen is pointed at"
        await stage.press("h", "h", "h", "h")
        await stage.until(lambda: shown(stage) == closer, "back again")
        await stage.press("0")
        await stage.until(lambda: shown(stage) == before, "the whole run")


async def test_a_run_that_is_over_shows_what_was() -> None:
    session = finished()
    async with staged(session, LARGE) as stage:
        stage.main.forecaster = Foretold(nightly())  # type: ignore[assignment]  # too late
        stage.main.stale = True
        await stage.shows("Timeline (5)")
        await stage.until(lambda: re.search(r"fetch +▓+ *\n?", stage.text()), "its bars")
        text = "\n".join(shown(stage))
        assert "now" not in text and "╎" not in text and "┈" not in text
        assert re.search(r"UNIT +0 ", shown(stage)[0]), "time since it began"
        session.request(RetryRequested((session.number("report"),)))
        await stage.until(lambda: "now" in shown(stage)[0], "it goes on")


class Tape:
    """A record of two minutes, of which as much was played as the session has."""

    begin, end, speed, playing = START, START + 120.0, 1.0, False

    def now(self) -> float:
        return START

    def seek(self, at: float) -> None:
        pass

    def step(self, by: int) -> None:
        pass


async def test_a_replay_shows_what_was_in_the_time_of_all_of_it() -> None:
    session = pooled()
    session.kind = "replay"
    async with staged(session, LARGE, player=Tape()) as stage:
        await stage.until(lambda: "now" in shown(stage)[0], "the axis")
        text = "\n".join(shown(stage))
        assert "+1m" in shown(stage)[0]
        assert re.search(r"embed\[0\] +█+╎ *\n", text), text
        assert "┈" not in text and "forecast" not in text


async def test_hostile_names_and_a_plan_that_grows_are_shown() -> None:
    session = ScriptedSession([unit("a\x1b[2J\u202eb"), unit("adds")])
    async with staged(session, LARGE) as stage:
        await stage.until(lambda: "ab" in rows(stage), "a name without what steers terminals")
        session.after(1)
        session.adds("adds", unit("new"))
        await stage.until(lambda: "new" in rows(stage), "the new unit")


# -- cost ------------------------------------------------------------------------------------------------


async def test_only_what_is_new_is_painted_and_nothing_while_it_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    painted: list[Sequence[Region]] = []
    made: list[int] = []
    monkeypatch.setattr(timeline, "TIME_SECONDS", timeline.PAINT_SECONDS)
    session = pooled()
    async with staged(session, LARGE) as stage:
        pane = pane_of(stage)
        await look_ahead(stage)
        await settle(stage)
        refresh, sort = pane.refresh, pane._sort
        monkeypatch.setattr(
            pane, "refresh", lambda *regions, **keys: (painted.append(regions), refresh(*regions, **keys))
        )
        monkeypatch.setattr(pane, "_sort", lambda: (made.append(1), sort()))
        session.after(0.01)
        stage.main.stale = True
        await stage.until(lambda: made, "a look at what has changed")
        assert not painted, "within a cell nothing moves"
        session.after(3)
        stage.main.stale = True
        await stage.until(lambda: painted, "the line of now has moved")
        regions = [region for call in painted for region in call]
        now = shown(stage)[1].index("╎")
        assert all(region.height == 1 and region.width <= now + 3 for region in regions if region.y > 0), regions
        await stage.press("1", "z")
        await stage.hides("Timeline")
        made.clear()
        for _ in range(3):
            session.after(5)
            stage.main.stale = True
            await stage.until(lambda: stage.main._second == int(session.now()), "a frame")
        assert not made


def test_every_pane_has_its_number() -> None:
    assert list(Pane) == ["units", "log", "workers", "events", "timeline"]
