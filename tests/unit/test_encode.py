"""Rows for LOAD DATA, read again by a reader of its own that follows the manual's rules."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from consumer.stores.mysql import LOAD, encode
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
    return load_data("\n".join([*encode(rows), ""]).encode())


def test_statement_names_the_rules_that_the_reader_follows() -> None:
    assert "CHARACTER SET utf8mb4 FIELDS TERMINATED BY '\\t' ESCAPED BY '\\\\' LINES TERMINATED BY '\\n' (" in LOAD
    assert "ENCLOSED" not in LOAD


def test_plain_row_is_its_fields_and_tabs() -> None:
    assert encode([ROW]) == ["a\tb\tmessage\ts\t2025-03-11 00:00:00.000000\tx"]


def test_no_rows_are_no_lines() -> None:
    assert encode([]) == []


def test_absent_data_is_null_and_empty_data_is_empty() -> None:
    absent, empty = (*ROW[:5], None), (*ROW[:5], "")
    assert encode([absent, empty]) == ["\t".join(ROW[:5]) + "\t\\N", "\t".join(ROW[:5]) + "\t"]
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
    assert encode([("a\tb", *ROW[1:])]) == ["a\\tb\tb\tmessage\ts\t2025-03-11 00:00:00.000000\tx"]


nasty = st.text(st.sampled_from("\t\n\r\0\\N0ntbZ\x1a'\" ab\u00e9\N{GRINNING FACE}"), max_size=8)
text = st.one_of(nasty, st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
rows = st.tuples(text, text, st.sampled_from(["message", "status"]), text, st.just(ROW[4]), st.one_of(st.none(), text))


@given(st.lists(rows, max_size=8))
@example([("\\", "", "message", "\t", ROW[4], None)])
def test_any_rows_arrive_exactly(batch: list[Row]) -> None:
    assert loaded(*batch) == batch
    for line in encode(batch):
        assert "\n" not in line
        assert "\0" not in line
        assert line.count("\t") == 5
