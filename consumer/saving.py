"""The batch that is in the database's hands: stored beside everything else, and tried again while it is away."""

import gc
import logging
import random
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Protocol

from consumer.batch import Batch
from consumer.stores.store import Store, Stored
from schemas.errors import DatabaseDown
from terminal.outage import Outage

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 10.0
"""How long the worker waits for the database without a look at Kafka: far below max.poll.interval.ms (300 s), and long
enough that an ordinary batch ends without what was fetched ahead being thrown away."""

LONG_SECONDS = 20.0
"""After so long the person is told what is waited for."""

FIRST_RETRY_SECONDS = 0.2
LONGEST_RETRY_SECONDS = 10.0


class HoldOn(Protocol):
    """Keeps the worker's place in the group for a moment, and may raise to end the wait."""

    def __call__(self, *, may_give_up: bool) -> None:
        """`may_give_up`: the database does not work on the batch, so the wait may end by an exception."""
        ...


class Saving:
    """One batch at most, in one transaction, however long the database is away."""

    def __init__(self, store: Store, hold_on: HoldOn) -> None:
        self._store = store
        self._hold_on = hold_on
        self._thread = ThreadPoolExecutor(1, "store")
        self._future: Future[Stored] = Future()
        self.batch: Batch | None = None
        """The batch, until its owner is done with it."""
        self.why = ""
        self._began = self._ended = 0.0
        self._forgotten: set[int] = set()
        self._handed_over = False
        """Whether the database has the batch, and not its owner, who waits between two tries."""

    def begin(self, batch: Batch, why: str) -> None:
        """Have the batch stored; `why` it is as long as it is goes into its report."""
        self.batch, self.why = batch, why
        self._began = time.monotonic()
        self._forgotten = set()
        self._submit(batch)

    def _submit(self, batch: Batch) -> None:
        self._handed_over = True
        self._future = self._thread.submit(self._save, batch)

    def _save(self, batch: Batch) -> Stored:
        try:
            if not batch.ready:
                return Stored(0, 0, [])
            return self._store.save_carefully(batch.ready) if batch.careful else self._store.save(batch.ready)
        finally:
            self._ended = time.monotonic()

    @property
    def holds(self) -> bool:
        """Whether there is a batch that its owner is not done with, stored or not."""
        return self.batch is not None

    @property
    def seconds(self) -> float:
        """How long the stored batch was with the database, with all tries."""
        return self._ended - self._began

    def let_finish(self, seconds: float) -> None:
        """Wait until the database has answered what it has in hand, at most so long."""
        if self._handed_over:
            wait([self._future], seconds)

    @property
    def unanswered(self) -> bool:
        """Whether the database has the batch."""
        return self._handed_over and not self._future.done()

    def release(self) -> None:
        """The owner is done with the batch: committed, or given up."""
        self.batch = None
        self._take_back()

    def _take_back(self) -> None:
        self._handed_over = False
        self._future = Future()

    @property
    def done(self) -> bool:
        """Whether `result` comes at once."""
        return self.batch is not None and self._future.done()

    def forget(self, partitions: Collection[int]) -> None:
        """Commit nothing for these: they were revoked. What is being stored of them is a no-op for their next owner,
        or stored before that begins (see `Worker`)."""
        self._forgotten |= set(partitions)

    @property
    def starts(self) -> dict[int, int]:
        """Where to go back to if the batch is given up; nothing where there is none."""
        return self._ours(self.batch.starts) if self.batch else {}

    @property
    def next_offsets(self) -> dict[int, int]:
        """What is to be committed once the batch is stored; nothing where there is none."""
        return self._ours(self.batch.next_offsets) if self.batch else {}

    def _ours(self, positions: Mapping[int, int]) -> dict[int, int]:
        return {partition: offset for partition, offset in positions.items() if partition not in self._forgotten}

    def is_ours(self, confirm: Callable[[dict[int, int]], bool]) -> bool:
        """Whether all that the batch holds is still ours: none of its partitions was revoked, and `confirm` says so of
        where it begins in each."""
        batch = self.batch
        return batch is not None and self._forgotten.isdisjoint(batch.starts) and confirm(batch.starts)

    def result(self) -> Stored:
        """What became of the batch; waits for it, and tries again for ever while the database is away.

        Raises `NeedsCare` where it must come again, careful, `Overtaken` where it may be another's.
        """
        assert self.batch is not None
        outage = Outage("the batch of %d rows waits, and is tried again", len(self.batch.ready))
        for delay in _delays():
            try:
                stored = self._beside_kafka()
            except DatabaseDown as problem:
                outage.goes_on(problem)
            else:
                outage.is_over()
                return stored
            self._take_back()
            gc.collect()  # workers run without it, and an exception's traceback holds the batch's lines in a cycle
            self._wait(delay)
            self._submit(self.batch)
        raise AssertionError("the delays never end")

    def _beside_kafka(self) -> Stored:
        """Wait for the store's thread, and keep our place in the group where it takes long."""
        patience, told = PATIENCE_SECONDS, False
        while not wait([self._future], patience).done:
            self._hold_on(may_give_up=False)
            patience = 0.01
            if not told and time.monotonic() - self._began > LONG_SECONDS:
                told = True
                log.warning("The database has had a batch for %d s: it is waited for (is a lock in its way? SHOW FULL "
                            "PROCESSLIST tells)", LONG_SECONDS)  # fmt: skip
        return self._future.result()

    def _wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._hold_on(may_give_up=True)

    def close(self) -> None:
        """Wait for the database's answer, if it has a batch, and end the thread."""
        self._thread.shutdown()


def _delays() -> Iterator[float]:
    """Seconds to wait before each next try: doubling, with jitter so that workers do not come back all at once."""
    delay = FIRST_RETRY_SECONDS
    while True:
        yield delay * random.uniform(0.5, 1.0)  # noqa: S311 -- jitter is no secret
        delay = min(delay * 2, LONGEST_RETRY_SECONDS)
