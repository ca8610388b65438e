"""All that can be measured, by key."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain

from benchmarks import adaptive, commands, cpu, handover, journal, makespan, noops, recording
from benchmarks.model import Group

GROUPS: Mapping[str, Group] = {
    group.key: group
    for group in chain(
        noops.groups(),
        makespan.groups(),
        cpu.groups(),
        handover.groups(),
        commands.groups(),
        adaptive.groups(),
        journal.groups(),
        recording.groups(),
    )
}
