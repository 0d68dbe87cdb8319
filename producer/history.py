"""What stood behind a followed name before, and what of it is still to be sent: found by checkpoints and siblings."""

import logging
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from producer.checkpoint import OpenCheckpoint
from producer.logbook import KEEP_DONE_SECONDS, Entry, Logbook
from producer.sources.rotated import Sibling, siblings
from producer.sources.streams import HEAD_BYTES, Identity, open_source, printable_path, text_head
from producer.state import State, place_of
from schemas.errors import Stop

log = logging.getLogger(__name__)

GROWING_SECONDS = 10.0
"""A compressed file that was written to so recently may still be without its first block."""


class Leg(NamedTuple):
    """A file to be sent before the one that stands at the name; its checkpoint says from where on."""

    path: str
    identity: Identity


class Undecided(Exception):
    """A compressed file beside the log is so young that nobody can tell what it holds."""


@dataclass
class _Look:
    """One look at a name: what is known and what is there."""

    path: str
    place: str
    entries: Sequence[Entry]
    around: Sequence[Sibling]
    own: Entry | None
    """The checkpoint of the file that stands at the name, where it can be believed."""


class History:
    """Finds the predecessors of a followed file.

    A checkpoint that is not done names a file that may hold more. It is looked for in its folder by device and inode;
    if it was copied or compressed meanwhile, by the hash of its first bytes, among the files that a rotation names.
    Siblings that no checkpoint knows and that were written to since the last one was saved came in between. Whatever is
    found is claimed: a checkpoint of its own is written before anything else happens, so a crash forgets none of it.
    """

    def __init__(self, logbook: Logbook, open_checkpoint: OpenCheckpoint, taken: Collection[Identity]) -> None:
        """`taken` holds the files that are being read now."""
        self._logbook = logbook
        self._open_checkpoint = open_checkpoint
        self._taken = taken

    def before(self, path: str, identity: Identity | None, *, loud: bool = True) -> list[Leg]:
        """What is to be sent before the file that stands at `path` now (None: no file), the oldest first.

        `loud` says that lines may be missing where a predecessor is not found. Raises `Undecided` where that has to be
        asked again, `Stop` where a checkpoint cannot be written.
        """
        self._logbook.refresh()
        place = place_of(path)
        entries = self._logbook.of(place)
        if not entries:
            return []
        around = siblings(path)
        self._forget_old(entries, around)
        look = _Look(path, place, entries, around, self._believed(path, identity))
        found = self._unfinished(look, identity, loud=loud)
        if look.own is None or not look.own.state.head_length:  # it was empty, and may have been filled and emptied
            found |= self._between(look, found)
        return [Leg(s.path, s.identity) for s in sorted(found, key=lambda sibling: sibling.modified_ns)]

    def _believed(self, path: str, identity: Identity | None) -> Entry | None:
        entry = identity and self._logbook.get(self._logbook.key_of(identity))
        return entry if entry and self._speaks_of(entry, path) else None

    def goes_on(self, path: str, identity: Identity) -> bool:
        """Whether the file at `path` is still the one that its checkpoint speaks of, so that nothing came in between.

        Cheap: neither the checkpoints nor the files beside it are looked through.
        """
        entry = self._logbook.read(self._logbook.key_of(identity))
        return entry is not None and entry.state.head_length > 0 and self._speaks_of(entry, path)

    @staticmethod
    def _speaks_of(entry: Entry, path: str) -> bool:
        try:
            source = open_source(path, lambda: False)
        except Stop:
            return False
        try:
            return entry.state.distrust(entry.key, source) is None
        finally:
            source.close()

    def _unfinished(self, look: _Look, identity: Identity | None, *, loud: bool) -> set[Sibling]:
        """Files that a checkpoint knows and that may hold more."""
        found: set[Sibling] = set()
        renewed = set[str | None]()
        here = identity and self._logbook.key_of(identity)
        by_key = {self._logbook.key_of(sibling.identity): sibling for sibling in look.around}
        being_read = {self._logbook.key_of(taken) for taken in self._taken} - {here}
        for entry in look.entries:
            if entry.state.done or entry is look.own or entry.key in being_read:
                continue
            sibling = by_key.get(entry.key)
            if sibling and self._speaks_of(entry, sibling.path):
                found.add(sibling)
            elif copy := self._copy(entry.state, look.around):
                if self._claim(copy, look.place, entry.state.offset):
                    found.add(copy)
                    renewed.add(self._logbook.key_of(copy.identity))
                    self._let_go(entry, {here, *renewed})
            else:
                self._tell_missing(look, entry, loud=loud)
                self._let_go(entry, {here, *renewed})
        return found

    def _copy(self, state: State, around: Sequence[Sibling]) -> Sibling | None:
        """The file that holds the text that a checkpoint speaks of: a copy, or compressed."""
        if not state.head_length:
            return None
        for sibling in around:
            if not sibling.rotated or sibling.identity in self._taken:
                continue
            head = self._head(sibling, state.head_length)
            if state.begins_like(head) and self._holds(sibling, state.offset):
                return sibling
        return None

    @staticmethod
    def _head(sibling: Sibling, length: int) -> bytes:
        """Raises `Undecided` where it is still being compressed and has not so much yet."""
        head = text_head(sibling.path, length)
        # a clock of a file server may be ahead a little; where it is far off, the file is not waited for
        if head is None and sibling.compressed and abs(time.time() - sibling.modified_ns / 1e9) < GROWING_SECONDS:
            raise Undecided(sibling.path)
        return head or b""

    @staticmethod
    def _holds(sibling: Sibling, offset: int) -> bool:
        return sibling.compressed or sibling.size >= offset

    def _between(self, look: _Look, found: set[Sibling]) -> set[Sibling]:
        """Rotated files that no checkpoint knows, written to since the last one was saved."""
        telling = [entry for entry in look.entries if not entry.state.done or entry is look.entries[-1]]
        since = min(self._since(look, entry) for entry in telling)
        return {
            sibling
            for sibling in look.around
            if sibling.rotated
            and sibling not in found
            and sibling.modified_ns >= since
            and sibling.identity not in self._taken
            and not self._is_known(look, sibling)
            and self._claim(sibling, look.place, 0)
        }

    def _since(self, look: _Look, entry: Entry) -> int:
        """When the file of a checkpoint was last written to, or else when the checkpoint was."""
        own = [s.modified_ns for s in look.around if self._logbook.key_of(s.identity) == entry.key]
        return min([entry.saved_ns, *own])

    def _is_known(self, look: _Look, sibling: Sibling) -> bool:
        """Whether a checkpoint speaks of this file, or of that of which it is a copy."""
        entry = self._logbook.get(self._logbook.key_of(sibling.identity))
        if entry and entry.state.head_length and self._speaks_of(entry, sibling.path):
            return True
        head = self._head(sibling, HEAD_BYTES)
        return any(e.state.head_length and e.state.begins_like(head) for e in look.entries)

    def _claim(self, sibling: Sibling, place: str, offset: int) -> bool:
        """Write down from where on a file is still to be sent; False where somebody else is sending it."""
        try:
            source = open_source(sibling.path, lambda: False)
        except Stop as problem:
            log.warning("%s", problem)
            return False
        try:
            with self._open_checkpoint(source, place) as checkpoint:
                checkpoint.save(offset)
        except Stop as problem:
            log.warning("%s", problem)
            return False
        finally:
            source.close()
        return True

    def _let_go(self, entry: Entry, renewed: Collection[str | None]) -> None:
        """Another file has taken over what a checkpoint knew. Those of `renewed` speak of other files by now, which got
        the same inodes."""
        if entry.key not in renewed:
            self._logbook.finish(entry)

    def _tell_missing(self, look: _Look, entry: Entry, *, loud: bool) -> None:
        if not loud or not entry.state.offset:
            log.info("%s: the file that stood there before is gone", printable_path(look.path))
            return
        log.warning(
            "%s: the file that stood there before was sent up to byte %s, and is not found beside it: what was "
            "written to it after that, if anything, is missing",
            printable_path(look.path),
            f"{entry.state.offset:,}",
        )

    def _forget_old(self, entries: Sequence[Entry], around: Sequence[Sibling]) -> None:
        there = {self._logbook.key_of(sibling.identity) for sibling in around}
        limit = (time.time() - KEEP_DONE_SECONDS) * 1e9
        for entry in entries:
            if entry.state.done and entry.saved_ns < limit and entry.key not in there:
                self._logbook.forget(entry)
