"""The parser's promises on whatever Hypothesis thinks of, judged by the fuzzer's independent reader; and its corpus."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.message import parse, parse_lines
from tests.bad_lines import LINES
from tests.fuzz.oracle import check, expected

CORPUS = sorted(Path(__file__).parents[1].joinpath("fuzz", "corpus").iterdir())

MANY = settings(max_examples=30_000, derandomize=False, deadline=None)

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), text)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3))
timestamps = st.one_of(
    st.integers(-62_135_596_800, 253_402_300_799),
    st.floats(-62_135_596_000, 253_402_300_000),
    st.integers(-62_135_596_800, 253_402_300_799).map(str),
    st.decimals(-62_135_596_000, 253_402_300_000, places=6).map(str),
)
messages = st.fixed_dictionaries(
    {
        "id": st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=255),
        "from": text,
        "type": st.sampled_from(["message", "status"]),
        "site_id": text,
        "timestamp": timestamps,
    },
    optional={"data": text, "more": values, "": values, "Id": values},
)

names = st.sampled_from(["id", "from", "type", "site_id", "timestamp", "data", "more"])
raw_values = st.one_of(
    values.map(json.dumps).map(str.encode),
    timestamps.map(json.dumps).map(str.encode),
    st.sampled_from(
        [
            b'"message"',
            b'"status"',
            b'"1e9"',
            b"1e400",
            b"-0",
            b"01",
            b"1.",
            b"NaN",
            b"-Infinity",
            b'"\\ud800"',
            b'"\xe9"',
            b"",
        ]
    ),
)
pairs = st.tuples(names, raw_values).map(lambda pair: b'"%b":%b' % (pair[0].encode(), pair[1]))
GOOD = b'"id":"a","from":"b","type":"message","site_id":"c","timestamp":1700000000.5'
near_lines = st.lists(st.one_of(pairs, st.just(GOOD), st.just(b"")), max_size=6).flatmap(
    lambda parts: st.sampled_from([b"{%b}", b" {%b}\r", b"[{%b}]", b"{%b", b"{%b}\n{%b}", b"\xef\xbb\xbf{%b}"]).map(
        lambda frame: frame.replace(b"%b", b",".join(part for part in parts if part))
    )
)


@pytest.mark.parametrize("path", CORPUS, ids=[path.name for path in CORPUS])
def test_input_that_the_fuzzer_kept_breaks_no_promise(path: Path) -> None:
    check(path.read_bytes())


def test_corpus_is_there_and_small() -> None:
    assert 30 <= len(CORPUS) <= 200
    assert sum(path.stat().st_size for path in CORPUS) < 100_000


@pytest.mark.parametrize("line", LINES, ids=[line.name for line in LINES])
def test_line_of_the_matrix_breaks_no_promise(line: object) -> None:
    check(line.sent)  # type: ignore[attr-defined]


@given(st.binary(max_size=200))
def test_any_bytes_break_no_promise(data: bytes) -> None:
    check(data)


@given(near_lines)
def test_anything_that_is_nearly_a_line_is_read_as_the_independent_reader_reads_it(data: bytes) -> None:
    check(data)


@given(st.lists(messages, min_size=1, max_size=5), st.booleans(), st.sampled_from([None, 1]))
def test_any_message_through_json_is_its_row_alone_and_among_others(
    batch: list[dict[str, object]], ascii_only: bool, indent: int | None
) -> None:
    lines = [json.dumps(one, ensure_ascii=ascii_only, indent=indent).replace("\n", " ").encode() for one in batch]
    rows = []
    for one, line in zip(batch, lines, strict=True):
        row = parse(line)
        assert (row[:4], row[5]) == ((one["id"], one["from"], one["type"], one["site_id"]), one.get("data"))
        assert row == expected(line) or isinstance(one["timestamp"], float)
        rows.append(row)
    assert parse_lines(lines) == rows


@pytest.mark.long
@MANY
@given(st.one_of(near_lines, st.binary(max_size=400)))
def test_tens_of_thousands_of_inputs_break_no_promise(data: bytes) -> None:
    check(data)
