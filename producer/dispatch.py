"""All sources of one run, one after the other for a replay, or together as they grow."""

import logging
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from producer.checkpoint import Checkpoint
from producer.client import TopicFacts
from producer.ledger import Counts
from producer.merging import Conductor, make_room
from producer.publisher import Publisher
from producer.shipment import Manner, Shipment
from producer.sources.reader import PACED_READ_BYTES, READ_BYTES, Reader
from producer.sources.streams import STANDARD_INPUT, Source, open_source
from schemas.errors import UsageProblem

log = logging.getLogger(__name__)

FOLLOW_SECONDS = 0.05
"""How often a followed file is looked at when it did not grow: part of a line's way to its row, which should take a
quarter of a second at most."""


@dataclass(frozen=True)
class CheckpointPlace:
    """Where checkpoints are, and whether they are believed."""

    folder: Path
    restart: bool


class Dispatch:
    """Opens sources, keeps them going, and closes them when everything of theirs is acknowledged."""

    def __init__(self, publisher: Publisher, facts: TopicFacts, manner: Manner, place: CheckpointPlace | None) -> None:
        """`place` is None where nothing should be resumed: then every source is read from its start."""
        self._publisher = publisher
        self._facts = facts
        self._manner = manner
        self._place = place
        self._resources: list[tuple[Shipment, ExitStack]] = []
        self.sent_before: dict[str, Counts] = {}
        """What a run sent of sources that are not opened again yet."""
        self.shipments: list[Shipment] = []
        self.resumed_from: dict[str, int] = {}
        self.raw_bytes_done = 0
        """Bytes of the sources that are closed: for a progress bar."""

    def _open(self, path: str, *, follow: bool) -> Shipment:
        with ExitStack() as stack:
            source = open_source(path, self._manner.stopping)
            stack.callback(source.close)
            checkpoint, start = self._checkpoint(source, stack)
            read_bytes = READ_BYTES if self._manner.pace.free else PACED_READ_BYTES
            reader = Reader(source, limit=self._facts.longest_line, start=start, follow=follow, read_bytes=read_bytes)
            counts = self.sent_before.pop(source.name, Counts())
            shipment = Shipment(reader, self._publisher, self._manner, checkpoint, start, counts)
            self._resources.append((shipment, stack.pop_all()))
        self.shipments.append(shipment)
        if start:
            log.info("%s: going on at byte %s", source.name, f"{start:,}")
        return shipment

    def _checkpoint(self, source: Source, stack: ExitStack) -> tuple[Checkpoint | None, int]:
        if source.identity is None or self._place is None:
            return None, 0
        checkpoint = stack.enter_context(Checkpoint(self._place.folder, source, self._facts.name, self._facts.identity))
        start = 0 if self._place.restart else checkpoint.load()
        self.resumed_from.setdefault(source.name, start)
        return checkpoint, start

    def replay(self, paths: Iterable[str], progress: Callable[[], None]) -> None:
        """Send every source to its end: by the timestamps merged by time, otherwise in the order given. A loop does so
        again and again."""
        names = list(dict.fromkeys(paths))
        once = self._merged if self._manner.pace.by_moment else self._in_turn
        if self._manner.loop is None:
            once(names, progress)
            return
        while not self._manner.stopping() and self._manner.loop.next_round():
            before = self.totals
            self._manner.pace.begin()
            once(names, progress)
            self._settle_round()
            if not self.totals.sent - before.sent and not self._manner.stopping():
                log.warning("A round without a line to send: there will be no other")
                return

    def _in_turn(self, paths: Collection[str], progress: Callable[[], None]) -> None:
        for path in paths:
            shipment = self._open(path, follow=False)
            while not self._manner.stopping() and shipment.step():
                progress()
            self._close_settled()
            if self._manner.stopping():
                return

    def _merged(self, paths: Collection[str], progress: Callable[[], None]) -> None:
        def attend() -> None:
            self.attend()
            progress()

        make_room(len(paths))
        shipments = [self._open(path, follow=False) for path in paths]
        Conductor(shipments, self._publisher, self._manner, attend).run()

    def attend(self) -> None:
        """Write the checkpoints that are due, while a line is waited for. Raises `Stop` where that fails."""
        for shipment, _ in self._resources:
            shipment.save_if_due()

    def _settle_round(self) -> None:
        """Keep nothing of a round but its counts: there may be rounds for ever."""
        self._publisher.flush(give_up=self._manner.stopping)
        self._close_settled()
        open_still = {shipment.name for shipment, _ in self._resources}
        for shipment in self.shipments:
            if shipment.name not in open_still:
                self.sent_before[shipment.name] = shipment.counts
        self.shipments = [shipment for shipment in self.shipments if shipment.name in open_still]

    def follow(self, paths: Iterable[str], progress: Callable[[], None]) -> None:
        """Send the sources as they grow, until told to stop.

        Raises `UsageProblem` for standard input beside others: it would hold them up.
        """
        names = list(dict.fromkeys(paths))
        if STANDARD_INPUT in names and len(names) > 1:
            raise UsageProblem("With --follow, standard input cannot be read beside files", "Run two producers")
        shipments = [self._open(path, follow=True) for path in names]
        while not self._manner.stopping() and not all(shipment.reader.ended for shipment in shipments):
            moved = [shipment.step() for shipment in shipments]
            if not any(moved):
                self._publisher.serve(FOLLOW_SECONDS)
            progress()

    @property
    def raw_position(self) -> int:
        """Bytes read of all sources, as they lie on the disk."""
        return self.raw_bytes_done + sum(shipment.reader.source.raw_position for shipment, _ in self._resources)

    @property
    def totals(self) -> Counts:
        """What was read and sent so far, over all sources."""
        return sum((shipment.counts for shipment in self.shipments), sum(self.sent_before.values(), Counts()))

    @property
    def acknowledged(self) -> dict[str, int]:
        """Up to which byte every line is durable, by source."""
        return {shipment.name: shipment.ledger.acknowledged for shipment in self.shipments}

    @property
    def resumable(self) -> bool:
        """Whether every source that was opened has a checkpoint to go on from."""
        return all(shipment.name in self.resumed_from for shipment in self.shipments)

    def successor(self, publisher: Publisher, facts: TopicFacts) -> Self:
        """Another that goes on from the checkpoints of this one, which is closed."""
        place = self._place and replace(self._place, restart=False)
        successor = type(self)(publisher, facts, self._manner, place)
        successor.resumed_from = self.resumed_from
        successor.sent_before = {shipment.name: shipment.ledger.counts for shipment in self.shipments}
        return successor

    def _close_settled(self) -> None:
        for entry in list(self._resources):
            shipment, stack = entry
            if shipment.reader.ended and shipment.ledger.settled:
                shipment.save()
                self.raw_bytes_done += shipment.reader.source.raw_position
                stack.close()
                self._resources.remove(entry)

    def finish(self, grace_seconds: float) -> int:
        """Wait for the acknowledgements, write the checkpoints; returns how many records stayed without one.

        Waits for ever where nobody interrupted, and `grace_seconds` after an interruption.
        """
        deadline: float | None = None

        def give_up() -> bool:
            nonlocal deadline
            if not self._manner.stopping():
                return False
            deadline = deadline or time.monotonic() + grace_seconds
            return time.monotonic() > deadline

        try:
            left = self._publisher.flush(give_up=give_up)
            if left:
                self._publisher.abandon()
        finally:
            self.close()
        return left

    def close(self) -> None:
        """Write the checkpoints as they are, and close the sources."""
        with ExitStack() as all_of_them:
            for shipment, stack in self._resources:
                all_of_them.push(stack)
                all_of_them.callback(shipment.save)
        self._resources.clear()
