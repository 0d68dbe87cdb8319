"""When a batch goes to the database: by rows, bytes, age, and what lies behind it."""

from dataclasses import dataclass, field, replace

import pytest

from consumer.batch import Batch
from consumer.filling import (
    BACKLOG,
    BESIDE_SECONDS,
    CAREFUL_ROWS,
    CAREFUL_SHARE,
    CAUGHT_UP,
    FIRST_ROWS,
    FIRST_SLICE,
    FULL,
    LONGEST_SECONDS,
    LONGEST_WAIT_SECONDS,
    OLD,
    REJECT_BYTES,
    SLICE_BYTES,
    SLICE_RECORDS,
    Filling,
)
from schemas.reports import WorkerOrder

ORDER = WorkerOrder(
    number=0, topic="t", dead_letter_topic="d", database="", kafka={}, dead_letter_kafka={},
    batch_rows=100_000, batch_bytes=1_000_000, batch_seconds=0.1,
)  # fmt: skip


@dataclass
class Scene:
    """A filling with a clock and a backlog that the test sets."""

    order: WorkerOrder = ORDER
    now: float = 100.0
    behind: int = 0
    filling: Filling = field(init=False)

    def __post_init__(self) -> None:
        self.filling = Filling(self.order, lambda _: self.behind, lambda: self.now)
        self.filling.begin()

    def ask(
        self, rows: int, *, size: int = 0, storing: bool = False, careful: bool = False
    ) -> tuple[int, float] | None:
        batch = Batch(None if careful else lambda rows, _: rows)
        batch.ready = [None] * rows
        batch.size = size or rows
        found = self.filling.next_slice(batch, storing=storing)
        return found and (found[0], round(found[1], 6))

    def ends(self, why: str, rows: int, *, storing: bool = False, careful: bool = False) -> None:
        assert self.ask(rows, storing=storing, careful=careful) is None
        assert self.filling.why == why
        self.filling.begin()


def test_first_slice_is_short_since_its_lines_may_be_long_and_waits_as_long_as_a_batch_may() -> None:
    scene = Scene()
    assert scene.ask(0) == (FIRST_SLICE, 0.1)
    assert scene.ask(FIRST_SLICE) == (SLICE_RECORDS, 0.1)
    assert scene.ask(0) == (SLICE_RECORDS, 0.1)


@pytest.mark.parametrize(("length", "records"), [(SLICE_BYTES // 100, 100), (SLICE_BYTES, 1), (10 * SLICE_BYTES, 1)])
def test_slice_of_long_lines_holds_no_more_bytes_than_it_may(length: int, records: int) -> None:
    scene = Scene(replace(ORDER, batch_bytes=10**9))
    assert scene.ask(2, size=2 * length) == (records, 0.1)


def test_wait_for_records_is_never_so_long_that_a_word_of_the_supervisor_is_not_heard() -> None:
    assert Scene(replace(ORDER, batch_seconds=600.0)).ask(0) == (FIRST_SLICE, LONGEST_WAIT_SECONDS)


def test_wait_is_what_is_left_of_the_batch_s_seconds() -> None:
    scene = Scene()
    scene.now += 0.07
    assert scene.ask(5) == (SLICE_RECORDS, 0.03)


def test_batch_goes_when_its_time_is_up_and_nothing_is_behind() -> None:
    scene = Scene()
    scene.now += 0.11
    scene.ends(CAUGHT_UP, 5)


def test_empty_batch_goes_too_so_that_the_one_before_is_settled() -> None:
    scene = Scene()
    scene.now += 0.11
    scene.ends(CAUGHT_UP, 0)


def test_batch_is_no_longer_than_its_rows_and_bytes_whatever_is_behind() -> None:
    for storing in (True, False):
        scene = Scene(behind=10**9)
        scene.ends(FULL, ORDER.batch_rows, storing=storing)
        assert scene.ask(10, size=ORDER.batch_bytes, storing=storing) is None
        assert scene.filling.why == FULL


def test_last_slice_is_what_is_left_of_the_rows() -> None:
    scene = Scene(replace(ORDER, batch_rows=1_500))
    found = scene.ask(1_400, storing=True)
    assert found is not None
    assert found[0] == 100


def test_while_the_database_is_busy_the_batch_grows_and_looks_often() -> None:
    scene = Scene()
    scene.now += 10
    found = scene.ask(ORDER.batch_rows - 5_000, storing=True)
    assert found is not None
    assert found[1] <= BESIDE_SECONDS


def test_behind_a_backlog_each_batch_may_be_twice_as_long_as_the_last() -> None:
    scene = Scene(behind=10**9)
    goal = FIRST_ROWS
    while goal < ORDER.batch_rows:
        scene.now += 1.0
        assert scene.ask(goal - 1) is not None
        scene.ends(BACKLOG, goal)
        goal *= 2
    assert scene.ask(ORDER.batch_rows - 1) is not None
    scene.ends(FULL, ORDER.batch_rows)


def test_caught_up_the_next_backlog_begins_short_again() -> None:
    scene = Scene(behind=10**9)
    scene.ends(BACKLOG, FIRST_ROWS)
    scene.behind = 0
    scene.now += 0.11
    scene.ends(CAUGHT_UP, 5)
    scene.behind = 10**9
    scene.ends(BACKLOG, FIRST_ROWS)


def test_small_backlog_is_none() -> None:
    scene = Scene(behind=FIRST_ROWS - 1)
    scene.now += 0.11
    scene.ends(CAUGHT_UP, 5)


def test_batch_behind_a_backlog_that_comes_slowly_goes_at_last() -> None:
    scene = Scene(behind=10**9)
    scene.now += LONGEST_SECONDS - 0.1
    assert scene.ask(5) is not None
    scene.now += 0.2
    scene.ends(OLD, 5)


def test_batch_of_rejects_which_keep_their_records_stays_short() -> None:
    scene = Scene(behind=10**9)
    batch = Batch(lambda rows, _: rows)
    batch.rejects = [None] * CAREFUL_ROWS  # type: ignore[list-item] # only counted
    assert scene.filling.next_slice(batch, storing=True) is None
    assert scene.filling.why == FULL


def test_batch_of_long_rejects_stays_short() -> None:
    scene = Scene(behind=10**9)
    batch = Batch(lambda rows, _: rows, reject_bytes=REJECT_BYTES)
    assert scene.filling.next_slice(batch, storing=True) is None
    assert scene.filling.why == FULL


def test_careful_batch_gets_a_share_of_the_bytes() -> None:
    scene = Scene(behind=10**9)
    share = ORDER.batch_bytes // CAREFUL_SHARE
    assert scene.ask(10, size=share - 1, careful=True) is not None
    assert scene.ask(10, size=share, careful=True) is None
    assert scene.ask(10, size=share) is not None


def test_careful_batch_stays_short() -> None:
    scene = Scene(behind=10**9)
    scene.ends(FULL, CAREFUL_ROWS, careful=True)
