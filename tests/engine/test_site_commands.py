"""Commands at a site, what they print, and how attempts are stopped there."""

from __future__ import annotations

import pickle
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from conftest import processes_of_runs
from engine_waiting import GENEROUS, until
from site_home import Cluster, Home, call, over_the_wire, program, shell
from site_units import OnlyHere, ignore_stops, wait_for_stop

from qtui.engine.packing import pack
from qtui.engine.remote import site
from qtui.engine.remote.parcel import Parcel, RemoteValue

HOST = socket.gethostname()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path / "site")
    yield cluster
    cluster.close()


def printed(cluster: Cluster, parcel: Parcel, text: bytes) -> None:
    until(lambda: cluster.site.logs({parcel.token: 0}).get(parcel.token) == (0, text), f"{text!r} was printed")


# -- commands ----------------------------------------------------------------------------------------------


def test_a_command_has_what_it_has_on_one_machine(cluster: Cluster, tmp_path: Path) -> None:
    unit = shell("unit", "echo $QTUI_UNIT $QTUI_ATTEMPT $QTUI_PARAM_SIZE $OWN; pwd", env={"OWN": "mine"}, cwd="/usr")
    parcel = Home(tmp_path, unit, params={"size": [1, 2]}).parcel("unit", attempt=3)

    assert cluster.value(parcel) == {"exit_code": 0, "stdout": "unit 3 1 2 mine\n/usr\n"}
    assert cluster.kinds(parcel) == ["began", "ended"]
    assert cluster.end(parcel)["log"] == [0, b"unit 3 1 2 mine\n/usr\n"]


def test_results_reach_commands_and_come_back_as_files(cluster: Cluster, tmp_path: Path) -> None:
    use = shell("use", "cat $QTUI_NEEDS > $QTUI_RESULT", "inside", "held", "object", "lost[*]")
    units = [call(name, dict) for name in ("inside", "held", "object", "lost[i=0]", "lost[i=1]")]
    results = {"inside": {"rows": 3}, "held": None, "object": OnlyHere(0), "lost[i=1]": 5}
    home = Home(tmp_path, *units, use, results=results)
    held = over_the_wire(RemoteValue.of(pack("a" * 2_000_000, lambda: str(tmp_path / "value"))))

    end = cluster.run(home.parcel("use", held=["held"]), [held])

    assert end["error"] is None
    name = next(iter(cluster.kept))
    value = pickle.loads(cluster.kept[name].pieces[0])
    assert end["held"] == len(cluster.kept[name].pieces[0]) > 2_000_000
    assert value == {"inside": {"rows": 3}, "held": "a" * 2_000_000, "lost[*]": [None, 5]}


def test_a_need_that_cannot_be_sent_is_left_out(cluster: Cluster, tmp_path: Path) -> None:
    use = shell("use", "cat $QTUI_NEEDS", "lock", "made")
    lock = (_ for _ in ())
    home = Home(tmp_path, call("lock", dict), call("made", dict), use, results={"lock": lock, "made": 1})

    assert cluster.value(home.parcel("use"))["stdout"] == '{"made": 1}\n'


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        (program("unit", "no-such-program"), f"cannot start no-such-program: No such file or directory (on {HOST})"),
        (shell("unit", "true", cwd="/nowhere"), f"cannot start sh: in /nowhere: No such file or directory (on {HOST})"),
        (shell("unit", "echo why; exit 3"), "exit 3"),
    ],
    ids=["program", "directory", "exit"],
)
def test_what_is_not_there_is_told_with_the_machine(cluster: Cluster, tmp_path: Path, unit, expected: str) -> None:
    assert cluster.run(Home(tmp_path, unit).parcel("unit"))["error"][1] == expected


def test_what_a_command_leaves_behind_is_ended_and_told(cluster: Cluster, tmp_path: Path) -> None:
    parcel = Home(tmp_path, shell("unit", "sleep 3600 & true"), grace=0.1).parcel("unit")

    assert cluster.run(parcel)["error"] is None
    assert [text.partition(",")[0] for text in cluster.texts(parcel, "warning")] == ["left 1 background process behind"]


# -- logs --------------------------------------------------------------------------------------------------


def test_output_is_read_while_a_unit_runs(cluster: Cluster, tmp_path: Path) -> None:
    go = tmp_path / "go"
    text = f"echo one; until [ -e {go} ]; do sleep 0.02; done; echo two; seq 2000"
    parcel = Home(tmp_path, shell("unit", text)).parcel("unit")
    rest = b"two\n" + b"".join(b"%d\n" % number for number in range(1, 2001))
    cluster.begin(parcel)
    printed(cluster, parcel, b"one\n")
    assert cluster.site.logs({parcel.token: 4, "another": 0}) == {parcel.token: (4, b"")}
    go.touch()

    end = cluster.end(parcel)

    assert end["more"]
    assert end["log"] == [4 + len(rest), b""]
    assert cluster.site.logs({parcel.token: 4}) == {parcel.token: (4, rest)}
    cluster.site.forget([parcel.token])
    assert cluster.site.logs({parcel.token: 0}) == {}
    assert list((tmp_path / "site" / "logs").iterdir()) == []


def test_output_beyond_the_limit_is_a_jump(cluster: Cluster, tmp_path: Path) -> None:
    parcel = Home(tmp_path, shell("unit", "seq 10000", log_max=4096)).parcel("unit")
    output = b"".join(b"%d\n" % number for number in range(1, 10_001))

    assert cluster.run(parcel)["log"] == [len(output), b""]

    def read(offset: int) -> tuple[int, bytes]:
        return cluster.site.logs({parcel.token: offset})[parcel.token]

    tail = len(output) - 2048
    assert read(0) == (0, output[:2048])
    assert read(2048) == read(2060) == read(10_000) == (tail, output[tail:])
    assert read(len(output)) == (len(output), b"")


def test_a_log_that_was_told_is_forgotten(cluster: Cluster, tmp_path: Path) -> None:
    parcel = Home(tmp_path, shell("unit", "echo hello")).parcel("unit")

    assert cluster.run(parcel)["log"] == [0, b"hello\n"]
    assert cluster.site.logs({parcel.token: 0}) == {}
    assert list((tmp_path / "site" / "logs").iterdir()) == []


# -- stopping ----------------------------------------------------------------------------------------------


def test_a_unit_is_asked_to_stop(cluster: Cluster, tmp_path: Path) -> None:
    home = Home(tmp_path, call("call", wait_for_stop), shell("command", "echo ready; sleep 3600"))
    for name in ("call", "command"):
        parcel = home.parcel(name)
        cluster.begin(parcel)
        printed(cluster, parcel, b"ready\n")

        assert cluster.site.stop(parcel.token, kill=False)

        end = cluster.end(parcel)
        assert (end["canceled"], end["error"], end["log"]) == (True, None, [0, b"ready\n"])


def test_a_kill_ends_a_unit_and_all_below_it(cluster: Cluster, tmp_path: Path) -> None:
    parcel = Home(tmp_path, call("unit", ignore_stops, args={"place": str(tmp_path)})).parcel("unit")
    cluster.begin(parcel)
    until((tmp_path / "pids").exists, "it has a child")
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert cluster.site.stop(parcel.token, kill=False)

    assert cluster.site.stop(parcel.token, kill=True)

    assert cluster.end(parcel)["canceled"]
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert not cluster.site.stop(parcel.token, kill=True)


def test_a_unit_that_was_stopped_before_it_came_never_begins(cluster: Cluster, tmp_path: Path) -> None:
    parcel = Home(tmp_path, shell("unit", f"touch {tmp_path}/begun")).parcel("unit")

    assert not cluster.site.stop(parcel.token, kill=False)

    assert cluster.run(parcel)["canceled"]
    assert cluster.kinds(parcel) == ["ended"]
    assert not (tmp_path / "begun").exists()


def test_a_unit_in_which_nobody_is_interested_is_stopped_then_killed(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site, "ASK_SECONDS", 0.02)
    text = "trap 'echo asked' TERM; echo ready; while :; do sleep 1; done"
    parcel = Home(tmp_path, shell("unit", text), grace=2.0).parcel("unit")
    interest = [True]
    cluster.begin(parcel, wanted=lambda: interest[0])
    printed(cluster, parcel, b"ready\n")

    interest.clear()
    interest.append(False)

    end = cluster.end(parcel)
    assert end["canceled"]
    told = end["log"][1].replace(b"Terminated\n", b"")  # the shell may say so first, of its sleep
    assert told.startswith(b"ready\nasked\n")


def test_a_unit_is_stopped_after_its_timeout_if_qtui_does_not(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site, "ASK_SECONDS", 0.02)
    monkeypatch.setattr(site, "TIMEOUT_MORE", 0.1)

    assert cluster.run(Home(tmp_path, shell("unit", "sleep 3600", timeout=0.1)).parcel("unit"))["canceled"]


def test_closing_kills_what_runs(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "site")
    parcel = Home(tmp_path, shell("unit", "trap '' TERM; echo ready; sleep 3600 & sleep 3600")).parcel("unit")
    cluster.begin(parcel)
    printed(cluster, parcel, b"ready\n")

    cluster.close()

    assert cluster.end(parcel)["canceled"]
    assert not (tmp_path / "site").exists()


_HOLDER = """
import pickle, sys
from qtui.engine.remote.site import Site
parcel = pickle.load(sys.stdin.buffer)
Site(sys.argv[1], lambda *message: None, lambda *value: None).perform(parcel, (), lambda: True)
"""


def test_a_worker_of_the_cluster_that_is_killed_leaves_nothing(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    text = f"setsid sh -c 'sleep 3600 & touch {ready}; sleep 3600' & trap '' TERM; sleep 3600"
    parcel = Home(tmp_path, shell("unit", text)).parcel("unit")
    with subprocess.Popen([sys.executable, "-c", _HOLDER, str(tmp_path / "site")], stdin=subprocess.PIPE) as holder:
        assert holder.stdin is not None
        holder.stdin.write(pickle.dumps(parcel))
        holder.stdin.close()
        until(ready.exists, "the unit runs")
        assert len(processes_of_runs()) >= 5

        holder.send_signal(signal.SIGKILL)
        assert holder.wait(GENEROUS) == -signal.SIGKILL

    until(lambda: not processes_of_runs(), "all that it had started is gone")
    until(lambda: not (tmp_path / "site").exists(), "its directory is gone")
