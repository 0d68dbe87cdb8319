"""When moments are due, and what pauses and stalls do to it: by a clock that the test moves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.schedule import NO_MOMENT, Schedule
from producer.stalls import STALL_SECONDS, TELL_SECONDS, Stalls

moments = st.floats(-1e9, 4e9, allow_nan=False).map(lambda moment: round(moment, 6))


def test_moments_are_due_at_the_speed_counted_from_the_first() -> None:
    schedule = Schedule(10)
    assert schedule.due(500.0, now=7.0) == 7.0
    assert schedule.due(600.0, now=8.0) == 17.0
    assert schedule.due(600.5, now=30.0) == pytest.approx(17.05)


def test_what_comes_before_the_first_moment_is_due_at_once_and_counts_for_nothing() -> None:
    schedule = Schedule(1)
    assert schedule.due(None, now=3.0) == 3.0
    assert schedule.due(NO_MOMENT, now=4.0) == 4.0
    assert schedule.due(100.0, now=9.0) == 9.0
    assert schedule.due(101.0, now=9.0) == 10.0


def test_line_without_a_moment_and_one_that_goes_back_go_with_the_line_before() -> None:
    schedule = Schedule(1)
    schedule.due(100.0, now=0.0)
    assert schedule.due(110.0, now=1.0) == 10.0
    assert schedule.due(None, now=2.0) == 10.0
    assert schedule.due(50.0, now=3.0) == 10.0
    assert schedule.due(111.0, now=4.0) == 11.0
    assert schedule.latest == 111.0


def test_moment_zero_and_moments_before_1970_are_moments() -> None:
    schedule = Schedule(2)
    assert schedule.due(-10.0, now=0.0) == 0.0
    assert schedule.due(0.0, now=0.0) == 5.0


def test_shift_moves_all_that_is_still_to_come() -> None:
    schedule = Schedule(1)
    schedule.due(0.0, now=0.0)
    schedule.shift(30.0)
    assert schedule.due(10.0, now=31.0) == 40.0


def test_begun_anew_it_counts_from_the_next_moment_even_where_that_is_an_earlier_one() -> None:
    schedule = Schedule(1)
    schedule.due(100.0, now=0.0)
    schedule.shift(5.0)
    schedule.begin()
    assert schedule.due(100.0, now=50.0) == 50.0
    assert schedule.due(102.0, now=50.0) == 52.0


@given(st.lists(moments, min_size=1), st.floats(0.1, 1000))
def test_dues_never_go_back_and_the_last_is_the_span_through_the_speed(stamps: list[float], speed: float) -> None:
    schedule = Schedule(speed)
    dues = [schedule.due(stamp, now=0.0) for stamp in stamps]
    assert dues == sorted(dues)
    assert dues[-1] == pytest.approx((max(stamps) - stamps[0]) / speed)


# --- stalls -------------------------------------------------------------------------------------------------


def begun(*, catch_up: bool) -> tuple[Schedule, Stalls]:
    """A schedule of which the moment 0 was due at 0."""
    schedule = Schedule(1)
    schedule.due(0.0, now=0.0)
    return schedule, Stalls(schedule, catch_up=catch_up)


@pytest.mark.parametrize("catch_up", [True, False])
def test_line_that_is_a_little_late_moves_nothing(catch_up: bool, caplog: pytest.LogCaptureFixture) -> None:
    schedule, stalls = begun(catch_up=catch_up)
    assert stalls.judge(due=5.0, now=5.0 + STALL_SECONDS) == 5.0
    assert (stalls.skipped_seconds, schedule.due(9.0, now=6.0), caplog.messages) == (0.0, 9.0, [])


def test_stall_is_caught_up_with_and_told_once_with_its_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    schedule, stalls = begun(catch_up=True)
    assert [stalls.judge(due, now=100.0) for due in (10.0, 20.0, 98.0)] == [10.0, 20.0, 98.0]
    stalls.judge(100.0, now=100.0)
    assert schedule.due(200.0, now=100.0) == 200.0
    assert caplog.messages == ["90.0 s late: catching up (--no-catch-up would skip it)", "On schedule again"]


def test_stall_is_skipped_by_moving_the_schedule(caplog: pytest.LogCaptureFixture) -> None:
    schedule, stalls = begun(catch_up=False)
    assert stalls.judge(schedule.due(10.0, now=100.0), now=100.0) == 100.0
    assert stalls.judge(schedule.due(10.5, now=100.5), now=100.5) == 100.5
    assert schedule.due(20.0, now=100.5) == 110.0
    assert stalls.skipped_seconds == 90.0
    assert caplog.messages == ["90.0 s late: skipped, the schedule moves (--catch-up would catch up)"]


def test_one_stall_after_the_other_is_told_every_ten_seconds(caplog: pytest.LogCaptureFixture) -> None:
    schedule, stalls = begun(catch_up=False)
    for second in range(2, 32, 2):
        stalls.judge(schedule.due(0.0, now=float(second)), now=float(second))
    assert stalls.skipped_seconds == 30.0
    assert len(caplog.messages) == 1 + 28 // TELL_SECONDS
