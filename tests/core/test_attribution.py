"""What a time is made of: figures that add up as they are written."""

from __future__ import annotations

import re
from random import Random

import pytest
from core_examples import examples
from hypothesis import given
from hypothesis import strategies as st

from qtui.core.attribution import attribution
from qtui.core.forecast import CRITICAL_PATH, WAITING, WORKERS, Part

PARTS = [Part(CRITICAL_PATH, 310.4), Part("pool gpu", 72.0), Part(WORKERS, 40.2), Part("memory", 0.2)]


def test_the_attribution_is_a_sum() -> None:
    parts = [Part(CRITICAL_PATH, 310.0), Part("pool gpu", 72.0), Part(WORKERS, 40.0)]

    assert attribution(parts) == "7m02s = 5m10s critical path + 1m12s pool gpu + 40s workers"
    assert attribution([Part(CRITICAL_PATH, 5.25)]) == "5.25s, all critical path"
    assert attribution([Part(WORKERS, 7200.0), Part(WAITING, 300.0)]) == "2h05m = 2h00m workers + 5m back-off"
    assert attribution([]) == "0.00s"


def test_it_is_as_exact_as_is_wanted() -> None:
    parts = [Part(CRITICAL_PATH, 5.25), Part(WORKERS, 0.75)]
    assert attribution(parts) == "6.00s = 5.25s critical path + 0.75s workers"
    assert attribution(parts, finest=1.0, whole="left") == "6s left = 5s critical path + 1s workers"


def test_of_what_there_is_no_room_for_the_longest_is_told() -> None:
    assert attribution(PARTS, room=80) == "7m03s = 5m10s critical path + 1m12s pool gpu + 41s workers"
    assert attribution(PARTS, whole="left", room=55) == "7m03s left = 5m10s critical path + 1m53s others"
    assert attribution(PARTS, whole="left", room=20) == "7m03s left"
    assert attribution(PARTS[:1], whole="left", room=80) == "5m10s left, all critical path"


@given(seed=st.integers(0, 1 << 32))
@examples(100, soak=5000)
def test_its_figures_add_up_as_they_are_written(seed: int) -> None:
    rng = Random(seed)
    parts = [Part("x", rng.uniform(0.0, 10 ** rng.uniform(-3, 5))) for _ in range(rng.randint(2, 6))]
    room, finest = rng.choice((None, rng.randint(10, 60))), rng.choice((0.01, 1.0))

    total, equals, figures = attribution(parts, finest=finest, room=room).partition(" = ")

    if equals:
        assert sum(map(seconds, figures.split(" + "))) == pytest.approx(seconds(total), abs=1e-6)


def seconds(text: str) -> float:
    """How many seconds ``2h05m``, ``7m02s x`` or ``0.25s`` are."""
    return sum(
        float(number) * {"h": 3600, "m": 60, "s": 1}[sign] for number, sign in re.findall(r"([\d.]+)([hms])", text)
    )
