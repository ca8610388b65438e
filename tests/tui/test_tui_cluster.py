"""The workers of a cluster in the workers pane: their order, what each tells, those that are missed, all sizes."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest
from scenes import COMMAND, unit
from scripted import ScriptedSession
from stage import MEDIUM, SMALL, Stage, staged

from qtui.core.model import LOST_WORKER, ExecutionMode, UnitError
from qtui.core.options import RunOptions
from qtui.core.samples import SILENT_SECONDS, ClusterWorker
from qtui.core.stimuli import CancelRequested, RunRequested
from qtui.tui.actions import BY_ID, USUAL
from qtui.tui.format import ASCII, UNICODE
from qtui.tui.keys import groups_for, hints_for, text_of
from qtui.tui.roles import Role
from qtui.tui.text import clean
from qtui.tui.widgets.cluster import (
    CALM_SECONDS,
    GONE_SECONDS,
    Cluster,
    Columns,
    cluster_line,
    names_in,
    short_name,
    summary_line,
)
from qtui.tui.widgets.lines import Line

LARGE = (200, 60)
GIGA = 1 << 30


def on_cluster(count: int = 6, *, workers: int = 8, local: bool = False) -> ScriptedSession:
    """Units ``part[n]`` for a cluster, which begins them where the test says; with `local` also a command, which runs
    on this machine."""
    units = [unit(f"part[{n}]", mode=ExecutionMode.CUSTOM) for n in range(count)]
    units += [unit("pack", action=COMMAND, mode=ExecutionMode.AUTO)] if local else []
    session = ScriptedSession(units, RunOptions(workers=workers), start=False)
    session.clustered = True
    session.post(RunRequested("demo"))
    return session


def worker(name: str, *units: int, cpu: float = 0.0, memory: int = GIGA) -> ClusterWorker:
    return ClusterWorker(name, f"tcp://10.0.0.1:{4000 + len(name)}", 2, cpu, memory, 4 * GIGA, units)


def named(count: int, pattern: str = "node-{}") -> list[ClusterWorker]:
    return [worker(pattern.format(n)) for n in range(count)]


def look(
    cluster: Cluster, session: ScriptedSession, workers: Iterable[ClusterWorker], seconds: float = 0.0
) -> list[str]:
    """The names of the rows, once the session is so many seconds older."""
    if seconds:
        session.after(seconds)
    view = session.view()
    held = [each for each in view.units if each.submitted or each.state in ("running", "canceling")]
    cluster.update(workers, view, held, session.now())
    return [row.worker.name for row in cluster.rows]


def lines_of(cluster: Cluster, session: ScriptedSession, width: int, *, ascii: bool = False) -> list[Line]:
    glyphs = ASCII if ascii else UNICODE
    columns = Columns.of(cluster.rows, width)
    rows = [cluster_line(row, columns, session.now(), width, glyphs) for row in cluster.rows]
    return [summary_line(cluster, width, glyphs), *rows]


def texts_of(cluster: Cluster, session: ScriptedSession, width: int) -> list[str]:
    return ["".join(span.text for span in line) for line in lines_of(cluster, session, width)]


def shows(stage: Stage, *workers: ClusterWorker) -> None:
    """The next sample has these workers."""
    session, sampler = stage.session, stage.main.sampler
    sampler.stop()
    assert session.load is not None
    session.load = session.load._replace(cluster=workers)
    sampler.take()


# -- the order of the rows -------------------------------------------------------------------------------


def test_workers_stand_by_name_and_numbers_in_names_count() -> None:
    session, cluster = on_cluster(), Cluster()
    mixed = [worker(name) for name in ("w10", "tcp://10.0.0.9:80", "w9", "tls://10.0.0.10:70", "a", "2", "10")]
    assert look(cluster, session, mixed) == ["a", "w9", "w10", "2", "10", "tcp://10.0.0.9:80", "tls://10.0.0.10:70"]


def test_those_with_units_stand_first_but_a_moment_without_changes_no_place() -> None:
    session, cluster = on_cluster(), Cluster()
    session.begins("part[0]", "node-2")
    workers = named(4)
    assert look(cluster, session, workers) == ["node-2", "node-0", "node-1", "node-3"]

    session.completes("part[0]")
    session.begins("part[1]", "node-1")
    assert look(cluster, session, workers, 1) == ["node-2", "node-0", "node-1", "node-3"]
    session.begins("part[2]", "node-2")
    assert look(cluster, session, workers, CALM_SECONDS - 1) == ["node-2", "node-0", "node-1", "node-3"]
    assert look(cluster, session, workers, 1) == ["node-1", "node-2", "node-0", "node-3"]
    session.completes("part[2]")
    assert look(cluster, session, workers, 1) == ["node-1", "node-2", "node-0", "node-3"]
    assert look(cluster, session, workers, CALM_SECONDS) == ["node-1", "node-0", "node-2", "node-3"]


# -- workers that are missed -----------------------------------------------------------------------------


def test_a_worker_that_is_missed_is_told_as_lost_with_what_it_had_although_that_runs_elsewhere_by_then() -> None:
    session, cluster = on_cluster(), Cluster()
    session.begins("part[0]", "node-1")
    look(cluster, session, [worker("node-0"), worker("node-1", 0)])
    session.fails("part[0]", UnitError(LOST_WORKER, "node-1 is gone"))
    session.after(0)
    session.begins("part[0]", "node-0")

    assert look(cluster, session, [worker("node-0", 0)], 3) == ["node-1", "node-0"]
    session.after(7)
    summary, lost, other = texts_of(cluster, session, 80)
    assert "1 worker  1 LOST" in summary
    assert lost == " node-1 LOST 0:07 ago with part[0]"
    assert other.endswith(" part[0]")


def test_a_worker_that_leaves_without_units_is_no_loss() -> None:
    session, cluster = on_cluster(), Cluster()
    session.begins("part[0]", "node-1")
    look(cluster, session, [worker("node-0"), worker("node-1", 0)])
    session.completes("part[0]")
    look(cluster, session, [worker("node-0")], 1)
    summary, _, gone = texts_of(cluster, session, 80)
    assert gone == " node-1 gone 0:00 ago"
    assert "LOST" not in summary


def test_a_missed_worker_has_a_row_for_a_minute_and_none_once_it_is_back() -> None:
    session, cluster = on_cluster(), Cluster()
    both = named(2)
    look(cluster, session, both)
    assert look(cluster, session, both[:1], 1) == ["node-0", "node-1"]
    assert look(cluster, session, both[:1], GONE_SECONDS - 1) == ["node-0", "node-1"]
    assert look(cluster, session, both[:1], 1) == ["node-0"]
    look(cluster, session, both)
    look(cluster, session, both[:1], 1)
    look(cluster, session, both, 1)
    assert texts_of(cluster, session, 80)[2].endswith("idle")


def test_nothing_is_missed_when_the_run_is_over() -> None:
    session, cluster = on_cluster(1), Cluster()
    session.begins("part[0]", "node-0")
    look(cluster, session, [worker("node-0", 0)])
    session.completes("part[0]")
    assert look(cluster, session, ()) == []


# -- what the rows tell ----------------------------------------------------------------------------------


def test_a_row_tells_the_worker_its_threads_what_it_uses_and_its_units() -> None:
    session, cluster = on_cluster(), Cluster()
    for n, place in enumerate(("tcp://10.0.0.7:43211", "tcp://10.0.0.7:43211", "tcp://10.0.0.8:40000")):
        session.begins(f"part[{n}]", place)
    tight = worker("tcp://10.0.0.8:40000", 2, cpu=97.4, memory=int(3.8 * GIGA))
    look(cluster, session, [worker("tcp://10.0.0.7:43211", 0, 1, cpu=187.2), tight, worker("tcp://10.0.0.9:1")])

    assert texts_of(cluster, session, 80) == [
        " cluster  3 workers  3/6 threads  queue 3  cpu 47%  5.8G/12G",
        " 10.0.0.7:43211 ▸ 2/2  187%   1.0G/4.0G  part[0], part[1]",
        " 10.0.0.8:40000 ▸ 1/2   97%   3.8G/4.0G  part[2]",
        " 10.0.0.9:1       0/2    0%   1.0G/4.0G  idle",
    ]
    assert texts_of(cluster, session, 50)[:2] == [
        " cluster  3 workers  3/6 threads  queue 3  cpu 47%",
        " 10.0.0…43211 ▸ 2/2  187%   1.0G part[0], part[1]",
    ]
    (memory,) = (span for span in lines_of(cluster, session, 80)[2] if "3.8G" in span.text)
    assert memory.style is Role.ERROR, "there is hardly any left"


def test_a_cluster_that_does_not_answer_says_so_and_one_that_takes_its_time_does_not() -> None:
    session, cluster = on_cluster(), Cluster()
    session.begins("part[0]", "node-0")
    slow = [each._replace(age=SILENT_SECONDS - 1) for each in (worker("node-0", 0), worker("node-1"))]
    look(cluster, session, slow)
    assert texts_of(cluster, session, 80)[0].startswith(" cluster  2 workers")

    look(cluster, session, [each._replace(age=40.2) for each in slow])
    assert texts_of(cluster, session, 80)[0].startswith(" cluster  has not answered for 40 s  2 workers  1/4 threads")


def test_a_worker_whose_unit_is_being_stopped_says_so() -> None:
    session, cluster = on_cluster(), Cluster()
    session.begins("part[0]", "node-0")
    session.request(CancelRequested((0,)))
    look(cluster, session, named(1))
    assert " node-0 ⊗ 1/2" in texts_of(cluster, session, 80)[1]


def test_of_workers_that_only_the_record_knows_their_units_are_told() -> None:
    session, cluster = on_cluster(3), Cluster()
    session.begins("part[0]", "node-1")
    session.begins("part[1]", "node-0")
    assert look(cluster, session, ()) == ["node-0", "node-1"]
    assert texts_of(cluster, session, 80) == [
        " cluster  2 workers  2 units  queue 1",
        " node-0 ▸ 1  part[1]",
        " node-1 ▸ 1  part[0]",
    ]
    session.completes("part[0]")
    assert look(cluster, session, ()) == ["node-0"]


@pytest.mark.parametrize(
    ("room", "told"),
    [(40, "one, two, three, four"), (20, "one, two, three +1"), (17, "one, two +2"), (7, "one +3"), (5, "o… +3")],
)
def test_as_many_names_as_there_is_room_for(room: int, told: str) -> None:
    assert names_in(["one", "two", "three", "four"], room, UNICODE) == told
    assert len(told) <= room


@pytest.mark.parametrize("width", [1, 8, 20, 46, 58, 78, 198])
def test_no_row_is_wider_than_the_pane_once_that_has_room_for_its_columns(width: int) -> None:
    session, cluster = on_cluster(8), Cluster()
    for n in range(6):
        session.begins(f"part[{n}]", "tcp://a-very-long-host-name.example.org:40000")
    names = ["tcp://a-very-long-host-name.example.org:40000", "node-0", "\x1b]0;owned\x07\u202eevil"]
    look(cluster, session, [worker(name, cpu=1e6, memory=1 << 50) for name in names])
    lines = lines_of(cluster, session, width, ascii=True)
    texts = ["".join(span.text for span in line) for line in lines]
    assert all(text.isascii() and text == clean(text) for text in texts)
    assert len(texts[0]) <= width
    assert all(len(text) <= max(width, 42) for text in texts[1:])
    assert short_name(worker(names[2])) == "evil"


# -- on the screen ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "ascii", "color"),
    [(SMALL, False, True), (MEDIUM, False, True), (LARGE, False, True), (MEDIUM, True, False)],
)
async def test_local_workers_and_those_of_the_cluster_stand_in_one_pane(
    size: tuple[int, int], ascii: bool, color: bool
) -> None:
    session = on_cluster(local=True)
    session.begins("part[0]", "node-0")
    session.begins("part[1]", "node-0")
    session.uses({"pack": (50.0, GIGA)})
    async with staged(session, size, ascii=ascii, color=color) as stage:
        shows(stage, worker("node-0", 0, 1, cpu=150.0), worker("node-1"))
        if size == SMALL:
            await stage.shows("here cpu 41%  mem 38%  workers")
        await stage.press("3")
        await stage.shows("cluster  2 workers  2/4 threads  queue 4", "pack")
        text = stage.text()
        assert re.search(r" w\d +[^ ]+ +0:00 +50% +1\.0G command +pack", text)
        assert re.search(r" node-0 [▸>] 2/2  150% +1\.0G[^ ]* +part\[0\]", text)
        assert re.search(r" node-1 + 0/2 +0% +1\.0G[^ ]* +idle", text)
        assert not re.search(r" w\d[^\n]*part\[", text), "a unit of the cluster has one row"
        assert ("8 cores here" if size == LARGE else " here  cpu ") in text
        assert text.isascii() or not ascii
        session.completes("part[0]")
        session.begins("part[2]", "node-1")
        await stage.until(lambda: re.search(r" node-1 [▸>] 1/2[^\n]*part\[2\]", stage.text()), "the event, at once")


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_of_a_hundred_workers_those_that_do_not_fit_are_counted(size: tuple[int, int]) -> None:
    session = on_cluster(150, workers=150)
    for n in range(150):
        session.begins(f"part[{n}]", f"node-{n % 100}")
    async with staged(session, size) as stage:
        shows(stage, *named(100))
        await stage.press("3")
        await stage.shows("cluster  100 workers  150/200 threads")
        rows = [int(number) for number in re.findall(r" node-(\d+) +▸", stage.text())]
        assert rows == list(range(len(rows)))
        await stage.shows(f" +{100 - len(rows)} more ")
        await stage.press("G")
        await stage.shows("node-99 ▸ 1/2")


async def test_a_worker_that_was_lost_while_nobody_looked_is_told_with_the_time_of_that() -> None:
    session = on_cluster(1)
    session.begins("part[0]", "node-0")
    async with staged(session, SMALL) as stage:

        def looked() -> bool:
            return stage.main._workers._shown is stage.main.sampler.latest

        shows(stage, worker("node-0", 0))
        await stage.until(looked, "the pane has the worker")
        shows(stage)
        await stage.until(looked, "and misses it")
        session.after(9)
        await stage.press("3")
        await stage.shows("node-0 LOST 0:09 ago with part[0]")


async def test_a_governed_run_calls_the_lane_of_the_cluster_by_its_name() -> None:
    units = [unit("a", mode=ExecutionMode.CUSTOM), unit("b", action=COMMAND)]
    session = ScriptedSession(units, RunOptions(workers=4, adaptive=True), start=False)
    session.clustered = True
    session.post(RunRequested("demo"))
    session.begins("a", "node-0")
    async with staged(session, MEDIUM) as stage:
        shows(stage, worker("node-0", 0))
        await stage.until(lambda: re.search("Workers 2.* cluster 1", stage.text()), "the title")


def waiting_for_workers(**options: object) -> ScriptedSession:
    units = [unit(f"part[{n}]", mode=ExecutionMode.CUSTOM) for n in range(6)]
    session = ScriptedSession(units, RunOptions(workers=4, executor="dask", **options), start=False)  # type: ignore[arg-type]
    session.clustered = True
    session.post(RunRequested("demo"))
    return session


async def test_while_a_cluster_starts_units_wait_for_it_and_no_worker_has_them() -> None:
    session = waiting_for_workers(adaptive=True)
    async with staged(session, MEDIUM) as stage:
        shows(stage)
        await stage.press("3")
        await stage.shows(" cluster  waiting for its workers  queue 4", "Workers 0 auto  cluster 0 ")
        assert not re.search(r" w\d ", stage.text())


async def test_a_cluster_has_as_many_workers_busy_as_units_have_begun_of_as_many_as_it_has_threads() -> None:
    session = waiting_for_workers(adaptive=True)
    session.begins("part[0]", "node-0")
    async with staged(session, SMALL) as stage:
        shows(stage, worker("node-0", 0))
        await stage.shows("workers 1/2 auto")
        await stage.press("3")
        await stage.shows("Workers 1 auto  cluster 1/2 threads", "queue 3")


async def test_the_keys_for_workers_tell_how_many_units_a_cluster_is_sent_at_a_time_in_all_places() -> None:
    session = waiting_for_workers(adaptive=True)
    texts = {key.text for _, keys in groups_for(session, USUAL) for key in keys}
    assert "more, fewer units at a time; automatic" in texts
    assert "units at a time" in {hint.text for hint in hints_for(session, USUAL)}
    assert text_of(BY_ID["run.workers_up"], cluster=True) == "one unit more at a time"
    async with staged(session, LARGE) as stage:
        shows(stage, worker("node-0"))
        await stage.press("A")
        await stage.shows("the number of units at a time adapts already; + - fix it")
        await stage.press("plus")
        await stage.shows("the number of units at a time is fixed: set by you", "  5 units at a time: set by you")
        assert stage.text().count("5 units at a time: set by you") == 2, "as an event, and below the workers"


async def test_a_fixed_number_stands_beside_the_threads() -> None:
    session = waiting_for_workers()
    session.begins("part[0]", "node-0")
    async with staged(session, MEDIUM) as stage:
        shows(stage, worker("node-0", 0))
        await stage.shows("Workers 1/4  cluster 1/2 threads")
