"""The user's key, ``STATE/key``: what it has signed was made by this user's qtui, and by nobody else."""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
from pathlib import Path
from typing import Final

from qtui.core.errors import UsageError

KEY_BYTES: Final = 32


def load_key(state_dir: Path) -> bytes:
    """The key, made at the first call. Raises UsageError if it cannot be had, or if it is not secret any more."""
    path = state_dir / "key"
    try:
        try:
            key = _read(path, os.open(path, os.O_RDONLY | _CAREFULLY))
        except FileNotFoundError:
            key = b""
        if not key:
            state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            key = _make(path)
    except OSError as error:
        if path.is_symlink():
            raise UsageError(f"{path} is a symbolic link, which qtui does not follow: remove it") from None
        raise UsageError(f"the key {path} cannot be used: {error.strerror or error}") from None
    if len(key) != KEY_BYTES:
        raise UsageError(f"the key {path} is damaged: remove it; results that it has signed are made anew when needed")
    return key


_CAREFULLY: Final = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def _make(path: Path) -> bytes:
    """Of several processes that want to make it, the first does, and all have the same; one that died halfway is
    made up for."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _CAREFULLY, 0o600)
    except FileExistsError:
        descriptor = os.open(path, os.O_RDWR | _CAREFULLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    if os.fstat(descriptor).st_size == 0:
        os.write(descriptor, secrets.token_bytes(KEY_BYTES))
        os.fsync(descriptor)
        os.lseek(descriptor, 0, os.SEEK_SET)
    return _read(path, descriptor)


def _read(path: Path, descriptor: int) -> bytes:
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            raise UsageError(f"the key {path} is not yours: remove it, or work elsewhere with --state-dir")
        if found.st_mode & 0o077:
            raise UsageError(
                f"others may use the key {path} (mode {stat.S_IMODE(found.st_mode):04o}), so what it has signed cannot "
                "be trusted: remove it, or chmod 600 it if nobody has had access"
            )
        return file.read(KEY_BYTES + 1)
