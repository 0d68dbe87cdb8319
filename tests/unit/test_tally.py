"""Each offset counts once, whoever reports it how often, and the sum is exact whoever dies."""

from hypothesis import given
from hypothesis import strategies as st

from consumer.tally import Tally
from schemas.reports import BatchDone, Segment


def report(start: int, end: int, rows: int, repeats: int, dead: tuple[int, ...] = (), worker: int = 0) -> BatchDone:
    """A batch of one partition."""
    return BatchDone(worker, {0: Segment(start, end, end - start, dead)}, rows, repeats)


def counts(tally: Tally) -> tuple[int, int, int, int]:
    """Messages, rows, repeats, dead letters."""
    return tally.messages, tally.rows, tally.repeats, tally.dead_letters


def tally_of(*reports: BatchDone) -> Tally:
    tally = Tally()
    for one in reports:
        tally.add(one)
    return tally


def test_new_tally_is_zero() -> None:
    tally = Tally()
    assert counts(tally) == (0, 0, 0, 0)
    assert tally.covered == {}
    assert tally.reached({})
    assert not tally.reached({0: 1})


def test_batches_one_after_the_other_add_up() -> None:
    tally = tally_of(report(0, 10, 7, 1, (3, 4)), report(10, 15, 5, 0, worker=1))
    assert counts(tally) == (15, 12, 1, 2)
    assert tally.covered == {0: 15}
    assert tally.batches == 2
    assert tally.by_worker == {0: 10, 1: 5}


def test_first_batch_may_begin_anywhere() -> None:
    assert counts(tally_of(report(1_000, 1_010, 10, 0))) == (10, 10, 0, 0)


def test_partitions_are_counted_apart() -> None:
    done = BatchDone(0, {0: Segment(0, 5, 5, (1,)), 3: Segment(100, 103, 3, ())}, 6, 1)
    tally = tally_of(done)
    assert counts(tally) == (8, 6, 1, 1)
    assert tally.covered == {0: 5, 3: 103}


def test_same_batch_again_after_its_worker_died_is_counted_once() -> None:
    tally = tally_of(report(0, 10, 8, 0, (3, 4)), report(0, 10, 0, 8, (3, 4), worker=1))
    assert counts(tally) == (10, 8, 0, 2)
    assert tally.covered == {0: 10}
    assert tally.by_worker == {0: 10, 1: 0}


def test_longer_batch_from_the_same_start_counts_what_is_new_of_it() -> None:
    tally = tally_of(report(0, 10, 8, 1, (3,)), report(0, 16, 4, 10, (3, 12), worker=1))
    assert counts(tally) == (16, 12, 2, 2)  # of the ten repeats nine are the first batch's own
    assert tally.covered == {0: 16}
    assert tally.by_worker == {0: 10, 1: 6}


def test_shorter_batch_from_the_same_start_counts_nothing() -> None:
    tally = tally_of(report(0, 10, 8, 1, (3,)), report(0, 4, 0, 3, (3,)))
    assert counts(tally) == (10, 8, 1, 1)
    assert tally.covered == {0: 10}
    assert counts(tally_of(report(0, 10, 8, 1, (3,)), report(0, 4, 0, 3, (3,)), report(4, 12, 2, 6))) == (12, 10, 1, 1)


def test_batch_that_begins_within_the_known_counts_its_new_end() -> None:
    tally = tally_of(report(0, 10, 10, 0), report(6, 14, 3, 4, (13,)))
    assert counts(tally) == (14, 13, 0, 1)


def test_rows_that_a_dead_worker_stored_without_a_report_are_repeats() -> None:
    tally = tally_of(report(0, 10, 10, 0), report(10, 20, 0, 10))
    assert counts(tally) == (20, 10, 10, 0)


def test_repeated_partition_beside_a_new_one_is_counted_once() -> None:
    first = BatchDone(0, {0: Segment(0, 5, 5, ()), 1: Segment(0, 5, 5, ())}, 10, 0)
    second = BatchDone(1, {0: Segment(0, 5, 5, ()), 2: Segment(0, 4, 4, (0,))}, 3, 5)
    assert counts(tally_of(first, second)) == (14, 13, 0, 1)


def test_position_without_records_moves_what_is_covered() -> None:
    tally = tally_of(BatchDone(0, {0: Segment(20, 20, 0, ())}, 0, 0))
    assert counts(tally) == (0, 0, 0, 0)
    assert tally.covered == {0: 20}


def test_reached_needs_every_partition() -> None:
    tally = tally_of(report(0, 10, 10, 0))
    assert tally.reached({0: 10})
    assert tally.reached({0: 5, 1: 0})
    assert not tally.reached({0: 11})
    assert not tally.reached({0: 10, 1: 1})


kinds = st.lists(st.one_of(st.none(), st.integers(0, 12)), min_size=1, max_size=30)
fates = st.lists(
    st.tuples(st.integers(1, 12), st.sampled_from(["lives", "dies committed", "dies reported", "dies stored"]))
)


@given(kinds, fates)
def test_sum_is_exact_whichever_workers_die_and_whenever(log: list[int | None], batches: list[tuple[int, str]]) -> None:
    """`log` holds ids, None for a bad line. A worker dies before its report, or after it and before the commit."""
    table: set[int] = set()
    tally, committed, worker = Tally(), 0, 0
    for size, fate in [*batches, (len(log), "lives"), (len(log), "lives")]:
        if committed == len(log):
            break
        end = min(committed + size, len(log))
        rows = repeats = 0
        for name in log[committed:end]:
            repeats += name is not None and name in table
            rows += name is not None and name not in table
            if name is not None:
                table.add(name)
        dead = tuple(offset for offset in range(committed, end) if log[offset] is None)
        if fate != "dies stored":
            tally.add(report(committed, end, rows, repeats, dead, worker))
        if fate in ("lives", "dies committed"):
            committed = end
        worker += fate != "lives"
    assert tally.reached({0: len(log)})
    assert tally.messages == len(log) == tally.rows + tally.repeats + tally.dead_letters == tally.by_worker.total()
    assert tally.dead_letters == log.count(None)
    assert tally.rows <= len(table)
    if all(fate != "dies stored" for _, fate in batches):
        assert tally.rows == len(table)
