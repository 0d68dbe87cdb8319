"""The successive files behind one followed name."""

import logging
import math
import time
from collections.abc import Callable, MutableMapping
from contextlib import ExitStack
from typing import NamedTuple, Protocol

from producer.generation import Generation
from producer.history import History
from producer.lingering import LINGER_SECONDS, Lingering
from producer.predecessors import Predecessors
from producer.shipment import Shipment
from producer.sources.rotated import identity_at
from producer.sources.streams import Identity, Source, open_source, printable_path
from producer.state import place_of
from schemas.errors import Stop

log = logging.getLogger(__name__)

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
        afresh: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`taken` holds the files that any trail reads; without a `history` nothing is looked for that came before, and
        with `afresh` not before the first file. `given` is a name that a person typed: that it is missing is told."""
        self.path = path
        self._given = given
        self._afresh = afresh
        self._shipping = shipping
        self._taken = taken
        self._clock = clock
        self._lingering = Lingering(self._close)
        self._predecessors = Predecessors(path, history, self._open, self._lingering.add)
        self._now: Generation | None = None
        self._asleep: Asleep | None = None
        self._next_look = 0.0
        self._retry_at = 0.0
        self._told_missing = False
        self._missing_since: float | None = None
        self._complaint: str | None = None
        self._begun = False

    @property
    def name(self) -> str:
        """The followed name, as it can be shown."""
        return printable_path(self.path)

    def step(self) -> bool:
        """Send what there is; whether there was something. Raises `Stop` where the work cannot go on."""
        lingered = self._lingering.step(self._clock())
        return self._go_on() or lingered

    def _go_on(self) -> bool:
        if self._predecessors.left:
            return self._predecessors.step(self._clock())
        if self._now is None:
            return self._begin()
        if not self._predecessors.look_for(self._now.identity, self._clock()) or self._predecessors.left:
            return self._predecessors.left
        self._now.shipment.keeps_old = False
        moved = self._now.step(self._clock())
        if not moved or self._clock() >= self._next_look:
            self._look_at_the_name(self._now)
        return moved

    # -- the file at the name --

    def _begin(self) -> bool:
        found = identity_at(self.path)
        identity = found and found[0]
        if self._clock() < self._retry_at or identity in self._taken:
            return False
        if self._afresh:
            self._predecessors.settle_for(identity)
        if not self._predecessors.look_for(identity, self._clock()):
            return False
        if self._predecessors.left:
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
        self._told_missing = self._afresh = False
        return True

    def _complain(self, problem: Stop) -> None:
        if problem.text != self._complaint:
            self._complaint = problem.text
            log.warning("%s (tried again every second)", problem)

    def _open(self, path: str, identity: Identity) -> Generation | None:
        """None where another file stands at the path by now: then what came before it has to be looked for again."""
        source = open_source(path)
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
        shipment.before_starting_over = lambda: self._predecessors.look_for_copies(identity, self._clock())
        self._taken[identity] = self
        return Generation(shipment, identity, self._clock())

    def inherit(self, source: Source) -> None:
        """Go on with a file that was open, and is not to be found any more."""
        self._lingering.add(self._adopt(source))

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
        self._lingering.add(current)
        self._now = None
        self._predecessors.look_again()

    def _close(self, generation: Generation) -> None:
        self._shipping.land(generation.shipment, done=generation.tell_what_is_left())
        self._taken.pop(generation.identity, None)

    def _tell_missing(self) -> None:
        if not self._told_missing:
            self._told_missing = True
            what = "was renamed or removed" if self._now or self._lingering.generations else "does not exist"
            level = logging.WARNING if self._given else logging.DEBUG
            log.log(level, "%s %s: waiting for a file of that name", self.name, what)

    @property
    def generations(self) -> list[Generation]:
        """The files that are open, the oldest first."""
        return [*self._lingering.generations, *filter(None, [self._predecessors.current, self._now])]

    # -- asleep: closed, and looked at by stat --

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do but to look whether a file grows or comes."""
        alone = not (self._predecessors.left or self._lingering.generations)
        now = self._now
        quiet = now is None or (now.at_end and now.settled and now.ends_at is None and not now.shipment.keeps_old)
        return alone and quiet

    @property
    def quiet_seconds(self) -> float:
        """How long ago the last line came."""
        return self._clock() - self._now.quiet_since if self._now else math.inf

    @property
    def gone(self) -> bool:
        """Whether neither the name nor anything of it is there any more."""
        return (
            not self.generations
            and not self._predecessors.left
            and self._asleep is None
            and identity_at(self.path) is None
        )

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
        if slept := self._asleep:
            self._taken.pop(slept.identity, None)
            self._asleep = None
            found = identity_at(self.path)
            grown = found is not None and found[0] == slept.identity and found[1] >= slept.size
            self._predecessors.wake(slept.identity if grown else None)
