"""What the producer must know of its topic before the first line, and now and then while it sends."""

import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType

from producer.client import ANSWER_SECONDS, PAUSE_SECONDS, Trouble, admin_client, metadata_of
from schemas.errors import ChatferryError, Stop
from schemas.kafka import NEW_TOPIC_SECONDS, Settings, no_topic, not_told, translate
from schemas.topics import KAFKA_DEFAULT_MAX_MESSAGE_BYTES, KAFKA_DEFAULT_RETENTION_MS, RECORD_OVERHEAD

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TopicFacts:
    """What the producer must know of its topic. `identity` names this topic and no other of the same name."""

    name: str
    partitions: int
    max_message_bytes: int
    identity: str
    copies: int = 1
    """Brokers that have each record: the replication factor."""
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
    config = _config(admin, topic)
    if "compact" in config.get("cleanup.policy", ""):
        raise Stop(
            f"The topic {topic} is compacted: of all lines with one key it would keep the last",
            "Use another topic, or set its cleanup.policy to delete",
        )
    own = settings.get("message.max.bytes")
    limit = int(own) if own is not None else _largest(config, topic)
    identity = f"{metadata.cluster_id}/{_topic_id(admin, topic)}"
    partitions = metadata.topics[topic].partitions
    copies = min(len(partition.replicas) for partition in partitions.values())
    return TopicFacts(topic, len(partitions), limit, identity, copies, _keeps_seconds(config))


def _keeps_seconds(config: Mapping[str, str]) -> float:
    """See `TopicFacts.keeps_seconds`; -1 is for ever."""
    kept = int(config.get("retention.ms", KAFKA_DEFAULT_RETENTION_MS))
    taken = int(config.get("message.timestamp.before.max.ms", kept))
    return min([limit / 1000 for limit in (kept, taken) if limit >= 0], default=math.inf)


def _config(admin: AdminClient, topic: str) -> dict[str, str]:
    """The topic's settings; none where the broker will not tell, and the log says so.

    Raises `BrokerDown` where it is away: a guess would make dead letters of good lines.
    """
    resource = ConfigResource(ResourceType.TOPIC, topic)
    try:
        entries = admin.describe_configs([resource], request_timeout=ANSWER_SECONDS)[resource].result()
    except KafkaException as error:
        log.warning("%s: what is not known of the topic is taken to be Kafka's default",
                    _unless_refused(error, f"Asking for the settings of {topic}"))  # fmt: skip
        return {}
    return {name: str(entry.value) for name, entry in entries.items() if entry.value is not None}


def _largest(config: Mapping[str, str], topic: str) -> int:
    """The largest record in bytes that the topic takes: Kafka's default where the broker does not say."""
    if "max.message.bytes" in config:
        return int(config["max.message.bytes"])
    log.debug("%s: its largest record is taken to be %s bytes (-X message.max.bytes=N says otherwise)",
              topic, f"{KAFKA_DEFAULT_MAX_MESSAGE_BYTES:,}")  # fmt: skip
    return KAFKA_DEFAULT_MAX_MESSAGE_BYTES


class LimitNow:
    """The longest line in bytes that fits into a record of the topic as it is now: it may be raised at any time."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self._settings = settings
        self._topic = topic
        self._admin: AdminClient | None = None

    def __call__(self) -> int:
        """Asks the broker; 0 where it does not say, or the user said it once and for all."""
        if "message.max.bytes" in self._settings:
            return 0
        self._admin = self._admin or admin_client(self._settings)
        try:
            return _largest(_config(self._admin, self._topic), self._topic) - RECORD_OVERHEAD
        except ChatferryError as error:
            log.debug("%s", error)
            return 0


def _topic_id(admin: AdminClient, topic: str) -> str:
    """What tells this topic from one of the same name; its name where the broker will not or cannot say more.

    Raises `BrokerDown` where it is away: another identity would send every log from its start.
    """
    try:
        description = admin.describe_topics(TopicCollection([topic]), request_timeout=ANSWER_SECONDS)[topic].result()
        return str(description.topic_id)
    except KafkaException as error:
        said = _unless_refused(error, f"Asking for the identity of {topic}")
        log.info("%s: its name stands for it; a topic made anew under it is taken for the same", said)
        return topic


def _unless_refused(error: KafkaException, what: str) -> ChatferryError:
    """The error in our words, where the broker refuses or does not know the question; else it is raised."""
    kafka_error = error.args[0]
    said = translate(kafka_error.name(), kafka_error.str(), what)
    if not_told(kafka_error.name()):
        return said
    raise said from None
