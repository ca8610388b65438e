"""A sample sheet of 500 rows and 4 steps, from the file to the end: items go through one after another."""

from __future__ import annotations

import re
from pathlib import Path

from json_events import events_of

STEPS = ("trim", "align", "sort", "call")
SHEET = """
[groups.sample]
matrix = { file = "samples.tsv" }
""" + "".join(
    f'[units.{step}]\ngroup = "sample"\nrun = "true"\n' + (f'needs = ["{before}"]\n' if before else "")
    for before, step in zip(("", *STEPS), STEPS, strict=False)
)


def test_items_of_a_long_sheet_go_through_depth_first(called, workflow, tmp_path: Path) -> None:
    rows = "".join(f"s{number}\treads/{number}.fq\n" for number in range(500))
    (tmp_path / "samples.tsv").write_text(f"id\treads\n{rows}")

    events = events_of(called("run", workflow(SHEET), "-j", "4", "--ui", "json"))

    begun: set[str] = set()
    most = 0
    for event in events:
        item = re.search(r"\[id=(s\d+)\]", str(event.get("unit")))
        if item and event["event"] == "unit_submitted":
            begun.add(item[1])
        if item and event["event"] == "unit_finished" and event["unit"].startswith(STEPS[-1]):
            begun.discard(item[1])
        most = max(most, len(begun))
    assert events[-1]["counts"] == {"completed": 2000}
    assert most <= 8
