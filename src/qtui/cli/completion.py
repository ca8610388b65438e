"""``qtui completion bash``: what bash needs to complete commands, flags, their values and ids of runs."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from qtui.cli.options import parsers
from qtui.core.errors import EXIT_OK

_HEAD: Final = """\
# completion of qtui for bash: source <(qtui completion bash)
_qtui() {
    local cur="${COMP_WORDS[COMP_CWORD]}" prev="${COMP_WORDS[COMP_CWORD-1]}" command="" words="" word
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case " @COMMANDS@ " in *" $word "*) command="$word"; break ;; esac
    done
    case "${command:-run} $prev" in
"""
_FLAGS: Final = """\
        *)
            case "$cur" in
                -*) case "${command:-run}" in
"""
_TAIL: Final = """\
                    esac ;;
                *) case "${command:-$COMP_CWORD}" in
                    1) words="@COMMANDS@" ;;
                    @RUNNABLE@) words="$(ls "${XDG_STATE_HOME:-$HOME/.local/state}/qtui/runs" 2>/dev/null)" ;;
                    esac ;;
            esac ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _qtui qtui
"""


def completion(options: argparse.Namespace) -> int:  # noqa: ARG001  - there is one shell so far
    """Print the script."""
    print(bash_script(parsers()), end="")
    return EXIT_OK


def bash_script(commands: Mapping[str, argparse.ArgumentParser]) -> str:
    """A function that completes them; where it knows nothing, bash completes names of files."""
    names = " ".join(commands)
    runnable = "|".join(
        name for name, parser in commands.items() if any(each.dest == "run" for each in parser._actions)
    )
    text = "".join([_HEAD, *_values(commands), _FLAGS, *_flags(commands), _TAIL])
    return text.replace("@COMMANDS@", names).replace("@RUNNABLE@", runnable)


def _values(commands: Mapping[str, argparse.ArgumentParser]) -> Iterator[str]:
    """A case for each flag that takes one of some words, and one for those that take anything else."""
    others = []
    for name, parser in commands.items():
        for action in parser._actions:
            cases = [f'"{name} {flag}"' for flag in action.option_strings]
            if not cases or action.nargs == 0:
                continue
            if action.choices:
                yield f'        {"|".join(cases)}) words="{_spaced(action.choices)}" ;;\n'
            elif action.nargs is None:
                others += cases
    yield f"        {'|'.join(others)}) ;;\n"


def _flags(commands: Mapping[str, argparse.ArgumentParser]) -> Iterator[str]:
    for name, parser in commands.items():
        flags = [flag for action in parser._actions for flag in action.option_strings]
        yield f'                    {name}) words="{_spaced(flags)}" ;;\n'


def _spaced(words: Iterable[object]) -> str:
    return " ".join(map(str, words))
