"""One worker: a Kafka consumer, a database engine, and the loop between them."""

import gc
import logging
from collections.abc import Callable

from consumer.batch import Batch
from consumer.breaker import Breaker
from consumer.dead_letters import DeadLetters
from consumer.filling import Filling
from consumer.intake import Intake
from consumer.saving import Saving
from consumer.stopwatch import Stopwatch
from consumer.stores.store import NeedsCare, Overtaken, Store
from schemas.errors import Stop
from schemas.reports import BatchDone, Committed, WorkerOrder
from terminal import failpoints
from terminal.failpoints import Place

log = logging.getLogger(__name__)

LET_FINISH_SECONDS = 100.0
"""How long partitions that were revoked wait for the database where a repeat replaces: less than the supervisor's
patience with a silent worker, which is killed then, and its transaction rolled back with it."""

ENDING_SECONDS = 2.0
"""How long a worker that cannot go on waits for the database's answer before it says why."""


class Stopping(Exception):
    """The worker was told to end; the batch in hand is not stored and its offsets are not committed."""


class StartOver(Exception):
    """Nothing in hand is stored, and it must be read again: partitions were revoked meanwhile, or it needs care."""


class Worker:
    """Moves records from its partitions into the table, at least once, and the table makes that once.

    A batch's offsets are committed only after its rows are committed in the database and its dead letters are
    acknowledged. A crash at any point repeats the batch and loses nothing; a repeated row is a no-op by its primary
    key. A database that is down keeps the batch waiting, for ever if need be; a bug crashes.

    While the database has one batch, the next is fetched and parsed: two are in hand at most, and the second goes to
    the database when the first is committed. When partitions are revoked the second is thrown away, since Kafka has it,
    and the first is finished: what it stored of a partition that went is a no-op for the next owner, and not committed.

    Where a repeat replaces it would be none: an older line would take the place of a newer one. So partitions are let
    go only when the database has answered, and before each of its commits the broker is asked whether they are ours:
    a worker that was frozen may have been put out. (Frozen between that answer and the commit, it is not noticed.)
    """

    def __init__(
        self,
        order: WorkerOrder,
        intake: Intake,
        store: Store,
        dead_letters: DeadLetters,
        report: Callable[[BatchDone | Committed], None],
        stopping: Callable[[], bool],
    ) -> None:
        self._order = order
        self._intake = intake
        self._store = store
        self._dead_letters = dead_letters
        self._report = report
        self._stopping = stopping
        self._filling = Filling(order, intake.backlog)
        self._saving = Saving(store, self._hold_on)
        self._watch = Stopwatch()
        self._begun = False
        self._breaker = Breaker(order.dead_letter_run, order.dead_letter_ratio)
        self._care = 0  # so many records are to be handled carefully, because the database had warnings about them
        self._next = self._new_batch()
        if order.replace and order.partitions is None:
            store.before_commit = self._see_that_it_is_ours
            intake.before_letting_go = lambda: self._saving.let_finish(LET_FINISH_SECONDS)
        intake.gone = self._saving.forget

    def run(self) -> None:
        """Work until told to stop.

        Raises `Stop` where a person must act, `BrokerDown` where Kafka was waited for as long as is sensible: another
        worker then begins where this one's commits end.
        """
        self._intake.open()
        self._dead_letters.open()
        stuck = False
        try:
            while not self._stopping():
                self.turn()
            self._settle()
        except (Stopping, StartOver):
            log.info("ended with a batch in hand; it is not committed, and comes again")
        except Stop:  # the person is to be told, even where a lock is in the database's way
            self._saving.let_finish(ENDING_SECONDS)
            stuck = self._saving.unanswered
            self._intake.before_letting_go = lambda: None
            raise
        finally:
            self._intake.close()
            self._dead_letters.close()
            if not stuck:
                self._saving.close()
                self._store.close()

    def turn(self) -> None:
        """One batch: consume and parse it while the last one is stored, settle that one, hand this one over."""
        try:
            self._fill()
            self._settle()
            self._hand_over()
        except StartOver:
            self._start_over()

    def _fill(self) -> None:
        """Consume and parse until the batch is enough; settle the last one as soon as it is stored."""
        while (wanted := self._filling.next_slice(self._next, storing=self._saving.holds)) and (not self._stopping()):
            revoked = self._intake.take(self._next, *wanted)
            self._watch.lap("parsing", waited=self._intake.waited(), on="database" if self._saving.holds else "broker")
            if not self._begun:  # joining a group is not waiting for lines
                self._watch.clear()
                self._begun = not self._next.empty
            if revoked:
                self._next = self._new_batch()
            self._tell_committed()  # what the broker did not take before
            if self._saving.done:
                self._settle()

    def _hand_over(self) -> None:
        batch = self._next
        if self._intake.lost:  # what is in hand of the partitions that went is for their next owner
            self._start_over()
            return
        if not batch.empty and not self._stopping():
            self._breaker.look_at(batch)
            self._care = max(self._care - len(batch), 0)
            self._saving.begin(batch, self._filling.why)
        self._next = self._new_batch()

    def _settle(self) -> None:
        """See the last batch through: stored, its dead letters acknowledged, reported, its offsets committed."""
        batch = self._saving.batch
        if batch is None:
            return
        try:
            stored = self._saving.result()
        except NeedsCare:
            self._care = len(batch)
            raise StartOver from None
        except Overtaken:
            log.info("the batch in hand may be another worker's by now: it was not stored")
            raise StartOver from None
        failpoints.reached(Place.WORKER_STORED)
        self._watch.lap("database")
        self._breaker.look_at_refused(batch, stored.refused)
        batch.refuse(stored.refused)
        ours = self._intake.still_ours() & self._saving.next_offsets.keys()
        self._dead_letters.send([r for r in batch.rejects if r.record.partition() in ours], self._keep_alive)
        failpoints.reached(Place.WORKER_DEAD_LETTERS)
        self._watch.lap("committing")
        spent = self._watch.take(storing=self._saving.seconds)
        self._report(
            BatchDone(self._order.number, batch.segments(), stored.rows, stored.repeats, self._saving.why, spent)
        )
        failpoints.reached(Place.WORKER_REPORTED)
        self._intake.commit(self._saving.next_offsets, batch.epochs, self._stay)
        failpoints.reached(Place.WORKER_COMMITTED)
        self._saving.release()
        self._tell_committed()
        self._watch.lap("committing")  # goes into the next report: this one is out before the commit, on purpose

    def _see_that_it_is_ours(self) -> None:
        """Called in the store's thread. Raises `Overtaken`."""
        if not self._saving.is_ours(self._intake.confirm):
            raise Overtaken

    def _tell_committed(self) -> None:
        if taken := self._intake.taken():
            self._report(Committed(self._order.number, taken))

    def _start_over(self) -> None:
        """Go back to where the batches in hand began."""
        ends = {**self._saving.next_offsets, **self._next.next_offsets}
        self._intake.rewind({**self._next.starts, **self._saving.starts}, ends)
        self._saving.release()
        self._breaker.start_over()
        self._next = self._new_batch()
        gc.collect()  # workers run without it, and what was refused may hang in an exception's traceback

    def _new_batch(self) -> Batch:
        self._filling.begin()
        careful = self._care or self._store.careful
        return Batch(None if careful else self._store.prepare, bad_run=self._breaker.run)

    def _stay(self) -> None:
        """Keep our place in the group for a while, and our word to the supervisor, whether we are to end or not."""
        self._stopping()
        self._intake.keep_alive()

    def _keep_alive(self) -> None:
        """Keep our place in the group for a while; told to end, wait no longer."""
        if self._stopping():
            raise Stopping
        self._intake.keep_alive()

    def _hold_on(self, *, may_give_up: bool) -> None:
        """The same while a batch waits for the database; where it may be given up, revoked partitions end the wait."""
        ending = self._stopping()  # asked in any case: with the question the supervisor hears that we are alive
        if may_give_up and ending:
            raise Stopping
        self._intake.keep_alive()
        if may_give_up and self._intake.lost:
            raise StartOver
