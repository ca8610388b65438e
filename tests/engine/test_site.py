"""Calls at a site: what reaches them there, and what comes back of them."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engine_waiting import until
from site_home import MB, Cluster, Home, call, over_the_wire
from site_units import (
    Grid,
    OnlyHere,
    change_and_sum,
    clean_up_when_cancelled,
    die,
    fail,
    make_large,
    measure,
    meet,
    tell_all,
    use_skipped,
    wait_and_tell,
)

from qtui.core.model import FromUnit
from qtui.engine.packing import Packed, pack, unpack
from qtui.engine.remote import siterun
from qtui.engine.remote.parcel import RemoteValue, inlined, own_places


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path / "site")
    yield cluster
    cluster.close()


def test_a_call_has_what_it_has_on_one_machine(cluster: Cluster, tmp_path: Path) -> None:
    unit = call("use", tell_all, "make", matrix={"i": 3}, env={"OWN": "mine"})
    home = Home(tmp_path, call("make", list), unit, results={"make": [1, 2]}, params={"size": 7})
    parcel = home.parcel("use", attempt=4)

    value = cluster.value(parcel)

    assert value["need"] == [1, 2]
    assert value["params"] == {"size": 7}
    assert value["unit"] == ["use", 3, 4]
    assert value["environment"] == ["use", home.run, "4", "7", "mine"]
    assert cluster.kinds(parcel) == ["began", "progress", "ended"]
    end = cluster.end(parcel)
    assert end["log"] == [0, b"printed\nlogged\n"]
    assert end["metrics"] == {"rows": float(2**70), "name": "a\\udcff"}  # as every message can be encoded
    assert end["seconds"] > 0
    assert end["cpu_seconds"] > 0
    assert [unit.id for unit in unpack(Packed(*end["added"]))] == ["more"]


def test_workers_are_used_again_and_load_a_function_once(cluster: Cluster, tmp_path: Path) -> None:
    seen: list[int] = []

    def note() -> tuple[int, int]:
        seen.append(1)  # its own copy, which came by value
        return os.getpid(), len(seen)

    home = Home(tmp_path, call("one", note), call("two", note))

    first, second = cluster.value(home.parcel("one")), cluster.value(home.parcel("two"))

    assert first[0] == second[0] != os.getpid()
    assert (first[1], second[1], seen) == (1, 2, [])


def test_changed_code_is_run_by_workers_that_have_not_imported_the_old(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "edited_steps.py"
    module.write_text("def version():\n    return 'first'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import edited_steps  # type: ignore[import-not-found]

    home = Home(tmp_path, call("unit", edited_steps.version))
    assert cluster.value(home.parcel("unit")) == "first"
    module.write_text("def version():\n    return 'second'\n")
    os.utime(module, (1, 1))  # or the compiled one of this second would do

    assert cluster.value(home.parcel("unit")) == "first"
    assert cluster.value(home.parcel("unit", edition=1)) == "second"


def test_a_coroutine_function_runs_in_a_process(cluster: Cluster, tmp_path: Path) -> None:
    assert cluster.value(Home(tmp_path, call("unit", wait_and_tell)).parcel("unit")) == "unit awaited"


def test_a_coroutine_is_cancelled(cluster: Cluster, tmp_path: Path) -> None:
    place = tmp_path / "note"
    parcel = Home(tmp_path, call("unit", clean_up_when_cancelled, args={"place": str(place)})).parcel("unit")
    cluster.begin(parcel)
    until(lambda: cluster.site.logs({parcel.token: 0}).get(parcel.token) == (0, b"ready\n"), "it waits")

    assert cluster.site.stop(parcel.token, kill=False)

    assert cluster.end(parcel)["canceled"]
    assert place.read_text() == "cleaned up"


# -- values ------------------------------------------------------------------------------------------------


def test_a_large_result_stays_and_is_handed_on_as_the_file_that_it_is(cluster: Cluster, tmp_path: Path) -> None:
    use = call("use", measure, "make", "small", args={"data": FromUnit("make"), "small": FromUnit("small")})
    home = Home(tmp_path, call("make", make_large), call("small", str), use, results={"make": 0, "small": "s"})
    made = home.parcel("make")

    end = cluster.run(made)

    assert (end["value"], end["held"]) == (None, 20 * MB)
    held = cluster.kept[f"{made.token}/value"]
    assert held.nbytes == 20 * MB
    assert sys.getsizeof(held) >= 20 * MB
    file = held.packed(lambda: pytest.fail("it has one")).path
    assert cluster.value(home.parcel("use", held=["make"]), [held]) == (20 * MB, "s")

    del held
    cluster.kept.clear()
    assert not Path(file).exists()


def test_a_result_goes_from_one_machine_to_another_in_pieces(cluster: Cluster, tmp_path: Path) -> None:
    value = {"grid": Grid(bytearray(b"\1" * 2 * MB)), "name": "a"}
    home = Home(tmp_path, call("make", dict), call("use", change_and_sum, "make"), results={"make": None})
    arrived = over_the_wire(RemoteValue.of(pack(value, lambda: str(tmp_path / "value"))))
    assert [len(piece) > MB for piece in arrived.pieces] == [False, True]
    assert not (tmp_path / "value").exists()  # that machine has none any more

    for _ in range(2):  # what a reader changes is its own
        assert cluster.value(home.parcel("use", held=["make"]), [arrived]) == 2048


@pytest.mark.parametrize(
    "value", [b"x" * 2 * MB, bytearray(2 * MB), "y" * 2 * MB, [1, 2]], ids=lambda value: type(value).__name__
)
def test_a_result_of_any_size_may_travel_inside(value: Any, tmp_path: Path) -> None:
    packed = inlined(pack(value, lambda: str(tmp_path / "value")))

    assert not packed.path
    assert unpack(packed) == value
    assert type(unpack(packed)) is type(value)


def test_large_results_of_this_machine_travel_inside(cluster: Cluster, tmp_path: Path) -> None:
    results = {"make": {"grid": Grid(bytearray(b"\1" * 2 * MB))}}
    home = Home(tmp_path, call("make", dict), call("use", change_and_sum, "make"), results=results)

    assert cluster.value(home.parcel("use")) == 2048


def test_a_need_without_a_result_says_why(cluster: Cluster, tmp_path: Path) -> None:
    home = Home(tmp_path, call("skipped", dict), call("use", use_skipped, "skipped", when="always"))

    error = cluster.run(home.parcel("use"))["error"]

    assert error[:2] == ["NoResult", "skipped has no result: it was skipped (its condition)"]


# -- what goes wrong ---------------------------------------------------------------------------------------


def test_an_exception_comes_back_as_text(cluster: Cluster, tmp_path: Path) -> None:
    end = cluster.run(Home(tmp_path, call("unit", fail)).parcel("unit"))

    assert end["error"][:2] == ["ValueError", "with \\udcff in it"]
    assert "in fail" in end["error"][2]
    assert (end["value"], end["canceled"]) == (None, False)


def test_what_cannot_be_loaded_there_is_told_with_the_machine(cluster: Cluster, tmp_path: Path) -> None:
    here = OnlyHere(os.getpid())
    home = Home(tmp_path, call("unit", lambda: here))
    parcel = home.parcel("unit")

    error = cluster.run(parcel)["error"]

    assert error[0] == "LoadError"
    assert error[1].endswith(
        "ModuleNotFoundError: No module named 'steps'"
        f" (on {socket.gethostname()}, where what it imports has to be, too)"
    )


def test_a_directory_that_is_not_there_is_told_with_the_machine(cluster: Cluster, tmp_path: Path) -> None:
    parcel = Home(tmp_path, call("unit", os.getcwd, cwd="/nowhere/at/all")).parcel("unit")

    error = cluster.run(parcel)["error"]

    assert error[1] == f"its directory /nowhere/at/all is not there (on {socket.gethostname()})"


def test_a_call_that_asked_for_no_directory_can_do_without_that_of_qtui(cluster: Cluster, tmp_path: Path) -> None:
    parcel = Home(tmp_path, call("unit", os.getcwd)).parcel("unit")

    assert cluster.value(parcel) == str(Path.cwd())
    assert cluster.value(parcel._replace(cwd="/nowhere", token="another")) == str(tmp_path / "site")


def test_a_worker_that_dies_ends_the_unit_alone(cluster: Cluster, tmp_path: Path) -> None:
    home = Home(tmp_path, call("dies", die), call("unit", os.getpid))

    error = cluster.run(home.parcel("dies"))["error"]

    assert error[:2] == ["lost", f"its process ended with exit 3 (on {socket.gethostname()})"]
    assert cluster.value(home.parcel("unit")) != os.getpid()


def test_a_value_that_cannot_be_kept_fails_the_unit(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "site")
    cluster.site._put = lambda _name, _value: (_ for _ in ()).throw(OSError("the scheduler is gone"))  # type: ignore[assignment]

    error = cluster.run(Home(tmp_path, call("unit", lambda: "x" * 10_000)).parcel("unit"))["error"]

    assert error[1] == f"its result cannot be kept: OSError: the scheduler is gone (on {socket.gethostname()})"
    cluster.close()


# -- many --------------------------------------------------------------------------------------------------


def test_ten_at_once(cluster: Cluster, tmp_path: Path) -> None:
    place = tmp_path / "met"
    place.mkdir()
    home = Home(tmp_path, *(call(f"unit{i}", meet, args={"place": str(place), "others": 10}) for i in range(10)))
    parcels = [home.parcel(f"unit{i}") for i in range(10)]
    threads = [threading.Thread(target=cluster.site.perform, args=(parcel, (), lambda: True)) for parcel in parcels]

    for thread in threads:
        thread.start()

    pids = {unpack(Packed(*cluster.end(parcel)["value"])) for parcel in parcels}
    assert len(pids) == 10
    for thread in threads:
        thread.join()


def test_idle_workers_end(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(siterun, "IDLE_SECONDS", 0.2)
    home = Home(tmp_path, call("unit", os.getpid))

    first = cluster.value(home.parcel("unit"))

    until(lambda: not Path(f"/proc/{first}").exists(), "its worker ended")
    assert cluster.value(home.parcel("unit")) != first


@pytest.mark.parametrize("used", [False, True])
def test_a_closed_site_refuses_what_comes(tmp_path: Path, used: bool) -> None:
    cluster = Cluster(tmp_path / "site")
    home = Home(tmp_path, call("unit", os.getpid))
    if used:
        cluster.value(home.parcel("unit"))

    cluster.close()

    assert cluster.run(home.parcel("unit"))["canceled"]
    assert not (tmp_path / "site").exists()


def test_places_of_another_python_do_not_travel() -> None:
    import site as of_python

    own = ["/home/me/flow", str(Path.cwd())]

    assert own_places(["/home/me/flow", "", str(Path(os.__file__).parent), *of_python.getsitepackages()]) == own
