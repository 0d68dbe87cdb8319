"""The successive files behind one followed name."""

import logging
import math
import time
from collections import deque
from collections.abc import Callable, MutableMapping
from contextlib import ExitStack
from typing import NamedTuple, Protocol

from producer.generation import Generation
from producer.history import History, Leg, Undecided
from producer.shipment import Shipment
from producer.sources.rotated import identity_at
from producer.sources.streams import Identity, Source, open_source, printable_path
from producer.state import place_of
from schemas.errors import Stop

log = logging.getLogger(__name__)

LINGER_SECONDS = 60.0
"""So long after its last line a file that was rotated away is still looked at: its writer may not know it yet."""

LINGERING = 8
"""So many of them at most."""

LOOK_SECONDS = 1.0
"""How often, at least, it is looked whether another file stands at the name, while lines come without a pause."""


ROTATING_SECONDS = 0.5
"""A rotation leaves no file at the name for a moment: only a longer one is told."""


class Shipping(Protocol):
    """Whoever carries files to the topic, and keeps their checkpoints."""

    def ship(self, source: Source, place: str) -> Shipment:
        """Begin with a file that stands, or stood, behind `place`."""

    def land(self, shipment: Shipment, *, done: bool) -> None:
        """Write the checkpoint and close a file of which everything is acknowledged."""


class Asleep(NamedTuple):
    """A closed file as it was when everything in it was sent."""

    identity: Identity
    size: int


class Trail:
    """Follows a name through rename rotation, truncation, removal and recreation.

    The old file is read to its end before the new one is begun, and looked at for a while afterwards. A line is sent
    when its newline is there, and never before. What is not sent of a file when it is given up stays behind its
    checkpoint, and is said.
    """

    def __init__(
        self,
        path: str,
        shipping: Shipping,
        history: History | None,
        taken: MutableMapping[Identity, object],
        *,
        given: bool = True,
        restart: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`taken` holds the files that any trail reads; without a `history` nothing is looked for that came before, and
        with `restart` not before the first file. `given` is a name that a person typed: that it is missing is told."""
        self.path = path
        self._given = given
        self._restart = restart
        self._shipping = shipping
        self._history = history
        self._taken = taken
        self._clock = clock
        self._legs: deque[Leg] = deque()
        self._leg: Generation | None = None
        self._now: Generation | None = None
        self._old: list[Generation] = []
        self._asleep: Asleep | None = None
        self._searched: list[Identity | None] = []
        """The file at the name for which the history was looked at last."""
        self._next_look = 0.0
        self._retry_at = 0.0
        self._told_missing = False
        self._missing_since: float | None = None
        self._complaint: str | None = None
        self._begun = False
        self._loud = True

    @property
    def name(self) -> str:
        """The followed name, as it can be shown."""
        return printable_path(self.path)

    def step(self) -> bool:
        """Send what there is; whether there was something. Raises `Stop` where the work cannot go on."""
        lingered = [self._look_after(generation) for generation in list(self._old)]
        return self._go_on() or any(lingered)

    def _go_on(self) -> bool:
        if self._leg or self._legs:
            return self._walk()
        if self._now is None:
            return self._begin()
        moved = self._now.step(self._clock())
        if not moved or self._clock() >= self._next_look:
            self._look_at_the_name(self._now)
        return moved

    # -- what comes before the file at the name --

    def _walk(self) -> bool:
        """Send the next part of a file that is older than the one at the name."""
        if self._leg is None:
            self._leg = self._open_leg(self._legs.popleft())
            return True
        now = self._clock()
        if self._leg.step(now):
            return True
        if self._leg.waits(now):
            return False
        self._leg.quiet_since = now
        self._old.append(self._leg)
        self._leg = None
        return True

    def _open_leg(self, leg: Leg) -> Generation | None:
        try:
            generation = self._open(leg.path, leg.identity)
        except Stop as problem:
            if identity_at(leg.path):  # it keeps its checkpoint for the next start
                log.warning("%s", problem)
                return None
            generation = None
        if generation is None:  # renamed or compressed meanwhile: it is looked for again
            self._legs.clear()
            self._searched.clear()
        return generation

    def _search(self, identity: Identity | None) -> bool:
        """Look for what came before; False where nobody can tell yet."""
        if self._history is None or self._searched == [identity]:
            return True
        if self._restart:
            self._searched = [identity]
            return True
        try:
            self._legs.extend(self._history.before(self.path, identity, loud=self._loud))
        except Undecided as young:
            log.debug("%s: waiting for %s", self.name, young)
            return False
        self._searched = [identity]
        self._loud = True
        for leg in self._legs:
            log.info("%s: %s is sent first", self.name, printable_path(leg.path))
        return True

    # -- the file at the name --

    def _begin(self) -> bool:
        found = identity_at(self.path)
        identity = found and found[0]
        if self._clock() < self._retry_at or identity in self._taken:
            return False
        if not self._search(identity):
            self._retry_at = self._clock() + LOOK_SECONDS
            return False
        if self._legs:
            return True
        if identity is None:
            self._tell_missing()
            return False
        return self._begin_with(identity)

    def _begin_with(self, identity: Identity) -> bool:
        """Open the file at the name; False where it cannot be opened now.

        Raises `Stop` where a file that a person named cannot be opened from the start: later it is waited for.
        """
        try:
            self._now = self._open(self.path, identity)
        except Stop as problem:
            if self._given and not self._begun and identity_at(self.path):
                raise
            self._retry_at = self._clock() + LOOK_SECONDS
            self._complain(problem)
            return False
        if self._now is None:
            return False
        self._now.shipment.save()  # from now on it is known, and looked for if it is renamed
        self._begun = True
        self._complaint = None
        self._told_missing = self._restart = False
        return True

    def _complain(self, problem: Stop) -> None:
        if problem.text != self._complaint:
            self._complaint = problem.text
            log.warning("%s (tried again every second)", problem)

    def _open(self, path: str, identity: Identity) -> Generation | None:
        """None where another file stands at the path by now: then what came before it has to be looked for again."""
        source = open_source(path, lambda: False)
        with ExitStack() as stack:
            stack.callback(source.close)
            if source.identity != identity or identity in self._taken:
                return None
            if source.compression and path == self.path:
                raise Stop(f"{self.name}: a {source.compression} file cannot be followed", "Leave --follow out for it")
            generation = self._adopt(source)
            stack.pop_all()
        return generation

    def _adopt(self, source: Source) -> Generation:
        assert source.identity is not None
        shipment = self._shipping.ship(source, place_of(self.path))
        identity = source.identity
        shipment.before_starting_over = lambda: self._was_truncated(identity)
        self._taken[identity] = self
        return Generation(shipment, identity, self._clock())

    def inherit(self, source: Source) -> None:
        """Go on with a file that was open, and may have no name any more."""
        self._old.append(self._adopt(source))

    def _was_truncated(self, identity: Identity) -> None:
        """The file begins anew; a copy that was made of it before may hold what was not read."""
        if self._history is not None:
            try:
                self._legs.extend(self._history.before(self.path, identity, loud=False))
            except Undecided as young:
                log.warning("%s: %s is not looked at: it is still being compressed", self.name, young)

    def _look_at_the_name(self, current: Generation) -> None:
        """See whether another file stands at the name, and go over to it when the old one is read."""
        now = self._clock()
        self._next_look = now + LOOK_SECONDS
        found = identity_at(self.path)
        quiet = now - current.quiet_since >= LINGER_SECONDS
        if found and found[0] not in self._taken:
            self._missing_since = None
        if found and found[0] == current.identity:
            self._told_missing = False
            current.ends_at = None
        elif found is None or found[0] in self._taken:
            self._missing_since = now if self._missing_since is None else self._missing_since
            if now - self._missing_since >= ROTATING_SECONDS:
                self._tell_missing()
            if quiet and (found or current.removed):
                self._leave(current)
        elif current.ends_at is None:
            if found[1] or quiet:  # an empty file may not have its writer yet
                current.ends_at = current.size
                self._next_look = now
        elif current.read_so_far:
            log.info("%s: another file stands there now (rotated); the old one is read to its end", self.name)
            current.quiet_since = now
            self._leave(current)

    def _leave(self, current: Generation) -> None:
        current.shipment.save()
        self._old.append(current)
        self._now = None
        self._searched.clear()

    def _tell_missing(self) -> None:
        if not self._told_missing:
            self._told_missing = True
            what = "was renamed or removed" if self._now or self._old else "does not exist"
            level = logging.WARNING if self._given else logging.DEBUG
            log.log(level, "%s %s: waiting for a file of that name", self.name, what)

    # -- files that were left --

    def _look_after(self, generation: Generation) -> bool:
        """Send what still comes of a file that was left, and close it when nothing did for a while."""
        now = self._clock()
        moved = generation.step(now)
        packed = generation.shipment.reader.source.compression is not None
        over = packed or now - generation.quiet_since >= LINGER_SECONDS or len(self._old) > LINGERING
        if not moved and over and generation.settled:
            self._close(generation)
        return moved

    def _close(self, generation: Generation) -> None:
        self._old.remove(generation)
        self._shipping.land(generation.shipment, done=generation.tell_what_is_left())
        self._taken.pop(generation.identity, None)

    @property
    def generations(self) -> list[Generation]:
        """The files that are open, the oldest first."""
        return [*self._old, *filter(None, [self._leg, self._now])]

    # -- asleep: closed, and looked at by stat --

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do but to look whether a file grows or comes."""
        alone = not (self._legs or self._leg or self._old)
        now = self._now
        return alone and (now is None or (now.at_end and now.settled and now.ends_at is None))

    @property
    def quiet_seconds(self) -> float:
        """How long ago the last line came."""
        return self._clock() - self._now.quiet_since if self._now else math.inf

    @property
    def gone(self) -> bool:
        """Whether neither the name nor anything of it is there any more."""
        return not self.generations and not self._legs and self._asleep is None and identity_at(self.path) is None

    def sleep(self) -> None:
        """Close the file until it changes."""
        if self._now:
            self._asleep = Asleep(self._now.identity, self._now.shipment.reader.position)
            self._shipping.land(self._now.shipment, done=False)
            self._now = None

    def stirs(self) -> bool:
        """Whether there is something to do."""
        found = identity_at(self.path)
        if self._asleep is None:
            return found is not None and found[0] not in self._taken
        return found != self._asleep

    def wake(self) -> None:
        """Open it again, from its checkpoint."""
        if self._asleep:
            self._taken.pop(self._asleep.identity, None)
            self._loud = False  # everything was sent when it was looked at last
            self._asleep = None
            self._searched.clear()
