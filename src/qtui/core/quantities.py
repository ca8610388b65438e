"""Durations and sizes as people write them: ``1h30m``, ``64M``."""

from __future__ import annotations

import re
from typing import Final

_SIZE: Final = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)\s*([KMGT]?)(?:i?B)?")
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION: Final = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+", re.ASCII)
_DURATION_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)


def seconds_of(text: str) -> float | None:
    """The seconds of ``90s``, ``1h30m`` or ``500ms``; None for what is no duration. May be infinite."""
    if not _DURATION.fullmatch(text):
        return None
    return sum(float(amount) * _UNITS[unit] for amount, unit in _DURATION_PART.findall(text))


def bytes_of(text: str) -> int | None:
    """The bytes of ``64M`` or ``1.5G``, with K, M, G and T as powers of 1024; None for what is no size."""
    match = _SIZE.fullmatch(text)
    return None if match is None else int(float(match[1]) * 1024 ** "_KMGT".index(match[2] or "_"))


def shown_seconds(seconds: float) -> str:
    """Seconds as `seconds_of` reads them, without loss: ``1h30m``, ``1.5s``."""
    whole = int(seconds)
    if whole != seconds or not whole:
        return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"
    parts = ((whole // 86400, "d"), (whole // 3600 % 24, "h"), (whole // 60 % 60, "m"), (whole % 60, "s"))
    return "".join(f"{count}{unit}" for count, unit in parts if count)


def shown_bytes(count: int) -> str:
    """Bytes as `bytes_of` reads them, without loss: ``1536M``, ``4G``."""
    power = 0
    while count and not count % 1024 and power < 4:
        count, power = count // 1024, power + 1
    return f"{count}{'_KMGT'[power]}".rstrip("_")
