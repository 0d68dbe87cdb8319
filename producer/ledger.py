"""Which blocks are acknowledged: the checkpoint's only source of truth."""

from collections import deque


class Pending:
    """One block on its way. Open until every part of it is acknowledged."""

    __slots__ = ("end", "parts")

    def __init__(self, end: int) -> None:
        self.end = end
        self.parts = 1  # the block itself, until all its parts were handed over

    def acknowledged(self) -> None:
        """One part of the block is durable."""
        self.parts -= 1


class Ledger:
    """Follows the blocks of one source through the topic.

    `acknowledged` is the highest offset in bytes such that every line before it is durable: acknowledged by the topic (or,
    an oversize line, by the dead letters), or blank. It moves by delivery reports alone, and never over a gap.
    """

    def __init__(self, start: int) -> None:
        self._acknowledged = start
        self._open: deque[Pending] = deque()

    def open(self, end: int) -> Pending:
        """Enter the block that ends at offset `end`; blocks are entered in the order of the file."""
        pending = Pending(end)
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
        self._acknowledged = self.acknowledged
        return not self._open
