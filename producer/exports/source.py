"""An export as a source: what it is converted to is read like the text of a compressed file."""

import hashlib
import io
import logging
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import PurePosixPath
from typing import Protocol

from producer.exports import (
    detect,
    discord,
    irssi,
    mattermost,
    slack,
    telegram,
    weechat,
    whatsapp,
    zulip,
)
from producer.exports.bundle import Bundle, Folder, SingleFile, Tar, Zip
from producer.exports.conversion import Conversion
from producer.sources.streams import HEAD_BYTES, STANDARD_INPUT, Source, check_path, open_source
from schemas.errors import Stop, UsageProblem

log = logging.getLogger(__name__)

PLAIN = ("auto", "jsonl")
"""What JSON lines may be called."""


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

WHOLES = ("slack", "zulip")
"""Exports that mean nothing without their lists of users and channels."""

EDITION = 1
"""To be raised whenever a conversion comes to make other lines: an offset in the old ones means nothing in the new."""

SKIP_BYTES = 1 << 20
"""Read at once of what is passed over."""

_ZIP = b"PK\x03\x04"
_TAR = slice(257, 262)


class ExportSource(Source):
    """The lines that an export is converted to, one after the other, from its start whenever it is wound."""

    def __init__(self, bundle: Bundle, how: Conversion, closes: ExitStack) -> None:
        super().__init__(bundle.name, io.RawIOBase(), bundle.identity, bundle.size, b"")
        self.compression = how.format
        self._bundle = bundle
        self._how = how
        self._closes = closes
        self._start_over()
        self._seal = self._make_seal()

    def _start_over(self) -> None:
        self._lines = FORMATS[self._how.format].convert(self._bundle, self._how)
        self._rest = b""
        self._position = 0

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
        for part in self._bundle.walk(bool):
            return part.stream.read(HEAD_BYTES)
        return b""

    def read(self, size: int) -> bytes:
        """Up to `size` bytes of the converted text; `b""` where nothing is left.

        Raises `Stop` where the export is damaged, or not what it was taken for.
        """
        pieces, held = [self._rest], len(self._rest)
        while held < size and (line := next(self._lines, b"")):
            pieces.append(line)
            held += len(line)
        text = b"".join(pieces)
        text, self._rest = text[:size], text[size:]
        self._position += len(text)
        return text

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
        self._closes.close()


def open_input(path: str, stopping: Callable[[], bool], how: Conversion) -> Source:
    """Open `path` as what it is: an export that is converted, or a log of JSON lines.

    Raises `Stop` for what cannot be read, `UsageProblem` for standard input that should be converted.
    """
    if how.format == "jsonl" or (path == STANDARD_INPUT and how.format in PLAIN):
        return open_source(path, stopping)
    if path == STANDARD_INPUT:
        raise UsageProblem(f"--format {how.format} cannot be read from standard input", "Name the file itself")
    with ExitStack() as closes:
        source = None if _is_folder(path) else open_source(path, stopping)
        if source:
            closes.callback(source.close)
        bundle, head = _bundle(path, source)
        found = _format(bundle, head, how)
        if found and found.format in WHOLES and isinstance(bundle, SingleFile):
            raise Stop(
                f"{bundle.name} is one file: a {found.format} export is a folder or an archive",
                "Name the whole of it: its other files tell who and where",
            )
        if found is None and isinstance(bundle, SingleFile):
            closes.pop_all()
            assert source is not None
            return source
        if found is None:
            raise Stop(f"{bundle.name} holds no export that is known", "Name the files in it, or say --format")
        if not isinstance(bundle, SingleFile) and not any(map(FORMATS[found.format].wanted, bundle.names())):
            raise Stop(f"{bundle.name} holds nothing that a {found.format} export has", "Name the files themselves")
        return ExportSource(bundle, found, closes.pop_all())


def check_input(path: str, how: Conversion) -> None:
    """See that `path` can be read as what it should be. Raises `Stop` where it is not, before any work is begun."""
    if how.format == "jsonl" or not _is_folder(path):
        check_path(path)


def size_of(path: str) -> int:
    """Bytes on the disk of a file, or of a folder with all below it; 0 for standard input and what is not there."""
    if path == STANDARD_INPUT or not os.path.exists(path):  # noqa: PTH110 -- a path that is not UTF-8 stays a str here
        return 0
    return Folder(path).size if _is_folder(path) else os.stat(path).st_size  # noqa: PTH116


def _is_folder(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)  # noqa: PTH116 -- as above
    except OSError:
        return False


def _bundle(path: str, source: Source | None) -> tuple[Bundle, bytes]:
    """What the input comes as, and its first bytes (none of a folder or zip)."""
    if source is None:
        return Folder(path), b""
    if source.compression is None and source.head(len(_ZIP)) == _ZIP:
        return Zip(source), b""
    head = _head(path, source)
    return (Tar(path, source), b"") if head[_TAR] == b"ustar" else (SingleFile(path, source), head)


def _head(path: str, source: Source) -> bytes:
    if source.compression is None:
        return source.head(detect.HEAD_BYTES)
    with closing(open_source(path, lambda: False)) as again, suppress(Stop):  # it will be told when it is read
        return again.read(detect.HEAD_BYTES)
    return b""


def _format(bundle: Bundle, head: bytes, how: Conversion) -> Conversion | None:
    if how.format != "auto":
        return how
    found = detect.by_head(head) if isinstance(bundle, SingleFile) else detect.by_parts(bundle)
    if found is None:
        log.debug("%s: taken as JSON lines: it begins as no export does", bundle.name)
        return None
    log.info("%s: taken as %s: %s", bundle.name, found.format, found.reason)
    return Conversion(found.format, how.network, how.zone, how.date_order)
