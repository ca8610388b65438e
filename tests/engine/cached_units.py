"""Functions that process workers import, and a class that can vanish between two runs."""

from __future__ import annotations


class Kept:
    """A value whose class a result names."""


def make_large(context) -> bytes:
    return b"x" * (3 << 20)


def make_kept() -> Kept:
    return Kept()


def measure(context) -> int:
    return len(context["large"])
