"""Results come back as they were or not at all, and a pickle that is not ours is never loaded."""

from __future__ import annotations

import json
import math
import os
import pickle
import subprocess
import sys
import threading
from array import array
from collections import OrderedDict
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtui.core.errors import Canceled, UsageError
from qtui.engine.packing import Packed, pack, unpack
from qtui.store.journal import StoredResult
from qtui.store.resultkey import KEY_BYTES, load_key
from qtui.store.results import ROW_BYTES, ResultStore, ResultUnusable, Verified
from qtui.store.rundir import RunDirectory

RUN = "20260101-120000-0000abcd"
KEY = b"k" * KEY_BYTES


def store_in(state: Path, *, run: str = RUN, key: bytes = KEY, persist_max: int | None = None) -> ResultStore:
    return ResultStore(RunDirectory.create(state, run), key, persist_max, pack)


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    return store_in(tmp_path)


def loaded(store: ResultStore, stored: StoredResult) -> Any:
    found = store.load(stored)
    return unpack(Packed(*found)) if isinstance(found, Verified) else found


def files(state: Path) -> list[str]:
    results = state / "runs" / RUN / "results"
    return sorted(path.name for path in results.iterdir()) if results.exists() else []


def packed_in(place: Path, value: Any) -> Packed:
    return pack(value, lambda: str(place / f"value-{len(list(place.iterdir()))}"))


class Level(IntEnum):
    HIGH = 1


class Point(NamedTuple):
    x: int


class Text(str):
    pass


SHARED = ["shared"]

EXACT = [None, True, 0, -1, 2**1000, -0.0, 1e-320, "", "ü\u2028\0", [], {}, {"b": 1, "a": [None, {"c": 1.5}]}, [1, 1.0]]
NOT_JSON = [
    (1, 2),
    {1: "a"},
    {"a": (1,)},
    {1.5, 2},
    b"bytes",
    bytearray(b"x"),
    2**5000,
    math.inf,
    [SHARED, SHARED],
    "\ud800",
    "\ud83d\ude00",
    {"\udcff": 1},
    Level.HIGH,
    Point(1),
    Text("x"),
    OrderedDict(a=1),
    array("d", [1.0]),
    1j,
    list(range(20_000)),
    "long" * ROW_BYTES,
]


def same(one: Any, other: Any) -> bool:
    """Equal, of equal types, down to signs of zeros, order and what is shared."""
    return type(one) is type(other) and pickle.dumps(one) == pickle.dumps(other) and repr(one) == repr(other)


@pytest.mark.parametrize("value", EXACT, ids=repr)
def test_what_json_gives_back_exactly_is_kept_as_json(store: ResultStore, tmp_path: Path, value: Any) -> None:
    for stored in (store.encode(3, "unit", 2, value), store.encode_packed(3, "unit", 2, packed_in(tmp_path, value))):
        assert (stored.unit, stored.id, stored.attempt, stored.kind, stored.path) == (3, "unit", 2, "json", "")
        json.loads(stored.data)
        assert same(store.load(stored), value)


@pytest.mark.parametrize("value", NOT_JSON, ids=lambda value: repr(value)[:20])
def test_everything_else_is_a_signed_pickle(store: ResultStore, tmp_path: Path, value: Any) -> None:
    for stored in (store.encode(3, "unit", 2, value), store.encode_packed(3, "unit", 2, packed_in(tmp_path, value))):
        assert stored.kind in ("pickle", "file")
        assert stored.digest
        assert same(loaded(store, stored), value)


def test_nan_and_what_holds_itself_come_back(store: ResultStore) -> None:
    assert math.isnan(loaded(store, store.encode(0, "unit", 1, math.nan)))
    endless: list[Any] = []
    endless.append(endless)
    again = loaded(store, store.encode(0, "unit", 1, endless))
    assert again[0] is again


def test_a_few_lists_that_would_be_endless_as_json_are_kept_at_once(store: ResultStore) -> None:
    value: list[Any] = []
    for _ in range(60):
        value = [value, value]
    assert store.encode(0, "unit", 1, value).kind == "pickle"


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)


@given(PLAIN)
def test_plain_values_come_back_exactly_whichever_way_they_are_kept(value: Any) -> None:
    store = ResultStore(RunDirectory(run=RUN, path=Path("/nonexistent")), KEY, None, pack)
    for stored in (store.encode(0, "unit", 1, value), store.encode_packed(0, "unit", 1, Packed(pickle.dumps(value)))):
        assert repr(loaded(store, stored)) == repr(value)


# -- large values ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", [os.urandom(3 << 20), bytearray(os.urandom(2 << 20)), array("d", range(300_000)), {"x": "y" * ROW_BYTES}]
)
def test_large_values_are_files_that_belong_to_the_run(tmp_path: Path, value: Any) -> None:
    store = store_in(tmp_path / "state")
    (tmp_path / "values").mkdir()
    packed = packed_in(tmp_path / "values", value)
    for stored in (store.encode(0, "u", 1, value), store.encode_packed(0, "u", 2, packed)):
        assert stored.kind == "file"
        path = tmp_path / "state" / "runs" / RUN / stored.path
        assert path.stat().st_mode & 0o777 == 0o600
        assert loaded(store, stored) == value
    assert len(files(tmp_path / "state")) == 2, "nothing is left over"
    if packed.path:
        Path(packed.path).unlink()
        assert loaded(store, stored) == value, "it has a name of its own"


def test_what_is_larger_than_persist_max_is_not_kept_and_says_so(tmp_path: Path) -> None:
    store = store_in(tmp_path / "state", persist_max=1 << 20)
    (tmp_path / "values").mkdir()
    for value in (b"x" * (3 << 20), {"a": [b"x" * (3 << 20)]}):
        packed = packed_in(tmp_path / "values", value)
        for stored in (store.encode(0, "big", 1, value), store.encode_packed(0, "big", 1, packed)):
            assert stored.kind == "none"
            assert stored.why in ("3 MB is more than persist_max of 1 MB", "3.0 MB is more than persist_max of 1 MB")
            with pytest.raises(
                ResultUnusable, match=r"the result of big was not kept: 3.* MB is more than persist_max"
            ):
                store.load(stored)
        assert packed.path == "" or Path(packed.path).exists(), "it still is its unit's result"
    assert files(tmp_path / "state") == []
    assert store_in(tmp_path / "state", persist_max=0).encode(0, "unit", 1, [1]).kind == "none"


def test_what_a_dead_process_left_half_written_is_swept(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    store.sweep()
    stored = store.encode(0, "unit", 1, b"x" * (2 << 20))
    (tmp_path / "runs" / RUN / "results" / ".new-1").write_bytes(b"half")
    store.sweep()
    assert files(tmp_path) == [stored.digest]
    assert loaded(store, stored) == b"x" * (2 << 20)


def test_values_that_the_journal_does_not_refer_to_are_removed_and_nothing_else_is(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    store.remove_others([])
    first, second = (store.encode(0, "unit", attempt, b"x" * (2 << 20)) for attempt in (1, 2))
    (tmp_path / "runs" / RUN / "results" / "notes.txt").write_text("a person's")

    store.remove_others([second.path])

    assert files(tmp_path) == sorted(["notes.txt", second.digest])
    assert loaded(store, second) == b"x" * (2 << 20)
    with pytest.raises(ResultUnusable, match="cannot be read"):
        store.load(first)


def test_a_result_that_cannot_be_written_does_not_fail_the_unit(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    (tmp_path / "runs" / RUN / "results").write_text("in the way")
    stored = store.encode(0, "unit", 1, b"x" * (2 << 20))
    assert (stored.kind, stored.why) == ("none", "it cannot be written: File exists")
    gone = store.encode_packed(0, "unit", 1, Packed(b"", str(tmp_path / "gone"), (1,), "bytes"))
    assert gone.kind == "none"


FULL = """
import resource, signal, sys
from pathlib import Path
from qtui.engine.packing import pack
from qtui.store.results import ResultStore
from qtui.store.rundir import RunDirectory
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
store = ResultStore(RunDirectory.create(Path(sys.argv[1]), sys.argv[2]), b"k" * 32, None, pack)
print(store.encode(0, "unit", 1, b"x" * (2 << 20))[3:])
"""


def test_a_full_disk_leaves_no_half_of_a_value(tmp_path: Path) -> None:
    told = subprocess.run([sys.executable, "-c", FULL, tmp_path, RUN], capture_output=True, text=True, check=True)
    assert told.stdout == "('none', b'', '', '', 'it cannot be written: File too large')\n"
    assert files(tmp_path) == []


# -- values that cannot be kept ----------------------------------------------------------------------------


class Raises:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __reduce__(self) -> Any:
        raise self.error


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize("error", [ValueError("no \x1b[31m"), SystemExit(3), KeyboardInterrupt(), Unprintable()])
def test_a_value_that_cannot_be_pickled_is_not_kept_and_says_why(store: ResultStore, error: BaseException) -> None:
    stored = store.encode(0, "unit", 1, Raises(error))
    assert stored.kind == "none"
    assert stored.why.startswith(f"it cannot be pickled: {type(error).__name__}")
    assert stored.why.isprintable()


def test_a_lock_is_not_kept(store: ResultStore) -> None:
    assert "cannot pickle '_thread.lock' object" in store.encode(0, "unit", 1, threading.Lock()).why


def test_a_unit_that_is_being_canceled_is_not_held_up(store: ResultStore) -> None:
    with pytest.raises(Canceled):
        store.encode(0, "unit", 1, Raises(Canceled()))


# -- trust -------------------------------------------------------------------------------------------------


class Planted:
    """Leaves a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def refused(store: ResultStore, stored: StoredResult, why: str = "cannot be trusted") -> bool:
    with pytest.raises(ResultUnusable, match=f"the stored result of {stored.id} {why}"):
        store.load(stored)
    return True


@pytest.mark.parametrize("digest", ["", "0" * 64, "é"])
def test_a_planted_pickle_is_never_loaded(store: ResultStore, tmp_path: Path, digest: str) -> None:
    planted = pickle.dumps(Planted(tmp_path / "ran"))
    for kind in ("pickle", "json"):
        stored = StoredResult(unit=0, id="unit", attempt=1, kind=kind, data=planted, digest=digest)
        assert refused(store, stored, "is damaged" if kind == "json" else "cannot be trusted")
    assert store.encode_packed(0, "unit", 1, Packed(planted)).kind == "pickle", "nor is it when it is kept"
    assert not (tmp_path / "ran").exists()
    pickle.loads(planted)
    assert (tmp_path / "ran").exists(), "it would have left a file"


def test_a_planted_file_is_never_loaded(store: ResultStore, tmp_path: Path) -> None:
    stored = store.encode(0, "unit", 1, {"large": b"x" * (2 << 20)})
    path = tmp_path / "runs" / RUN / stored.path
    genuine = path.read_bytes()
    for content in (pickle.dumps(Planted(tmp_path / "ran")), genuine[:-1], genuine + b"\0", b""):
        path.write_bytes(content)
        assert refused(store, stored)
    path.write_bytes(genuine)
    assert loaded(store, stored) == {"large": b"x" * (2 << 20)}
    path.unlink()
    assert refused(store, stored, "cannot be read: No such file")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("value", [(1, 2), b"x" * (2 << 20)], ids=["row", "file"])
def test_a_result_cannot_stand_in_for_another(tmp_path: Path, value: Any) -> None:
    store = store_in(tmp_path)
    stored = store.encode(0, "unit", 1, value)
    assert loaded(store, stored._replace(unit=5)) == value, "the number of a unit may change when a workflow does"
    assert refused(store, stored._replace(id="other"))
    assert refused(store, stored._replace(attempt=2))
    assert refused(store_in(tmp_path, key=b"other" * 8), stored)
    if stored.kind == "file":
        for header in ({"kind": "pickle", "sizes": [2 << 20]}, {"kind": "bytes", "sizes": [1]}):
            assert refused(store, stored._replace(data=json.dumps(header).encode()))
    another = store_in(tmp_path, run="20260101-120000-0000ffff")
    (tmp_path / "runs" / RUN / "results").mkdir(exist_ok=True)
    (tmp_path / "runs" / "20260101-120000-0000ffff" / "results").symlink_to(tmp_path / "runs" / RUN / "results")
    assert refused(another, stored)


@pytest.mark.parametrize(
    "path", ["", "../../../etc/passwd", "/etc/passwd", "results/../journal.db", "results/x", "a\0b"]
)
def test_no_path_leads_out_of_the_results(store: ResultStore, path: str) -> None:
    header = b'{"kind": "bytes", "sizes": [1]}'
    stored = StoredResult(unit=0, id="unit", attempt=1, kind="file", data=header, path=path, digest="0" * 64)
    assert refused(store, stored, "is damaged")


@pytest.mark.parametrize("header", [b"", b"\xff", b"[]", b"{}", b'{"kind": "x", "sizes": []}', b"[" * 90_000])
def test_a_header_of_garbage_is_told_of(store: ResultStore, header: bytes) -> None:
    stored = store.encode(0, "unit", 1, b"x" * (2 << 20))
    assert refused(store, stored._replace(data=header), "is damaged")


@pytest.mark.parametrize("stand_in", ["link", "pipe"])
def test_a_file_that_is_no_file_is_refused(store: ResultStore, tmp_path: Path, stand_in: str) -> None:
    stored = store.encode(0, "unit", 1, b"x" * (2 << 20))
    path = tmp_path / "runs" / RUN / stored.path
    path.rename(tmp_path / "moved")
    if stand_in == "link":
        path.symlink_to(tmp_path / "moved")
        assert refused(store, stored, "cannot be read")
    else:
        os.mkfifo(path)
        assert refused(store, stored, "cannot be trusted")


# -- the key -----------------------------------------------------------------------------------------------


def test_the_key_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        key = load_key(tmp_path / "state")
    finally:
        os.umask(before)
    assert len(key) == KEY_BYTES
    assert load_key(tmp_path / "state") == key
    assert (tmp_path / "state" / "key").stat().st_mode & 0o777 == 0o600
    assert load_key(tmp_path / "other") != key


def test_all_who_make_the_key_at_once_have_the_same(tmp_path: Path) -> None:
    begin, keys = threading.Barrier(8), []

    def make() -> None:
        begin.wait()
        keys.append(load_key(tmp_path))

    makers = [threading.Thread(target=make) for _ in range(8)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    assert len(keys) == 8
    assert len(set(keys)) == 1


def test_a_key_that_a_dead_process_did_not_write_is_made_up_for(tmp_path: Path) -> None:
    (tmp_path / "key").touch(mode=0o600)
    assert load_key(tmp_path) == load_key(tmp_path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_key_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    load_key(tmp_path)
    (tmp_path / "key").chmod(mode)
    with pytest.raises(UsageError, match=f"others may use the key .*key .mode {mode:04o}.*remove it"):
        load_key(tmp_path)


def test_a_damaged_key_and_a_link_in_its_place_are_refused(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.touch(mode=0o600)
    key.write_bytes(b"short")
    with pytest.raises(UsageError, match=r"key is damaged: remove it"):
        load_key(tmp_path)
    key.rename(tmp_path / "moved")
    key.symlink_to(tmp_path / "moved")
    with pytest.raises(UsageError, match=r"key is a symbolic link"):
        load_key(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_somebody_elses_key_is_refused(tmp_path: Path) -> None:
    load_key(tmp_path)
    os.chown(tmp_path / "key", 65534, 65534)
    with pytest.raises(UsageError, match=r"key is not yours"):
        load_key(tmp_path)
