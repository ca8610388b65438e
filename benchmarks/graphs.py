"""Shapes of workflows: for each unit the numbers of the units it needs, all smaller than its own."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

Graph = Sequence[tuple[int, ...]]


def wide(size: int) -> Graph:
    """Units that need nothing."""
    return [()] * size


def chain(size: int) -> Graph:
    """Each unit needs the one before."""
    return [(number - 1,) if number else () for number in range(size)]


def layered(size: int) -> Graph:
    """A square of layers, every unit needing two or three of the layer above; the same graph in every process."""
    choose = random.Random(1)
    width = max(3, round(size**0.5))
    graph: list[tuple[int, ...]] = []
    while len(graph) < size:
        above = len(graph) - len(graph) % width - width
        picked = choose.sample(range(width), choose.choice((2, 3))) if above >= 0 else []
        graph.append(tuple(sorted(above + column for column in picked)))
    return graph


SHAPES: dict[str, Callable[[int], Graph]] = {"wide": wide, "layered": layered}
