"""What a line may be: a row, or a bad line with its reason, for every kind of bad input that we know of."""

import json
from datetime import datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.errors import BadLine
from schemas.message import EMPTY, INVALID, MALFORMED, TIMESTAMP, Row, parse, parse_lines

GOOD = b'{"id":"a","from":"b","type":"message","site_id":"s","timestamp":1,"data":"x"}'
ROW: Row = ("a", "b", "message", "s", "1970-01-01 00:00:01.000000", "x")

EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 -- UTC without saying so, as in the table
FIRST_SECOND, LAST_SECOND = -62_135_596_800, 253_402_300_799
DEEP = 100_000


def line(**changes: object) -> bytes:
    """The good line with some fields changed."""
    return json.dumps(json.loads(GOOD) | changes).encode()


def without(field: str) -> bytes:
    return json.dumps({name: value for name, value in json.loads(GOOD).items() if name != field}).encode()


def with_data(text: bytes) -> bytes:
    """The good line whose `data` holds these bytes between its quotes."""
    return GOOD.replace(b'"x"', b'"' + text + b'"')


def with_extra(value: bytes) -> bytes:
    """The good line with one more field that holds these bytes."""
    return GOOD[:-1] + b',"extra":' + value + b"}"


def with_timestamp(text: bytes) -> bytes:
    return GOOD.replace(b":1,", b":" + text + b",")


def reason_of(value: bytes | None) -> str:
    with pytest.raises(BadLine) as caught:
        parse(value)
    assert str(caught.value)
    return caught.value.reason


def moment_of(text: str) -> str:
    return parse(with_timestamp(text.encode()))[4]


# --- bytes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "data"),
    [
        (b"\xe2\x80\xa8", "\u2028"),
        (b"\xc2\x85", "\x85"),
        (b"\xf0\x9f\x98\x80", "\N{GRINNING FACE}"),
        (b"\\ud83d\\ude00", "\N{GRINNING FACE}"),
        (b"\\uD83D\\uDE00", "\N{GRINNING FACE}"),
        (b"\\u0000", "\0"),
        (b"\x7f", "\x7f"),
        (b"\xef\xbb\xbf", "\ufeff"),
        (b"\xef\xbf\xbf", "\uffff"),
        (b"\xf4\x8f\xbf\xbf", "\U0010ffff"),
        (b"\\u001b[31mred", "\x1b[31mred"),
        (b'a\\tb\\nc\\\\d\\/e\\"f\\r\\b\\f', 'a\tb\nc\\d/e"f\r\b\f'),
        (b"'; DROP TABLE chat_messages; -- %s %(x)s :x ? \\u0060", "'; DROP TABLE chat_messages; -- %s %(x)s :x ? `"),
        (b"\\\\N", "\\N"),
        (b"  trailing  ", "  trailing  "),
        (b"e\xcc\x81", "e\u0301"),
    ],
)
def test_text_arrives_exactly(text: bytes, data: str) -> None:
    assert parse(with_data(text)) == (*ROW[:5], data)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"caf\xe9", id="latin 1"),
        pytest.param(b"\xc0\xaf", id="overlong slash"),
        pytest.param(b"\xc0\x80", id="overlong nul"),
        pytest.param(b"\xe0\x80\xaf", id="overlong in three bytes"),
        pytest.param(b"\xed\xa0\xbd\xed\xb8\x80", id="surrogate pair in utf-8"),
        pytest.param(b"\xed\xa0\x80", id="surrogate in utf-8"),
        pytest.param(b"\xf4\x90\x80\x80", id="beyond the last code point"),
        pytest.param(b"\xf0\x9f\x98", id="cut emoji"),
        pytest.param(b"\x80", id="lone continuation"),
        pytest.param(b"\xff", id="ff"),
    ],
)
def test_invalid_utf_8_is_malformed_wherever_it_stands(text: bytes) -> None:
    assert reason_of(with_data(text)) == MALFORMED
    assert reason_of(GOOD.replace(b'"a"', b'"' + text + b'"')) == MALFORMED
    assert reason_of(with_extra(b'"' + text + b'"')) == MALFORMED
    assert reason_of(GOOD[:-1] + b',"' + text + b'":1}') == MALFORMED
    assert reason_of(GOOD + text) == MALFORMED


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"])
def test_another_encoding_is_malformed(encoding: str) -> None:
    assert reason_of(GOOD.decode().encode(encoding)) == MALFORMED


def test_utf_16_cut_at_its_newline_is_malformed_on_both_sides() -> None:
    text = f"{GOOD.decode()}\n{GOOD.decode()}\n".encode("utf-16-le")
    assert {reason_of(part) for part in text.split(b"\n")} == {MALFORMED}


def test_byte_order_mark_before_the_object_is_malformed() -> None:
    assert reason_of(b"\xef\xbb\xbf" + GOOD) == MALFORMED


@pytest.mark.parametrize("length", [1, 50, 70_000])
def test_run_of_nul_is_malformed(length: int) -> None:
    assert reason_of(b"\0" * length) == MALFORMED
    assert reason_of(b"\0" * length + GOOD) == MALFORMED
    assert reason_of(GOOD + b"\0" * length) == MALFORMED


@pytest.mark.parametrize("code", range(0x20))
def test_raw_control_character_in_a_string_is_malformed(code: int) -> None:
    assert reason_of(with_data(bytes([code]))) == MALFORMED
    assert reason_of(with_extra(b'"' + bytes([code]) + b'"')) == MALFORMED


@pytest.mark.parametrize(
    "text",
    [
        b"\\ud800",
        b"\\udfff",
        b"\\ud800\\ud800",
        b"\\udc00\\ud800",
        b"\\udc00\\udc00",
        b"\\ud83dx",
        b"\\ud83d\\n",
        b"\\ud83d\\u0041",
        b"\\ude00\\ud83d\\ude00",
        b"\\ud83d\\ude00\\ud83d",
        b"\\ud83d\\ude00\\ude00",
    ],
)
def test_lone_surrogate_in_any_order_is_malformed(text: bytes) -> None:
    assert reason_of(with_data(text)) == MALFORMED
    assert reason_of(GOOD.replace(b'"a"', b'"' + text + b'"')) == MALFORMED
    assert reason_of(with_extra(b'"' + text + b'"')) == MALFORMED


@pytest.mark.parametrize("text", [b"\\x41", b"\\u12", b"\\u12g4", b"\\'", b"\\", b"\\u", b"\\U00000041"])
def test_escape_that_json_does_not_know_is_malformed(text: bytes) -> None:
    assert reason_of(with_data(text)) == MALFORMED


@pytest.mark.parametrize("space", [b" ", b"\t", b"\r", b" \t\r "])
def test_space_around_the_object_is_no_part_of_it(space: bytes) -> None:
    assert parse(space + GOOD + space) == ROW


@pytest.mark.parametrize("space", [b"\x0b", b"\x0c", b"\xc2\xa0", b"\xe2\x80\x83"])
def test_space_that_json_does_not_know_is_malformed(space: bytes) -> None:
    assert reason_of(space + GOOD) == MALFORMED


# --- json ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, b""])
def test_record_without_a_value_is_empty(value: bytes | None) -> None:
    assert reason_of(value) == EMPTY


@pytest.mark.parametrize("value", [b" ", b"\t", b"\r", b"\n"])
def test_record_of_spaces_is_malformed(value: bytes) -> None:
    assert reason_of(value) == MALFORMED


@pytest.mark.parametrize("value", [b"{}", b"[]", b"1", b"-1.5", b"null", b"true", b'"text"', b"[" + GOOD + b"]"])
def test_json_that_is_no_message_is_invalid(value: bytes) -> None:
    assert reason_of(value) == INVALID


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(GOOD + GOOD, id="two objects"),
        pytest.param(GOOD + b" " + GOOD, id="two objects and a space"),
        pytest.param(GOOD + b"\n" + GOOD, id="two objects and a newline"),
        pytest.param(GOOD + b",", id="comma behind"),
        pytest.param(GOOD.replace(b"}", b",}"), id="comma before the end"),
        pytest.param(GOOD.replace(b'"', b"'"), id="single quotes"),
        pytest.param(b"// note\n" + GOOD, id="comment before"),
        pytest.param(GOOD.replace(b'"id"', b"id"), id="bare name"),
        pytest.param(GOOD.replace(b":1,", b":01,"), id="leading zero"),
        pytest.param(GOOD.replace(b":1,", b":1.,"), id="no digits behind the point"),
        pytest.param(GOOD.replace(b":1,", b":+1,"), id="plus sign"),
        pytest.param(GOOD.replace(b":1,", b":0x1,"), id="hexadecimal"),
        pytest.param(b"hello", id="plain text"),
        pytest.param(b"<Ann> hi", id="another log"),
    ],
)
def test_what_is_not_json_is_malformed(value: bytes) -> None:
    assert reason_of(value) == MALFORMED


@pytest.mark.parametrize(
    "value", [b"[12:00] <Ann> hi", b'"quoted" words', b'{"id":1 cut', b"12:00 hi", b"null and void"]
)
def test_what_starts_as_another_kind_of_json_is_invalid(value: bytes) -> None:
    assert reason_of(value) == INVALID


def test_line_cut_short_anywhere_is_malformed() -> None:
    assert [reason_of(GOOD[:end]) for end in range(1, len(GOOD))] == [MALFORMED] * (len(GOOD) - 1)


@pytest.mark.parametrize("value", [b"NaN", b"Infinity", b"-Infinity", b"nan", b"inf"])
def test_number_that_json_does_not_know_is_malformed(value: bytes) -> None:
    assert reason_of(with_timestamp(value)) == MALFORMED
    assert reason_of(with_extra(value)) == MALFORMED


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"[" * DEEP + b"]" * DEEP, INVALID),  # an array is no message, whatever is in it
        (b'{"id":' * DEEP + b"1" + b"}" * DEEP, INVALID),
        (b'{"x":' * DEEP + b"1" + b"}" * DEEP, MALFORMED),
        (b'{"x":' * DEEP, MALFORMED),
        (with_extra(b"[" * DEEP + b"]" * DEEP), MALFORMED),
        (with_extra(b'{"x":' * DEEP + b"1" + b"}" * DEEP), MALFORMED),
        (with_extra(b'[{"x":' * DEEP + b"1" + b"}]" * DEEP), MALFORMED),
        (GOOD.replace(b'"x"', b"[" * DEEP + b"]" * DEEP), INVALID),
    ],
    ids=["arrays", "objects in id", "objects", "objects cut short", "arrays in an extra field",
         "objects in an extra field", "both in an extra field", "arrays in data"],
)  # fmt: skip
def test_nesting_of_100_000_is_a_bad_line_and_no_crash(value: bytes, reason: str) -> None:
    assert reason_of(value) == reason
    assert parse(GOOD) == ROW


@pytest.mark.parametrize("digits", [100, 4_299, 4_300, 4_301, 5_000, 1_000_000])
def test_integer_of_thousands_of_digits_is_a_bad_line(digits: int) -> None:
    assert reason_of(with_timestamp(b"9" * digits)) in {TIMESTAMP, INVALID}
    assert reason_of(with_timestamp(b"-" + b"9" * digits)) in {TIMESTAMP, INVALID}
    assert reason_of(with_timestamp(b'"' + b"9" * digits + b'"')) == TIMESTAMP
    assert reason_of(GOOD.replace(b'"a"', b"9" * digits)) == INVALID


def test_integer_of_thousands_of_digits_in_an_extra_field_is_ignored() -> None:
    assert parse(with_extra(b"9" * 5_000)) == ROW


@pytest.mark.parametrize("value", [b"1", b"null", b"[1,{}]", b'{"id":"z"}', b'"\\u0000"', b"1e400", b'"\xe2\x82\xac"'])
def test_extra_field_is_ignored(value: bytes) -> None:
    assert parse(with_extra(value)) == ROW


def test_name_and_type_written_with_escapes_are_the_same() -> None:
    assert parse(GOOD.replace(b'"id"', b'"\\u0069d"').replace(b'"message"', b'"mess\\u0061ge"')) == ROW


def test_fields_in_another_order_are_the_same() -> None:
    assert parse(json.dumps(dict(reversed(json.loads(GOOD).items()))).encode()) == ROW


@pytest.mark.parametrize("name", [b"ID", b"Id", b"id "])
def test_field_name_in_another_spelling_is_another_field(name: bytes) -> None:
    assert reason_of(GOOD.replace(b'"id"', b'"' + name + b'"')) == INVALID


# --- values -------------------------------------------------------------------------------------------------


def test_absent_data_is_none_and_empty_data_is_empty() -> None:
    assert parse(without("data"))[5] is None
    assert parse(line(data=""))[5] == ""


def test_null_data_is_invalid() -> None:
    assert reason_of(line(data=None)) == INVALID


@pytest.mark.parametrize("field", ["id", "from", "type", "site_id", "timestamp"])
def test_missing_field_is_invalid(field: str) -> None:
    assert reason_of(without(field)) == INVALID


@pytest.mark.parametrize("field", ["id", "from", "type", "site_id", "timestamp", "data"])
@pytest.mark.parametrize("value", [None, True, False, [], {}, ["a"]])
def test_field_of_the_wrong_type_is_invalid(field: str, value: object) -> None:
    assert reason_of(line(**{field: value})) == INVALID


@pytest.mark.parametrize("field", ["id", "from", "type", "site_id", "data"])
@pytest.mark.parametrize("value", [0, 1, 1.5])
def test_number_where_text_is_due_is_invalid(field: str, value: float) -> None:
    assert reason_of(line(**{field: value})) == INVALID


@pytest.mark.parametrize("value", ["", "Message", "MESSAGE", "message ", "typing", "notice"])
def test_unknown_type_is_invalid(value: str) -> None:
    assert reason_of(line(type=value)) == INVALID


def test_status_is_a_row() -> None:
    assert parse(line(type="status")) == (*ROW[:2], "status", *ROW[3:])


def test_empty_id_is_invalid() -> None:
    assert reason_of(line(id="")) == INVALID


def test_empty_sender_and_site_are_rows() -> None:
    assert parse(line(**{"from": "", "site_id": ""})) == ("a", "", "message", "", *ROW[4:])


@pytest.mark.parametrize("field", ["id", "from", "site_id"])
@pytest.mark.parametrize("character", ["x", "\u00e9", "\N{GRINNING FACE}"])
def test_name_of_255_characters_is_kept_whole_and_of_256_is_invalid(field: str, character: str) -> None:
    column = ("id", "from", "type", "site_id").index(field)
    assert parse(line(**{field: character * 255}))[column] == character * 255
    assert reason_of(line(**{field: character * 256})) == INVALID
    raw = json.dumps(json.loads(GOOD) | {field: character * 256}, ensure_ascii=False).encode()
    assert reason_of(raw) == INVALID


@pytest.mark.parametrize("name", ["A", "a ", " a", "\u00e1", "a\0", "\uff41", "a\u0301"])
def test_id_that_looks_like_another_stays_as_it_is(name: str) -> None:
    assert parse(line(id=name))[0] == name


def test_data_of_a_megabyte_arrives_exactly() -> None:
    assert parse(line(data="\u00e9x" * 500_000))[5] == "\u00e9x" * 500_000


# --- timestamps ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("0", "1970-01-01 00:00:00.000000"),
        ("-0", "1970-01-01 00:00:00.000000"),
        ("-0.0", "1970-01-01 00:00:00.000000"),
        ('"-0"', "1970-01-01 00:00:00.000000"),
        ('"0e402"', "1970-01-01 00:00:00.000000"),
        ("-1", "1969-12-31 23:59:59.000000"),
        ("-0.5", "1969-12-31 23:59:59.500000"),
        ('"-0.000001"', "1969-12-31 23:59:59.999999"),
        ("1741651200", "2025-03-11 00:00:00.000000"),
        ("1741651200.0", "2025-03-11 00:00:00.000000"),
        ("1741651200.5", "2025-03-11 00:00:00.500000"),
        ("1741651764.865155", "2025-03-11 00:09:24.865155"),
        ('"1741651784"', "2025-03-11 00:09:44.000000"),
        ('"1741652468.315"', "2025-03-11 00:21:08.315000"),
        ('"\\u0031"', "1970-01-01 00:00:01.000000"),
        ('"007"', "1970-01-01 00:00:07.000000"),
        ("1.741651784e9", "2025-03-11 00:09:44.000000"),
        ('"1.741651784E+9"', "2025-03-11 00:09:44.000000"),
        ("951782400", "2000-02-29 00:00:00.000000"),
        ("2147483647.999999", "2038-01-19 03:14:07.999999"),
        ("2147483648", "2038-01-19 03:14:08.000000"),
        ("2147483648.123456", "2038-01-19 03:14:08.123456"),
        ("4294967296.000001", "2106-02-07 06:28:16.000001"),
        ("-62135596800", "0001-01-01 00:00:00.000000"),
        ("-62135596800.0", "0001-01-01 00:00:00.000000"),
        ('"-62135596799.999999"', "0001-01-01 00:00:00.000001"),
        ("253402300799", "9999-12-31 23:59:59.000000"),
        ("253402300799.999999", "9999-12-31 23:59:59.999999"),
        ('"253402300799.999999"', "9999-12-31 23:59:59.999999"),
        ("0.0000015", "1970-01-01 00:00:00.000002"),
        ('"0.0000025"', "1970-01-01 00:00:00.000002"),
        ('"0.9999996"', "1970-01-01 00:00:01.000000"),
        ("1e-400", "1970-01-01 00:00:00.000000"),
        ('"1e-999"', "1970-01-01 00:00:00.000000"),
        (f'"1.{"1" * 5_000}"', "1970-01-01 00:00:01.111111"),
        (f"1.{'1' * 5_000}", "1970-01-01 00:00:01.111111"),
    ],
)
def test_moment_is_utc_to_the_microsecond(text: str, moment: str) -> None:
    assert moment_of(text) == moment


@pytest.mark.parametrize(
    "text",
    [
        "253402300800",
        "253402300799.9999999",
        '"253402300800.0"',
        "-62135596801",
        "-62135596800.000001",
        '"-62135596800.5"',
        "1741651200000",  # milliseconds
        "1741651200000.5",
        '"1741651200000"',
        "1741651200000000",  # microseconds
        "1.7e12",
        "18446744073709551616",
        "-9223372036854775809",
        "1e22",
        "1e308",
        '"1e999"',
        '"-1e999"',
    ],
)
def test_moment_outside_the_years_1_to_9999_is_a_bad_timestamp(text: str) -> None:
    assert reason_of(with_timestamp(text.encode())) == TIMESTAMP


@pytest.mark.parametrize(
    "text",
    ["", " ", " 1", "1 ", "+1", "1.", ".5", "-", "--1", "1_0", "0x10", "1,5", "1e", "1e+", "1e1000", "1.5.5", "1\n",
     "NaN", "nan", "inf", "-Infinity", "soon", "2024-05-01T12:00:00Z", "\uff11", "\u0661", "1\0"],
)  # fmt: skip
def test_text_that_is_no_number_is_a_bad_timestamp(text: str) -> None:
    assert reason_of(line(timestamp=text)) == TIMESTAMP


@pytest.mark.parametrize("text", [b"1e400", b"-1e400", b"1e5000"])
def test_number_beyond_a_double_is_invalid(text: bytes) -> None:
    assert reason_of(with_timestamp(text)) == INVALID


def test_last_of_two_timestamps_counts_in_its_full_precision() -> None:
    twice = GOOD[:-1] + b',"timestamp":4102444800.000001}'
    assert parse(twice)[4] == "2100-01-01 00:00:00.000001"


@pytest.mark.parametrize("first", [b'"1e"', b'"no number"', b"1e5", b'"1741651200000"'])
def test_first_of_two_timestamps_does_not_count_when_the_last_is_read_again_exactly(first: bytes) -> None:
    twice = with_timestamp(first)[:-1] + b',"timestamp":4102444800.000001}'
    assert parse(twice)[4] == "2100-01-01 00:00:00.000001"
    assert parse_lines([twice]) == [parse(twice)]


def independent(text: str) -> str:
    """The moment of a decimal number, by whole microseconds and the calendar of the standard library."""
    moment = EPOCH + timedelta(microseconds=round(Fraction(text) * 1_000_000))
    return moment.isoformat(" ", "microseconds")


def decimal(whole: int, fraction: int, digits: int) -> str:
    return f"{whole}.{fraction:0{digits}}" if digits else str(whole)


numbers = st.builds(
    lambda whole, digits, fraction: decimal(whole, fraction % 10**digits, digits),
    st.integers(FIRST_SECOND + 1, LAST_SECOND),
    st.integers(0, 6),
    st.integers(0, 999_999),
)


@given(numbers)
@example("2147483647.999999")
@example("-2147483648.000001")
@example("8589934592.000001")
@example("253402300799.999999")
def test_number_with_up_to_6_decimals_is_exact(text: str) -> None:
    assert moment_of(text) == independent(text)
    assert moment_of(f'"{text}"') == independent(text)


@given(st.integers(FIRST_SECOND, LAST_SECOND - 1), st.integers(0, 10**12 - 1))
@example(0, 500_000)
@example(0, 1_500_000)
@example(-1, 999_999_500_000)
def test_text_with_12_decimals_is_rounded_half_to_even(whole: int, fraction: int) -> None:
    text = decimal(whole, fraction, 12)
    if Fraction(text) >= FIRST_SECOND:
        assert moment_of(f'"{text}"') == independent(text)


@given(st.integers(-(2**31), 2**31), st.integers(0, 6))
def test_number_with_an_exponent_is_the_number_it_means(whole: int, exponent: int) -> None:
    text = f"{whole}e-{exponent}"
    assert moment_of(text) == independent(text)
    assert moment_of(f'"{text}"') == independent(text)


@given(st.integers())
def test_any_integer_is_its_moment_or_a_bad_timestamp(seconds: int) -> None:
    if FIRST_SECOND <= seconds <= LAST_SECOND:
        assert moment_of(str(seconds)) == independent(str(seconds))
    else:
        assert reason_of(with_timestamp(str(seconds).encode())) == TIMESTAMP


# --- any bytes ----------------------------------------------------------------------------------------------


@given(st.binary(max_size=60))
def test_any_bytes_are_a_bad_line_and_no_crash(value: bytes) -> None:
    assert reason_of(value) in {MALFORMED, INVALID, EMPTY}


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_any_byte_changed_gives_a_row_that_the_standard_library_reads_too(place: int, byte: int) -> None:
    changed = GOOD[:place] + bytes([byte]) + GOOD[place + 1 :]
    try:
        row = parse(changed)
    except BadLine:
        return
    fields = json.loads(changed.decode())
    assert row[:4] == (fields["id"], fields["from"], fields["type"], fields["site_id"])
    assert row[5] == fields.get("data")
    assert row[4] == independent(str(fields["timestamp"]))


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(text.filter(bool), text, text, text, st.booleans())
def test_any_text_arrives_exactly(name: str, sender: str, site: str, data: str, escape: bool) -> None:
    fields = {"id": name, "from": sender, "type": "message", "site_id": site, "timestamp": 1, "data": data}
    row = parse(json.dumps(fields, ensure_ascii=escape).encode())
    assert row == (name, sender, "message", site, ROW[4], data)


# --- many lines at once -------------------------------------------------------------------------------------


def row_of(value: bytes) -> Row | None:
    try:
        return parse(value)
    except BadLine:
        return None


def test_good_lines_at_once_are_the_rows_of_each() -> None:
    lines = [GOOD, line(id="\N{GRINNING FACE}"), without("data"), line(timestamp=4102444800.000001), line(data="}\n{")]
    assert parse_lines(lines) == [parse(one) for one in lines]


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([GOOD, b""], id="empty"),
        pytest.param([b"", GOOD], id="empty first"),
        pytest.param([GOOD, b"{}", GOOD], id="no message"),
        pytest.param([GOOD, GOOD + GOOD], id="two objects in a line"),
        pytest.param([GOOD + GOOD, b"{}"], id="two objects in a line and none in another"),
        pytest.param([GOOD + b" " + GOOD, GOOD], id="two objects and a space"),
        pytest.param([GOOD + b"\n" + GOOD], id="newline in a line"),
        pytest.param([GOOD[:30], GOOD[30:]], id="one object in two lines"),
        pytest.param([GOOD[:10], GOOD[10:]], id="one object in two lines cut between fields"),
        pytest.param([GOOD[:10], GOOD[10:] + GOOD], id="one object in two lines and two in one"),
        pytest.param([GOOD + GOOD[:10], GOOD[10:]], id="two objects in two lines cut elsewhere"),
        pytest.param([with_extra(b"[{}")[:-1], b"{}]}"], id="one object in two lines that begin and end as one"),
        pytest.param([GOOD[:-1] + b',"x":"}', b'{"}'], id="one object in two lines cut within a string"),
        pytest.param([GOOD[:-1], GOOD], id="cut short"),
        pytest.param([GOOD, GOOD[:-1] + b',"x":{}'], id="cut short behind a brace"),
        pytest.param([GOOD, with_data(b"\xe9")], id="not utf-8"),
        pytest.param([GOOD, with_extra(b'"\xe9"')], id="not utf-8 in an extra field"),
        pytest.param([GOOD, with_data(b"\\ud800")], id="lone surrogate"),
        pytest.param([GOOD, with_timestamp(b"1e12")], id="bad timestamp"),
        pytest.param([GOOD, b"[" + GOOD + b"]", GOOD], id="array"),
        pytest.param([GOOD, with_extra(b"[" * DEEP + b"]" * DEEP)], id="nested"),
    ],
)
def test_bad_line_among_others_is_left_to_be_parsed_by_itself(lines: list[bytes]) -> None:
    assert parse_lines(lines) is None


parts = st.sampled_from(
    [GOOD, without("data"), line(timestamp="1.5"), b"{}", b"{", b"}", b"[", b"]", b",", b"\n", b" ", b'"', b"\\", b"\r",
     b'{"x":"', b'"}', GOOD[:-1], GOOD[1:], b',"x":[{}', b"{}]}", b"\xe9", b"\0"]
)  # fmt: skip


@given(st.lists(st.one_of(st.just(GOOD), st.lists(parts, max_size=4).map(b"".join)), max_size=6))
def test_lines_at_once_never_give_what_each_by_itself_does_not(lines: list[bytes]) -> None:
    together, each = parse_lines(lines), [row_of(one) for one in lines]
    assert together in (None, each)
    if lines and all(one.startswith(b"{") and one.endswith(b"}") and b"\n" not in one for one in lines):
        assert together == (None if None in each else each)
