"""What the workers of a cluster do is told to screens of other processes while somebody runs the run."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from core_driver import unit
from recorded_run import RecordedRun, eventually

from qtui.attached import AttachedSession
from qtui.commanded import Steward
from qtui.core.samples import ClusterWorker
from qtui.store.clusterfile import read_cluster, remove_cluster, write_cluster
from qtui.store.rundir import RunDirectory

FIRST = ClusterWorker("node-0", "tcp://10.0.0.1:4000", 2, 187.5, 1 << 30, 4 << 30, (0, 3), 12.5)
SECOND = ClusterWorker("\udcffnode", "tls://[::1]:4000", 1, 0.0, 0, 0, ())
Start = Callable[..., RecordedRun]


class Runs:
    """An engine with a cluster, as far as the steward asks for that."""

    workers: tuple[ClusterWorker, ...] = ()

    def cluster(self) -> tuple[ClusterWorker, ...]:
        return self.workers

    def view(self) -> None:
        """Nobody looks."""


@contextmanager
def served(run: RecordedRun, *workers: ClusterWorker) -> Iterator[Runs]:
    """The process that runs it has begun, with these workers."""
    engine = Runs()
    engine.workers = workers
    steward = Steward(run.directory, run.lock, engine, lambda *_: None, str, lambda _: None)  # type: ignore[arg-type]
    steward.start()
    try:
        yield engine
    finally:
        steward.close()


def test_an_attached_screen_sees_the_workers_and_what_has_become_of_them(start: Start, directory: RunDirectory) -> None:
    run = start(unit("a"))
    with served(run, FIRST) as engine, closing(AttachedSession(directory)) as session:
        eventually(lambda: session.sample().cluster == (FIRST,), "it has been told")
        engine.workers = (FIRST._replace(cpu=3.0), SECOND)
        eventually(lambda: session.sample().cluster == engine.workers, "and once more")
        engine.workers = ()
        eventually(lambda: session.sample().cluster == (), "they are gone")
        engine.workers = (FIRST,)
        eventually(lambda: session.sample().cluster == (FIRST,), "one comes")
        run.leave()
        eventually(lambda: session.lost, "nobody runs it")
        assert session.sample().cluster == (), "nobody knows any more"


def test_the_file_is_gone_with_who_wrote_it_and_of_a_run_without_a_cluster_there_is_none(
    start: Start, directory: RunDirectory
) -> None:
    run = start(unit("a"))
    with served(run, FIRST):
        eventually(directory.cluster.exists, "it has been written")
        assert stat.S_IMODE(directory.cluster.stat().st_mode) == 0o600
    assert not directory.cluster.exists()
    write_cluster(directory.cluster, [FIRST])  # by a process that was killed
    with served(run):
        assert not directory.cluster.exists()


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "cluster.json"
    assert read_cluster(path) == ()
    write_cluster(path, [FIRST, SECOND])
    assert read_cluster(path) == (FIRST, SECOND)
    write_cluster(path, [SECOND])
    assert read_cluster(path) == (SECOND,)
    assert [each.name for each in tmp_path.iterdir()] == ["cluster.json"]
    remove_cluster(path)
    remove_cluster(path)


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "null", "[1]", "[[]]", '[["a"]]', '{"a": 1}', "\udcff", "[" * 100_000),
        '[["a", "b", "two", 0, 0, 0, [], 0]]',
        '[["a", "b", 1, 0, 1e999, 0, [], 0]]',
        '[["a", "b", 1, 0, 0, 0, 7, 0]]',
    ],
)
def test_what_nobody_of_us_has_written_is_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "cluster.json"
    path.write_text(text, errors="surrogateescape")
    assert read_cluster(path) == ()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    write_cluster(tmp_path / "real", [FIRST])
    (tmp_path / "cluster.json").symlink_to(tmp_path / "real")
    assert read_cluster(tmp_path / "cluster.json") == ()
    (tmp_path / "cluster.json.new").symlink_to(tmp_path / "real")
    with pytest.raises(OSError, match="Too many levels"):
        write_cluster(tmp_path / "cluster.json", [])
