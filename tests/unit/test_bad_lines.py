"""The matrix of bad input against the parser and the batch, and against the judge of the acceptance tests."""

import pytest

from benchmarks import generate
from consumer.batch import Batch
from producer.sources.blocks import LineCutter
from schemas.errors import BadLine
from schemas.message import parse, parse_lines
from tests.bad_lines import LINES, Line, Outcome
from tests.unit.records import Message

SENT = [line for line in LINES if line.outcome is not Outcome.SKIPPED]
by_name = pytest.mark.parametrize("line", SENT, ids=[line.name for line in SENT])


def test_names_are_given_once_and_so_are_the_ids_of_rows() -> None:
    assert len({line.name for line in LINES}) == len(LINES)
    ids = [line.row[0] for line in LINES if line.row]
    assert len(set(ids)) == len(ids)


@by_name
def test_line_is_its_row_or_bad_for_the_parser(line: Line) -> None:
    if line.outcome is Outcome.ROW:
        assert parse(line.sent) == line.row
    else:
        with pytest.raises(BadLine) as caught:
            parse(line.sent)
        assert str(caught.value)
        assert parse_lines([line.sent]) is None


@pytest.mark.parametrize("line", [line for line in SENT if b"1e400" not in line.content], ids=lambda line: line.name)
def test_line_is_the_same_for_the_judge_of_the_acceptance_tests(line: Line) -> None:
    if line.row is not None:
        assert generate.parse(line.sent) == line.row
    elif line.name != "id-empty":  # the generator writes none, so its reader need not know
        with pytest.raises(generate.BadLineError):
            generate.parse(line.sent)


def test_all_lines_in_one_batch_become_their_rows_in_order_and_the_others_rejects() -> None:
    batch = Batch()
    records = [Message((0, number), line.sent) for number, line in enumerate(SENT)]
    batch.add(records)
    assert batch.ready == [line.row for line in SENT if line.row]
    assert [reject.record.value() for reject in batch.rejects] == [line.sent for line in SENT if not line.row]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1 << 20])
def test_all_lines_in_one_log_are_cut_where_they_end_and_nowhere_else(size: int) -> None:
    log = b"".join(line.content + b"\n" for line in LINES)
    log = log if size > 3 else log[:20_000]
    cutter, sent, blank = LineCutter(1 << 20), [], 0
    for start in range(0, len(log), size):
        if block := cutter.feed(log[start : start + size]):
            sent += block.lines
            blank += block.blank
    whole = log.count(b"\n")
    expected = [line.sent for line in LINES[:whole] if line.outcome is not Outcome.SKIPPED]
    assert sent == expected
    assert blank == whole - len(expected)
