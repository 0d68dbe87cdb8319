"""`chatferry topics`: the topic and its dead letters."""

import logging
import time
from typing import Any

import click
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from producer.client import ANSWER_SECONDS, Trouble, admin_client, metadata_of, producer_settings
from producer.topic import ask_topic
from schemas.errors import Stop
from schemas.kafka import Settings, translate
from schemas.settings import pass_through, secret
from schemas.topics import HEADER_ROOM, KAFKA_DEFAULT_MAX_MESSAGE_BYTES, dead_letters_of
from terminal.command import FerryCommand, emit_json, environment, required, say, settings_options
from terminal.logs import plural

log = logging.getLogger(__name__)


@click.group()
def topics() -> None:
    """Create the topics."""


@topics.command(cls=FerryCommand, name="create")
@settings_options(
    ["brokers", "topic", "dead_letter_topic", "partitions", "replication_factor", "max_message_bytes", "librdkafka",
     "kafka_password_file"]
)  # fmt: skip
def create(**given: Any) -> int:
    """Create the topic and its dead-letter topic, where they are not there yet."""
    password = secret("CHATFERRY_KAFKA_PASSWORD", given["kafka_password_file"], environment())
    settings = producer_settings(required("brokers", given["brokers"]), pass_through(given["librdkafka"]), password)
    topic, dead = given["topic"], dead_letters_of(given["topic"], given["dead_letter_topic"])
    created = create_topics(
        settings,
        topic,
        dead,
        partitions=given["partitions"],
        replication_factor=given["replication_factor"],
        max_message_bytes=given["max_message_bytes"],
    )
    facts = ask_topic(settings, topic)
    partitions = facts.partitions
    if given["json"]:
        emit_json(
            {
                "topic": topic,
                "partitions": partitions,
                "replication_factor": facts.copies,
                "dead_letter_topic": dead,
                "created": created,
            }
        )
    else:
        known = "is there already" if topic not in created else "created"
        copies = "one copy of each line: it goes with its broker" if facts.copies == 1 else f"{facts.copies} copies"
        say(f"{topic} {known}, with {partitions} {plural(partitions, 'partition')} ({copies}); bad lines go to {dead}")
    if topic not in created and partitions != given["partitions"]:
        log.warning("%s keeps its %d partitions (Kafka's own tools change them)", topic, partitions)
    return 0


def create_topics(
    settings: Settings,
    topic: str,
    dead: str,
    *,
    partitions: int,
    replication_factor: int | None = None,
    max_message_bytes: int | None = None,
) -> list[str]:
    """Create those of the two topics that are not there; returns their names.

    The dead-letter topic takes larger records than the topic, so that a line that fits there fits here with its
    headers. Raises `Stop` where the broker refuses.
    """
    trouble = Trouble()
    admin = admin_client(settings, trouble.note)
    metadata_of(admin, settings, trouble)
    copies = replication_factor or -1
    largest: dict[str, str] = {} if max_message_bytes is None else {"max.message.bytes": str(max_message_bytes)}
    created = [topic] if _create(admin, NewTopic(topic, partitions, copies, config=largest)) else []
    _wait_for(admin, topic)
    limit = max_message_bytes or ask_topic(settings, topic).max_message_bytes or KAFKA_DEFAULT_MAX_MESSAGE_BYTES
    room = {"max.message.bytes": str(limit + HEADER_ROOM)}
    if _create(admin, NewTopic(dead, 1, copies, config=room)):
        created.append(dead)
    return created


def _create(admin: AdminClient, topic: NewTopic) -> bool:
    try:
        admin.create_topics([topic], request_timeout=ANSWER_SECONDS)[topic.topic].result()
    except KafkaException as error:
        kafka_error = error.args[0]
        if kafka_error.name() == "TOPIC_ALREADY_EXISTS":
            return False
        raise translate(kafka_error.name(), kafka_error.str(), f"Creating the topic {topic.topic}") from None
    return True


def _wait_for(admin: AdminClient, topic: str) -> None:
    """Return when every partition of a new topic has a leader: the broker that is asked next may not know it yet.

    Raises `Stop` where that does not come about in time.
    """
    deadline = time.monotonic() + ANSWER_SECONDS
    while True:
        known = admin.list_topics(topic, timeout=ANSWER_SECONDS).topics.get(topic)
        if known and not known.error and all(partition.leader >= 0 for partition in known.partitions.values()):
            return
        if time.monotonic() > deadline:
            raise Stop(f"The topic {topic} has no leader after {ANSWER_SECONDS:.0f} s", "See that all brokers run")
        time.sleep(0.02)
