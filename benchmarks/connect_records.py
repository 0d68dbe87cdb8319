"""Topics for Kafka Connect's sink: the rows of a log as records of one schema."""

import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import msgspec
from confluent_kafka import KafkaError, Message, Producer

from benchmarks.generate import BadLineError, Row, parse
from benchmarks.site import PARTITIONS, Site

SchemaPlace = Literal["envelope", "content"]
"""Where the sink finds the schema: in every record, or once in its settings (schema.content, Kafka 4.2 and later)."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
WAITING = 50_000  # records that the producer holds before it is waited for
FLUSH_SECONDS = 60

MOMENT = {"type": "int64", "name": "io.debezium.time.MicroTimestamp", "version": 1}
FIELDS = (
    {"field": "id", "type": "string", "optional": False},
    {"field": "from", "type": "string", "optional": False},
    {"field": "type", "type": "string", "optional": False},
    {"field": "site_id", "type": "string", "optional": False},
    {"field": "timestamp", "optional": False, **MOMENT},
    {"field": "data", "type": "string", "optional": True},
)
NAMES = tuple(str(field["field"]) for field in FIELDS)
SCHEMA = json.dumps({"type": "struct", "name": "chat_message", "optional": False, "fields": FIELDS})


@dataclass(frozen=True)
class Filled:
    """Topics that hold the same records."""

    topics: Sequence[str]
    rows: int
    """Rows that the records become."""
    last: Sequence[Row]
    """Each partition's last new row: once all of these are stored, all rows are."""


def rows_of(log: Path, *, repeats: bool) -> Iterator[tuple[Row, bool]]:
    """The good lines of a log as rows, in order, and whether each is new; without `repeats` the new ones alone."""
    seen: set[str] = set()
    with log.open("rb") as lines:
        for line in lines:
            try:
                row = parse(line.rstrip(b"\r\n"))
            except BadLineError:
                continue
            new = row[0] not in seen
            seen.add(row[0])
            if new or repeats:
                yield row, new


def encode(row: Row, place: SchemaPlace) -> bytes:
    """A row as a record's value: in an envelope with its schema, or the payload alone."""
    moment = datetime.fromisoformat(row[4]).replace(tzinfo=UTC)
    values = (*row[:4], (moment - EPOCH) // MICROSECOND, row[5])
    payload = msgspec.json.encode(dict(zip(NAMES, values, strict=True)))
    return b'{"schema":%b,"payload":%b}' % (SCHEMA.encode(), payload) if place == "envelope" else payload


def fill(site: Site, log: Path, place: SchemaPlace, *, repeats: bool, topics: int) -> Filled:
    """So many fresh topics, each with the rows of a log; all records of one id are in one partition.

    Raises RuntimeError where the broker does not take a record, ValueError where the log holds no row.
    """
    names = [site.topic() for _ in range(topics)]
    feed = _Feed(site.kafka.brokers)
    last: dict[int, Row] = {}
    rows = 0
    for row, new in rows_of(log, repeats=repeats):
        key, value = row[0].encode(), encode(row, place)
        partition = zlib.crc32(key) % PARTITIONS
        for name in names:
            feed.send(name, key, value, partition)
        if new:
            last[partition] = row
            rows += 1
    feed.finish()
    if not last:
        raise ValueError(f"{log} holds no row")
    return Filled(names, rows, list(last.values()))


class _Feed:
    """A producer that is told of each record whether it was taken."""

    def __init__(self, brokers: str) -> None:
        self._producer = Producer({"bootstrap.servers": brokers, "compression.type": "lz4", "linger.ms": 20})
        self._failed: list[KafkaError] = []

    def send(self, topic: str, key: bytes, value: bytes, partition: int) -> None:
        self._producer.produce(topic, value, key, partition, on_delivery=self._delivered)
        self._producer.poll(0)
        while len(self._producer) > WAITING:
            self._producer.poll(0.1)  # ends: a record that is not taken fails after delivery.timeout.ms

    def finish(self) -> None:
        waiting = self._producer.flush(FLUSH_SECONDS)
        if waiting or self._failed:
            raise RuntimeError(f"{waiting} records still wait, and {len(self._failed)} failed: {self._failed[:1]}")

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        if error:
            self._failed.append(error)
