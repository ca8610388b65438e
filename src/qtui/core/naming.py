"""How names of params and of the columns of a matrix become names of environment variables."""

from __future__ import annotations

from collections.abc import Iterable

PARAM = "QTUI_PARAM_"
MATRIX = "QTUI_MATRIX_"


def variable_part(name: str) -> str:
    """What stands for `name` in the name of a variable; different names may have the same."""
    return "".join(sign if sign.isalnum() else "_" for sign in name).upper()


def is_variable(name: str) -> bool:
    """Whether `name` can be that of an environment variable which a shell can read, too."""
    return name.isprintable() and not name[:1].isdigit() and bool(name) and not any(sign in name for sign in " =")


def twin_of(name: str, others: Iterable[str]) -> str | None:
    """The first of `others` that is not `name` but has the same variable."""
    part = variable_part(name)
    return next((other for other in others if other != name and variable_part(other) == part), None)
