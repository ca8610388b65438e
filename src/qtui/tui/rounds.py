"""Choices that one key goes round."""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class Round(StrEnum):
    """Words to choose from, in the order in which a key goes round them."""

    @property
    def next(self) -> Self:
        """The one that comes after it; after the last the first."""
        words = list(type(self))
        return words[(words.index(self) + 1) % len(words)]
