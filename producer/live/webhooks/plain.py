"""`POST /messages`: messages as chatferry's own lines. Pure."""

import re
from collections.abc import Iterable

import msgspec

from producer.live.webhooks.answers import Refused
from schemas.errors import BadLine
from schemas.message import TIMESTAMP, parse

NDJSON = frozenset(["application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"])

_FIELD = re.compile(r"required field `(\w+)`|at `\$\.(\w+)`")
_NEWLINES = bytes.maketrans(b"\r\n", b"  ")

_decode_array = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_one = msgspec.json.Decoder(msgspec.Raw).decode


def lines_of(body: bytes, content_type: str) -> list[bytes]:
    """The lines of a request: one object, an array of them, or one on each line.

    Raises `Refused` (400), naming item and field, where any of them is not a message: then none is taken.
    """
    lines: list[bytes] = []
    for item in _items(body, content_type):
        check(item, len(lines))
        lines.append(item)
    return lines


def _items(body: bytes, content_type: str) -> Iterable[bytes]:
    text = body.strip()
    if not text:
        raise Refused(400, "the request has no body")
    if content_type in NDJSON:
        return _split(text)
    try:
        if text.startswith(b"["):
            return map(_on_one_line, map(bytes, _decode_array(text)))
        return [_on_one_line(bytes(_decode_one(text)))]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        lines = [] if text.startswith(b"[") else _split(text)
        if len(lines) > 1 and lines[0].endswith(b"}"):
            return lines
        raise Refused(400, f"not JSON: {error}") from None


def _split(text: bytes) -> list[bytes]:
    return [line for line in (line.strip() for line in text.split(b"\n")) if line]


def _on_one_line(item: bytes) -> bytes:
    """The same JSON: a string holds no raw newline, so all there are stand between its parts."""
    return item.translate(_NEWLINES)


def check(item: bytes, number: int) -> None:
    """See that an item of a request is a message. Raises `Refused` (400), naming item and field."""
    try:
        parse(item)
    except BadLine as bad:
        found = _FIELD.search(str(bad))
        field = "timestamp" if bad.reason == TIMESTAMP else found and (found[1] or found[2])
        raise Refused(400, f"item {number}: {bad}", item=number, field=field or None) from None
