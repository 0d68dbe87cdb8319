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
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient
from sqlalchemy import Connection, create_engine, make_url

from benchmarks.connect_records import SCHEMA, Filled, SchemaPlace, fill
from benchmarks.connect_worker import ConnectorFailed, ConnectWorker
from benchmarks.measure import Sample
from benchmarks.sampler import Sampler
from benchmarks.site import Site, open_site
from tests.services.process import log_tail

Mode = Literal["insert", "upsert"]

TASKS = 2
FETCH_BYTES = 16 * 2**20  # of one partition: more than a batch of the largest size
LOOK_SECONDS = 0.05  # between two looks for the last rows
CHECK_SECONDS = 1.0  # between two questions for the tasks' state
JOIN_SECONDS = 60.0
SLOWEST = 500  # rows a second; a load that is slower than this is given up


@dataclass(frozen=True)
class Setting:
    """What the sink is tuned by."""

    batch: int = 5_000
    """Rows of a database batch, and records of a consumer's poll."""
    schema: SchemaPlace = "envelope"
    url: str = "useBulkStmts=true"
    """Options of the JDBC URL."""


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
        "consumer.override.max.partition.fetch.bytes": str(FETCH_BYTES),
        "value.converter": "org.apache.kafka.connect.json.JsonConverter",
        "value.converter.schemas.enable": "true",
        **schema,
    }


@contextmanager
def gate(site: Site, topic: str) -> Iterator[Consumer]:
    """A member of the connector's group that keeps the tasks waiting until it is closed, at the latest by the block's
    end.

    Without it the first task starts on all partitions and gives half of them up when the second joins. Debezium then
    commits the offset of the last row in place of the next one, the row comes again, and insert mode dies of it.
    """
    settings = {"bootstrap.servers": site.kafka.brokers, "group.id": f"connect-{topic}", "enable.auto.commit": False}
    member = Consumer(settings)
    try:
        # With callbacks it gives its partitions up only when it is polled.
        member.subscribe([topic], on_assign=lambda *_: None, on_revoke=lambda *_: None)
        deadline = time.monotonic() + JOIN_SECONDS
        while not member.assignment():
            member.poll(0.05)
            if time.monotonic() > deadline:
                raise ConnectorFailed(f"The group of {topic} took no member in {JOIN_SECONDS} s")
        yield member
    finally:
        member.close()


def wait_for_tasks(site: Site, worker: ConnectWorker, topic: str) -> None:
    """Return once all tasks wait in the group beside the gate. Raises ConnectorFailed where they do not come."""
    admin = AdminClient({"bootstrap.servers": site.kafka.brokers})
    group = f"connect-{topic}"
    began = time.monotonic()
    while len(admin.describe_consumer_groups([group])[group].result(10).members) <= TASKS:
        worker.check(topic)
        if time.monotonic() - began > JOIN_SECONDS:
            raise ConnectorFailed(f"The tasks have not joined {group}. {log_tail(worker.log)}")
        time.sleep(0.02)


def wait_for_rows(worker: ConnectWorker, topic: str, connection: Connection, filled: Filled) -> None:
    """Return once all rows are stored. Raises ConnectorFailed where a task fails or it takes too long."""
    ids = ", ".join(f"'{last}'" for last in filled.last)
    query = f"SELECT COUNT(*) FROM chat_messages WHERE id IN ({ids})"
    began = checked = time.monotonic()
    while connection.exec_driver_sql(query).scalar() != len(filled.last):
        now = time.monotonic()
        if now - checked > CHECK_SECONDS:
            worker.check(topic)
            checked = now
        if now - began > 60 + filled.rows / SLOWEST:
            raise ConnectorFailed(f"The connector on {topic} takes too long. {log_tail(worker.log)}")
        time.sleep(LOOK_SECONDS)


def load(site: Site, worker: ConnectWorker, filled: Filled, topic: str, mode: Mode, setting: Setting) -> Sample:
    """Load one of the filled topics into a fresh database: from the connector's start until the last row is stored.

    Raises ConnectorFailed where it fails, or stores another number of rows.
    """
    groups = {
        "kafka": lambda: [site.kafka.pid],
        "mariadb": lambda: [site.maria.pid],
        "main": lambda: [worker.pid],
    }
    with site.database() as url, closing(create_engine(url, isolation_level="AUTOCOMMIT").connect()) as connection:
        with gate(site, topic) as first, Sampler(groups) as sampler:
            began = time.monotonic()
            worker.create(topic, settings(topic, url, mode, setting))
            wait_for_tasks(site, worker, topic)
            first.close()
            wait_for_rows(worker, topic, connection, filled)
            seconds = time.monotonic() - began
        worker.delete(topic)
        if (stored := site.rows(url)) != filled.rows:
            raise ConnectorFailed(f"{stored} rows are stored, not {filled.rows}. {log_tail(worker.log)}")
    return Sample(filled.rows, seconds, sampler.usage.cpu, sampler.usage.peak_mb)


def connect(site: Site, log: Path, mode: Mode, setting: Setting | None = None) -> Sample:
    """Kafka Connect's sink on a log, in a JVM that has just started.

    `more` holds `jvm_seconds`, which the JVM took until it was ready and which `seconds` leaves out; `warm_rate` and
    `warm_cpu`, rows a second and core-seconds by group of a second load in the same JVM, from another topic into
    another database; and `setting`. Raises ConnectorFailed, ServerError, ServicesMissingError.
    """
    setting = setting or Setting()
    filled = fill(site, log, setting.schema, repeats=mode == "upsert", topics=2)
    folder = site.folder / site.name()
    folder.mkdir()
    began = time.monotonic()
    with ConnectWorker(folder, site.kafka.brokers) as worker:
        jvm_seconds = time.monotonic() - began
        cold, warm = (load(site, worker, filled, topic, mode, setting) for topic in filled.topics)
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
