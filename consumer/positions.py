"""Where a group stands, and where a partition begins and ends: asked for until the broker can say."""

import time
from collections.abc import Collection

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from schemas.errors import BrokerDown, ChatferryError
from schemas.kafka import translate

ANSWER_SECONDS = 10.0
"""How long one question may take."""

QUICK_SECONDS = 1.0
"""The same for a caller who has no patience, and asks again soon."""

COMING_UP_SECONDS = 30.0
"""How long a group's coordinator may take to be there: a new cluster makes its offsets topic at the first question,
and a broker that took over loads it first."""

PAUSE_SECONDS = 0.1


def committed(
    consumer: Consumer, topic: str, partitions: Collection[int], patience: float = COMING_UP_SECONDS
) -> list[TopicPartition]:
    """The group's place in each of these partitions; a negative offset where it has none.

    A coordinator that is not there is asked again for `patience` seconds.

    Raises `BrokerDown` where no coordinator answers in time, `Stop` where it refuses.
    """
    if not partitions:
        return []
    asked = [TopicPartition(topic, partition) for partition in partitions]
    deadline = time.monotonic() + patience
    seconds = ANSWER_SECONDS if patience else QUICK_SECONDS
    while True:
        try:
            answers = consumer.committed(asked, timeout=seconds)
            for answer in answers:
                if answer.error:
                    raise _said(answer.error)
        except KafkaException as error:
            said = _said(error.args[0])
        except BrokerDown as outage:
            said = outage
        else:
            return answers
        if not isinstance(said, BrokerDown) or time.monotonic() > deadline:
            raise said from None
        time.sleep(PAUSE_SECONDS)


def watermarks(consumer: Consumer, topic: str, partition: int) -> tuple[int, int]:
    """First and end offset of a partition, as of now.

    A new topic's leader, which may not know yet that it is one, is asked again. Raises `BrokerDown` where it does not
    answer in time, `Stop` where it refuses.
    """
    deadline = time.monotonic() + ANSWER_SECONDS
    while True:
        try:
            return consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=ANSWER_SECONDS)
        except KafkaException as error:
            said = _said(error.args[0], f"Asking for the ends of {topic} partition {partition}")
            leaderless = error.args[0].name() == "_UNKNOWN_PARTITION"  # for a moment, where its broker just came back
        if not (isinstance(said, BrokerDown) or leaderless) or time.monotonic() > deadline:
            raise said
        time.sleep(PAUSE_SECONDS)


def _said(error: KafkaError, what: str = "Asking for the group's offsets") -> ChatferryError:
    return translate(error.name(), error.str(), what)
