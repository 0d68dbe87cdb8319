"""All sources of one run, one after the other for a replay, or together as they grow."""

import logging
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Self

from producer.checkpoint import Checkpoint
from producer.descriptors import make_room
from producer.first_look import FirstLook
from producer.following import Following, Orphan
from producer.history import History
from producer.ledger import Counts
from producer.logbook import Logbook
from producer.merging import Conductor
from producer.publisher import Publisher
from producer.shipment import Manner, Shipment
from producer.sources.names import Names
from producer.sources.reader import PACED_READ_BYTES, READ_BYTES, Reader
from producer.sources.streams import STANDARD_INPUT, Identity, Source
from producer.state import place_of
from producer.topic import TopicFacts
from schemas.errors import ClientEnded, Stop, UsageProblem

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
        self._resources: dict[Shipment, ExitStack] = {}
        self._begun: set[str] = set()
        self._following: Following | None = None
        self.orphans: list[Orphan] = []
        """Followed files without a name that wait for whoever goes on."""
        self.counts_before = Counts()
        """What was sent before, of this run: by another client, and of files that were left."""
        self._progress_before = 0
        self.shipments: list[Shipment] = []
        self.resumed_from: dict[str, int] = {}
        self.raw_bytes_done = 0
        """Bytes of the sources that are closed: for a progress bar."""

    def _open(self, path: str) -> Shipment:
        source = self._manner.open_input(path, self._manner.stopping)
        try:
            return self._ship(source, place_of(path), follow=False)
        except BaseException:
            source.close()
            raise

    def _ship(self, source: Source, place: str, *, follow: bool) -> Shipment:
        with ExitStack() as stack:
            checkpoint, start = self._checkpoint(source, place, stack)
            pace = self._manner.pace
            reader = Reader(
                source,
                limit=self._facts.longest_line,
                start=start,
                follow=follow,
                read_bytes=READ_BYTES if pace.free else PACED_READ_BYTES,
                by_line=pace.by_line,
            )
            shipment = Shipment(reader, self._publisher, self._manner, checkpoint, start)
            stack.callback(source.close)
            self._resources[shipment] = stack.pop_all()
        self.shipments.append(shipment)
        if start:
            log.info("%s: going on at byte %s", source.name, f"{start:,}")
        return shipment

    def _checkpoint(self, source: Source, place: str, stack: ExitStack) -> tuple[Checkpoint | None, int]:
        if source.identity is None or self._place is None:
            return None, 0
        checkpoint = stack.enter_context(self._open_checkpoint(self._place.folder, source, place))
        begins_anew = self._place.restart and place not in self._begun
        self._begun.add(place)
        start = 0 if begins_anew else checkpoint.load()
        if start and not source.goes_on_at(start):
            log.warning("%s: it does not go on where its checkpoint stands; it is read from its start", source.name)
            source.skip_to(0)
            start = 0
        self.resumed_from.setdefault(source.name, start)
        return checkpoint, start

    def _open_checkpoint(self, folder: Path, source: Source, place: str) -> Checkpoint:
        return Checkpoint(folder, source, self._facts.name, self._target, place)

    @property
    def _target(self) -> str:
        """What checkpoints speak of: the topic, and the window, for what another one kept out was never sent."""
        window = self._manner.window
        return f"{self._facts.identity}/{window}" if window else self._facts.identity

    def run(self, paths: Iterable[str], progress: Callable[[], None], *, follow: bool, grace_seconds: float) -> int:
        """Send the sources and wait for the acknowledgements; returns how many records stayed without one.

        What was read before a source came to a bad end is delivered, too. Raises `Stop` as the sources and the
        publisher do.
        """
        try:
            (self.follow if follow else self.replay)(paths, progress)
        except ClientEnded:
            self.give_up()
            raise
        except Stop:
            self.finish(grace_seconds)
            raise
        except BaseException:  # a bug: the broker, which may be away, is not waited for
            self.close()
            raise
        return self.finish(grace_seconds)

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
            shipment = self._open(path)
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
        shipments = [self._open(path) for path in paths]
        Conductor(shipments, self._publisher, self._manner, attend).run()

    def attend(self) -> None:
        """Write the checkpoints that are due, while a line is waited for. Raises `Stop` where that fails."""
        for shipment in self._resources:
            shipment.save_if_due()

    def _settle_round(self) -> None:
        """Keep nothing of a round but its counts: there may be rounds for ever."""
        self._publisher.flush(give_up=self._manner.stopping)
        self._close_settled()
        for shipment in self.shipments:
            if shipment not in self._resources:
                self.counts_before += shipment.counts
                self._progress_before += shipment.ledger.progress
        self.shipments = list(self._resources)

    def follow(self, paths: Iterable[str], progress: Callable[[], None]) -> None:
        """Send the sources as they grow, until told to stop.

        Raises `UsageProblem` for standard input beside others: it would hold them up.
        """
        names = list(dict.fromkeys(paths))
        if STANDARD_INPUT in names:
            if len(names) > 1:
                raise UsageProblem("With --follow, standard input cannot be read beside files", "Run two producers")
            self.replay(names, progress)
            return
        first_look = self._manner.first_look or FirstLook(Names(names))
        if self._place:
            first_look.claim(partial(self._open_checkpoint, self._place.folder))
        restart = self._place is not None and self._place.restart
        self._following = Following(first_look.names, self, self._history, restart=restart)
        self._following.inherit(self.orphans)
        self.orphans.clear()
        while not self._manner.stopping():
            if not self._following.turn():
                self._publisher.serve(FOLLOW_SECONDS)
            progress()

    def _history(self, taken: Collection[Identity]) -> History | None:
        if self._place is None:
            return None
        folder = self._place.folder
        logbook = Logbook(folder, self._facts.name, self._target)
        return History(logbook, partial(self._open_checkpoint, folder), taken)

    def ship(self, source: Source, place: str) -> Shipment:
        """Begin with a followed file that stands, or stood, behind `place`. Raises `Stop` as `Checkpoint` does."""
        return self._ship(source, place, follow=True)

    def land(self, shipment: Shipment, *, done: bool) -> None:
        """Close a file of which everything is acknowledged; `done`: nothing more is expected of it."""
        shipment.save(done=done)
        self._resources.pop(shipment).close()
        self.shipments.remove(shipment)
        self.counts_before += shipment.counts
        self._progress_before += shipment.ledger.progress

    @property
    def raw_position(self) -> int:
        """Bytes read of all sources, as they lie on the disk."""
        return self.raw_bytes_done + sum(shipment.reader.raw_position for shipment in self._resources)

    @property
    def totals(self) -> Counts:
        """What was read and sent so far, over all sources."""
        return sum((shipment.counts for shipment in self.shipments), self.counts_before)

    @property
    def progress(self) -> int:
        """How many bytes of the sources became durable since this was begun."""
        return sum((shipment.ledger.progress for shipment in self.shipments), self._progress_before)

    @property
    def resumable(self) -> bool:
        """Whether every source that was opened has a checkpoint to go on from."""
        return all(shipment.name in self.resumed_from for shipment in self.shipments)

    def successor(self, publisher: Publisher, facts: TopicFacts) -> Self:
        """Another that goes on from the checkpoints of this one, which is closed."""
        place = self._place and replace(self._place, restart=False)
        successor = type(self)(publisher, facts, self._manner, place)
        successor.resumed_from = self.resumed_from
        counts = (shipment.ledger.counts for shipment in self.shipments)
        successor.counts_before = sum(counts, self.counts_before)
        successor.orphans, self.orphans = self.orphans, []
        return successor

    def _close_settled(self) -> None:
        for shipment, stack in list(self._resources.items()):
            if shipment.reader.ended and shipment.ledger.settled:
                shipment.save()
                self.raw_bytes_done += shipment.reader.source.raw_position
                stack.close()
                del self._resources[shipment]

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

    def give_up(self) -> None:
        """The client ended: close everything, and keep what only this process can still read for the successor."""
        if self._following:
            self.orphans = self._following.orphans()
        self.close()

    def close(self) -> None:
        """Write the checkpoints as they are, and close the sources."""
        with ExitStack() as all_of_them:
            for shipment, stack in self._resources.items():
                all_of_them.push(stack)
                all_of_them.callback(shipment.save)
        self._resources.clear()
