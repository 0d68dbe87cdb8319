"""Kafka's client as a consumer needs it: its settings, and what is asked before the first record."""

import logging
import time
from collections.abc import Mapping

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._metadata import ClusterMetadata
from confluent_kafka.admin._resource import ResourceType

from consumer.positions import ANSWER_SECONDS, COMING_UP_SECONDS, PAUSE_SECONDS, committed, watermarks
from schemas.errors import Stop, UsageProblem
from schemas.kafka import (
    FIRST_ANSWER_SECONDS,
    NEW_TOPIC_SECONDS,
    Settings,
    bad_setting,
    base_settings,
    connection_settings,
    no_broker,
    no_topic,
    translate,
)

log = logging.getLogger(__name__)

FORCED: Settings = {
    "enable.auto.commit": False,  # offsets are committed after their batch, and by nobody else
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",  # an offset that is gone is said, never skipped; a new group starts at the beginning
    "enable.partition.eof": True,
}

CLASSIC: Settings = {
    "group.protocol": "classic",
    "partition.assignment.strategy": "cooperative-sticky",
    "session.timeout.ms": 10_000,  # how long the partitions of a killed worker wait
    "heartbeat.interval.ms": 500,  # with its next one a member hears of another that joined; default: 3 s
}

KIP_848: Settings = {"group.protocol": "consumer"}


def consumer_settings(brokers: str, pass_through: Mapping[str, str], password: str | None, group: str) -> Settings:
    """librdkafka's settings for a consumer, without the group protocol: the broker decides on that.

    Raises `UsageProblem` where the user's pass-through touches the guarantee.
    """
    defaults: Settings = {
        "client.id": "chatferry-consumer",
        "fetch.wait.max.ms": 50,
        "fetch.queue.backoff.ms": 5,
        "queued.min.messages": 100_000,
        "queued.max.messages.kbytes": 12 << 10,  # what is fetched ahead; the client needs as much again to keep it
    }
    return {**defaults, **base_settings(brokers, pass_through, password, {**FORCED, "group.id": group})}


def with_protocol(settings: Settings, *, kip_848: bool) -> Settings:
    """The settings with the group protocol that the broker offers, or that the user passed through.

    Raises `UsageProblem` for a passed-through setting that the protocol leaves to the broker, or that would revoke
    every partition at each rebalance.
    """
    if str(settings.get("group.protocol", "consumer" if kip_848 else "classic")).lower() == "classic":
        strategy = settings.get("partition.assignment.strategy", CLASSIC["partition.assignment.strategy"])
        if strategy != CLASSIC["partition.assignment.strategy"]:
            raise UsageProblem(f"-X partition.assignment.strategy={strategy}: only cooperative-sticky is supported")
        return {**CLASSIC, **settings}
    for key in ("session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy"):
        if key in settings:
            raise UsageProblem(
                f"-X {key}: with the consumer group protocol (KIP-848) the broker decides on it",
                "Set it on the group there, or pass -X group.protocol=classic too",
            )
    return {**KIP_848, **settings}


class TopicView:
    """What the command asks of the broker before and while its workers run."""

    def __init__(self, settings: Settings, topic: str) -> None:
        """Raises `Stop` where no broker answers, it refuses us, or there is no such topic."""
        self._topic = topic
        self._settings = settings
        self._trouble: Stop | None = None
        self._reason = ""
        self._all_down = False
        self._brokers = str(settings["bootstrap.servers"])
        quiet = {key: value for key, value in settings.items() if key != "enable.partition.eof"}
        try:
            self._consumer = Consumer({**quiet, "error_cb": self._note})
        except KafkaException as error:
            raise bad_setting(error.args[0].str()) from None
        metadata = self._ask()
        deadline = time.monotonic() + NEW_TOPIC_SECONDS
        while topic not in metadata.topics or metadata.topics[topic].error is not None:
            if time.monotonic() > deadline:
                raise no_topic(topic)
            time.sleep(PAUSE_SECONDS)
            metadata = self._ask()
        self.partitions = sorted(metadata.topics[topic].partitions)
        self.topics = set(metadata.topics)

    def _ask(self) -> ClusterMetadata:
        """The first answer of a broker. Raises `Stop` where none answers, or it refuses us."""
        reason = ""
        for seconds in FIRST_ANSWER_SECONDS:
            try:
                answer: ClusterMetadata = self._consumer.list_topics(timeout=seconds)
            except KafkaException as error:
                self._consumer.poll(0)  # what the client has to say about it waits for this
                reason = self._reason or error.args[0].str()
            else:
                return answer
            if self._trouble and self._all_down:  # asking longer would not change the answer
                break
        raise self._trouble or no_broker(self._brokers, reason)

    def _note(self, error: KafkaError) -> None:
        said = translate(error.name(), error.str(), f"Cannot use the brokers at {self._brokers}")
        if isinstance(said, Stop):
            self._trouble = self._trouble or said
        elif error.name() == "_ALL_BROKERS_DOWN":
            self._all_down = True
        else:
            self._reason = error.str()

    def compacted(self, *topics: str) -> list[str]:
        """Those of the topics that keep only the last record of a key; none where the broker does not tell."""
        admin = AdminClient(connection_settings(self._settings))
        found = []
        for topic in topics:
            resource = ConfigResource(ResourceType.TOPIC, topic)
            try:
                config = admin.describe_configs([resource], request_timeout=ANSWER_SECONDS)[resource].result()
            except KafkaException as error:
                log.debug("The broker does not tell the settings of %s: %s", topic, error.args[0].str())
            else:
                policy = config.get("cleanup.policy")
                found += [topic] if policy and "compact" in policy.value else []
        return found

    def offsets(self) -> dict[int, tuple[int, int]]:
        """First and end offset of each partition, as of now."""
        return {partition: watermarks(self._consumer, self._topic, partition) for partition in self.partitions}

    def committed(self, *, patience: float = COMING_UP_SECONDS) -> dict[int, int]:
        """The group's committed offset of each partition that has one; a coordinator is waited for `patience` seconds.

        Raises `BrokerDown` or `Stop` where the broker does not say.
        """
        answers = committed(self._consumer, self._topic, self.partitions, patience)
        return {answer.partition: answer.offset for answer in answers if answer.offset >= 0}

    def close(self) -> None:
        """Close the client."""
        self._consumer.close()
