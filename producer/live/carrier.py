"""The spool onto the topic, in a thread of its own."""

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from producer.delivery import Address
from producer.ledger import Counts, Ledger
from producer.live.spool import Mark, Spool
from producer.publisher import Publisher
from producer.sources.blocks import LineCutter
from producer.topic import TopicFacts
from schemas.errors import BrokerDown, ChatferryError, ServiceDown, Stop
from terminal import failpoints
from terminal.failpoints import Place
from terminal.outage import Outage

READ_BYTES = 256 << 10
WINDOW_BYTES = 8 << 20
WINDOW_RECORDS = 50_000
"""What is in flight at most, and one read more: with it the client's own queue is never full."""

SERVE_SECONDS = 0.01
"""How long a new line may lie while acknowledgements are waited for."""

IDLE_SECONDS = 0.5
PATIENCE_SECONDS = 10.0  # after so long without an acknowledgement the person is told
SAVE_SECONDS = 1.0
RENEW_SECONDS = (0.5, 30.0)
"""The first and the longest pause before another client is tried."""


class Carrier(threading.Thread):
    """Sends what is on the spool, from its mark on, and moves the mark with the acknowledgements, never before them.

    Whatever Kafka does, short of a bug, this goes on: a client that ended, and any refusal, is followed by another
    client, which begins at the mark. A person who must act is told, and what was heard waits on the spool meanwhile.
    """

    def __init__(
        self,
        spool: Spool,
        address: Address,
        opened: tuple[Publisher, TopicFacts],
        *,
        moved: Callable[[Mark], None],
        settle: Callable[[Mark], None],
    ) -> None:
        """`opened` is what `address.open` gave. Called in this thread: `moved` when Kafka has acknowledged more,
        `settle` about once a second, and at the end, with how far it is."""
        super().__init__(name="carrier", daemon=True)
        self.done: Future[None] = Future()
        """Over when the thread ends: with the exception of what should never happen, or of a disk that failed."""
        self._spool = spool
        self._address = address
        self._publisher, self._facts = opened
        self._moved = moved
        self._settle = settle
        self._news = threading.Event()
        self._give_up_at: float | None = None
        self._next_save = 0.0
        self._outage: Outage | None = None
        self._unsaved: Outage | None = None
        self._renewals = 0
        self._moved_at = time.monotonic()
        self._ledger = Ledger("spool", spool.acknowledged)
        self._lines_before = 0
        self.acknowledged_lines = 0
        """Lines that Kafka acknowledged in this run, those that were left by the run before among them."""
        self._begin_at_the_mark()

    @property
    def longest_line(self) -> int:
        """The longest line in bytes that fits into a record."""
        return self._facts.longest_line

    def look(self) -> None:
        """There is more on the spool."""
        self._news.set()

    def finish(self, deadline: float) -> None:
        """Send what is on the spool now, until `deadline` by the monotonic clock, and end then. Nothing is appended any
        more."""
        self._give_up_at = deadline
        self._news.set()

    def run(self) -> None:
        """The thread."""
        try:
            self._carry()
            self._save()
        except OSError as error:
            self.done.set_exception(Stop(f"The spool cannot be read: {error}", "What Kafka acknowledged is safe"))
        except BaseException as error:  # noqa: BLE001 -- raised in the main thread, from `done`
            self.done.set_exception(error)
        else:
            self.done.set_result(None)

    def _carry(self) -> None:
        while not self._over():
            try:
                self._turn()
            except (Stop, ServiceDown) as problem:
                self._renew(problem)
        self._publisher.abandon()

    def _over(self) -> bool:
        if self._give_up_at is None:
            return False
        return self._spool.waiting_bytes == 0 or time.monotonic() > self._give_up_at

    def _turn(self) -> None:
        """Send what is new, take the acknowledgements, wait a little where there is neither."""
        self._news.clear()
        sent = self._send()
        self._publisher.serve(0 if sent or not self._publisher.in_flight else SERVE_SECONDS)
        self._advance()
        if time.monotonic() - self._moved_at > PATIENCE_SECONDS and self._outage is None and self._publisher.in_flight:
            why = f"nothing acknowledged for {PATIENCE_SECONDS:.0f} s{self._publisher.trouble_text}"
            self._tell(BrokerDown(why))
        if not sent and not self._publisher.in_flight:
            self._moved_at = time.monotonic()
            self._save_if_due()
            self._news.wait(IDLE_SECONDS)

    def _send(self) -> bool:
        """Hand the next piece of the spool to the client, where there is room; whether it did."""
        in_flight = self._publisher.in_flight  # where nothing is, what was read is the beginning of a long line
        if in_flight >= WINDOW_RECORDS or (in_flight and self._read - self._spool.acknowledged >= WINDOW_BYTES):
            return False
        data = self._spool.read(self._read, READ_BYTES)
        self._read += len(data)
        if not (block := self._cutter.feed(data) if data else None):
            return bool(data)
        pending = self._ledger.open(block.end, Counts(block.total))
        for line in block.oversize:
            self._publisher.refer(line, f"the spool of {self._facts.name}", pending)
        self._publisher.publish(block.lines, pending)
        pending.acknowledged()
        return True

    def _advance(self) -> None:
        acknowledged = self._ledger.acknowledged
        if acknowledged == self._spool.acknowledged:
            return
        failpoints.reached(Place.SPOOL_ACKNOWLEDGED)
        self._spool.delivered(acknowledged)
        self.acknowledged_lines = self._lines_before + self._ledger.counts.lines
        self._moved(acknowledged)
        self._moved_at = time.monotonic()
        self._renewals = 0
        if self._outage:
            self._outage.is_over()
            self._outage = None
        self._save_if_due()

    def _save_if_due(self) -> None:
        if time.monotonic() >= self._next_save:
            self._save()

    def _save(self) -> None:
        self._next_save = time.monotonic() + SAVE_SECONDS
        try:
            self._spool.save()
            self._settle(self._spool.acknowledged)
        except Stop as problem:  # what is not written down is heard and sent again, which does no harm
            self._unsaved = self._unsaved or Outage("after a kill more would be sent again; it is tried", name="State")
            self._unsaved.goes_on(problem)
        else:
            if self._unsaved:
                self._unsaved.is_over()
                self._unsaved = None

    def _renew(self, problem: ChatferryError) -> None:
        """Another client, when Kafka lets us have one; it begins at the mark."""
        self._publisher.abandon()
        while not self._over():
            self._tell(problem)
            self._pause()
            try:
                self._publisher, self._facts = self._address.open(live=True)
            except (Stop, ServiceDown) as again:
                problem = again
            else:
                self._begin_at_the_mark()
                return

    def _tell(self, problem: ChatferryError) -> None:
        self._outage = self._outage or Outage("what is heard waits on the spool", name="Kafka")
        self._outage.goes_on(problem)

    def _pause(self) -> None:
        first, longest = RENEW_SECONDS
        until = time.monotonic() + min(longest, first * 2.0**self._renewals) * (0.5 + random.random() / 2)  # noqa: S311
        self._renewals = min(self._renewals + 1, 30)
        while (left := until - time.monotonic()) > 0 and not self._over():
            time.sleep(min(left, IDLE_SECONDS))

    def _begin_at_the_mark(self) -> None:
        self._lines_before = self.acknowledged_lines
        self._moved_at = time.monotonic()
        self._read = self._spool.acknowledged
        self._ledger = Ledger("spool", self._read)
        self._cutter = LineCutter(self._facts.longest_line, self._read)
