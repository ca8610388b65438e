"""What a front end may know of a run besides its units and what happens to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """The `params` of a run, the `masks` (see `core.masking`) of what nobody is to see of it, and the file that its
    workflow came from (`source`, empty if there is none).

    Where the values of secrets are not known there are no masks; what is recorded is masked already.
    """

    params: Mapping[str, Any] = field(default_factory=dict)
    masks: tuple[bytes, ...] = ()
    source: str = ""
