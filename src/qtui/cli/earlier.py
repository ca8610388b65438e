"""What units took in earlier runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from qtui.core.actionhash import ActionHashes
from qtui.core.plan import ExecutionPlan
from qtui.core.regress import Pasts
from qtui.core.session import RunSession
from qtui.store.history import History

Past = Mapping[str, Sequence[float]]
"""Seconds of completed attempts by unit, oldest first."""


AskPast = Callable[[RunSession], Pasts]
"""Tells what is known of the units of a session from the runs of its workflow, also from this one once it has ended."""


def past_of(state_dir: Path, source: str, plan: ExecutionPlan) -> Pasts:
    """What there is to know of the units of a plan from the runs of the workflow in that file, which are kept there. It
    takes some 40 ms for 10,000 units, and no engine: who only looks at a run has none, and no manager."""
    return History(state_dir).past(source, ActionHashes(plan.table)) if source else {}


def past_in(state_dir: Path) -> AskPast:
    """The same of any session, whoever runs it."""
    return lambda session: past_of(state_dir, session.facts.source, session.view().plan)


def seconds_of(pasts: Pasts) -> Past:
    """What forecasts need of it."""
    return {unit: each.seconds for unit, each in pasts.items()}
