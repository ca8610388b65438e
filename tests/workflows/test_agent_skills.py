"""What the agents do to questions and evidence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from agent_skills import (
    Evidence,
    criticise,
    examples_in,
    fuse,
    gather_evidence,
    render_answers,
    sentences_of,
    split_questions,
    to_data,
)
from corpus_index import CorpusIndex, Hit, build_index
from corpus_text import Passage
from corpus_vectors import Embedder

TEXT = "Cancel the task.\nThis arranges for an\nerror. See also: wait."
CANCEL = Passage(document="tasks.cancel", number=0, title="cancel(self)", file="tasks.py", line=3, text=TEXT)
EVIDENCE = Evidence(
    document="tasks.cancel", title="cancel(self)", file="tasks.py", line=3, sentence="Cancel the task.", score=0.1
)


@pytest.fixture
def library(tmp_path: Path) -> Path:
    build_index(tmp_path / "index", [(CANCEL, Embedder({}).embed(CANCEL.text))], {})
    return tmp_path / "index"


def test_questions_are_split_at_marks_and_lines() -> None:
    text = "How do I cancel tasks? How do I wait?\n\nCopy trees; parse XML\nHow do I wait?"
    expected = ["How do I cancel tasks?", "How do I wait?", "Copy trees", "parse XML"]
    assert split_questions(text, limit=9) == expected
    assert split_questions(text, limit=2) == expected[:2]


def test_text_without_a_question_is_an_error_with_an_example() -> None:
    with pytest.raises(ValueError, match="nothing to look up: ' \\?\\? '"):
        split_questions(" ?? ", limit=3)


def test_fusion_prefers_what_both_rankings_have() -> None:
    assert list(fuse([["a", "b", "c"], ["d", "c", "b"]])) == ["b", "c", "a", "d"]


def test_evidence_is_the_most_telling_sentence() -> None:
    other = replace(CANCEL, number=1, text="Nothing. Errors of a canceled task end here.")
    hits = [Hit(passage=CANCEL, score=2.0), Hit(passage=other, score=1.0)]
    evidence = gather_evidence("error when a task was canceled?", hits, {"tasks.cancel": 0.5})
    assert [(item.document, item.sentence) for item in evidence] == [
        ("tasks.cancel", "Errors of a canceled task end here.")
    ]


def test_sentences_end_at_marks_and_empty_lines() -> None:
    assert list(sentences_of("One two.\nThree e.g. four!\n\nfive\nsix")) == ["One two.", "Three e.g. four!", "five six"]


def test_examples_are_complete_and_without_output() -> None:
    text = "Intro:\n    >>> f(1,\n    ...   2)\n    3\n    >>> g()\n"
    assert examples_in([text, text, "cut:\n    >>> h([1,\n", "odd:\n  >>>broken"]) == ["f(1,\n  2)", "g()"]


def test_the_critic_supports_what_is_quoted_and_to_the_point(library: Path) -> None:
    with CorpusIndex(library) as index:
        verdict = criticise("How do I cancel tasks?", [EVIDENCE], index)
    assert (verdict.label, verdict.coverage, verdict.missing) == ("supported", 1.0, ())


def test_the_critic_finds_invented_quotations(library: Path) -> None:
    with CorpusIndex(library) as index:
        verdict = criticise("How do I cancel tasks?", [replace(EVIDENCE, sentence="Tasks cannot be canceled.")], index)
    assert (verdict.label, verdict.unfounded) == ("weak", ("tasks.cancel",))


def test_the_critic_finds_evidence_beside_the_point(library: Path) -> None:
    with CorpusIndex(library) as index:
        weak = criticise("How do I parse XML?", [EVIDENCE], index)
        nothing = criticise("How do I parse XML?", [], index)
    assert (weak.label, weak.missing) == ("weak", ("parse", "xml"))
    assert (nothing.label, nothing.coverage) == ("unanswered", 0.0)


def test_the_document_has_verdict_quotation_example_and_neighbours(library: Path) -> None:
    question = "How do I cancel tasks?"
    with CorpusIndex(library) as index:
        verdict = criticise(question, [EVIDENCE], index)
    text = render_answers(
        answers=[{"question": question, "evidence": to_data([EVIDENCE])}],
        verdicts=to_data([verdict]),
        signatures={"tasks.cancel": "cancel(self)"},
        examples={"tasks.cancel": ["task.cancel()"]},
        related={question: ["tasks.wait"]},
    )
    assert text.splitlines()[2:] == [
        "## How do I cancel tasks?",
        "",
        "*Supported*: the evidence speaks of 100% of what was asked.",
        "",
        "1. `cancel(self)` (tasks.py:3)",
        "",
        "   > Cancel the task.",
        "",
        "       task.cancel()",
        "",
        "See also: `tasks.wait`",
    ]
