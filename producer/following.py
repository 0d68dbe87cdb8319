"""All files that are followed at once: which of them are open, and in whose turn they are read."""

import contextlib
import io
import logging
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from producer.descriptors import most_followed
from producer.history import History
from producer.sources.names import Names
from producer.sources.rotated import identities_around
from producer.sources.streams import Identity, NoSuchFile, check_path, opened_source
from producer.trail import LOOK_SECONDS, Shipping, Trail

log = logging.getLogger(__name__)

FEW = 32
"""So many files stay open however quiet they are."""

QUIET_SECONDS = 10.0
"""With more than a few, one that is quiet for so long is closed, and looked at once a second."""


class Orphan(NamedTuple):
    """A file that is open and cannot be found any more: its followed path, and a descriptor for its next owner."""

    path: str
    descriptor: int


class Following:
    """The trails of all names, read in turns.

    The same file under two names is one file: whoever opened it first has it.
    """

    def __init__(
        self,
        names: Names,
        shipping: Shipping,
        history: Callable[[dict[Identity, object]], History | None],
        *,
        afresh: Callable[[str], bool] = lambda _: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`history` is given the files that are being read, as they come and go; nothing is looked for that came before
        the first file of a name that begins `afresh`.

        Raises `Stop` for a name behind which there is something that cannot be followed.
        """
        self._names = names
        given = names.given
        self._given = frozenset(given)
        self._shipping = shipping
        self._taken: dict[Identity, object] = {}
        self._history = history(self._taken)
        self._afresh = afresh
        self._clock = clock
        self._most = most_followed()
        self._trails: dict[str, Trail] = {}
        self._awake: list[Trail] = []
        self._asleep: list[Trail] = []
        self._crowded = False
        self._next_look = 0.0
        for path in given:
            _see_that_it_can_be_followed(path)

    def inherit(self, orphans: Sequence[Orphan]) -> None:
        """Go on with files that were open, and are not to be found any more."""
        for orphan in orphans:
            raw = io.FileIO(orphan.descriptor, "rb")
            raw.seek(0)  # a duplicate stands where its original did
            trail = self._trails.get(orphan.path) or self._add(orphan.path)
            trail.inherit(opened_source(orphan.path, raw))

    def orphans(self) -> list[Orphan]:
        """The open files that stand neither at their name nor beside it any more: nobody else would find them."""
        found: list[Orphan] = []
        for trail in self._trails.values():
            if generations := trail.generations:
                around = identities_around(trail.path)
                lost = [generation for generation in generations if generation.identity not in around]
                with contextlib.suppress(OSError):  # no descriptor left: what is there after all is found again
                    found += [Orphan(trail.path, generation.duplicate()) for generation in lost]
        return found

    def turn(self) -> bool:
        """Give every file its turn; whether something was sent."""
        now = self._clock()
        if now >= self._next_look:
            self._next_look = now + LOOK_SECONDS
            self._discover()
            self._put_to_sleep()
            self._wake()
        moved = [trail.step() for trail in list(self._awake)]
        if self._crowded:
            self._put_to_sleep()
            self._wake()
        return any(moved)

    def _add(self, path: str) -> Trail:
        trail = Trail(
            path,
            self._shipping,
            self._history,
            self._taken,
            given=path in self._given,
            afresh=self._afresh(path),
            clock=self._clock,
        )
        self._trails[path] = trail
        (self._awake if len(self._awake) < self._most else self._asleep).append(trail)
        return trail

    def _discover(self) -> None:
        named = self._names.look()
        for path in named:
            if path not in self._trails:
                self._add(path)
        gone = [path for path in self._trails.keys() - set(named) if self._trails[path].gone]
        for path in gone:
            trail = self._trails.pop(path)
            for trails in (self._awake, self._asleep):
                if trail in trails:
                    trails.remove(trail)

    def _wake(self) -> None:
        stirring = [trail for trail in self._asleep if trail.stirs()]
        room = max(0, self._most - len(self._awake))
        self._crowded = len(stirring) > room
        for trail in stirring[:room]:
            trail.wake()
            self._asleep.remove(trail)
            self._awake.append(trail)

    def _put_to_sleep(self) -> None:
        """Close those that are quiet: where others wait for their place, at once."""
        if len(self._trails) <= FEW:
            return
        patience = 0.0 if self._crowded else QUIET_SECONDS
        for trail in [trail for trail in self._awake if trail.idle and trail.quiet_seconds >= patience]:
            trail.sleep()
            self._awake.remove(trail)
            self._asleep.append(trail)


def _see_that_it_can_be_followed(path: str) -> None:
    """Raises `Stop` for what is there and is no file; a name without a file is waited for."""
    with contextlib.suppress(NoSuchFile):
        check_path(path)
