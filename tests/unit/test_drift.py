"""The histogram of lateness: percentiles within two per cent, whatever it is fed, and never larger than it began."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.drift import FINEST_MS, GROWTH, Drift


def late_by(*milliseconds: float) -> Drift:
    drift = Drift()
    for late in milliseconds:
        drift.add([0.0], late / 1e3)
    return drift


def test_nothing_sent_is_no_drift() -> None:
    drift = Drift()
    drift.add([], 5.0)
    assert (drift.lines, drift.report()) == (0, {"p50": 0, "p99": 0, "max": 0})


def test_p99_is_what_all_but_one_in_a_hundred_stay_within() -> None:
    drift = late_by(*[2.0] * 990, *[500.0] * 10)
    assert drift.report() == {"p50": pytest.approx(2, rel=0.02), "p99": pytest.approx(2, rel=0.02), "max": 500}
    drift.add([0.0], 0.5)
    assert drift.percentile(0.99) == pytest.approx(500, rel=0.02)


def test_lines_of_a_group_count_each_by_its_own_due() -> None:
    drift = Drift()
    drift.add([1.0, 1.01, 1.02], 1.02)
    assert drift.lines == 3
    assert drift.percentile(0.5) == pytest.approx(10, rel=0.02)
    assert drift.max_ms == pytest.approx(20)


def test_line_before_its_time_counts_as_in_time() -> None:
    assert late_by(-3.0).report() == {"p50": 0, "p99": 0, "max": 0}


@given(st.lists(st.floats(0, 1e9), min_size=1), st.floats(0.01, 1))
def test_percentile_is_that_of_the_sorted_list_within_a_bucket(values: list[float], share: float) -> None:
    exact = sorted(values)[max(-int(-share * len(values) // 1) - 1, 0)]
    found = late_by(*values).percentile(share)
    assert exact * (1 - 1e-9) - 1e-9 <= found <= max(exact * GROWTH * (1 + 1e-9), FINEST_MS)


def test_a_year_late_is_still_counted_and_takes_no_room() -> None:
    drift = late_by(1.0)
    before = sys.getsizeof(drift._counts)
    for _ in range(1_000):
        drift.add([0.0], 3.2e7)
    assert drift.max_ms == 3.2e10
    assert drift.percentile(0.99) == 3.2e10
    assert sys.getsizeof(drift._counts) == before
