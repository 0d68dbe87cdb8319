"""When a batch is enough: short while the lines are fresh, long while there is much to catch up with."""

import time
from collections.abc import Callable

from consumer.batch import Batch
from schemas.reports import WorkerOrder

SLICE_RECORDS = 1_000
"""Records fetched and parsed at once: they stay in the processor's cache, and their bytes are looked at after each."""

SLICE_BYTES = 2 << 20
"""The same for long lines: a slice may hold so many bytes, by the mean length of the lines before."""

FIRST_SLICE = 4
"""Records of the first slice of all, when nothing is known of their length."""

LONGEST_WAIT_SECONDS = 1.0
"""How long to wait for records at once at most: so soon a word of the supervisor is heard."""

CAREFUL_SHARE = 4
"""A batch that keeps rows and records gets a fourth of the bytes, since they are in memory three and four times."""

REJECT_BYTES = 8 << 20
"""Bytes of bad lines that a batch holds: a reject keeps its record, and that the buffer in which it was fetched."""

FIRST_ROWS = 10_000
"""What a batch should hold while there is a backlog, at first; doubled with each one, up to the order's limits."""

CAREFUL_ROWS = 50_000
"""The limit for a batch that keeps rows and records: some 1 kB of memory a line instead of a quarter."""

LONGEST_SECONDS = 30.0
"""How old a batch may grow while there is a backlog."""

BESIDE_SECONDS = 0.05
"""How long to wait for records at once while a batch is being stored: so soon its end is noticed."""

FULL = "full"  # it reached --batch-rows or --batch-bytes
BACKLOG = "backlog"  # it reached what the backlog asks for now; the next one may be twice as long
CAUGHT_UP = "caught up"  # --batch-seconds went by, and there is no backlog
OLD = "old"  # LONGEST_SECONDS went by


class Filling:
    """Decides, after each slice of records, whether the batch goes to the database or grows.

    The longer the sorted run that a batch is, the fewer pages of the table it touches for each row; so a batch grows
    as long as the database is busy with the one before, and as long as there is a backlog. Without a backlog it goes
    after `batch_seconds`. `batch_rows` and `batch_bytes` are limits at all times.
    """

    def __init__(
        self, order: WorkerOrder, backlog: Callable[[Batch], int], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`backlog` says how many records there are behind those of the batch."""
        self._order = order
        self._backlog = backlog
        self._clock = clock
        self._goal = FIRST_ROWS
        self._begun = clock()
        self._length = 0.0
        self.why = ""
        """What ended the last batch."""

    def begin(self) -> None:
        """A new batch begins."""
        self._begun = self._clock()

    def next_slice(self, batch: Batch, *, storing: bool) -> tuple[int, float] | None:
        """How many records to take next, and how many seconds to wait for them; None where the batch is enough.

        `storing`: the database is busy with the batch before.
        """
        limit = min(self._order.batch_rows, CAREFUL_ROWS) if batch.careful else self._order.batch_rows
        age = self._clock() - self._begun
        why = self._enough(batch, limit, age, storing=storing)
        if why:
            self._learn(why)
            return None
        patience = self._order.batch_seconds - (age if age < self._order.batch_seconds else 0.0)
        longest = BESIDE_SECONDS if storing else LONGEST_WAIT_SECONDS
        return min(self._slice(batch), limit - len(batch)), min(patience, longest)

    def _slice(self, batch: Batch) -> int:
        """How many records make a slice, by the mean length of the last ones."""
        if len(batch):
            self._length = batch.size / len(batch)
        if not self._length:
            return FIRST_SLICE
        return max(min(SLICE_RECORDS, int(SLICE_BYTES / self._length)), 1)

    def _enough(self, batch: Batch, limit: int, age: float, *, storing: bool) -> str | None:
        most = self._order.batch_bytes // CAREFUL_SHARE if batch.careful else self._order.batch_bytes
        rejects = len(batch.rejects) >= CAREFUL_ROWS or batch.reject_bytes >= REJECT_BYTES
        if len(batch) >= limit or batch.size >= most or rejects:
            return FULL
        if storing:
            return None
        if len(batch) >= self._goal:
            return BACKLOG
        if age >= LONGEST_SECONDS:
            return OLD
        if age >= self._order.batch_seconds and self._backlog(batch) < FIRST_ROWS:
            return CAUGHT_UP
        return None

    def _learn(self, why: str) -> None:
        self.why = why
        self._goal = FIRST_ROWS if why == CAUGHT_UP else min(2 * self._goal, self._order.batch_rows)
