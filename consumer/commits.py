"""Offsets committed: explicitly, synchronously, and every partition's answer looked at."""

import logging
from collections.abc import Callable, Collection

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from schemas.errors import BrokerDown
from schemas.kafka import translate

log = logging.getLogger(__name__)

TRIES = 20

_NO_LONGER_OURS = frozenset(
    [
        *("UNKNOWN_MEMBER_ID", "FENCED_MEMBER_EPOCH", "FENCED_INSTANCE_ID", "GROUP_ID_NOT_FOUND"),
        *("_ASSIGNMENT_LOST", "_STATE"),
    ]
)
_ASK_AGAIN = frozenset(["STALE_MEMBER_EPOCH", "REBALANCE_IN_PROGRESS", "ILLEGAL_GENERATION"])
"""The group moved on while the commit was on its way: what is still ours after the next look is taken then."""


def commit(
    consumer: Consumer,
    topic: str,
    next_offsets: dict[int, int],
    epochs: dict[int, int | None],
    owned: Callable[[], Collection[int]],
    wait: Callable[[], None],
    tries: int = TRIES,
) -> tuple[dict[int, int], dict[int, int]]:
    """Commit the offsets of those partitions that are `owned` at that moment; `wait` keeps the group's membership
    between two tries.

    The broker refuses a member that is none any more, and that is forgotten here: the partition's next owner stores the
    batch again, as a no-op. It does not look at which member owns which partition; so we do, before each try. Returns
    what the broker took, and what it does not take now, after so many tries. Raises `Stop` where it refuses for good.
    """
    taken: dict[int, int] = {}
    for left in reversed(range(tries)):
        ours = owned()
        places = [
            _place(topic, partition, offset, epochs.get(partition))
            for partition, offset in next_offsets.items()
            if partition in ours
        ]
        done, again = _try(consumer, places)
        taken |= {partition: next_offsets[partition] for partition in done}
        next_offsets = {partition: next_offsets[partition] for partition in again}
        if not next_offsets:
            break
        if left:
            wait()
    return taken, next_offsets


def _place(topic: str, partition: int, offset: int, epoch: int | None) -> TopicPartition:
    if epoch is None:  # the end of a partition without a record, or a broker without epochs
        return TopicPartition(topic, partition, offset)
    return TopicPartition(topic, partition, offset, leader_epoch=epoch)


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
