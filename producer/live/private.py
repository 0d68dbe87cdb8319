"""Small files in the state folder: for their owner alone, no links, written whole or not at all."""

import contextlib
import os
import stat
from pathlib import Path

from producer.checkpoint import see_that_it_is_ours
from schemas.errors import Stop

LONGEST_BYTES = 16 << 20

OTHER_FOLDER = "Remove it, or name another folder: --state"


def private_folder(base: Path, *parts: str) -> Path:
    """The folder `base/part/part`, made level by level with mode 0700 where it is not there.

    Raises `Stop` where it cannot be used, or one of the levels is a link, somebody else's or writable for everybody.
    """
    folder = base
    try:
        base.parent.mkdir(parents=True, exist_ok=True)
        for level in ("", *parts):
            folder = folder / level
            folder.mkdir(mode=0o700, exist_ok=True)
            see_that_it_is_ours(folder)
    except OSError as error:
        raise Stop(f"Cannot use the state folder {folder}: {error.strerror}", "Name another with --state") from None
    return folder


def open_private(path: Path, flags: int) -> int:
    """A descriptor of a regular file of ours, made with mode 0600 where `flags` has O_CREAT.

    Raises `FileNotFoundError`, or `Stop` where it is a link, somebody else's, no file, or cannot be opened.
    """
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Stop(f"Cannot use {path}: {error.strerror}", OTHER_FOLDER) from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
        os.close(descriptor)
        raise Stop(f"{path} is not a file of ours", OTHER_FOLDER)
    return descriptor


def read_private(path: Path) -> bytes | None:
    """The content; None where there is no such file. Raises `Stop` as `open_private` does."""
    try:
        descriptor = open_private(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        return file.read(LONGEST_BYTES)


def write_private(path: Path, content: bytes) -> None:
    """Put `content` there: after a crash it is the old one or the new one.

    Raises `Stop` where the disk does not take it; the old one then stays.
    """
    temporary = path.with_name(path.name + ".new")
    try:
        with os.fdopen(open_private(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise Stop(f"Cannot write {path}: {error.strerror}", "Make room; what was there before stays") from None
