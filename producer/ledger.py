"""Which blocks are acknowledged, and what was in them: the checkpoint's only source of truth."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Counts:
    """What was read and sent of a source. `lines` counts every line, blank ones included."""

    lines: int = 0
    blank: int = 0
    outside: int = 0
    """Lines outside the time window, not sent on purpose."""
    oversize: int = 0

    @property
    def sent(self) -> int:
        """Lines that went to the topic, or as a reference to the dead letters."""
        return self.lines - self.blank - self.outside

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.lines + other.lines,
            self.blank + other.blank,
            self.outside + other.outside,
            self.oversize + other.oversize,
        )


class Pending:
    """One block on its way: the bytes from `start` to `end` of `source`. Open until every part of it is
    acknowledged."""

    __slots__ = ("counts", "end", "parts", "source", "start")

    def __init__(self, source: str, start: int, end: int, counts: Counts | None = None) -> None:
        self.source = source
        self.start = start
        self.end = end
        self.counts = counts or Counts()
        self.parts = 1  # the block itself, until all its parts were handed over

    def acknowledged(self) -> None:
        """One part of the block is durable."""
        self.parts -= 1


class Joint(Pending):
    """Lines of several blocks that are sent together: each of the blocks waits for all of them."""

    __slots__ = ("_blocks",)

    def __init__(self, blocks: Iterable[Pending]) -> None:
        first, *others = blocks
        super().__init__(first.source, first.start, first.end)
        self._blocks = [first, *others]
        for block in self._blocks:
            block.parts += 1

    def acknowledged(self) -> None:
        """One part of what was sent together is durable."""
        super().acknowledged()
        if self.parts == 0:
            for block in self._blocks:
                block.acknowledged()


class Ledger:
    """Follows the blocks of one source through the topic.

    `acknowledged` is the highest offset in bytes such that every line before it is durable: acknowledged by the topic
    (or, an oversize line, by the dead letters), or blank. It moves by delivery reports alone, and never over a gap.
    """

    def __init__(self, source: str, start: int, counts: Counts | None = None) -> None:
        """`counts` is what was in the source before `start`, as far as it counts for this run."""
        self._source = source
        self._start = start
        self._acknowledged = start
        self._entered = start
        self._counts = counts or Counts()
        self._open: deque[Pending] = deque()

    def open(self, end: int, counts: Counts | None = None) -> Pending:
        """Enter the block that ends at offset `end` and begins where the one before ended."""
        pending = Pending(self._source, self._entered, end, counts)
        self._entered = end
        self._open.append(pending)
        return pending

    @property
    def acknowledged(self) -> int:
        """The highest contiguous acknowledged offset."""
        self._settle()
        return self._acknowledged

    @property
    def progress(self) -> int:
        """How many bytes became durable since it was begun."""
        return self.acknowledged - self._start

    @property
    def counts(self) -> Counts:
        """What is in the blocks before `acknowledged`."""
        self._settle()
        return self._counts

    @property
    def settled(self) -> bool:
        """Whether nothing is on its way."""
        return self.acknowledged == self._entered

    def _settle(self) -> None:
        while self._open and self._open[0].parts == 0:
            block = self._open.popleft()
            self._acknowledged = block.end
            self._counts += block.counts
