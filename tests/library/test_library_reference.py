"""The examples of the library's reference are one program, and it runs."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "library.md"


def test_the_examples_of_the_reference_run():
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(examples) >= 5
    program = {"__name__": "examples"}
    for example in examples:
        exec(compile(example, str(PAGE), "exec"), program)
