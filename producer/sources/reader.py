"""A source read into blocks: to its end for a replay, or on and on as it grows."""

import logging
import os

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
    ) -> None:
        """`limit` is the longest line in bytes that is not oversize.

        Raises `Stop` for a compressed file that should be followed.
        """
        if follow and source.compression:
            raise Stop(f"{source.name}: a {source.compression} file cannot be followed", "Leave --follow out for it")
        self.source = source
        self.ended = False
        self.generation = 0
        self._rotated = False
        self._follow = follow
        self.limit = limit
        self._read_bytes = read_bytes
        self._position = start
        self._head = source.head(min(start, HEAD_BYTES)) if follow and source.identity else b""
        """The first bytes as they were read, of a file that is followed."""
        self._cutter = LineCutter(limit, start)
        if start:  # standard input cannot be wound, and never starts elsewhere
            source.skip_to(start)

    def next_block(self) -> Block | None:
        """The next block; None where there is none: at the end (`ended`), or until the file grows."""
        if self._follow and self.source.identity:
            self._look_for_truncation()
        while data := self.source.read(self._read_bytes):
            self._position += len(data)
            if self._follow and len(self._head) < HEAD_BYTES:
                self._head = (self._head + data)[:HEAD_BYTES]
            if block := self._cutter.feed(data):
                return block
        if not self._follow or self.source.identity is None:
            self.ended = True
            return None
        self._look_for_rotation()
        return None

    def last_block(self) -> Block | None:
        """The unterminated last line of a replay."""
        return self._cutter.finish()

    @property
    def held(self) -> int:
        """Bytes read of a last line that has no newline yet."""
        return self._cutter.held

    def _look_for_rotation(self) -> None:
        """Say it, once, when another file stands where this one was opened, or none."""
        if self._rotated or self.source.path is None or self.source.identity is None:
            return
        try:
            status = os.stat(self.source.path)  # noqa: PTH116 -- a path that is not UTF-8 stays a str here
            self._rotated = (status.st_dev, status.st_ino) != self.source.identity
        except FileNotFoundError:
            self._rotated = True
        if self._rotated:
            log.warning(
                "%s was renamed or removed: a new file of that name is not followed; start again for it",
                self.source.name,
            )

    def _look_for_truncation(self) -> None:
        """Begin again where the file is shorter than what was read of it, or begins with something else.

        A file that is truncated and filled again between two looks may be longer than before: its size alone tells
        nothing, and to go on would skip its first lines.
        """
        size = os.fstat(self.source.raw.fileno()).st_size
        if size >= self._position and self.source.head(len(self._head)) == self._head:
            return
        log.warning(
            "%s was truncated (%s bytes of it were read, now it has %s): read again from its start; "
            "what stood there unread is gone",
            self.source.name,
            f"{self._position:,}",
            f"{size:,}",
        )
        self.generation += 1
        self._position = 0
        self._head = b""
        self._cutter = LineCutter(self.limit)
        self.source.skip_to(0)
