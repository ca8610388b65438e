"""What units took in earlier runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from qtui.core.actionhash import ActionHashes
from qtui.core.facts import RunFacts
from qtui.core.masking import TextMasker
from qtui.core.plan import ExecutionPlan
from qtui.core.session import RunSession
from qtui.store.history import History
from qtui.store.pasts import UnitPast

Past = Mapping[str, Sequence[float]]
"""What `qtui.core.expecting` takes for the past of units, by id."""

Pasts = Mapping[str, UnitPast]


AskPast = Callable[[RunSession], Pasts]
"""Tells what is known of the units of a session from the runs of its workflow, also from this one once it has ended."""


def past_of(state_dir: Path, facts: RunFacts, plan: ExecutionPlan) -> Pasts:
    """What there is to know of the units of a plan from the runs of its workflow's file, which are kept there. It takes
    some 150 ms for 10,000 units, and no engine: who only looks at a run has none, and no manager."""
    if not facts.source:
        return {}
    mask = TextMasker(facts.masks).text if facts.masks else str
    return History(state_dir).past(facts.source, ActionHashes(plan.table, mask, facts.params))


def past_in(state_dir: Path) -> AskPast:
    """The same of any session, whoever runs it."""
    return lambda session: past_of(state_dir, session.facts, session.view().plan)


def seconds_of(pasts: Pasts) -> Past:
    """What forecasts need of it."""
    return {unit: each.took for unit, each in pasts.items()}
