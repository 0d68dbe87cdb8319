"""What was heard and is not on the topic yet, on the disk: it outlives a kill of the process, and an outage of Kafka.

A folder of segments. A segment is a file of lines, named by the position of its first byte in the spool: positions
count all bytes that were ever appended, and only grow. Behind them goes the mark of what Kafka has acknowledged, and
segments that lie wholly before it are removed.
"""

import contextlib
import errno
import logging
import os
import re
import threading
import zlib
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Self, TypeAlias

from producer.private import OTHER_FOLDER, lock_private, open_private, read_private, usable, write_private
from schemas.errors import SpoolFull, Stop

log = logging.getLogger(__name__)

Mark: TypeAlias = int
"""A position in the spool: the end of what was taken, in bytes since its beginning."""

SEGMENT_BYTES = 16 << 20
TAIL_BYTES = 64 << 10
READ_BYTES = 1 << 20

_SEGMENT = re.compile(r"([0-9]{20})\.jsonl")
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE)  # room among the descriptors comes back as well


class Spool:
    """Lines on their way to Kafka, in the order in which they were heard.

    Every line that `append` returned for is there after `kill -9`, and is read again by the next process, until
    `delivered` was told that Kafka has it. There is no fsync a line: a crash of the machine may cost what was heard in
    the last seconds before it and not acknowledged. `append` is for one thread, `read` and `delivered` for another.
    """

    def __init__(self, folder: Path, limit_bytes: int, segment_bytes: int = SEGMENT_BYTES) -> None:
        """Open the spool in `folder`, one of `private_folder`.

        Raises `Stop` where a file in it is not ours, or another listener has it open.
        """
        self._folder = folder
        self._limit = limit_bytes
        self._segment_bytes = segment_bytes
        self._lock = threading.Lock()
        self._writing: int | None = None
        self._reading: tuple[Mark, int] | None = None
        with usable(folder):
            self._held = self._hold()
            self._starts = self._found()
            self.written: Mark = self._end_of_last()
            """The end of what was appended."""
            self.acknowledged: Mark = self._acknowledged_before()
            """Up to where Kafka has it."""
        self._saved = self.acknowledged

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def _hold(self) -> int:
        held = lock_private(self._folder / "lock")
        if held is None:
            raise Stop(
                f"Another listener for this topic has the state folder {self._folder}",
                "End it first, or name another folder: --state",
            )
        return held

    def _found(self) -> list[Mark]:
        """The segments that are there, by their starts. Raises `Stop` where one is missing between two."""
        starts = sorted(int(match[1]) for file in self._folder.iterdir() if (match := _SEGMENT.fullmatch(file.name)))
        for start, following in pairwise(starts):
            if start + self._path(start).stat().st_size != following:
                raise Stop(f"{self._path(start)} does not end where the next one begins", OTHER_FOLDER)
        return starts

    def _end_of_last(self) -> Mark:
        """Where to go on; half a line, left by a kill in mid-write, is cut off: nobody was told that it was taken."""
        if not self._starts:
            return 0
        start = self._starts[-1]
        descriptor = open_private(self._path(start), os.O_RDWR)
        try:
            end = _end_of_lines(descriptor)
            os.ftruncate(descriptor, end)
        finally:
            os.close(descriptor)
        return start + end

    def _acknowledged_before(self) -> Mark:
        """The mark that was saved, where it can be believed; else the start of what is there: repeats are harmless."""
        first = self._starts[0] if self._starts else 0
        mark = _parsed(read_private(self._mark_path))
        if not self._starts:
            self.written = max(mark or 0, 0)
            return self.written
        return mark if mark is not None and first <= mark <= self.written and self._ends_a_line(mark) else first

    def _ends_a_line(self, mark: Mark) -> bool:
        return mark == self._starts[0] or self.read(mark - 1, 1) == b"\n"

    @property
    def _mark_path(self) -> Path:
        return self._folder / "acknowledged"

    def _path(self, start: Mark) -> Path:
        return self._folder / f"{start:020}.jsonl"

    @property
    def waiting_bytes(self) -> int:
        """What is on the spool and not acknowledged."""
        return self.written - self.acknowledged

    @property
    def full(self) -> bool:
        """Whether it is at its limit. What is appended all the same is taken: one call goes beyond the limit."""
        return self.waiting_bytes >= self._limit

    @property
    def limit_bytes(self) -> int:
        """So many bytes wait at most, and one append more."""
        return self._limit

    def append(self, lines: Sequence[bytes]) -> Mark:
        """Write the lines down, none of which has a newline in it; returns the end of the last one.

        Raises `SpoolFull` where the disk has no room, `Stop` where it fails: then none of them was taken.
        """
        content = b"".join([line + b"\n" for line in lines])
        descriptor = self._segment_for_more()
        start = self.written - self._starts[-1]
        try:
            _write_all(descriptor, content)
        except OSError as error:
            os.ftruncate(descriptor, start)
            raise self._explained(error) from None
        self.written += len(content)
        return self.written

    def _segment_for_more(self) -> int:
        """The descriptor of the segment that is written to: a new one where the last one is full."""
        old = self._writing
        if old is not None and self.written - self._starts[-1] < self._segment_bytes:
            return old
        fresh = not self._starts or self.written - self._starts[-1] >= self._segment_bytes
        start = self.written if fresh else self._starts[-1]
        try:
            if old is not None:
                os.fsync(old)  # a crash of the machine then costs the end of the last segment, and no hole before it
            self._writing = open_private(self._path(start), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        except OSError as error:
            raise self._explained(error) from None
        if old is not None:
            os.close(old)
        if fresh:
            with self._lock:
                self._starts.append(start)
        return self._writing

    def _explained(self, error: OSError) -> Exception:
        text = f"Cannot write the spool {self._folder}: {error.strerror}"
        return SpoolFull(text) if error.errno in _NO_ROOM else Stop(text, "What was taken before is safe")

    def read(self, position: Mark, size: int) -> bytes:
        """Up to `size` bytes from `position` on; `b""` where nothing is written there yet.

        Raises `OSError` where the disk fails.
        """
        size = min(size, self.written - position)
        if size <= 0:
            return b""
        with self._lock:
            start = max(start for start in self._starts if start <= position)
        if self._reading is None or self._reading[0] != start:
            self._stop_reading()
            self._reading = (start, os.open(self._path(start), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC))
        return os.pread(self._reading[1], size, position - start)

    def left(self) -> int:
        """How many lines are on the spool and not acknowledged. Raises `OSError` as `read` does."""
        position, lines = self.acknowledged, 0
        while data := self.read(position, READ_BYTES):
            position += len(data)
            lines += data.count(b"\n")
        return lines

    def delivered(self, mark: Mark) -> None:
        """Kafka has everything before `mark`: segments that are done with are removed."""
        self.acknowledged = mark
        with self._lock:
            done = [start for start, end in pairwise(self._starts) if end <= mark]
            self._starts = self._starts[len(done) :]
        for start in done:
            self._path(start).unlink(missing_ok=True)

    def save(self) -> None:
        """Write down what `delivered` was told last: the next process begins there. Raises `Stop` as the disk does."""
        if self._saved != self.acknowledged:
            mark = self.acknowledged
            write_private(self._mark_path, _sealed(mark))
            self._saved = mark

    def close(self) -> None:
        """Leave it to the next process."""
        self._stop_reading()
        if self._writing is not None:
            os.close(self._writing)
            self._writing = None
        os.close(self._held)

    def _stop_reading(self) -> None:
        if self._reading:
            os.close(self._reading[1])
            self._reading = None


def _write_all(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def _end_of_lines(descriptor: int) -> int:
    """The offset behind the last newline of a file."""
    end = os.fstat(descriptor).st_size
    while end:
        begin = max(0, end - TAIL_BYTES)
        found = os.pread(descriptor, end - begin, begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        end = begin
    return 0


def _sealed(mark: Mark) -> bytes:
    """A digit that a bad disk or a hand changed would skip lines."""
    return b"%d %08x\n" % (mark, zlib.crc32(b"%d" % mark))


def _parsed(content: bytes | None) -> Mark | None:
    with contextlib.suppress(ValueError):
        mark = int((content or b"").split(b" ")[0])
        if content == _sealed(mark):
            return mark
    return None
