"""Values as bytes and files: what comes back, where it lies, and what goes by value because nobody can import it."""

from __future__ import annotations

import importlib.util
import pickle
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from qtui.core.errors import BrokenResult
from qtui.engine import packing
from qtui.engine.packing import INLINE_BYTES, Packed, load_value, pack, unpack

MB = 1 << 20


class Block:
    """Something with a large buffer, as arrays have one."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Block, (pickle.PickleBuffer(self.data),)


def path_in(directory: Path) -> Callable[[], str]:
    return lambda: str(directory / f"value{len(list(directory.iterdir()))}")


def load_elsewhere(packed: Packed, expression: str) -> str:
    """What another Python, which can import qtui alone, makes of the value: `expression` of `value`, as text."""
    program = (
        f"from qtui.engine.packing import Packed, unpack\nvalue = unpack(Packed(*{tuple(packed)!r}))\n"
        f"print({expression}, end='')"
    )
    source = str(Path(packing.__file__).parents[2])
    run = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": source}, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


# -- values ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [None, 3, {"a": [1, (2.5, "x")]}, b"", b"x" * INLINE_BYTES, b"y" * 3 * MB, bytearray(b"z" * 3 * MB), "t" * 3 * MB],
    ids=lambda value: f"{type(value).__name__}{len(value) if hasattr(value, '__len__') else ''}",
)
def test_what_is_packed_comes_back(tmp_path: Path, value: Any) -> None:
    back = unpack(pack(value, path_in(tmp_path)))

    assert back == value
    assert type(back) is type(value)


def test_only_large_values_are_files(tmp_path: Path) -> None:
    small = pack(Block(bytearray(MB // 2)), path_in(tmp_path))
    large = pack({"one": Block(bytearray(2 * MB)), "two": Block(bytearray(3 * MB))}, path_in(tmp_path))

    assert small.path == ""
    assert [Path(large.path)] == list(tmp_path.iterdir())
    assert Path(large.path).stat().st_mode & 0o777 == 0o600


def test_large_buffers_lie_in_the_file_as_they_are_and_aligned(tmp_path: Path) -> None:
    packed = pack([Block(bytearray(b"1" * (2 * MB + 1))), Block(bytearray(b"2" * 2 * MB))], path_in(tmp_path))

    content = Path(packed.path).read_bytes()
    assert packed.sizes[1:] == (2 * MB + 1, 2 * MB)
    assert content.index(b"1" * 100) % 64 == 0
    assert content.index(b"2" * 100) % 64 == 0


def test_each_reader_may_write_into_what_it_has_loaded(tmp_path: Path) -> None:
    packed = pack(Block(bytearray(2 * MB)), path_in(tmp_path))
    one, two = unpack(packed), unpack(packed)

    one.data[0] = 7

    assert (one.data[0], two.data[0], unpack(packed).data[0]) == (7, 0, 0)


def test_a_loaded_value_outlives_its_file(tmp_path: Path) -> None:
    packed = pack(Block(bytearray(b"x" * 2 * MB)), path_in(tmp_path))
    value = unpack(packed)

    Path(packed.path).unlink()

    assert bytes(value.data) == b"x" * 2 * MB


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("value", [bytes(3 * MB), Block(bytearray(3 * MB))], ids=["bytes", "buffer"])
def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path, value: Any) -> None:
    with full_disk(MB), pytest.raises(OSError, match="File too large"):
        pack(value, path_in(tmp_path))

    assert list(tmp_path.iterdir()) == []


def test_data_is_told_from_what_a_class_has_a_say_in() -> None:
    nowhere = path_in(Path("/nowhere"))

    assert packing.is_plain(pack({"a": [1, "x", None, b"y"]}, nowhere))
    assert not packing.is_plain(pack(Path("x"), nowhere))


def test_a_value_that_does_not_load_names_its_maker(tmp_path: Path) -> None:
    packed = pack(bytes(2 * MB), path_in(tmp_path))
    Path(packed.path).unlink()

    with pytest.raises(BrokenResult, match=r"the result of maker cannot be loaded: FileNotFoundError: "):
        load_value(packed, "maker")


# -- what others cannot import -----------------------------------------------------------------------------

SOURCE = """
class Row:
    def __init__(self, n):
        self.n = n

def double(n):
    return Row(2 * n)
"""


@pytest.fixture
def by_path(tmp_path: Path) -> Iterator[Callable[[str, str], ModuleType]]:
    """Load a file as a module of any name, as loaders of workflow files and test runners do."""
    made = []

    def load(name: str, file: str) -> ModuleType:
        path = tmp_path / file
        path.write_text(SOURCE)
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        made.append(name)
        spec.loader.exec_module(module)
        return module

    yield load
    for name in made:
        del sys.modules[name]


def test_a_lambda_goes_with_what_it_closes_over_however_large(tmp_path: Path) -> None:
    block = Block(bytearray(3 * MB))

    function = unpack(pack(lambda: len(block.data), path_in(tmp_path)))

    assert function() == 3 * MB


def test_a_pickle_in_one_piece_has_everything() -> None:
    block = Block(bytearray(3 * MB))

    assert pickle.loads(packing.dumps(lambda: len(block.data)))() == 3 * MB


def test_a_function_of_a_module_loaded_by_path_goes_by_value(tmp_path: Path, by_path: Any) -> None:
    module = by_path("my_flow_1a2b", "my-flow.py")
    packing.note_module(module.__name__)

    packed = pack(module.double, path_in(tmp_path))

    assert load_elsewhere(packed, "value(4).n") == "8"


def test_an_instance_of_such_a_module_goes_by_value_although_nobody_named_it(tmp_path: Path, by_path: Any) -> None:
    module = by_path("my_flow_3c4d", "their-flow.py")
    packing.note_modules()

    packed = pack({"row": module.Row(5)}, path_in(tmp_path))

    assert load_elsewhere(packed, "value['row'].n") == "5"


def test_a_name_that_leads_to_another_file_does_not_count(tmp_path: Path, by_path: Any) -> None:
    module = by_path("colorsys_of_mine", "colorsys_of_mine.py")
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "colorsys_of_mine.py").write_text("other = 1")
    sys.path.insert(0, str(tmp_path / "first"))
    try:
        packing.note_module(module.__name__)
    finally:
        sys.path.pop(0)

    assert load_elsewhere(pack(module.double, path_in(tmp_path)), "value(1).n") == "2"


def test_a_module_made_by_hand_goes_by_value(tmp_path: Path) -> None:
    module = sys.modules["made_by_hand"] = ModuleType("made_by_hand")
    try:
        exec(SOURCE, module.__dict__)
        packing.note_module("made_by_hand")

        assert load_elsewhere(pack(module.double, path_in(tmp_path)), "value(3).n") == "6"
    finally:
        del sys.modules["made_by_hand"]


@pytest.mark.parametrize("name", ["json", "json.decoder", "os", "posixpath", "posix", "pathlib", "qtui.engine.packing"])
def test_what_others_can_import_goes_by_name(name: str) -> None:
    module = importlib.import_module(name)

    packing.note_module(name)

    import cloudpickle

    assert name not in cloudpickle.list_registry_pickle_by_value()
    assert module is sys.modules[name]


def test_a_module_that_only_its_own_finder_can_find_goes_by_name(tmp_path: Path) -> None:
    """As modules of packages in development are found, in the worker as here."""
    path = tmp_path / "elsewhere.py"
    path.write_text(SOURCE)

    class Finder:
        @staticmethod
        def find_spec(name: str, path_: Any, target: Any = None) -> ModuleSpec | None:
            return importlib.util.spec_from_file_location(name, path) if name == "found_by_finder" else None

    sys.meta_path.append(Finder)  # type: ignore[arg-type]
    try:
        importlib.import_module("found_by_finder")
        packing.note_module("found_by_finder")
        import cloudpickle

        assert "found_by_finder" not in cloudpickle.list_registry_pickle_by_value()
    finally:
        sys.meta_path.remove(Finder)  # type: ignore[arg-type]
        sys.modules.pop("found_by_finder", None)
