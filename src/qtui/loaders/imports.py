"""Imports user code by name or by file; whatever that code does wrong becomes one clear message."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Final, TypeVar

from qtui.core.errors import QtuiError, did_you_mean
from qtui.definition.report import shown_file
from qtui.definition.values import Fault, Rejected, quoted

T = TypeVar("T")
_OWN: Final = str(Path(__file__).resolve().parents[1])


def put_on_path(directory: str) -> None:
    """Make `directory` the first place where modules are looked for, for the rest of this process."""
    if sys.path[:1] != [directory]:
        sys.path[:] = [directory, *(entry for entry in sys.path if entry != directory)]
    importlib.invalidate_caches()


def import_function(reference: str, directory: str) -> Callable[..., Any]:
    """The callable that ``pkg.mod:name`` names, with `directory` on the path; raises `Rejected`."""
    found = import_object(reference, directory)
    if not callable(found):
        raise Rejected(Fault(f"{reference} is not a function but a value of type {type(found).__name__}"))
    return found  # type: ignore[no-any-return]


def import_object(reference: str, directory: str) -> Any:
    """What ``pkg.mod:name`` names, with `directory` on the path; raises `Rejected`."""
    module_name, _, name = reference.partition(":")
    found: Any = import_module(module_name, directory)
    for part in name.split("."):
        found = attribute(found, part, module_name)
    return found


def attribute(holder: Any, name: str, shown: str) -> Any:
    """An attribute of a user's module or object; raises `Rejected`."""
    try:
        return getattr(holder, name)
    except AttributeError:
        public = [word for word in dir(holder) if not word.startswith("__")]
        raise Rejected(Fault(f"{shown} has no {quoted(name)}", did_you_mean(name, public))) from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        message = f"looking for {quoted(name)} in {shown} failed: {type(error).__name__}: {_message(error)}"
        raise Rejected(Fault(message)) from error


def import_module(name: str, directory: str) -> ModuleType:
    """Import a module with `directory` on the path; raises `Rejected`."""
    put_on_path(directory)
    module = guarded(lambda: importlib.import_module(name), f"importing {name}", directory, wanted=name)
    top = name.partition(".")[0]
    here = [place for place in (Path(directory, f"{top}.py"), Path(directory, top, "__init__.py")) if place.is_file()]
    loaded = getattr(sys.modules.get(top), "__file__", None)
    if here and not any(loaded and Path(loaded).exists() and place.samefile(loaded) for place in here):
        actual = shown_file(loaded) if loaded else "a module built into Python"
        message = f"{top} is not {shown_file(str(here[0]))}: {actual} was imported under this name before"
        raise Rejected(Fault(message, "rename the file"))
    return module


def load_file(path: Path) -> ModuleType:
    """Run a Python file as a module, with its directory on the path; raises `Rejected`.

    The module is registered under the file's stem if that is how it would be imported, so that other processes
    find it too, and otherwise under a name of its own.
    """
    path = path.resolve()
    put_on_path(str(path.parent))
    name = path.stem if _imports_as(path.stem, path) else _unique_name(path)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise Rejected(Fault("cannot be loaded as a Python file"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    loader = spec.loader
    try:
        guarded(lambda: loader.exec_module(module), f"running {path.name}", str(path.parent))
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def guarded(work: Callable[[], T], doing: str, directory: str, wanted: str = "") -> T:
    """Call into user code; its exceptions, even SystemExit, become `Rejected` with the user's file and line.

    qtui's own errors pass, as they tell their place themselves; so does KeyboardInterrupt.
    """
    try:
        return work()
    except (KeyboardInterrupt, QtuiError):
        raise
    except BaseException as error:
        raise Rejected(_import_fault(error, doing, directory, wanted)) from error


def _import_fault(error: BaseException, doing: str, directory: str, wanted: str) -> Fault:
    if isinstance(error, ModuleNotFoundError) and error.name and f"{wanted}.".startswith(f"{error.name}."):
        modules = [path.stem for path in Path(directory).glob("*.py")]
        message = f"there is no module {error.name} in {shown_file(directory)} or on Python's path"
        return Fault(message, did_you_mean(error.name, modules))
    if isinstance(error, SystemExit):
        what = f"it calls sys.exit({error.code!r})"
    else:
        what = f"{type(error).__name__}: {_message(error)}"
    place = _place(error, directory)
    return Fault(f"{doing} failed{f' at {place}' if place else ''}: {what}")


def _message(error: BaseException) -> str:
    try:
        text = error.msg if isinstance(error, SyntaxError) else str(error)
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001  - a user's __str__ may do anything
        return "(its message cannot be shown: __str__ raised)"
    return " ".join(str(text).split()) or "(no message)"


def _place(error: BaseException, directory: str) -> str:
    """``file:line`` of the last step inside the workflow's directory, or else inside any code but qtui's."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{shown_file(error.filename)}:{error.lineno or 1}"
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__, limit=-1000)
        if not frame.filename.startswith(("<frozen", _OWN))
    ]
    users = [frame for frame in frames if Path(directory) in Path(frame.filename).parents]
    last = (users or frames)[-1:]
    return f"{shown_file(last[0].filename)}:{last[0].lineno}" if last else ""


def _imports_as(name: str, path: Path) -> bool:
    if not name.isidentifier():
        return False
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):  # ValueError: a module that was not imported but made, such as __main__
        return False
    return spec is not None and spec.origin is not None and Path(spec.origin).resolve() == path


def _unique_name(path: Path) -> str:
    stem = "".join(sign if sign.isalnum() else "_" for sign in path.stem)
    return f"{stem}_{hashlib.sha256(str(path).encode(errors='surrogateescape')).hexdigest()[:8]}"
