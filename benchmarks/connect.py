"""A baseline: Kafka Connect with Debezium's JDBC sink on the servers that chatferry is measured on.

    python -m benchmarks.connect [--lines 100_000] [--batch N] [--schema envelope|content] [--url OPTIONS]

Starts a site and prints one JSON object with a sample for each mode. The sink gets the same rows into the same table,
but not the same lines: it has no type for a timestamp that is a number here and a string there, and a bad line, or in
insert mode a repeat, ends its task. So its topic is filled with records made for it.
"""

import argparse
import json
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import msgspec
from confluent_kafka import KafkaError, Message, Producer
from sqlalchemy import Connection, create_engine, make_url

from benchmarks.connect_worker import ConnectorFailed, ConnectWorker
from benchmarks.generate import BadLineError, Row, parse
from benchmarks.measure import Sample
from benchmarks.sampler import Sampler
from benchmarks.site import PARTITIONS, Site, open_site
from tests.services.process import log_tail

Mode = Literal["insert", "upsert"]

TASKS = 2
LOOK_SECONDS = 0.05  # between two looks for the last rows
CHECK_SECONDS = 1.0  # between two questions for the tasks' state
SLOWEST = 500  # rows a second; a load that is slower than this is given up
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

FIELDS = [
    {"field": "id", "type": "string", "optional": False},
    {"field": "from", "type": "string", "optional": False},
    {"field": "type", "type": "string", "optional": False},
    {"field": "site_id", "type": "string", "optional": False},
    {
        "field": "timestamp",
        "type": "int64",
        "optional": False,
        "name": "io.debezium.time.MicroTimestamp",
        "version": 1,
    },
    {"field": "data", "type": "string", "optional": True},
]
SCHEMA = json.dumps({"type": "struct", "name": "chat_message", "optional": False, "fields": FIELDS})


@dataclass(frozen=True)
class Setting:
    """What the sink is tuned by."""

    batch: int = 5_000
    """Rows of a database batch, and records of a consumer's poll."""
    schema: Literal["envelope", "content"] = "envelope"
    """Where the sink finds the records' schema: in each of them, or once in its settings (Kafka 4.2 and later)."""
    url: str = "useBulkStmts=true"
    """Options of the JDBC URL."""


@dataclass(frozen=True)
class Filled:
    """Topics that hold the same records."""

    topics: Sequence[str]
    rows: int
    """Rows that the records become."""
    last: Sequence[str]
    """The id of each partition's last new row: once all of these are stored, all rows are."""


def records(log: Path, *, repeats: bool) -> Iterator[tuple[Row, bool]]:
    """The good lines of a log as rows, in order, and whether each is new; with `repeats` the others, too."""
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


def encode(row: Row, schema: str) -> bytes:
    """A row as a record's value: with its schema in an envelope, or the payload alone."""
    names = (field["field"] for field in FIELDS)
    moment = datetime.fromisoformat(row[4]).replace(tzinfo=UTC)
    microseconds = (moment - EPOCH) // timedelta(microseconds=1)
    text = msgspec.json.encode(dict(zip(names, (*row[:4], microseconds, row[5]), strict=True)))
    return b'{"schema":%b,"payload":%b}' % (SCHEMA.encode(), text) if schema == "envelope" else text


def fill(site: Site, log: Path, mode: Mode, schema: str, topics: int) -> Filled:
    """So many fresh topics with the records of a log; repeats are among them where the mode bears them.

    Raises RuntimeError where the broker does not take them.
    """
    names = [site.topic() for _ in range(topics)]
    producer = Producer({"bootstrap.servers": site.kafka.brokers, "compression.type": "lz4", "linger.ms": 20})
    failed: list[KafkaError] = []
    last: dict[int, str] = {}
    rows = 0

    def delivered(error: KafkaError | None, _: Message) -> None:
        if error:
            failed.append(error)

    for row, new in records(log, repeats=mode == "upsert"):
        key, value = row[0].encode(), encode(row, schema)
        partition = zlib.crc32(key) % PARTITIONS
        if new:
            last[partition] = row[0]
            rows += 1
        for name in names:
            while len(producer) > 50_000:
                producer.poll(0.1)
            producer.produce(name, value, key, partition, on_delivery=delivered)
        producer.poll(0)
    if producer.flush(60) or failed:
        raise RuntimeError(f"{len(failed)} records were not taken: {failed[:1]}")
    return Filled(names, rows, list(last.values()))


def settings(topic: str, url: str, mode: Mode, setting: Setting) -> dict[str, str]:
    """The sink's settings for a topic and a database's URL."""
    database = make_url(url)
    schema = {"value.converter.schema.content": SCHEMA} if setting.schema == "content" else {}
    return {
        "connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector",
        "tasks.max": str(TASKS),
        "topics": topic,
        "connection.url": f"jdbc:mariadb://{database.host}:{database.port}/{database.database}?{setting.url}",
        "connection.username": str(database.username),
        "connection.password": database.password or "",
        "collection.name.format": "chat_messages",
        "quote.identifiers": "true",  # a column is named from
        "insert.mode": mode,
        "primary.key.mode": "record_value",
        "primary.key.fields": "id",
        "schema.evolution": "none",
        "batch.size": str(setting.batch),
        "consumer.override.max.poll.records": str(setting.batch),
        "consumer.override.max.partition.fetch.bytes": str(16 * 2**20),
        "consumer.override.heartbeat.interval.ms": "500",  # the first task learns of the second
        "value.converter": "org.apache.kafka.connect.json.JsonConverter",
        "value.converter.schemas.enable": "true",
        **schema,
    }


def wait(worker: ConnectWorker, connector: str, connection: Connection, filled: Filled) -> None:
    """Return once all rows are stored. Raises ConnectorFailed where a task fails or it takes too long."""
    query = f"SELECT COUNT(*) FROM chat_messages WHERE id IN ({', '.join(map(repr, filled.last))})"
    began = checked = time.monotonic()
    while connection.exec_driver_sql(query).scalar() != len(filled.last):
        now = time.monotonic()
        if now - checked > CHECK_SECONDS:
            worker.check(connector)
            checked = now
        if now - began > 60 + filled.rows / SLOWEST:
            raise ConnectorFailed(f"{connector} takes too long. {log_tail(worker.log)}")
        time.sleep(LOOK_SECONDS)


def load(site: Site, worker: ConnectWorker, filled: Filled, number: int, mode: Mode, setting: Setting) -> Sample:
    """Load one of the topics into a fresh database; from the connector's start until the last row is stored.

    Raises ConnectorFailed where it fails, or stores another number of rows.
    """
    topic = filled.topics[number]
    groups = {
        "kafka": lambda: [site.kafka.pid],
        "mariadb": lambda: [site.maria.pid],
        "main": lambda: [worker.pid],
    }
    with site.database() as url, closing(create_engine(url, isolation_level="AUTOCOMMIT").connect()) as connection:
        with Sampler(groups) as sampler:
            began = time.monotonic()
            worker.create(topic, settings(topic, url, mode, setting))
            wait(worker, topic, connection, filled)
            seconds = time.monotonic() - began
        worker.delete(topic)
        if (stored := site.rows(url)) != filled.rows:
            raise ConnectorFailed(f"{stored} rows are stored, not {filled.rows}. {log_tail(worker.log)}")
    return Sample(filled.rows, seconds, sampler.usage.cpu, sampler.usage.peak_mb)


def connect(site: Site, log: Path, mode: Mode, setting: Setting | None = None) -> Sample:
    """Kafka Connect's sink on a log, in a JVM that has just started.

    `more` holds `jvm_seconds`, which the JVM took until its REST interface answered and which `seconds` leaves out;
    `warm_rate` and `warm_cpu`, rows a second and core-seconds by group of a second load in the same JVM, from another
    topic into another database; and `setting`. Raises ConnectorFailed, ServerError, ServicesMissingError.
    """
    setting = setting or Setting()
    filled = fill(site, log, mode, setting.schema, topics=2)
    folder = site.folder / site.name()
    folder.mkdir()
    began = time.monotonic()
    with ConnectWorker(folder, site.kafka.brokers) as worker:
        jvm_seconds = time.monotonic() - began
        cold = load(site, worker, filled, 0, mode, setting)
        warm = load(site, worker, filled, 1, mode, setting)
    more = {"jvm_seconds": jvm_seconds, "warm_rate": warm.rate, "warm_cpu": warm.cpu, "setting": asdict(setting)}
    return Sample(cold.count, cold.seconds, cold.cpu, cold.peak_mb, more)


def main() -> None:
    """Measure both modes once and print the samples as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--batch", type=int, default=Setting.batch)
    parser.add_argument("--schema", choices=("envelope", "content"), default=Setting.schema)
    parser.add_argument("--url", default=Setting.url)
    options = parser.parse_args()
    setting = Setting(options.batch, options.schema, options.url)
    modes: tuple[Mode, ...] = ("insert", "upsert")
    samples: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name, open_site(Path(name)) as site:
        log = site.log(options.lines)
        for mode in modes:
            sample = connect(site, log, mode, setting)
            samples[mode] = {"rate": sample.rate, **asdict(sample)}
    print(json.dumps(samples, indent=2))


if __name__ == "__main__":
    main()
