"""An input opened as what it is: an export that is converted on the way, or a log of JSON lines."""

import logging
import os
import stat
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import replace

from producer.exports import detect
from producer.exports.archives import Tar, Zip
from producer.exports.bundle import Bundle, Folder, SingleFile
from producer.exports.conversion import Conversion
from producer.exports.source import FORMATS, ExportSource
from producer.sources.piped import StandardInput
from producer.sources.streams import STANDARD_INPUT, Source, check_path, open_source, printable_path, text_head
from schemas.errors import Stop, UsageProblem

log = logging.getLogger(__name__)

PLAIN = ("auto", "jsonl")
"""What JSON lines may be called."""

WHOLES = ("slack", "zulip")
"""Exports that mean nothing without their lists of users and channels."""

ZONELESS = ("whatsapp", "irssi")
"""Exports whose times never have a zone, and whose ids are hashes of the moment."""

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
"""How a zip begins, and one that holds nothing."""
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_TAR = slice(257, 262)


def open_input(path: str, stopping: Callable[[], bool], how: Conversion) -> Source:
    """Open `path` as what it is: an export that is converted, or a log of JSON lines.

    Raises `Stop` for what cannot be read, `UsageProblem` for standard input that should be converted.
    """
    if how.format == "jsonl":
        return open_source(path, stopping)
    if path == STANDARD_INPUT and how.format == "auto":
        return _standard_input(stopping)
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
            what = "is a directory that holds" if isinstance(bundle, Folder) else "holds"
            raise Stop(f"{bundle.name} {what} no known export", "Name the files in it, for example with a glob")
        if not isinstance(bundle, SingleFile) and not any(map(FORMATS[found.format].wanted, bundle.names())):
            raise Stop(f"{bundle.name} holds nothing that a {found.format} export has", "Name the files themselves")
        if found.format in ZONELESS:
            found.warn_of_no_zone(bundle.name)
        export = ExportSource(bundle, found)
        export.closes = closes.pop_all()
        return export


def _standard_input(stopping: Callable[[], bool]) -> Source:
    source = open_source(STANDARD_INPUT, stopping)
    assert isinstance(source.raw, StandardInput)
    found = None if source.compression else detect.surely_by_head(source.raw.at_hand(detect.HEAD_BYTES))
    if found:
        raise UsageProblem(
            f"standard input: looks like {found.format} ({found.reason}), which cannot be read from there",
            "Name the file itself, or say --format jsonl",
        )
    return source


def check_followed(paths: Sequence[str], how: Conversion) -> None:
    """Raises `UsageProblem` for a file that is surely an export: line by line it would be rubbish."""
    for path in paths if how.format == "auto" else ():
        head = text_head(path, detect.HEAD_BYTES) if os.path.isfile(path) else None  # noqa: PTH113 -- as below
        if found := head and detect.surely_by_head(head):
            raise UsageProblem(
                f"{printable_path(path)}: looks like {found.format} ({found.reason}), which cannot be followed",
                "Leave --follow out, or say --format jsonl",
            )


def check_input(path: str, how: Conversion) -> None:
    """See that `path` can be read as what it should be. Raises `Stop` where it is not, before any work is begun."""
    if how.format != "jsonl" and _is_folder(path):
        open_input(path, lambda: False, replace(how, zone_named=True)).close()  # it is said when it is read
    else:
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
    if source.compression is None and source.head(len(_ZIP[0])) in _ZIP:
        return Zip(source), b""
    head = _head(path, source)
    if head.startswith(_UTF_16):
        log.warning("%s: looks like UTF-16, of which no line can be read. Convert it: iconv -f UTF-16 -t UTF-8",
                    source.name)  # fmt: skip
    return (Tar(path, source), b"") if head[_TAR] == b"ustar" else (SingleFile(path, source), head)


def _head(path: str, source: Source) -> bytes:
    if source.compression is None:
        return source.head(detect.HEAD_BYTES)
    with closing(open_source(path)) as again, suppress(Stop):  # it will be told when it is read
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
    return replace(how, format=found.format)
