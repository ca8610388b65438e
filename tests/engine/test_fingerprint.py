"""What units depend on: plain data, functions and files, told apart by what counts and by nothing else."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import pytest

from qtui.core.growth import grow
from qtui.core.model import Argv, CachePolicy, Call, QuantumUnit, Shell, UnitState
from qtui.core.plan import ExecutionPlan
from qtui.engine import filedigest
from qtui.engine.filedigest import FileDigests, MissingFile
from qtui.engine.fingerprint import NAMED_MAX, Fingerprints, NotCacheable, describe_changes
from qtui.engine.packing import Packed, dumps
from qtui.engine.plaindata import FunctionDigests, NotPlain, digest_value

# -- plain data --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        (1, 1.0, True, "1", b"1", [1], (1,), {1}, frozenset({1}), {1: 1}, None, 10**5000),
        (["ab", "c"], ["a", "bc"], ["abc"], [["ab"], "c"]),
        ({"a": {"b": 1}}, {"a": 1, "b": 1}, {"a": {}, "b": 1}),
        (date(2026, 1, 1), "datetime.date(2026, 1, 1)", date(2026, 1, 2)),
        (0.0, -0.0, float("nan"), float("inf")),
    ],
)
def test_different_data_has_different_digests(values: tuple[object, ...]) -> None:
    assert len({digest_value(value) for value in values}) == len(values)


def test_the_order_of_dictionaries_and_sets_does_not_count() -> None:
    assert digest_value({"a": 1, "b": [2]}) == digest_value({"b": [2], "a": 1})
    text = "from qtui.engine.plaindata import digest_value; print(digest_value({'one', 'two', 'three', (4,)}))"
    found = {
        subprocess.check_output([sys.executable, "-c", text], env={**os.environ, "PYTHONHASHSEED": seed})
        for seed in ("1", "2", "3")
    }
    assert found == {f"{digest_value({'one', 'two', 'three', (4,)})}\n".encode()}


def test_what_is_not_plain_is_refused_by_the_name_of_its_type() -> None:
    with pytest.raises(NotPlain, match="a SimpleNamespace"):
        digest_value({"deep": [SimpleNamespace()]})
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(NotPlain, match="holds itself"):
        digest_value(endless)


# -- functions ---------------------------------------------------------------------------------------------


def defined(text: str, **variables: object) -> Callable[..., object]:
    exec(text, variables)
    return variables["f"]


def test_functions_differ_by_code_defaults_and_what_they_close_over() -> None:
    def closing(number: object, default: object = 1, *, named: object = 1):
        def inner(x, y=default, *, z=named):
            return x + number

        return inner

    digest = FunctionDigests().of

    assert digest(closing(1)) == FunctionDigests().of(closing(1))
    assert len({digest(each) for each in (closing(1), closing(2), closing(1, 2), closing(1, named=2))}) == 4
    texts = [
        "def f(a): return a + 1",
        "def f(a): return a + 2",
        "def f(a): return a.one",
        "def f(a): return a.two",
        "def f(a):\n try: return a()\n except OSError: return 0",
        "def f(a):\n return (lambda: 1)()",
        "def f(a):\n return (lambda: 2)()",
    ]
    assert len({digest(defined(text)) for text in texts}) == len(texts), "without a source the code tells"


def test_where_errors_are_caught_counts_too() -> None:
    function = defined("def f(a):\n try: return a()\n except OSError: return 0")
    before = FunctionDigests().of(function)
    function.__code__ = function.__code__.replace(co_exceptiontable=b"")

    assert FunctionDigests().of(function) != before


def test_partial_functions_methods_of_classes_and_wrappers_of_functions_are_looked_into() -> None:
    class Steps:
        @classmethod
        def run(cls, number: int) -> int:
            return number

    def plain(number: int) -> int:
        return number

    digest = FunctionDigests().of
    assert digest(functools.partial(plain, 1)) == digest(functools.partial(plain, 1))
    assert digest(functools.partial(plain, 1)) != digest(functools.partial(plain, 2))
    assert digest(functools.lru_cache(plain)) == digest(plain)
    assert digest(Steps.run) != digest(plain)
    assert digest(os.getpid) != digest(os.getppid)


LOCK = threading.Lock()


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (functools.partial(print, LOCK), 'the argument "1" holds a lock'),
        (lambda x=LOCK: x, 'the default of "x" holds a lock'),
        ([].append, "it is a builtin_function_or_method, not a plain function"),
        (SimpleNamespace, "the source of the class SimpleNamespace cannot be found"),
        (threading.Event().set, "it is a method, not a plain function"),
    ],
)
def test_functions_that_hold_objects_are_refused(function: Callable[..., object], why: str) -> None:
    with pytest.raises(NotPlain) as refused:
        FunctionDigests().of(function)
    assert str(refused.value) == why


def test_a_variable_that_is_closed_over_is_named() -> None:
    def outer() -> Callable[[], object]:
        helper = lambda: 1  # noqa: E731
        return lambda: helper()

    with pytest.raises(NotPlain, match='the closure variable "helper" holds a function'):
        FunctionDigests().of(outer())


def test_a_source_that_changed_after_the_import_does_not_speak_for_the_old_code(tmp_path: Path) -> None:
    file = tmp_path / "steps.py"

    def load(text: str):
        file.write_text(text)
        namespace = {"__name__": "steps"}
        exec(compile(text, str(file), "exec"), namespace)
        return namespace["f"]

    old = load("def f():\n    return 1\n")
    before = FunctionDigests().of(old)
    new = load("def f():\n    return 2  # longer\n")

    assert len({before, FunctionDigests().of(old), FunctionDigests().of(new)}) == 3


# -- files -------------------------------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("a.csv", "data/b.csv", "data/deep/c.csv", "data/deep/.hidden", "odd[1].csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "empty").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a.csv", ["a.csv"]),
        ("*.csv", ["a.csv", "odd[1].csv"]),
        ("odd[1].csv", ["odd[1].csv"]),
        ("data", ["data/", "data/b.csv", "data/deep/.hidden", "data/deep/c.csv"]),
        ("data/*", ["data/b.csv", "data/deep/", "data/deep/.hidden", "data/deep/c.csv"]),
        ("data/**", ["data/", "data/b.csv", "data/deep/.hidden", "data/deep/c.csv"]),
        ("**/*.csv", ["a.csv", "data/b.csv", "data/deep/c.csv", "odd[1].csv"]),
        ("data/../*.csv", ["a.csv", "odd[1].csv"]),
        ("empty", ["empty/"]),
    ],
)
def test_a_pattern_means_files_or_all_files_below_a_directory(tree: Path, pattern: str, names: list[str]) -> None:
    assert sorted(find(pattern, tree)) == names
    assert len(find(f"{tree}/{pattern}", tree)) == len(names), "the same by an absolute path"


def find(pattern: str, directory: Path) -> dict[str, str]:
    return FileDigests(lambda: None).find(pattern, str(directory))


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("none.csv", "none.csv is missing"),
        ("a.csv/b", "a.csv/b is missing"),
        ("*.tsv", "*.tsv matches no file"),
        ("a**", "a** is no pattern: Invalid pattern: '**' can only be an entire path component"),
        ("pipe", "pipe is neither a file nor a directory"),
    ],
)
def test_what_is_not_there_is_said(tree: Path, pattern: str, why: str) -> None:
    os.mkfifo(tree / "pipe")
    with pytest.raises(MissingFile) as missing:
        find(pattern, tree)
    assert str(missing.value) == why


def test_links_in_a_directory_count_by_their_files_and_loops_by_their_names(tree: Path) -> None:
    (tree / "data" / "loop").symlink_to("..")
    (tree / "data" / "broken").symlink_to("nowhere")
    (tree / "data" / "link.csv").symlink_to("../a.csv")

    found = find("data", tree)

    assert found["data/link.csv"] == find("a.csv", tree)["a.csv"]
    assert {"data/loop", "data/broken"} < found.keys()
    (tree / "data" / "broken").unlink()
    (tree / "data" / "broken").symlink_to("elsewhere")
    assert find("data", tree)["data/broken"] != found["data/broken"]


def test_links_to_directories_are_followed(tree: Path) -> None:
    (tree / "elsewhere" / "deep").mkdir(parents=True)
    (tree / "elsewhere" / "deep" / "d.csv").write_text("1")
    (tree / "data" / "sub").symlink_to("../elsewhere")

    before = find("data", tree)
    (tree / "elsewhere" / "deep" / "d.csv").write_text("2")
    after = find("data", tree)

    assert {name for name in before if before[name] != after[name]} == {"data/sub/deep/d.csv"}


def test_directories_that_lead_to_each_other_in_circles_are_read_once(tree: Path) -> None:
    for name, other in (("x", "y"), ("y", "x")):
        (tree / "data" / name).mkdir()
        (tree / "data" / name / "file").write_text(name)
        for number in range(20):  # without a guard there would be 20 ** 40 paths before the system refuses to go on
            (tree / "data" / name / f"to{number}").symlink_to(f"../{other}")

    found = find("data", tree)

    assert sum(name.endswith("/file") for name in found) == 2
    assert len(found) < 60


def test_the_content_counts_and_not_the_time(tree: Path) -> None:
    before = find("a.csv", tree)
    os.utime(tree / "a.csv", (1, 1))
    assert find("a.csv", tree) == before
    (tree / "a.csv").write_text("A.csv")
    assert find("a.csv", tree) != before


def test_a_large_file_counts_by_size_and_time(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filedigest, "CONTENT_MAX", 3)
    before = find("a.csv", tree)
    os.utime(tree / "a.csv", (1, 1))
    after = find("a.csv", tree)

    assert after != before
    changes = describe_changes({"input a.csv": before["a.csv"]}, {"input a.csv": after["a.csv"]})
    assert changes == "input a.csv changed (by size and time)"


def test_a_file_that_has_just_been_written_is_read_again_as_its_times_may_not_tell(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = FileDigests(lambda: None)
    files.find("a.csv", str(tree))
    monkeypatch.setattr(filedigest, "file_digest", None)

    with pytest.raises(TypeError):
        files.find("a.csv", str(tree))


def test_a_file_that_was_not_touched_is_read_once(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filedigest, "_SETTLED", -1.0)
    files = FileDigests(lambda: None)
    first = files.find("a.csv", str(tree))
    monkeypatch.setattr(filedigest, "file_digest", None)

    assert files.find("a.csv", str(tree)) == first
    (tree / "a.csv").write_text("longer than before")
    with pytest.raises(TypeError):
        files.find("a.csv", str(tree))


# -- units -------------------------------------------------------------------------------------------------


class FakeRun:
    """What fingerprints read of a run, with values given by hand."""

    def __init__(self, *units: QuantumUnit, params=None, values=None) -> None:
        self.plan = ExecutionPlan.build(units)
        self.params = params or {}
        self.otherwise = UnitState.FAILED
        self._values = values or {}
        self.results = [self._values.get(unit.id) for unit in self.plan.table]

    def environment_of(self, number: int) -> dict[str, str]:
        return dict(self.plan.table[number].env)

    def packed_of(self, number: int) -> Packed:
        return Packed(dumps(self._values[self.plan.table[number].id]))

    def value_of(self, number: int) -> object:
        return self.results[number]

    def state_of(self, number: int) -> UnitState:
        return UnitState.COMPLETED if self.plan.table[number].id in self._values else self.otherwise

    def added_to(self, number: int) -> list[int]:
        return [added for need in self.plan.needs[number] for added in self.plan.added.get(need, ())]


def parts(run: FakeRun, number: int = -1, **policy) -> set[str]:
    place = range(len(run.plan))[number]
    return set(Fingerprints(run, lambda: None).of(place, CachePolicy(**policy)).parts)


ALWAYS = {"the directory", "the format of the cache"}


MANNER = {"whether it has a terminal", "the success exit codes"}


def test_a_command_depends_on_its_text_shell_directory_and_params() -> None:
    run = FakeRun(QuantumUnit(id="u", action=Shell(("true",)), env={"A": "1"}), params={"day": 1, "hour": 2})

    own = ALWAYS | MANNER | {"the command", "the shell"}
    assert parts(run) == own | {"param day", "param hour"}
    assert parts(run, keys=("day",)) == own | {"param day"}
    assert parts(run, keys=(), env=("A", "B")) == own | {"env A", "env B"}


@pytest.mark.parametrize(
    ("keys", "part"),
    [({"success_exit_codes": (0, 3)}, "the success exit codes"), ({"pty": True}, "whether it has a terminal")],
)
def test_what_makes_a_success_of_a_command_and_how_it_is_run_count(keys: dict[str, object], part: str) -> None:
    def print_of(**keys: object):
        run = FakeRun(QuantumUnit(id="u", action=Argv(("true",)), **keys))
        return Fingerprints(run, lambda: None).of(0, CachePolicy()).parts

    assert describe_changes(print_of(), print_of(**keys)) == f"{part} changed"
    same = {"success_exit_codes": (3, 0)}
    assert print_of(**same) == print_of(success_exit_codes=(0, 3))


def of_two_needs(action, values=None, **keys) -> FakeRun:
    """A unit that needs `one`, and a family of two items."""
    units = [QuantumUnit(id=f"m[{i}]", family="m", matrix={"i": i}, action=Argv(("true",))) for i in range(2)]
    last = QuantumUnit(id="u", action=action, dependencies=("one", "m"), **keys)
    one = QuantumUnit(id="one", action=Argv(("true",)))
    return FakeRun(one, *units, last, values={"one": 1, "m[0]": 2, "m[1]": 3, **(values or {})})


FAMILY = {"the result of m[0]", "the result of m[1]"}


def test_a_call_depends_on_its_code_and_on_the_results_it_can_see() -> None:
    own = ALWAYS | {"the function", "the code of test_fingerprint.py"}
    seeing = Call.of(lambda context: 1)
    assert parts(of_two_needs(seeing)) == own | FAMILY | {"the result of one"}
    assert parts(of_two_needs(seeing), keys=("m",)) == own | FAMILY
    assert parts(of_two_needs(seeing), keys=("m[1]",)) == own | {"the result of m[1]"}
    assert parts(of_two_needs(Call.of(lambda: 1))) == own, "it gets no context"


def test_a_call_depends_on_what_a_need_has_added_as_far_as_it_depends_on_that_need() -> None:
    def after_growth(function: object, **values: object) -> FakeRun:
        reader = QuantumUnit(id="reader", action=Call.of(function, {}), dependencies=("adder", "other"))
        run = FakeRun(
            QuantumUnit(id="adder"), QuantumUnit(id="other"), reader, values={"adder": 1, "other": 2, **values}
        )
        run.plan = run.plan.thawed()
        grow(run.plan, 0, [QuantumUnit(id="part")])
        return run

    seeing = after_growth(lambda context: 1, part=3)
    needs = {"the result of adder", "the result of other"}
    assert parts(seeing, 2) >= needs | {"the result of part"}
    assert "the result of part" in parts(seeing, 2, keys=("adder",))
    assert "the result of part" not in parts(seeing, 2, keys=("other",))
    assert "the result of part" not in parts(after_growth(lambda: 1, part=3), 2)

    open_still = after_growth(lambda context: 1)
    open_still.otherwise = UnitState.RUNNING
    with pytest.raises(NotCacheable, match="part, which adder has added, has not ended"):
        parts(open_still, 2)


def test_a_command_depends_on_the_results_that_are_in_its_needs_file() -> None:
    own = ALWAYS | MANNER | {"the command"}
    command = Argv(("true",))
    assert parts(of_two_needs(command)) == own | FAMILY | {"the result of one"}
    assert parts(of_two_needs(command), keys=("one",)) == own | {"the result of one"}

    def changes(*values: object) -> str:
        before, after = (
            Fingerprints(of_two_needs(command, {"one": value}), lambda: None).of(3, CachePolicy()).parts
            for value in values
        )
        return describe_changes(before, after)

    assert changes({"exit_code": 0, "stdout": "a"}, {"exit_code": 0, "stdout": "b"}) == "the result of one changed"
    assert changes([1, 2], (1, 2)) == "", "both are [1, 2] in the file"
    assert changes(threading.Lock(), threading.Lock()) == "", "what is no JSON is not in the file"
    assert changes(threading.Lock(), None) == "the result of one changed", "null is there"


def test_a_key_that_nothing_is_called_by_is_refused() -> None:
    run = FakeRun(QuantumUnit(id="u", action=Argv(("true",))), params={"day": 1})

    with pytest.raises(NotCacheable, match='its context has no "dya"'):
        parts(run, keys=("dya",))


def test_a_need_without_a_value_counts_by_its_state_and_one_that_cannot_be_pickled_is_refused() -> None:
    units = [
        QuantumUnit(id="need", action=Argv(("true",))),
        QuantumUnit(id="u", action=Call.of(lambda context: 1), dependencies=("need",)),
    ]
    failed = FakeRun(*units)
    assert "the result of need" in parts(failed)
    with pytest.raises(NotCacheable, match="the result of need cannot be pickled: TypeError"):
        parts(FakeRun(*units, values={"need": threading.Lock()}))


def test_params_and_arguments_must_be_plain_data() -> None:
    unit = QuantumUnit(id="u", action=Call.of(lambda x: 1, {"x": 1}), args={"x": threading.Lock()})
    with pytest.raises(NotCacheable, match="argument x cannot be compared with what it was: it holds a lock"):
        parts(FakeRun(unit))
    with pytest.raises(NotCacheable, match="param day cannot be compared"):
        parts(FakeRun(QuantumUnit(id="u", action=Argv(("true",))), params={"day": threading.Lock()}))


def test_more_files_than_anybody_reads_count_together(tmp_path: Path) -> None:
    for number in range(NAMED_MAX + 1):
        (tmp_path / f"{number}.csv").touch()
    run = FakeRun(QuantumUnit(id="u", action=Argv(("true",)), cwd=str(tmp_path)))
    prints = Fingerprints(run, lambda: None)
    before = prints.of(0, CachePolicy(inputs=("*.csv",)))
    (tmp_path / "1.csv").write_text("changed")
    after = prints.of(0, CachePolicy(inputs=("*.csv",)))

    assert before.digest != after.digest
    assert describe_changes(before.parts, after.parts) == "input *.csv changed"


def test_looking_at_files_stops_when_it_is_told_to(tree: Path) -> None:
    class Stop(Exception):
        pass

    def check() -> None:
        raise Stop

    run = FakeRun(QuantumUnit(id="u", action=Argv(("true",)), cwd=str(tree)))
    with pytest.raises(Stop):
        Fingerprints(run, check).of(0, CachePolicy(inputs=("data",)))
