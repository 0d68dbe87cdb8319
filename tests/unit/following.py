"""What the tests of followed files share: a dispatch with a publisher that is a list, and a clock that is set."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast

from producer.dispatch import Dispatch
from producer.following import Following
from producer.hold import CheckpointPlace
from producer.ledger import Pending
from producer.publisher import Publisher
from producer.shipment import Manner
from producer.sources.names import Names
from producer.topic import TopicFacts
from schemas.topics import Oversize

FACTS = TopicFacts("chat", 4, 1 << 20, "cluster/topic-id")


class Shelf:
    """A publisher that keeps lines in a list, and acknowledges them when it is told to."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self._waiting: list[Pending] = []

    def publish(self, lines: list[bytes], pending: Pending) -> None:
        """Take the lines of a block."""
        pending.parts += 1
        self.lines += lines
        self._waiting.append(pending)

    def refer(self, line: Oversize, source: str, pending: Pending) -> None:
        """There are no oversize lines in these tests."""
        raise AssertionError((line, source, pending))

    def acknowledge(self, blocks: int | None = None) -> None:
        """The oldest blocks, or all, are durable."""
        count = len(self._waiting) if blocks is None else blocks
        for pending in self._waiting[:count]:
            pending.acknowledged()
        del self._waiting[:count]


class Run:
    """A producer from its start until it is ended or killed, turn by turn."""

    def __init__(self, state: Path, names: Sequence[Path | str], *, restart: bool = False, begin: bool = True) -> None:
        self.seconds = 0.0
        self.shelf = Shelf()
        place = CheckpointPlace(state, restart)
        self.dispatch = Dispatch(cast("Publisher", self.shelf), FACTS, Manner(), place)
        self._names = [str(name) for name in names]
        self._restart = restart
        if begin:
            self.begin()

    def begin(self) -> None:
        """Look at the names for the first time."""
        self.following = Following(
            Names(self._names),
            self.dispatch.hold,
            self.dispatch._history,
            restart=self._restart,
            clock=lambda: self.seconds,
        )

    @property
    def sent(self) -> list[bytes]:
        """What was sent so far."""
        return self.shelf.lines

    def turn(self, times: int = 1, *, acknowledge: bool = True) -> list[bytes]:
        """So many turns, a twentieth of a second each; returns what was sent in them."""
        before = len(self.sent)
        for _ in range(times):
            self.following.turn()
            if acknowledge:
                self.shelf.acknowledge()
            self.seconds += 0.05
        return self.sent[before:]

    def settle(self) -> list[bytes]:
        """Turns until nothing comes for more than a second; returns what was sent in them."""
        before, quiet = len(self.sent), 0
        while quiet < 30:
            quiet = 0 if self.turn() else quiet + 1
        return self.sent[before:]

    def wait(self, seconds: float) -> list[bytes]:
        """Let time pass, with a turn every second of it."""
        before = len(self.sent)
        until = self.seconds + seconds
        while self.seconds < until:
            self.turn()
            self.seconds += 0.95
        return self.sent[before:]

    def save(self) -> None:
        """Write the checkpoints, as each second does."""
        for shipment in self.dispatch.hold.shipments:
            shipment.save()

    def end(self) -> None:
        """End as after a signal."""
        self.shelf.acknowledge()
        self.dispatch.hold.close()

    def kill(self) -> None:
        """Be gone, and write nothing."""
        for stack in self.dispatch.hold._resources.values():
            with suppress(OSError):
                stack.close()
        self.dispatch.hold._resources.clear()
