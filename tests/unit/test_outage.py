"""What is said of a service that is away: once, and how long it was."""

import logging

import pytest

from schemas.errors import DatabaseDown
from terminal.outage import Outage

AWAY, FULL = DatabaseDown("The database: away"), DatabaseDown("The database: full")


class Clock:
    """It stands still until the test moves it."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def outage(clock: Clock) -> Outage:
    return Outage("the batch of %d rows waits", 7, clock=clock)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_outage_is_told_once_however_often_it_is_tried(outage: Outage, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        outage.goes_on(AWAY)
    assert warnings(caplog) == ["The database: away; the batch of 7 rows waits until it is back"]


def test_end_of_an_outage_is_told_with_its_length_and_its_tries(
    outage: Outage, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    outage.goes_on(AWAY)
    clock.now += 12.5
    outage.goes_on(AWAY)
    clock.now += 1.5
    outage.is_over()
    assert len(warnings(caplog)) == 2
    assert warnings(caplog)[1].startswith("Back after 14.0 s and 2 tries")


def test_other_reason_in_mid_outage_is_told_too_and_the_length_is_that_of_the_whole(
    outage: Outage, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    outage.goes_on(AWAY)
    clock.now += 3
    outage.goes_on(FULL)
    outage.goes_on(FULL)
    clock.now += 1
    outage.is_over()
    away, full, back = warnings(caplog)
    assert (away[:18], full[:18]) == (str(AWAY), str(FULL))
    assert back.startswith("Back after 4.0 s and 3 tries")


def test_where_there_was_no_outage_nothing_is_told(outage: Outage, caplog: pytest.LogCaptureFixture) -> None:
    outage.is_over()
    assert warnings(caplog) == []
