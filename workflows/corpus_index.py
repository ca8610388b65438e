"""The index of the corpus: one SQLite file with passages, their vectors and a full-text index."""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from corpus_files import replacing
from corpus_text import Passage, words
from corpus_vectors import Embedder, similarity

INDEX_NAME = "corpus.sqlite"

_SCHEMA = """
CREATE TABLE passages (
    id INTEGER PRIMARY KEY, document TEXT NOT NULL, number INTEGER NOT NULL, title TEXT NOT NULL,
    file TEXT NOT NULL, line INTEGER NOT NULL, text TEXT NOT NULL, vector BLOB NOT NULL
);
CREATE TABLE weights (word TEXT PRIMARY KEY, weight REAL NOT NULL) WITHOUT ROWID;
CREATE VIRTUAL TABLE passages_text USING fts5(
    title, text, content='passages', content_rowid='id', tokenize='porter unicode61'
);
"""
_COLUMNS = "p.document, p.number, p.title, p.file, p.line, p.text"
_BY_WORDS = f"""
SELECT {_COLUMNS}, bm25(passages_text, 4.0, 1.0) AS rank
FROM passages_text JOIN passages p ON p.id = passages_text.rowid
WHERE passages_text MATCH ? ORDER BY rank, p.id
"""


class IndexUnusable(Exception):
    """The index cannot be built or read; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A passage that answers a search; a higher score is better, but only among hits of one search."""

    passage: Passage
    score: float


def require_full_text_search() -> None:
    """Raise IndexUnusable if this Python's SQLite cannot do full-text search."""
    with closing(sqlite3.connect(":memory:")) as database:
        try:
            database.execute("CREATE VIRTUAL TABLE probe USING fts5(text)")
        except sqlite3.OperationalError as error:
            raise IndexUnusable(
                f"SQLite {sqlite3.sqlite_version} of this Python has no FTS5 ({error}); "
                "use a Python whose SQLite was built with -DSQLITE_ENABLE_FTS5"
            ) from error


def build_index(file: Path, passages: Iterable[tuple[Passage, array[float]]], weights: Mapping[str, float]) -> int:
    """Build the index in a new file, put that in the place of `file`, and return the number of passages.

    Whoever reads the old file meanwhile can go on. Raises IndexUnusable if SQLite has no FTS5.
    """
    require_full_text_search()
    with replacing(file) as draft, closing(sqlite3.connect(draft)) as database:
        return _fill(database, passages, weights)


def _fill(
    database: sqlite3.Connection, passages: Iterable[tuple[Passage, array[float]]], weights: Mapping[str, float]
) -> int:
    database.executescript(f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; {_SCHEMA}")
    rows = ((p.document, p.number, p.title, p.file, p.line, p.text, vector.tobytes()) for p, vector in passages)
    database.executemany(
        "INSERT INTO passages (document, number, title, file, line, text, vector) VALUES (?, ?, ?, ?, ?, ?, ?)", rows
    )
    database.executemany("INSERT INTO weights VALUES (?, ?)", sorted(weights.items()))
    database.execute("INSERT INTO passages_text (passages_text) VALUES ('rebuild')")
    database.commit()
    count: int = database.execute("SELECT count(*) FROM passages").fetchone()[0]
    return count


class CorpusIndex:
    """An index opened for reading; it belongs to the thread that opened it. Use it as a context manager.

    Raises IndexUnusable if `file` is not there or is not an index.
    """

    def __init__(self, file: Path) -> None:
        if not file.is_file():
            raise IndexUnusable(f"{file}: there is no index; build it with: qtui run corpus.toml")
        self._database = sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)
        try:
            self.size: int = self._database.execute("SELECT count(*) FROM passages_text").fetchone()[0]
        except sqlite3.DatabaseError as error:
            self._database.close()
            raise IndexUnusable(f"{file}: not an index of the corpus ({error}); delete it and build it anew") from error

    def __enter__(self) -> CorpusIndex:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def search(self, question: str, limit: int = 5) -> list[Hit]:
        """The passages with the words of `question`, best first by BM25; words in titles count four times.

        A document is there once, with its best passage.
        """
        terms = list(dict.fromkeys(words(question)))
        if not terms:
            return []
        best: dict[str, Hit] = {}
        for row in self._database.execute(_BY_WORDS, (" OR ".join(f'"{term}"' for term in terms),)):
            hit = Hit(passage=_passage(row), score=-row[6])
            best.setdefault(hit.passage.document, hit)
            if len(best) == limit:
                break
        return list(best.values())

    def nearest(self, vector: Sequence[float], limit: int = 5, *, other_than: str = "") -> list[Hit]:
        """The passages whose vectors are closest to `vector`, but none of the document `other_than`.

        A document is there once, with its closest passage.
        """
        best: dict[str, tuple[float, int]] = {}
        for row, document, blob in self._database.execute("SELECT id, document, vector FROM passages ORDER BY id"):
            if document == other_than:
                continue
            score = similarity(vector, array("f", blob))
            if document not in best or score > best[document][0]:
                best[document] = (score, row)
        ranked = sorted(best.values(), key=lambda found: (-found[0], found[1]))[:limit]
        return [Hit(passage=self._passage_number(row), score=score) for score, row in ranked]

    def embedder(self) -> Embedder:
        """An embedder with the word weights of this index, for questions that are compared with its passages."""
        return Embedder(dict(self._database.execute("SELECT word, weight FROM weights")))

    def vector_of(self, document: str) -> array[float] | None:
        """The vector of a document's first passage, or None if the index does not have the document."""
        row = self._database.execute(
            "SELECT vector FROM passages WHERE document = ? AND number = 0", (document,)
        ).fetchone()
        return array("f", row[0]) if row else None

    def passages(self, document: str) -> Iterator[Passage]:
        """The passages of a document in order."""
        query = f"SELECT {_COLUMNS} FROM passages p WHERE p.document = ? ORDER BY p.number"
        yield from map(_passage, self._database.execute(query, (document,)))

    def _passage_number(self, row: int) -> Passage:
        return _passage(self._database.execute(f"SELECT {_COLUMNS} FROM passages p WHERE p.id = ?", (row,)).fetchone())


def _passage(row: Sequence[object]) -> Passage:
    document, number, title, file, line, text = row[:6]
    return Passage(
        document=str(document),
        number=int(str(number)),
        title=str(title),
        file=str(file),
        line=int(str(line)),
        text=str(text),
    )
