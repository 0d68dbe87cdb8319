"""Compressed data, read up to the very byte where it is damaged.

A stream has one method, `read(size)`: up to `size` bytes, `b""` where there is nothing (more) to read now.
"""

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable
from typing import BinaryIO, NamedTuple, Protocol

import zstandard

COMPRESSED_BYTES = 32 << 10  # read at once of a zstd file
PIECE_BYTES = 512  # decompressed at once of it: 16 MB of text at most
DAMAGE = (EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError, gzip.BadGzipFile, ValueError)
"""What the decompressors raise for data that is damaged or cut short."""


class Stream(Protocol):
    """Bytes to come."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; `b""` at the end, or where nothing is there yet."""
        ...


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


class Compression(NamedTuple):
    """A kind of compressed file."""

    name: str
    magic: bytes
    """What such a file begins with."""
    opened: Callable[[BinaryIO], Stream]
    """Its text, from an open file."""


COMPRESSIONS = [
    Compression("gzip", b"\x1f\x8b", _gzip),
    Compression("zstd", b"\x28\xb5\x2f\xfd", lambda file: _Whole(_Zstd(file))),
    Compression("xz", b"\xfd7zXZ\x00", lambda file: _Whole(lzma.LZMAFile(file))),  # noqa: SIM115 -- closed with its file
    Compression("bzip2", b"BZh", lambda file: _Whole(bz2.BZ2File(file))),
]
MAGIC_BYTES = max(len(compression.magic) for compression in COMPRESSIONS)


def compression_of(head: bytes) -> Compression | None:
    """What a file that begins with these bytes is compressed with; None for plain text."""
    return next((kind for kind in COMPRESSIONS if head.startswith(kind.magic)), None)
