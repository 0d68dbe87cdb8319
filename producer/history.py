"""What stood behind a followed name before, and what of it is still to be sent: found by checkpoints and siblings."""

import logging
import time
from collections.abc import Collection
from typing import NamedTuple

from producer.beside import Beside, speaks_of
from producer.checkpoint import OpenCheckpoint
from producer.logbook import KEEP_DONE_SECONDS, Entry, Logbook
from producer.sources.rotated import Sibling
from producer.sources.streams import Identity, open_source, printable_path
from producer.state import place_of
from schemas.errors import Stop

log = logging.getLogger(__name__)


class Leg(NamedTuple):
    """A file to be sent before the one that stands at the name; its checkpoint says from where on."""

    path: str
    identity: Identity


class _Look(NamedTuple):
    """One look at a name: what is known and what is there."""

    place: str
    entries: list[Entry]
    beside: Beside
    here: str | None
    """The key of the file that stands at the name."""
    own: Entry | None
    """Its checkpoint, where that can be believed."""


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
        try:
            look = self._look(path, place, entries, identity)
            found = self._unfinished(look, loud=loud)
            if look.own is None or not look.own.state.head_length:  # it was empty, may have been filled and emptied
                found |= self._between(look, found)
        except PermissionError as error:
            log.warning(
                "%s: its folder does not let us look for files that were rotated (%s): what is in them is not sent "
                "before a run that is let, and of a copy of a truncated log not at all",
                printable_path(path),
                error.strerror,
            )
            return []
        return [Leg(s.path, s.identity) for s in sorted(found, key=lambda sibling: sibling.modified_ns)]

    def _look(self, path: str, place: str, entries: list[Entry], identity: Identity | None) -> _Look:
        beside = Beside(path, self._logbook, entries, self._taken)
        self._forget_old(entries, beside)
        here = identity and self._logbook.key_of(identity)
        entry = here and self._logbook.get(here)
        return _Look(place, entries, beside, here, entry if entry and speaks_of(entry, path) else None)

    def goes_on(self, path: str, identity: Identity) -> bool:
        """Whether the file at `path` is still the one that its checkpoint speaks of, so that nothing came in between.

        Cheap: neither the checkpoints nor the files beside it are looked through.
        """
        entry = self._logbook.read(self._logbook.key_of(identity))
        return entry is not None and entry.state.head_length > 0 and speaks_of(entry, path)

    def _unfinished(self, look: _Look, *, loud: bool) -> set[Sibling]:
        """Files that a checkpoint knows and that may hold more."""
        found: set[Sibling] = set()
        renewed = {look.here}
        being_read = {self._logbook.key_of(taken) for taken in self._taken} - {look.here}
        for entry in look.entries:
            if entry.state.done or entry is look.own or entry.key in being_read:
                continue
            if sibling := look.beside.same_file(entry):
                found.add(sibling)
            elif copies := look.beside.copies(entry):
                claimed = {copy for copy, start in copies.items() if self._claim(copy, look.place, start)}
                found |= claimed
                renewed |= {self._logbook.key_of(copy.identity) for copy in claimed}
                if claimed:
                    self._let_go(entry, renewed)
            else:
                look.beside.see_that_it_is_gone(entry)
                self._tell_missing(look, entry, loud=loud)
                self._let_go(entry, renewed)
        return found

    def _between(self, look: _Look, found: set[Sibling]) -> set[Sibling]:
        """Rotated files that no checkpoint knows, written to since the last one was saved."""
        telling = [entry for entry in look.entries if not entry.state.done or entry is look.entries[-1]]
        since = min(self._since(look, entry) for entry in telling)
        return {
            sibling
            for sibling in look.beside.unread
            if sibling not in found
            and sibling.modified_ns >= since
            and not look.beside.is_known(sibling)
            and self._claim(sibling, look.place, 0)
        }

    @staticmethod
    def _since(look: _Look, entry: Entry) -> int:
        """When the file of a checkpoint was last written to, or else when the checkpoint was."""
        file = look.beside.file_of(entry)
        return min(entry.saved_ns, file.modified_ns) if file else entry.saved_ns

    def _claim(self, sibling: Sibling, place: str, offset: int) -> bool:
        """Write down from where on a file is still to be sent; False where somebody else is sending it."""
        try:
            source = open_source(sibling.path)
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
        if not loud or not (entry.state.offset or entry.state.head_length):
            log.info("%s: the file that stood there before is gone", printable_path(look.beside.path))
            return
        log.warning(
            "%s: the file that stood there before was sent up to byte %s, and is not found beside it: what was "
            "written to it after that, if anything, is missing",
            printable_path(look.beside.path),
            f"{entry.state.offset:,}",
        )

    def _forget_old(self, entries: Collection[Entry], beside: Beside) -> None:
        limit = (time.time() - KEEP_DONE_SECONDS) * 1e9
        for entry in entries:
            if entry.state.done and entry.saved_ns < limit and entry.key not in beside.keys:
                self._logbook.forget(entry)
