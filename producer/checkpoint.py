"""The checkpoint: up to which byte every line of a file is durable, kept in a file of its own.

One file for each source identity (device and inode), topic and cluster, so that the same log sent to another topic,
or to a Kafka that was set up anew, starts at its beginning. The first bytes of the log are kept as a hash: a reused
inode or a rewritten file is seen, and read from its start. A checkpoint that cannot be believed leads to lines sent
again, which the table absorbs; never to lines skipped.
"""

import contextlib
import fcntl
import hashlib
import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import msgspec
import platformdirs

from producer.sources.streams import HEAD_BYTES, Source
from schemas.errors import Stop
from terminal import failpoints
from terminal.failpoints import Place

log = logging.getLogger(__name__)


class State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the checkpoint file holds, as JSON. `offset` in bytes of the decompressed text."""

    path: str
    topic: str
    offset: int
    head_length: int
    head_sha256: str
    version: int = 1
    seal: str = ""
    """The hash of all the others and of what the checkpoint stands for: a digit that a bad disk or a hand changed, or
    the checkpoint of a log that begins with the same lines, would skip lines."""

    def sealed(self, key: str) -> Self:
        """The same with its seal; `key` tells source and topic from all others."""
        content = key.encode() + msgspec.json.encode(msgspec.structs.replace(self, seal=""))
        return msgspec.structs.replace(self, seal=hashlib.sha256(content).hexdigest()[:16])


def default_folder() -> Path:
    """The user's state folder for chatferry ($XDG_STATE_HOME/chatferry on Linux)."""
    return platformdirs.user_state_path("chatferry")


class Checkpoint:
    """The checkpoint of one source, locked for this process while it is open.

    `save` is atomic: a new file, fsync, rename, fsync of the folder. A crash leaves the old one or the new one.
    """

    def __init__(self, folder: Path, source: Source, topic: str, topic_id: str) -> None:
        """Open and lock the checkpoint; `topic_id` tells this topic from one of the same name elsewhere.

        Raises `Stop` where the folder cannot be used or is not ours alone, the file is not ours, or another producer
        has it open.
        """
        assert source.identity is not None
        key = hashlib.sha256(repr((*source.identity, topic, topic_id)).encode()).hexdigest()[:20]
        self.path = folder / f"{key}.json"
        self._source = source
        self._topic = topic
        self._saved = -1
        self._head = source.head()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            see_that_it_is_ours(folder)
            self._lock = self._take_lock(self.path.with_suffix(".lock"))
        except OSError as error:
            raise Stop(f"Cannot use the state folder {folder}: {error.strerror}", "Name another with --state") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        os.close(self._lock)

    def _take_lock(self, path: Path) -> int:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        if not _is_file_of_ours(lock):
            os.close(lock)
            raise _not_ours(path)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise Stop(
                f"Another producer is sending {self._source.name} to {self._topic}",
                "Wait for it, or end it first",
            ) from None
        return lock

    def load(self) -> int:
        """The offset to go on from; 0 where there is none that can be believed, and then the log says why.

        Raises `Stop` for a file that is a link or belongs to somebody else.
        """
        state = self._read()
        if state is None:
            return 0
        reason = self._distrust(state)
        if reason:
            log.warning(
                "%s: %s; it is read from its start (repeats are absorbed by the table)",
                self._source.name,
                reason,
            )
            return 0
        self._saved = state.offset
        return state.offset

    def _read(self) -> State | None:
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Stop(
                f"Checkpoint {self.path}: {error.strerror}", "Remove it, or name another folder: --state"
            ) from None
        with closing_descriptor(descriptor):
            if not _is_file_of_ours(descriptor):
                raise _not_ours(self.path)
            content = os.read(descriptor, 1 << 16)
        try:
            return msgspec.json.decode(content, type=State)
        except (msgspec.DecodeError, UnicodeDecodeError):
            log.warning("Checkpoint %s is damaged", self.path)
            return None

    def _distrust(self, state: State) -> str | None:
        """Why the checkpoint does not speak of this file as it is now; None where it does."""
        if (
            state != state.sealed(self.path.stem)
            or state.version != 1
            or not 0 <= state.offset < 1 << 63
            or not 0 <= state.head_length <= HEAD_BYTES
        ):
            return "its checkpoint is damaged, or another's"
        head = self._source.head(state.head_length)
        if len(head) != state.head_length or hashlib.sha256(head).hexdigest() != state.head_sha256:
            return "it is not the file that its checkpoint speaks of"
        if self._source.compression is None and not self._ends_a_line(state.offset):
            return "it does not go on where its checkpoint stands (truncated, rewritten, or its last line grew)"
        return None

    def _ends_a_line(self, offset: int) -> bool:
        size = os.fstat(self._source.raw.fileno()).st_size
        if offset > size:
            return False
        return offset in (0, size) or os.pread(self._source.raw.fileno(), 1, offset - 1) == b"\n"

    def save(self, offset: int) -> None:
        """Write down that every line before `offset` is durable. Does nothing where that is written already.

        Raises `Stop` where the disk does not take it; the old checkpoint then stays.
        """
        if offset == self._saved:
            return
        self._head = self._grown_head()
        digest = hashlib.sha256(self._head).hexdigest()
        state = State(self._source.name, self._topic, offset, len(self._head), digest).sealed(self.path.stem)
        temporary = self.path.with_suffix(".new")
        try:
            self._write(temporary, msgspec.json.encode(state))
            failpoints.reached(Place.CHECKPOINT_WRITTEN)
            temporary.replace(self.path)
            failpoints.reached(Place.CHECKPOINT_RENAMED)
            self._sync_folder()
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise Stop(
                f"Cannot write the checkpoint {self.path}: {error.strerror}",
                "Make room; the next run goes on from the checkpoint before",
            ) from None
        self._saved = offset

    def _grown_head(self) -> bytes:
        """The first bytes as they were read: more where the file grew, but not those of a file rewritten meanwhile."""
        now = self._source.head()
        return now if now.startswith(self._head) else self._head

    def start_over(self) -> None:
        """The file was truncated, and is read from its start: its first bytes are others now."""
        self._head = b""

    @staticmethod
    def _write(path: Path, content: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def _sync_folder(self) -> None:
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        with closing_descriptor(folder):
            os.fsync(folder)


def _is_file_of_ours(descriptor: int) -> bool:
    status = os.fstat(descriptor)
    return stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()


def _not_ours(path: Path) -> Stop:
    return Stop(f"Checkpoint {path} is not a file of ours", "Remove it, or name another folder: --state")


def see_that_it_is_ours(folder: Path) -> None:
    """Raises `Stop` for a folder in which somebody else could put another file in a checkpoint's place."""
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


@contextlib.contextmanager
def closing_descriptor(descriptor: int) -> Iterator[None]:
    """Close the descriptor when the block ends."""
    try:
        yield
    finally:
        os.close(descriptor)
