"""How plain output is to be written, as the command line says it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from string import Formatter
from typing import Final, Literal

from qtui.cli.folds import Server, server_of
from qtui.core.errors import UsageError, did_you_mean

Output = Literal["group", "stream", "errors", "none"]

INDENT: Final = "    "
UNIT_FIRST: Final = "{unit} | "
_FIELDS: Final = ("unit", "family", "try", "run")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How plain output is written.

    `output` says when the output of units is shown: as a block at their end (``group``, and ``errors`` for those that
    failed), as it comes (``stream``), or not (``none``). `prefix` stands before each of its lines, see
    `checked_prefix`; with `timestamps` the time of day, too. `quiet` tells failures and the end alone, `verbose` also
    why earlier results could not be used.
    """

    output: Output = "group"
    timestamps: bool = False
    prefix: str | None = None
    color: bool = False
    quiet: bool = False
    verbose: bool = False
    server: Server = ""

    @property
    def streams(self) -> bool:
        """Whether output is shown as it comes."""
        return self.output == "stream" and not self.quiet

    @property
    def looks(self) -> bool:
        """Whether output is wanted before its unit has ended: to show it, or to know when it came."""
        return self.streams or (self.timestamps and self.output != "none")

    def shows(self, *, failed: bool) -> bool:
        """Whether the output of an attempt is shown as a block at its end."""
        if self.streams or self.output == "none":
            return False
        return failed or (self.output == "group" and not self.quiet)

    def before(self, run: str, unit: str, family: str, attempt: int) -> str:
        """What stands before each line that an attempt has printed."""
        prefix = self.prefix if self.prefix is not None else UNIT_FIRST if self.streams else INDENT
        return prefix.format(**{"unit": unit, "family": family, "try": attempt, "run": run})


def checked_prefix(text: str) -> str:
    """A text for what stands before lines, with ``{unit}``, ``{family}``, ``{try}`` and ``{run}`` for what they are;
    ``none`` is nothing. Raises UsageError for other braces."""
    if text == "none":
        return ""
    known = ", ".join(f"{{{name}}}" for name in _FIELDS)
    try:
        parts = list(Formatter().parse(text))
    except ValueError:
        raise UsageError(f"--prefix {text}: a brace stands alone; write {{{{ or }}}} for one") from None
    for _, name, form, conversion in parts:
        if name is not None and (name not in _FIELDS or form or conversion):
            hint = did_you_mean(name, _FIELDS) or f"there are {known}"
            raise UsageError(f"--prefix {text}: there is no {{{name}}} ({hint})")
    return text


def manner_of(options: argparse.Namespace, environ: Mapping[str, str], *, color: bool) -> Manner:
    """The manner that the options of a command ask for; on the page of a CI server blocks are folded."""
    return Manner(
        output=options.output,
        timestamps=options.timestamps,
        prefix=options.prefix,
        color=color,
        quiet=options.quiet,
        verbose=options.verbose,
        server=server_of(environ),
    )
