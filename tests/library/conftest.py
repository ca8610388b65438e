"""Each test of the library leaves nothing behind: no threads, no processes, no files."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from library_waiting import eventually


@pytest.fixture(autouse=True)
def nothing_left_behind(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """What a test made is gone soon after it; gives the directory where temporary files would be."""
    directory = tmp_path_factory.mktemp("temporary")
    monkeypatch.setenv("TMPDIR", str(directory))
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    threads = set(threading.enumerate())
    yield directory
    eventually(lambda: not [t for t in set(threading.enumerate()) - threads if t.is_alive()], "all threads ended")
    eventually(lambda: not psutil.Process().children(recursive=True), "all child processes ended")
    eventually(lambda: not list(directory.glob("qtui-*")), "all temporary directories removed")
