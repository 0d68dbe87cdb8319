"""Kafka's client as the producer needs it: its settings, and what it must know of the topic before the first line."""

import contextlib
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer, TopicCollection
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._metadata import ClusterMetadata
from confluent_kafka.admin._resource import ResourceType

from schemas.errors import ChatferryError, Stop
from schemas.kafka import (
    FIRST_ANSWER_SECONDS,
    NEW_TOPIC_SECONDS,
    Settings,
    bad_setting,
    base_settings,
    no_broker,
    no_topic,
    translate,
)
from schemas.topics import KAFKA_DEFAULT_MAX_MESSAGE_BYTES, KAFKA_DEFAULT_RETENTION_MS, RECORD_OVERHEAD

log = logging.getLogger(__name__)

ANSWER_SECONDS = 10.0
"""How long an answer may take after that."""

PAUSE_SECONDS = 0.1

QUEUE_MESSAGES = 200_000
QUEUE_KILOBYTES = 48 << 10
"""The window in flight: it bounds memory, and what a killed producer sends again."""

FORCED: Settings = {
    "enable.idempotence": True,
    "acks": "all",
    "enable.gapless.guarantee": True,  # a record that fails stops the client: one report then speaks for all before it
    "message.timeout.ms": 0,  # a line never expires while a broker is away
}


def producer_settings(brokers: str, pass_through: Mapping[str, str], password: str | None) -> Settings:
    """librdkafka's settings for a producer: ours by default, the user's where they do not touch the guarantee.

    Raises `UsageProblem` where they do.
    """
    defaults: Settings = {
        "client.id": "chatferry-producer",
        "compression.type": "lz4",
        "linger.ms": 5,
        "queue.buffering.max.messages": QUEUE_MESSAGES,
        "queue.buffering.max.kbytes": QUEUE_KILOBYTES,
        "partitioner": "murmur2_random",  # a key goes where Java's default partitioner sends it
    }
    return {**defaults, **base_settings(brokers, pass_through, password, FORCED)}


@dataclass(frozen=True)
class TopicFacts:
    """What the producer must know of its topic. `identity` names this topic and no other of the same name."""

    name: str
    partitions: int
    max_message_bytes: int
    identity: str
    keeps_seconds: float = math.inf
    """How long it keeps a record, counted from its CreateTime, or how old that may be: whichever is less."""

    @property
    def longest_line(self) -> int:
        """The longest line in bytes that is sure to fit into a record."""
        return self.max_message_bytes - RECORD_OVERHEAD


def ask_topic(settings: Settings, topic: str) -> TopicFacts:
    """Ask the broker for the topic's facts.

    Raises `Stop` where no broker answers, it refuses us, or there is no such topic.
    """
    trouble = Trouble()
    admin = admin_client(settings, trouble.note)
    metadata = metadata_of(admin, settings, trouble)
    deadline = time.monotonic() + NEW_TOPIC_SECONDS
    while topic not in metadata.topics or metadata.topics[topic].error is not None:
        if time.monotonic() > deadline:
            raise no_topic(topic)
        time.sleep(PAUSE_SECONDS)
        metadata = metadata_of(admin, settings, trouble)
    own = settings.get("message.max.bytes")
    entries = _topic_settings(admin, topic) if own is None else {}
    limit = int(entries.get("max.message.bytes", KAFKA_DEFAULT_MAX_MESSAGE_BYTES) if own is None else own)
    identity = f"{metadata.cluster_id}/{_topic_id(admin, topic)}"
    return TopicFacts(topic, len(metadata.topics[topic].partitions), limit, identity, _keeps_seconds(entries))


def _keeps_seconds(entries: Mapping[str, str]) -> float:
    """See `TopicFacts.keeps_seconds`; -1 is for ever."""
    kept = int(entries.get("retention.ms", KAFKA_DEFAULT_RETENTION_MS))
    taken = int(entries.get("message.timestamp.before.max.ms", kept))
    return min([limit / 1000 for limit in (kept, taken) if limit >= 0], default=math.inf)


class Trouble:
    """Keeps the last error that a client mentioned, for the sentence in which the person is told."""

    def __init__(self) -> None:
        self.last: KafkaError | None = None
        self.all_down = False

    def note(self, error: KafkaError) -> None:
        """librdkafka's error callback: remembers all but the summary that every broker is down."""
        self.all_down |= error.name() == "_ALL_BROKERS_DOWN"
        if error.name() != "_ALL_BROKERS_DOWN" or self.last is None:
            self.last = error

    def explain(self, what: str) -> ChatferryError | None:
        """The last error as one of ours; None where nothing was said."""
        return translate(self.last.name(), self.last.str(), what) if self.last else None


def admin_client(settings: Settings, on_error: Callable[[KafkaError], None] | None = None) -> AdminClient:
    """An admin client with a producer's settings, less those that make it ask for a producer's id.

    Raises `UsageProblem` for a setting that librdkafka does not know.
    """
    own: dict[str, Any] = {key: value for key, value in settings.items() if key not in FORCED}
    if on_error:
        own["error_cb"] = on_error
    try:
        return AdminClient(own)
    except KafkaException as error:
        raise bad_setting(error.args[0].str()) from None


def metadata_of(admin: AdminClient, settings: Settings, trouble: Trouble) -> ClusterMetadata:
    """What the cluster is made of.

    Raises `Stop` where no broker answers, or it refuses us.
    """
    brokers = str(settings["bootstrap.servers"])
    said, reason = None, ""
    for seconds in FIRST_ANSWER_SECONDS:
        try:
            return admin.list_topics(timeout=seconds)
        except KafkaException as error:
            admin.poll(0)  # what the client has to say about it waits for this
            reason = (trouble.last or error.args[0]).str()
        said = trouble.explain(f"Cannot use the brokers at {brokers}")
        if isinstance(said, Stop) and trouble.all_down:  # asking longer would not change the answer
            break
    raise said if isinstance(said, Stop) else no_broker(brokers, reason)


def _topic_settings(admin: AdminClient, topic: str) -> dict[str, str]:
    """The topic's settings by name. Where the broker will not or cannot say, none, and the log says so.

    Raises `BrokerDown` where it is away: a guess would make dead letters of good lines.
    """
    resource = ConfigResource(ResourceType.TOPIC, topic)
    try:
        entries = admin.describe_configs([resource], request_timeout=ANSWER_SECONDS)[resource].result()
    except KafkaException as error:
        said = _unless_refused(error, f"Asking for the settings of {topic}")
        log.warning("%s: its largest record is taken to be %s bytes (-X message.max.bytes=N says otherwise)",
                    said, f"{KAFKA_DEFAULT_MAX_MESSAGE_BYTES:,}")  # fmt: skip
        return {}
    if "max.message.bytes" not in entries:
        log.debug("%s: this broker does not tell max.message.bytes; Kafka's default is assumed", topic)
    return {name: str(entry.value) for name, entry in entries.items() if entry.value is not None}


def _topic_id(admin: AdminClient, topic: str) -> str:
    """What tells this topic from one of the same name; its name where the broker will not or cannot say more.

    Raises `BrokerDown` where it is away: another identity would send every log from its start.
    """
    try:
        description = admin.describe_topics(TopicCollection([topic]), request_timeout=ANSWER_SECONDS)[topic].result()
        return str(description.topic_id)
    except KafkaException as error:
        _unless_refused(error, f"Asking for the identity of {topic}")
        return topic


def _unless_refused(error: KafkaException, what: str) -> ChatferryError:
    """The error in our words, where the broker refuses or does not know the question; else it is raised."""
    kafka_error = error.args[0]
    said = translate(kafka_error.name(), kafka_error.str(), what)
    if "AUTHORIZATION" in kafka_error.name() or kafka_error.name() in ("UNSUPPORTED_VERSION", "_UNSUPPORTED_FEATURE"):
        return said
    raise said from None


def new_producer(settings: Settings, facts: TopicFacts, on_error: Callable[[KafkaError], None]) -> Producer:
    """The client, fit for the topic's largest record, and knowing the topic already.

    (Asked by its first record, librdkafka would hold that for half a second.)
    """
    own = {**settings, "message.max.bytes": max(facts.max_message_bytes, 1000), "error_cb": on_error}
    try:
        client = Producer(own)
    except KafkaException as error:
        raise bad_setting(error.args[0].str()) from None
    with contextlib.suppress(KafkaException):  # only a head start: records wait for a broker by themselves
        client.list_topics(facts.name, timeout=ANSWER_SECONDS)
    return client
