"""What stands behind flags, as values. Each raises ArgumentTypeError, with what it should be, for anything else.

Only a flag that is there imports what knows its values: that takes longer than all else that ``qtui --help`` does.
"""

from __future__ import annotations

import argparse
import os
import re
from typing import Literal


def workers(text: str) -> int | Literal["auto"]:
    """A number of workers, or ``auto``; a percentage is of the cores that this process may use, rounded down."""
    from qtui.definition import machine, values

    if text == "auto":
        return "auto"
    if part := re.fullmatch(r"(\d{1,6}(?:\.\d{1,6})?)%", text, re.ASCII):
        number = max(1, int(float(part[1]) * machine.cores() / 100)) if float(part[1]) else 0
    else:
        number = _number(text)
    if not 1 <= number <= values.MOST_WORKERS:
        known = f"auto, nor a number from 1 to {values.MOST_WORKERS}, nor a part of the cores such as 75%"
        raise argparse.ArgumentTypeError(f'"{text}" is neither {known}')
    return number


def bound(text: str) -> int:
    """A number of workers."""
    from qtui.definition import values

    number = _number(text)
    if not 1 <= number <= values.MOST_WORKERS:
        raise argparse.ArgumentTypeError(f'"{text}" is not a number from 1 to {values.MOST_WORKERS}')
    return number


def directory(text: str) -> str:
    """A path, also from where no shell makes the home directory of ``~``."""
    if not text:
        raise argparse.ArgumentTypeError("the path is empty (an unset variable in a script?)")
    if "\0" in text:
        raise argparse.ArgumentTypeError("a path cannot hold a NUL")
    return os.path.expanduser(text)  # noqa: PTH111  - Path raises for the home of somebody who is not there


def address(text: str) -> str:
    """Where a scheduler listens."""
    from qtui.definition import values

    try:
        return values.address(text)
    except values.Rejected:
        raise argparse.ArgumentTypeError(f'"{text}" is not an address such as tls://10.0.0.5:8786') from None


def executor(text: str) -> str:
    """The name of an executor, or ``module:function``."""
    from qtui.definition import values

    try:
        return values.label(text)
    except values.Rejected:
        raise argparse.ArgumentTypeError(f'"{text}" is neither a name such as dask nor module:function') from None


def _number(text: str) -> int:
    return int(text) if re.fullmatch(r"\d{1,9}", text, re.ASCII) else 0


def duration(text: str) -> float:
    """Seconds, from a number of them or a text such as ``1h30m``."""
    from qtui.definition import values

    try:
        return values.positive_duration(float(text) if re.fullmatch(r"[0-9.]+", text) else text)
    except (values.Rejected, ValueError):
        raise argparse.ArgumentTypeError(f'"{text}" is not a time such as 90s, 5m or 1h30m') from None


def moment(text: str) -> float:
    """Seconds, from ``0:04:12``, ``4:12``, a number of them, or a text such as ``1h30m``."""
    from qtui.definition import values

    if clock := re.fullmatch(r"(?:(\d{1,6}):)?(\d{1,6}):([0-5]?\d)", text, re.ASCII):
        hours, minutes, seconds = (int(part or 0) for part in clock.groups())
        return 3600.0 * hours + 60 * minutes + seconds
    try:
        return values.duration(float(text) if re.fullmatch(r"[0-9.]+", text) else text)
    except (values.Rejected, ValueError):
        raise argparse.ArgumentTypeError(f'"{text}" is not a time of the run such as 0:04:12 or 90s') from None


def speed(text: str) -> float:
    """More than 0; ``8`` or ``8x``."""
    number = text.removesuffix("x")
    speed = float(number) if re.fullmatch(r"\d{1,6}(\.\d{1,6})?", number, re.ASCII) else 0.0
    if not speed:
        raise argparse.ArgumentTypeError(f'"{text}" is not a speed such as 8 or 0.5')
    return speed


def counting(text: str) -> int:
    """A number from 1 on."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f'"{text}" is not a number from 1 on')
    return number


def age(text: str) -> float:
    """Seconds."""
    from qtui.definition import values

    try:
        return values.duration(text)
    except (values.Rejected, ValueError):
        raise argparse.ArgumentTypeError(f'"{text}" is not an age such as 30d or 12h') from None


def size(text: str) -> int:
    """Bytes."""
    from qtui.definition import values

    try:
        return values.size(text)
    except (values.Rejected, ValueError):
        raise argparse.ArgumentTypeError(f'"{text}" is not a size such as 500M or 2G') from None
