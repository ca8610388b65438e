"""What the corpus pipeline tells people: the report and the answer to a question, as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from corpus_index import Hit

EXCERPT_CHARS = 200


def render_answer(question: str, hits: Sequence[Hit]) -> str:
    """The hits for a question, best first: name, place and the beginning of each passage."""
    lines = [f"Question: {question}"]
    for rank, hit in enumerate(hits, start=1):
        passage = hit.passage
        lines += ["", f"{rank}. {passage.document}  ({passage.file}:{passage.line})", f"   {excerpt(passage.text)}"]
    if not hits:
        lines += ["", "Nothing in the corpus has these words."]
    return "\n".join(lines) + "\n"


def excerpt(text: str) -> str:
    """The beginning of `text` on one line, cut at a word."""
    line = " ".join(text.split())
    return line if len(line) <= EXCERPT_CHARS else line[:EXCERPT_CHARS].rsplit(" ", 1)[0] + " …"


def render_report(
    *,
    library: Mapping[str, Any],
    sources: Sequence[Mapping[str, Any]],
    passages: int,
    vocabulary: int,
    frequent: Sequence[str],
    neighbours: Sequence[Mapping[str, Any]],
    answer: str,
) -> str:
    """The report in Markdown. `frequent` has counts and words in turn, the most frequent word first."""
    documents = sum(source["documents"] for source in sources)
    lines = [
        f"# The standard library of Python {library['python']}",
        "",
        f"{documents} documents from {library['library']} gave {passages} passages with {vocabulary} different words.",
        "",
        "## Sources",
        "",
        *_source_table(sources),
        "",
        "## Frequent words",
        "",
        ", ".join(f"{word} ({count})" for count, word in zip(frequent[::2], frequent[1::2], strict=True)),
        "",
        "## Neighbours",
        "",
        *_neighbour_list(neighbours),
        "",
        "## Answer",
        "",
        *(f"    {line}".rstrip() for line in answer.splitlines()),
    ]
    return "\n".join(lines) + "\n"


def _source_table(sources: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield "| source | files | documents | words |"
    yield "|---|--:|--:|--:|"
    for source in sorted(sources, key=lambda source: (-source["words"], source["source"])):
        yield f"| {source['source']} | {source['files']} | {source['documents']} | {source['words']} |"


def _neighbour_list(neighbours: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for found in neighbours:
        close = ", ".join(f"`{name}` {score:.2f}" for name, score in found["neighbours"])
        yield f"- `{found['document']}`: {close or 'not in this corpus'}"
