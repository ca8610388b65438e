"""What units took in earlier runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from qtui.core.actionhash import ActionHashes
from qtui.core.regress import Pasts
from qtui.core.session import RunSession
from qtui.store.history import History

Past = Mapping[str, Sequence[float]]
"""Seconds of completed attempts by unit, oldest first."""


AskPast = Callable[[RunSession], Pasts]
"""Tells what is known of the units of a session from the runs of its workflow, also from this one once it has ended."""


def past_in(state_dir: Path) -> AskPast:
    """What there is to know of the units of any session whose runs are kept there, whoever runs it. It takes some 40 ms
    for 10,000 units, and no engine: who only looks at a run has none, and no manager."""

    def past(session: RunSession) -> Pasts:
        source = session.facts.source
        return History(state_dir).past(source, ActionHashes(session.view().plan.table)) if source else {}

    return past


def seconds_of(pasts: Pasts) -> Past:
    """What forecasts need of it."""
    return {unit: each.seconds for unit, each in pasts.items()}
