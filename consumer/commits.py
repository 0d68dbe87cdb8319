"""Offsets committed: explicitly, synchronously, and every partition's answer looked at."""

import logging
from collections.abc import Callable, Collection

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from schemas.errors import BrokerDown
from schemas.kafka import translate

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 10.0
"""How long a commit is tried before it is owed. (One try may take the client's socket.timeout.ms, 60 s.)"""

OWED_SECONDS = 1.0
"""How long the broker is left alone before it is asked again to take what is owed."""

_NO_LONGER_OURS = frozenset(
    [
        *("UNKNOWN_MEMBER_ID", "FENCED_MEMBER_EPOCH", "FENCED_INSTANCE_ID", "GROUP_ID_NOT_FOUND"),
        *("_ASSIGNMENT_LOST", "_STATE"),
    ]
)
_ASK_AGAIN = frozenset(["STALE_MEMBER_EPOCH", "REBALANCE_IN_PROGRESS", "ILLEGAL_GENERATION"])
"""The group moved on while the commit was on its way: what is still ours after the next look is taken then."""


class OffsetCommits:
    """What a worker has to commit: what the broker took of it, and what it owes still.

    The broker refuses a member that is none any more, and that is forgotten here: the partition's next owner stores the
    batch again, as a no-op. It does not look at which member owns which partition; so we do, before each try.
    """

    def __init__(
        self,
        topic: str,
        *,
        ours: Callable[[], Collection[int]],
        mark: Callable[[], str | None],
        clock: Callable[[], float],
    ) -> None:
        """`ours` tells the partitions whose offsets may be committed; `mark` is written beside each offset and tells
        which topic of this name it speaks of."""
        self._topic = topic
        self._ours = ours
        self._mark = mark
        self._clock = clock
        self._taken: dict[int, int] = {}
        self._owed: dict[int, int] = {}
        self._epochs: dict[int, int | None] = {}
        self._next_payment = 0.0

    def commit(
        self,
        consumer: Consumer,
        next_offsets: dict[int, int],
        epochs: dict[int, int | None],
        wait: Callable[[], None],
    ) -> None:
        """Commit these offsets, and what is owed; `wait` keeps the group's membership between two tries.

        Raises `Stop` where the broker refuses for good.
        """
        offsets, epochs = {**self._owed, **next_offsets}, {**self._epochs, **epochs}
        deadline = self._clock() + PATIENCE_SECONDS
        while (offsets := self._try_all(consumer, offsets, epochs)) and self._clock() < deadline:
            wait()
        if self._owed:
            log.warning("The broker does not take the commit of partitions %s now; it is tried again", [*self._owed])

    def confirm(self, consumer: Consumer, offsets: dict[int, int]) -> bool:
        """Whether the broker takes these offsets, which are committed already, from us: then all of them are ours.

        A member that was put out, and does not know it yet, is told so.
        """
        done, _ = _try(consumer, [self._place(partition, offset, None) for partition, offset in offsets.items()])
        return done == set(offsets)

    def pay(self, consumer: Consumer) -> None:
        """Commit what the broker did not take before: on a quiet topic no later batch would cover it."""
        if self._owed and self._clock() > self._next_payment:
            self._try_all(consumer, self._owed, self._epochs)

    def forget(self, partitions: Collection[int]) -> None:
        """These partitions are another's now: what is owed for them is the other's business."""
        self._owed = {partition: offset for partition, offset in self._owed.items() if partition not in partitions}

    def taken(self) -> dict[int, int]:
        """What the broker took since this was asked before: mostly nothing, or the batch that was just committed."""
        taken, self._taken = self._taken, {}
        return taken

    def _try_all(self, consumer: Consumer, offsets: dict[int, int], epochs: dict[int, int | None]) -> dict[int, int]:
        """Try once what is ours; returns what is owed then, and ours still."""
        ours = self._ours()
        self._owed, self._epochs = {}, epochs  # what is revoked meanwhile is not ours at the next look
        done, again = _try(
            consumer, [self._place(p, offset, epochs.get(p)) for p, offset in offsets.items() if p in ours]
        )
        self._taken |= {partition: offsets[partition] for partition in done}
        self._owed = {partition: offsets[partition] for partition in again if partition in self._ours()}
        self._next_payment = self._clock() + OWED_SECONDS
        return self._owed

    def _place(self, partition: int, offset: int, epoch: int | None) -> TopicPartition:
        if epoch is None:  # the end of a partition without a record, or a broker without epochs
            return TopicPartition(self._topic, partition, offset, metadata=self._mark())
        return TopicPartition(self._topic, partition, offset, metadata=self._mark(), leader_epoch=epoch)


def _try(consumer: Consumer, places: list[TopicPartition]) -> tuple[set[int], set[int]]:
    """Try once; returns the partitions that are committed, and those for which it is worth to try again."""
    if not places:
        return set(), set()
    try:
        results = consumer.commit(offsets=places, asynchronous=False) or []
    except KafkaException as failure:
        return set(), {place.partition for place in places if _worth_another_try(failure.args[0], place)}
    again = {result.partition for result in results if result.error and _worth_another_try(result.error, result)}
    return {result.partition for result in results if not result.error}, again


def _worth_another_try(error: KafkaError, place: TopicPartition) -> bool:
    if error.name() in _NO_LONGER_OURS:
        log.info("Partition %d has another owner: the commit of offset %d was refused", place.partition, place.offset)
        return False
    said = translate(error.name(), error.str(), f"Committing offset {place.offset} of partition {place.partition}")
    if isinstance(said, BrokerDown) or error.name() in _ASK_AGAIN:
        log.debug("%s", said)
        return True
    raise said
