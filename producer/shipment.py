"""One source on its way to the topic: read, sent, acknowledged, written down."""

import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field

from producer.checkpoint import Checkpoint
from producer.first_look import FirstLook
from producer.ledger import Counts, Ledger, Pending
from producer.looping import Loop
from producer.moments import Window
from producer.pacing import Pace
from producer.publisher import Publisher
from producer.sources.blocks import Block
from producer.sources.reader import Reader
from producer.sources.streams import Source, open_source
from schemas.errors import ClientEnded
from schemas.topics import Oversize
from terminal import failpoints
from terminal.failpoints import Place

CHECKPOINT_SECONDS = 1.0
"""How often a checkpoint is written: two fsyncs a second cost nothing, and a second's lines are soon sent again."""


@dataclass
class Manner:
    """How lines are sent: from what, which ones, and when."""

    pace: Pace = field(default_factory=Pace)
    window: Window | None = None
    stopping: Callable[[], bool] = field(default=lambda: False)
    longest_now: Callable[[], int] = field(default=lambda: 0)
    """Asks for the longest line in bytes that the topic takes now."""

    open_input: Callable[[str, Callable[[], bool]], Source] = open_source
    """Opens what is replayed: a log, or an export to be converted."""
    first_look: FirstLook | None = None
    """The files to be followed, as they stood before the topic was known."""
    loop: Loop | None = None
    scribe: Executor | None = None
    """Who writes the checkpoints beside the work, where a disk that stands still must not hold lines up."""


@dataclass
class Load:
    """A block on its way: those of its lines that are wanted, and its entry in the ledger."""

    lines: list[bytes]
    pending: Pending


class Shipment:
    """Moves one source's blocks to the topic, and its checkpoint with the acknowledgements.

    The checkpoint never runs ahead: every line before it is acknowledged. Killed at any moment, the next run sends
    again what was in flight, at most a window and a second's lines, and the table absorbs the repeats.
    """

    def __init__(
        self,
        reader: Reader,
        publisher: Publisher,
        manner: Manner,
        checkpoint: Checkpoint | None,
        start: int,
    ) -> None:
        self.reader = reader
        self.counts = Counts()
        """What was read in this run."""
        self.before_starting_over: Callable[[], bool] = lambda: True
        """Called when the file was found truncated, while the checkpoint still speaks of what stood there; whether that
        is needed no more."""
        self.keeps_old = False
        """Whether the checkpoint is still to speak of what stood there: a copy of it is looked for."""
        self.ledger = Ledger(self.name, start)
        self._truncations = reader.truncations
        self._publisher = publisher
        self._manner = manner
        self._checkpoint = checkpoint
        self._next_save = time.monotonic() + CHECKPOINT_SECONDS
        self._saving: Future[None] | None = None

    @property
    def name(self) -> str:
        """The source's printable name."""
        return self.reader.source.name

    def step(self) -> bool:
        """Send the next block; False where there is none to send now."""
        load = self.take()
        if load is not None:
            sent = 0
            for group in self._manner.pace.groups(load.lines):
                sent += len(group)
                self._publisher.publish(group, load.pending)
            if sent == len(load.lines):  # else the work stops, and the next run begins with it
                self.complete(load)
        self.save_if_due()
        return load is not None

    def take(self) -> Load | None:
        """Read the next block and enter it in the ledger; None where there is none to send now.

        Its lines are handed over next, and then it is completed. What is only taken will be sent by the next run.
        """
        block = self.reader.next_block()
        if block is None and self.reader.ended and not self._manner.stopping():
            block = self.reader.last_block()
        if self.reader.truncations != self._truncations:
            self._start_over()
        return None if block is None else self._enter(block)

    def _start_over(self) -> None:
        """The file was truncated: what is in flight of the old one counts for nothing in the new one."""
        self._truncations = self.reader.truncations
        if self._checkpoint:
            self._checkpoint.start_over(self.ledger.acknowledged, self.reader.head_before)
        self.keeps_old = not self.before_starting_over()
        self.ledger = Ledger(self.name, 0, self.counts)

    def _enter(self, block: Block) -> Load:
        if self._checkpoint and self._fits_by_now(block.oversize):
            raise ClientEnded(f"The topic takes longer lines by now, as one in {self.name}")
        lines, outside = self._wanted(block.lines)
        if self._manner.loop:
            lines = self._manner.loop.renamed(lines, self.reader.limit)
        pending = self.ledger.open(block.end, Counts(block.total, block.blank, outside, len(block.oversize)))
        for line in block.oversize:
            self._publisher.refer(line, self.name, pending)
        return Load(lines, pending)

    def complete(self, load: Load) -> None:
        """All lines of the load were handed over."""
        load.pending.acknowledged()
        self.counts += load.pending.counts

    def _fits_by_now(self, oversize: list[Oversize]) -> bool:
        """Whether the topic takes one of these lines now, which it did not when it was asked first."""
        return bool(oversize) and min(line.length for line in oversize) <= self._manner.longest_now()

    def _wanted(self, lines: list[bytes]) -> tuple[list[bytes], int]:
        window = self._manner.window
        if window is None:
            return lines, 0
        kept = [line for line in lines if window.wanted(line)]
        return kept, len(lines) - len(kept)

    def save_if_due(self) -> None:
        """Write the checkpoint where the last time was long enough ago. Raises `Stop` where that fails, or has failed
        beside the work."""
        if self.keeps_old or time.monotonic() < self._next_save:
            return
        if self._manner.scribe is None or self._checkpoint is None:
            self.save()
        elif self._saving is None or self._saving.done():
            self._see_it_saved()
            self._next_save = time.monotonic() + CHECKPOINT_SECONDS
            self._saving = self._manner.scribe.submit(self._write, self._checkpoint, self.ledger.acknowledged)

    def save(self, *, done: bool = False) -> None:
        """Write the checkpoint: what is acknowledged by now; `done`: and that nothing more is expected."""
        self._next_save = time.monotonic() + CHECKPOINT_SECONDS
        self._see_it_saved()
        if self._checkpoint and not self.keeps_old:
            self._write(self._checkpoint, self.ledger.acknowledged, done=done)

    def _see_it_saved(self) -> None:
        """Wait for the scribe, who is at this checkpoint or not begun with it."""
        if self._saving:
            saving, self._saving = self._saving, None
            saving.result()

    @staticmethod
    def _write(checkpoint: Checkpoint, acknowledged: int, *, done: bool = False) -> None:
        failpoints.reached(Place.PRODUCER_ACKNOWLEDGED)
        checkpoint.save(acknowledged, done=done)
