"""A team of agents answers questions about the Python standard library, offline and always the same way.

A planner divides the questions; for each, one retrieval agent searches by words and one by meaning; reasoning agents
weigh what they bring; tools look up signatures, examples and neighbours; a critic checks the evidence, and a writer
makes the document. They work on the index of corpus.toml, or on a small one that they build themselves.

    qtui run workflows/agents.py -p questions="How do I copy a directory tree?"
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent_skills import (
    Evidence,
    criticise,
    examples_in,
    fuse,
    gather_evidence,
    render_answers,
    split_questions,
    to_data,
)
from corpus_files import directory, write_text
from corpus_index import INDEX_NAME, CorpusIndex, Hit, build_index
from corpus_text import Passage, documents_in, passages_of, source_files, words
from corpus_vectors import Embedder, document_frequencies, word_weights

from qtui import ExecutionContext, Workflow

TEAMS = 6
"""How many questions are worked on; each has two retrieval agents and one reasoning agent."""

SMALL_LIBRARY = (
    "asyncio", "concurrent.futures", "json", "logging", "multiprocessing", "pathlib", "shutil", "subprocess",
    "tempfile", "threading", "urllib",
)  # fmt: skip
"""What is indexed where corpus.toml has not run."""

QUESTIONS = """\
How do I run a program with a timeout and read its output?
How do I cancel an asyncio task?
How can I copy a whole directory tree?
How do I parse JSON with a custom decoder?
How do threads wait for each other?
How do I write log messages to a rotating file?
"""

workflow = Workflow(
    "agents",
    description="A team of agents answers questions from the standard library's documentation",
    max_workers=8,
    params={"questions": QUESTIONS, "corpus": "../build/corpus", "out": "../build/agents"},
)


def _out(context: ExecutionContext) -> Path:
    return directory(str(context["params"]["out"]))


def _library(context: ExecutionContext) -> CorpusIndex:
    return CorpusIndex(Path(context["library"]["index"]))


# -- the plan and the library -------------------------------------------------------------------------------


@workflow.unit(priority=10, tags={"plan"}, description="Divide the questions among the teams")
def planner(context: ExecutionContext) -> list[str]:
    """The questions, one for each team that has work."""
    questions = split_questions(str(context["params"]["questions"]), TEAMS)
    for number, question in enumerate(questions):
        context.log(f"team {number}: {question}  [{' '.join(words(question))}]")
    return questions


@workflow.unit(priority=10, retries=1, timeout=60, tags={"plan"}, description="Open the corpus, or index a small one")
def library(context: ExecutionContext) -> dict[str, Any]:
    """Where the index is. A missing one is built from `SMALL_LIBRARY`, a broken one is an error that says so."""
    index = directory(str(context["params"]["corpus"])) / INDEX_NAME
    if not index.is_file():
        context.log(f"{index} is not there; indexing {len(SMALL_LIBRARY)} packages instead")
        index = _out(context) / INDEX_NAME
        _build_small_index(context, index)
    with CorpusIndex(index) as opened:
        context.log(f"{index}: {opened.size} passages")
        return {"index": str(index), "passages": opened.size}


def _build_small_index(context: ExecutionContext, index: Path) -> None:
    passages: list[Passage] = []
    for done, name in enumerate(SMALL_LIBRARY, start=1):
        context.check()
        for file in source_files(name, limit=12):
            passages.extend(passage for document in documents_in(file, 4000) for passage in passages_of(document))
        context.progress(done, len(SMALL_LIBRARY))
    texts = [f"{passage.title}\n{passage.text}" for passage in passages]
    weights = word_weights(document_frequencies(texts), len(texts))
    embedder = Embedder(weights)
    build_index(index, ((p, embedder.embed(text)) for p, text in zip(passages, texts, strict=True)), weights)


# -- retrieval: two agents for each question ----------------------------------------------------------------


async def search_words(context: ExecutionContext, team: int) -> list[Hit]:
    """The passages with the words of the team's question."""
    return await _retrieve(context, team, _by_words)


async def search_meaning(context: ExecutionContext, team: int) -> list[Hit]:
    """The passages whose vectors are closest to the team's question."""
    return await _retrieve(context, team, _by_meaning)


async def _retrieve(context: ExecutionContext, team: int, search: Any) -> list[Hit]:
    if team >= len(context["planner"]):
        context.log("no question for this team")
        return []
    question = context["planner"][team]
    # SQLite blocks, so it gets a thread of its own and the loop stays free for the other agents
    hits: list[Hit] = await asyncio.to_thread(search, Path(context["library"]["index"]), question)
    for hit in hits:
        context.log(f"{hit.score:7.2f}  {hit.passage.document}")
    return hits


def _by_words(index: Path, question: str) -> list[Hit]:
    with CorpusIndex(index) as opened:
        return opened.search(question, limit=8)


def _by_meaning(index: Path, question: str) -> list[Hit]:
    with CorpusIndex(index) as opened:
        return opened.nearest(opened.embedder().embed(question), limit=8)


for name, agent, description in (
    ("keywords", search_words, "Search the library by words"),
    ("vectors", search_meaning, "Search the library by meaning"),
):
    workflow.map(
        agent,
        items=range(TEAMS),
        name=name,
        dependencies=["planner", "library"],
        timeout=60,
        retries=1,
        tags={"retrieval"},
        description=description,
    )


# -- reasoning and tools ------------------------------------------------------------------------------------


def weigh_evidence(context: ExecutionContext, team: int) -> dict[str, Any]:
    """The team's answer: the best sentence of each document that both retrieval agents find good."""
    if team >= len(context["planner"]):
        return {"question": "", "evidence": []}
    question = context["planner"][team]
    found: list[Sequence[Hit]] = [context["keywords"][team], context["vectors"][team]]
    ranking = fuse([[hit.passage.document for hit in hits] for hits in found])
    evidence = gather_evidence(question, [hit for hits in found for hit in hits], ranking)
    for item in evidence:
        context.log(f"{item.document}: {item.sentence}")
    return {"question": question, "evidence": to_data(evidence)}


workflow.map(
    weigh_evidence,
    items=range(TEAMS),
    name="reason",
    dependencies=["planner", "keywords", "vectors"],
    kind="cpu",
    tags={"reasoning"},
    description="Weigh what the retrieval agents found",
)


def _answers(context: ExecutionContext) -> list[dict[str, Any]]:
    return [answer for answer in context["reason"] if answer["question"]]


def _cited(context: ExecutionContext) -> list[str]:
    return list(dict.fromkeys(item["document"] for answer in _answers(context) for item in answer["evidence"]))


@workflow.unit(dependencies=["reason"], tags={"tool"}, description="Look up how the cited things are called")
def signatures(context: ExecutionContext) -> dict[str, str]:
    """The titles of the cited documents."""
    found = {item["document"]: str(item["title"]) for answer in _answers(context) for item in answer["evidence"]}
    for title in found.values():
        context.log(title)
    return found


@workflow.unit(dependencies=["library", "reason"], fallback={}, tags={"tool"}, description="Find interpreter examples")
def examples(context: ExecutionContext) -> dict[str, list[str]]:
    """The interpreter examples in the cited documents; an answer is complete without them."""
    found = {}
    with _library(context) as opened:
        for document in _cited(context):
            context.check()
            lines = examples_in(passage.text for passage in opened.passages(document))
            if lines:
                found[document] = lines
    context.log(f"{len(found)} of {len(_cited(context))} documents have examples")
    return found


@workflow.unit(
    dependencies=["library", "reason"], fallback={}, kind="cpu", tags={"tool"}, description="Find what is close by"
)
def related(context: ExecutionContext) -> dict[str, list[str]]:
    """For each question the documents closest to its best evidence; an answer is complete without them."""
    found = {}
    answers = [answer for answer in _answers(context) if answer["evidence"]]
    with _library(context) as opened:
        for done, answer in enumerate(answers, start=1):
            context.check()
            best = answer["evidence"][0]["document"]
            vector = opened.vector_of(best)
            hits = opened.nearest(vector, limit=4, other_than=best) if vector else []
            found[answer["question"]] = [hit.passage.document for hit in hits]
            context.progress(done, len(answers))
    return found


# -- the critic, the writer and the door --------------------------------------------------------------------


@workflow.unit(dependencies=["library", "reason"], priority=5, tags={"critic"}, description="Check the evidence")
def critic(context: ExecutionContext) -> list[dict[str, Any]]:
    """A verdict on each answer: are the quotations genuine, and do they speak about what was asked?"""
    verdicts = []
    with _library(context) as opened:
        for answer in _answers(context):
            evidence = [Evidence(**item) for item in answer["evidence"]]
            verdicts.append(criticise(answer["question"], evidence, opened))
    for verdict in verdicts:
        context.log(f"{verdict.label} ({verdict.coverage:.0%}): {verdict.question}")
    return to_data(verdicts)


@workflow.unit(
    dependencies=["reason", "signatures", "examples", "related", "critic"],
    retries=1,
    tags={"writer"},
    description="Write the answers as Markdown",
)
def writer(context: ExecutionContext) -> dict[str, Any]:
    """Where the document is, and how many of its answers the critic supports."""
    text = render_answers(
        answers=_answers(context),
        verdicts=context["critic"],
        signatures=context["signatures"],
        examples=context["examples"],
        related=context["related"],
    )
    file = _out(context) / "answers.md"
    write_text(file, text)
    supported = sum(verdict["label"] == "supported" for verdict in context["critic"])
    context.log(f"{file}: {supported} of {len(context['critic'])} answers are supported")
    return {"file": str(file), "supported": supported}


workflow.command(
    "publish",
    run='cd "$QTUI_PARAM_OUT" && cksum answers.md > CHECKSUM && cat CHECKSUM && grep "^## " answers.md',
    dependencies=["writer"],
    timeout=30,
    tags={"writer", "shell"},
    description="Checksum and headings of the answers",
)
