"""Every second is booked once."""

import pytest

from consumer.stopwatch import Stopwatch
from schemas.reports import Spent


class Clock:
    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_laps_add_up_to_the_time_that_went_by(clock: Clock) -> None:
    watch = Stopwatch(clock)
    for seconds, heading in [(1.0, "parsing"), (2.0, "database"), (0.5, "parsing"), (0.25, "committing")]:
        clock.now += seconds
        watch.lap(heading)
    spent = watch.take(storing=1.75)
    assert spent == Spent(broker=0.25, parsing=1.5, database=1.75, committing=0.25, storing=1.75)
    assert spent.total == 3.75


def test_wait_within_a_lap_is_booked_by_itself(clock: Clock) -> None:
    watch = Stopwatch(clock)
    clock.now += 3.0
    watch.lap("parsing", waited=2.0)
    clock.now += 3.0
    watch.lap("parsing", waited=2.5, on="database")
    assert watch.take(storing=9.0) == Spent(broker=2.0, parsing=1.5, database=2.5, storing=9.0)


def test_wait_for_the_database_is_no_longer_than_it_had_a_batch(clock: Clock) -> None:
    watch = Stopwatch(clock)
    clock.now += 5.0
    watch.lap("parsing", waited=4.0, on="database")
    assert watch.take(storing=1.0) == Spent(broker=3.0, parsing=1.0, database=1.0, storing=1.0)


def test_wait_is_never_longer_than_its_lap(clock: Clock) -> None:
    watch = Stopwatch(clock)
    clock.now += 1.0
    watch.lap("parsing", waited=1.5)
    assert watch.take(storing=0.0) == Spent(broker=1.0)


def test_what_was_taken_is_not_booked_again(clock: Clock) -> None:
    watch = Stopwatch(clock)
    clock.now += 1.0
    watch.lap("parsing")
    watch.take(storing=0.0)
    clock.now += 2.0
    watch.lap("parsing")
    watch.clear()
    clock.now += 4.0
    watch.lap("database")
    assert watch.take(storing=4.0) == Spent(database=4.0, storing=4.0)


def test_sums_of_two_reports() -> None:
    assert Spent(1, 2, 3, 4, 5).plus(Spent(10, 20, 30, 40, 50)) == Spent(11, 22, 33, 44, 55)
