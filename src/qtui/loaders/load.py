"""Loads a workflow from whatever a person names: a TOML file, a Python file, or an object in a module."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from qtui.core.definition import WorkflowDefinition
from qtui.core.errors import InvalidWorkflow, Problem
from qtui.core.model import EMPTY
from qtui.definition.options import Overrides
from qtui.definition.params import Ask
from qtui.definition.values import quoted
from qtui.loaders.executors import executor_of
from qtui.loaders.python import load_module, load_python
from qtui.loaders.toml import load_toml

__all__ = ["Ask", "Overrides", "load_definition"]

_DOTTED: Final = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"
_IN_FILE: Final = re.compile(rf"(.+\.py):({_DOTTED})")
_IN_MODULE: Final = re.compile(rf"({_DOTTED}):({_DOTTED})")


def load_definition(
    target: str, params: Mapping[str, str] = EMPTY, overrides: Overrides | None = None, ask: Ask | None = None
) -> WorkflowDefinition:
    """The workflow that `target` names, with `params` (text from the command line) filled in.

    `ask` is called for each param that must be given and is not; what it answers is taken as if it had been given.

    `target` is a path to a ``.toml`` or ``.py`` file, ``path.py:name`` or ``pkg.mod:name``. The graph is checked,
    too. Raises InvalidWorkflow with every fault, and where each of them is.
    """
    if (found := _IN_FILE.fullmatch(target)) and not _exists(target):
        return _checked(load_python(_existing(found[1]), found[2], params, overrides, ask), overrides)
    if (found := _IN_MODULE.fullmatch(target)) and not _exists(target):
        return _checked(load_module(found[1], found[2], str(Path.cwd()), params, overrides, ask), overrides)
    path = _existing(target)
    if path.suffix == ".toml":
        return load_toml(path, params, overrides, ask)
    if path.suffix == ".py":
        return _checked(load_python(path, None, params, overrides, ask), overrides)
    raise _unusable(target, "is neither a .toml nor a .py file", _candidate(path))


def _checked(definition: WorkflowDefinition, overrides: Overrides | None) -> WorkflowDefinition:
    """What only the loaders can tell of a workflow that was made in Python: whether its executor is to be found."""
    executor_of(definition, overrides.executor if overrides is not None else None)
    return definition


def _exists(target: str) -> bool:
    try:
        return bool(target) and Path(target).exists()
    except (OSError, ValueError):  # too long, or with a NUL: not the name of a file
        return False


def _existing(target: str) -> Path:
    path = Path(target)
    if not _exists(target):
        raise _unusable(target, _dangling(target) or "there is no such file", _candidate(path))
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise _unusable(target, "is a directory", _candidate(path / "workflow.toml"))
    if not stat.S_ISREG(mode):
        # to read a pipe or a device could take for ever
        raise _unusable(target, f"is {_KINDS.get(stat.S_IFMT(mode), 'something else')}, not a regular file")
    return path


_KINDS: Final = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def _dangling(target: str) -> str:
    """What is wrong with a symbolic link that leads to no file; empty if `target` is none."""
    try:
        return f"is a symbolic link to {quoted(os.readlink(target))}, which leads to no file"  # noqa: PTH115
    except (OSError, ValueError):
        return ""


def _candidate(path: Path) -> str | None:
    """The hint at a file that was probably meant."""
    try:
        near = [other.name for other in path.parent.iterdir() if other.suffix in (".toml", ".py")]
    except (OSError, ValueError):
        return None
    close = [name for name in (f"{path.name}.toml", f"{path.name}.py") if name in near]
    close += get_close_matches(path.name, near, n=1, cutoff=0.6)
    return f'did you mean "{path.parent / close[0]}"?' if close else None


def _unusable(target: str, message: str, hint: str | None = None) -> InvalidWorkflow:
    return InvalidWorkflow([Problem(message=message, where=quoted(target)[1:-1] or '""', hint=hint)])
