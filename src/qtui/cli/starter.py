"""``qtui init``: a small workflow to start from."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import Final

from qtui.core.errors import EXIT_OK, UsageError

TOML: Final = """\
# A workflow: units of work that depend on each other.
# Every key: docs/workflow-format.md of qtui; `qtui schema` prints a JSON Schema for your editor.
version = 1

[workflow]
name = "starter"

[params]                          # qtui run FILE -p name=Ada
name = { default = "world", help = "Whom to greet" }

[defaults]                        # for every unit that does not say otherwise
timeout = "1m"

[units.fetch]                     # a shell command; a list runs one after another
run = "sleep 1; echo hello $QTUI_PARAM_NAME"
retries = 2                       # two more tries if it fails

[units.count]
needs  = ["fetch"]                # starts when fetch has completed
matrix = { size = [1, 2, 3] }     # three units: count[size=1], count[size=2], count[size=3]
run    = "sleep $QTUI_MATRIX_SIZE; echo counted to $QTUI_MATRIX_SIZE"

[units.report]
needs = ["count"]                 # all three
run   = "echo all is counted"

[units.cleanup]
needs = ["*"]                     # everything else
when  = "always"                  # also after a failure
run   = "echo tidy again"
"""

PYTHON: Final = '''\
"""A workflow: units of work that depend on each other."""

from qtui import Workflow

workflow = Workflow(
    "starter",
    params={"name": {"default": "world", "help": "Whom to greet"}},  # qtui run FILE -p name=Ada
)


@workflow.unit(retries=2)  # two more tries if it fails
def fetch(context):
    context.sleep(1)  # ends early when the unit is canceled; time.sleep would not
    return f"hello {context['params']['name']}"


@workflow.unit(dependencies=["fetch"], matrix={"word": [0, 1]})  # two units: count[word=0] and count[word=1]
def count(context):
    word = context["fetch"].split()[context.matrix["word"]]
    print("counting the letters of", word)  # goes to the log of the unit
    return len(word)


@workflow.unit(dependencies=["count"])  # both; their results are a list
async def report(context):
    print("letters:", sum(context["count"]))


# a shell command, also after a failure
workflow.command("cleanup", run="echo tidy again", dependencies=["*"], when="always")
'''


def init(options: argparse.Namespace) -> int:
    """Write the file and say what to do with it. Raises UsageError for a file that is there, or of another kind."""
    path = Path(options.file or ("workflow.py" if options.python else "qtui.toml"))
    text = _starter(path, in_python=options.python)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{path} exists already; name another file: qtui init FILE") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None
    path = Path(options.directory or "", path)  # as it is called from where the person is
    shown = shlex.quote(str(path))
    print(f"{path} written. Next:")
    print(f"  qtui check {shown}     find faults; nothing is run")
    print(f"  qtui run -n {shown}    see what would run")
    print(f"  qtui {shown}           run it")
    return EXIT_OK


def _starter(path: Path, *, in_python: bool) -> str:
    suffix = ".py" if in_python else path.suffix
    if suffix not in (".toml", ".py") or path.suffix != suffix:
        raise UsageError(f"{path}: the name of a workflow ends in {'.py' if in_python else '.toml or .py'}")
    if suffix == ".toml":
        return TOML
    if path.stem == "qtui" or path.stem in sys.stdlib_module_names:
        # beside it, an import of that module would find the workflow instead
        raise UsageError(f"{path}: there is a module called {path.stem} already; choose another name")
    return PYTHON
