"""Names that travel over Kafka: topics, and the headers of a dead letter."""

import hashlib
from typing import NamedTuple

import msgspec

from schemas.errors import UsageProblem

DEFAULT_TOPIC = "chat-messages"
DEFAULT_GROUP = "chatferry"
DEFAULT_PARTITIONS = 4

KAFKA_DEFAULT_MAX_MESSAGE_BYTES = 1_048_588
"""`max.message.bytes` of a topic that nobody configured (Kafka's documentation, topic configs)."""

KAFKA_DEFAULT_RETENTION_MS = 7 * 24 * 3600 * 1000
"""`retention.ms` of a topic that nobody configured (the same place)."""

RECORD_OVERHEAD = 128
"""Bytes that a record batch of one record may need beside key, value and headers: 61 of batch header and at most 36 of
record header (Kafka's record format v2), rounded up."""

HEADER_ROOM = 65_536
"""How much larger than its topic a dead-letter topic's records may be: room for the origin headers."""

ORIGIN_TOPIC = "chatferry.origin.topic"
ORIGIN_PARTITION = "chatferry.origin.partition"
ORIGIN_OFFSET = "chatferry.origin.offset"
STAGE = "chatferry.stage"  # read, parse or store: who found the line bad
ERROR_CLASS = "chatferry.error.class"
ERROR_TEXT = "chatferry.error.text"
CONTENT = "chatferry.content"  # `line`: the value is the line's bytes; `reference`: the value is a LineReference

REFERENCE_HEAD = 1_024
"""How many first bytes of an oversize line its reference holds."""

Headers = list[tuple[str, str | bytes | None]]


def dead_letter_topic(topic: str) -> str:
    """Where the bad lines of `topic` go unless told otherwise."""
    return f"{topic}.dlq"


def dead_letters_of(topic: str, named: str | None) -> str:
    """Where the bad lines of `topic` go: the topic that was `named`, or else the usual one.

    Raises `UsageProblem` where that is the topic itself: a bad line would come back for ever.
    """
    if named == topic:
        raise UsageProblem(f"--dead-letter-topic {named} is the topic itself", "Name another, or leave it out")
    return named or dead_letter_topic(topic)


class LineReference(msgspec.Struct, frozen=True):
    """Stands in the dead letters for a line that no topic can take: where it is, and how to know it again.

    `source` is a file's path or `topic/partition`, `offset` the first byte in that file (of the decompressed text) or
    the record's offset, `length` in bytes, `head` the first bytes (base64 in JSON).
    """

    source: str
    offset: int
    length: int
    sha256: str
    head: bytes


class Oversize(NamedTuple):
    """A line that is larger than the topic takes, as the reader saw it pass: never held in memory as a whole."""

    offset: int
    length: int
    sha256: str
    head: bytes

    def reference(self, source: str) -> bytes:
        """The dead letter's value: JSON of a `LineReference`."""
        return msgspec.json.encode(LineReference(source, self.offset, self.length, self.sha256, self.head))


def reference_to_record(topic: str, partition: int, offset: int, value: bytes) -> bytes:
    """The dead letter's value for a record that fits its topic but not the dead-letter topic."""
    digest = hashlib.sha256(value).hexdigest()
    reference = LineReference(f"{topic}/{partition}", offset, len(value), digest, value[:REFERENCE_HEAD])
    return msgspec.json.encode(reference)
