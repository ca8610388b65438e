"""The file that keeps results: what it keeps, what it drops, and several processes at a time."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from qtui.engine.cachestore import KEPT, CacheStore, Result
from qtui.engine.packing import Packed


def result(unit: str, digest: str, value: Packed, parts: dict[str, str] | None = None) -> Result:
    return Result(unit=unit, digest=digest, parts=parts or {}, outputs={}, made=time.time(), value=value, content="")


def test_only_the_last_results_of_a_unit_are_kept_and_files_go_with_them(tmp_path: Path) -> None:
    store = CacheStore(tmp_path, "w")
    for number in range(KEPT + 3):
        source = tmp_path / f"value{number}"
        source.write_bytes(b"x")
        value = store.take_file(Packed(b"", str(source), (1,), "bytes"))
        store.add([result("unit", f"digest{number}", value, parts={"the command": str(number)})])
    store.add([result("other", "digest", Packed(b"x"))])

    assert [store.find("unit", f"digest{number}") is not None for number in range(4)] == [False, False, False, True]
    assert store.find("unit", f"digest{KEPT}").parts == {}, "only the newest is ever compared with"
    assert store.newest("unit").parts == {"the command": str(KEPT + 2)}
    assert store.find("other", "digest") is not None
    assert len(list((tmp_path / "cache").iterdir())) == KEPT
    store.close()


def test_files_that_a_dead_process_left_are_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = CacheStore(tmp_path, "w")
    (tmp_path / "value").write_bytes(b"x")
    kept = store.take_file(Packed(b"", str(tmp_path / "value"), (1,), "bytes"))
    store.add([result("unit", "digest", kept)])
    store.take_file(Packed(b"", str(tmp_path / "value"), (1,), "bytes"))  # and never added
    store.close()

    later = time.time() + 7200
    monkeypatch.setattr(time, "time", lambda: later)
    again = CacheStore(tmp_path, "w")
    assert again.find("unit", "digest") is not None
    assert [str(path) for path in (tmp_path / "cache").iterdir()] == [kept.path]
    again.close()


STORING = """
import sys
from pathlib import Path
from qtui.engine.cachestore import CacheStore, Result
from qtui.engine.packing import Packed
store = CacheStore(Path(sys.argv[1]), "w")
for number in range(100):
    result = Result(
        unit=f"u{number}", digest=sys.argv[2], parts={}, outputs={}, made=1.0, value=Packed(b"x"), content=""
    )
    store.add([result])
store.close()
"""


def test_several_processes_store_at_the_same_time(tmp_path: Path) -> None:
    storing = [
        subprocess.Popen([sys.executable, "-c", STORING, str(tmp_path), f"d{number}"], stderr=subprocess.PIPE)
        for number in range(4)
    ]
    assert [process.communicate(timeout=60)[1].decode() for process in storing] == [""] * 4

    store = CacheStore(tmp_path, "w")
    assert all(store.find(f"u{unit}", f"d{number}") for unit in range(100) for number in range(4))
    store.close()
