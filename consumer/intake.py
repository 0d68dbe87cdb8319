"""The worker's side of Kafka: which partitions are ours, records in, offsets out."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from consumer.batch import Batch, first_offsets
from consumer.commits import OffsetCommits
from consumer.identity import TopicIdentity
from consumer.positions import committed, watermarks
from schemas.errors import ChatferryError, Stop
from schemas.kafka import Settings, translate
from schemas.reports import WorkerOrder

log = logging.getLogger(__name__)

HEAD_START_SECONDS = 1.0
"""How long a new client may ask for the topic: meanwhile nobody looks whether the worker should end."""

NAME_SECONDS = 60.0
"""How long another member of our static name is waited for: a killed one's is held for the group's session timeout,
45 s by the broker's default."""

NAME_PAUSE_SECONDS = 0.5

HINT_SECONDS = 0.2
HINT_FOR_SECONDS = 10.0
ALIVE_SECONDS = 0.2


class Intake:
    """Records of the partitions that are ours, and no others.

    A batch during whose filling partitions are revoked is thrown away, and read again as far as it is still ours:
    nothing of it was stored, so nothing of it is committed, and Kafka has it all.
    """

    def __init__(self, order: WorkerOrder, clock: Callable[[], float] = time.monotonic) -> None:
        self._order = order
        self._clock = clock
        self.owned: set[int] = set()
        self._revoked: set[int] = set()
        self._held: list[Message] = []
        self._held_ends: dict[int, int] = {}
        self._paused = False
        self._closing = False
        self._lock = threading.Lock()
        self._letting_go = self._confirming = False
        self.before_letting_go: Callable[[], None] = lambda: None
        """Called before partitions that are revoked go to their next owner."""
        self.gone: Callable[[Collection[int]], None] = lambda _: None
        """Called with partitions that may be another's from now on."""
        self._waited = 0.0
        self._trouble: ChatferryError | None = None
        self._name_deadline: float | None = None
        self._next_hint = 0.0
        self._last_hint = clock() + HINT_FOR_SECONDS
        self._consumer = self._new_client()
        self._identity = TopicIdentity(order.kafka, order.topic, clock) if order.partitions is None else None
        self._commits = OffsetCommits(order.topic, ours=self.still_ours, mark=self._mark, clock=clock)

    def _new_client(self) -> Consumer:
        return Consumer({**self._order.kafka, **_own_name(self._order), "error_cb": self._note})

    def open(self) -> None:
        """Join the group, or take the partitions that the order names."""
        order = self._order
        if order.partitions is None:
            self._subscribe()
            return
        self.owned = set(order.partitions)
        with contextlib.suppress(KafkaException):  # only a head start: else it learns of the topic half a second later
            self._consumer.list_topics(order.topic, timeout=HEAD_START_SECONDS)
        self._consumer.assign(
            [TopicPartition(order.topic, p, order.starts.get(p, OFFSET_BEGINNING)) for p in order.partitions]
        )

    def _subscribe(self) -> None:
        topics = [self._order.topic]
        self._consumer.subscribe(topics, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost)

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
        try:
            self._subscribe()
        except KafkaException as error:
            if error.args[0].name() != "_FATAL":  # the client has ended: why, comes with the next records
                raise

    # -- records in ------------------------------------------------------------------------------------------------

    def take(self, batch: Batch, count: int, seconds: float) -> set[int]:
        """Add up to `count` records to the batch, and the ends of partitions; waits up to `seconds` for them.

        Returns the partitions that were revoked meanwhile, usually none. If there are any, nothing was added and the
        batch is to be thrown away: what it held of the other partitions comes again. Raises `Stop` for what the client
        reports about a partition.
        """
        self._commits.pay(self._consumer)
        self._resume()
        self._ask_for_fair_share()
        if self._identity:
            self._identity.check()
        records, ends, self._held, self._held_ends = self._held, self._held_ends, [], {}
        began, worked = self._clock(), time.thread_time()
        records += self._consume(count, seconds, ends)
        self._waited += max(self._clock() - began - (time.thread_time() - worked), 0.0)
        if self._revoked:
            self._held, self._held_ends = records, ends
            return self._let_go(batch)
        batch.add(records, ends)
        return set()

    def _let_go(self, batch: Batch) -> set[int]:
        """Go back to where the batch began, in what is still ours; returns the partitions that were revoked.

        One that came back within the same call is read again from its committed offset: of its records at hand nobody
        can tell which were fetched before and which after.
        """
        self.rewind(batch.starts, batch.next_offsets)
        revoked, self._revoked = self._revoked, set()
        for place in self._places(revoked & self.owned):
            self._seek(place)
        return revoked

    def rewind(self, starts: Mapping[int, int], ends: Mapping[int, int]) -> None:
        """Go back to these offsets, in the partitions that are still ours: nothing behind them is kept here.

        `ends` are positions that were reached; of a partition that is not gone back in they are kept, since the client
        tells the end of a partition once.
        """
        ours = self.owned - self._revoked
        places = {**first_offsets(self._held), **starts}
        reached = {**ends, **self._held_ends}
        self._held = []
        self._held_ends = {p: end for p, end in reached.items() if p in ours and p not in places}
        for partition in places.keys() & ours:
            self._seek(TopicPartition(self._order.topic, partition, places[partition]))

    def _seek(self, place: TopicPartition) -> None:
        try:
            self._consumer.seek(place)
        except KafkaException as error:
            if error.args[0].name() != "_STATE":  # not fetched yet: it begins at its committed offset, which is before
                raise translate(
                    error.args[0].name(), error.args[0].str(), f"Going back in {self._order.topic}"
                ) from None

    def _consume(self, count: int, seconds: float, ends: dict[int, int]) -> list[Message]:
        got = self._consumer.consume(count, seconds)
        if any(_says(message, KafkaError.UNRELEASED_INSTANCE_ID) for message in got) and self._may_wait_for_name():
            return []
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

    def _may_wait_for_name(self) -> bool:
        """Try with a new client, as long as another member with our static name may be one that was killed."""
        now = self._clock()
        if self.owned or (self._name_deadline is not None and now > self._name_deadline):
            return False
        if self._name_deadline is None:
            self._name_deadline = now + NAME_SECONDS
            log.warning("Another member of the group has the name %s; waiting up to %d s for its end",
                        _own_name(self._order)["group.instance.id"], NAME_SECONDS)  # fmt: skip
        self._trouble = None
        self._consumer.close()
        time.sleep(NAME_PAUSE_SECONDS)
        self._consumer = self._new_client()
        self._subscribe()
        return True

    def waited(self) -> float:
        """Seconds that went by in `take` without work, since this was asked before: waiting for records."""
        waited, self._waited = self._waited, 0.0
        return waited

    def backlog(self, batch: Batch) -> int:
        """How many records there are behind those of the batch, by what the broker said with its last answer."""
        behind = 0
        for partition, position in batch.next_offsets.items():
            if partition in self.owned:
                place = TopicPartition(self._order.topic, partition)
                _, end = self._consumer.get_watermark_offsets(place, cached=True)
                behind += max(end - position, 0)
        return behind

    def _explain(self, error: KafkaError, message: Message) -> ChatferryError:
        place = f"{self._order.topic} partition {message.partition()}"
        for cause in (KafkaError.FENCED_INSTANCE_ID, KafkaError.UNRELEASED_INSTANCE_ID):
            if _says(message, cause):
                return translate(KafkaError(cause).name(), KafkaError(cause).str(), f"Reading {self._order.topic}")
        return translate(error.name(), error.str(), f"Reading {place}")

    # -- who owns what -----------------------------------------------------------------------------------------------

    def _on_assign(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        """Take the partitions over from their committed offset, a new group's from the beginning."""
        if self._closing:  # what comes while we leave is the next one's; to ask about it now would wait for ever
            return
        new = {partition.partition for partition in partitions}
        try:
            places = self._places(new)
        except ChatferryError as error:  # raised again where we are not inside the library
            self._trouble = error
            return
        consumer.incremental_assign(places)
        self.owned |= new
        if self._paused:
            consumer.pause(places)
        log.debug("partitions %s came, now %s", sorted(new), sorted(self.owned))

    def _places(self, partitions: Collection[int]) -> list[TopicPartition]:
        """Where the group stands in these partitions."""
        places = committed(self._consumer, self._order.topic, partitions)
        if self._identity:
            self._identity.compare(place.metadata for place in places)
        for place in places:
            if (
                place.offset < 0
            ):  # a new group: from the first record (asking costs 2 ms, OFFSET_BEGINNING half a second)
                place.offset, _ = watermarks(self._consumer, self._order.topic, place.partition)
                if place.offset > 0:
                    log.warning("Partition %d begins at record %s: Kafka deleted what was before, and this group "
                                "had read nothing yet", place.partition, f"{place.offset:,}")  # fmt: skip
        return places

    def _on_revoke(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        """The group waits for us to let go of these.

        Where the store's thread is asking the broker about them just now, its answer may wait for us to do so: then it
        comes too late, whatever it is.
        """
        with self._lock:
            self._letting_go, asking = True, self._confirming
            if asking:
                self._on_lost(consumer, partitions)
        if not asking:
            self.before_letting_go()
            self._on_lost(consumer, partitions)
        self._letting_go = False

    def _on_lost(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        """These may be another's already."""
        gone = {partition.partition for partition in partitions}
        if self._paused:  # the client remembers it of a partition that comes back, and would not fetch it
            consumer.resume(list(partitions))
        self.gone(gone)
        self.owned -= gone
        self._revoked |= gone
        self._commits.forget(gone)
        log.debug("partitions %s went, left %s", sorted(gone), sorted(self.owned))

    # -- waiting -----------------------------------------------------------------------------------------------------

    def keep_alive(self, seconds: float = ALIVE_SECONDS) -> None:
        """Stay a member of the group for `seconds` while a batch is waiting: paused, but polling."""
        if not self._paused:
            self._consumer.pause([TopicPartition(self._order.topic, partition) for partition in self.owned])
            self._paused = True
        self._held += self._consume(100, seconds, self._held_ends)

    @property
    def lost(self) -> bool:
        """Whether partitions were revoked since the last look."""
        return bool(self._revoked)

    def _resume(self) -> None:
        if self._paused:
            self._consumer.resume([TopicPartition(self._order.topic, partition) for partition in self.owned])
            self._paused = False

    # -- offsets out ---------------------------------------------------------------------------------------------------

    def commit(self, next_offsets: dict[int, int], epochs: dict[int, int | None], wait: Callable[[], None]) -> None:
        """Commit these offsets for the partitions that are still ours, with a `wait` between two tries: see
        `consumer.commits`."""
        if self._order.partitions is not None:  # without a group there is nothing to come back to
            return
        self._commits.commit(self._consumer, next_offsets, epochs, wait)

    def confirm(self, offsets: dict[int, int]) -> bool:
        """Whether these partitions, of which so much is committed, are still ours, by the broker's word.

        Where it has just told us to let go of some, and waits for that, they are. Called in the store's thread.
        """
        with self._lock:
            ours = offsets.keys() <= self.still_ours()
            if self._letting_go or not ours:
                return ours
            self._confirming = True
        try:
            taken = self._commits.confirm(self._consumer, offsets)
        finally:
            with self._lock:
                self._confirming = False
                ours = offsets.keys() <= self.still_ours()
        return taken and ours

    def _mark(self) -> str | None:
        return self._identity.mark if self._identity else None

    def taken(self) -> dict[int, int]:
        """What the broker took since this was asked before."""
        return self._commits.taken()

    def still_ours(self) -> set[int]:
        """The partitions that were ours all the time: what came back meanwhile may have moved on elsewhere."""
        return self.owned - self._revoked

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
        self._closing = True
        self._consumer.close()


def _own_name(order: WorkerOrder) -> Settings:
    """Static membership: the name that was given and the worker's number, since no two members may have one name."""
    name = order.kafka.get("group.instance.id")
    return {} if name is None else {"group.instance.id": f"{name}-{order.number}"}


def _says(message: Message, cause: int) -> bool:
    """Whether the message is the client's word of a fatal error with this cause, which only its text names."""
    error = message.error()
    return error is not None and (error.code() == cause or KafkaError(cause).str() in error.str())
