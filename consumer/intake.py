"""The worker's side of Kafka: which partitions are ours, records in, offsets out."""

import contextlib
import logging
import time
from collections.abc import Callable, Collection, Sequence

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from consumer.batch import Batch
from consumer.commits import commit
from consumer.positions import ANSWER_SECONDS, committed, watermarks
from schemas.errors import ChatferryError, Stop
from schemas.kafka import translate
from schemas.reports import WorkerOrder

log = logging.getLogger(__name__)

SLICE_RECORDS = 1_000
"""Records fetched and parsed at once: they stay in the processor's cache, and their bytes are looked at after each."""

LONGEST_SECONDS = 5.0
"""How long a batch may be filled while records keep coming."""

HINT_SECONDS = 0.2
HINT_FOR_SECONDS = 10.0
ALIVE_SECONDS = 0.2


class Intake:
    """Records of the partitions that are ours, and no others.

    What was gathered of a partition that is revoked meanwhile is dropped before anybody sees it: nothing of it was
    stored, so nothing of it is committed, and its next owner reads it again.
    """

    def __init__(self, order: WorkerOrder, clock: Callable[[], float] = time.monotonic) -> None:
        self._order = order
        self._clock = clock
        self.owned: set[int] = set()
        self._revoked: set[int] = set()
        self._held: list[Message] = []
        self._held_ends: dict[int, int] = {}
        self._paused = False
        self._trouble: ChatferryError | None = None
        self._next_hint = 0.0
        self._last_hint = clock() + HINT_FOR_SECONDS
        self._consumer = Consumer({**order.kafka, "error_cb": self._note})

    def open(self) -> None:
        """Join the group, or take the partitions that the order names."""
        order = self._order
        if order.partitions is None:
            self._subscribe()
            return
        self.owned = set(order.partitions)
        with contextlib.suppress(KafkaException):  # only a head start: else it learns of the topic half a second later
            self._consumer.list_topics(order.topic, timeout=ANSWER_SECONDS)
        self._consumer.assign(
            [TopicPartition(order.topic, p, order.starts.get(p, OFFSET_BEGINNING)) for p in order.partitions]
        )

    def _subscribe(self) -> None:
        topics = [self._order.topic]
        self._consumer.subscribe(topics, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke)

    def _ask_for_fair_share(self) -> None:
        """Have the client ask for its new assignment now, in the first seconds of an unbalanced group.

        The first worker to join gets every partition, and hears of the second with its next heartbeat: 5 s by the
        broker's default, in which it does most of a short run alone. Subscribing anew sends that heartbeat at once
        (measured: balanced after 1.3 s). The classic protocol has no such question to ask.
        """
        share, now = self._order.fair_share, self._clock()
        if share is None or now > self._last_hint or now < self._next_hint or share[0] <= len(self.owned) <= share[1]:
            return
        self._next_hint = now + HINT_SECONDS
        self._subscribe()

    # -- records in ------------------------------------------------------------------------------------------------

    def gather(self, batch: Batch) -> None:
        """Fill the batch, up to its rows, bytes or seconds, with records and with the ends of partitions.

        The time is what it may wait for more: while records keep coming, only rows and bytes end it, and
        `LONGEST_SECONDS`. Raises `Stop` or `BrokerDown` for what the client reports about a partition.
        """
        order = self._order
        self._resume()
        self._ask_for_fair_share()
        size = self._hand_over(batch, self._held, self._held_ends)
        self._held, self._held_ends = [], {}
        begun = self._clock()
        while len(batch) < order.batch_rows and size < order.batch_bytes:
            waited = self._clock() - begun
            if waited >= LONGEST_SECONDS:
                break
            ends: dict[int, int] = {}
            count = min(SLICE_RECORDS, order.batch_rows - len(batch))
            records = self._take(count, max(order.batch_seconds - waited, 0.0), ends)
            size += self._hand_over(batch, records, ends)
            if len(records) < count and self._clock() - begun >= order.batch_seconds:
                break

    def _hand_over(self, batch: Batch, records: list[Message], ends: dict[int, int]) -> int:
        """Add the records to the batch, less what was revoked meanwhile; returns their bytes."""
        revoked = self._take_revoked()
        if revoked:
            batch.drop(revoked)
            records = [record for record in records if record.partition() not in revoked]
            ends = {partition: end for partition, end in ends.items() if partition not in revoked}
        batch.add(records, ends)
        return sum(map(len, records))

    def _take(self, count: int, seconds: float, ends: dict[int, int]) -> list[Message]:
        got = self._consumer.consume(count, seconds)
        self._raise_trouble()
        records = []
        for message in got:
            error = message.error()
            if error is None:
                records.append(message)
            elif error.name() == "_PARTITION_EOF":
                ends[message.partition() or 0] = message.offset() or 0
            elif isinstance(said := self._explain(error, message), Stop):
                raise said
        return records

    def _explain(self, error: KafkaError, message: Message) -> ChatferryError:
        place = f"{self._order.topic} partition {message.partition()}"
        return translate(error.name(), error.str(), f"Reading {place}")

    def _take_revoked(self) -> set[int]:
        """The partitions that were revoked since the last look.

        One that came back within the same call is read again from its committed offset: of its records at hand nobody
        can tell which were fetched before and which after.
        """
        revoked, self._revoked = self._revoked, set()
        for place in self._places(revoked & self.owned):
            self._consumer.seek(place)
        return revoked

    # -- who owns what -----------------------------------------------------------------------------------------------

    def _on_assign(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        """Take the partitions over from their committed offset, a new group's from the beginning."""
        new = {partition.partition for partition in partitions}
        try:
            places = self._places(new)
        except ChatferryError as error:  # raised again where we are not inside the library
            self._trouble = (
                error if isinstance(error, Stop) else Stop(str(error), "See that Kafka is well, then start again")
            )
            return
        consumer.incremental_assign(places)
        self.owned |= new
        if self._paused:
            consumer.pause(places)
        log.debug("partitions %s came, now %s", sorted(new), sorted(self.owned))

    def _places(self, partitions: Collection[int]) -> list[TopicPartition]:
        """Where the group stands in these partitions."""
        places = committed(self._consumer, self._order.topic, partitions)
        for place in places:
            if (
                place.offset < 0
            ):  # a new group: from the first record (asking costs 2 ms, OFFSET_BEGINNING half a second)
                place.offset, _ = watermarks(self._consumer, self._order.topic, place.partition)
        return places

    def _on_revoke(self, _consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        gone = {partition.partition for partition in partitions}
        self.owned -= gone
        self._revoked |= gone
        log.debug("partitions %s went, left %s", sorted(gone), sorted(self.owned))

    # -- waiting -----------------------------------------------------------------------------------------------------

    def keep_alive(self, seconds: float = ALIVE_SECONDS) -> None:
        """Stay a member of the group for `seconds` while a batch is waiting: paused, but polling."""
        if not self._paused:
            self._consumer.pause([TopicPartition(self._order.topic, partition) for partition in self.owned])
            self._paused = True
        self._held += self._take(100, seconds, self._held_ends)

    def _resume(self) -> None:
        if self._paused:
            self._consumer.resume([TopicPartition(self._order.topic, partition) for partition in self.owned])
            self._paused = False

    # -- offsets out ---------------------------------------------------------------------------------------------------

    def commit(self, next_offsets: dict[int, int], epochs: dict[int, int | None]) -> None:
        """Commit these offsets for the partitions that are still ours: see `consumer.commits`."""
        if self._order.partitions is None:  # without a group there is nothing to come back to
            commit(self._consumer, self._order.topic, next_offsets, epochs, self.owned, self.keep_alive)

    # -- trouble -------------------------------------------------------------------------------------------------------

    def _note(self, error: KafkaError) -> None:
        """librdkafka's error callback. Raises nothing: it is raised where we are not inside the library."""
        said = translate(error.name(), error.str(), "Kafka")
        if isinstance(said, Stop) and (error.fatal() or said.next_step):
            self._trouble = said
        else:
            log.debug("%s", said)

    def _raise_trouble(self) -> None:
        if self._trouble:
            trouble, self._trouble = self._trouble, None
            raise trouble

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()
