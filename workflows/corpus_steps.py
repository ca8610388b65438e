"""The steps of corpus.toml: from the sources of the Python standard library to an index that answers questions.

The index can also be asked without qtui::

    python -m corpus_steps query "cancel a task" --out ../build/corpus
"""

from __future__ import annotations

import argparse
import json
import sys
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from platform import python_version
from typing import TYPE_CHECKING, Any

from corpus_files import (
    directory,
    read_documents,
    read_passages,
    remove_outputs,
    write_bytes,
    write_records,
    write_text,
)
from corpus_index import INDEX_NAME, CorpusIndex, Hit, IndexUnusable, build_index, require_full_text_search
from corpus_report import render_answer, render_report
from corpus_text import (
    Document,
    Passage,
    documents_in,
    language_topics,
    passages_of,
    shares,
    source_files,
    standard_library,
)
from corpus_vectors import DIMENSIONS, Embedder, document_frequencies, word_weights

if TYPE_CHECKING:
    from qtui import ExecutionContext

MODULE_GROUPS = {
    "archives": ("gzip", "bz2", "lzma", "tarfile", "zipfile", "zipapp"),
    "concurrency": ("contextlib", "contextvars", "queue", "sched", "signal", "subprocess", "threading"),
    "console": ("argparse", "cmd", "code", "getopt", "getpass", "optparse", "shlex", "pprint"),
    "containers": ("bisect", "copy", "dataclasses", "enum", "functools", "heapq", "operator", "weakref"),
    "debugging": ("bdb", "doctest", "pdb", "pstats", "timeit", "trace", "traceback", "tracemalloc", "warnings"),
    "files": ("filecmp", "fileinput", "fnmatch", "glob", "os", "pathlib", "shutil", "stat", "tempfile"),
    "formats": ("base64", "configparser", "csv", "hashlib", "hmac", "pickle", "plistlib", "secrets", "shelve", "uuid"),
    "language": ("abc", "ast", "dis", "inspect", "symtable", "tokenize", "types", "typing"),
    "network": ("ftplib", "imaplib", "ipaddress", "netrc", "poplib", "selectors", "smtplib", "socket", "ssl"),
    "numbers": ("calendar", "colorsys", "datetime", "_pydecimal", "fractions", "numbers", "random", "statistics"),
    "text": ("codecs", "difflib", "gettext", "locale", "reprlib", "string", "stringprep", "textwrap"),
}
"""The modules outside of packages, by what they are for."""

NOT_SOURCES = frozenset({"__pycache__", "lib-dynload", "site-packages", "dist-packages", "test"})
STAGES = ("documents/*.jsonl", "passages/*.jsonl", "plain/*.txt", "vectors/*.bin")

Source = dict[str, Any]  # what the extract units tell about themselves: source, files, documents, words


def _out(context: ExecutionContext) -> Path:
    return directory(str(context["params"]["out"]))


# -- list ---------------------------------------------------------------------------------------------------


def list_sources(context: ExecutionContext) -> dict[str, Any]:
    """Write manifest.tsv, a line for each package and module of the standard library, and clear what an earlier
    run left between the steps. Raises FileNotFoundError if the library's sources are not on this machine."""
    out, library = _out(context), standard_library()
    lines = sorted(_manifest(library))
    if not lines:
        raise FileNotFoundError(f"{library}: no Python sources here; use a Python whose standard library is not zipped")
    remove_outputs(out, STAGES)
    write_text(out / "manifest.tsv", "".join(lines))
    context.log(f"Python {python_version()}: {len(lines)} packages and modules in {library}")
    return {"python": python_version(), "library": str(library), "names": len(lines)}


def _manifest(library: Path) -> Iterator[str]:
    for place in library.iterdir():
        if place.suffix == ".py":
            yield f"{place.stem}\tmodule\t1\t{place.stat().st_size}\n"
        elif place.is_dir() and place.name not in NOT_SOURCES:
            sizes = [file.stat().st_size for file in place.rglob("*.py")]
            if sizes:
                yield f"{place.name}\tpackage\t{len(sizes)}\t{sum(sizes)}\n"


# -- extract ------------------------------------------------------------------------------------------------


def extract(context: ExecutionContext, package: str) -> Source:
    """The documents of one package; none if this machine does not have it."""
    files = source_files(package, int(context["params"]["max_files"]))
    return _extract(context, package, files)


def extract_modules(context: ExecutionContext, group: str) -> Source:
    """The documents of one of `MODULE_GROUPS`; modules that this machine does not have are left out."""
    # of a module that a newer Python made a package, its __init__ and largest part stand for it
    files = [file for name in MODULE_GROUPS[group] for file in source_files(name, 2)]
    return _extract(context, f"modules-{group}", files)


def extract_topics(context: ExecutionContext) -> Source:
    """The pages of the language reference. Raises FileNotFoundError where they were left out."""
    documents = language_topics(int(context["params"]["max_chars"]))
    return _store(context, "topics", 1, documents)


def _extract(context: ExecutionContext, source: str, files: Sequence[Path]) -> Source:
    documents: list[Document] = []
    for done, file in enumerate(files, start=1):
        context.check()
        found = documents_in(file, int(context["params"]["max_chars"]))
        documents.extend(found)
        context.progress(done, len(files))
        context.log(f"{file.name}: {len(found)} documents")
    if not files:
        context.log(f"{source}: not on this machine, no documents")
    return _store(context, source, len(files), documents)


def _store(context: ExecutionContext, source: str, files: int, documents: Sequence[Document]) -> Source:
    write_records(_out(context) / "documents" / f"{source}.jsonl", documents)
    count = sum(len(document.text.split()) for document in documents)
    context.log(f"{source}: {files} files, {len(documents)} documents, {count} words")
    return {"source": source, "files": files, "documents": len(documents), "words": count}


def _sources(context: ExecutionContext) -> list[Source]:
    return [*context["extract"], *context["modules"], context["topics"]]


# -- chunk, weigh, embed ------------------------------------------------------------------------------------


def chunk(context: ExecutionContext, shard: int, shards: int) -> dict[str, int]:
    """Cut the documents of one shard into passages; the sources are divided so that all shards have like work."""
    out, shard = _out(context), int(shard)
    sizes = {source["source"]: source["words"] for source in _sources(context) if source["documents"]}
    mine = shares(sizes, int(shards))[shard]
    passages: list[Passage] = []
    for done, source in enumerate(mine, start=1):
        context.check()
        for document in read_documents(out / "documents" / f"{source}.jsonl"):
            passages.extend(passages_of(document))
        context.progress(done, len(mine))
    write_records(out / "passages" / f"{shard}.jsonl", passages)
    write_text(out / "plain" / f"{shard}.txt", "\n".join(passage.text for passage in passages))
    context.log(f"{len(passages)} passages from {', '.join(mine) or 'nothing'}")
    return {"shard": shard, "passages": len(passages)}


def weigh(context: ExecutionContext) -> dict[str, int]:
    """Count in how many passages each word occurs: rare words tell more about a passage than common ones."""
    out = _out(context)
    parts = context["chunk"]
    texts: list[str] = []
    for done, part in enumerate(parts, start=1):
        context.check()
        texts.extend(f"{p.title}\n{p.text}" for p in read_passages(out / "passages" / f"{part['shard']}.jsonl"))
        context.progress(done, len(parts))
    weights = word_weights(document_frequencies(texts), len(texts))
    write_text(out / "weights.json", json.dumps(weights, indent=0))
    context.log(f"{len(weights)} different words in {len(texts)} passages")
    return {"words": len(weights), "passages": len(texts)}


def embed(context: ExecutionContext, shard: int) -> dict[str, int]:
    """Compute the vectors of one shard's passages."""
    out, shard = _out(context), int(shard)
    passages = read_passages(out / "passages" / f"{shard}.jsonl")
    embedder = Embedder(json.loads((out / "weights.json").read_text(encoding="utf-8")))
    vectors = bytearray()
    for done, passage in enumerate(passages, start=1):
        if done % 50 == 0:
            context.check()
            context.progress(done, len(passages))
        vectors += embedder.embed(f"{passage.title}\n{passage.text}").tobytes()
    write_bytes(out / "vectors" / f"{shard}.bin", bytes(vectors))
    context.log(f"{len(passages)} vectors of {DIMENSIONS} dimensions")
    return {"shard": shard, "passages": len(passages)}


# -- index, neighbours, report ------------------------------------------------------------------------------


def index(context: ExecutionContext) -> dict[str, Any]:
    """Build the SQLite index from all shards. Raises IndexUnusable if SQLite has no FTS5."""
    require_full_text_search()
    out = _out(context)
    weights = json.loads((out / "weights.json").read_text(encoding="utf-8"))
    count = build_index(out / INDEX_NAME, _embedded(context, out), weights)
    if not count:
        raise ValueError("there are no passages: no source gave a document; were docstrings stripped from this Python?")
    size = (out / INDEX_NAME).stat().st_size
    context.log(f"{INDEX_NAME}: {count} passages, {size / 1e6:.1f} MB")
    return {"passages": count, "bytes": size}


def _embedded(context: ExecutionContext, out: Path) -> Iterator[tuple[Passage, array[float]]]:
    parts = sorted(part["shard"] for part in context["embed"])
    for done, shard in enumerate(parts, start=1):
        context.check()
        vectors = array("f", (out / "vectors" / f"{shard}.bin").read_bytes())
        for number, passage in enumerate(read_passages(out / "passages" / f"{shard}.jsonl")):
            yield passage, vectors[number * DIMENSIONS : (number + 1) * DIMENSIONS]
        context.progress(done, len(parts))


def neighbours(context: ExecutionContext, document: str) -> dict[str, Any]:
    """The documents closest to `document`; none if this machine's library does not have it."""
    with CorpusIndex(_out(context) / INDEX_NAME) as corpus:
        vector = corpus.vector_of(document)
        hits = corpus.nearest(vector, 5, other_than=document) if vector else []
    if vector is None:
        context.log(f"{document} is not in this corpus (see the param max_files)")
    for hit in hits:
        context.log(f"{hit.score:.2f}  {hit.passage.document}")
    return {"document": document, "neighbours": [[hit.passage.document, round(hit.score, 2)] for hit in hits]}


def report(context: ExecutionContext) -> dict[str, Any]:
    """Write report.md: the sources, the most frequent words, the neighbours and the answer to the query."""
    out = _out(context)
    text = render_report(
        library=context["list"],
        sources=_sources(context),
        passages=context["index"]["passages"],
        vocabulary=context["weigh"]["words"],
        frequent=(out / "words.txt").read_text(encoding="utf-8").split()[:80],
        neighbours=context["neighbours"],
        answer=(out / "answer.txt").read_text(encoding="utf-8"),
    )
    write_text(out / "report.md", text)
    context.log(f"{out / 'report.md'}: {len(text.split())} words")
    return {"report": str(out / "report.md"), "words": len(text.split())}


# -- the command line ---------------------------------------------------------------------------------------


def query(question: str, out: Path, limit: int = 5) -> list[Hit]:
    """The passages of the index below `out` that answer `question` best.

    Raises IndexUnusable if the index is missing or broken.
    """
    with CorpusIndex(out / INDEX_NAME) as corpus:
        return corpus.search(question, limit)


def main(arguments: Sequence[str] | None = None) -> int:
    """Answer a question on the command line; returns the exit code: 0, 1 for no answer, 2 for no index."""
    parser = argparse.ArgumentParser(prog="corpus_steps", description="Ask the index of the corpus.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    ask = commands.add_parser("query", help="print the passages that answer a question best")
    ask.add_argument("question", metavar="TEXT")
    ask.add_argument("--out", default="../build/corpus", metavar="DIR", help="where corpus.toml wrote (%(default)s)")
    ask.add_argument("--limit", type=int, default=5, metavar="N", help="how many passages (%(default)s)")
    options = parser.parse_args(arguments)
    try:
        hits = query(options.question, directory(options.out), options.limit)
    except IndexUnusable as error:
        print(f"corpus_steps: {error}", file=sys.stderr)
        return 2
    print(render_answer(options.question, hits), end="")
    return 0 if hits else 1


if __name__ == "__main__":
    sys.exit(main())
