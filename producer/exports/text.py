"""Lines of text logs, and ids for messages that have none of their own."""

import hashlib
from collections.abc import Iterator
from pathlib import PurePosixPath

import msgspec

from producer.sources.blocks import BOM
from producer.sources.compressed import Stream

CHUNK_BYTES = 256 << 10
LONGEST_LINE = 1 << 20
"""Bytes: more has no line of a chat log. It passes in pieces, and is never held as a whole."""

KEPT = 1 << 16
"""So many of the last messages are remembered, to tell identical ones apart."""

SUFFIXES = (".log", ".weechatlog", ".txt", ".gz", ".zst", ".xz", ".bz2")


class Piece(bytes):
    """Part of a line that is too long to be looked at; the last one ends with the newline."""

    __slots__ = ()


def lines(stream: Stream, longest: int = LONGEST_LINE) -> Iterator[bytes]:
    """The lines, without their newlines; of a line of more than `longest` bytes, its `Piece`s."""
    rest, long, first = b"", False, True
    while data := stream.read(CHUNK_BYTES):
        if first:
            data, first = data.removeprefix(BOM), False
        if long:
            passing, newline, data = data.partition(b"\n")
            yield Piece(passing + newline)
            long = not newline
        *whole, rest = (rest + data).split(b"\n")
        yield from whole
        if len(rest) > longest:
            yield Piece(rest)
            rest, long = b"", True
    if long:
        yield Piece(b"\n")
    elif rest:
        yield rest


def stem(name: str) -> str:
    """The name of a file without folders and the endings of logs."""
    name = PurePosixPath(name).name
    while name.endswith(SUFFIXES) and name.rpartition(".")[0]:
        name = name.rpartition(".")[0]
    return name


class Ids:
    """Ids of one log's messages: a hash of site, moment, sender, kind and text, and of how many identical ones stand
    before it in the log.

    A log that grew, or of which the start is missing, so gives the same ids again. Memory is constant: only the last
    messages are remembered. A message from before what is remembered (a clock was set back by so much) might be
    identical to a forgotten one, and so its place in the log goes into the hash as well: no two messages of a log ever
    have one id.
    """

    def __init__(self, network: str, kept: int = KEPT) -> None:
        self._network = network
        self._kept = kept
        self._seen: dict[bytes, tuple[float, int]] = {}
        self._forgotten = float("-inf")
        self._place = 0

    def next(self, site: str, timestamp: float, sender: str, kind: str, text: str) -> str:
        """The id of the next message of the log."""
        self._place += 1
        parts = msgspec.json.encode((site, timestamp, sender, kind, text))
        key = hashlib.blake2b(parts, digest_size=16).digest()
        _, before = self._seen.get(key, (timestamp, 0))
        place = self._place if timestamp <= self._forgotten else 0
        self._remember(key, timestamp, before + 1)
        if before or place:
            key = hashlib.blake2b(parts + b"%d %d" % (before, place), digest_size=16).digest()
        return f"{self._network}/{key.hex()}"

    def _remember(self, key: bytes, timestamp: float, count: int) -> None:
        self._seen[key] = (timestamp, count)
        if len(self._seen) > self._kept:
            oldest = next(iter(self._seen))
            self._forgotten = max(self._forgotten, self._seen.pop(oldest)[0])
