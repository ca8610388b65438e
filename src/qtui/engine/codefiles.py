"""The files that the code of a function is in: its module's, and those that it imports from the same place.

Which modules a file imports is read from its text, so imports inside functions count and those by computed names do
not. What is installed (the standard library, site-packages) never counts, nor does qtui itself.
"""

from __future__ import annotations

import ast
import functools
import os
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any, Final, NamedTuple

from qtui.engine.plaindata import digest_bytes

_INSTALLED: Final = frozenset({"site-packages", "dist-packages"})
_ELSEWHERE: Final = (sysconfig.get_path("stdlib"), str(Path(__file__).parents[1]))


class CodeChanged(Exception):
    """A file is not what was imported from it, so its text says nothing about the code that runs."""


_Signature = tuple[int, ...]


class _Read(NamedTuple):
    """A file as it was when it had this signature: its digest, and the imports in it, each as (level, name)."""

    signature: _Signature
    digest: str
    imports: tuple[tuple[int, str], ...]


class _Module(NamedTuple):
    """A module by its name and file; `origin` is an object that its import has made, None if there was none yet."""

    name: str
    file: str
    package: str
    origin: object = None


class _Known(NamedTuple):
    """What was found for a module, and the modules with the signatures of their files that this holds for."""

    digests: Mapping[str, str]
    modules: tuple[tuple[_Module, _Signature], ...]

    def holds(self, own: _Module) -> bool:
        """Whether nothing has been edited or imported since."""
        return all(
            _signature(module.file) == signature
            and (own if module.file == own.file else _imported(module.name) or module).origin is module.origin
            for module, signature in self.modules
        )


# Modules outlive runs, and so does what is known of them.
_files: dict[str, _Read] = {}
_found: dict[str, _Known] = {}
_first_seen: dict[str, tuple[object, str]] = {}
"""The origin of each file's module, and the digest of the file when that was first seen."""


def code_of(function: Callable[..., Any]) -> Mapping[str, str]:
    """Digests of the files with the function's code, by name; comments and layout do not count.

    Empty for a function that was not read from a file, or whose file is installed. Raises CodeChanged, and OSError.
    """
    own = _own_module(function)
    if own is None:
        return {}
    known = _found.get(own.file)
    if known is None or not known.holds(own):
        known = _found[own.file] = _find_all(own)
    return known.digests


def changes_of(function: Callable[..., Any]) -> dict[str, float]:
    """When each file with the function's code was last written or put there, in Unix seconds; none if that cannot be
    told."""
    own = _own_module(function)
    try:
        return {module.file: _written(read) for module, read in _reached(own)} if own else {}
    except OSError:
        return {}


def outdated(functions: Iterable[Callable[..., Any]], imported_at: Callable[[str], float]) -> dict[str, str]:
    """The modules with code of these functions that are no more what their files are, by name, with their files: those
    whose file was written since it was imported (in Unix seconds), what is inside of these packages, and all that
    import one of them. Raises OSError."""
    files: dict[str, str] = {}
    importers: dict[str, set[str]] = {}
    stack: list[str] = []
    for own in {own.file: own for function in functions if (own := _own_module(function)) is not None}.values():
        for module, read in _reached(own):
            if module.name in files:
                continue
            files[module.name] = module.file
            if _written(read) > imported_at(module.file):
                stack.append(module.name)
            for other in _imports(module, read, _root(own)):
                importers.setdefault(other.name, set()).add(module.name)
    found: dict[str, str] = {}
    while stack:
        name = stack.pop()
        if name not in found:
            found[name] = files[name]
            stack += importers.get(name, ())
            stack += [inner for inner in files if inner.startswith(f"{name}.")]
    return found


def _written(read: _Read) -> float:
    """When the file was last written or put there. Its own time of change may lie in the future, that of its entry
    follows the clock."""
    return read.signature[-1] / 1e9


def latest_change(functions: Iterable[Callable[..., Any]]) -> float:
    """When the last of the files with the code of any of these functions was written; 0 if that cannot be told."""
    modules = {own.file: function for function in functions if (own := _own_module(function)) is not None}
    return max((at for function in modules.values() for at in changes_of(function).values()), default=0.0)


def _find_all(own: _Module) -> _Known:
    root = _root(own)
    digests: dict[str, str] = {}
    modules: list[tuple[_Module, _Signature]] = []
    for module, read in _reached(own):
        name = os.path.relpath(module.file, root)
        _check_unchanged(module, read.digest, name)
        digests[name] = read.digest
        modules.append((module, read.signature))
    return _Known(digests, tuple(modules))


def _reached(own: _Module) -> Iterator[tuple[_Module, _Read]]:
    """The module, and all that it imports, directly or not, as far as they count."""
    root = _root(own)
    if not os.path.isfile(own.file) or not _counts(own.file, root):  # noqa: PTH113
        return
    seen, stack = {own.file}, [own]
    while stack:
        module = stack.pop()
        read = _read(module.file)
        yield module, read
        for other in _imports(module, read, root):
            if other.file not in seen:
                seen.add(other.file)
                stack.append(other)


def _check_unchanged(module: _Module, digest: str, name: str) -> None:
    if module.origin is None:
        return
    origin, first = _first_seen.get(module.file, (None, ""))
    if origin is not module.origin:
        _first_seen[module.file] = (module.origin, digest)
    elif first != digest:
        raise CodeChanged(f"{name} has changed since it was imported")


def _own_module(function: Any) -> _Module | None:
    """The module in which the function, or the class, was written."""
    while True:
        if isinstance(function, functools.partial):
            function = function.func
        elif isinstance(function, MethodType):
            function = function.__func__
        elif isinstance(function, functools._lru_cache_wrapper):
            function = function.__wrapped__
        else:
            break
    if isinstance(function, FunctionType):
        return _module(str(function.__globals__.get("__name__")), function.__globals__)
    if isinstance(function, type):
        return _module(function.__module__, vars(sys.modules.get(function.__module__, sys)))
    return None


def _module(name: str, variables: Mapping[str, Any]) -> _Module | None:
    file = variables.get("__file__")
    if not isinstance(file, str):
        return None
    origin = variables.get("__spec__") or variables.get("__loader__")  # a script has no spec
    return _Module(name, os.path.abspath(file), variables.get("__package__") or "", origin)  # noqa: PTH100


def _imported(name: str) -> _Module | None:
    try:
        return _module(name, vars(sys.modules[name]))
    except (KeyError, TypeError):  # anything may stand there
        return None


def _root(module: _Module) -> str:
    """The directory from which the module was imported: that of its outermost package."""
    up = module.name.count(".") + (os.path.basename(module.file) == "__init__.py")  # noqa: PTH119
    return str(Path(module.file).parents[min(up, len(Path(module.file).parents) - 1)])


def _counts(file: str, root: str) -> bool:
    inside = file.startswith(os.path.join(root, ""))  # noqa: PTH118
    return (
        inside
        and _INSTALLED.isdisjoint(Path(file).parts)
        and not any(file.startswith(os.path.join(place, "")) for place in _ELSEWHERE)  # noqa: PTH118
    )


def _signature(file: str) -> _Signature:
    status = os.stat(file)  # noqa: PTH116
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _read(file: str) -> _Read:
    signature = _signature(file)
    known = _files.get(file)
    if known is None or known.signature != signature:
        known = _files[file] = _Read(signature, *_parsed(file, Path(file).read_bytes()))
    return known


def _parsed(file: str, data: bytes) -> tuple[str, tuple[tuple[int, str], ...]]:
    if not file.endswith((".py", ".pyw")):
        return digest_bytes(data), ()  # an extension
    try:
        tree = ast.parse(data)
        text = ast.dump(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # half written, or too deep
        return digest_bytes(data), ()
    imports: dict[tuple[int, str], None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports.update({(0, alias.name): None for alias in node.names})
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            imports[node.level, base] = None
            # each name may be that of a module
            imports.update({(node.level, f"{base}.{alias.name}".lstrip(".")): None for alias in node.names})
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest(), tuple(imports)


def _imports(module: _Module, read: _Read, root: str) -> Iterator[_Module]:
    """The modules that a file imports, with the packages around them, as far as they count."""
    for level, written in read.imports:
        name = _absolute(module.package, level, written)
        parts = name.split(".")
        for count in range(1, len(parts) + 1):
            found = _find(".".join(parts[:count]), root)
            if found is not None and _counts(found.file, root):
                yield found


def _absolute(package: str, level: int, name: str) -> str:
    if not level:
        return name
    parts = package.split(".")
    above = parts[: len(parts) - level + 1]
    return ".".join([*above, name] if name else above)


def _find(name: str, root: str) -> _Module | None:
    """The module of that name: what was imported, or else what would be found in `root`."""
    if name in sys.modules:
        return _imported(name)
    place = os.path.join(root, *name.split("."))  # noqa: PTH118
    if os.path.isfile(f"{place}.py"):  # noqa: PTH113
        return _Module(name, f"{place}.py", name.rpartition(".")[0])
    inner = os.path.join(place, "__init__.py")  # noqa: PTH118
    return _Module(name, inner, name) if os.path.isfile(inner) else None  # noqa: PTH113
