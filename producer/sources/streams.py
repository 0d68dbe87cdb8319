"""Inputs opened: files, compressed files, standard input. Everything that can be wrong with a path is said here.

A stream has one method, `read(size)`: up to `size` bytes, `b""` where there is nothing (more) to read now.
"""

import bz2
import gzip
import io
import logging
import lzma
import os
import select
import stat
import zlib
from collections.abc import Callable
from typing import BinaryIO, NamedTuple, Protocol, cast

import zstandard

from schemas.errors import Stop
from terminal.logs import printable

log = logging.getLogger(__name__)

STANDARD_INPUT = "-"
HEAD_BYTES = 1024
COMPRESSED_BYTES = 32 << 10  # read at once of a zstd file
PIECE_BYTES = 512  # decompressed at once of it: 16 MB of text at most
DAMAGE = (EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError, gzip.BadGzipFile, ValueError)
"""What the decompressors raise for data that is damaged or cut short."""

WAIT_SECONDS = 0.2  # how often a read of standard input looks whether it should stop


class Stream(Protocol):
    """Bytes to come."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; `b""` at the end, or where nothing is there yet."""
        ...


class Identity(NamedTuple):
    """Which file this is, whatever it is called: a renamed file is the same, a copy and a reused inode are not.

    The head hash is verified by whoever resumes: see `producer.checkpoint`.
    """

    device: int
    inode: int


class _Zstd:
    """Zstandard frames, one after the other. (The library's own reader says nothing where a frame is cut short.)

    The library gives all that a piece grows to at once, and four bytes may grow to 128 kB: so pieces are small.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._frame: zstandard.ZstdDecompressionObj | None = None
        self._compressed = b""
        self._text = memoryview(b"")

    def read1(self, size: int, /) -> bytes:
        """Up to `size` bytes of what one piece grows to. Raises `EOFError` where the file ends inside a frame."""
        while not self._text:
            if not self._compressed and not self._refill():
                return b""
            piece, self._compressed = self._compressed[:PIECE_BYTES], self._compressed[PIECE_BYTES:]
            self._text = memoryview(self._decompress(piece))
        text, self._text = self._text[:size], self._text[size:]
        return bytes(text)

    def _refill(self) -> bool:
        self._compressed = self._file.read(COMPRESSED_BYTES)
        if not self._compressed and self._frame is not None:
            raise EOFError("it ends inside a frame")
        return bool(self._compressed)

    def _decompress(self, piece: bytes) -> bytes:
        """What the piece grows to; what of it follows the end of a frame waits for its turn."""
        self._frame = self._frame or zstandard.ZstdDecompressor().decompressobj()
        text = self._frame.decompress(piece)
        if self._frame.eof:
            self._compressed = self._frame.unused_data + self._compressed
            self._frame = None
        return text


class _Whole:
    """A reader of compressed data, up to the very byte where it is damaged. (The standard library's own `read` throws
    away what it has when the damage comes.)"""

    def __init__(self, reader: gzip.GzipFile | lzma.LZMAFile | bz2.BZ2File | _Zstd) -> None:
        self._reader = reader
        self._damage: Exception | None = None

    def read(self, size: int, /) -> bytes:
        """See `Stream.read`. Raises what the reader raises, once all before it was given."""
        if self._damage:
            raise self._damage
        pieces, left = [], size
        try:
            while left and (piece := self._reader.read1(left)):
                pieces.append(piece)
                left -= len(piece)
        except (*DAMAGE, OSError) as damage:
            if not pieces:
                raise
            self._damage = damage
        return b"".join(pieces)


def _gzip(file: BinaryIO) -> Stream:
    return _Whole(gzip.GzipFile(fileobj=file, mode="rb"))


_MAGIC: list[tuple[bytes, str, Callable[[BinaryIO], Stream]]] = [
    (b"\x1f\x8b", "gzip", _gzip),
    (b"\x28\xb5\x2f\xfd", "zstd", lambda file: _Whole(_Zstd(file))),
    (b"\xfd7zXZ\x00", "xz", lambda file: _Whole(lzma.LZMAFile(file))),  # noqa: SIM115 -- closed with its file
    (b"BZh", "bzip2", lambda file: _Whole(bz2.BZ2File(file))),
]


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
        self.compression: str | None = None
        self._stream: Stream = cast("Stream", raw)
        for magic, compression, opener in _MAGIC:
            if head.startswith(magic):
                self.compression = compression
                self._opener = opener
                self._stream = opener(cast("BinaryIO", raw))

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
                "What came before is safe; fetch the file anew and run again",
            ) from None
        except OSError as error:
            raise Stop(f"{self.name}: cannot be read: {error.strerror or error}") from None

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
        self._stream = self._opener(cast("BinaryIO", self.raw))
        self.skip_to(offset)

    def goes_on_at(self, _offset: int) -> bool:
        """Whether a line ends before this offset, where that cannot be seen in the file itself."""
        return True

    def head(self, length: int = HEAD_BYTES) -> bytes:
        """The first bytes of the file as it lies on the disk."""
        return os.pread(self.raw.fileno(), length, 0)

    def close(self) -> None:
        """Close the file."""
        self.raw.close()


def open_source(path: str, stopping: Callable[[], bool]) -> Source:
    """Open `path`, or standard input for `-`; `stopping` ends a wait for standard input.

    Raises `Stop` for what cannot be read as a log: missing, a directory, a pipe, a device, no permission.
    """
    if path == STANDARD_INPUT:
        stdin = StandardInput(stopping)
        return Source("standard input", stdin, None, None, stdin.peek(max(len(magic) for magic, _, _ in _MAGIC)))
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
    head = os.pread(raw.fileno(), 6, 0)
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


class StandardInput(io.RawIOBase):
    """Standard input, read as it comes, and left when `stopping` says so."""

    def __init__(self, stopping: Callable[[], bool], descriptor: int = 0) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._stopping = stopping
        self._peeked = b""
        self.stopped = False
        """Whether the end that `read` returned was ours, not the input's."""

    def readable(self) -> bool:
        """True: it is for reading only."""
        return True

    def peek(self, size: int) -> bytes:
        """The first `size` bytes, or all where there are fewer; they will be read again."""
        while len(self._peeked) < size and (more := self._next(size - len(self._peeked))):
            self._peeked += more
        return self._peeked

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, as soon as there are any; `b""` at the end or when stopping."""
        if self._peeked:
            first, self._peeked = self._peeked[:size], self._peeked[size:]
            return first
        return self._next(size if size >= 0 else 1 << 20)

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override] # what io calls; typeshed wants every buffer
        """Fill `buffer` from the start; how many bytes."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _next(self, size: int) -> bytes:
        while not (stopped := self._stopping()):
            ready, _, _ = select.select([self._descriptor], [], [], WAIT_SECONDS)
            if ready:
                return os.read(self._descriptor, size)
        self.stopped = stopped
        return b""
