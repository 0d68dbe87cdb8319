"""Rows for LOAD DATA, read again by a reader of its own that follows the manual's rules."""

import json
from itertools import groupby

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from consumer.stores.mysql import LOAD, LOAD_BYTES, LOAD_ROWS, encode, in_order, statements
from schemas.message import Row

ROW: Row = ("a", "b", "message", "s", "2025-03-11 00:00:00.000000", "x")

ESCAPED = {"0": "\0", "b": "\b", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a"}
"""What stands for another character behind a backslash (MySQL's manual, LOAD DATA, field and line handling)."""


def load_data(content: bytes) -> list[tuple[str | None, ...]]:
    """Rows of a file with fields ended by tab, lines by newline, escapes by backslash, and nothing enclosed."""
    rows: list[tuple[str | None, ...]] = []
    fields: list[str | None] = []
    field, raw = "", ""
    text = iter(content.decode())
    for character in text:
        if character == "\\":
            escaped = next(text)
            raw += character + escaped
            field += ESCAPED.get(escaped, escaped)
        elif character in "\t\n":
            fields.append(None if raw == "\\N" else field)
            field, raw = "", ""
            if character == "\n":
                rows.append(tuple(fields))
                fields = []
        else:
            raw += character
            field += character
    assert (fields, raw) == ([], "")
    return rows


def loaded(*rows: Row) -> list[tuple[str | None, ...]]:
    return load_data("\n".join([*encoded(*rows), ""]).encode())


def encoded(*rows: Row) -> list[str]:
    """Each row encoded, from a line that holds it as JSON, with and without characters beyond ASCII."""
    lines, ascii_lines = ([json.dumps(row, ensure_ascii=only).encode() for row in rows] for only in (False, True))
    assert encode(rows, lines) == encode(rows, ascii_lines)
    return [line.decode() for line in encode(rows, lines)]


def test_statement_names_the_rules_that_the_reader_follows() -> None:
    assert "CHARACTER SET utf8mb4 FIELDS TERMINATED BY '\\t' ESCAPED BY '\\\\' LINES TERMINATED BY '\\n' (" in LOAD
    assert "ENCLOSED" not in LOAD


def test_plain_row_is_its_fields_and_tabs() -> None:
    assert encoded(ROW) == ["a\tb\tmessage\ts\t2025-03-11 00:00:00.000000\tx"]


def test_no_rows_are_no_lines() -> None:
    assert encoded() == []


def test_absent_data_is_null_and_empty_data_is_empty() -> None:
    absent, empty = (*ROW[:5], None), (*ROW[:5], "")
    assert encoded(absent, empty) == ["\t".join(ROW[:5]) + "\t\\N", "\t".join(ROW[:5]) + "\t"]
    assert loaded(absent, empty) == [absent, empty]


@pytest.mark.parametrize(
    "text",
    ["\t", "\n", "\r", "\r\n", "\0", "\x1a", "\b", "\\", "\\\\", "\\N", "N", "NULL", "\\n", "\\t", "\\0", "\\Z",
     "'", '"', "\u2028", "\N{GRINNING FACE}", "'; DROP TABLE x; --", "a\tb\nc\\d\0e", "\\\t", "\t\\", "\\\n",
     "ends in \\", "", " "],
)  # fmt: skip
def test_text_arrives_exactly_in_every_column(text: str) -> None:
    data_only: Row = (*ROW[:5], text)
    everywhere: Row = (text, text, "message", text, ROW[4], text)
    without_data: Row = (text, text, "status", text, ROW[4], None)
    assert loaded(data_only, everywhere, without_data, ROW) == [data_only, everywhere, without_data, ROW]


def test_tab_that_makes_up_for_nothing_is_escaped() -> None:
    assert encoded(("a\tb", *ROW[1:])) == ["a\\tb\tb\tmessage\ts\t2025-03-11 00:00:00.000000\tx"]


nasty = st.text(st.sampled_from("\t\n\r\0\\N0ntbZ\x1a'\" ab\u00e9\N{GRINNING FACE}"), max_size=8)
text = st.one_of(nasty, st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
rows = st.tuples(text, text, st.sampled_from(["message", "status"]), text, st.just(ROW[4]), st.one_of(st.none(), text))


@given(st.lists(rows, max_size=8))
@example([("\\", "", "message", "\t", ROW[4], None)])
def test_any_rows_arrive_exactly(batch: list[Row]) -> None:
    assert loaded(*batch) == batch
    for line in encoded(*batch):
        assert "\n" not in line
        assert "\0" not in line
        assert line.count("\t") == 5


# --- sorted -------------------------------------------------------------------------------------------------


def name_of(line: bytes) -> bytes:
    return line.split(b"\t")[0]


def test_lines_are_sorted_by_id_and_those_of_one_id_stay_in_their_order() -> None:
    lines = [b"b\t2", b"a\tz", b"c\t1", b"a\ty", b"ab\t1", b"a\tx", b"a\ty"]
    assert in_order(lines) == [b"a\tz", b"a\ty", b"a\tx", b"a\ty", b"ab\t1", b"b\t2", b"c\t1"]


@given(st.lists(st.tuples(st.text("ab\x01", max_size=3), st.text("xyz", max_size=2)), max_size=30))
def test_order_is_whole_and_stable(pairs: list[tuple[str, str]]) -> None:
    lines = [f"{name}\t{text}".encode() for name, text in pairs]
    ordered = in_order(lines)
    assert sorted(ordered) == sorted(lines)
    together = [(name, list(group)) for name, group in groupby(ordered, key=name_of)]
    assert len(together) == len({name_of(line) for line in lines}), "an id's lines do not stand together"
    for name, group in together:
        assert group == [line for line in lines if name_of(line) == name]


# --- cut into statements ------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, LOAD_BYTES // 4), max_size=20))
@example([LOAD_BYTES // 4] * 20)
def test_statements_hold_every_line_once_and_few_of_them(lengths: list[int]) -> None:
    lines = [bytes(length) for length in lengths]
    parts = list(statements(lines))
    assert [line for part in parts for line in part] == lines
    if lines:
        mean = sum(lengths) / len(lines)
        assert all(len(part) == 1 or len(part) * mean <= LOAD_BYTES for part in parts)


def test_statement_holds_no_more_rows_than_a_session_keeps_warnings() -> None:
    assert max(len(part) for part in statements([b"x"] * 200_000)) <= LOAD_ROWS < 65_535


def test_line_larger_than_a_statement_goes_alone() -> None:
    assert [len(part) for part in statements([b"x" * (2 * LOAD_BYTES), b"y" * (2 * LOAD_BYTES)])] == [1, 1]


def test_many_ids_that_come_twice_with_other_text_cost_no_more_than_a_few() -> None:
    lines = [f"{number % 20_000:06}\t{number}".encode() for number in range(60_000)]
    ordered = in_order(lines)  # a pass for each id would take minutes
    assert ordered[:3] == [b"000000\t0", b"000000\t20000", b"000000\t40000"]
    assert ordered[-1] == b"019999\t59999"
