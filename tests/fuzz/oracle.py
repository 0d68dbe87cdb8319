"""What the fuzzer holds the parser against: a reader that shares nothing with it, and the promises of `parse`.

The reader is the standard library's JSON decoder in its pure Python form, so that the fuzzer sees which of its branches
an input reaches; msgspec is compiled, and shows nothing.
"""

import json
import math
import re
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from json import decoder, scanner
from typing import Any, NoReturn

from producer.moments import moment_of
from producer.publisher import key_of_field
from schemas.errors import BadLine
from schemas.message import EMPTY, INVALID, MALFORMED, TIMESTAMP, Row, parse, parse_lines

SURROGATE = re.compile("[\ud800-\udfff]")
ESCAPED = re.compile(r"(?:[^\\]|\\[^u]|\\u[0-9a-fA-F]{4})*", re.DOTALL)
NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?", re.ASCII)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST, LAST = -62_135_596_800, 253_402_300_800
EXACT = Context(prec=20_000)

KEYS = [key_of_field(field, 1 << 20) for field in ("from", "timestamp", "id")]


class Bad(ValueError):
    """The line is no message."""


class Undecided(Exception):
    """The reader cannot tell: it nests deeper than Python's stack."""


class Number(str):
    """A number as it was written."""

    __slots__ = ()


def _refuse(constant: str) -> NoReturn:
    raise Bad(constant)


def _string(text: str, start: int, strict: bool = True) -> tuple[str, int]:
    value, end = decoder.py_scanstring(text, start, strict)  # type: ignore[attr-defined]
    if SURROGATE.search(value):
        raise Bad("half a character")
    if not ESCAPED.fullmatch(text, start, end):
        raise Bad("an escape that is none")  # Python 3.11 reads four digits as int() does, with spaces and signs
    return value, end


def _pairs(pairs: list[tuple[str, object]]) -> tuple[tuple[str, object], ...]:
    if any(SURROGATE.search(name) for name, _ in pairs):
        raise Bad("half a character")
    return tuple(pairs)


def _reader() -> json.JSONDecoder:
    made = json.JSONDecoder(parse_int=Number, parse_float=Number, parse_constant=_refuse, object_pairs_hook=_pairs)
    made.parse_string = _string  # type: ignore[attr-defined]
    made.scan_once = scanner.py_make_scanner(made)  # type: ignore[attr-defined]
    return made


READER = _reader()


def _text(value: object, most: float = math.inf, least: int = 0) -> str:
    if type(value) is not str or not least <= len(value) <= most:
        raise Bad("text")
    return value


def _kind(value: object) -> str:
    if value not in ("message", "status") or type(value) is not str:
        raise Bad("type")
    return value


def _number(value: object) -> str:
    """A number's text; any text that a string holds (it is judged as a moment where it is the one that counts)."""
    if not isinstance(value, str):
        raise Bad("timestamp")
    if isinstance(value, Number) and math.isinf(float(value)):
        raise Bad("beyond a double")
    return value


def _moment(text: str) -> str:
    if not isinstance(text, Number) and not NUMBER.fullmatch(text):  # of a JSON number the reader has seen to it
        raise Bad("timestamp")
    if abs(number := EXACT.create_decimal(text)) > 10**13:
        raise Bad("timestamp")
    microseconds = int(EXACT.multiply(number, Decimal(10**6)).to_integral_value(context=EXACT))
    if not FIRST * 10**6 <= microseconds < LAST * 10**6:
        raise Bad("timestamp")
    return (EPOCH + timedelta(microseconds=microseconds)).replace(tzinfo=None).isoformat(" ", "microseconds")


JUDGES: dict[str, Any] = {
    "id": lambda value: _text(value, 255, 1),
    "from": lambda value: _text(value, 255),
    "type": _kind,
    "site_id": lambda value: _text(value, 255),
    "timestamp": _number,
    "data": _text,
}


def expected(line: bytes) -> Row:
    """The row that this line must become, by the book; of a field that stands there twice, both must be right."""
    try:
        pairs = READER.decode(line.decode())
    except RecursionError:
        raise Undecided from None
    except ValueError as error:
        raise Bad(str(error)) from None
    if not line.startswith((b"{", b" ", b"\t", b"\r", b"\n")) or not isinstance(pairs, tuple):
        raise Bad("not an object")
    found: dict[str, str] = {}
    for name, value in pairs:
        if judge := JUDGES.get(name):
            found[name] = judge(value)
    try:
        names = found["id"], found["from"], found["type"], found["site_id"]
        return (*names, _moment(found["timestamp"]), found.get("data"))
    except KeyError as missing:
        raise Bad(str(missing)) from None


def same(row: Row, wanted: Row) -> bool:
    """Whether they are equal, but for a microsecond: a double with more digits than that is rounded as a double."""
    apart = datetime.fromisoformat(row[4]) - datetime.fromisoformat(wanted[4])
    return row[:4] == wanted[:4] and row[5] == wanted[5] and abs(apart) <= timedelta(microseconds=1)


def parsed(line: bytes) -> Row | None:
    """The row, None where the line is bad; anything else that `parse` raises is a finding."""
    try:
        return parse(line)
    except BadLine as error:
        if error.reason not in {MALFORMED, INVALID, TIMESTAMP, EMPTY} or not str(error):
            raise AssertionError(f"a bad line without a reason: {error.reason!r}") from error
        return None


def check(data: bytes) -> None:
    """Raises where the parser breaks a promise on these bytes, as one line and as the lines that they hold."""
    row = parsed(data)
    for key_of in KEYS:
        key_of(data)
    moment_of(data)
    try:
        wanted = expected(data)
    except Bad:
        assert row is None, "the parser takes what is no message"
    except Undecided:
        pass
    else:
        assert row is not None, "the parser refuses a message"
        assert same(row, wanted), "the parser reads another row"
    lines = data.split(b"\n")
    each = [parsed(line) for line in lines]
    together = parse_lines(lines)
    assert together is None or together == each, "lines at once are not what each is by itself"
    if None not in each and all(line.startswith(b"{") and line.endswith(b"}") for line in lines):
        assert together == each, "good lines are not parsed at once"
