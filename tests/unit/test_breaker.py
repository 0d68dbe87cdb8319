"""When bad lines are so many that the topic or the parser is wrong."""

from collections.abc import Sequence

import pytest

from consumer.batch import Batch
from consumer.breaker import RATIO_LINES, Breaker
from schemas.errors import Stop
from tests.unit.records import bad, good

GOOD, BAD = True, False


def batch(*lines: bool, after: int = 0) -> Batch:
    """A batch of these lines; `after` bad ones in a row before it."""
    made = Batch(lambda rows, _: rows, bad_run=after)
    made.add([good(0, offset) if line else bad(0, offset) for offset, line in enumerate(lines)])
    return made


def mixed(good: int, bad: int) -> Sequence[bool]:
    """So many of each, spread evenly."""
    total = good + bad
    return [BAD if (number + 1) * bad // total > number * bad // total else GOOD for number in range(total)]


def test_run_of_bad_lines_up_to_the_limit_is_borne_and_a_longer_one_is_not() -> None:
    breaker = Breaker(3, 1.0)
    breaker.look_at(batch(GOOD, BAD, BAD, BAD, GOOD))
    with pytest.raises(Stop, match="4 bad lines in a row") as stopped:
        breaker.look_at(batch(BAD, BAD, BAD, BAD))
    assert "--dead-letter-run 0" in stopped.value.next_step


def test_run_goes_on_over_batches() -> None:
    breaker = Breaker(3, 1.0)
    breaker.look_at(batch(GOOD, BAD, BAD))
    assert breaker.run == 2
    with pytest.raises(Stop):
        breaker.look_at(batch(BAD, BAD, GOOD, after=breaker.run))


def test_share_of_bad_lines_is_judged_over_many_lines_whatever_their_batches() -> None:
    breaker = Breaker(0, 0.9)
    half = mixed(RATIO_LINES // 40, RATIO_LINES // 2 - RATIO_LINES // 40)  # 95 % bad
    breaker.look_at(batch(*half))
    with pytest.raises(Stop, match="lines are bad") as stopped:
        breaker.look_at(batch(*half))
    assert "--dead-letter-ratio 1" in stopped.value.next_step


def test_smaller_share_is_borne_for_ever() -> None:
    breaker = Breaker(0, 0.9)
    for _ in range(5):
        breaker.look_at(batch(*mixed(RATIO_LINES // 10, RATIO_LINES - RATIO_LINES // 10)))


def test_batch_without_a_bad_line_may_be_the_one_that_is_judged() -> None:
    breaker = Breaker(0, 0.9)
    breaker.look_at(batch(*[BAD] * (RATIO_LINES - 500)))
    with pytest.raises(
        Stop, match=rf"9,500 of 10,000 lines are bad; the last, partition 0 offset {RATIO_LINES - 501}: "
    ):
        breaker.look_at(batch(*[GOOD] * 500))


def refused(breaker: Breaker, rows: int, *indices: int) -> None:
    """The database refused these of a batch of so many good lines."""
    made = Batch()
    made.add([good(0, offset) for offset in range(rows)])
    breaker.look_at_refused(made, [(index, "a trigger says no") for index in indices])


def test_run_of_rows_that_the_database_refuses_goes_on_over_batches_up_to_the_limit() -> None:
    breaker = Breaker(3, 1.0)
    refused(breaker, 5, 0, 1, 2, 4)
    refused(breaker, 0)
    refused(breaker, 3, 0, 1)
    refused(breaker, 3)
    refused(breaker, 3, 0, 1, 2)
    with pytest.raises(Stop, match="4 refused lines in a row; the last, partition 0 offset 0: a trigger") as stopped:
        refused(breaker, 3, 0)
    assert "Does the table refuse them" in stopped.value.next_step


def test_rows_that_were_refused_do_not_come_again_when_others_do() -> None:
    breaker = Breaker(3, 1.0)
    for _ in range(3):
        refused(breaker, 1, 0)
        breaker.start_over()
    with pytest.raises(Stop, match="4 refused lines in a row"):
        refused(breaker, 1, 0)


def test_share_of_rows_that_the_database_refuses_is_judged_by_itself() -> None:
    breaker = Breaker(0, 0.9)
    breaker.look_at(batch(*[GOOD] * RATIO_LINES))
    with pytest.raises(Stop, match="lines are refused"):
        refused(breaker, RATIO_LINES, *range(RATIO_LINES - 500))


def test_no_limit_bears_bad_lines_alone() -> None:
    Breaker(0, 1.0).look_at(batch(*[BAD] * RATIO_LINES))


def test_run_of_bad_lines_that_is_looked_at_again_counts_once() -> None:
    breaker = Breaker(3, 1.0)
    for _ in range(3):
        breaker.look_at(batch(GOOD, BAD, BAD, after=breaker.run))
        breaker.start_over()
        assert breaker.run == 0
    breaker.look_at(batch(BAD, BAD, BAD, after=breaker.run))


def test_share_of_bad_lines_that_are_looked_at_again_counts_once() -> None:
    breaker = Breaker(0, 0.9)
    half = [BAD] * (RATIO_LINES // 2)
    breaker.look_at(batch(*half))
    breaker.start_over()
    breaker.look_at(batch(*half))  # with the first time they would be 10,000 bad ones
    breaker.look_at(batch(*[GOOD] * (RATIO_LINES // 2)))
