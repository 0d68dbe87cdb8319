"""The files that are older than the one at a followed name, and are sent before it."""

import logging
import math
from collections import deque
from collections.abc import Callable

from producer.beside import GROWING_SECONDS, Undecided
from producer.generation import Generation
from producer.history import History, Leg
from producer.sources.rotated import identity_at
from producer.sources.streams import Identity, printable_path
from schemas.errors import Stop

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
"""So long after a look that decided nothing there is another one."""


class Predecessors:
    """Of one followed name: looked for whenever another file stands there, and sent one after the other."""

    def __init__(
        self,
        path: str,
        history: History | None,
        opened: Callable[[str, Identity], Generation | None],
        leave: Callable[[Generation], None],
    ) -> None:
        """Without a `history` there are none. `opened` opens a file, and gives None where it is another by now; `leave`
        takes over one that was read to its end."""
        self._path = path
        self._history = history
        self._opened = opened
        self._leave = leave
        self._legs: deque[Leg] = deque()
        self._looked_for: list[Identity | None] = []
        """The file at the name for which the history was looked at last: one, or nothing."""
        self.current: Generation | None = None
        """The one that is being sent."""
        self._loud = True
        """Whether the next search says that lines may be missing."""
        self._undecided_since: float | None = None
        self._retry_at = 0.0

    @property
    def left(self) -> bool:
        """Whether there is one to be sent."""
        return bool(self.current or self._legs)

    def step(self, now: float) -> bool:
        """Send the next part of one; whether there was something to do."""
        if self.current is None:
            self.current = self._open(self._legs.popleft())
            return True
        if self.current.step(now):
            return True
        if self.current.waits(now):
            return False
        self.current.quiet_since = now
        self._leave(self.current)
        self.current = None
        return True

    def _open(self, leg: Leg) -> Generation | None:
        try:
            generation = self._opened(leg.path, leg.identity)
        except Stop as problem:
            if identity_at(leg.path):  # it keeps its checkpoint for the next start
                log.warning("%s", problem)
                return None
            generation = None
        if generation is None:  # renamed or compressed meanwhile: it is looked for again
            self._legs.clear()
            self.look_again()
        elif generation.unread:
            log.info("%s: %s is sent first", printable_path(self._path), printable_path(leg.path))
        return generation

    def look_for(self, identity: Identity | None, now: float) -> bool:
        """Look for those of the file that stands at the name now (None: no file); False where nobody can tell yet.

        Raises `Stop` where a checkpoint cannot be written.
        """
        if self._history is None or self._looked_for == [identity]:
            return True
        if now < self._retry_at:
            return False
        try:
            self._legs.extend(self._history.before(self._path, identity, loud=self._loud))
        except Undecided as young:
            self._tell_undecided(young, now)
            self._retry_at = now + RETRY_SECONDS
            return False
        self._undecided_since = None
        self.settle_for(identity)
        self._loud = True
        return True

    def _tell_undecided(self, young: Undecided, now: float) -> None:
        """Once, where it takes longer than the beginning of a compressed file should."""
        if self._undecided_since is None:
            self._undecided_since = now
        waited = now - self._undecided_since >= GROWING_SECONDS
        if waited:
            self._undecided_since = math.inf
        log.log(logging.WARNING if waited else logging.DEBUG, "%s: waiting for %s, which cannot be read yet",
                printable_path(self._path), printable_path(str(young)))  # fmt: skip

    def wake(self, grown: Identity | None) -> None:
        """The name was left alone for a while; `grown` is its file where that has only grown.

        All of it was sent when it was left, so nothing is told as missing: what it got within a second of being moved
        away or removed, to where it cannot be found, nobody would know.
        """
        if grown and self._history is not None and self._history.goes_on(self._path, grown):
            self.settle_for(grown)
        else:
            self._loud = False
            self.look_again()

    def settle_for(self, identity: Identity | None) -> None:
        """Look for no others as long as this file stands at the name."""
        self._looked_for = [identity]

    def look_again(self) -> None:
        """The next search looks, whatever stands at the name."""
        self._looked_for.clear()

    def look_for_copies(self, identity: Identity, now: float) -> bool:
        """The file at the name begins anew; a copy that was made of it before may hold what was not read.

        False where nobody can tell yet: then it is looked for again.
        """
        self._loud = False
        self.look_again()
        self._retry_at = now
        return self.look_for(identity, now)
