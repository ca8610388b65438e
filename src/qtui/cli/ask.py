"""Questions to the person at the terminal before a run: the values of params that must be given."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Final

from qtui.definition.params import Ask, ParamSpec
from qtui.definition.values import Rejected
from qtui.tui.text import clean

_KINDS: Final = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list: a, b, c",
}


def asker(environment: Mapping[str, str]) -> Ask | None:
    """What asks for missing params, or None where nobody would answer: without a terminal, and in CI."""
    there = sys.stdin.isatty() and sys.stderr.isatty()
    return ask if there and not environment.get("CI") else None


def ask(spec: ParamSpec) -> str:
    """The value of a param as a person types it, asked for until it is one.

    Raises KeyboardInterrupt at ctrl+c, and at the end of the input.
    """
    print(f"{spec.name}: {clean(_description(spec))}", file=sys.stderr)
    while True:
        print(f"{spec.name} = ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line.endswith("\n"):
            print(file=sys.stderr)
            raise KeyboardInterrupt
        if not (answer := line.strip()):
            continue
        try:
            spec.convert(answer)
        except Rejected as rejected:
            for fault in rejected.faults:
                print(clean(f"{fault.message} ({fault.hint})" if fault.hint else fault.message), file=sys.stderr)
        else:
            return answer


def _description(spec: ParamSpec) -> str:
    if spec.choices:
        listed = ", ".join(map(str, spec.choices))
        kind = f"some of {listed}, with commas between" if spec.type == "list" else f"one of {listed}"
    else:
        kind = _KINDS[spec.type]
    pattern = f" that matches {spec.pattern}" if spec.pattern is not None else ""
    return f"{spec.help} ({kind}{pattern})" if spec.help else f"{kind}{pattern}"
