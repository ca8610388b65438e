"""Which schedulers are spoken to, and which versions at both ends."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from qtui.core.errors import UsageError
from qtui.core.model import ExecutionMode
from qtui.engine.remote.security import own_versions, refusal, versions_differ, versions_doubted, versions_of
from qtui.engine.workers.clustersource import ClusterSource
from qtui.engine.workers.registry import make_lane

HOSTS = {
    "here": ["127.0.1.1"],
    "both": ["::1", "127.0.0.1"],
    "head": ["10.0.0.5"],
    "mixed": ["127.0.0.1", "10.0.0.5"],
    "empty": [],
}


def resolve(name: str) -> Iterable[str]:
    if name not in HOSTS:
        raise OSError(-2, "Name or service not known")
    return HOSTS[name]


@pytest.mark.parametrize(
    "address",
    [
        "",
        "tcp://127.0.0.1:8786",
        "127.9.9.9:8786",
        "tcp://[::1]:8786",
        "tcp://[::ffff:127.0.0.1]:8786",
        "ws://localhost:8786",
        "tcp://here:8786",
        "tcp://both:8786",
        "inproc://10.0.0.5/1/1",
        "tls://10.0.0.5:8786",
        "tls://head:8786",
        "wss://head:8786",
    ],
)
def test_this_machine_and_what_is_encrypted_will_do(address: str) -> None:
    assert refusal(address, insecure=False, resolve=resolve) == ""


@pytest.mark.parametrize(
    "address",
    [
        "tcp://10.0.0.5:8786",
        "10.0.0.5:8786",
        "tcp://0.0.0.0:8786",
        "tcp://[fe80::1]:8786",
        "tcp://[::ffff:10.0.0.5]:8786",
        "ws://head:8786",
        "tcp://head:8786",
        "tcp://mixed:8786",
        "tcp://empty:8786",
        "tcp://tls:8786@10.0.0.5:8786",
        "ucx://10.0.0.5:8786",
        "tcp://gone:8786",
        "tcp://127.0.0.1@head:8786",
    ],
)
def test_other_machines_are_refused_without_encryption_unless_that_is_wanted(address: str) -> None:
    assert refusal(address, insecure=False, resolve=resolve).startswith(address)
    assert refusal(address, insecure=True, resolve=resolve) == ""


def test_a_refusal_says_what_can_be_done() -> None:
    told = refusal("tcp://head:8786", insecure=False, resolve=resolve)

    assert all(way in told for way in ("tls://", "a tunnel to 127.0.0.1", "--insecure"))
    assert refusal("tcp://gone:1", insecure=False, resolve=resolve) == (
        "tcp://gone:1: nobody knows the name gone (Name or service not known)"
    )


def test_names_are_looked_up_where_the_machine_has_them() -> None:
    assert refusal("tcp://127.1:8786", insecure=False) == ""  # no address as Python reads it, but as the system does
    assert "nobody knows the name" in refusal(f"tcp://{'x' * 64}.invalid:1", insecure=False)


def test_no_lane_is_made_for_an_address_that_is_refused() -> None:
    with pytest.raises(UsageError, match="the connection is not encrypted"):
        make_lane(ExecutionMode.CUSTOM, ClusterSource("dask", "tcp://10.0.0.5:8786"))


def test_nor_without_the_package_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qtui.engine.workers.clustersource.find_spec", lambda _: None)

    with pytest.raises(UsageError, match=r'needs the package distributed: pip install "qtui\[dask\]"'):
        make_lane(ExecutionMode.CUSTOM, ClusterSource())


# -- versions --------------------------------------------------------------------------------------------

OURS = {"python": "3.11.7", "qtui": "0.1.0", "cloudpickle": "3.1.2", "distributed": "2026.8.0"}


def test_the_same_versions_will_do() -> None:
    own = own_versions()

    assert set(own) == set(OURS)
    assert versions_differ(own, {"the scheduler": own, "tcp://a:1": own}) == ""
    assert versions_doubted(own, {"the scheduler": own}) == ""


@pytest.mark.parametrize(
    ("package", "version", "message"),
    [
        ("python", "3.12.1", "tcp://b:1 has python 3.12.1, and here it is 3.11.7: functions that are sent by value"),
        ("qtui", "0.2.0", "tcp://b:1 has qtui 0.2.0, and here it is 0.1.0: they would not understand each other"),
        ("cloudpickle", "2.2.1", "tcp://b:1 has cloudpickle 2.2.1, and here it is 3.1.2: neither could read"),
        ("qtui", "", 'tcp://b:1 has no qtui: install "qtui[dask]==0.1.0" there'),
    ],
)
def test_what_would_break_is_refused(package: str, version: str, message: str) -> None:
    told = versions_differ(OURS, {"tcp://a:1": OURS, "tcp://b:1": {**OURS, package: version}})

    assert told.startswith(message)


@pytest.mark.parametrize(
    ("package", "version"), [("python", "3.11.2"), ("cloudpickle", "3.0.0"), ("distributed", "2026.1.1")]
)
def test_what_may_do_is_at_most_doubted(package: str, version: str) -> None:
    theirs = {"tcp://b:1": {**OURS, package: version}}

    assert versions_differ(OURS, theirs) == ""
    doubt = versions_doubted(OURS, theirs)
    assert doubt.startswith(f"tcp://b:1 has {package} {version}") if package != "python" else doubt == ""


def test_a_doubt_about_many_workers_is_one_line() -> None:
    theirs = {f"tcp://w{n}:1": {**OURS, "cloudpickle": "3.0.0"} for n in range(9)}

    assert "tcp://w2:1 has cloudpickle 3.0.0 and 6 more; here it is cloudpickle 3.1.2" in versions_doubted(OURS, theirs)


def test_versions_are_read_from_what_dask_tells() -> None:
    told = {"host": {}, "packages": {"python": "3.11.7.final.0", "qtui": None, "cloudpickle": "3.1.2", "toolz": "1"}}

    assert versions_of(told) == {"python": "3.11.7.final.0", "qtui": "", "cloudpickle": "3.1.2", "distributed": ""}
