"""Directories of runs are for their owner alone, and one process at a time drives a run."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from stored_runs import head_of, units

from qtui.core.errors import UsageError
from qtui.core.plan import ExecutionPlan
from qtui.store.boot import boot_id, host_name
from qtui.store.journal import Journal
from qtui.store.mounts import network_of
from qtui.store.rundir import Holder, RunDirectory, RunIsLive, find_run, here, latest_runs, list_runs
from qtui.store.runlock import SILENT_SECONDS

RUN = "20260101-120000-0000abcd"
ELSEWHERE = Holder(pid=77, host="elsewhere", boot="another-boot", since=1.0)


def made(state: Path, run: str = RUN) -> RunDirectory:
    directory = RunDirectory.create(state, run)
    directory.journal.touch(mode=0o600)
    return directory


def recorded(state: Path, run: str, name: str) -> RunDirectory:
    directory = RunDirectory.create(state, run)
    origin = {"words": [], "cwd": "/", "source": f"/flows/{name}.toml"}
    plan = ExecutionPlan.build(units(1))
    Journal.create(directory.journal, head_of(plan, run=run, name=name, origin=origin)).close()
    return directory


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


# -- making and checking -----------------------------------------------------------------------------------


def test_all_directories_are_for_their_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        directory = RunDirectory.create(tmp_path / "state", RUN)
    finally:
        os.umask(before)
    assert [mode(path) for path in (tmp_path / "state", tmp_path / "state" / "runs", directory.path)] == [0o700] * 3
    assert directory.path == tmp_path / "state" / "runs" / RUN


def test_a_directory_without_a_journal_is_taken_and_one_with_a_journal_is_not(tmp_path: Path) -> None:
    RunDirectory.create(tmp_path, RUN)
    made(tmp_path)
    with pytest.raises(UsageError, match="exists already"):
        RunDirectory.create(tmp_path, RUN)


@pytest.mark.parametrize("run", ["", ".", "..", "../x", "a/b", "a\0b", "a\x1b[31m", "-rf", ".pruned"])
def test_what_is_no_id_never_becomes_a_path(tmp_path: Path, run: str) -> None:
    for call in (RunDirectory.create, RunDirectory.open):
        with pytest.raises(UsageError, match="not the id of a run"):
            call(tmp_path, run)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("part", ["runs", f"runs/{RUN}"])
def test_a_symbolic_link_in_the_place_of_a_directory_is_refused(tmp_path: Path, part: str) -> None:
    made(tmp_path / "state")
    place, target = tmp_path / "state" / part, tmp_path / "target"
    place.rename(target)
    place.symlink_to(target)
    for call in (RunDirectory.create, RunDirectory.open):
        with pytest.raises(UsageError, match=f"{place} is a symbolic link.*remove it"):
            call(tmp_path / "state", RUN)


@pytest.mark.parametrize("name", ["journal.db", "commands.db", "lock", "logs", "results"])
def test_a_symbolic_link_inside_of_a_run_is_refused(tmp_path: Path, name: str) -> None:
    directory = RunDirectory.create(tmp_path / "state", RUN)
    (tmp_path / "target").mkdir()
    (directory.path / name).symlink_to(tmp_path / "target")
    with pytest.raises(UsageError, match=f"{name} is a symbolic link"):
        RunDirectory.open(tmp_path / "state", RUN)


def test_a_link_to_the_whole_state_is_a_persons_own_choice(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir(mode=0o700)
    (tmp_path / "state").symlink_to(tmp_path / "disk")
    made(tmp_path / "state")
    assert find_run(tmp_path / "state").run == RUN


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("part", ["", "runs", f"runs/{RUN}", f"runs/{RUN}/journal.db", f"runs/{RUN}/lock"])
def test_what_belongs_to_somebody_else_is_refused(tmp_path: Path, part: str) -> None:
    made(tmp_path / "state").lock().release()
    os.chown(tmp_path / "state" / part, 65534, 65534)
    with pytest.raises(UsageError, match="belongs to nobody, not to you"):
        RunDirectory.open(tmp_path / "state", RUN)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_link_that_somebody_else_made_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir(mode=0o700)
    (tmp_path / "state").symlink_to(tmp_path / "disk")
    os.lchown(tmp_path / "state", 65534, 65534)
    with pytest.raises(UsageError, match="symbolic link that nobody made"):
        RunDirectory.create(tmp_path / "state", RUN)


@pytest.mark.parametrize("part", ["", "runs", f"runs/{RUN}"])
@pytest.mark.parametrize("writers", [0o720, 0o702])
def test_what_others_may_write_to_is_refused_with_what_to_do(tmp_path: Path, part: str, writers: int) -> None:
    made(tmp_path / "state")
    place = tmp_path / "state" / part
    place.chmod(writers)
    for call in (RunDirectory.open, RunDirectory.create):
        with pytest.raises(UsageError, match=f"others may write to {place} .*{writers:04o}.*chmod 700"):
            call(tmp_path / "state", RUN)


def test_a_file_in_the_way_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(UsageError, match="runs is in the way: it is no directory"):
        RunDirectory.create(tmp_path, RUN)
    with pytest.raises(UsageError, match=r"cannot be made: .*--state-dir"):
        RunDirectory.create(tmp_path / "runs" / "state", RUN)


def test_a_place_where_nothing_can_be_made_is_told_in_words() -> None:
    with pytest.raises(UsageError, match=rf"{RUN} cannot be made: .*--state-dir"):
        RunDirectory.create(Path("/proc/nowhere"), RUN)
    with pytest.raises(UsageError, match=f"there is no run {RUN} in /proc/nowhere"):
        RunDirectory.open(Path("/proc/nowhere"), RUN)


def test_the_network_file_system_of_a_place_is_named(tmp_path: Path) -> None:
    device = tmp_path.stat().st_dev
    mounts = tmp_path / "mountinfo"
    for kind, told in (("nfs4", "nfs4"), ("fuse.sshfs", "fuse.sshfs"), ("ext4", "")):
        line = f"36 35 {os.major(device)}:{os.minor(device)} / /mnt rw,noatime shared:1 - {kind} server:/home rw\n"
        mounts.write_text("22 27 999:21 / /proc rw - cifs none rw\n" + line)
        assert network_of(tmp_path, mounts) == told
    assert network_of(tmp_path, tmp_path / "none") == ""


# -- finding -----------------------------------------------------------------------------------------------


def test_a_run_is_found_by_its_id_or_by_a_part_that_fits_no_other(tmp_path: Path) -> None:
    runs = ["20260101-120000-aaaa1111", "20260101-130000-bbbb1111", "20260202-090000-cccc2222"]
    for run in reversed(runs):
        made(tmp_path, run)
    assert list_runs(tmp_path) == runs
    for text in (runs[0], "20260101-12", "aaaa1111", "aaaa"):
        assert find_run(tmp_path, text).run == runs[0]
    for seconds, run in enumerate((runs[2], runs[0], runs[1])):
        os.utime(tmp_path / "runs" / run, (1e9 + seconds, 1e9 + seconds))
    assert latest_runs(tmp_path) == [runs[1], runs[0], runs[2]]
    assert find_run(tmp_path).run == runs[1], "without a text what changed last"
    with RunDirectory.open(tmp_path, runs[2]).lock(), RunDirectory.open(tmp_path, runs[0]).lock():
        assert latest_runs(tmp_path) == [runs[0], runs[2], runs[1]], "what goes on comes first, the latest taken up"
        assert find_run(tmp_path, idle=True).run == runs[1], "there is one that can be gone on with"
    for text in ("20260101", "1111"):
        with pytest.raises(UsageError, match=f"fits 2 runs: {runs[1]}, {runs[0]}; type more"):
            find_run(tmp_path, text)


def test_a_run_that_goes_on_is_found_by_the_name_or_the_file_of_its_workflow(tmp_path: Path) -> None:
    names = {"20260101-120000-aaaa": "nightly", "20260101-130000-bbbb": "nightly", "20260101-140000-cccc": "weekly"}
    first, second, third = (recorded(tmp_path, run, name) for run, name in names.items())
    with first.lock(), third.lock():
        assert find_run(tmp_path, "nightly").run == first.run
        assert find_run(tmp_path, "weekly.toml").run == third.run
        with pytest.raises(UsageError, match=r"no run \"other\" .*these go on: .*weekly 20260101-140000-cccc"):
            find_run(tmp_path, "other")
        with second.lock(), pytest.raises(UsageError, match=f'2 runs of "nightly" go on: .*{first.run}'):
            find_run(tmp_path, "nightly")
    with pytest.raises(UsageError, match=r'no run "nightly" .*qtui history'):
        find_run(tmp_path, "nightly")


def test_an_id_that_is_the_beginning_of_another_is_found_all_the_same(tmp_path: Path) -> None:
    made(tmp_path, "20260101-120000-aaaa")
    made(tmp_path, "20260101-120000-aaaab")
    assert find_run(tmp_path, "20260101-120000-aaaa").run == "20260101-120000-aaaa"


def test_an_unknown_run_and_a_place_without_runs_are_told_in_words(tmp_path: Path) -> None:
    assert list_runs(tmp_path / "nowhere") == []
    with pytest.raises(UsageError, match=r"there are no runs in .*nowhere yet"):
        find_run(tmp_path / "nowhere")
    made(tmp_path)
    with pytest.raises(UsageError, match=f'no run .*did you mean "{RUN}"'):
        find_run(tmp_path, RUN.replace("abcd", "abce"))
    with pytest.raises(UsageError, match=r'no run "\.\./\.\." .*qtui history'):
        find_run(tmp_path, "../..")


def test_of_the_runs_of_one_second_the_newest_is_the_one_that_was_made_last(tmp_path: Path) -> None:
    for age, run in enumerate(["20260101-120000-0000", "20260101-120000-ffff", "20260101-120000-8888"]):
        directory = made(tmp_path, run)
        os.utime(directory.path, (1000 - age, 1000 - age))
    assert find_run(tmp_path).run == "20260101-120000-0000"


def test_what_has_no_journal_is_no_run_but_is_not_denied(tmp_path: Path) -> None:
    RunDirectory.create(tmp_path, RUN)
    assert list_runs(tmp_path) == []
    with pytest.raises(UsageError, match=f"{RUN} has no journal; what there is of it is in"):
        find_run(tmp_path, RUN)


def test_links_and_strange_names_among_runs_are_not_listed(tmp_path: Path) -> None:
    directory = made(tmp_path)
    (tmp_path / "runs" / "20260101-120000-link").symlink_to(directory.path)
    (tmp_path / "runs" / "a\x1b[31m").mkdir()
    (tmp_path / "runs" / ".hidden").mkdir()
    assert list_runs(tmp_path) == [RUN]


# -- the lock ----------------------------------------------------------------------------------------------

HOLDING = """
import sys
from pathlib import Path
from qtui.store.rundir import RunDirectory
lock = RunDirectory.open(Path(sys.argv[1]), sys.argv[2]).lock()
exec(sys.argv[3])
print("locked", flush=True)
sys.stdin.read()
"""


FORKING = """
import os, signal
if os.fork() == 0:
    Path(sys.argv[1], "child").write_text(f"{os.getpid()}\\n")
    signal.pause()
"""


@contextmanager
def another_process(state: Path, code: str = "") -> Iterator[subprocess.Popen[str]]:
    """A real process that holds the lock of the run."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(state), RUN, code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "locked\n"
            yield process
        finally:
            process.kill()


def test_a_second_process_is_refused_with_pid_and_host_until_the_first_dies(tmp_path: Path) -> None:
    directory = made(tmp_path)
    with another_process(tmp_path) as process:
        with pytest.raises(RunIsLive, match=f"process {process.pid} on {host_name()} drives it") as refused:
            directory.lock()
        assert refused.value.exit_code == 2
        holder = directory.holder()
        assert holder is not None
        assert (holder.pid, holder.host, holder.boot) == (process.pid, host_name(), boot_id())
        assert holder.is_here
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert directory.holder() is None, "what is written in the file holds nothing"
        directory.lock().release()


def test_a_lock_can_be_taken_again_once_it_was_released(tmp_path: Path) -> None:
    directory = made(tmp_path)
    assert directory.holder() is None
    for _ in range(2):
        with directory.lock() as lock:
            assert mode(directory.path / "lock") == 0o600
            assert directory.holder() == lock.holder
            with pytest.raises(RunIsLive, match=f"process {os.getpid()} "):
                directory.lock()
        assert directory.holder() is None


def test_a_child_that_a_unit_forked_does_not_keep_the_run_alive(tmp_path: Path) -> None:
    directory = made(tmp_path)
    with another_process(tmp_path, FORKING) as process:
        process.kill()
        process.wait()
        child = int(wait_for(lambda: (tmp_path / "child").read_text() if (tmp_path / "child").exists() else ""))
        try:
            os.kill(child, 0)
            assert directory.holder() is None
            directory.lock().release()
        finally:
            os.kill(child, signal.SIGKILL)


def test_who_only_looks_is_waited_for_and_not_taken_for_a_holder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = made(tmp_path)
    directory.lock().release()
    looker = os.open(directory.path / "lock", os.O_RDONLY)
    fcntl.flock(looker, fcntl.LOCK_SH)
    looked = []

    def end_looking(seconds: float) -> None:
        looked.append(looker)
        os.close(looker)

    monkeypatch.setattr(time, "sleep", end_looking)
    directory.lock().release()
    assert looked == [looker]


def test_who_looks_for_ever_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = made(tmp_path)
    directory.lock().release()
    monkeypatch.setattr("qtui.store.runlock._LOOKERS_SECONDS", 0.0)
    with (directory.path / "lock").open() as looker:
        fcntl.flock(looker, fcntl.LOCK_SH)
        with pytest.raises(UsageError, match="never free, as other processes look at it"):
            directory.lock()


def test_a_lock_whose_file_was_removed_is_made_anew_and_still_held(tmp_path: Path) -> None:
    directory = made(tmp_path)
    with directory.lock() as lock:
        (directory.path / "lock").unlink()
        assert directory.holder() is None
        lock.keep()
        assert directory.holder() == lock.holder
        with pytest.raises(RunIsLive):
            directory.lock()
    directory.lock().release()


def test_who_lost_the_lock_to_somebody_quicker_is_told_who_that_is(tmp_path: Path) -> None:
    directory = made(tmp_path)
    with directory.lock() as lock:
        (directory.path / "lock").unlink()
        with directory.lock() as other, pytest.raises(RunIsLive) as told:
            lock.keep()
        assert told.value.holder == other.holder


def test_of_many_who_want_the_lock_at_once_one_gets_it(tmp_path: Path) -> None:
    directory = made(tmp_path)
    begin, got, refused = threading.Barrier(8), [], []

    def take() -> None:
        begin.wait()
        try:
            got.append(directory.lock())
        except RunIsLive as error:
            refused.append(error)

    takers = [threading.Thread(target=take) for _ in range(8)]
    for taker in takers:
        taker.start()
    for taker in takers:
        taker.join()
    assert (len(got), len(refused)) == (1, 7)
    assert {error.holder.pid for error in refused} == {os.getpid()}
    got[0].release()


@pytest.mark.parametrize("silence, live", [(SILENT_SECONDS - 30, True), (SILENT_SECONDS + 30, False), (-30, True)])
def test_a_holder_on_another_host_counts_until_it_was_silent_for_a_minute(
    tmp_path: Path, silence: float, live: bool
) -> None:
    """As on a file system that does not show the locks of other hosts."""
    directory = made(tmp_path)
    sign(directory, ELSEWHERE, silence)
    if live:
        with pytest.raises(RunIsLive, match=r"process 77 on elsewhere drives it, or did so .* try again in"):
            directory.lock()
        holder = directory.holder()
        assert holder == ELSEWHERE
        assert not holder.is_here
    else:
        assert directory.holder() is None
        directory.lock().release()


def test_a_heartbeat_is_the_time_of_the_file(tmp_path: Path) -> None:
    directory = made(tmp_path)
    with directory.lock() as lock:
        os.utime(directory.path / "lock", (1, 1))
        lock.beat()
        assert abs((directory.path / "lock").stat().st_mtime - time.time()) < SILENT_SECONDS


def test_another_host_that_let_go_is_not_waited_for(tmp_path: Path) -> None:
    directory = made(tmp_path)
    directory.lock(ELSEWHERE).release()
    directory.lock().release()


def test_a_boot_before_this_one_on_this_host_is_not_waited_for(tmp_path: Path) -> None:
    directory = made(tmp_path)
    sign(directory, Holder(pid=77, host=host_name(), boot="before", since=1.0), 0)
    directory.lock().release()


@pytest.mark.parametrize("text", [b"", b"\0" * 100, b"[1]", b'{"pid": 1}', b"[" * 5000, b'{"pid": 1e999}', b"\xff"])
def test_garbage_in_the_lock_of_a_dead_process_does_no_harm(tmp_path: Path, text: bytes) -> None:
    directory = made(tmp_path)
    (directory.path / "lock").write_bytes(text)
    with directory.lock():
        assert directory.holder() is not None


def test_a_holder_that_cannot_be_read_still_holds(tmp_path: Path) -> None:
    directory = made(tmp_path)
    with directory.lock():
        (directory.path / "lock").write_bytes(b"\x1b[31m")
        with pytest.raises(RunIsLive, match="another process drives it"):
            directory.lock()


def test_a_link_in_the_place_of_the_lock_is_refused_and_its_target_is_left_alone(tmp_path: Path) -> None:
    directory = made(tmp_path)
    (tmp_path / "target").write_text("as it was")
    (directory.path / "lock").symlink_to(tmp_path / "target")
    for call in (directory.lock, directory.holder):
        with pytest.raises(UsageError, match=r"lock is a symbolic link.*remove it"):
            call()
    assert (tmp_path / "target").read_text() == "as it was"


def test_a_pipe_in_the_place_of_the_lock_is_refused_without_waiting(tmp_path: Path) -> None:
    directory = made(tmp_path)
    os.mkfifo(directory.path / "lock")
    for call in (directory.lock, directory.holder):
        with pytest.raises(UsageError, match="no lock of yours"):
            call()


def test_the_lock_of_a_run_that_was_removed_meanwhile_says_so(tmp_path: Path) -> None:
    directory = made(tmp_path)
    directory.path.rename(tmp_path / "moved")
    with pytest.raises(UsageError, match=f"run {RUN} is gone"):
        directory.lock()
    assert directory.holder() is None


def test_who_is_here_is_told_by_host_boot_and_pid() -> None:
    me = here()
    assert (me.pid, me.host, me.boot, me.is_here) == (os.getpid(), host_name(), boot_id(), True)


def sign(directory: RunDirectory, holder: Holder, silence: float) -> None:
    """Leave the lock as a process left it that was killed so many seconds ago."""
    lock = directory.path / "lock"
    fields = {"pid": holder.pid, "host": holder.host, "boot": holder.boot, "since": holder.since}
    lock.write_text(json.dumps(fields) + "\n")
    left = time.time() - silence
    os.utime(lock, (left, left))


def wait_for(condition: Callable[[], str]) -> str:
    deadline = time.monotonic() + 20
    while not (value := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return value


@pytest.mark.parametrize("text", ["", " "])
def test_an_empty_id_is_not_the_newest_run(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match="the id of the run is empty"):
        find_run(tmp_path, text)
