"""Inputs opened: files, compressed files, standard input. Everything that can be wrong with a path is said here."""

import io
import logging
import os
import stat
from collections.abc import Callable
from typing import BinaryIO, NamedTuple, cast

from producer.sources.compressed import DAMAGE, MAGIC_BYTES, Stream, compression_of
from producer.sources.piped import StandardInput
from schemas.errors import Stop
from terminal.logs import printable

log = logging.getLogger(__name__)

STANDARD_INPUT = "-"
HEAD_BYTES = 1024


class Identity(NamedTuple):
    """Which file this is, whatever it is called: a renamed file is the same, a copy and a reused inode are not.

    The head hash is verified by whoever resumes: see `producer.checkpoint`.
    """

    device: int
    inode: int


class Source:
    """One opened input.

    `name` is printable; `identity` is None for standard input, which cannot be resumed; `size` is the length in bytes
    of the file as it lies on the disk, None where nobody knows.
    """

    def __init__(self, name: str, raw: io.RawIOBase, identity: Identity | None, size: int | None, head: bytes) -> None:
        self.name = name
        self.path: str | None = None
        """Where it was opened; None for standard input."""
        self.identity = identity
        self.size = size
        self.raw = raw
        self._packed = compression_of(head)
        self.compression = self._packed.name if self._packed else None
        self._stream = self._opened()

    def _opened(self) -> Stream:
        return self._packed.opened(cast("BinaryIO", self.raw)) if self._packed else cast("Stream", self.raw)

    def read(self, size: int) -> bytes:
        """Up to `size` bytes of the decompressed text; `b""` where nothing is left (now).

        Raises `Stop` where the compressed data is damaged or cut short, or the disk fails.
        """
        try:
            return self._stream.read(size) or b""
        except DAMAGE as error:
            if isinstance(self.raw, StandardInput) and self.raw.stopped:
                return b""  # not damaged: we did not read on
            raise Stop(
                f"{self.name}: the {self.compression} data is damaged or cut short at {self.raw_position:,}: {error}",
                "All before that is good; fetch the file anew and run again",
            ) from None
        except OSError as error:
            raise self._unreadable(error) from None

    @property
    def raw_position(self) -> int:
        """Bytes read from the disk so far: what a progress bar shows."""
        return self.raw.tell() if self.identity else 0

    def skip_to(self, offset: int) -> None:
        """Go to `offset` of the decompressed text; a compressed file is decompressed up to there."""
        if self.compression is None:
            self.raw.seek(offset)
            return
        left = offset
        while left:
            skipped = len(self.read(min(left, 1 << 20)))
            if not skipped:
                raise Stop(f"{self.name}: ends before its checkpoint", "Was it replaced? Start over with --restart")
            left -= skipped

    def again(self, offset: int) -> None:
        """Begin again with a compressed file that was cut short and may have grown, and go to `offset` of its text.

        Raises `Stop` where it does not reach so far.
        """
        self.raw.seek(0)
        self._stream = self._opened()
        self.skip_to(offset)

    def goes_on_at(self, _offset: int) -> bool:
        """Whether a line ends before this offset, where that cannot be seen in the file itself."""
        return True

    def head(self, length: int = HEAD_BYTES) -> bytes:
        """The first bytes of the file as it lies on the disk. Raises `Stop` where the disk fails."""
        return self.part(0, length)

    def part(self, offset: int, length: int) -> bytes:
        """Bytes of the file as it lies on the disk, wherever it is being read. Raises `Stop` where the disk fails."""
        try:
            return os.pread(self.raw.fileno(), length, offset)
        except OSError as error:
            raise self._unreadable(error) from None

    def status(self) -> os.stat_result:
        """What the file system says of the open file. Raises `Stop` where it does not."""
        try:
            return os.fstat(self.raw.fileno())
        except OSError as error:
            raise self._unreadable(error) from None

    def _unreadable(self, error: OSError) -> Stop:
        return Stop(f"{self.name}: cannot be read: {error.strerror or error}")

    def close(self) -> None:
        """Close the file."""
        self.raw.close()


def open_source(path: str, stopping: Callable[[], bool] = lambda: False) -> Source:
    """Open `path`, or standard input for `-`; `stopping` ends a wait for standard input.

    Raises `Stop` for what cannot be read as a log: missing, a directory, a pipe, a device, no permission.
    """
    if path == STANDARD_INPUT:
        stdin = StandardInput(stopping)
        return Source("standard input", stdin, None, None, stdin.peek(MAGIC_BYTES))
    name = check_path(path)
    try:
        source = opened_source(path, io.FileIO(path, "rb"))
    except OSError as error:
        raise _unreadable(name, error) from None
    if source.compression:
        log.debug("%s is compressed with %s", name, source.compression)
    return source


def opened_source(path: str, raw: io.FileIO) -> Source:
    """A file that is open already as a source; `path` is where it was opened. Raises OSError as the disk does."""
    status = os.fstat(raw.fileno())
    head = os.pread(raw.fileno(), MAGIC_BYTES, 0)
    source = Source(printable_path(path), raw, Identity(status.st_dev, status.st_ino), status.st_size, head)
    source.path = path
    return source


def text_head(path: str, length: int) -> bytes | None:
    """The first `length` bytes of a file's text, decompressed; fewer where there are no more. None: none to be had."""
    try:
        source = opened_source(path, io.FileIO(path, "rb"))
    except OSError:
        return None
    text = b""
    try:
        while len(text) < length and (more := source.read(length - len(text))):
            text += more
    except Stop:  # damaged or cut short: whoever reads it on says so
        return text or None
    finally:
        source.close()
    return text


def printable_path(path: str) -> str:
    """A path as it may be shown: bytes that are not UTF-8, and what moves a terminal, escaped."""
    return printable(os.fsencode(path).decode("utf-8", "backslashreplace"))


def check_path(path: str) -> str:
    """See that `path` is a file that can be read as a log (or `-`); returns its printable name.

    Raises `Stop` where it is not, before any work is begun.
    """
    name = printable_path(path) or "'' (an empty name)"
    if path == STANDARD_INPUT:
        return name
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 -- a path that is not UTF-8 stays a str here
    except OSError as error:
        raise _unreadable(name, error) from None
    if stat.S_ISDIR(mode):
        raise Stop(f"{name} is a directory", "Name the files in it, for example with a glob")
    if not stat.S_ISREG(mode):
        raise Stop(f"{name} is not a file but a pipe, socket or device", "Pipe it in, and name it -")
    return name


class NoSuchFile(Stop):
    """There is nothing of that name."""


def _unreadable(name: str, error: OSError) -> Stop:
    kind = NoSuchFile if isinstance(error, FileNotFoundError) else Stop
    return kind(f"{name}: {error.strerror}", "Check the path and its permissions")
