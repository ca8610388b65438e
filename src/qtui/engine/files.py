"""The directory of a run: its logs, and values too large to travel in a message."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import threading
import time
from pathlib import Path


def new_run_id() -> str:
    """Sorts by time, is easy to type in part, and does not collide when many runs start in one second."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}"


class RunFiles:
    """The files of one run, below `directory` (0700).

    Without a directory they live in a temporary one, made when the first file is and gone when the run is closed;
    should qtui be killed, a keeper removes it.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self._given = directory
        self._made: dict[str, str] = {}
        self._lock = threading.Lock()
        self._temporary: Path | None = None

    @classmethod
    def of_run(cls, state_dir: Path | None, run: str) -> RunFiles:
        """The files of a run in ``state_dir/runs/RUN``, or without a directory. Raises OSError if it cannot be made."""
        if state_dir is None:
            return cls()
        directory = state_dir / "runs" / run
        for made in (state_dir, directory.parent, directory):
            made.mkdir(mode=0o700, parents=True, exist_ok=True)
        return cls(directory)

    @property
    def temporary(self) -> bool:
        """True if nothing of it is to outlive the run."""
        return self._given is None

    @property
    def given(self) -> Path | None:
        """The directory that outlives the run, if there is one."""
        return self._given

    def root(self) -> Path:
        """The run's directory, made at the first call."""
        if self._given is not None:
            return self._given
        if self._temporary is None:
            with self._lock:
                if self._temporary is None:
                    self._temporary = Path(tempfile.mkdtemp(prefix="qtui-"))
        return self._temporary

    def folder(self, name: str) -> str:
        """A directory of the run, made at the first call. A text, as a Path costs more than starting a small unit."""
        made = self._made.get(name)
        if made is None:
            path = self.root() / name
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            made = self._made[name] = str(path)
        return made

    def existing(self, name: str) -> str | None:
        """That directory, if it has been made."""
        return self._made.get(name)

    def close(self) -> None:
        """Remove what does not outlive the run: values, and all of a temporary directory."""
        values = self._made.pop("values", None)
        if values is not None:
            shutil.rmtree(values, ignore_errors=True)
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = None
            self._made.clear()
