"""A source read into blocks: to its end for a replay, or on and on as it grows."""

import logging

from producer.sources.blocks import Block, LineCutter
from producer.sources.streams import HEAD_BYTES, Source
from schemas.errors import Stop

log = logging.getLogger(__name__)

READ_BYTES = 1 << 20
"""Bytes read at once: large enough that the work a block costs does not count a line, small enough for constant
memory."""

PACED_READ_BYTES = 8 << 10
"""The same when lines are sent at a pace: a checkpoint moves a block at a time, so blocks are small."""


class Reader:
    """Yields the blocks of one source, in order, from an offset on."""

    def __init__(
        self,
        source: Source,
        *,
        limit: int,
        start: int = 0,
        follow: bool = False,
        read_bytes: int = READ_BYTES,
        by_line: bool = False,
    ) -> None:
        """`limit` is the longest line in bytes that is not oversize; `follow` never takes the end for the last;
        `by_line` makes each line a block of its own, which goes or stays alone."""
        self.source = source
        self.ended = False
        self.truncations = 0
        """Counts how often the file was truncated."""
        self.head_before = b""
        """The first bytes, as they were read, of what stood in the file before it was truncated."""
        self.damage: Stop | None = None
        """Why nothing more comes of a compressed file that is followed; it may be because it is still being written."""
        self.position = start
        """Offset in bytes, in the decompressed text, of what will be read next."""
        self._follow = follow
        self.limit = limit
        self._read_bytes = read_bytes
        self._by_line = by_line
        self._ahead = b""
        """What was read, and is given out line by line."""
        self._given = 0
        self._head = source.head(min(start, HEAD_BYTES)) if follow and source.identity else b""
        """The first bytes as they were read, of a file that is followed."""
        self._cutter = LineCutter(limit, start)
        if start:  # standard input cannot be wound, and never starts elsewhere
            source.skip_to(start)

    def next_block(self) -> Block | None:
        """The next block; None where there is none: at the end (`ended`), until the file grows, or once when it was
        truncated.

        Raises `Stop` where the disk fails, or compressed data that is not followed is damaged.
        """
        if self._follow and self._given == len(self._ahead) and self._was_truncated():
            return None
        while data := self._next():
            self.position += len(data)
            if self._follow and len(self._head) < HEAD_BYTES:
                self._head = (self._head + data)[:HEAD_BYTES]
            if block := self._cutter.feed(data):
                return block
        self.ended = not self._follow or self.source.identity is None
        return None

    def _next(self) -> bytes:
        if not self._by_line:
            return self._read()
        if self._given == len(self._ahead):
            self._ahead, self._given = self._read(), 0
        end = self._ahead.find(b"\n", self._given) + 1 or len(self._ahead)
        data, self._given = self._ahead[self._given : end], end
        return data

    def _read(self) -> bytes:
        if self.damage:
            return b""
        try:
            return self.source.read(self._read_bytes)
        except Stop as damage:
            if not self._follow or not self.source.compression:
                raise
            self.damage = damage
            return b""

    def try_again(self) -> None:
        """Read on in a compressed file that was cut short and has grown."""
        try:
            self.source.again(self.position)
            self.damage = None
        except Stop as damage:
            self.damage = damage

    def last_block(self) -> Block | None:
        """The unterminated last line of a replay."""
        return self._cutter.finish()

    @property
    def raw_position(self) -> int:
        """Bytes of the file, as it lies on the disk, that were given out; of a compressed one, that were read."""
        plain = self.source.identity is not None and self.source.compression is None
        return self.position if plain else self.source.raw_position

    @property
    def held(self) -> int:
        """Bytes read of a last line that has no newline yet."""
        return self._cutter.held

    @property
    def whole_lines_end(self) -> int:
        """Offset in bytes of what follows the last newline that was read."""
        return self.position - self.held

    def _was_truncated(self) -> bool:
        """Begin again where the file is shorter than what was read of it, or begins with something else.

        A file that is truncated and filled again between two looks may be longer than before: its size alone tells
        nothing, and to go on would skip its first lines.
        """
        if self.source.identity is None or self.source.compression:
            return False
        size = self.source.status().st_size
        if size >= self.position and self.source.head(len(self._head)) == self._head:
            return False
        log.warning(
            "%s was truncated (%s bytes of it were read, now it has %s): read again from its start; "
            "what stood there unread is gone, but for what a copy beside it holds",
            self.source.name,
            f"{self.position:,}",
            f"{size:,}",
        )
        self.truncations += 1
        self.position = 0
        self.head_before, self._head = self._head, b""
        self._cutter = LineCutter(self.limit)
        self.source.skip_to(0)
        return True
