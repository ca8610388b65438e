"""What the agents of agents.py can do: divide questions, weigh evidence, check it and write it down.

All of it is plain functions of their arguments, so the same library and the same questions give the same answers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from doctest import DocTestParser
from typing import Any

from corpus_index import CorpusIndex, Hit
from corpus_text import words

EVIDENCE_LIMIT = 4
SUPPORTED_COVERAGE = 0.6
FUSION_CONSTANT = 60
"""Damps the lead of first places in reciprocal rank fusion; 60 is the customary value."""

_QUESTION_END = re.compile(r"(?<=[?;])\s+|\n+")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'`(])|\n\s*\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A sentence that speaks to a question, and where it stands."""

    document: str
    title: str
    file: str
    line: int
    sentence: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the critic thinks of an answer: `coverage` is the share of the question's words that its evidence has."""

    question: str
    label: str
    coverage: float
    missing: tuple[str, ...]
    unfounded: tuple[str, ...]


def split_questions(text: str, limit: int) -> list[str]:
    """The single questions in `text`: one a line, or divided by ``?`` or ``;``; at most `limit`.

    Raises ValueError if no question has a word that can be looked up.
    """
    parts = [part.strip().rstrip(";") for part in _QUESTION_END.split(text)]
    questions = [part for part in dict.fromkeys(parts) if words(part)]
    if not questions:
        raise ValueError(
            f"the param questions has nothing to look up: {text!r}; ask for example: How do I merge dicts?"
        )
    return questions[:limit]


def fuse(rankings: Iterable[Sequence[str]]) -> dict[str, float]:
    """Merge rankings by reciprocal rank fusion: names that are high in several rankings win. Best first."""
    scores: dict[str, float] = {}
    for ranking in rankings:
        for rank, name in enumerate(ranking, start=1):
            scores[name] = scores.get(name, 0.0) + 1.0 / (FUSION_CONSTANT + rank)
    return dict(sorted(scores.items(), key=lambda item: (-item[1], item[0])))


def gather_evidence(question: str, hits: Sequence[Hit], ranking: Mapping[str, float]) -> list[Evidence]:
    """The most telling sentence of each of the best documents, best document first."""
    terms = set(words(question))
    evidence: list[Evidence] = []
    for document in list(ranking)[:EVIDENCE_LIMIT]:
        passages = [hit.passage for hit in hits if hit.passage.document == document]
        sentences = [(sentence, passage) for passage in passages for sentence in sentences_of(passage.text)]
        if not sentences:
            continue
        # max() keeps the first of equals, which is the earlier sentence
        sentence, passage = max(sentences, key=lambda found: len(_spoken_of(terms, words(found[0]))))
        evidence.append(
            Evidence(
                document=document,
                title=passage.title,
                file=passage.file,
                line=passage.line,
                sentence=sentence,
                score=round(ranking[document], 4),
            )
        )
    return evidence


def sentences_of(text: str) -> Iterator[str]:
    """The sentences of `text`, each on one line."""
    for part in _SENTENCE_END.split(text):
        sentence = " ".join(part.split())
        if sentence:
            yield sentence


def examples_in(passages: Iterable[str], limit: int = 2) -> list[str]:
    """The first interpreter examples in `passages`, without their output; one that is cut off is left out."""
    found: dict[str, None] = {}
    for text in passages:
        try:
            examples = DocTestParser().get_examples(text)
        except ValueError:  # not meant for doctest, or cut in the middle
            continue
        found.update(dict.fromkeys(example.source.rstrip() for example in examples if _is_complete(example.source)))
    return list(found)[:limit]


def _is_complete(source: str) -> bool:
    try:
        compile(source, "<example>", "single")
    except (SyntaxError, ValueError):
        return False
    return True


def criticise(question: str, evidence: Sequence[Evidence], library: CorpusIndex) -> Verdict:
    """Check that every quoted sentence stands in the document it is said to come from, and that together they speak
    about what was asked."""
    unfounded = tuple(item.document for item in evidence if not _is_quoted(item, library))
    terms = list(dict.fromkeys(words(question)))
    found = _spoken_of(terms, [word for item in evidence for word in words(f"{item.title} {item.sentence}")])
    missing = tuple(term for term in terms if term not in found)
    coverage = 1 - len(missing) / len(terms) if terms else 0.0
    return Verdict(
        question=question,
        label=_label(evidence, coverage, unfounded),
        coverage=round(coverage, 2),
        missing=missing,
        unfounded=unfounded,
    )


def _label(evidence: Sequence[Evidence], coverage: float, unfounded: Sequence[str]) -> str:
    if not evidence:
        return "unanswered"
    return "supported" if coverage >= SUPPORTED_COVERAGE and not unfounded else "weak"


def _is_quoted(item: Evidence, library: CorpusIndex) -> bool:
    return any(item.sentence in " ".join(passage.text.split()) for passage in library.passages(item.document))


def _spoken_of(terms: Iterable[str], text: Sequence[str]) -> set[str]:
    return {term for term in terms if any(_same_stem(term, word) for word in text)}


def _same_stem(left: str, right: str) -> bool:
    shorter, longer = sorted((left, right), key=len)
    return longer.startswith(shorter) and (len(shorter) >= 4 or len(longer) - len(shorter) <= 1)


def render_answers(
    *,
    answers: Sequence[Mapping[str, Any]],
    verdicts: Sequence[Mapping[str, Any]],
    signatures: Mapping[str, str],
    examples: Mapping[str, Sequence[str]],
    related: Mapping[str, Sequence[str]],
) -> str:
    """The answers in Markdown: the verdict, then each piece of evidence with what the tools found about it."""
    lines = ["# Answers from the standard library"]
    for answer, verdict in zip(answers, verdicts, strict=True):
        lines += ["", f"## {answer['question']}", "", _judgement(verdict)]
        for number, item in enumerate(answer["evidence"], start=1):
            name = item["document"]
            lines += ["", f"{number}. `{signatures.get(name, name)}` ({item['file']}:{item['line']})", ""]
            lines.append(f"   > {item['sentence']}")
            for example in examples.get(name, ()):
                lines += ["", *(f"       {line}" for line in example.splitlines())]
        close = related.get(answer["question"], ())
        if close:
            lines += ["", "See also: " + ", ".join(f"`{name}`" for name in close)]
    return "\n".join(lines) + "\n"


def _judgement(verdict: Mapping[str, Any]) -> str:
    text = f"*{str(verdict['label']).capitalize()}*: the evidence speaks of {verdict['coverage']:.0%} of what was asked"
    if verdict["missing"]:
        text += f", not of: {', '.join(verdict['missing'])}"
    if verdict["unfounded"]:
        text += f"; not found in its source: {', '.join(verdict['unfounded'])}"
    return f"{text}."


def to_data(items: Iterable[Evidence | Verdict]) -> list[dict[str, Any]]:
    """Plain dicts, which travel between units."""
    return [asdict(item) for item in items]
