"""The account of a load: lines = blank + rows + repeats + dead letters + missing, and what is missing is named."""

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.tally import Tally
from ops.account import Manifest, Missing, Slice, account, sentences
from producer.ledger import Counts, Pending
from schemas.reports import BatchDone, Segment

LOG = "chat.jsonl"


def totals(lines: int, blank: int = 0, oversize: int = 0) -> Counts:
    return Counts(lines, blank, 0, oversize)


def tally_of(*segments: tuple[int, int, int], repeats: int = 0, dead: int = 0) -> Tally:
    """Partition, start and end of one batch each; the first lines of the first one are dead letters."""
    tally = Tally()
    for partition, start, end in segments:
        known = min(repeats, end - start - dead)
        segment = Segment(start, end, end - start, tuple(range(start, start + dead)))
        tally.add(BatchDone(0, {partition: segment}, end - start - dead - known, known))
        repeats, dead = repeats - known, 0
    return tally


def manifest_of(*slices: tuple[int, int, int, int, int]) -> Manifest:
    """Partition, first offset, number of lines, start and end in the file."""
    manifest = Manifest()
    for partition, first, count, start, end in slices:
        manifest.settled(partition, first, count, Pending(LOG, start, end))
    return manifest


def identity(values: dict[str, int]) -> bool:
    parts = values["blank"] + values["rows"] + values["repeats"] + values["dead_letters"] + values["missing"]
    return values["lines"] == parts


# --- the manifest -------------------------------------------------------------------------------------------


def test_manifest_knows_the_end_of_each_partition() -> None:
    manifest = manifest_of((0, 0, 10, 0, 500), (1, 100, 5, 0, 500), (0, 10, 3, 500, 800))
    assert manifest.ends == {0: 13, 1: 105}


def test_reports_out_of_order_leave_the_end_where_it_is() -> None:
    assert manifest_of((0, 10, 3, 500, 800), (0, 0, 10, 0, 500)).ends == {0: 13}


def test_keyed_lines_of_one_block_are_one_slice() -> None:
    pending, later = Pending(LOG, 0, 500), Pending(LOG, 500, 700)
    manifest = Manifest()
    for offset in range(100, 105):
        manifest.settled(3, offset, 1, pending)
    manifest.settled(3, 105, 1, later)
    assert manifest.ends == {3: 106}
    assert manifest.missing(Tally()) == [Missing(LOG, 0, 500, 5), Missing(LOG, 500, 700, 1)]
    assert manifest.missing(tally_of((3, 100, 102))) == [Missing(LOG, 0, 500, 3), Missing(LOG, 500, 700, 1)]


def test_keyed_lines_with_somebody_elses_between_them_are_two_slices() -> None:
    pending = Pending(LOG, 0, 500)
    manifest = Manifest()
    manifest.settled(0, 10, 2, pending)
    manifest.settled(0, 15, 1, pending)
    assert manifest.ends == {0: 16}
    assert manifest.missing(tally_of((0, 10, 11))) == [Missing(LOG, 0, 500, 2)]
    assert [manifest.place(0, offset) is None for offset in (9, 10, 11, 12, 14, 15, 16)] == [
        True, False, False, True, True, False, True,
    ]  # fmt: skip


def test_place_of_a_record_is_its_slice() -> None:
    manifest = manifest_of((0, 0, 10, 0, 500), (1, 0, 5, 0, 500), (0, 10, 3, 500, 800))
    assert manifest.place(0, 9) == Slice(0, 0, 10, LOG, 0, 500)
    assert manifest.place(0, 10) == Slice(0, 10, 3, LOG, 500, 800)
    assert manifest.place(1, 4) == Slice(1, 0, 5, LOG, 0, 500)
    assert manifest.place(2, 0) is None


def test_stored_lines_are_not_missing() -> None:
    manifest = manifest_of((0, 0, 10, 0, 500), (1, 100, 5, 0, 500))
    assert manifest.missing(tally_of((0, 0, 10), (1, 100, 105))) == []


def test_line_that_no_worker_reported_is_named_by_its_bytes() -> None:
    manifest = manifest_of((0, 0, 10, 0, 500), (1, 100, 5, 0, 500), (0, 10, 6, 500, 800))
    assert manifest.missing(tally_of((0, 0, 12), (1, 100, 105))) == [Missing(LOG, 500, 800, 4)]


def test_partition_that_no_worker_reported_is_missing_whole() -> None:
    manifest = manifest_of((0, 0, 10, 0, 500), (1, 100, 5, 0, 500))
    assert manifest.missing(tally_of((0, 0, 10))) == [Missing(LOG, 0, 500, 5)]


def test_nothing_reported_is_all_missing() -> None:
    manifest = manifest_of((0, 0, 10, 0, 500), (0, 10, 5, 500, 700))
    assert manifest.missing(Tally()) == [Missing(LOG, 0, 500, 10), Missing(LOG, 500, 700, 5)]


# --- the account --------------------------------------------------------------------------------------------


def test_every_line_stored_is_accounted_for() -> None:
    values = account(
        totals(20, blank=2, oversize=1),
        tally_of((0, 0, 17), repeats=4, dead=3),
        manifest_of((0, 0, 17, 0, 900)),
        1,
        workers=2,
        seconds=4.0,
    )
    assert values == {
        "lines": 20,
        "blank": 2,
        "rows": 10,
        "repeats": 4,
        "dead_letters": 4,
        "missing": 0,
        "missing_in": [],
        "workers": 2,
        "batches": 1,
        "seconds": 4.0,
        "rows_per_second": 2,
    }
    assert identity(values)


def test_acknowledged_line_that_was_not_stored_is_missing_and_named() -> None:
    values = account(
        totals(10), tally_of((0, 0, 7)), manifest_of((0, 0, 5, 0, 250), (0, 5, 5, 250, 500)), 0, workers=1, seconds=1.0
    )
    assert values["missing"] == 3
    assert values["missing_in"] == [{"source": LOG, "start": 250, "end": 500, "lines": 3}]
    assert identity(values)


def test_line_that_was_never_acknowledged_is_missing() -> None:
    values = account(totals(10), tally_of((0, 0, 6)), manifest_of((0, 0, 6, 0, 300)), 0, workers=1, seconds=1.0)
    assert (values["rows"], values["missing"], values["missing_in"]) == (6, 4, [])
    assert identity(values)


def test_nothing_read_is_nothing() -> None:
    values = account(totals(0), Tally(), Manifest(), 0, workers=1, seconds=0.0)
    assert (values["lines"], values["rows"], values["missing"], values["rows_per_second"]) == (0, 0, 0, 0)


def test_names_of_what_is_missing_are_bounded_and_its_count_is_not() -> None:
    manifest = manifest_of(*((0, 10 * n, 10, 500 * n, 500 * n + 500) for n in range(150)))
    values = account(totals(1_500), Tally(), manifest, 0, workers=1, seconds=1.0)
    assert values["missing"] == 1_500
    assert len(values["missing_in"]) == 100


blocks = st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=3), max_size=8)


@given(
    blocks,
    st.integers(0, 5),
    st.integers(0, 3),
    st.lists(st.integers(0, 30), min_size=3, max_size=3),
    st.integers(0, 9),
)
def test_identity_holds_whatever_was_stored_and_acknowledged(
    counts: list[list[int]], blank: int, references: int, stored: list[int], unsent: int
) -> None:
    manifest, next_offsets, place = Manifest(), defaultdict[int, int](int), 0
    for block in counts:
        pending = Pending(LOG, place, place + sum(block))
        place += sum(block)
        for partition, count in enumerate(block):
            manifest.settled(partition, next_offsets[partition], count, pending)
            next_offsets[partition] += count
    tally = Tally()
    for partition, wanted in enumerate(stored):
        if end := min(wanted, next_offsets[partition]):
            dead, repeats = end // 4, end // 3
            segment = Segment(0, end, end, tuple(range(dead)))
            tally.add(BatchDone(0, {partition: segment}, end - dead - repeats, repeats))
    lines = place + blank + references + unsent
    values = account(totals(lines, blank, references), tally, manifest, references, workers=1, seconds=1.0)
    assert identity(values)
    named = sum(entry["lines"] for entry in values["missing_in"])
    assert values["missing"] == named + unsent == place - tally.messages + unsent


# --- for a person -------------------------------------------------------------------------------------------


def told(*, interrupted: bool = False, **changes: object) -> list[str]:
    values = account(
        totals(12_345, blank=45), tally_of((0, 0, 12_300)), manifest_of((0, 0, 12_300, 0, 9)), 0, workers=2, seconds=2.0
    )
    return [" ".join(line.split()) for line in sentences(values | changes, interrupted=interrupted)]


def test_account_is_told_in_sentences() -> None:
    assert told() == [
        "12,345 lines read",
        "12,300 new rows",
        "0 repeats (their id was there before)",
        "0 dead letters",
        "45 blank",
        "2.0 s, 6,150 rows/s, 2 workers",
    ]
    assert told(workers=1)[-1] == "2.0 s, 6,150 rows/s, 1 worker"


def test_missing_lines_are_told_with_their_place() -> None:
    missing = [{"source": LOG, "start": 1_000 * n, "end": 1_000 * n + 500, "lines": 7} for n in range(30)]
    lines = told(missing=210, missing_in=missing)
    assert lines[5:7] == ["210 MISSING: not accounted for", f"7 in {LOG}, bytes 0 to 500"]
    assert f"7 in {LOG}, bytes 9,000 to 9,500" in lines
    assert f"7 in {LOG}, bytes 10,000 to 10,500" not in lines


def test_lines_that_an_interrupted_load_left_are_told_as_still_to_come() -> None:
    lines = told(interrupted=True, missing=7, missing_in=[{"source": LOG, "start": 0, "end": 500, "lines": 7}])
    assert lines[5] == "7 not stored yet: run the same command again; the table ends exact"
    assert len(lines) == 7
    assert told(interrupted=True) == told()


@pytest.mark.parametrize(("rows", "repeats", "said"), [(0, 5, True), (1, 5, False), (0, 0, False)])
def test_load_that_adds_nothing_says_so(rows: int, repeats: int, *, said: bool) -> None:
    assert ("Nothing new: the table had every row already." in told(rows=rows, repeats=repeats)) is said
