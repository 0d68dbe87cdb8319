"""Small files in the state folder: for their owner alone, no links, written whole or not at all."""

import contextlib
import os
import stat
from pathlib import Path

from schemas.errors import Stop

LONGEST_BYTES = 16 << 20

OTHER_FOLDER = "Remove it, or name another folder: --state"


def see_that_it_is_ours(folder: Path) -> None:
    """Raises `Stop` for a folder in which somebody else could put another file in the place of one of ours."""
    status = folder.lstat()
    if stat.S_ISLNK(status.st_mode):
        problem = "is a link"
    elif status.st_uid != os.geteuid():
        problem = f"belongs to somebody else (user {status.st_uid})"
    elif status.st_mode & stat.S_IWOTH:
        problem = "can be written to by everybody"
    else:
        return
    raise Stop(f"The state folder {folder} {problem}", "Name another with --state: a folder of yours, mode 0700")


def is_file_of_ours(descriptor: int) -> bool:
    """Whether it is a regular file, and this user's."""
    status = os.fstat(descriptor)
    return stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()


def write_through(descriptor: int, content: bytes) -> None:
    """Write the content, see it on the disk, and close the descriptor. Raises `OSError` as the disk does."""
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


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
    if not is_file_of_ours(descriptor):
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
        write_through(open_private(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), content)
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise Stop(f"Cannot write {path}: {error.strerror}", "Make room; what was there before stays") from None
