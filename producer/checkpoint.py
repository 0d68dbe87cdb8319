"""The checkpoint: up to which byte every line of a file is durable, kept in a file of its own.

One file for each source identity (device and inode), topic, its id and its cluster, so that the same log sent to
another topic, or to a Kafka that was set up anew, starts at its beginning. The first bytes of the log are kept as a
hash: a reused inode or a rewritten file is seen, and read from its start. A checkpoint that cannot be believed leads to
lines sent again, which the table absorbs; never to lines skipped.
"""

import hashlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Self

import msgspec
import platformdirs

from producer.private import lock_private, read_private, replace_private, see_that_it_is_ours
from producer.sources.streams import Source
from producer.state import State, key_of, place_of
from schemas.errors import Stop
from terminal import failpoints
from terminal.failpoints import Place

log = logging.getLogger(__name__)


def default_folder() -> Path:
    """The user's state folder for chatferry ($XDG_STATE_HOME/chatferry on Linux)."""
    return platformdirs.user_state_path("chatferry")


class Checkpoint:
    """The checkpoint of one source, locked for this process while it is open.

    `save` is atomic: a new file, fsync, rename, fsync of the folder. A crash leaves the old one or the new one.
    """

    def __init__(self, folder: Path, source: Source, topic: str, topic_id: str, place: str | None = None) -> None:
        """Open and lock the checkpoint; `topic_id` tells this topic from one of the same name elsewhere, `place` is
        the name that the file stands or stood behind, where it is not where it was opened.

        Raises `Stop` where the folder cannot be used or is not ours alone, the file is not ours, or another producer
        has it open.
        """
        assert source.identity is not None
        self.path = folder / f"{key_of(source.identity, topic, topic_id)}.json"
        self._source = source
        self._topic = topic
        self._topic_id = topic_id
        self._place = place or place_of(source.path or source.name)
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
        lock = lock_private(path)
        if lock is None:
            raise Stop(
                f"Another producer is sending {self._source.name} to {self._topic}",
                "Wait for it, or end it first",
            )
        return lock

    def load(self) -> int:
        """The offset to go on from; 0 where there is none that can be believed, and then the log says why.

        Raises `Stop` for a file that is a link or belongs to somebody else.
        """
        state = self._read()
        if state is None:
            return 0
        reason = state.distrust(self.path.stem, self._source)
        if reason:
            log.log(
                logging.INFO if state.done else logging.WARNING,  # a file that is done with may leave its inode
                "%s: %s; it is read from its start (repeats are absorbed by the table)",
                self._source.name,
                reason,
            )
            return 0
        if not (state.done and state.place == self._place):  # else it is written again: something is expected of it
            self._saved = state.offset
        return state.offset

    def _read(self) -> State | None:
        content = read_private(self.path)
        if content is None:
            return None
        try:
            return msgspec.json.decode(content, type=State)
        except (msgspec.DecodeError, UnicodeDecodeError):
            log.warning("Checkpoint %s is damaged", self.path)
            return None

    def save(self, offset: int, *, done: bool = False) -> None:
        """Write down that every line before `offset` is durable. Does nothing where that is written already.

        `done` says that nothing more is expected of a file that was rotated away. Raises `Stop` where the disk does
        not take it; the old checkpoint then stays.
        """
        if offset == self._saved and not done:
            return
        self._head = self._grown_head()
        self._write(offset, done=done)

    def _write(self, offset: int, *, done: bool = False) -> None:
        digest = hashlib.sha256(self._head).hexdigest()
        write_state(
            self.path,
            State(
                self._source.name,
                self._topic,
                offset,
                len(self._head),
                digest,
                place=self._place,
                topic_id=self._topic_id,
                done=done,
            ),
        )
        self._saved = offset

    def _grown_head(self) -> bytes:
        """The first bytes as they were read: more where the file grew, but not those of a file rewritten meanwhile."""
        try:
            now = self._source.head()
        except Stop:  # its disk fails, and whoever reads it says so: what was sent is written down all the same
            return self._head
        return now if now.startswith(self._head) else self._head

    def start_over(self, offset: int, head: bytes) -> None:
        """The file was truncated, and is read from its start: its first bytes are others now.

        What is written down once more is how far it was sent before, and how it began then: so a copy is found.
        """
        self._head = head
        self._write(offset)
        self._head, self._saved = b"", -1


OpenCheckpoint = Callable[[Source, str], Checkpoint]
"""The checkpoint of a file that stood behind a place."""


def write_state(path: Path, state: State) -> None:
    """Write a checkpoint file, sealed and atomically.

    Raises `Stop` where the disk does not take it; the old one then stays.
    """
    try:
        replace_private(
            path,
            msgspec.json.encode(state.sealed(path.stem)),
            written=lambda: failpoints.reached(Place.CHECKPOINT_WRITTEN),
            renamed=lambda: failpoints.reached(Place.CHECKPOINT_RENAMED),
        )
    except OSError as error:
        raise Stop(
            f"Cannot write the checkpoint {path}: {error.strerror}",
            "Make room, or see what became of the state folder; the next run goes on from the checkpoint before",
        ) from None
