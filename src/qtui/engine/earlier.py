"""Which of the results that are kept will do for a unit, or why none does."""

from __future__ import annotations

import time
from collections.abc import Mapping

from qtui.core.model import CachePolicy, QuantumUnit
from qtui.engine.cachestore import CacheStore, Result
from qtui.engine.filedigest import LOOSE
from qtui.engine.fingerprint import Changed, Fingerprint, Fingerprints, NotCacheable, describe_changes

NEVER = "never completed before"
DAMAGED = "the earlier result is damaged"


def find_earlier(
    store: CacheStore, fingerprints: Fingerprints, number: int, unit: QuantumUnit, found: Fingerprint
) -> Result:
    """The result that will do for a unit with this fingerprint, whose outputs are as they were left.

    Raises NotCacheable, which says why there is none, and what the store and reading files raise.
    """
    policy = unit.cache or CachePolicy()
    result = store.find(unit.id, found.digest)
    if result is None:
        newest = store.newest(unit.id)
        raise Changed(NEVER if newest is None else describe_changes(newest.parts, short(found.parts)))
    if policy.ttl is not None and abs(time.time() - result.made) > policy.ttl:
        raise Changed(f"older than its ttl of {_duration(policy.ttl)}")
    for name, digest in fingerprints.outputs(number).items():
        if result.outputs.get(name) != digest:
            raise NotCacheable(f"output {name} is not as it was left")
    return result


def hit_reason(result: Result, found: Fingerprint) -> str:
    """Why this result will do, for people."""
    loose = f", {' and '.join(found.loose[:2])} by size and time only" if found.loose else ""
    return f"same inputs as on {time.strftime('%Y-%m-%d %H:%M', time.localtime(result.made))}{loose}"


def short(digests: Mapping[str, str]) -> dict[str, str]:
    """Digests that are long enough to tell a change from what was before; whether all is equal, others decide."""
    return {name: digest if digest.startswith(LOOSE) else digest[:16] for name, digest in digests.items()}


def printable(text: str) -> str:
    """The text without what no encoding knows: file names may be any bytes."""
    return text.encode("utf-8", "backslashreplace").decode()


def _duration(seconds: float) -> str:
    for sign, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size:g}{sign}"
    return f"{seconds:g}s"
