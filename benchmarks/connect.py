"""A baseline: Kafka Connect with Debezium's JDBC sink on the servers that chatferry is measured on.

    python -m benchmarks.connect [--lines 100_000] [--batch N] [--schema envelope|content] [--url OPTIONS]

Starts a site and prints one JSON object with a sample for each mode. The sink gets the same rows into the same table,
but not from the same lines: it has no type for a timestamp that is a number here and a string there, and a bad line, or
in insert mode a repeat, ends its task. So its topic is filled with records made for it: of good lines alone, for insert
mode without repeats, each with the timestamp as an integer of microseconds.

The settings are the fastest of those tried on 100_000 lines: batches of 500, 2_000, 5_000 and 10_000 rows, the driver's
bulk protocol and its rewritten statements, and the schema in every record or once in the converter's settings.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient
from sqlalchemy import Connection, NullPool, create_engine, make_url, text

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
    schema: SchemaPlace = "content"
    url: str = "rewriteBatchedStatements=true"
    """Options of the JDBC URL. With this one a batch is one INSERT of many rows in both modes; with useBulkStmts=true
    insert mode is as fast, but an upsert costs the server three times as much."""


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


def group_of(topic: str) -> str:
    """The consumer group of the connector that is named like its topic."""
    return f"connect-{topic}"


@contextmanager
def gate(site: Site, topic: str) -> Iterator[Consumer]:
    """A member of the connector's group that keeps the tasks waiting until it is closed, at the latest by the block's
    end.

    Without it the first task starts on all partitions and gives half of them up when the second joins. Debezium then
    commits the offset of the last row in place of the next one, the row comes again, and insert mode dies of it.
    """
    member = Consumer(
        {
            "bootstrap.servers": site.kafka.brokers,
            "group.id": group_of(topic),
            "enable.auto.commit": False,
            "log_level": 0,
        }
    )
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
    admin = AdminClient({"bootstrap.servers": site.kafka.brokers, "log_level": 0})
    group = group_of(topic)
    began = time.monotonic()
    while len(admin.describe_consumer_groups([group])[group].result(10).members) <= TASKS:
        worker.check(topic)
        if time.monotonic() - began > JOIN_SECONDS:
            raise ConnectorFailed(f"The tasks have not joined {group}. {log_tail(worker.log)}")
        time.sleep(0.02)


def wait_for_rows(worker: ConnectWorker, topic: str, connection: Connection, filled: Filled) -> None:
    """Return once all rows are stored. Raises ConnectorFailed where a task fails or it takes too long."""
    ids = ", ".join(f"'{row[0]}'" for row in filled.last)
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


def check_rows(connection: Connection, filled: Filled) -> None:
    """See that all rows are there, and the last ones right. Raises ConnectorFailed where not."""
    stored = connection.exec_driver_sql("SELECT COUNT(*) FROM chat_messages").scalar()
    if stored != filled.rows:
        raise ConnectorFailed(f"{stored} rows are stored, not {filled.rows}")
    query = text("SELECT id, `from`, type, site_id, CAST(timestamp AS CHAR), data FROM chat_messages WHERE id = :id")
    for row in filled.last:
        if (found := connection.execute(query, {"id": row[0]}).one()) != row:
            raise ConnectorFailed(f"{row} was stored as {found}")


def load(site: Site, worker: ConnectWorker, filled: Filled, topic: str, mode: Mode, setting: Setting) -> Sample:
    """Load one of the filled topics into a fresh database: from the connector's start until the last row is stored.

    Raises ConnectorFailed where it fails or stores something else; the worker has ended then, for with its connections
    open the database could not be dropped.
    """
    pids = {"kafka": site.kafka.pid, "mariadb": site.maria.pid, "main": worker.pid}
    groups: dict[str, Callable[[], list[int]]] = {group: partial(list, [pid]) for group, pid in pids.items()}
    with site.database() as url, connected(url) as connection:
        try:
            with gate(site, topic) as first, Sampler(groups) as sampler:
                began = time.monotonic()
                worker.create(topic, settings(topic, url, mode, setting))
                wait_for_tasks(site, worker, topic)
                first.close()
                wait_for_rows(worker, topic, connection, filled)
                seconds = time.monotonic() - began
            worker.delete(topic)
            check_rows(connection, filled)
        except BaseException:
            worker.kill()
            raise
    return Sample(filled.rows, seconds, sampler.usage.cpu, sampler.usage.peak_mb)


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    """A connection to a database, for statements that hold no lock behind them."""
    with create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool).connect() as connection:
        yield connection


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
