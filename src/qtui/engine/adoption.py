"""What a run asks of the units that its units add, beside what its plan does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, islice

from qtui.core.errors import Problem
from qtui.core.growth import MOST_TOLD
from qtui.core.model import Outcome, QuantumUnit, UnitError
from qtui.core.options import RunOptions, in_its_place
from qtui.core.plan import problem_of
from qtui.engine.maskedtexts import TextMasks


class Adoption:
    """Lets units that are added into a run, as those that it began with are let in.

    Names must not tell secrets, and other texts are masked. In the run of a `library` user nobody is there to answer
    questions. A command goes to the run's cluster, if it has one.
    """

    def __init__(self, options: RunOptions, masks: TextMasks | None, *, library: bool) -> None:
        self._options, self._masks, self._library = options, masks, library

    def adopted(self, outcome: Outcome) -> Outcome:
        """The outcome with the units that the attempt adds as they are to be; a failure if one of them cannot be."""
        problems = list(islice(chain.from_iterable(map(self._problems, outcome.added)), MOST_TOLD))
        if problems:
            text = "\n".join(map(str, problems))
            return outcome._replace(added=(), error=UnitError("InvalidWorkflow", f"cannot add its units: {text}"))
        return outcome._replace(added=tuple(map(self._tidied, outcome.added)))

    def _problems(self, unit: QuantumUnit) -> Iterator[Problem]:
        if self._library and unit.confirm:
            yield problem_of(unit, "asks a question, and in the library there is nobody to answer it")
        if self._masks is not None:
            names = (unit.id, unit.family, unit.group, *unit.tags, *unit.pools)
            if any(self._masks.text(name) != name for name in names):
                message = "a name cannot have the value of a secret in it: names are told everywhere"
                yield problem_of(unit, message, "take it from the environment where it is used")

    def _tidied(self, unit: QuantumUnit) -> QuantumUnit:
        unit = in_its_place(unit, self._options)
        if self._masks is not None and (unit.description or unit.confirm):
            texts = self._masks.text(unit.description), self._masks.text(unit.confirm)
            unit = replace(unit, description=texts[0], confirm=texts[1])
        return unit
