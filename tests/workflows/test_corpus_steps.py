"""What the steps of the corpus pipeline do to texts, vectors and files."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from array import array
from itertools import pairwise
from pathlib import Path

import corpus_text
import pytest
from corpus_files import directory, read_passages, remove_outputs, replacing, write_records, write_text
from corpus_index import CorpusIndex, IndexUnusable, build_index
from corpus_report import excerpt, render_answer
from corpus_steps import MODULE_GROUPS, main
from corpus_text import Document, Passage, documents_in, language_topics, passages_of, shares, source_files, words
from corpus_vectors import DIMENSIONS, Embedder, document_frequencies, similarity, word_weights


def document(text: str, name: str = "a.b") -> Document:
    return Document(id=name, title=f"module {name}", file="a/b.py", line=1, text=text)


def passage(text: str, name: str = "a.b", number: int = 0) -> Passage:
    return Passage(document=name, number=number, title=f"module {name}", file="a/b.py", line=1, text=text)


def library_file(root: Path, monkeypatch: pytest.MonkeyPatch, name: str, source: str) -> Path:
    monkeypatch.setattr(corpus_text, "standard_library", lambda: root)
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(source)
    return file


# -- reading sources ----------------------------------------------------------------------------------------

SOURCE = '''"""About the module."""
class Shape:
    """A shape."""
    def area(self, scale=1):
        """How large."""
    def _hidden(self):
        """Private."""
def plain(): pass
if True:
    def draw(*shapes):
        """Draw shapes."""
else:
    def draw():
        """Cannot draw."""
'''


def test_public_docstrings_become_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = documents_in(library_file(tmp_path, monkeypatch, "geo/flat.py", SOURCE), max_chars=100)
    assert [(d.id, d.title, d.line, d.text) for d in found] == [
        ("geo.flat", "module geo.flat", 1, "About the module."),
        ("geo.flat.Shape", "class geo.flat.Shape", 2, "A shape."),
        ("geo.flat.Shape.area", "geo.flat.Shape.area(self, scale=1)", 4, "How large."),
        ("geo.flat.draw", "geo.flat.draw(*shapes)", 10, "Draw shapes."),
    ]


def test_long_docstrings_are_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = library_file(tmp_path, monkeypatch, "a.py", '"""' + "x" * 50 + '"""')
    assert documents_in(file, max_chars=10)[0].text == "x" * 10


@pytest.mark.parametrize("source", ["def broken(:", "# coding: no-such-coding\n", "x = '\0'"])
def test_a_file_that_does_not_parse_gives_no_documents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    assert documents_in(library_file(tmp_path, monkeypatch, "bad.py", source), max_chars=100) == []


def test_a_package_gives_its_init_then_its_largest_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in (("__init__", 1), ("small", 5), ("large", 50), ("sub/deep", 500)):
        library_file(tmp_path, monkeypatch, f"pack/{name}.py", "#" * size)
    assert [file.stem for file in source_files("pack", limit=2)] == ["__init__", "large"]
    assert [file.stem for file in source_files("pack.sub", limit=9)] == ["deep"]
    assert [file.stem for file in source_files("pack.small", limit=9)] == ["small"]


def test_a_package_that_is_not_here_gives_no_files() -> None:
    assert source_files("no_such_package", limit=9) == []
    assert source_files("no.such.package", limit=9) == []


def test_module_groups_name_modules_of_this_python() -> None:
    missing = [name for group in MODULE_GROUPS.values() for name in group if not source_files(name, limit=1)]
    # some may go in newer Pythons or be left out by a distribution; most must be there for the groups to make sense
    assert len(missing) < 10, missing


def test_missing_language_topics_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match="pydoc_data"):
        language_topics(100)


# -- passages and shares ------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 15, 89, 90, 91, 165, 166, 400])
def test_passages_cover_every_word_and_overlap(count: int) -> None:
    text = " ".join(f"w{number}" for number in range(count))
    parts = [part.text.split() for part in passages_of(document(text))]
    assert all(len(part) <= corpus_text.PASSAGE_WORDS for part in parts)
    overlap = corpus_text.OVERLAP_WORDS
    assert all(left[-overlap:] == right[:overlap] for left, right in pairwise(parts))
    assert list(dict.fromkeys(word for part in parts for word in part)) == text.split()


def test_a_document_without_words_gives_no_passages() -> None:
    assert list(passages_of(document("  \n "))) == []


def test_shares_are_even_and_complete() -> None:
    sizes = {"a": 9, "b": 5, "c": 4, "d": 3, "e": 3}
    parts = shares(sizes, 3)
    assert sorted(name for part in parts for name in part) == sorted(sizes)
    assert max(sum(sizes[name] for name in part) for part in parts) == 9
    assert shares({"only": 1}, 3) == [["only"], [], []]


def test_words_split_names_and_drop_common_ones() -> None:
    assert words("The HTTPServer and read_lines of fooBar") == ["httpserver", "read", "lines", "foo", "bar"]


# -- vectors ------------------------------------------------------------------------------------------------


def test_vectors_have_length_one_and_related_texts_are_closer() -> None:
    embedder = Embedder({})
    cancel, related, other = (embedder.embed(text) for text in ("cancel task", "task canceled", "parse xml tree"))
    assert len(cancel) == DIMENSIONS
    assert similarity(cancel, cancel) == pytest.approx(1.0, abs=1e-5)
    assert similarity(cancel, related) > 0.5 > similarity(cancel, other)
    assert not any(embedder.embed("of the"))


def test_vectors_are_the_same_in_every_process(tmp_path: Path) -> None:
    code = (
        "from corpus_vectors import Embedder; print(Embedder({'task': 2.0}).embed('cancel the task').tobytes().hex())"
    )
    workflows = Path(corpus_text.__file__).parent
    seen = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(workflows)},
            capture_output=True, text=True, check=True, timeout=30, cwd=tmp_path,
        ).stdout.strip()
        for seed in ("1", "2")
    }  # fmt: skip
    assert seen == {Embedder({"task": 2.0}).embed("cancel the task").tobytes().hex()}


def test_rare_words_weigh_more() -> None:
    weights = word_weights(document_frequencies(["task cancel", "task task run", "task"]), 3)
    assert weights["cancel"] > weights["task"] > 0


# -- files --------------------------------------------------------------------------------------------------


def test_relative_directories_start_at_the_workflow_files() -> None:
    here = Path(corpus_text.__file__).parent
    assert directory("../build/x").resolve() == here.parent / "build" / "x"
    assert directory("/somewhere") == Path("/somewhere")


def test_a_failed_write_leaves_the_old_file_and_no_draft(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "file.txt"
    write_text(file, "old")
    with pytest.raises(ZeroDivisionError), replacing(file) as draft:
        draft.write_text("half")
        raise ZeroDivisionError
    assert [entry.read_text() for entry in file.parent.iterdir()] == ["old"]


def test_records_survive_odd_characters(tmp_path: Path) -> None:
    odd = [passage("line\u2028separator \ud800 \x85 \x1b[31m\n"), passage("second", number=1)]
    write_records(tmp_path / "records", odd)
    assert read_passages(tmp_path / "records") == odd


def test_only_matching_outputs_are_removed(tmp_path: Path) -> None:
    for name in ("vectors/1.bin", "vectors/notes.txt", "thesis.bin"):
        write_text(tmp_path / name, "x")
    remove_outputs(tmp_path, ["vectors/*.bin", "absent/*"])
    left = sorted(str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*.*"))
    assert left == ["thesis.bin", "vectors/notes.txt"]


# -- the index ----------------------------------------------------------------------------------------------


def small_index(file: Path) -> Path:
    embedder = Embedder({})
    texts = {"tasks.cancel": "Cancel the running task.", "tasks.wait": "Wait for tasks.", "json": "Parse a document."}
    passages = [passage(text, name) for name, text in texts.items()] + [passage("Tasks again.", "tasks.wait", 1)]
    build_index(file, ((p, embedder.embed(p.text)) for p in passages), {"task": 1.5})
    return file


def test_search_finds_stems_and_names_each_document_once(tmp_path: Path) -> None:
    with CorpusIndex(small_index(tmp_path / "index")) as index:
        hits = index.search("waiting for a task?")
        assert [hit.passage.document for hit in hits] == ["tasks.wait", "tasks.cancel"]
        assert hits[0].score > hits[1].score
        assert len(index.search("task", limit=1)) == 1


@pytest.mark.parametrize("question", ["", "the of", '"', "NEAR(", "a* OR -b", "'; DROP TABLE passages; --"])
def test_a_question_is_never_taken_for_query_syntax(tmp_path: Path, question: str) -> None:
    with CorpusIndex(small_index(tmp_path / "index")) as index:
        assert index.search(question) == []


def test_neighbours_leave_out_the_document_itself(tmp_path: Path) -> None:
    with CorpusIndex(small_index(tmp_path / "index")) as index:
        vector = index.vector_of("tasks.cancel")
        assert vector is not None
        assert index.vector_of("absent") is None
        names = [hit.passage.document for hit in index.nearest(vector, other_than="tasks.cancel")]
        assert names == ["tasks.wait", "json"]


def test_an_index_is_rebuilt_while_somebody_reads_the_old_one(tmp_path: Path) -> None:
    file = small_index(tmp_path / "index")
    with CorpusIndex(file) as reader:
        build_index(file, [(passage("New."), array("f", [0.0] * DIMENSIONS))], {})
        assert reader.size == 4
        assert reader.search("cancel")
    with CorpusIndex(file) as reader:
        assert reader.size == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["index"]


def test_an_index_that_cannot_be_used_says_so(tmp_path: Path) -> None:
    with pytest.raises(IndexUnusable, match="there is no index"):
        CorpusIndex(tmp_path / "absent")
    (tmp_path / "text").write_text("not a database, only some text")
    with pytest.raises(IndexUnusable, match="not an index"):
        CorpusIndex(tmp_path / "text")


def test_sqlite_without_full_text_search_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Poor(sqlite3.Connection):
        def execute(self, sql: str, *values: object) -> sqlite3.Cursor:
            if "fts5" in sql:
                raise sqlite3.OperationalError("no such module: fts5")
            return super().execute(sql, *values)  # type: ignore[arg-type]

    connect = sqlite3.connect
    monkeypatch.setattr("corpus_index.sqlite3.connect", lambda name: connect(name, factory=Poor))
    with pytest.raises(IndexUnusable, match=r"has no FTS5 .*DSQLITE_ENABLE_FTS5"):
        build_index(tmp_path / "index", [], {})
    assert list(tmp_path.iterdir()) == []


# -- words for people ---------------------------------------------------------------------------------------


def test_an_answer_names_the_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_index(tmp_path / "corpus.sqlite")
    assert main(["query", "cancel", "--out", str(tmp_path)]) == 0
    assert "1. tasks.cancel  (a/b.py:1)\n   Cancel the running task." in capsys.readouterr().out


def test_no_answer_is_said_and_is_exit_code_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_index(tmp_path / "corpus.sqlite")
    assert main(["query", "elephants", "--out", str(tmp_path)]) == 1
    assert "Nothing in the corpus" in capsys.readouterr().out
    assert "Nothing in the corpus" in render_answer("elephants", [])


def test_excerpts_end_at_a_word() -> None:
    assert excerpt("two\n  lines") == "two lines"
    assert excerpt("word " * 100) == "word " * 39 + "word …"
