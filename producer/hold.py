"""What is on board: the sources that are open, each with its checkpoint, and what was sent of all."""

import logging
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from producer.checkpoint import Checkpoint
from producer.ledger import Counts
from producer.publisher import Publisher
from producer.shipment import Manner, Shipment
from producer.sources.reader import PACED_READ_BYTES, READ_BYTES, Reader
from producer.sources.streams import Identity, Source
from producer.state import place_of
from producer.topic import TopicFacts

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CheckpointPlace:
    """Where checkpoints are, and whether they are believed."""

    folder: Path
    restart: bool


class Hold:
    """Takes sources on board, goes on from their checkpoints, and closes them when all of theirs is acknowledged."""

    def __init__(
        self, publisher: Publisher, facts: TopicFacts, manner: Manner, checkpoints: CheckpointPlace | None
    ) -> None:
        """`checkpoints` is None where nothing should be resumed: then every source is read from its start."""
        self._publisher = publisher
        self._facts = facts
        self._manner = manner
        self.checkpoints = checkpoints
        self._resources: dict[Shipment, ExitStack] = {}
        self._begun: set[str | Identity] = set()
        """Places and files whose checkpoints are of this run."""
        self._counts_before = Counts()
        """What was sent before, of this run: by another client, and of files that were left."""
        self._progress_before = 0
        self._raw_bytes_done = 0
        self.shipments: list[Shipment] = []
        self.resumed_from: dict[str, int] = {}

    def open(self, path: str) -> Shipment:
        """Begin with a file, an export or standard input. Raises `Stop` as its opening and `Checkpoint` do."""
        source = self._manner.open_input(path, self._manner.stopping)
        try:
            return self._take(source, place_of(path), follow=False)
        except BaseException:
            source.close()
            raise

    def ship(self, source: Source, place: str) -> Shipment:
        """Begin with a followed file that stands, or stood, behind `place`. Raises `Stop` as `Checkpoint` does."""
        return self._take(source, place, follow=True)

    def _take(self, source: Source, place: str, *, follow: bool) -> Shipment:
        with ExitStack() as stack:
            checkpoint, start = self._resumed(source, place, stack)
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

    def _resumed(self, source: Source, place: str, stack: ExitStack) -> tuple[Checkpoint | None, int]:
        if source.identity is None or self.checkpoints is None:
            return None, 0
        checkpoint = stack.enter_context(self.open_checkpoint(source, place))
        begins_anew = self.checkpoints.restart and self._begun.isdisjoint((place, source.identity))
        self._begun.update((place, source.identity))
        start = 0 if begins_anew else checkpoint.load()
        if start and not source.goes_on_at(start):
            log.warning("%s: it does not go on where its checkpoint stands; it is read from its start", source.name)
            source.skip_to(0)
            start = 0
        self.resumed_from.setdefault(source.name, start)
        return checkpoint, start

    def open_checkpoint(self, source: Source, place: str) -> Checkpoint:
        """The checkpoint of a file that stands, or stood, behind `place`. Raises `Stop` as `Checkpoint` does."""
        assert self.checkpoints is not None
        return Checkpoint(self.checkpoints.folder, source, self._facts.name, self.target, place)

    @property
    def target(self) -> str:
        """What checkpoints speak of: the topic, and the window, for what another one kept out was never sent."""
        window = self._manner.window
        return f"{self._facts.identity}/{window}" if window else self._facts.identity

    # -- checkpoints, and closing --

    def attend(self) -> None:
        """Write the checkpoints that are due, while a line is waited for. Raises `Stop` where that fails."""
        for shipment in self._resources:
            shipment.save_if_due()

    def land(self, shipment: Shipment, *, done: bool) -> None:
        """Close a file of which everything is acknowledged; `done`: nothing more is expected of it."""
        shipment.save(done=done)
        self._resources.pop(shipment).close()
        self.shipments.remove(shipment)
        self._keep_counts(shipment)

    def close_settled(self) -> None:
        """Close what was read to its end and is acknowledged."""
        for shipment, stack in list(self._resources.items()):
            if shipment.reader.ended and shipment.ledger.settled:
                shipment.save()
                self._raw_bytes_done += shipment.reader.source.raw_position
                stack.close()
                del self._resources[shipment]

    def settle_round(self) -> None:
        """Keep nothing of a round but its counts: there may be rounds for ever."""
        self.close_settled()
        for shipment in self.shipments:
            if shipment not in self._resources:
                self._keep_counts(shipment)
        self.shipments = list(self._resources)

    def _keep_counts(self, shipment: Shipment) -> None:
        self._counts_before += shipment.counts
        self._progress_before += shipment.ledger.progress

    def close(self) -> None:
        """Write the checkpoints as they are, and close the sources."""
        with ExitStack() as all_of_them:
            for shipment, stack in self._resources.items():
                all_of_them.push(stack)
                all_of_them.callback(shipment.save)
        self._resources.clear()

    def successor(self, publisher: Publisher, facts: TopicFacts) -> Self:
        """Another that goes on from the checkpoints of this one, which is closed."""
        checkpoints = self.checkpoints and replace(self.checkpoints, restart=False)
        successor = type(self)(publisher, facts, self._manner, checkpoints)
        successor.resumed_from = self.resumed_from
        counts = (shipment.ledger.counts for shipment in self.shipments)
        successor._counts_before = sum(counts, self._counts_before)  # noqa: SLF001 -- one of us
        return successor

    # -- figures --

    @property
    def open_files(self) -> int:
        """How many sources are open: those that are being read, and those that wait for their acknowledgements."""
        return len(self._resources)

    @property
    def raw_position(self) -> int:
        """Bytes read of all sources, as they lie on the disk: for a progress bar."""
        return self._raw_bytes_done + sum(shipment.reader.raw_position for shipment in self._resources)

    @property
    def totals(self) -> Counts:
        """What was read and sent so far, over all sources."""
        return sum((shipment.counts for shipment in self.shipments), self._counts_before)

    @property
    def progress(self) -> int:
        """How many bytes of the sources became durable since this was begun."""
        return sum((shipment.ledger.progress for shipment in self.shipments), self._progress_before)

    @property
    def resumable(self) -> bool:
        """Whether every source that was opened has a checkpoint to go on from."""
        return all(shipment.name in self.resumed_from for shipment in self.shipments)
