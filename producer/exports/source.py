"""An export as a source: what it is converted to is read like the text of a compressed file."""

import hashlib
import io
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import PurePosixPath
from typing import Protocol

from producer.exports import (
    discord,
    irssi,
    mattermost,
    slack,
    telegram,
    weechat,
    whatsapp,
    zulip,
)
from producer.exports.bundle import Bundle, SingleFile
from producer.exports.conversion import Conversion
from producer.sources.streams import HEAD_BYTES, Source
from schemas.errors import Stop


class Format(Protocol):
    """What a module that knows a format has."""

    def wanted(self, name: str, /) -> bool:
        """Whether messages are in a part of this name."""
        ...

    def convert(self, bundle: Bundle, how: Conversion) -> Iterator[bytes]:
        """The lines that the export becomes."""
        ...


FORMATS: dict[str, Format] = {
    "slack": slack,
    "discord": discord,
    "telegram": telegram,
    "whatsapp": whatsapp,
    "irssi": irssi,
    "weechat": weechat,
    "zulip": zulip,
    "mattermost": mattermost,
}

GROWING = ("irssi", "weechat")
"""Logs that only ever grow at their end: one that grew is gone on with. Of the others a new version is another
export, which is sent whole."""

EDITION = 1
"""To be raised whenever a conversion comes to make other lines: an offset in the old ones means nothing in the new."""

SKIP_BYTES = 1 << 20
"""Read at once of what is passed over."""


class ExportSource(Source):
    """The lines that an export is converted to, one after the other, from its start whenever it is wound."""

    def __init__(self, bundle: Bundle, how: Conversion) -> None:
        """Raises `Stop` for a log whose first bytes cannot be read."""
        super().__init__(bundle.name, io.RawIOBase(), bundle.identity, bundle.size, b"")
        self.compression = how.format
        self._bundle = bundle
        self._how = how
        self.closes = ExitStack()
        """What is closed with it."""
        self._start_over()
        self._seal = self._make_seal()

    def _start_over(self) -> None:
        self._lines = FORMATS[self._how.format].convert(self._bundle, self._how)
        self._rest = b""
        self._position = 0
        self._damage: Stop | None = None

    def _make_seal(self) -> bytes:
        """What a checkpoint of this export is known by: how it is converted, and what it is."""
        how = self._how
        name = PurePosixPath(self.name).name
        told = repr((EDITION, how.format, how.network, str(how.zone), how.date_order, name, self._bundle.folder))
        stamp, beginning = (b"", self._first_bytes()) if self._grows else (self._bundle.stamp(), b"")
        digest = hashlib.sha256(told.encode() + stamp).digest()
        return (digest + beginning)[:HEAD_BYTES]

    @property
    def _grows(self) -> bool:
        return self._how.format in GROWING and isinstance(self._bundle, SingleFile)

    def _first_bytes(self) -> bytes:
        with closing(self._bundle.walk(bool)) as parts:
            return b"".join(part.stream.read(HEAD_BYTES) for part in parts)

    def read(self, size: int) -> bytes:
        """Up to `size` bytes of the converted text; `b""` where nothing is left.

        Raises `Stop` where the export is damaged, or not what it was taken for, once all before that was given.
        """
        pieces, held = [self._rest], len(self._rest)
        while held < size and (line := self._next_line()):
            pieces.append(line)
            held += len(line)
        if self._damage and not held:
            raise self._damage
        text = b"".join(pieces)
        text, self._rest = text[:size], text[size:]
        self._position += len(text)
        return text

    def _next_line(self) -> bytes:
        """The next line; none at the end, or where the damage is: that is kept until it is its turn."""
        try:
            return b"" if self._damage else next(self._lines, b"")
        except Stop as damage:
            self._damage = damage
            return b""

    @property
    def raw_position(self) -> int:
        """Bytes read from the disk so far."""
        return self._bundle.position

    def goes_on_at(self, offset: int) -> bool:
        """Whether a line ends before `offset`, which is not 0; winds to there."""
        self._wind(offset - 1)
        return self.read(1) == b"\n"

    def _wind(self, offset: int) -> None:
        """Go to `offset`, or to the end."""
        if offset < self._position:
            self._start_over()
        while (left := offset - self._position) and self.read(min(left, SKIP_BYTES)):
            pass

    def skip_to(self, offset: int) -> None:
        """Go to `offset` of the converted text, by converting up to there."""
        self._wind(offset)
        if self._position < offset:
            raise Stop(f"{self.name}: ends before its checkpoint", "Was it replaced? Start over with --restart")

    def head(self, length: int = HEAD_BYTES) -> bytes:
        """What the checkpoint knows the export by."""
        return self._seal[:length]

    def close(self) -> None:
        """Close all that is open."""
        self._lines.close()  # type: ignore[attr-defined] # they are generators
        self.closes.close()
