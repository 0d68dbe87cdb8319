"""Bytes cut into whole lines, in blocks, each line with its place in the file. Pure: it reads nothing itself."""

import hashlib
from typing import NamedTuple

from schemas.topics import REFERENCE_HEAD, Oversize

BOM = b"\xef\xbb\xbf"


class Block(NamedTuple):
    """Consecutive whole lines.

    `lines` are those to be sent: without their newline, a CR before it, and without the `blank` and the `oversize`
    ones. `end` is the offset in bytes, in the decompressed text, of what follows the block; `total` counts every line
    of it.
    """

    lines: list[bytes]
    end: int
    total: int
    blank: int
    oversize: list[Oversize]


class LineCutter:
    """Cuts a stream of bytes at `\\n` and nowhere else.

    A line longer than `limit` bytes (without its newline) is hashed as it passes and never held as a whole, so memory
    is bounded by `limit` and the size of what is fed at once.
    """

    def __init__(self, limit: int, start: int = 0) -> None:
        """`start` is the offset of the first byte that will be fed; a BOM is looked for at 0 only."""
        self._limit = limit
        self._line_start = start
        self._opening: bytes | None = b"" if start == 0 else None
        self._carry: list[bytes] = []
        self._carried = 0
        self._long: _LongLine | None = None

    @property
    def held(self) -> int:
        """Bytes of a line that has no newline yet."""
        return self._long.raw_length if self._long else self._carried

    def feed(self, data: bytes) -> Block | None:
        """The whole lines that `data` completes; None where it completes none."""
        data = self._without_bom(data)
        last = data.rfind(b"\n")
        if last < 0:
            self._hold(data)
            return None
        text, rest = data[:last], data[last + 1 :]
        block = self._finish_long(text) if self._long else self._cut(self._take_carry(text))
        self._hold(rest)
        return block

    def finish(self) -> Block | None:
        """The unterminated last line at the end of a replay, as a block of its own; None where there is none."""
        if self._opening:
            self._hold(self._opening)
            self._opening = None
        if self._long:
            line = self._long.close(terminated=False)
            self._long = None
            return Block([], line.offset + line.length, 1, 0, [line])
        if not self._carried:
            return None
        end = self._line_start + self._carried
        line_bytes = b"".join(self._carry)
        self._carry, self._carried, self._line_start = [], 0, end
        if len(line_bytes) > self._limit:
            passing = _LongLine(end - len(line_bytes))
            passing.add(line_bytes)
            return Block([], end, 1, 0, [passing.close(terminated=False)])
        blank = line_bytes.isspace()
        return Block([] if blank else [line_bytes], end, 1, int(blank), [])

    def _without_bom(self, data: bytes) -> bytes:
        if self._opening is None:
            return data
        data = self._opening + data
        if len(data) < len(BOM) and BOM.startswith(data):
            self._opening = data
            return b""
        self._opening = None
        if data.startswith(BOM):
            self._line_start = len(BOM)
            return data[len(BOM) :]
        return data

    def _take_carry(self, text: bytes) -> bytes:
        if not self._carried:
            return text
        self._carry.append(text)
        text = b"".join(self._carry)
        self._carry, self._carried = [], 0
        return text

    def _hold(self, data: bytes) -> None:
        if self._long:
            self._long.add(data)
            return
        if not data:
            return
        self._carry.append(data)
        self._carried += len(data)
        if self._carried > self._limit + 1:  # a CR may still turn out not to count
            self._long = _LongLine(self._line_start)
            self._long.add(self._take_carry(b""))

    def _cut(self, text: bytes) -> Block:
        """The block of `text`, whole lines whose last newline was taken off."""
        start = self._line_start
        self._line_start = start + len(text) + 1
        lines = text.split(b"\n")
        total = len(lines)
        oversize: list[Oversize] = []
        if len(text) > self._limit and max(map(len, lines)) > self._limit:
            lines, oversize = self._set_aside(lines, start)
        if b"\r" in text:
            lines = [line[:-1] if line.endswith(b"\r") else line for line in lines]
        lines = [line for line in lines if line and not line.isspace()]
        return Block(lines, self._line_start, total, total - len(lines) - len(oversize), oversize)

    def _set_aside(self, lines: list[bytes], start: int) -> tuple[list[bytes], list[Oversize]]:
        kept, oversize = [], []
        for line in lines:
            if len(line) - line.endswith(b"\r") > self._limit:
                passing = _LongLine(start)
                passing.add(line)
                oversize.append(passing.close(terminated=True))
            else:
                kept.append(line)
            start += len(line) + 1
        return kept, oversize

    def _finish_long(self, text: bytes) -> Block:
        """The block that begins with the end of a line that was too long to hold."""
        assert self._long is not None
        ending, newline, rest = text.partition(b"\n")
        self._long.add(ending)
        raw_length = self._long.raw_length
        line = self._long.close(terminated=True)
        self._long = None
        self._line_start = line.offset + raw_length + 1
        if not newline:
            return Block([], self._line_start, 1, 0, [line])
        block = self._cut(rest)
        return block._replace(total=block.total + 1, oversize=[line, *block.oversize])


class _LongLine:
    """A line that passes without being held: its place, length, SHA-256 and first bytes, a CR before its newline left
    out."""

    def __init__(self, offset: int) -> None:
        self._offset = offset
        self._digest = hashlib.sha256()
        self._head = b""
        self._ends_with_cr = False
        self.length = 0

    @property
    def raw_length(self) -> int:
        return self.length + self._ends_with_cr

    def add(self, data: bytes) -> None:
        if not data:
            return
        if self._ends_with_cr:
            data = b"\r" + data
        self._ends_with_cr = data.endswith(b"\r")
        if self._ends_with_cr:
            data = data[:-1]
        self._count(data)

    def _count(self, data: bytes) -> None:
        self._digest.update(data)
        self.length += len(data)
        if len(self._head) < REFERENCE_HEAD:
            self._head += data[: REFERENCE_HEAD - len(self._head)]

    def close(self, *, terminated: bool) -> Oversize:
        if self._ends_with_cr and not terminated:
            self._count(b"\r")
        return Oversize(self._offset, self.length, self._digest.hexdigest(), self._head)
