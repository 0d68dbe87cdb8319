"""Kafka's client as the producer needs it: its settings, its troubles, and its first contact."""

import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._metadata import ClusterMetadata

from schemas.errors import ChatferryError, Stop
from schemas.kafka import (
    FIRST_ANSWER_SECONDS,
    Settings,
    bad_setting,
    base_settings,
    no_broker,
    translate,
)

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


class Trouble:
    """Keeps the last error that a client mentioned, for the sentence in which the person is told."""

    def __init__(self) -> None:
        self.last: KafkaError | None = None
        self.fatal: KafkaError | None = None
        """What the client ended with, if it did."""
        self.all_down = False

    def note(self, error: KafkaError) -> None:
        """librdkafka's error callback: remembers all but the summary that every broker is down."""
        if error.fatal():
            self.fatal = self.fatal or error
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


def new_producer(
    settings: Settings, topic: str, max_message_bytes: int, on_error: Callable[[KafkaError], None]
) -> Producer:
    """The client, fit for the topic's largest record, and knowing the topic already.

    (Asked by its first record, librdkafka would hold that for half a second.)
    """
    own = {**settings, "message.max.bytes": max(max_message_bytes, 1000), "error_cb": on_error}
    try:
        client = Producer(own)
    except KafkaException as error:
        raise bad_setting(error.args[0].str()) from None
    with contextlib.suppress(KafkaException):  # only a head start: records wait for a broker by themselves
        client.list_topics(topic, timeout=ANSWER_SECONDS)
    return client
