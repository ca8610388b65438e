"""Durations and sizes as people write them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qtui.core.quantities import bytes_of, seconds_of, shown_bytes, shown_seconds


@given(st.integers(0, 1 << 60))
def test_a_size_is_read_as_it_is_shown(count: int) -> None:
    assert bytes_of(shown_bytes(count)) == count or count >= 10**15  # no more digits than that are read


@given(st.integers(0, 10**9) | st.floats(0.001, 1e6).map(lambda seconds: round(seconds, 3)))
def test_a_duration_is_read_as_it_is_shown(seconds: float) -> None:
    found = seconds_of(shown_seconds(seconds))
    assert found is not None and abs(found - seconds) < 1e-6


def test_they_are_short() -> None:
    assert [shown_seconds(each) for each in (0, 90, 5400, 86401, 1.5)] == ["0s", "1m30s", "1h30m", "1d1s", "1.5s"]
    assert [shown_bytes(each) for each in (0, 1000, 1536 << 20, 4 << 30)] == ["0", "1000", "1536M", "4G"]
    assert [seconds_of(text) for text in ("5", "m", "-5s", "1h 30m", "")] == [None] * 5
    assert [bytes_of(text) for text in ("4X", "-1", "G", "")] == [None] * 4
