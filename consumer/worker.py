"""One worker: a Kafka consumer, a database engine, and the loop between them."""

import gc
import logging
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillRunning
from functools import partial

from consumer.batch import Batch
from consumer.dead_letters import DeadLetters
from consumer.intake import Intake
from consumer.stores.store import Store, Stored
from schemas.errors import DatabaseDown, Stop
from schemas.reports import BatchDone, WorkerOrder

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 5.0
"""How long the database may take for a batch before the worker polls Kafka beside it: far below max.poll.interval.ms
(300 s), and long enough that an ordinary batch ends without a rebalance in its middle."""

FIRST_RETRY_SECONDS = 0.2
LONGEST_RETRY_SECONDS = 10.0


class Stopping(Exception):
    """The worker was told to end; the batch in hand is not stored and its offsets are not committed."""


class Worker:
    """Moves records from its partitions into the table, at least once, and the table makes that once.

    A batch's offsets are committed only after its rows are committed in the database and its dead letters are
    acknowledged. A crash at any point repeats the batch and loses nothing; a repeated row is a no-op by its primary
    key. A database that is down keeps the batch waiting, for ever if need be; a bug crashes.
    """

    def __init__(
        self,
        order: WorkerOrder,
        intake: Intake,
        store: Store,
        dead_letters: DeadLetters,
        report: Callable[[BatchDone], None],
        stopping: Callable[[], bool],
    ) -> None:
        self._order = order
        self._intake = intake
        self._store = store
        self._dead_letters = dead_letters
        self._report = report
        self._stopping = stopping
        self._bad_run = 0
        self._thread = ThreadPoolExecutor(1, "store")

    def run(self) -> None:
        """Work until told to stop.

        Raises `Stop` where a person must act.
        """
        self._intake.open()
        try:
            while not self._stopping():
                self.turn()
        except Stopping:
            log.info("ended with a batch in hand; it is not committed, and comes again")
        finally:
            self._intake.close()
            self._dead_letters.close()
            self._thread.shutdown()
            self._store.close()

    def turn(self) -> None:
        """One batch: consume, parse, store, dead-letter, commit."""
        batch = Batch(self._store.prepare, bad_run=self._bad_run)
        self._intake.gather(batch)
        if batch.empty:
            return
        self._break_on_bad_lines(batch)
        stored = self._save(batch)
        self._dead_letters.send(batch.rejects, self._hold_on)
        self._report(BatchDone(self._order.number, batch.segments(), stored.rows, stored.repeats))
        self._intake.commit(batch.next_offsets, batch.epochs)

    def _save(self, batch: Batch) -> Stored:
        """Store the batch, in one transaction, however long the database is away."""
        for delay in _delays():
            if not batch.rows:
                return Stored(0, 0, [])
            try:
                stored = self._beside_kafka(partial(self._store.save, batch.rows, batch.prepared))
            except DatabaseDown as outage:
                log.warning("%s; the batch of %d rows waits %.1f s", outage, len(batch.rows), delay)
                gc.collect()  # workers run without it, and the exception's traceback holds the batch's lines in a cycle
                self._wait(delay)
                batch.drop(batch.next_offsets.keys() - self._intake.owned)
            else:
                batch.refuse(stored.refused)
                return stored
        raise AssertionError("the delays never end")

    def _beside_kafka(self, work: Callable[[], Stored]) -> Stored:
        """Run `work` in the store's thread, and keep our place in the group where it takes long."""
        future: Future[Stored] = self._thread.submit(work)
        patience = PATIENCE_SECONDS
        while True:
            try:
                return future.result(patience)
            except StillRunning:
                if future.done():
                    raise
                self._intake.keep_alive()
                patience = 0.01

    def _wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._hold_on()

    def _hold_on(self) -> None:
        """Keep our place in the group for a while; told to end, wait no longer."""
        if self._stopping():
            raise Stopping
        self._intake.keep_alive()

    def _break_on_bad_lines(self, batch: Batch) -> None:
        """Stop where bad lines come in an unbroken run: then it is the topic or the parser that is wrong."""
        self._bad_run = batch.bad_run
        limit = self._order.dead_letter_run
        if limit and batch.longest_bad_run > limit:
            worst = batch.rejects[-1]
            raise Stop(
                f"{batch.longest_bad_run:,} bad lines in a row; the last, partition {worst.record.partition()} offset "
                f"{worst.record.offset()}: {worst.text}",
                "Is this the right log or topic, one JSON object a line? If so: --dead-letter-run 0",
            )


def _delays() -> Iterator[float]:
    """Seconds to wait before each next try: doubling, with jitter so that workers do not come back all at once."""
    delay = FIRST_RETRY_SECONDS
    while True:
        yield delay * random.uniform(0.5, 1.0)  # noqa: S311 -- jitter is no secret
        delay = min(delay * 2, LONGEST_RETRY_SECONDS)
