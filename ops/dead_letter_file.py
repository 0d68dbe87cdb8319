"""Dead letters out of a broker that is about to go, into a file that stays."""

import os
from base64 import b64encode
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import Consumer, Message, TopicPartition

from ops.account import Manifest
from schemas import topics
from schemas.errors import Stop
from schemas.kafka import Settings
from terminal.command import json_line

SILENCE_SECONDS = 5.0

PRIVATE_AND_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
"""It holds what people wrote to each other: for its owner alone, and never through a link that lay there before."""


def keep_dead_letters(settings: Settings, topic: str, path: Path, manifest: Manifest) -> Path:
    """Write every record of the dead-letter topic to `path`, one JSON object a line; returns the path.

    `line` holds the bytes as text where they are UTF-8, else `line_base64` holds them; a line that was too large for
    the topic has a `reference`. `file` and `between_bytes` say where it was read. Raises `Stop` where the file cannot
    be written, or the broker does not hand over what it holds.
    """
    consumer = Consumer(
        {"bootstrap.servers": settings["bootstrap.servers"], "group.id": "chatferry-keep", "enable.auto.commit": False,
         "enable.partition.eof": True, "log_level": settings["log_level"], "fetch.wait.max.ms": 10}
    )  # fmt: skip
    consumer.assign([TopicPartition(topic, 0, 0)])
    try:
        with os.fdopen(os.open(path, PRIVATE_AND_NEW, 0o600), "wb") as file:
            while (message := _next(consumer, topic)) is not None:
                file.write(json_line(_entry(message, manifest)))
    except OSError as error:
        raise Stop(
            f"Cannot write the dead letters to {path}: {error.strerror}", "Run again where there is room"
        ) from None
    finally:
        consumer.close()
    return path


def _next(consumer: Consumer, topic: str) -> Message | None:
    message = consumer.poll(SILENCE_SECONDS)
    if message is None:
        raise Stop(f"The broker does not hand over the dead letters of {topic}", "Run again")
    error = message.error()
    if error is None:
        return message
    if error.name() == "_PARTITION_EOF":
        return None
    raise Stop(f"Reading the dead letters of {topic}: {error.str()}", "Run again")


def _entry(message: Message, manifest: Manifest) -> dict[str, Any]:
    headers = {str(header[0]): _text(header[1]) for header in message.headers() or []}
    value = message.value() or b""
    assert isinstance(value, bytes)
    entry: dict[str, Any] = {
        "error": headers.get(topics.ERROR_CLASS),
        "text": headers.get(topics.ERROR_TEXT),
        "stage": headers.get(topics.STAGE),
    }
    if topics.ORIGIN_OFFSET in headers:
        origin = manifest.place(int(headers[topics.ORIGIN_PARTITION]), int(headers[topics.ORIGIN_OFFSET]))
        if origin is not None:
            entry |= {"file": origin.source, "between_bytes": [origin.start, origin.end]}
    if headers.get(topics.CONTENT) == "reference":
        return {**entry, "reference": msgspec.json.decode(value)}
    try:
        return {**entry, "line": value.decode()}
    except UnicodeDecodeError:
        return {**entry, "line_base64": b64encode(value).decode()}


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
