"""Small plans for tests of the library, and a reader of their pictures."""

from __future__ import annotations

import re
from typing import Any

from qtui import QuantumPartitioner

MODES = ("sequential", "thread", "process", "async")


def raises(text: str) -> Any:
    def fail(context: Any) -> None:
        raise ValueError(text)

    return fail


def sums(partitioner: QuantumPartitioner) -> QuantumPartitioner:
    partitioner.add_unit(lambda context: context["number"], name="given")
    partitioner.add_unit(lambda context: context["given"] + 1, ["given"], "more")
    partitioner.add_unit(lambda context: context["given"] * 10, ["given"], "times")
    partitioner.add_unit(lambda context: context["more"] + context["times"], ["more", "times"], "sum")
    return partitioner


def failing(partitioner: QuantumPartitioner) -> QuantumPartitioner:
    partitioner.add_unit(lambda: "kept", name="good")
    partitioner.add_unit(raises("it went wrong"), name="bad")
    partitioner.add_unit(lambda context: context["bad"], ["bad"], "below")
    return partitioner


_DOT_NODE = re.compile(r'  ("(?:[^"\\]|\\.)*") \[fillcolor=(\w+)\];')
_DOT_EDGE = re.compile(r'  ("(?:[^"\\]|\\.)*") -> ("(?:[^"\\]|\\.)*");')


def unquoted(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: {"n": "\n"}.get(found[1], found[1]), text[1:-1])


def parse_dot(text: str) -> tuple[dict[str, str], set[tuple[str, str]]]:
    """Nodes with their colours, and edges; fails on every line that is no sentence of DOT."""
    first, *lines, last = text.splitlines()
    assert first == "digraph plan {" and last == "}"
    nodes, edges = {}, set()
    for line in lines:
        if node := _DOT_NODE.fullmatch(line):
            nodes[unquoted(node[1])] = node[2]
        elif edge := _DOT_EDGE.fullmatch(line):
            edges.add((unquoted(edge[1]), unquoted(edge[2])))
        else:
            assert line in ("  rankdir=LR;", '  node [shape=box, style="rounded,filled", fillcolor=white];'), line
    return nodes, edges
