"""The matrix of bad input: every line that we know may come, and what must become of it.

The unit tests hold it against the parser, the acceptance tests against the commands, the fuzzer begins with it. Names
are stable. What is no single line (files, sizes) stands in docs/guarantee.md, with the test that holds it.
"""

from enum import StrEnum
from typing import NamedTuple

from benchmarks.generate import Row

BOM = b"\xef\xbb\xbf"
EMOJI = "\N{GRINNING FACE}"
DEEP = 100_000


class Outcome(StrEnum):
    """What becomes of an input."""

    DEAD = "D"  # a dead letter that holds its bytes
    ROW = "R"
    SKIPPED = "S"  # not sent, and counted


class Line(NamedTuple):
    """A line of a log. `content` is without its newline; `row` what it becomes, None for what becomes no row."""

    name: str
    content: bytes
    outcome: Outcome
    row: Row | None = None

    @property
    def sent(self) -> bytes:
        """What of it goes onto the topic, and into the dead letters."""
        return self.content.removesuffix(b"\r")


def line(name: str, **raw: bytes | None) -> bytes:
    """A good line whose id is `name`, with some fields written as these bytes; None leaves a field out."""
    fields: dict[str, bytes | None] = {
        "id": b'"%b"' % name.encode(), "from": b'"ann"', "type": b'"message"', "site_id": b'"lobby"',
        "timestamp": b"1700000000", "data": b'"hello"',
    }  # fmt: skip
    fields |= {key.rstrip("_"): value for key, value in raw.items()}
    return b"{" + b",".join(b'"%b":%b' % (key.encode(), value) for key, value in fields.items() if value) + b"}"


def text(name: str, inside: bytes) -> bytes:
    """A good line whose data is a string of these bytes."""
    return line(name, data=b'"%b"' % inside)


def dead(name: str, content: bytes) -> Line:
    """A line that must become a dead letter."""
    return Line(name, content, Outcome.DEAD)


def skipped(name: str, content: bytes) -> Line:
    """A line that nobody sends."""
    return Line(name, content, Outcome.SKIPPED)


def row(
    name: str,
    content: bytes | None = None,
    *,
    data: str | None = "hello",
    timestamp: str = "2023-11-14 22:13:20.000000",
    identifier: str = "",
    sender: str = "ann",
    site: str = "lobby",
    kind: str = "message",
) -> Line:
    """A line that must become this row."""
    columns = (identifier or name, sender, kind, site, timestamp, data)
    return Line(name, line(name) if content is None else content, Outcome.ROW, columns)


BYTES = (
    row("plain"),
    dead("latin1-alone", text("latin1-alone", b"caf\xe9")),
    dead("byte-e9", b"\xe9"),
    dead("overlong", text("overlong", b"\xc0\xaf")),
    dead("cesu-surrogates", text("cesu-surrogates", b"\xed\xa0\xbd\xed\xb8\x80")),
    dead("cesu-in-extra", line("cesu-in-extra", extra=b'"\xed\xa0\x80"')),
    dead("utf16le", line("utf16le").decode().encode("utf-16-le")),
    dead("utf16be", line("utf16be").decode().encode("utf-16-be")),
    dead("utf16-bom", line("utf16-bom").decode().encode("utf-16")),
    dead("bom-inside", BOM + line("bom-inside")),
    row("crlf", line("crlf") + b"\r"),
    dead("crlf-bad", b"{bad}\r"),
    dead("crlf-twice-bad", b"{bad}\r\r"),
    row("lone-cr", line("lone-cr").replace(b",", b",\r")),
    dead("lone-cr-in-text", text("lone-cr-in-text", b"a\rb")),
    row("u2028", text("u2028", "a\u2028b\u2029c\x85d".encode()), data="a\u2028b\u2029c\x85d"),
    dead("nul-run", b"\0" * 4096),
    dead("nul-tail", line("nul-tail") + b"\0\0"),
    row("nul-escaped", text("nul-escaped", rb"a\u0000b"), data="a\0b"),
    dead("raw-control", text("raw-control", b"a\x01b")),
    dead("raw-tab", text("raw-tab", b"a\tb")),
    row("emoji", text("emoji", EMOJI.encode()), data=EMOJI),
    row("emoji-escaped", text("emoji-escaped", rb"\ud83d\ude00"), data=EMOJI),
    row("ansi", text("ansi", rb"\u001b[31mred\u001b]0;title\u0007"), data="\x1b[31mred\x1b]0;title\x07"),
    dead("ansi-bad", b"\x1b[2J\x1b]0;title\x07"),
)

JSON = (
    skipped("empty", b""),
    skipped("spaces", b" \t "),
    skipped("cr-only", b"\r"),
    dead("object-empty", b"{}"),
    dead("array", b"[" + line("array") + b"]"),
    dead("scalar-number", b"42"),
    dead("scalar-string", b'"text"'),
    dead("null", b"null"),
    dead("two-objects", line("two-objects-1") + line("two-objects-2")),
    dead("two-objects-space", line("two-objects-3") + b" " + line("two-objects-4")),
    dead("cut-short", line("cut-short")[:-1]),
    dead("cut-in-escape", text("cut-in-escape", rb"\u00")),
    dead("not-json", b"12:00 <ann> hello"),
    dead("single-quotes", line("single-quotes").replace(b'"', b"'")),
    dead("trailing-comma", line("trailing-comma")[:-1] + b",}"),
    dead("comment", line("comment") + b" // hi"),
    dead("nan", line("nan", timestamp=b"NaN")),
    dead("infinity", line("infinity", timestamp=b"Infinity")),
    dead("minus-infinity", line("minus-infinity", timestamp=b"-Infinity")),
    dead("nan-in-extra", line("nan-in-extra", extra=b"NaN")),
    dead("1e400", line("1e400", timestamp=b"1e400")),
    dead("digits-5000", line("digits-5000", timestamp=b"9" * 5000)),
    dead("digits-5000-text", line("digits-5000-text", timestamp=b'"' + b"9" * 5000 + b'"')),
    dead("nested-100k", line("nested-100k", extra=b"[" * DEEP + b"]" * DEEP)),
    dead("nested-100k-open", b'{"a":' * DEEP),
    dead("lone-surrogate", text("lone-surrogate", rb"\ud800")),
    dead("lone-surrogate-in-id", line("x", id=rb'"\udfff"')),
    dead("id-true", line("id-true", id=b"true")),
    dead("id-number", line("id-number", id=b"7")),
    dead("id-null", line("id-null", id=b"null")),
    dead("id-empty", line("id-empty", id=b'""')),
    *(dead(f"without-{field}", line(f"without-{field}", **{field: None}))
      for field in ("id", "from", "type", "site_id", "timestamp")),
    *(dead(f"{field}-of-wrong-type", line(f"{field}-of-wrong-type", **{field: value}))
      for field, value in (("from", b"[]"), ("type", b"1"), ("site_id", b"{}"), ("timestamp", b"null"),
                           ("data", b"null"))),
    dead("type-unknown", line("type-unknown", type=b'"typing"')),
    row("timestamp-twice", line("timestamp-twice", timestamp=b'"1e","timestamp":4102444800.000001'),
        timestamp="2100-01-01 00:00:00.000001"),
    row("extra-fields", line("extra-fields", extra=b'{"a":[1,null,{"id":"z"}]}', more=b"1e400")),
    row("without-data", line("without-data", data=None), data=None),
    row("data-empty", text("data-empty", b""), data=""),
    row("sql", text("sql", b"'; DROP TABLE chat_messages; -- %s %(x)s :x ? `"),
        data="'; DROP TABLE chat_messages; -- %s %(x)s :x ? `"),
    row("tabs-newlines-backslashes", text("tabs-newlines-backslashes", rb"\t\n\\\r\\N\\0\\t\u001a"),
        data="\t\n\\\r\\N\\0\\t\x1a"),
    row("data-is-backslash-n", text("data-is-backslash-n", rb"\\N"), data="\\N"),
)  # fmt: skip

VALUES = (
    row("id-255", line("x", id=b'"%b"' % ("é" * 255).encode()), identifier="é" * 255),
    dead("id-256", line("x", id=b'"%b"' % (b"y" * 256))),
    dead("id-256-emoji", line("x", id=b'"%b"' % (EMOJI * 256).encode())),
    dead("from-256", line("from-256", from_=b'"%b"' % (b"y" * 256))),
    dead("site-256", line("site-256", site_id=b'"%b"' % (b"y" * 256))),
    row("ID-case"),
    row("id-case"),
    row("id-accent-cafe"),
    row("id-accent-café"),
    row("id-accent-cafe\u0301"),
    row("id-padded"),
    row("id-padded "),
    row(" id-padded"),
    row("sender-empty", line("sender-empty", from_=b'""'), sender=""),
    row("status", line("status", type=b'"status"'), kind="status"),
    row("year-1969", line("year-1969", timestamp=b"-1.5"), timestamp="1969-12-31 23:59:58.500000"),
    row("year-2038", line("year-2038", timestamp=b"2147483648"), timestamp="2038-01-19 03:14:08.000000"),
    row("year-1", line("year-1", timestamp=b"-62135596800"), timestamp="0001-01-01 00:00:00.000000"),
    row("year-9999", line("year-9999", timestamp=b"253402300799.999999"), timestamp="9999-12-31 23:59:59.999999"),
    dead("year-0", line("year-0", timestamp=b"-62135596801")),
    dead("year-10000", line("year-10000", timestamp=b"253402300800")),
    dead("milliseconds", line("milliseconds", timestamp=b"1741651200000")),
    dead("timestamp-nan-text", line("timestamp-nan-text", timestamp=b'"NaN"')),
    dead("timestamp-words", line("timestamp-words", timestamp=b'"yesterday"')),
    dead("timestamp-true", line("timestamp-true", timestamp=b"true")),
    row("timestamp-text", line("timestamp-text", timestamp=b'"1700000000.25"'), timestamp="2023-11-14 22:13:20.250000"),
)

LINES = (*BYTES, *JSON, *VALUES)
