"""A JSON document of any size read in constant memory, a value at a time, each with its very bytes.

The library ijson does the same in general; it gives Python objects for bytes, and holds a string whole however long it
is (docs/decisions.md). Here a value is found by its brackets and strings alone; whoever decodes it sees whether it is
one.
"""

import re
from collections.abc import Iterator
from typing import TypeVar

import msgspec

from producer.sources.blocks import BOM
from producer.sources.compressed import Stream
from schemas.errors import Stop

CHUNK_BYTES = 256 << 10
LONGEST_VALUE = 16 << 20
"""Bytes of one message, or of any string: more is held by no chat, and would be held in memory."""

_SPACE = re.compile(rb"[ \t\r\n]*")
_TEXT = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_STRING = re.compile(_TEXT, re.DOTALL)
_SCALAR = re.compile(rb'[^ \t\r\n,:"\[\]{}]+(?=[ \t\r\n,:"\[\]{}])')
_TO_BRACKET = re.compile(rb'[^"\[\]{}]*+(?:' + _TEXT + rb'[^"\[\]{}]*+)*+[\[\]{}]', re.DOTALL)
_LAST_SCALAR = re.compile(rb'[^ \t\r\n,:"\[\]{}]+')
_OPENING = tuple(b"{[")
_END = -1

T = TypeVar("T")


class Document:
    """One JSON document on its way through. Whoever reads it goes from value to value and never back.

    Raises `Stop` that names the byte, where the document is none, is cut short, or holds something too large.
    """

    def __init__(self, stream: Stream, name: str) -> None:
        self._stream = stream
        self._name = name
        self._text = b""
        self._at = 0
        self._before = 0
        self._more()
        if self._text.startswith(BOM):
            self._at = len(BOM)

    def members(self) -> Iterator[str]:
        """The keys of the object that comes next; its value is read after each, or else skipped."""
        self._take(b"{")
        if self._peek() == b"}"[0]:
            self._at += 1
            return
        while True:
            key = self._key()
            self._take(b":")
            yield from self._unless_read(key)
            if self._take(b",}") == b"}":
                return

    def elements(self) -> Iterator[None]:
        """Stops before each element of the array that comes next; what is not read then is skipped."""
        self._take(b"[")
        if self._peek() == b"]"[0]:
            self._at += 1
            return
        while True:
            yield from self._unless_read(None)
            if self._take(b",]") == b"]":
                return

    def _unless_read(self, key: T) -> Iterator[T]:
        self._peek()
        place = self.position
        yield key
        if self.position == place:
            self.skip()

    def values(self) -> Iterator[bytes]:
        """The bytes of each element of the array that comes next."""
        for _ in self.elements():
            yield self.value()

    def value(self) -> bytes:
        """The bytes of the value that comes next."""
        first = self._peek()
        end = self._past_brackets(keep=True) if first in _OPENING else self._past_scalar(first)
        value = self._text[self._at : end]
        self._at = end
        return value

    def skip(self) -> None:
        """Pass over the value that comes next, however large."""
        first = self._peek()
        self._at = self._past_brackets(keep=False) if first in _OPENING else self._past_scalar(first)

    def finish(self) -> None:
        """See that nothing comes any more."""
        if self._peek() != _END:
            raise self._broken("something follows its end")

    @property
    def position(self) -> int:
        """Bytes read so far."""
        return self._before + self._at

    def _peek(self) -> int:
        """The next byte that is no space; -1 at the end."""
        while True:
            space = _SPACE.match(self._text, self._at)
            assert space is not None
            self._at = space.end()
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return _END

    def _take(self, wanted: bytes) -> bytes:
        """The next byte, one of those wanted."""
        found = self._peek()
        if found == _END:
            raise self._cut_short()
        if found not in wanted:
            raise self._broken(f"{wanted.decode()[0]} is missing")
        self._at += 1
        return bytes([found])

    def _key(self) -> str:
        if self._peek() != b'"'[0]:
            raise self._broken("a name is missing")
        try:
            return msgspec.json.decode(self.value(), type=str)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise self._broken("a name is no text") from None

    def _past_scalar(self, first: int) -> int:
        pattern = _STRING if first == b'"'[0] else _SCALAR
        while not (found := pattern.match(self._text, self._at)):
            if not self._more():
                found = _LAST_SCALAR.match(self._text, self._at)
                if not found:
                    raise self._cut_short() if first in (b'"'[0], _END) else self._broken("a value is missing")
                break
        return found.end()

    def _past_brackets(self, *, keep: bool) -> int:
        """Where the object or array ends that begins here."""
        depth, at = 0, self._at
        while True:
            found = _TO_BRACKET.match(self._text, at)
            if found is None:
                if not keep:
                    self._at = at
                at -= self._at
                if not self._more():
                    raise self._cut_short()
                continue
            at = found.end()
            depth += 1 if self._text[at - 1] in _OPENING else -1
            if depth == 0:
                return at

    def _more(self) -> bool:
        """Read on: twice what is held, so that a long value is not looked through too often."""
        held = len(self._text) - self._at
        if held > LONGEST_VALUE:
            raise Stop(
                f"{self._name}: a value at byte {self.position:,} has more than {LONGEST_VALUE >> 20} MB",
                "No chat holds such a message: look at what the file is",
            )
        data = self._stream.read(max(CHUNK_BYTES, held))
        self._text, self._before, self._at = self._text[self._at :] + data, self._before + self._at, 0
        return bool(data)

    def _broken(self, what: str) -> Stop:
        return Stop(
            f"{self._name}: not JSON at byte {self.position:,}: {what}",
            "All before that is good; export it anew and run again",
        )

    def _cut_short(self) -> Stop:
        size = self._before + len(self._text)
        return Stop(
            f"{self._name}: ends in the middle of its JSON, at byte {size:,}",
            "All before that is good; export it anew and run again",
        )
