"""The files beside a log that may be its rotated ones, told by their names. Facts only: what becomes of them is
decided in `producer.history`."""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from producer.sources.streams import Identity

COMPRESSED = (".gz", ".zst", ".xz", ".bz2")

STAMP = r"(?:\d[\d._:TZ+-]*|old)"
"""What a rotation puts into the name: a number, or a date (logrotate's `dateext`, log4j, loguru)."""


class Sibling(NamedTuple):
    """A file beside a followed one. `rotated`: by its name it was that file once; `modified_ns` in Unix ns."""

    path: str
    identity: Identity
    modified_ns: int
    size: int
    rotated: bool
    compressed: bool


def identity_at(path: str) -> tuple[Identity, int] | None:
    """Which regular file stands at a path now, and its size in bytes; None where there is none (that may be read)."""
    try:
        status = os.stat(path)  # noqa: PTH116 -- a path that is not UTF-8 stays a str here
    except OSError:
        return None
    return (Identity(status.st_dev, status.st_ino), status.st_size) if stat.S_ISREG(status.st_mode) else None


def siblings(path: str) -> list[Sibling]:
    """Every other regular file in the folder of `path` (and where it is a link, in that of its target).

    Hidden ones are left out, and compressed ones whose original is still there. Raises OSError where a folder cannot be
    looked at, but for one that is not there, or a file that was rotated by its name.
    """
    found: dict[str, Sibling] = {}
    for name in dict.fromkeys((Path(path).absolute(), Path(path).resolve())):
        wanted = rotated_name(name.name)
        found |= {sibling.path: sibling for sibling in _files(name.parent, wanted) if sibling.path != str(name)}
    return [sibling for sibling in found.values() if not _original_is_in(sibling, found)]


def identities_around(path: str) -> set[Identity]:
    """The files that stand at a path and beside it; none of those beside it where the folder cannot be looked at."""
    found = identity_at(path)
    try:
        beside = siblings(path)
    except OSError:
        beside = []
    return {sibling.identity for sibling in beside} | ({found[0]} if found else set())


def rotated_name(name: str) -> re.Pattern[str]:
    """Matches what a rotation makes of a file's name: `chat.log.1`, `chat.log-20240131.gz`, `chat.2024-01-31.log`."""
    stem, ending = os.path.splitext(name)  # noqa: PTH122 -- a name, not a path
    before_the_ending = f"|{re.escape(stem)}[._-]{STAMP}{re.escape(ending)}" if ending else ""
    packed = "|".join(map(re.escape, COMPRESSED))
    return re.compile(rf"(?:{re.escape(name)}[._-]{STAMP}{before_the_ending})(?:{packed})?")


def _files(folder: Path, wanted: re.Pattern[str]) -> Iterator[Sibling]:
    try:
        entries = [entry for entry in os.scandir(folder) if not entry.name.startswith(".")]
    except FileNotFoundError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            continue
        try:
            status = entry.stat()
        except OSError as error:
            matters = wanted.fullmatch(entry.name) and not entry.is_symlink()
            if matters and not isinstance(error, FileNotFoundError):  # that: renamed or removed just now
                raise
            continue
        if stat.S_ISREG(status.st_mode):
            yield Sibling(
                entry.path,
                Identity(status.st_dev, status.st_ino),
                status.st_mtime_ns,
                status.st_size,
                wanted.fullmatch(entry.name) is not None,
                entry.name.endswith(COMPRESSED),
            )


def _original_is_in(sibling: Sibling, found: dict[str, Sibling]) -> bool:
    return sibling.compressed and os.path.splitext(sibling.path)[0] in found  # noqa: PTH122 -- may not be UTF-8
