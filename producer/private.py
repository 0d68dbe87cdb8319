"""Small files in the state folder: for their owner alone, no links, written whole or not at all."""

import contextlib
import fcntl
import os
import stat
from collections.abc import Callable, Iterator
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


@contextlib.contextmanager
def usable(path: Path) -> Iterator[None]:
    """Raises `Stop` where the block cannot use a file or a folder of ours."""
    try:
        yield
    except OSError as error:
        raise Stop(f"Cannot use {path}: {error.strerror}", OTHER_FOLDER) from None


def open_private(path: Path, flags: int) -> int:
    """A descriptor of a regular file of ours, made with mode 0600 where `flags` has O_CREAT.

    Raises `OSError` where it cannot be opened, a link among that, and `Stop` where it is somebody else's, or no file.
    """
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid():
        return descriptor
    os.close(descriptor)
    raise Stop(f"{path} is not a file of ours", OTHER_FOLDER)


def lock_private(path: Path) -> int | None:
    """A descriptor that holds the lock until it is closed; None where another process has it.

    Raises as `open_private` does.
    """
    lock = open_private(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def read_private(path: Path) -> bytes | None:
    """The content; None where there is no such file. Raises `Stop` where it is not ours, or cannot be read."""
    with usable(path):
        try:
            descriptor = open_private(path, os.O_RDONLY)
        except FileNotFoundError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            return file.read(LONGEST_BYTES)


def replace_private(
    path: Path,
    content: bytes,
    *,
    written: Callable[[], None] = lambda: None,
    renamed: Callable[[], None] = lambda: None,
) -> None:
    """Put `content` there: a new file, fsync, rename, fsync of the folder. A crash leaves the old one or the new one.

    `written` and `renamed` are called on the way. Raises `OSError` as the disk does, `Stop` as `open_private` does;
    where it was not renamed the old one stays.
    """
    temporary = path.with_suffix(".new")
    try:
        with os.fdopen(open_private(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        written()
        temporary.replace(path)
        renamed()
        _sync_folder(path.parent)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_private(path: Path, content: bytes) -> None:
    """Put `content` there, as `replace_private` does. Raises `Stop` where the disk does not take it."""
    try:
        replace_private(path, content)
    except OSError as error:
        raise Stop(f"Cannot write {path}: {error.strerror}", "Make room; what was there before stays") from None
