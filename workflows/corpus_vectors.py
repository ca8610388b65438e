"""Vectors of texts, made by feature hashing: the same on every machine, without a model and without numpy."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from operator import mul
from zlib import crc32

from corpus_text import words

DIMENSIONS = 256
TRIGRAM_WEIGHT = 0.25

Weights = Mapping[str, float]


def document_frequencies(texts: Iterable[str]) -> Counter[str]:
    """In how many of `texts` each word occurs."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(set(words(text)))
    return counts


def word_weights(frequencies: Mapping[str, int], texts: int) -> dict[str, float]:
    """How telling each word is: its inverse document frequency, larger for rarer words."""
    return {word: math.log(1 + texts / count) for word, count in sorted(frequencies.items())}


class Embedder:
    """Turns texts into vectors of length 1 with `DIMENSIONS` components.

    A text's vector is the weighted sum of its words' hashed features: the word itself and its character trigrams,
    so that ``connect`` and ``connection`` are close. An instance remembers the words it has met and belongs to one
    thread.
    """

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._unknown = max(weights.values(), default=1.0)
        self._features: dict[str, list[tuple[int, float]]] = {}

    def embed(self, text: str) -> array[float]:
        """The vector of `text`: all zeros if it has no words."""
        vector = [0.0] * DIMENSIONS
        for word, count in Counter(words(text)).items():
            factor = 1.0 + math.log(count)
            for dimension, weight in self._features_of(word):
                vector[dimension] += factor * weight
        norm = math.sqrt(sum(map(mul, vector, vector)))
        return array("f", [component / norm for component in vector] if norm else vector)

    def _features_of(self, word: str) -> list[tuple[int, float]]:
        if word not in self._features:
            weight = self._weights.get(word, self._unknown)
            framed = f"<{word}>"
            trigrams = [framed[i : i + 3] for i in range(len(framed) - 2)]
            share = TRIGRAM_WEIGHT * weight
            self._features[word] = [_hashed(word, weight), *(_hashed(trigram, share) for trigram in trigrams)]
        return self._features[word]


def _hashed(feature: str, weight: float) -> tuple[int, float]:
    # not hash(): it differs from process to process; one bit is the sign, so that collisions cancel out
    number = crc32(feature.encode())
    return number % DIMENSIONS, weight if number & 0x8000_0000 else -weight


def similarity(left: Sequence[float], right: Sequence[float]) -> float:
    """The cosine of two vectors of length 1: 1 for the same direction, 0 for nothing in common."""
    cosine: float = sum(map(mul, left, right))
    return cosine
