"""The message: what one line of a chat log may be, and the row that it becomes.

A line is one JSON object, encoded in UTF-8. `parse` turns its bytes into a `Row`, or raises `BadLine` with one of the
reasons below; it never returns something that it had to cut, guess or repair.
"""

import re
from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType

from schemas.errors import BadLine

NAME_LENGTH = 255
"""Longest id, sender and site in characters; real room names reach 148."""

MALFORMED = "malformed"  # not JSON, not UTF-8, cut short, two objects in a line, nested too deep
INVALID = "invalid"  # JSON, but not this message: a field is missing, has the wrong type, is too long
TIMESTAMP = "timestamp"  # a number that is not a moment between the years 1 and 9999
EMPTY = "empty"  # a record without a value: nothing that a line can be
REFUSED = "refused"  # a good message that the database refused by itself

Row: TypeAlias = tuple[str, str, str, str, str, str | None]
"""id, from, type, site_id, timestamp ('YYYY-MM-DD HH:MM:SS.ffffff', UTC), data (None where the line had none)."""


class ChatLine(msgspec.Struct, frozen=True, gc=False):
    """One line of a chat log. Fields that are not named here are ignored."""

    id: Annotated[
        str,
        Meta(min_length=1, max_length=NAME_LENGTH, description="Names the message; compared byte by byte"),
    ]
    sender: Annotated[str, Meta(max_length=NAME_LENGTH, description="Who wrote it; may be empty")] = msgspec.field(
        name="from"
    )
    type: Annotated[Literal["message", "status"], Meta(description="Nothing else is known")]
    site_id: Annotated[str, Meta(max_length=NAME_LENGTH, description="The room, channel or site")]
    timestamp: Annotated[
        int | float | str,
        Meta(description="Unix seconds in UTC: a number, or a string that holds one; fractions are kept"),
    ]
    data: Annotated[str, Meta(description="The text; may be absent")] | UnsetType = UNSET


class _ExactTimestamp(msgspec.Struct, gc=False):
    timestamp: msgspec.Raw  # the last one, whatever those before it are: the one that counts


_decode = msgspec.json.Decoder(ChatLine).decode
_decode_lines = msgspec.json.Decoder(ChatLine).decode_lines
_decode_exact = msgspec.json.Decoder(_ExactTimestamp).decode

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?", re.ASCII)
_PLAIN = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,6}))?", re.ASCII)
_OPEN, _CLOSE = b"{}"
_DAY = 86_400
_FIRST_DAY = (date.min - date(1970, 1, 1)).days
_LAST_DAY = (date.max - date(1970, 1, 1)).days
_FLOAT_KEEPS_MICROSECONDS = (
    2.0**31
)  # beyond it, the double's own step and the product's rounding may add up to half a one


def parse(line: bytes | None) -> Row:
    """The row of one line.

    Raises `BadLine`, whose `reason` is one of this module's constants.
    """
    if not line:
        raise BadLine(EMPTY, "the record has no value")
    try:
        if not line.isascii():
            line.decode()  # msgspec looks into the fields that it keeps only; the whole line must be UTF-8
        message = _decode(line)
    except msgspec.ValidationError as error:
        raise BadLine(INVALID, str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadLine(MALFORMED, str(error)) from None
    except RecursionError:
        raise BadLine(MALFORMED, "nested too deep") from None
    return _row(message, line)


def parse_lines(lines: Sequence[bytes]) -> list[Row] | None:
    """The rows of all these lines, in half the time of `parse` for each; None where one of them is bad, or may be.

    They are decoded as one text. That is sound only where the text falls into the same lines again: so each must begin
    with `{` and end with `}`, and none may hold a newline. A newline in a string is no JSON, so no two lines can then
    pass for one object; one line that holds two objects makes the count differ.
    """
    text, count = b"\n".join(lines), len(lines)
    try:
        if {line[0] for line in lines} != {_OPEN} or {line[-1] for line in lines} != {_CLOSE}:
            return None
        if text.count(b"\n") != count - 1:
            return None
        if not text.isascii():
            text.decode()
        messages = _decode_lines(text)
        if len(messages) != count:
            return None
        return [
            (m.id, m.sender, m.type, m.site_id, utc_text(m.timestamp, line), None if m.data is UNSET else m.data)
            for m, line in zip(messages, lines, strict=True)
        ]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, BadLine, IndexError):
        return None


def _row(message: ChatLine, line: bytes) -> Row:
    data = message.data
    return (
        message.id,
        message.sender,
        message.type,
        message.site_id,
        utc_text(message.timestamp, line),
        None if data is UNSET else data,
    )


def utc_text(timestamp: float | str, line: bytes) -> str:
    """Unix seconds as 'YYYY-MM-DD HH:MM:SS.ffffff' in UTC, rounded to the microsecond.

    `line` is where a float is read again, exactly, when a double is too coarse for it. Raises `BadLine(TIMESTAMP)` for
    what is no number or lies outside the years 1 to 9999: milliseconds where seconds are due end here.
    """
    if type(timestamp) is int:
        return _second(timestamp) + "000000"
    if type(timestamp) is float and 0.0 <= timestamp < _FLOAT_KEEPS_MICROSECONDS:
        seconds = int(timestamp)
        fraction = int((timestamp - seconds) * 1_000_000 + 0.5)
        if fraction < 1_000_000:
            return _second(seconds) + "%06d" % fraction  # noqa: UP031 -- half the time of an f-string's :06
    if type(timestamp) is str and (plain := _PLAIN.fullmatch(timestamp)):
        return _second(int(plain[1])) + (plain[2] or "").ljust(6, "0")
    seconds, fraction = divmod(_exact_microseconds(timestamp, line), 1_000_000)
    return f"{_second(seconds)}{fraction:06}"


def _exact_microseconds(timestamp: float | str, line: bytes) -> int:
    if isinstance(timestamp, str):
        if not _NUMBER.fullmatch(timestamp):
            raise BadLine(TIMESTAMP, f"timestamp is not a number: {timestamp[:40]!r}")
        number = Decimal(timestamp)
    else:
        number = Decimal(bytes(_decode_exact(line).timestamp).decode())
    if number and number.adjusted() > 12:
        raise BadLine(TIMESTAMP, f"timestamp is outside the years 1 to 9999: {str(timestamp)[:40]}")
    return int((number * 1_000_000).to_integral_value())


@lru_cache(maxsize=4096)
def _second(seconds: int) -> str:
    """'YYYY-MM-DD HH:MM:SS.': neighbours in a log share it."""
    days, second = divmod(seconds, _DAY)
    if not _FIRST_DAY <= days <= _LAST_DAY:
        raise BadLine(TIMESTAMP, f"timestamp is outside the years 1 to 9999: {str(seconds)[:40]}")
    day = (date(1970, 1, 1) + timedelta(days)).isoformat()
    return f"{day} {second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}."


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a line, made from `ChatLine`."""
    (schema,), components = msgspec.json.schema_components([ChatLine])
    del schema
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "ChatLine",
        **{key: value for key, value in components["ChatLine"].items() if key != "title"},
    }
