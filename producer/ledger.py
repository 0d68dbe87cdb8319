"""Which blocks are acknowledged: the checkpoint's only source of truth."""

from collections import deque


class Pending:
    """One block on its way: the bytes from `start` to `end` of `source`. Open until every part of it is
    acknowledged."""

    __slots__ = ("end", "parts", "source", "start")

    def __init__(self, source: str, start: int, end: int) -> None:
        self.source = source
        self.start = start
        self.end = end
        self.parts = 1  # the block itself, until all its parts were handed over

    def acknowledged(self) -> None:
        """One part of the block is durable."""
        self.parts -= 1


class Ledger:
    """Follows the blocks of one source through the topic.

    `acknowledged` is the highest offset in bytes such that every line before it is durable: acknowledged by the topic
    (or, an oversize line, by the dead letters), or blank. It moves by delivery reports alone, and never over a gap.
    """

    def __init__(self, source: str, start: int) -> None:
        self._source = source
        self._acknowledged = start
        self._entered = start
        self._open: deque[Pending] = deque()

    def open(self, end: int) -> Pending:
        """Enter the block that ends at offset `end` and begins where the one before ended."""
        pending = Pending(self._source, self._entered, end)
        self._entered = end
        self._open.append(pending)
        return pending

    @property
    def acknowledged(self) -> int:
        """The highest contiguous acknowledged offset."""
        while self._open and self._open[0].parts == 0:
            self._acknowledged = self._open.popleft().end
        return self._acknowledged

    @property
    def settled(self) -> bool:
        """Whether nothing is on its way."""
        return self.acknowledged == self._entered
