"""The files beside a followed one, and which of them checkpoints speak of: how a rotated log is told from another."""

import logging
import time
from collections.abc import Collection, Sequence
from contextlib import closing
from pathlib import Path

from producer.logbook import Entry, Logbook
from producer.sources.rotated import Sibling, identity_at, siblings
from producer.sources.streams import HEAD_BYTES, Identity, open_source, printable_path, text_head
from schemas.errors import Stop

log = logging.getLogger(__name__)

GROWING_SECONDS = 10.0
"""A compressed file that was written to so recently may still be without its first block."""


class Undecided(Exception):
    """Nobody can tell yet what a path holds: a compressed file is too young, or files are being renamed just now."""


class Beside:
    """One look at the folder of a followed name."""

    def __init__(self, path: str, logbook: Logbook, entries: Sequence[Entry], taken: Collection[Identity]) -> None:
        """`entries` are the checkpoints of the name, `taken` the files that are being read now.

        Raises PermissionError where the folder does not let us look, `Undecided` where it cannot be read otherwise.
        """
        self.path = path
        self._logbook = logbook
        self._entries = entries
        self._taken = taken
        self.files = self._look()
        self._by_key = {self._logbook.key_of(sibling.identity): sibling for sibling in self.files}

    def _look(self) -> list[Sibling]:
        try:
            return siblings(self.path)
        except PermissionError:
            raise
        except OSError as error:
            log.debug("%s: its folder cannot be read: %s", printable_path(self.path), error.strerror)
            raise Undecided(str(Path(self.path).parent)) from None

    @property
    def keys(self) -> Collection[str]:
        """The keys of the checkpoints that the files have, or would have."""
        return self._by_key.keys()

    def file_of(self, entry: Entry) -> Sibling | None:
        """The file with the device and inode of a checkpoint, whether or not it is still the one that it speaks of."""
        return self._by_key.get(entry.key)

    def same_file(self, entry: Entry) -> Sibling | None:
        """The file of a checkpoint, renamed. One that cannot be opened now is taken for it: it keeps its checkpoint.

        Raises `Undecided` where it was renamed or removed just now.
        """
        sibling = self.file_of(entry)
        if sibling is None:
            return None
        same = speaks_of(entry, sibling.path, unreadable=True)
        now = identity_at(sibling.path)
        if now is None or now[0] != sibling.identity:
            raise Undecided(sibling.path)
        return sibling if same else None

    def copies(self, entry: Entry) -> dict[Sibling, int]:
        """The rotated files that may hold the text of a checkpoint, a copy or compressed, and from which byte on they
        are to be sent. Raises `Undecided`.

        Where several begin alike it may be any of those that have no checkpoint of their own, so these are sent whole.
        """
        state = entry.state
        if not state.head_length:
            return {}
        found = [
            sibling
            for sibling in self.unread
            if state.begins_like(_head(sibling, state.head_length))
            and (sibling.compressed or sibling.size >= state.offset)
        ]
        if not found:
            return {}
        own = {sibling: self._own(sibling) for sibling in found}
        unknown = [sibling for sibling in found if own[sibling] is None]
        if len(found) > 1 and unknown:
            return dict.fromkeys(unknown, 0)
        known = own[found[0]]
        return {found[0]: min(state.offset, known.state.offset) if known else state.offset}

    @property
    def unread(self) -> list[Sibling]:
        """The rotated files that are not being read now."""
        return [sibling for sibling in self.files if sibling.rotated and sibling.identity not in self._taken]

    def see_that_it_is_gone(self, entry: Entry) -> None:
        """A file that is renamed while its folder is listed may be missing in the list. Raises `Undecided` where
        another look finds other files."""

        def matter(files: Sequence[Sibling]) -> set[tuple[str, Identity]]:
            return {(s.path, s.identity) for s in files if s.rotated or self._logbook.key_of(s.identity) == entry.key}

        if matter(self._look()) != matter(self.files):
            raise Undecided(self.path)

    def is_known(self, sibling: Sibling) -> bool:
        """Whether a checkpoint speaks of this file, or of that of which it is a copy. Raises `Undecided`.

        Logs may begin alike: one that is longer than the few bytes that a checkpoint knows is another.
        """
        if self._own(sibling):
            return True
        head = _head(sibling, HEAD_BYTES)
        return any(
            entry.state.head_length == len(head)
            and entry.state.begins_like(head)
            and (len(head) == HEAD_BYTES or not self._is_there(entry))
            for entry in self._entries
            if entry.state.head_length
        )

    def _is_there(self, entry: Entry) -> bool:
        """Whether the file of a checkpoint is still there, so that one which is as short is not its copy."""
        sibling = self.file_of(entry)
        return sibling is not None and speaks_of(entry, sibling.path)

    def _own(self, sibling: Sibling) -> Entry | None:
        """Its own checkpoint, where that speaks of this file."""
        entry = self._logbook.get(self._logbook.key_of(sibling.identity))
        return entry if entry and entry.state.head_length and speaks_of(entry, sibling.path) else None


def speaks_of(entry: Entry, path: str, *, unreadable: bool = False) -> bool:
    """Whether a checkpoint speaks of the file at a path; `unreadable` is the answer where that cannot be read."""
    try:
        with closing(open_source(path)) as source:
            return entry.state.distrust(entry.key, source) is None
    except Stop:
        return unreadable


def _head(sibling: Sibling, length: int) -> bytes:
    """Raises `Undecided` where it is still being compressed and has not so much yet."""
    head = text_head(sibling.path, length) if sibling.size else None
    # a clock of a file server may be ahead a little; where it is far off, the file is not waited for
    if head is None and sibling.compressed and abs(time.time() - sibling.modified_ns / 1e9) < GROWING_SECONDS:
        raise Undecided(sibling.path)
    return head or b""
