"""Logs keep the beginning and the end of what a unit writes, and say what is missing."""

from __future__ import annotations

import errno
import math
import os
import random
import re
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qtui.core.logtimes import sound
from qtui.core.model import Call, QuantumUnit
from qtui.core.plan import ExecutionPlan
from qtui.core.session import LogChunk
from qtui.engine import logstamps
from qtui.engine.caplog import CappedLog, dropped_line, lost_line
from qtui.engine.files import RunFiles
from qtui.engine.logs import LogStore

LIMIT = 1000


@pytest.fixture
def store(tmp_path: Path) -> LogStore:
    unit = QuantumUnit(id="talk/ative", action=Call.of(lambda: None), log_max=LIMIT)
    return LogStore(RunFiles(tmp_path), ExecutionPlan.build([unit]))


def numbered(lines: int) -> bytes:
    return b"".join(b"line %06d\n" % number for number in range(lines))  # 12 bytes each


def read_all(store: LogStore, piece: int = 100) -> bytes:
    """What a reader sees who follows `next` from the first byte on."""
    data, offset = b"", 0
    while True:
        chunk = store.read(0, 1, offset, piece)
        if chunk.next <= offset:
            return data
        data += chunk.data
        offset = chunk.next


def test_a_log_below_its_limit_is_what_was_written(store: LogStore) -> None:
    writer = store.writer(0, 1)
    writer.write(numbered(50))
    writer.close()

    assert store.read(0, 1, 0, 1 << 20) == LogChunk(numbered(50), 600, 600)
    assert store.read(0, 1, -24, 1 << 20).data == numbered(50)[-24:]
    assert store.read(0, 1, 700, 10) == LogChunk(b"", 600, 700)
    assert re.fullmatch(r"talk_ative-[0-9a-f]{10}\.1\.log", Path(writer.path).name)


def test_an_attempt_that_writes_nothing_has_no_file(store: LogStore) -> None:
    store.writer(0, 1).close()

    assert store.existing(0, 1) is None
    assert store.read(0, 1, 0, 10) == LogChunk(b"", 0, 0)


@pytest.mark.parametrize("piece", [1, 7, 100, 999, 5000, 1 << 20])
def test_beyond_the_limit_the_first_and_the_last_half_are_kept(store: LogStore, piece: int) -> None:
    written = numbered(10_000)
    writer = store.writer(0, 1)
    for start in range(0, len(written), piece if piece > 1 else 41):
        writer.write(written[start : start + (piece if piece > 1 else 41)])
    writer.close()

    dropped = len(written) - LIMIT
    kept = written[: LIMIT // 2] + dropped_line(dropped) + written[-LIMIT // 2 :]
    assert Path(writer.path).read_bytes() == kept
    assert read_all(store, max(piece, 13)) == kept
    assert store.read(0, 1, 0, 0).size == len(written)


def test_offsets_count_what_was_written_not_what_is_kept(store: LogStore) -> None:
    written = numbered(10_000)
    writer = store.writer(0, 1)
    writer.write(written)
    writer.close()

    assert store.read(0, 1, -24, 1 << 20) == LogChunk(written[-24:], len(written), len(written))
    assert store.read(0, 1, len(written) - 120, 24) == LogChunk(written[-120:-96], len(written), len(written) - 96)
    assert store.read(0, 1, 50_000, 24) == LogChunk(b"", len(written), len(written) - LIMIT // 2), (
        "a place in the gap is empty"
    )


def test_a_reader_can_follow_while_the_log_grows_and_shrinks(store: LogStore) -> None:
    written = numbered(20_000)
    writer = store.writer(0, 1)
    seen, offset = b"", 0
    for start in range(0, len(written), 300):
        writer.write(written[start : start + 300])
        while (chunk := store.read(0, 1, offset, 100)).next > offset:
            seen += chunk.data
            offset = chunk.next
    writer.close()

    assert seen == written, "a reader that keeps up misses nothing"
    assert Path(writer.path).stat().st_size < 2 * LIMIT


def test_the_file_never_grows_far_beyond_its_limit(tmp_path: Path) -> None:
    log = CappedLog(str(tmp_path / "log"), LIMIT)
    largest = 0
    for _ in range(1000):
        log.write(numbered(10))
        largest = max(largest, (tmp_path / "log").stat().st_size)
    log.close()

    assert largest <= 2 * LIMIT + len(numbered(10)) + len(dropped_line(1 << 63))
    assert {path.name for path in tmp_path.iterdir()} <= {"log", "log.times"}


@pytest.fixture
def room() -> Iterator[Callable[[int], None]]:
    """Says how long a file may get: beyond that, writing fails as on a full disk. A negative number is no limit."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size if size >= 0 else before[0], before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


LOST = lost_line(errno.EFBIG)


def test_where_output_was_lost_the_log_says_so_and_goes_on_when_there_is_room(store: LogStore, room) -> None:
    told: list[OSError] = []
    store.on_error = lambda _unit, error: told.append(error)
    writer = store.writer(0, 1)
    writer.write(numbered(20))
    room(300)
    for _ in range(3):
        writer.write(numbered(20))
    full = Path(writer.path).read_bytes()
    room(-1)
    writer.write(b"there is room again\n")
    writer.close()

    assert full == (numbered(20) + numbered(20))[: 300 - len(LOST)] + LOST
    assert read_all(store) == full + b"there is room again\n"
    assert [error.errno for error in told] == [errno.EFBIG], "it is told once"


def test_a_log_that_could_not_even_begin_says_so_once_it_can(store: LogStore, room) -> None:
    writer = store.writer(0, 1)
    room(0)
    writer.write(b"lost\n")
    room(20)
    writer.write(b"lost too\n")
    room(-1)
    writer.write(b"kept\n")
    writer.close()

    assert read_all(store) == LOST + b"kept\n"


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_missing_in_a_log_is_told_where_it_is_missing(tmp_path: Path, room, seed: int) -> None:
    chance, written = random.Random(seed), b""
    log = CappedLog(str(tmp_path / "log"), 1 << 20)
    for number in range(60):
        data = b"".join(b"%05d-%02d\n" % (number, line) for line in range(chance.randrange(1, 12)))
        written += data
        size = (tmp_path / "log").stat().st_size if number else 0
        room(chance.choice([-1, -1, size + chance.randrange(0, 2 * len(data))]))
        try:
            log.write(data)
        except OSError as error:
            assert error.errno == errno.EFBIG
        room(-1)
    log.close()

    at, pieces = 0, (tmp_path / "log").read_bytes().split(LOST)
    for number, piece in enumerate(pieces):
        found = written.find(piece, at)
        assert found >= 0, f"piece {number} is no part of what was written, or out of order"
        assert number or found == 0
        at = found + len(piece)
    assert at == len(written) or not pieces[-1], "the last piece goes to the end"
    assert all(pieces[1:-1]), "nothing is told twice"


def test_a_log_is_shortened_within_itself_where_there_is_no_room_for_a_copy(store: LogStore) -> None:
    written = numbered(10_000)
    writer = store.writer(0, 1)
    Path(f"{writer.path}.short").mkdir()
    for start in range(0, len(written), 300):
        writer.write(written[start : start + 300])
        assert Path(writer.path).stat().st_size < 2 * LIMIT + 300
    writer.close()

    dropped = len(written) - LIMIT
    assert read_all(store) == written[: LIMIT // 2] + dropped_line(dropped) + written[-LIMIT // 2 :]


def test_no_two_units_share_a_file(tmp_path: Path) -> None:
    def file_of(unit_id: str) -> str:
        plan = ExecutionPlan.build([QuantumUnit(id=unit_id, action=Call.of(lambda: None))])
        return LogStore(RunFiles(tmp_path), plan).path(0, 1)

    for other in ("_a", "A", "a/"):
        digested = Path(file_of(other)).name.removesuffix(".1.log")
        assert digested.lower().startswith("a-")
        assert file_of(digested) != file_of(other)


def test_files_of_a_run_without_a_directory_are_gone_after_it() -> None:
    files = RunFiles()
    folder = Path(files.folder("logs"))
    (folder / "a.log").write_text("something")
    assert folder.stat().st_mode & 0o777 == 0o700

    files.close()

    assert not folder.exists()
    assert not folder.parent.exists()


def test_only_the_values_of_a_run_with_a_directory_are_gone_after_it(tmp_path: Path) -> None:
    files = RunFiles(tmp_path)
    logs, values = Path(files.folder("logs")), Path(files.folder("values"))

    files.close()

    assert logs.exists()
    assert not values.exists()


# -- what is not a log ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["directory", "pipe", "loop", "device"])
def test_what_is_no_file_is_told_and_nobody_waits_for_it(store: LogStore, kind: str) -> None:
    path = Path(store.writer(0, 1).path)
    match kind:
        case "directory":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "loop":
            path.symlink_to(path)
        case "device":
            path.symlink_to("/dev/zero")

    chunk = store.read(0, 1, 0, 10)

    assert (chunk.data, chunk.size, chunk.next) == (b"", 0, 0)
    assert chunk.trouble.startswith("the log cannot be read: ")
    assert chunk.trouble.endswith(str(path))
    assert store.times(0, 1).at(0) is None


# -- times of lines --------------------------------------------------------------------------------------


class Clock:
    """Stands in for the module time of what makes stamps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return 1_700_000_000 + self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(logstamps, "time", clock)
    return clock


def test_each_line_has_the_time_it_was_written_at_also_when_the_log_was_shortened(store: LogStore, clock) -> None:
    writer = store.writer(0, 1)
    began = clock.time()
    for second in range(400):
        writer.write(b"second %04d\n" % second)  # 12 bytes
        clock.now += 1.0
    writer.close()

    times = store.times(0, 1)
    assert store.read(0, 1, 0, 1 << 20).size == 4800
    assert [times.at(12 * second) for second in (0, 1, 200, 399)] == [began, began + 1, began + 200, began + 399]
    assert times.at(12 * 200 + 11) == began + 200


def test_what_is_written_in_one_go_needs_no_second_file(store: LogStore, clock) -> None:
    writer = store.writer(0, 1)
    for _ in range(9):
        writer.write(b"x\n")
        clock.now += 0.01
    writer.close()

    assert [path.name for path in Path(writer.path).parent.iterdir()] == [Path(writer.path).name]
    os.utime(writer.path, (5.0, 5.0))
    assert store.times(0, 1).at(17) == 5.0


def test_a_log_that_was_written_for_days_has_few_stamps_and_they_stay_true(store: LogStore, clock, monkeypatch) -> None:
    monkeypatch.setattr(logstamps, "MOST", 64)
    writer = store.writer(0, 1)
    began = clock.time()
    for _ in range(5000):
        writer.write(b".")
        clock.now += 1.0
    writer.close()

    times = store.times(0, 1)
    assert len(times.offsets) <= 64
    assert times.at(0) == began
    lags = [began + offset - (times.at(offset) or 0.0) for offset in range(5000)]
    assert min(lags) >= 0
    assert max(lags) <= 5000 / 16


@pytest.mark.parametrize("stamp", [math.nan, math.inf, -1.0, 1e300])
def test_times_count_up_to_the_first_that_cannot_be(stamp: float) -> None:
    assert sound((0, 10, 20), (5.0, stamp, 7.0)) == ((0,), (5.0,))
    assert sound((0, 10, 10), (5.0, 6.0, 7.0)) == ((0, 10), (5.0, 6.0))


def test_an_attempt_without_a_log_has_no_times(store: LogStore) -> None:
    assert store.times(0, 1).at(0) is None
