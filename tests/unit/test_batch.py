"""Records parsed into a batch: what is stored, what is set aside, what is committed."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.batch import CHUNK, Batch, Record, Reject, first_offsets
from schemas.message import Row
from schemas.reports import Segment
from tests.unit.records import bad, good


def ids(rows: Sequence[Row]) -> list[str]:
    return [row[0] for row in rows]


def batch_of(*records: Record, ends: dict[int, int] | None = None) -> Batch:
    batch = Batch()
    batch.add(records, ends)
    return batch


def lengths(rows: Sequence[Row], lines: Sequence[bytes]) -> list[tuple[int, int]]:
    """A store's preparation that shows which row and which line it was made from."""
    return [(len(row[0]), len(line)) for row, line in zip(rows, lines, strict=True)]


# --- parsed -------------------------------------------------------------------------------------------------


def test_new_batch_is_empty() -> None:
    batch = Batch()
    assert (len(batch), batch.empty, batch.segments()) == (0, True, {})


def test_rows_stand_in_the_order_of_their_records() -> None:
    records = [good(1, 5), good(0, 7), good(1, 6)]
    batch = batch_of(*records)
    assert ids(batch.ready) == ["1-5", "0-7", "1-6"]
    assert batch.records == records
    assert batch.rejects == []
    assert len(batch) == 3
    assert not batch.empty


def test_bad_line_is_set_aside_with_its_reason_and_its_neighbours_stay() -> None:
    records = [good(0, 1), bad(0, 2), bad(0, 3, b"{"), bad(0, 4, None), bad(0, 5, b""), good(0, 6)]
    batch = batch_of(*records)
    assert ids(batch.ready) == ["0-1", "0-6"]
    assert batch.records == [records[0], records[5]]
    assert [(reject.record, reject.stage, reject.reason) for reject in batch.rejects] == [
        (records[1], "parse", "invalid"),
        (records[2], "parse", "malformed"),
        (records[3], "parse", "empty"),
        (records[4], "parse", "empty"),
    ]
    assert len(batch) == 6


def test_bad_timestamp_is_set_aside() -> None:
    line = b'{"id":"a","from":"b","type":"message","site_id":"s","timestamp":1741651200000}'
    (reject,) = batch_of(bad(0, 1, line)).rejects
    assert (reject.stage, reject.reason) == ("parse", "timestamp")


def test_good_and_bad_alternating_over_several_chunks_are_told_apart() -> None:
    records = [good(0, n) if n % 2 else bad(0, n) for n in range(5 * CHUNK + 3)]
    batch = batch_of(*records)
    assert batch.records == records[1::2]
    assert ids(batch.ready) == [f"0-{n}" for n in range(1, 5 * CHUNK + 3, 2)]
    assert [reject.record for reject in batch.rejects] == records[::2]


@pytest.mark.parametrize("place", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK])
def test_one_bad_line_among_many_is_the_only_one_set_aside(place: int) -> None:
    records: list[Record] = [good(0, n) for n in range(2 * CHUNK + 1)]
    records[place] = bad(0, place)
    batch = batch_of(*records)
    assert [reject.record for reject in batch.rejects] == [records[place]]
    assert batch.records == records[:place] + records[place + 1 :]


def test_prepared_rows_and_the_rejects_are_all_that_is_kept() -> None:
    batch = Batch(lengths)
    batch.add([good(0, 1), bad(0, 2), good(0, 333)])
    batch.add([good(0, 4444)])
    size = len(good(0, 1).content or b"")
    assert batch.ready == [(3, size), (5, size + 2), (6, size + 3)]
    assert (batch.records, batch.careful, len(batch)) == ([], False, 4)


def test_size_is_the_bytes_of_the_lines() -> None:
    records = [good(0, 1), bad(0, 2, b"bad"), bad(0, 3, None), good(1, 10)]
    assert batch_of(*records[:2]).size == len(records[0].content or b"") + 3
    assert batch_of(*records).size == sum(len(record.content or b"") for record in records), "a tombstone hides others"
    batch = Batch(lengths)
    batch.add([records[0]])
    batch.add([records[3]])
    assert batch.size == len(records[0].content or b"") + len(records[3].content or b"")


# --- offsets ------------------------------------------------------------------------------------------------


def test_next_offset_follows_the_last_record_of_each_partition() -> None:
    batch = batch_of(good(0, 7, epoch=1), good(2, 5, epoch=4), good(0, 9, epoch=2))
    assert batch.next_offsets == {0: 10, 2: 6}
    assert batch.epochs == {0: 2, 2: 4}


def test_bad_line_counts_for_the_next_offset_too() -> None:
    assert batch_of(good(0, 7), bad(0, 8)).next_offsets == {0: 9}
    assert batch_of(bad(3, 8)).next_offsets == {3: 9}


def test_more_records_move_the_next_offset_and_not_the_start() -> None:
    batch = batch_of(good(0, 7), good(1, 3))
    batch.add([good(0, 8), good(2, 0)])
    assert batch.next_offsets == {0: 9, 1: 4, 2: 1}
    assert batch.segments() == {0: Segment(7, 9, 2, ()), 1: Segment(3, 4, 1, ()), 2: Segment(0, 1, 1, ())}


def test_end_beyond_the_last_record_is_the_next_offset() -> None:
    assert batch_of(good(0, 7), ends={0: 12}).next_offsets == {0: 12}


def test_end_before_the_last_record_changes_nothing() -> None:
    assert batch_of(good(0, 7), ends={0: 5}).next_offsets == {0: 8}


def test_end_of_a_partition_without_records_is_committed_and_holds_nothing() -> None:
    batch = batch_of(ends={4: 20})
    assert (len(batch), batch.empty, batch.next_offsets) == (0, False, {4: 20})
    assert batch.segments() == {4: Segment(20, 20, 0, ())}


# --- segments -----------------------------------------------------------------------------------------------


def test_segment_holds_start_end_count_and_dead_offsets_in_order() -> None:
    batch = batch_of(good(0, 10), bad(0, 12), good(1, 3), bad(0, 11), good(0, 14), ends={0: 16})
    assert batch.segments() == {0: Segment(10, 16, 4, (11, 12)), 1: Segment(3, 4, 1, ())}


# --- refused by the database --------------------------------------------------------------------------------


def test_refused_rows_become_dead_letters_in_order() -> None:
    records = [good(0, 1), good(0, 2), bad(0, 3), good(1, 4)]
    batch = batch_of(*records)
    batch.refuse([(2, "too long"), (0, "out of range")])
    assert ids(batch.ready) == ["0-2"]
    assert batch.records == [records[1]]
    assert batch.rejects[1:] == [
        Reject(records[0], "store", "refused", "out of range"),
        Reject(records[3], "store", "refused", "too long"),
    ]
    assert len(batch) == 4
    assert batch.segments() == {0: Segment(1, 4, 3, (1, 3)), 1: Segment(4, 5, 1, (4,))}


def test_nothing_refused_changes_nothing() -> None:
    batch = batch_of(good(0, 1))
    batch.refuse([])
    assert (ids(batch.ready), batch.rejects) == (["0-1"], [])


def test_all_refused_leaves_no_rows_and_the_offsets_to_commit() -> None:
    batch = batch_of(good(0, 1), good(0, 2))
    batch.refuse([(0, "no"), (1, "no")])
    assert (batch.ready, batch.records) == ([], [])
    assert (batch.next_offsets, len(batch)) == ({0: 3}, 2)


# --- all together -------------------------------------------------------------------------------------------


def test_first_offsets_are_where_each_partition_begins() -> None:
    assert first_offsets([good(2, 7), good(0, 3), good(2, 8), bad(0, 4)]) == {2: 7, 0: 3}
    assert first_offsets([]) == {}


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=60), st.lists(st.integers(1, 10), max_size=8))
def test_batch_is_the_same_however_its_records_come(shapes: list[tuple[int, bool]], sizes: list[int]) -> None:
    records: list[Record] = [(good if ok else bad)(partition, n) for n, (partition, ok) in enumerate(shapes)]
    parts, rest = [], records
    for size in sizes:
        parts.append(rest[:size])
        rest = rest[size:]
    careful, fast = Batch(), Batch(lengths)
    for part in [*parts, rest]:
        careful.add(part)
        fast.add(part)
    oks = {n for n, (_, ok) in enumerate(shapes) if ok}
    assert careful.records == [record for record in records if record.offset() in oks]
    assert ids(careful.ready) == [f"{record.partition()}-{record.offset()}" for record in careful.records]
    mine = {p: [r.offset() or 0 for r in records if r.partition() == p] for p in {r.partition() or 0 for r in records}}
    for batch in (careful, fast):
        assert [reject.record for reject in batch.rejects] == [r for r in records if r.offset() not in oks]
        assert batch.segments() == {
            p: Segment(offsets[0], offsets[-1] + 1, len(offsets), tuple(o for o in offsets if o not in oks))
            for p, offsets in mine.items()
        }
    assert fast.ready == lengths(careful.ready, [r.value() for r in careful.records])  # type: ignore[misc]
